"""What `brainbench list` shows: one dict a row, the same keys in every row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from brainbench import benchmarks as benchmark_files
from brainbench.datasets import DATASETS, present
from brainbench.datasets.areas import area_of, areas_of
from brainbench.scorers import SCORERS

Rows = list[dict[str, Any]]


def datasets(roots: dict[str, Path]) -> Rows:
    """Every dataset: what it is, and whether its files are here."""
    rows = []
    for name in DATASETS:
        spec = DATASETS[name].spec
        how = present(name, roots)
        rows.append(
            {
                "dataset": name,
                "here": not how,
                "species": spec.species,
                "modality": spec.modality,
                "regions": list(spec.regions),
                "areas": areas_of(name, spec.regions),
                "subjects": len(spec.subjects),
                "licence": spec.licence,
                "synthetic": spec.synthetic,
                "how_to_get": how,
            }
        )
    return rows


def models(roots: dict[str, Path]) -> Rows:
    """Every source of models, and whether it can be used here."""
    from brainbench.models import known

    return [{"model": name, "here": here, "description": text, "how_to_get": how} for name, text, here, how in known()]


def scorers(roots: dict[str, Path]) -> Rows:
    """Every scorer: what it needs, and on which scale it scores."""
    return [
        {
            "scorer": name,
            "version": SCORERS[name].spec.version,
            "requires": SCORERS[name].spec.requires,
            "scale": SCORERS[name].spec.scale,
            "learns from training stimuli": SCORERS[name].spec.trains,
            "description": (SCORERS[name].__doc__ or "").split("\n")[0],
        }
        for name in SCORERS
    ]


def benchmarks(roots: dict[str, Path]) -> Rows:
    """Every benchmark, and whether its recording is here."""
    here = {name: present(name, roots) for name in DATASETS}
    return [
        {
            "benchmark": b.id,
            "here": not here[b.dataset],
            "region": b.region,
            "area": area_of(b.dataset, b.region),
            "scorer": b.scorer,
            "ceiling": b.ceiling,
            "synthetic": DATASETS[b.dataset].spec.synthetic,
            "title": b.title,
            "how_to_get": here[b.dataset],
        }
        for b in benchmark_files.select(None)
    ]
