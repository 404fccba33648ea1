"""Figures of what `brainbench.analysis` found, as matplotlib Figures that no global state knows of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from brainbench.plotting._files import check_kind, save, save_as
from brainbench.plotting.few_shot import few_shot
from brainbench.plotting.kernel_curves import has_curve, kernel_curves
from brainbench.plotting.layers import layer_by_region, layer_curves
from brainbench.plotting.matching import matching
from brainbench.plotting.robustness import robustness
from brainbench.plotting.time_courses import time_courses
from brainbench.plotting.training import risks, scaling

if TYPE_CHECKING:
    from brainbench.analysis.comparison import Comparison

__all__ = [
    "check_kind",
    "few_shot",
    "has_curve",
    "kernel_curves",
    "layer_by_region",
    "layer_curves",
    "matching",
    "risks",
    "robustness",
    "save",
    "save_all",
    "save_as",
    "scaling",
    "time_courses",
]


def save_all(comparison: Comparison, folder: Path) -> list[Path]:
    """Both figures of a comparison of regions as `<model>-<figure>.png` and `.svg`; gives the paths."""
    figures = {"layer_curves": layer_curves(comparison), "layer_by_region": layer_by_region(comparison)}
    return [path for name, figure in figures.items() for path in save(figure, folder, f"{comparison.model}-{name}")]
