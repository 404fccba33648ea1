"""Random numbers that belong to a benchmark, so that replicates of any two models pair up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def seed_of(fingerprint: str, purpose: str) -> np.random.SeedSequence:
    """The seed that a benchmark's fingerprint gives for one purpose: the same for every model, machine and day."""
    return np.random.SeedSequence([int(fingerprint[:32], 16), int.from_bytes(purpose.encode(), "big")])


def multiplicities(units: Sequence[str], n_replicates: int, seed: np.random.SeedSequence) -> np.ndarray:
    """How often each entry of `units` occurs in each replicate, (B, len(units)) float32.

    Units are drawn with replacement; entries that share a unit's name (frames of one movie) are drawn together.
    The numbers depend on the sorted unit names alone, not on the order of the entries.
    """
    names, at = np.unique(np.asarray(units, dtype=str), return_inverse=True)
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), n_replicates)
    return draws[:, at].astype(np.float32)


def interval(replicates: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The central percentile interval of the finite replicates; NaN bounds where fewer than 20 are finite."""
    finite = replicates[np.isfinite(replicates)]
    if len(finite) < 20:
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
