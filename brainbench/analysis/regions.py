"""Regions of cortex against each other, for one model: curves over layers, best layers, differences, depth order.

A curve is the score with each layer fixed in turn; its replicates resample stimuli and subjects. Regions of one
recording share the resamplings, so what they share cancels in differences; regions of different recordings are
independent. Comparisons over many layers or pairs take their p from the largest statistic of all (Westfall and Young
1993): of replicates around their mean, divided by their standard deviation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from brainbench.analysis.comparison import Comparison, Curve, Order, Pair, Region
from brainbench.analysis.depth_order import best_layers, rising_p, trend
from brainbench.errors import InputError, UsageError
from brainbench.numerics.max_statistic import interaction, signal_p
from brainbench.numerics.resampling import benjamini_hochberg, interval, two_sided

LEVEL = 0.95
FEWEST = 20  # replicates without which nothing is said


def compare_regions(model: str, curves: Sequence[Curve]) -> Comparison:
    """The comparison of two or more regions, whose order is the one that depth is asked to follow.

    Curves are brought into order of depth, so that the first of a tie is the shallower layer. NaN layers are never
    the best one; a region without any score stays, with NaN, and so does what rests on it.
    Raises UsageError where scores cannot stand beside each other (other scorers) or fewer than two regions are given,
    InputError where curves are not of the same layers or replicates.
    """
    _check(curves)
    curves = [_by_depth(curve) for curve in curves]
    named = Counter(curve.region for curve in curves)
    labels = [curve.region if curve.region and named[curve.region] == 1 else curve.benchmark for curve in curves]
    regions = tuple(_region(label, curve) for label, curve in zip(labels, curves))
    pairs = list(combinations(range(len(curves)), 2))
    rising = {(i, j): _rising([curves[i], curves[j]]) for i, j in pairs}
    corrected = all(curve.reach > 0 for curve in curves)
    above, above_low, above_high, above_p = _interaction(curves, pairs, corrected)
    raw_p = [two_sided(curves[j].replicates - curves[i].replicates) for i, j in pairs]
    share_p = [two_sided(curves[j].normalized_replicates - curves[i].normalized_replicates) for i, j in pairs]
    depth_p = [float(np.minimum(1.0, 2 * np.min(rising[pair]))) for pair in pairs]  # NaN stays NaN
    raw_q, share_q, depth_q = (benjamini_hochberg(np.asarray(p)) for p in (raw_p, share_p, depth_p))
    found = []
    for at, (i, j) in enumerate(pairs):
        first, second = curves[i], curves[j]
        raw = interval(second.replicates - first.replicates)
        share = interval(second.normalized_replicates - first.normalized_replicates)
        depth = interval(_best_depths(second) - _best_depths(first))
        found.append(
            Pair(
                first=labels[i],
                second=labels[j],
                paired=first.recording == second.recording,
                raw=second.score - first.score,
                raw_low=raw[0],
                raw_high=raw[1],
                raw_p=raw_p[at],
                raw_q=float(raw_q[at]),
                normalized=second.normalized - first.normalized,
                normalized_low=share[0],
                normalized_high=share[1],
                normalized_p=share_p[at],
                normalized_q=float(share_q[at]),
                depth=regions[j].depth - regions[i].depth,
                depth_low=depth[0],
                depth_high=depth[1],
                depth_p=depth_p[at],
                depth_q=float(depth_q[at]),
                interaction=above[at],
                interaction_low=above_low[at],
                interaction_high=above_high[at],
                interaction_p=above_p[at],
            )
        )
    steps = [rising[i, i + 1][0] for i in range(len(curves) - 1)]
    order = _order(curves, np.asarray([region.depth for region in regions]), float(np.max(steps)))
    return Comparison(model=model, regions=regions, pairs=tuple(found), order=order, corrected=corrected)


def _check(curves: Sequence[Curve]) -> None:
    if len(curves) < 2:
        raise UsageError(f"{len(curves)} region was named; a comparison needs 2")
    first = curves[0]
    for other in curves[1:]:
        if (other.scorer, other.scale) != (first.scorer, first.scale):
            raise UsageError(
                f"{first.benchmark} is scored by {first.scorer}, {other.benchmark} by {other.scorer}: "
                "their scores mean different things. Name benchmarks of one scorer."
            )
        if other.layers != first.layers or other.layer_replicates.shape != first.layer_replicates.shape:
            raise InputError(f"{first.benchmark} and {other.benchmark} have other layers or numbers of replicates")


def _by_depth(curve: Curve) -> Curve:
    """The same with its layers from the shallowest to the deepest: whoever names layers may do so in any order."""
    order = np.argsort(curve.depths, kind="stable")
    return replace(
        curve,
        layers=tuple(curve.layers[at] for at in order),
        depths=curve.depths[order],
        raw=curve.raw[order],
        layer_replicates=curve.layer_replicates[order],
    )


def _region(label: str, curve: Curve) -> Region:
    bounds = np.asarray([interval(layer) for layer in curve.layer_replicates])
    best = int(best_layers(curve.raw))
    winners = best_layers(_living(curve))
    times = np.bincount(winners[winners >= 0], minlength=len(curve.raw))
    shares = times / times.sum() if times.any() else np.full(len(times), np.nan)
    depth = interval(_best_depths(curve))
    score, share = interval(curve.replicates), interval(curve.normalized_replicates)
    raw, replicates, _ = _common([curve])
    return Region(
        label=label,
        curve=curve,
        low=bounds[:, 0],
        high=bounds[:, 1],
        score_low=score[0],
        score_high=score[1],
        normalized_low=share[0],
        normalized_high=share[1],
        best=best if best >= 0 else None,
        layer=curve.layers[best] if best >= 0 else None,
        depth=float(curve.depths[best]) if best >= 0 else float("nan"),
        depth_low=depth[0],
        depth_high=depth[1],
        shares=shares,
        p_signal=signal_p(raw[0], replicates[0]) if replicates.size else float("nan"),
    )


def _living(curve: Curve) -> np.ndarray:
    """(L, B): the replicates of layers that have a score; those of the others are NaN."""
    return np.where(np.isfinite(curve.raw)[:, None], curve.layer_replicates, np.nan)


def _best_depths(curve: Curve) -> np.ndarray:
    """(B,): the depth of the highest layer in each replicate, NaN where there is none."""
    winners = best_layers(_living(curve))
    return np.where(winners >= 0, curve.depths[winners], np.nan)


def _common(curves: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(R, L'), (R, L', B') and (L,): what is finite in all of the curves, and which layers those are.

    Empty where no layer has a score in all, or fewer than 20 replicates are whole.
    """
    raw = np.stack([curve.raw for curve in curves])
    replicates = np.stack([curve.layer_replicates for curve in curves])
    live = np.isfinite(raw).all(axis=0) & (np.isfinite(replicates).sum(axis=2) >= FEWEST).all(axis=0)
    whole = np.isfinite(replicates[:, live]).all(axis=(0, 1))
    if not live.any() or whole.sum() < FEWEST:
        live, whole = np.zeros_like(live), np.zeros_like(whole)
    return raw[:, live], replicates[:, live][:, :, whole], live


def _rising(curves: Sequence[Curve]) -> tuple[float, float]:
    raw, replicates, live = _common(curves)
    if replicates.size == 0:
        return float("nan"), float("nan")
    return rising_p(raw, replicates, curves[0].depths[live])


def _order(curves: Sequence[Curve], depths: np.ndarray, every_step_p: float) -> Order:
    drawn = np.stack([_best_depths(curve) for curve in curves])
    whole = drawn[:, np.isfinite(drawn).all(axis=0)]
    low, high = interval(trend(whole))
    steps = np.diff(whole, axis=0)
    some = whole.shape[1] > 0
    return Order(
        trend=float(trend(depths)),
        low=low,
        high=high,
        p=_rising(curves)[0],
        every_step_p=every_step_p,
        increasing=float((steps > 0).all(axis=0).mean()) if some else float("nan"),
        not_decreasing=float((steps >= 0).all(axis=0).mean()) if some else float("nan"),
    )


def _interaction(curves: Sequence[Curve], pairs: Sequence[tuple[int, int]], corrected: bool) -> np.ndarray:
    """(4, P, L): value, bounds and p of `max_statistic.interaction`; NaN for what has no score."""
    found = np.full((4, len(pairs), len(curves[0].layers)), np.nan)
    scored = [at for at, curve in enumerate(curves) if np.isfinite(curve.raw).any()]
    asked = [at for at, pair in enumerate(pairs) if set(pair) <= set(scored)]
    if not asked:
        return found
    raw, replicates, live = _common([curves[at] for at in scored])
    if replicates.size and live.sum() > 1:
        reach = np.asarray([curves[at].reach if corrected else 1.0 for at in scored])
        numbers = np.asarray([[scored.index(i) for i in pairs[at]] for at in asked])
        values = interaction(raw / reach[:, None], replicates / reach[:, None, None], numbers, level=LEVEL)
        found[np.ix_(np.arange(4), np.asarray(asked), np.flatnonzero(live))] = values
    return found
