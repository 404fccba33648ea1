"""Random numbers in which no model has a say, so that replicates of any two pair up, and what replicates say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def seed_of(fingerprint: str, purpose: str) -> np.random.SeedSequence:
    """The seed that a fingerprint gives for one purpose: the same for every model, machine and day."""
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


def two_sided(differences: np.ndarray) -> float:
    """p that a quantity is 0, of its replicates: twice the smaller share on either side of 0, at least 2 / (B + 1).

    Replicates that are NaN do not count; NaN where fewer than 20 are left.
    """
    return float(two_sided_each(differences[None])[0])


def two_sided_each(differences: np.ndarray) -> np.ndarray:
    """`two_sided` of each row of (n, B) replicates, (n,)."""
    count = np.isfinite(differences).sum(axis=1)
    # a replicate at exactly 0 counts half to each side
    above = (differences > 0).sum(axis=1) + 0.5 * (differences == 0).sum(axis=1)
    p = np.minimum(1.0, 2 * (np.minimum(above, count - above) + 1) / (count + 1))
    return np.where(count < 20, np.nan, p)


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """p-values adjusted for the false discovery rate (Benjamini and Hochberg 1995); NaN stays NaN, uncounted."""
    from scipy.stats import false_discovery_control

    q = np.full(len(p), np.nan)
    finite = np.isfinite(p)
    if finite.any():
        q[finite] = false_discovery_control(p[finite])
    return q
