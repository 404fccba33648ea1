"""Trainings of the in-context encoder: score against neuroids learned from, risk against that of the best readout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from brainbench.plotting._style import COLOURS, MUTED, caption, house, lines

if TYPE_CHECKING:
    from brainbench.in_context.gaussian import Risk
    from brainbench.training_studies import Explained


def scaling(found: Sequence[Explained]) -> Figure:
    """Explained variance of held-out neuroids against the number learned from, a line a size of support."""
    with house():
        figure = Figure(figsize=(4.6, 3.4), layout="constrained")
        axes = figure.subplots()
        held = [one for one in found if one.what.isdigit()]
        supports = list(dict.fromkeys(one.size for one in held))
        for size, (colour, style) in zip(supports, lines(len(supports))):
            own = [one for one in held if one.size == size]
            counts = [int(one.what) for one in own]
            axes.fill_between(
                counts, [o.low for o in own], [o.high for o in own], color=colour, alpha=0.12, linewidth=0
            )
            axes.plot(
                counts, [o.ev for o in own], style, color=colour, marker="o", markersize=3, label=f"{size} stimuli"
            )
        axes.set_xlabel("neuroids learned from")
        axes.set_ylabel("explained variance of held-out neuroids")
        axes.legend(frameon=False)
        caption(figure, f"Mean over n = {held[0].n} held-out neuroids; bands: 95 % intervals over them. One seed.")
    return figure


def risks(found: Sequence[Risk]) -> Figure:
    """Risk against the size of the context: of the Bayes estimate, one gradient step, and the trained network."""
    from brainbench.in_context.gaussian import N_NEUROIDS

    with house():
        figure = Figure(figsize=(4.6, 3.4), layout="constrained")
        axes = figure.subplots()
        sizes = [one.size for one in found]
        _line(axes, sizes, (one.step for one in found), MUTED, "best single gradient step")
        _line(axes, sizes, (one.bayes + one.excess for one in found), COLOURS[0], "network")
        _line(axes, sizes, (one.bayes for one in found), COLOURS[-1], "Bayes: no readout is below")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(sizes))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([str(size) for size in sizes])
        axes.set_xlabel("context (log scale)")
        axes.set_ylabel("squared error of the signal (synthetic)")
        axes.legend(frameon=False)
        caption(figure, f"Mean over n = {N_NEUROIDS:,} synthetic neuroids a size.")
    return figure


def _line(axes: Axes, x: Sequence[int], y: Iterable[float], colour: str, label: str) -> None:
    axes.plot(x, list(y), color=colour, marker="o", markersize=3, label=label)
