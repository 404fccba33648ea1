"""`in_context:<checkpoint>`: the features that an in-context encoder reads, its network through its projection.

The encoder is part of the model: another one on the same features, or one that saw other neuroids, is another model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from brainbench import models
from brainbench.core.protocols import Model
from brainbench.core.specs import fingerprint, plain
from brainbench.errors import UsageError
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
        pooled = pool(caught[0], self.pooling, prefix_of(self.base), x.shape[-2:])
        projected: Tensor = self.features((pooled - self.mean) @ self.axes)
        return projected


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedNetwork(Network):
    """The features that `encoder` reads, with it."""

    encoder: checkpoint.Checkpoint


def load(name: str, *, layers: Sequence[str] | None = None) -> EncodedNetwork:
    """The features of this checkpoint, and its encoder.

    Raises as `checkpoint.load` and the network's own source do, InputError where that network is not the one that the
    encoder was trained on, and UsageError for layers but the one that it reads.
    """
    if layers is not None and list(layers) not in (["features"], ["features:flatten"]):
        raise UsageError(f"in_context:{name} is read at its layer 'features' alone; got {', '.join(layers)}")
    found = checkpoint.load(name)
    layer, _, pooling = found.card["layer"].partition(":")
    base = models.load(found.card["model"], layers=[found.card["layer"]])
    assert isinstance(base, Model)
    found.keep_network(plain(base.spec))
    module = _Projected(base.build(), layer, pooling, found).eval()
    own = base.spec.preprocessing.code  # the user's, which facts do not tell
    with torch.no_grad():
        made = network(
            module,
            id=f"in_context:{name}",
            source="in_context",
            preprocess=base.preprocess if own else base.spec.preprocessing,
            layers=["features:flatten"],
            training_data=f"{base.spec.training_data}; projection fitted to stimuli of {found.card['seen']['dataset']}",
            licence=base.spec.licence,
        )
    facts = fingerprint({fact: found.card[fact] for fact in checkpoint.CARD})
    spec = replace(made.spec, source=f"in_context, card {facts[:16]}", preprocessing=base.spec.preprocessing)
    return EncodedNetwork(spec=spec, module=made.module, see=made.see, encoder=found)
