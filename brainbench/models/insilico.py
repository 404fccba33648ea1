"""The oracle: the very cascade that generated the synthetic recordings, as a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from brainbench.core.specs import LayerSpec, ModelSpec, Preprocessing
from brainbench.errors import UnknownNameError, UsageError
from brainbench.models import _preprocess
from brainbench.models._identity import code_sha256
from brainbench.models._weights import sha256_of
from brainbench.numerics import cascade


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """`Cascade` behind the Model interface. On pictures of another size than its own it is no oracle."""

    spec: ModelSpec

    def build(self) -> torch.nn.Module:
        """The cascade, in eval mode; its stages are its children."""
        return cascade.Cascade().eval()

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """RGB in [0, 1], (3, 128, 128); a picture of 128 px goes in as it is."""
        return _preprocess.apply(self.spec.preprocessing, image)


def insilico(name: str, *, layers: Sequence[str] | None = None) -> Oracle:
    """The model `insilico:<name>`, read at `layers` (all stages if None); `cascade` is the only one.

    Raises UnknownNameError for another name or layer, UsageError for no layer or one that is named twice.
    """
    if name != "cascade":
        raise UnknownNameError("insilico model", name, ["cascade"])
    stages = {
        stage: LayerSpec(name=stage, depth=(at + 1) / len(cascade.STAGES), pooling="flatten")
        for at, stage in enumerate(cascade.STAGES)
    }
    for layer in layers or ():
        if layer not in stages:
            raise UnknownNameError("layer of insilico:cascade", layer, stages)
    if layers is not None and (not layers or len(set(layers)) < len(layers)):
        raise UsageError(f"layers must be named, each once; got {list(layers)}")
    module = cascade.Cascade()
    return Oracle(
        spec=ModelSpec(
            id="insilico:cascade",
            source=f"insilico, code {code_sha256(module)[:16]}",
            weights=sha256_of(module.state_dict()),
            preprocessing=Preprocessing(resize_px=cascade.SIZE_PX, crop_px=cascade.SIZE_PX),
            layers=tuple(stages[layer] for layer in (stages if layers is None else layers)),
            training_data="none: fixed weights",
            licence="BSD-3-Clause",
            note="Generated the synthetic recordings, so it reaches their ceiling. Says nothing about brains.",
        )
    )
