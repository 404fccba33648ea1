"""Share of explainable variance against the number of support stimuli, a line a readout."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from brainbench.analysis.few_shot import Point
from brainbench.plotting._style import MUTED, caption, house, lines


def few_shot(points: Sequence[Point], *, title: str, told: str, full: float | None = None) -> Figure:
    """Bands are 95 % intervals over test stimuli; `full` is a dashed line, the readout of all training stimuli.

    `told` says in the caption how many stimuli and neuroids there are.
    """
    with house():
        figure = Figure(figsize=(4.6, 4.1), layout="constrained")
        axes = figure.subplots()
        axes.set_xscale("log")
        readouts = list(dict.fromkeys(point.readout for point in points))
        for name, (colour, style) in zip(readouts, lines(len(readouts))):
            own = sorted((point for point in points if point.readout == name), key=lambda point: point.size)
            sizes = [point.size for point in own]
            axes.fill_between(
                sizes,
                [point.share_low for point in own],
                [point.share_high for point in own],
                color=colour,
                alpha=0.12,
                linewidth=0,
            )
            axes.plot(sizes, [point.share for point in own], style, color=colour, marker="o", markersize=3, label=name)
        if full is not None:
            axes.axhline(full, color=MUTED, linestyle="--", label="ridge, all training stimuli")
        ticks = sorted({point.size for point in points})
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([str(tick) for tick in ticks])
        axes.set_xlabel("support stimuli (log scale)")
        axes.set_ylabel("share of explainable variance")
        legend = axes.legend(
            title=title, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderaxespad=0
        )
        legend.get_title().set_fontweight("bold")
        legend.set_alignment("left")
        caption(figure, f"Median over neuroids; bands: 95 % intervals over test stimuli, not over supports. {told}.")
    return figure
