"""Do deeper layers predict later responses? The temporal score of an entry with a time course.

Each layer's latency is the bin in which it scores highest; the score is Pearson's correlation of layers' numbers, in
order of depth, with their latencies (Raugel et al. 2025). An argmax of noise is a latency, too, so layers none of whose
bins is above the time course's threshold have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from math import factorial

import numpy as np

from brainbench.entry import Entry

DRAWS = 10_000  # permutations, where there are more than that


@dataclass(frozen=True, slots=True, kw_only=True)
class Temporal:
    """Layers in order of depth with their `latency_s` (NaN where none is told from 0), and how these correlate.

    `r` is NaN with fewer than 3 latencies, or where all are one; `p` is one-sided, the share of orders of the layers
    (all of them, or 10,000) that reach r.
    """

    layers: tuple[str, ...]
    depths: tuple[float, ...]
    latency_s: tuple[float, ...]
    r: float
    p: float


def temporal(entry: Entry) -> Temporal | None:
    """The temporal score of an entry; None for one without a time course."""
    course = entry.time_course
    if course is None:
        return None
    order = np.argsort([layer.depth for layer in entry.layers], kind="stable")
    curves = np.array(course.layer_raw, dtype=float).reshape(len(entry.layers), -1)[order]
    threshold = np.array(course.threshold, dtype=float)
    curves = np.where(np.isfinite(threshold), curves, np.nan)
    told = (curves > threshold).any(axis=1)
    latency = np.full(len(curves), np.nan)
    latency[told] = np.asarray(course.time_s)[np.nanargmax(curves[told], axis=1)] if told.any() else np.nan
    r, p = _correlation(np.flatnonzero(told).astype(float), latency[told])
    return Temporal(
        layers=tuple(entry.layers[at].layer for at in order),
        depths=tuple(entry.layers[at].depth for at in order),
        latency_s=tuple(latency.tolist()),
        r=r,
        p=p,
    )


def _correlation(number: np.ndarray, latency: np.ndarray) -> tuple[float, float]:
    if len(number) < 3 or np.ptp(latency) == 0:
        return float("nan"), float("nan")
    x, y = ((v - v.mean()) / np.linalg.norm(v - v.mean()) for v in (number, latency))
    r = float(x @ y)
    if factorial(len(x)) <= DRAWS:
        drawn = np.array(list(permutations(y))) @ x
        return r, float((drawn >= r - 1e-9).mean())
    rng = np.random.default_rng(0)
    drawn = rng.permuted(np.tile(y, (DRAWS, 1)), axis=1) @ x
    return r, float(((drawn >= r - 1e-9).sum() + 1) / (DRAWS + 1))
