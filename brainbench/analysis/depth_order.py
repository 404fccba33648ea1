"""Does the best layer lie deeper from region to region? The trend of best depths, and what luck alone would make of it.

The best layer is an argmax, so its noise is that of a maximum: where a curve is flat or faint it jumps anywhere, and a
faint region beside one with a clear late peak looks like a hierarchy. The null therefore keeps each region's own noise
and its own amplitude, and takes away only what is asked about: all regions get one curve, up to gain and offset, and
every null draw takes its argmax anew. What is rejected is that one curve: regions with one best layer whose runners-up
lie on different sides are no hierarchy, but are not this null either.

Two choices were made by simulation (`tests/nulls/test_regions.py`). The curve that all share is scaled to each region's
amplitude (the variance of its curve over layers less that of its noise): with the plain mean curve, regions that are
read from one stage but differ in reliability passed for a hierarchy in up to half of all cases. The statistic
is the trend averaged over replicates, which weighs a jump by how sure it is: with the trend of the argmax itself, half
of the power is lost.
"""

from __future__ import annotations

import numpy as np

INNER = 200  # replicates that a trend is averaged over: its Monte Carlo error is then 1/14 of the trend's own spread


def best_layers(curves: np.ndarray) -> np.ndarray:
    """(L, ...) -> (...): the number of the highest layer, the first of a tie; -1 where all are NaN."""
    filled = np.where(np.isfinite(curves), curves, -np.inf)
    return np.where(np.isfinite(curves).any(axis=0), filled.argmax(axis=0), -1)


def trend(depths: np.ndarray) -> np.ndarray:
    """(R, ...) -> (...): by how much depth rises from one region to the next, the slope of the least-squares line."""
    place = np.arange(len(depths)) - (len(depths) - 1) / 2
    slope: np.ndarray = np.tensordot(place / (place**2).sum(), depths, axes=1)
    return slope


def shared_curves(curves: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """(R, L): one curve for all regions, in each region's own amplitude, without its mean over layers.

    `noise` (R, L, B) are replicates around their mean. The shared curve is the mean of the centred curves, each over
    its amplitude, weighted by amplitude² / noise variance; an amplitude that noise accounts for is 0.
    """
    centred = curves - curves.mean(axis=1, keepdims=True)
    around = noise - noise.mean(axis=1, keepdims=True)
    variance = np.maximum((around**2).mean(axis=(1, 2)), 1e-15)  # correlations that do not vary at all
    amplitude = np.sqrt(np.maximum(centred.var(axis=1) - variance, 0.0))
    weight = amplitude / variance
    total = (weight * amplitude).sum()
    shape = weight @ centred / total if total > 0 else np.zeros(curves.shape[1])
    shared: np.ndarray = amplitude[:, None] * shape
    return shared


def rising_p(curves: np.ndarray, replicates: np.ndarray, depths: np.ndarray) -> tuple[float, float]:
    """p of one curve for all regions, against best layers that lie deeper from region to region, and against shallower.

    `curves` (R, L) and their `replicates` (R, L, B) are finite, of layers at `depths` (L,). The share of null draws
    whose averaged trend is at least as steep as the one observed, never below 1 / (B + 1); 1 for a direction that the
    best layers themselves do not take, however the runners-up lie around them.
    """
    noise = replicates - replicates.mean(axis=2, keepdims=True)
    inner = noise[:, :, :INNER]
    observed = _averaged_trend(curves[:, :, None], inner, depths)[0]
    drawn = _averaged_trend(shared_curves(curves, noise)[:, :, None] + noise, inner, depths)
    close = 1e-9  # sums of the same depths in another order
    up = (1 + (drawn >= observed - close).sum()) / (1 + len(drawn))
    down = (1 + (drawn <= observed + close).sum()) / (1 + len(drawn))
    own = trend(depths[best_layers(curves.T)])
    return float(up) if own > close else 1.0, float(down) if own < -close else 1.0


def _averaged_trend(curves: np.ndarray, inner: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """(R, L, B) -> (B,): the trend of each region's best depth, averaged over draws of the `inner` noise (R, L, I)."""
    return trend(np.stack([_mean_best_depth(*region, depths) for region in zip(curves, inner)]))


def _mean_best_depth(curves: np.ndarray, inner: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """(L, B) and (L, I) -> (B,); layer by layer, so that no more than (B, I) is held at once."""
    top = np.full((curves.shape[1], inner.shape[1]), -np.inf)
    depth = np.zeros(top.shape)
    for curve, noise, own in zip(curves, inner, depths):
        value = curve[:, None] + noise
        depth = np.where(value > top, own, depth)
        np.maximum(top, value, out=top)
    mean: np.ndarray = depth.mean(axis=1)
    return mean
