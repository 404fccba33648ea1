"""Figures of what `brainbench.analysis` found, as matplotlib Figures that no global state knows of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from brainbench.plotting._files import save
from brainbench.plotting.layers import layer_by_region, layer_curves

if TYPE_CHECKING:
    from brainbench.analysis.comparison import Comparison

__all__ = ["layer_by_region", "layer_curves", "save", "save_all"]


def save_all(comparison: Comparison, folder: Path) -> list[Path]:
    """Both figures of a comparison of regions as `<model>-<figure>.png` and `.svg`; gives the paths."""
    figures = {"layer_curves": layer_curves(comparison), "layer_by_region": layer_by_region(comparison)}
    return [path for name, figure in figures.items() for path in save(figure, folder, f"{comparison.model}-{name}")]
