"""Scores over time: a panel a benchmark, a line a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from brainbench.analysis.models import told_apart
from brainbench.entry import Entry, TimeCourse
from brainbench.plotting._style import MUTED, caption, house, lines
from brainbench.scorers import SCORERS

_WIDTH_IN = 6.2


def time_courses(entries: Sequence[Entry]) -> Figure:
    """Score against time for entries with a time course, each with its 95 % band.

    Bars below are bins above 0 at corrected p < .05; there a tick is the onset, a dot the peak, both on the bars of
    their 95 % intervals. The dashed line is the ceiling on the scale of the score, grey the window that the entry's own
    score is the mean over.
    """
    benchmarks = list(dict.fromkeys(entry.benchmark for entry in entries))
    most = max(sum(entry.benchmark == name for entry in entries) for name in benchmarks)
    with house():
        figure = Figure(figsize=(_WIDTH_IN, (2.6 + 0.2 * most) * len(benchmarks) + 1.0), layout="constrained")
        panels = figure.subplots(
            2 * len(benchmarks), 1, squeeze=False, height_ratios=[2.6, 0.15 + 0.2 * most] * len(benchmarks)
        )[:, 0]
        for number, name in enumerate(benchmarks):
            own = [entry for entry in entries if entry.benchmark == name]
            top, bottom = panels[2 * number : 2 * number + 2]
            bottom.sharex(top)
            _panel(top, bottom, own)
        panels[-1].set_xlabel("time after stimulus onset (s)")
        said = [
            "Layer chosen inside the training stimuli, one for all bins. Bands: pointwise 95 % percentile intervals. "
            "Below: bins above 0 at p < .05, corrected for all bins (max-statistic); |, onset, and dot, peak, with "
            "their 95 % intervals. Dashed grey: ceiling (of RDMs, its lower bound). Grey: window of the entry's score.",
            *(_source(next(e for e in entries if e.benchmark == name)) for name in benchmarks),
        ]
        caption(figure, " ".join(said))
    return figure


def _panel(top: Axes, bottom: Axes, entries: Sequence[Entry]) -> None:
    for row, (entry, model, (colour, style)) in enumerate(zip(entries, told_apart(entries), lines(len(entries)))):
        course = entry.time_course
        assert course is not None
        time, raw, low, high = (_array(v) for v in (course.time_s, course.raw, course.low, course.high))
        top.fill_between(time, low, high, color=colour, alpha=0.16, linewidth=0)
        top.plot(time, raw, style, color=colour, label=model)
        _below(bottom, course, row, colour)
    first = entries[0].time_course
    assert first is not None
    reach = _array(first.ceiling)
    if entries[0].scale == "r" and entries[0].ceiling_scale == "r2":
        reach = np.where(reach > 0, np.sqrt(np.maximum(reach, 0)), np.nan)
    top.plot(_array(first.time_s), reach, "--", color="0.45", linewidth=0.9)
    for axes in (top, bottom):
        axes.axvspan(*first.window_s, color="0.95", zorder=-2, linewidth=0)
        axes.axvline(0, color=MUTED, linewidth=0.6, zorder=-1)
    top.axhline(0, color=MUTED, linewidth=0.6, zorder=-1)
    top.set_ylabel(f"score ({entries[0].scale})")
    top.set_title(entries[0].label, loc="left", fontweight="bold")
    top.legend(frameon=False, fontsize=7)
    top.tick_params(labelbottom=False)
    bottom.set_ylim(len(entries) - 0.5, -0.5)
    bottom.set_yticks([])
    bottom.spines[:].set_visible(False)


def _below(axes: Axes, course: TimeCourse, row: int, colour: str) -> None:
    """One row: significant bins, and the two latencies with their intervals."""
    time = _array(course.time_s)
    half = float(np.diff(time).min()) / 2 if len(time) > 1 else 0.01
    for second, p in zip(time, _array(course.p)):
        if p < 0.05:
            ends = [second - half, second + half]
            axes.plot(ends, [row, row], color=colour, alpha=0.3, linewidth=5, solid_capstyle="butt")
    for value, low, high, marker in (
        (course.onset_s, course.onset_low_s, course.onset_high_s, "|"),
        (course.peak_s, course.peak_low_s, course.peak_high_s, "o"),
    ):
        if value is None:
            continue
        if low is not None and high is not None:
            axes.plot([low, high], [row, row], color=colour, linewidth=1.2, solid_capstyle="butt")
        axes.plot([value], [row], marker, color=colour, markersize=7 if marker == "|" else 4, markeredgewidth=1.6)


def _source(entry: Entry) -> str:
    counted = "RDMs" if SCORERS[entry.scorer.split()[0]].spec.requires == "rdms" else "neuroids"
    excluded = f" ({entry.n_excluded} excluded)" if entry.n_excluded else ""
    return f"{entry.label}: resampled {entry.resampled}; {entry.n_neuroids} {counted}{excluded}."


def _array(values: Sequence[float | None]) -> np.ndarray:
    return np.array(values, dtype=float)
