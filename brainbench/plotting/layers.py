"""Layers against regions: the curve of each region over the depth of the network, and the same as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from brainbench.analysis.comparison import Comparison, Region
from brainbench.plotting._style import COLOURS, MUTED, caption, house, lines

_WIDTH_IN = 7.2  # two columns of a journal


def layer_curves(comparison: Comparison) -> Figure:
    """Score against depth, one line a region with its 95 % band; below, where each region's best layer lies.

    There a dot's area is the share of replicates in which that layer is best, the bar the 95 % interval of the best
    layer's depth, and the ring the best layer itself.
    """
    regions = comparison.regions
    with house():
        figure = Figure(figsize=(_WIDTH_IN, 3.9 + 0.2 * len(regions)), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3.0, 0.35 + 0.22 * len(regions)])
        ends = []
        for number, (region, (colour, style)) in enumerate(zip(regions, lines(len(regions)))):
            curve = region.curve
            top.fill_between(curve.depths, region.low, region.high, color=colour, alpha=0.16, linewidth=0)
            top.plot(curve.depths, curve.raw, style, color=colour, marker="o", markersize=2.6, label=region.label)
            _lone_bars(top, region, colour, shift=0.012 * (number - (len(regions) - 1) / 2))
            ends.append((region.label, colour, _last(curve.depths, curve.raw)))
            _best(bottom, top, region, number, colour)
        if np.ptp(regions[0].curve.depths) == 0:
            top.set_xlim(-0.05, 1.05)
        top.axhline(0, color=MUTED, linewidth=0.6, zorder=0)
        _label_ends(top, ends)
        top.set_ylabel(f"score ({regions[0].curve.scale}), 95 % interval")
        _name_layers(top, regions[0])
        bottom.set_yticks(range(len(regions)), [f"{region.label}{region.doubt}" for region in regions])
        for tick, colour in zip(bottom.get_yticklabels(), cycle(COLOURS)):
            tick.set_color(colour)
        bottom.set_ylim(len(regions) - 0.5, -0.5)
        bottom.set_ylabel("best layer")
        bottom.set_xlabel("depth in the network (share of its layers)")
        said = [
            "Score with one layer for all folds. Bands and bars: 95 % percentile intervals over resampled stimuli and "
            "subjects. "
            "Below: ring, best layer; bar, 95 % interval of its depth; area of dots, share of replicates in which a "
            "layer is best.",
        ]
        _caption(figure, comparison, said)
    return figure


def layer_by_region(comparison: Comparison) -> Figure:
    """Heat map of scores: regions in their order, layers by depth; the best layer of each region is framed.

    Where all ceilings are known, a cell is the score over what a perfect model would reach, so that regions compare.
    """
    regions = comparison.regions
    reach = np.asarray([r.curve.reach if comparison.corrected else 1.0 for r in regions])[:, None]
    values, low, high = (np.stack(x) / reach for x in zip(*((r.curve.raw, r.low, r.high) for r in regions)))
    layers, depths = regions[0].curve.layers, regions[0].curve.depths
    n = len(layers)
    width = float(np.clip(1.6 + 0.62 * n, 4.5, 14.0))
    scale = regions[0].curve.scale
    what = f"score over ceiling ({scale})" if comparison.corrected else f"score ({scale})"
    with house():
        figure = Figure(figsize=(width, 1.9 + 0.46 * len(regions)), layout="constrained")
        axes = figure.subplots()
        shown = np.ma.masked_invalid(values)
        bottom = min(0.0, float(shown.min())) if shown.count() else 0.0
        image = axes.imshow(shown, cmap="viridis", aspect="auto", vmin=bottom)
        axes.set_facecolor("0.88")  # no score
        bar = figure.colorbar(image, ax=axes, pad=0.01, fraction=0.05)
        bar.set_label(what)
        bar.outline.set_visible(False)
        names = [f"{layer} ({depth:.2f})" for layer, depth in zip(layers, depths)]
        axes.set_xticks(range(n), names, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(regions)), [f"{region.label}{region.doubt}" for region in regions])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for row, place in enumerate(region.best for region in regions):
            if place is not None:
                for ink, line in (("white", 2.8), ("black", 1.2)):  # seen on dark cells and on bright ones
                    frame = Rectangle((place - 0.46, row - 0.45), 0.92, 0.9, fill=False, edgecolor=ink, linewidth=line)
                    axes.add_patch(frame)
        written = (width - 1.6) / n >= 0.6
        if written:
            _write_cells(axes, image, values, low, high)
        small = ", small its 95 % interval" if written else " (intervals: see the curves)"
        said = [f"Cells: {what} with one layer for all folds{small}. Frame: best layer of the region."]
        if comparison.corrected:
            said.append("Ceilings are taken as known.")
        _caption(figure, comparison, said)
    return figure


def _lone_bars(axes: Axes, region: Region, colour: str, *, shift: float) -> None:
    """The interval of a layer that has no neighbour, where a band has no width: side by side for several regions."""
    there = np.isfinite(region.curve.raw)
    padded = np.concatenate([[False], there, [False]])
    lone = there & ~padded[:-2] & ~padded[2:]
    at = region.curve.depths[lone] + shift
    axes.vlines(at, region.low[lone], region.high[lone], color=colour, linewidth=1.2)


def _last(depths: np.ndarray, values: np.ndarray) -> tuple[float, float] | None:
    finite = np.flatnonzero(np.isfinite(values))
    return None if len(finite) == 0 else (float(depths[finite[-1]]), float(values[finite[-1]]))


def _best(axes: Axes, top: Axes, region: Region, row: int, colour: str) -> None:
    """One row of the strip of best layers, and the ring on the curve."""
    if region.best is None:
        return
    axes.plot([region.depth_low, region.depth_high], [row, row], color=colour, linewidth=1.4, solid_capstyle="butt")
    some = region.shares > 0
    axes.scatter(
        region.curve.depths[some], np.full(some.sum(), row), s=90 * region.shares[some], color=colour, zorder=3
    )
    ring: dict[str, Any] = {"facecolor": "white", "edgecolor": colour, "linewidth": 1.4, "zorder": 4}
    axes.scatter([region.depth], [row], s=22, **ring)
    top.scatter([region.depth], [region.curve.raw[region.best]], s=30, **ring)


def _label_ends(axes: Axes, ends: Sequence[tuple[str, str, tuple[float, float] | None]]) -> None:
    """Names at the right end of the lines, moved apart where lines end close together."""
    drawn = sorted((e for e in ends if e[2] is not None), key=lambda end: end[2][1] if end[2] else 0.0)
    low, high = axes.get_ylim()
    gap = 0.075 * (high - low)
    heights = [end[2][1] for end in drawn if end[2]]
    places = list(heights)
    for at in range(1, len(places)):
        places[at] = max(places[at], places[at - 1] + gap)
    if places:  # the pile is pushed up only: half of that back
        shift = (sum(places) - sum(heights)) / len(places)
        places = [place - shift for place in places]
    right = max((end[2][0] for end in drawn if end[2]), default=1.0)
    for (label, colour, point), place in zip(drawn, places):
        axes.annotate(
            label,
            xy=point or (0.0, 0.0),
            xytext=(right + 0.035, place),
            color=colour,
            va="center",
            fontweight="bold",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkA": 1, "shrinkB": 3},
        )


def _name_layers(axes: Axes, region: Region) -> None:
    """Names of layers along the top, of those with room for one."""
    depths, layers = region.curve.depths, region.curve.layers
    above = axes.secondary_xaxis("top")
    span = float(np.ptp(depths)) or 1.0
    kept: list[int] = []
    for at in reversed(range(len(layers))):  # the deepest first: it is the one that must be there
        if not kept or depths[kept[-1]] - depths[at] >= 0.028 * span:
            kept.append(at)
    above.set_xticks(depths[kept], [layers[at] for at in kept], rotation=40, ha="left", rotation_mode="anchor")
    above.tick_params(length=2, labelsize=6.5, pad=1)
    above.spines[:].set_visible(False)


def _write_cells(axes: Axes, image: Any, values: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    for (row, column), value in np.ndenumerate(values):
        if not np.isfinite(value):
            axes.text(column, row, "–", ha="center", va="center", color="0.4")
            continue
        # the ink with the higher contrast, by the relative luminance of WCAG 2
        luminance = np.dot(np.asarray(image.cmap(image.norm(value))[:3]) ** 2.2, (0.2126, 0.7152, 0.0722))
        ink = "black" if luminance > 0.179 else "white"
        axes.text(column, row - 0.12, f"{value:.2f}", ha="center", va="center", color=ink)
        bounds = f"[{low[row, column]:.2f}, {high[row, column]:.2f}]"
        axes.text(column, row + 0.24, bounds, ha="center", va="center", color=ink, fontsize=5)


def _caption(figure: Figure, comparison: Comparison, said: Sequence[str]) -> None:
    """Model, what is drawn, and on what it rests: never without n, nor without saying what is synthetic."""
    if any(region.doubt for region in comparison.regions):
        said = [*said, "n.s.: no layer is above 0 (max-statistic p > .05), so the best one is luck."]
    text = " ".join([f"{comparison.model}.", *said, *sources(comparison)])
    caption(figure, text)


def sources(comparison: Comparison) -> list[str]:
    """One sentence a recording: what was resampled, and how many neuroids of which regions count (and do not)."""
    by_recording: dict[str, list[Region]] = {}
    for region in comparison.regions:
        by_recording.setdefault(region.curve.recording, []).append(region)
    told = []
    for regions in by_recording.values():
        curve = regions[0].curve
        synthetic = " (synthetic)" if curve.synthetic else ""
        counts = ", ".join(_count(region) for region in regions)
        told.append(f"{curve.benchmark.partition('.')[0]}{synthetic}, {curve.resampled}: {counts} {curve.counted}.")
    if len(by_recording) > 1:
        told.append("Drawn independently of each other, and noise differs: compare shapes, not heights.")
    return told


def _count(region: Region) -> str:
    excluded = f" ({region.curve.n_excluded} excluded)" if region.curve.n_excluded else ""
    return f"{region.label} {region.curve.n_neuroids}{excluded}"
