"""Kernel analysis: how well categories are read as readers grow complex, a line a model or recording."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure

from brainbench.entry import Entry
from brainbench.plotting._style import COLOURS, MUTED, house

_WIDTH_IN = 4.6


def kernel_curves(entries: Sequence[Entry]) -> Figure:
    """Precision against complexity, of entries of one kernel-analysis benchmark; the highest area is named first.

    Names have the chosen layer, the area (the entry's `raw`) and its 95 % interval. Complexity is 1/λ where it has no
    0 (2014), else the share of principal components (2013).
    """
    ranked = sorted(entries, key=lambda entry: -(entry.raw or 0.0))
    first = ranked[0]
    penalised = bool(np.min(_array(first, "complexity")) > 0)
    with house():
        figure = Figure(figsize=(_WIDTH_IN, 3.4 + 0.18 * len(ranked)), layout="constrained")
        axes = figure.subplots()
        for number, (entry, colour) in enumerate(zip(ranked, cycle(COLOURS))):
            style = ("-", "--", ":")[number // len(COLOURS) % 3]
            of_layer = f", {entry.layer}" if entry.layer else ""
            area = " ".join([_shown(entry.raw), f"[{_shown(entry.low)}, {_shown(entry.high)}]"])
            axes.plot(
                _array(entry, "complexity"),
                _array(entry, "precision"),
                style,
                color=colour,
                label=f"{entry.model}{of_layer}: {area}",
            )
        if penalised:
            axes.set_xscale("log")
        axes.axhline(0, color=MUTED, linewidth=0.6, zorder=-1)
        axes.set_xlabel("complexity (1/λ)" if penalised else "complexity (share of kernel principal components)")
        axes.set_ylabel("precision")
        legend = axes.legend(title=first.label, loc="lower left", bbox_to_anchor=(0, 1), frameon=False, borderaxespad=0)
        legend.get_title().set_fontweight("bold")
        legend.set_alignment("left")
        error = "leave-one-out error of kernel ridge regression" if penalised else "in-sample error"
        said = (
            f"Precision: 1 - {error}, on each fold's test stimuli, mean over folds; layer chosen on the others. "
            f"Above: area under the curve and its 95 % interval, resampled {first.resampled}. "
            f"n = {first.n_stimuli} stimuli."
        )
        lines = textwrap.wrap(said, int(_WIDTH_IN * 19.5), break_on_hyphens=False)
        figure.supxlabel("\n".join(lines), x=0.005, ha="left", fontsize=6.8, color="0.25")
    return figure


def has_curve(entry: Entry) -> bool:
    """Whether the entry has what `kernel_curves` draws."""
    return all(isinstance(entry.extras.get(name), list) for name in ("precision", "complexity"))


def _array(entry: Entry, name: str) -> np.ndarray:
    return np.array(entry.extras[name], dtype=float)


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
