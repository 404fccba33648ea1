"""A score over time: intervals, p that hold for all bins at once, and the latencies of onset and peak.

`docs/time.md` has the definitions and the traps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from brainbench.entry import Number, TimeCourse
from brainbench.numerics.max_statistic import bins_above_zero
from brainbench.numerics.resampling import interval

LEVEL = 0.05
DIGITS = 6
N_CONSECUTIVE = 2  # significant bins that make an onset: one alone may be the luck of that bin


def time_course(
    time_s: np.ndarray,
    raw: np.ndarray,
    replicates: np.ndarray,
    *,
    ceiling: np.ndarray,
    layer_raw: np.ndarray,
    window_s: tuple[float, float],
) -> TimeCourse:
    """What an entry says of a score in T bins: `raw` and `ceiling` (T,), `replicates` (B, T), `layer_raw` (L, T).

    Bins without a score, or with draws that have none, have no p and no part in the largest statistic. Latencies are
    NaN, with a reason, where no bin (for an onset: no run of bins) is told from 0.
    """
    raw = np.round(raw, DIGITS)  # as the entry tells it, so that its own numbers make its peak
    tested = np.isfinite(raw) & np.isfinite(replicates).all(axis=0)
    p, threshold = np.full((2, len(raw)), np.nan)
    if tested.any():
        drawn = replicates[:, tested].T.astype(float)
        p[tested], threshold[tested] = bins_above_zero(raw[tested], drawn, level=LEVEL)
    low, high = np.array([interval(bin_) for bin_ in replicates.T]).T
    significant = p < LEVEL
    onset, peak = _latencies(time_s, np.where(tested, raw, np.nan), significant)
    onsets = first_of_run(replicates > threshold, N_CONSECUTIVE)
    onset_bounds = peak_bounds = float("nan"), float("nan")
    share = float("nan")
    if np.isfinite(onset):
        onset_bounds, share = _bins(time_s[onsets[onsets >= 0]]), float((onsets >= 0).mean())
    if np.isfinite(peak):
        peak_bounds = _bins(time_s[tested][replicates[:, tested].argmax(axis=1)])
    reason = ""
    if not significant.any():
        reason = f"no bin is above 0 at corrected p < {LEVEL:g}"
    elif np.isnan(onset):
        reason = f"no onset: no {N_CONSECUTIVE} bins in a row are above 0 at corrected p < {LEVEL:g}"
    return TimeCourse(
        time_s=[float(second) for second in time_s],
        window_s=[float(second) for second in window_s],
        raw=_numbers(raw),
        low=_numbers(low),
        high=_numbers(high),
        ceiling=_numbers(ceiling),
        p=_numbers(p),
        threshold=_numbers(threshold),
        n_consecutive=N_CONSECUTIVE,
        onset_s=onset,
        onset_low_s=onset_bounds[0],
        onset_high_s=onset_bounds[1],
        onset_share=share,
        peak_s=peak,
        peak_low_s=peak_bounds[0],
        peak_high_s=peak_bounds[1],
        reason=reason,
        layer_raw=[_numbers(row, digits=4) for row in layer_raw],
    )


def first_of_run(above: np.ndarray, n: int) -> np.ndarray:
    """The first of `n` bins in a row that are all True, for each row of (B, T): its number, -1 where there is none."""
    bins = above.shape[1]
    if bins < n:
        return np.full(len(above), -1)
    runs = np.logical_and.reduce([above[:, at : bins - n + 1 + at] for at in range(n)])
    return np.where(runs.any(axis=1), runs.argmax(axis=1), -1)


def _latencies(time_s: np.ndarray, raw: np.ndarray, significant: np.ndarray) -> tuple[float, float]:
    """Onset, and peak among significant bins; NaN where no run, and no bin, is significant."""
    (at,) = first_of_run(significant[None], N_CONSECUTIVE)
    onset = float(time_s[at]) if at >= 0 else float("nan")
    peak = np.where(significant, raw, -np.inf).argmax()
    return onset, float(time_s[peak]) if significant.any() else float("nan")


def latencies_of(course: TimeCourse) -> tuple[float | None, float | None]:
    """Onset and peak as the course's own bins make them: what its `onset_s` and `peak_s` must be."""
    raw, p = np.array(course.raw, dtype=float), np.array(course.p, dtype=float)
    found = _latencies(np.array(course.time_s), np.where(np.isfinite(p), raw, np.nan), p < LEVEL)
    onset, peak = (value if np.isfinite(value) else None for value in found)
    return onset, peak


def _bins(latencies: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval, outwards to bins; NaN where fewer than 20 replicates have a latency."""
    if len(latencies) < 20:
        return float("nan"), float("nan")
    return (
        float(np.quantile(latencies, 0.025, method="lower")),
        float(np.quantile(latencies, 0.975, method="higher")),
    )


def _numbers(values: Sequence[float] | np.ndarray, *, digits: int = DIGITS) -> list[Number]:
    return [round(float(value), digits) for value in values]
