"""Units of one layer looked for in another: what few partners reach, and how the units of both fall into groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from brainbench.analysis.unit_matching import Matched
from brainbench.plotting._style import COLOURS, MUTED, caption, house

_WIDTH_IN = 7.2
_MARKS = {"one-to-one": "s", "best partner": "o", "few": "D", "all": "^"}


def matching(found: Sequence[Matched], *, title: str, systems: tuple[str, str]) -> Figure:
    """A row for each pair of layers: held-out r against the number of partners, and correlations ordered by group.

    Marks are the levels with 95 % intervals, the line is the lasso along its penalties.
    """
    with house():
        figure = Figure(figsize=(_WIDTH_IN, 0.9 + 2.6 * len(found)), layout="constrained")
        rows = figure.subplots(len(found), 2, squeeze=False, width_ratios=(1.2, 1))
        for (left, right), pair in zip(rows, found):
            _levels(left, pair)
            _correlations(right, pair)
        handles, labels = rows[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
        rows[0][0].set_title(title, loc="left", fontweight="bold")
        counts = "; ".join(
            f"{p.second} in {p.first}: n = {p.n_stimuli} stimuli, {p.n_second} units in {p.n_first}" for p in found
        )
        text = (
            f"Units of {systems[1]} looked for in {systems[0]}. {counts}. Left: mean Pearson r over units on stimuli "
            "that were not fitted, with 95 % intervals over stimuli; line: lasso along its penalties. Right: "
            "correlations on one fold's held-out stimuli, units ordered by group (made on the other folds)."
        )
        caption(figure, text)
    return figure


def _levels(axes: Axes, pair: Matched) -> None:
    steps = [step for step in pair.path if step.n_partners > 0]
    axes.set_xscale("log")
    axes.axhline(0, color=MUTED, linewidth=0.6, zorder=0)
    axes.plot([s.n_partners for s in steps], [s.r for s in steps], color=MUTED, zorder=1)
    for level, colour in zip(pair.levels, COLOURS):
        axes.errorbar(
            level.n_partners,
            level.r,
            yerr=[[max(level.r - level.low, 0)], [max(level.high - level.r, 0)]],
            fmt=_MARKS[level.name],
            color=colour,
            markersize=4,
            capsize=2,
            label=level.name,
        )
    axes.set_xlabel(f"partners in {pair.first} (log scale)")
    axes.set_ylabel(f"r of units of {pair.second}")


def _correlations(axes: Axes, pair: Matched) -> None:
    values = np.asarray(pair.correlations)
    limit = float(np.nanmax(np.abs(values)))
    image = axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    for lines, borders in ((axes.axhline, pair.borders[0]), (axes.axvline, pair.borders[1])):
        for border in borders[1:]:
            lines(border - 0.5, color="0.2", linewidth=0.4)
    axes.set_xlabel(f"units of {pair.second}")
    axes.set_ylabel(f"units of {pair.first}")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.figure.colorbar(image, ax=axes, label="r")
