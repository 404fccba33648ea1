"""What may be said of the largest of many layers or time bins: p and bounds that hold for all of them at once.

Each value is divided by the standard deviation of its replicates; what it is held against is the largest such ratio
among replicates around their mean, over all that was looked at (max-T, Westfall and Young 1993). Layers of one network
are so alike that this costs little: the largest of ten is not the largest of ten independent ones.
"""

from __future__ import annotations

import numpy as np


def signal_p(curve: np.ndarray, replicates: np.ndarray) -> float:
    """p that no layer of a curve (L,) scores above 0; `replicates` are (L, B). NaN where one of all is not finite."""
    noise = replicates - replicates.mean(axis=1, keepdims=True)
    sd = _sd(noise)
    return float(_beyond((curve / sd).max(keepdims=True), (noise / sd[:, None]).max(axis=0))[0])


def bins_above_zero(curve: np.ndarray, replicates: np.ndarray, *, level: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """p that a time bin of a curve (T,) is not above 0, corrected for all bins, and what p < `level` must be above.

    Both (T,); `replicates` are (T, B). A standard deviation below the median of all bins counts as the median: with few
    stimuli the smallest of many are small by luck, and bins would seem to be far above 0 that are not (of 150 synthetic
    recordings of 60 stimuli without a signal 16 had such a bin, 9 with the median as the floor).
    """
    noise = replicates - replicates.mean(axis=1, keepdims=True)
    sd = _sd(noise)
    sd = np.maximum(sd, np.median(sd))
    largest = (noise / sd[:, None]).max(axis=0)
    allowed = int(np.ceil(level * (len(largest) + 1))) - 2  # draws at least as large that leave p below the level
    threshold = np.sort(largest)[::-1][allowed] if allowed >= 0 else np.inf
    return _beyond(curve / sd, largest), sd * threshold


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
    """The share of draws that are at least as large, the observed one among them; NaN where anything is not known."""
    p: np.ndarray = ((drawn >= observed[..., None]).sum(axis=-1) + 1) / (len(drawn) + 1)
    return np.where(np.isfinite(observed) & np.isfinite(drawn).all(), p, np.nan)
