"""`in_context:<checkpoint>`: the features that an in-context encoder reads, its network through its projection."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from brainbench import models
from brainbench.core.protocols import Model
from brainbench.in_context import checkpoint
from brainbench.models._pooling import pool, prefix_of
from brainbench.models.module import Network, network


class _Projected(nn.Module):
    """A network cut off at one layer, pooled and projected."""

    mean: Tensor
    axes: Tensor

    def __init__(self, base: nn.Module, layer: str, pooling: str, mean: Tensor, axes: Tensor):
        super().__init__()
        self.base, self.layer, self.pooling = base, layer, pooling
        self.register_buffer("mean", mean)
        self.register_buffer("axes", axes)
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
    """The features of this checkpoint. Raises as `checkpoint.load` and the network's own source do."""
    found = checkpoint.load(name)
    layer, _, pooling = found.card["layer"].partition(":")
    base = models.load(found.card["model"], layers=[found.card["layer"]])
    assert isinstance(base, Model)
    module = _Projected(base.build(), layer, pooling, found.projection.mean, found.projection.axes).eval()
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
