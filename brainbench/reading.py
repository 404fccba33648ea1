"""A model's layers as a scorer reads them, for a set of stimuli: from the store, or extracted now."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL.Image import Image

from brainbench import extraction
from brainbench.core.protocols import Model, Scorer
from brainbench.core.specs import LayerSpec, ModelSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.errors import InputError
from brainbench.models.features_file import FeatureTable
from brainbench.numerics.representation import Representation
from brainbench.recorded import Recorded
from brainbench.settings import Setting, environment


@dataclass(frozen=True, kw_only=True)
class _Pooled:
    """A network of which maps are read as channels, averaged over space."""

    spec: ModelSpec
    network: Model

    def build(self) -> torch.nn.Module:
        """The network's own."""
        return self.network.build()

    def preprocess(self, image: Image) -> torch.Tensor:
        """The network's own."""
        return self.network.preprocess(image)


def as_read(model: Model | FeatureTable, scorer: Scorer) -> Model | FeatureTable:
    """The model as the scorer reads it: one that reads units has each map's channels, averaged over space."""
    layers = layers_read(model.spec, scorer)
    if layers == model.spec.layers:
        return model
    return _Pooled(spec=replace(model.spec, layers=layers), network=model)  # type: ignore[arg-type]


def layers_read(spec: ModelSpec, scorer: Scorer) -> tuple[LayerSpec, ...]:
    """The layers of a model as the scorer reads them; features that were computed elsewhere stay as they are."""
    reads = getattr(scorer, "reads", scorer.spec.reads)
    if reads == "geometry" or spec.source in ("features", "recording"):
        return spec.layers
    return tuple(replace(at, pooling=re.sub(r"^grid\d+$", "mean", at.pooling)) for at in spec.layers)


def extract(model: Model | FeatureTable, sets: Iterable[StimulusSet], setting: Setting) -> None:
    """Make sure that every layer of the model is stored for each of the sets. Raises as `extraction.extract` does."""
    for stimuli in sets:
        extraction.extract(
            model,
            stimuli,
            setting.store,
            device=setting.device,
            provenance=environment(setting.device),
            progress=setting.progress.step,
            max_bytes=setting.max_bytes // 4,
        )


def reader(scorer: Any, model: Model | FeatureTable) -> Any:
    """The scorer for this model: a recording has the noise already that a scorer may give to models, and an in-context
    encoder reads one network's features alone. Raises NotApplicableError where none reads this model's.
    """
    scorer = scorer.of_model(model) if hasattr(scorer, "of_model") else scorer
    return getattr(scorer, "of_recording", scorer) if isinstance(model, Recorded) else scorer


def read(model: Model | FeatureTable, stimuli: StimulusSet, setting: Setting) -> list[Representation]:
    """The layers of the model, in their order, on the setting's device; one pass of the pictures through the network.

    Raises what the network, the pictures and the store raise, InputError where a stored layer is damaged.
    """
    setting.progress.stage(f"features of {model.spec.id}", len(stimuli.ids))
    extract(model, [stimuli], setting)
    found = [extraction.representation(model, layer, stimuli, setting.store) for layer in model.spec.layers]
    whole = [stored.to(setting.device) for stored in found if stored is not None]
    if len(whole) < len(found):
        raise InputError("a stored layer was damaged during the run; run again to compute it anew")
    return whole
