"""Kernel analysis: how well categories are read as readers grow complex, a line a model or recording."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from brainbench.analysis.models import told_apart
from brainbench.entry import Entry
from brainbench.plotting._style import MUTED, caption, house, lines

_WIDTH_IN = 4.6  # more where a name is longer: the axes are not to make room for it


def kernel_curves(entries: Sequence[Entry]) -> Figure:
    """Precision against complexity, of entries of one kernel-analysis benchmark; the highest area is named first.

    Names have the chosen layer, the area (the entry's `raw`) and its 95 % interval. Complexity is 1/λ where it has no
    0 (2014), else the share of principal components (2013).
    """
    ranked = sorted(entries, key=lambda entry: -(entry.raw or 0.0))
    first = ranked[0]
    penalised = bool(np.min(_array(first, "complexity")) > 0)
    names = [_named(entry, model) for entry, model in zip(ranked, told_apart(ranked))]
    width = max(_WIDTH_IN, 1.1 + 0.063 * max(map(len, names)))
    with house():
        figure = Figure(figsize=(width, 3.4 + 0.18 * len(ranked)), layout="constrained")
        axes = figure.subplots()
        for entry, name, (colour, style) in zip(ranked, names, lines(len(ranked))):
            axes.plot(_array(entry, "complexity"), _array(entry, "precision"), style, color=colour, label=name)
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
        caption(figure, said)
    return figure


def has_curve(entry: Entry) -> bool:
    """Whether the entry has what `kernel_curves` draws."""
    return all(isinstance(entry.extras.get(name), list) for name in ("precision", "complexity"))


def _array(entry: Entry, name: str) -> np.ndarray:
    return np.array(entry.extras[name], dtype=float)


def _named(entry: Entry, model: str) -> str:
    area, low, high = ("–" if v is None else f"{v:.3f}" for v in (entry.raw, entry.low, entry.high))
    return f"{model}, {entry.layer}: {area} [{low}, {high}]"
