"""Scores with fewer stimuli and with fewer neuroids: a row of two panels a benchmark, a line a model."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from brainbench.analysis.robustness import AXES, Robustness, Stability
from brainbench.plotting._style import MUTED, caption, house, lines

_WIDTH_IN = 7.2


def robustness(found: Sequence[Robustness]) -> Figure:
    """Mean score over draws against the number of stimuli, and of neuroids, with a band of one standard deviation.

    The last point of a line is all data, and has no band; dots are single draws. A panel without data says why.
    """
    with house():
        figure = Figure(figsize=(_WIDTH_IN, 0.9 + 2.5 * len(found)), layout="constrained")
        rows = figure.subplots(len(found), 2, squeeze=False, sharey="row")
        for axes, one in zip(rows, found):
            for panel, axis in zip(axes, AXES):
                _panel(panel, one, axis)
            name = f"{one.benchmark} (synthetic)" if one.synthetic else one.benchmark
            axes[0].set_title(name, loc="left", fontweight="bold")
            axes[0].set_ylabel(f"score ({one.scale})")
        handles, labels = rows[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=min(3, len(labels)), frameon=False)
        text = " ".join([*map(_told, found), _WHAT])
        caption(figure, text)
    return figure


_WHAT = (
    "Lines: mean over random subsets, layer chosen on training stimuli in each; bands: ± 1 standard deviation over "
    "subsets; dots: subsets; rings: all data. Subsets of one recording overlap, so bands narrow towards the right by "
    "themselves: a new sample of a share f would spread 1/sqrt(1 - f) times as wide."
)


def _panel(axes: Axes, found: Robustness, axis: str) -> None:
    whole = found.n_stimuli if axis == "stimuli" else found.n_neuroids
    axes.set_xlabel(f"{axis} (log scale)")
    if axis in found.missing:
        axes.text(0.5, 0.5, textwrap.fill(found.missing[axis], 30), ha="center", va="center", transform=axes.transAxes)
        axes.set_xticks([])
        return
    axes.set_xscale("log")
    axes.axhline(0, color=MUTED, linewidth=0.6, zorder=0)
    ticks: set[int] = {whole}
    for model, (colour, style) in zip(found.models, lines(len(found.models))):
        ticks |= _line(axes, model, axis, whole, colour, style)
    axes.xaxis.set_major_locator(FixedLocator(sorted(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([str(tick) for tick in sorted(ticks)])


def _line(axes: Axes, model: Stability, axis: str, whole: int, colour: str, style: str) -> set[int]:
    """One model; gives the numbers that it was scored at."""
    levels = sorted((level for level in model.levels if level.axis == axis), key=lambda level: level.fraction)
    levels = [level for level in levels if level.n_draws]
    n = np.asarray([*(level.n for level in levels), whole])
    mean = np.asarray([*(level.mean for level in levels), model.score])
    sd = np.nan_to_num([*(level.sd for level in levels), 0.0])
    axes.fill_between(n, mean - sd, mean + sd, color=colour, alpha=0.18, linewidth=0)
    axes.plot(n, mean, style, color=colour, label=model.model)
    for level in levels:
        axes.scatter(np.full(len(level.scores), level.n), level.scores, s=4, color=colour, alpha=0.5, linewidths=0)
    axes.scatter([whole], [model.score], s=20, facecolor="white", edgecolor=colour, linewidth=1.3, zorder=3)
    return {round(level.n) for level in levels}


def _told(found: Robustness) -> str:
    """What a panel rests on: never without n."""
    name = f"{found.benchmark} (synthetic)" if found.synthetic else found.benchmark
    groups = f" in {found.n_units} groups" if found.n_units < found.n_stimuli else ""
    neuroids = f", {found.n_neuroids} neuroids" if found.n_neuroids else ""
    draws = len(found.models[0].levels[0].scores)
    subjects = f", {found.n_subjects} subject{'s' if found.n_subjects > 1 else ''}" if found.n_subjects else ""
    return f"{name}: {found.n_stimuli} stimuli{groups}{neuroids}{subjects}; {draws} draws a point."
