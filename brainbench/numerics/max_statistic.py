"""What may be said of the largest of many layers or time bins: p and bounds that hold for all of them at once.

Each value is divided by the standard deviation of its replicates; what it is held against is the largest such ratio
among replicates around their mean, over all that was looked at (max-T, Westfall and Young 1993). Layers of one network
are so alike that this costs little: the largest of ten is not the largest of ten independent ones.
"""

from __future__ import annotations

import numpy as np


def signal_p(curve: np.ndarray, replicates: np.ndarray) -> float:
    """p that no layer of a curve (L,) scores above 0; `replicates` are (L, B)."""
    return float(signal_p_each(curve, replicates).min())


def signal_p_each(curve: np.ndarray, replicates: np.ndarray) -> np.ndarray:
    """p that a point of a curve (L,) is not above 0, (L,), corrected for all points; `replicates` are (L, B)."""
    sd, largest = _under_null(replicates)
    return _beyond(curve / sd, largest)


def signal_threshold(replicates: np.ndarray, *, level: float = 0.05) -> np.ndarray:
    """What each point of a curve must be above, (L,), for `signal_p_each` to be below `level`; `replicates` (L, B)."""
    sd, largest = _under_null(replicates)
    allowed = int(np.ceil(level * (len(largest) + 1))) - 2  # draws at least as large that leave p below the level
    return sd * (np.sort(largest)[::-1][allowed] if allowed >= 0 else np.inf)


def _under_null(replicates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each point's standard deviation (L,), and the largest of all points in units of it, (B,), around their means."""
    noise = replicates - replicates.mean(axis=1, keepdims=True)
    sd = _sd(noise)
    return sd, (noise / sd[:, None]).max(axis=0)


def interaction(
    curves: np.ndarray, replicates: np.ndarray, pairs: np.ndarray, *, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(P, L) each: the second curve less the first, both without their mean over layers; its bounds and p.

    `curves` (R, L), `replicates` (R, L, B), `pairs` (P, 2) numbers of curves. Bounds and p hold for all layers of all
    pairs at once.
    """
    centred = curves - curves.mean(axis=1, keepdims=True)
    around = replicates - replicates.mean(axis=1, keepdims=True)
    first, second = pairs.T
    value = centred[second] - centred[first]
    noise = around[second] - around[first]
    noise = noise - noise.mean(axis=2, keepdims=True)
    sd = _sd(noise)
    largest = np.abs(noise / sd[..., None]).max(axis=(0, 1))
    margin = np.quantile(largest, level) * sd
    return value, value - margin, value + margin, _beyond(np.abs(value / sd), largest)


def _sd(noise: np.ndarray) -> np.ndarray:
    """Over replicates; what does not vary (but for rounding) counts as if it varied by 1e-9."""
    sd: np.ndarray = np.maximum(noise.std(axis=-1), 1e-9)
    return sd


def _beyond(observed: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The share of draws that are at least as large, the observed one among them."""
    p: np.ndarray = ((drawn >= observed[..., None]).sum(axis=-1) + 1) / (len(drawn) + 1)
    return p
