"""What stands beside a score: pixels, Gabor energy, the untrained twin, a recording."""

from __future__ import annotations

from pathlib import Path

from brainbench import models
from brainbench.benchmarks import Benchmark
from brainbench.core.protocols import Model
from brainbench.core.specs import ModelSpec
from brainbench.models.features_file import FeatureTable

TWINNED = ("bundled", "timm", "open_clip")  # sources whose networks have an untrained twin


def named(model: Model | FeatureTable, benchmark: Benchmark) -> list[str]:
    """Models that stand beside this one on the benchmark: those that it names, but the model itself."""
    return beside(model.spec, benchmark)


def beside(spec: ModelSpec, benchmark: Benchmark) -> list[str]:
    """The same of a model's facts."""
    names = []
    for name in benchmark.baselines:
        if name == "untrained":
            if spec.source not in TWINNED or "@untrained" in spec.id:
                continue
            name = f"{spec.id}@untrained"
        if name != spec.id:
            names.append(name)
    return names


def load(model: Model | FeatureTable, name: str, roots: dict[str, Path]) -> Model | FeatureTable:
    """The baseline of this name; a twin is read at the very layers that its model is read at."""
    twin = name == f"{model.spec.id}@untrained"
    layers = [f"{s.name}:{s.pooling}" for s in model.spec.layers] if twin else None
    return models.load(name, layers=layers, roots=roots)
