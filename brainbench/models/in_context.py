"""`in_context:<checkpoint>`: the features that an in-context encoder reads, its network through its projection.

The encoder is part of the model: another one on the same features is another model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from brainbench import models
from brainbench.core.protocols import Model
from brainbench.errors import InputError
from brainbench.in_context import checkpoint
from brainbench.models._pooling import pool, prefix_of
from brainbench.models.module import Network, network


class _Projected(nn.Module):
    """A network cut off at one layer, pooled and projected, with the reader of what comes out."""

    mean: Tensor
    axes: Tensor

    def __init__(self, base: nn.Module, layer: str, pooling: str, encoder: checkpoint.Checkpoint):
        super().__init__()
        self.base, self.layer, self.pooling, self.reader = base, layer, pooling, encoder.reader
        self.register_buffer("mean", encoder.projection.mean)
        self.register_buffer("axes", encoder.projection.axes)
        self.features = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        caught: list[Tensor] = []
        hook = self.base.get_submodule(self.layer).register_forward_hook(lambda *call: caught.append(call[2]))
        try:
            self.base(x)
        finally:
            hook.remove()
        pooled = pool(caught[0], self.pooling, prefix_of(self.base))
        projected: Tensor = self.features((pooled - self.mean) @ self.axes)
        return projected


def load(name: str, *, layers: Sequence[str] | None = None) -> Network:
    """The features of this checkpoint, and its reader.

    Raises as `checkpoint.load` and the network's own source do, and InputError where that network has other weights
    than the one the encoder was trained on.
    """
    found = checkpoint.load(name)
    layer, _, pooling = found.card["layer"].partition(":")
    base = models.load(found.card["model"], layers=[found.card["layer"]])
    assert isinstance(base, Model)
    trained_on = found.card["network"]["weights"]
    if base.spec.weights != trained_on:
        raise InputError(
            f"{base.spec.id} has weights {base.spec.weights[:12]} here; the encoder {name} was trained on the features "
            f"of weights {trained_on[:12]}: install what it was then (the checkpoint's card says), or train it again"
        )
    module = _Projected(base.build(), layer, pooling, found).eval()
    with torch.no_grad():
        return network(
            module,
            id=f"in_context:{name}",
            source="in_context",
            preprocess=base.spec.preprocessing,
            layers=layers or ["features:flatten"],
            training_data=f"{base.spec.training_data}; projection fitted to stimuli of {found.card['seen']['dataset']}",
            licence=base.spec.licence,
        )
