"""What the layers of a network answer, read in plain passes that share no code with extraction's."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from brainbench.core.protocols import Model
from brainbench.errors import BrainbenchError
from brainbench.models import _pooling
from brainbench.models._extract import tensor_of
from brainbench.models._probes import colourful


class Seen:
    """What the checks of one model share: its network, three pictures, and what each layer made of them.

    Every pass runs on a copy of the network with tensors of its own, so that none can leave a trace for the next.
    """

    def __init__(self, model: Model):
        self.model = model

    @cached_property
    def network(self) -> nn.Module:
        """The network as extraction runs it: in eval mode, whatever build() left."""
        return deepcopy(self.model.build()).eval()

    @cached_property
    def poolings(self) -> dict[str, str]:
        """The pooling of each declared layer."""
        return {layer.name: layer.pooling for layer in self.model.spec.layers}

    @cached_property
    def inputs(self) -> Tensor:
        """Three ordinary pictures as the network sees them, prepared once."""
        return torch.stack([self.model.preprocess(colourful(seed=seed)) for seed in (1, 2, 3)])

    @cached_property
    def answers(self) -> dict[str, list[Any]]:
        """What each declared layer gave for the first picture, in the order of first answers."""
        return _answers(self.network, list(self.poolings), self.inputs[:1])

    @cached_property
    def readable(self) -> dict[str, int | str]:
        """Which axis of each layer is the batch, or why the layer cannot be read."""
        names = list(self.poolings)
        pair = _answers(self.network, names, self.inputs[[0, 0]])
        modules = dict(self.network.named_modules(remove_duplicate=False))
        readable: dict[str, int | str] = {}
        for name in names:
            answers = self.answers.get(name, [])
            if name not in modules:
                readable[name] = "is no module of the network"
            elif len(answers) != 1:
                readable[name] = f"is called {len(answers)} times in one pass, not once"
            elif isinstance(answers[0], str):
                readable[name] = answers[0]
            else:
                axis = readable[name] = _batch_axis(answers[0].shape, pair[name][0].shape)
                if isinstance(axis, int):
                    try:
                        self._pooled(name, answers[0], axis)
                    except BrainbenchError as error:
                        readable[name] = f"cannot be pooled: {error}"
        return readable

    @cached_property
    def axes(self) -> dict[str, int]:
        """Which axis is the batch, for the layers that can be read."""
        return {name: axis for name, axis in self.readable.items() if isinstance(axis, int)}

    @cached_property
    def features(self) -> dict[str, Tensor]:
        """Each layer's features of the three pictures, each shown alone."""
        alone = [self.rows(picture[None]) for picture in self.inputs]
        return {name: torch.cat([rows[name] for rows in alone]) for name in self.axes}

    def rows(self, batch: Tensor, network: nn.Module | None = None) -> dict[str, Tensor]:
        """Features of the layers that can be read, in one pass, of `network` where one is given."""
        answers = _answers(self.network if network is None else network, list(self.axes), batch)
        return {name: self.rows_of(name, answers[name][0]) for name in self.axes}

    def rows_of(self, name: str, output: Tensor) -> Tensor:
        """Features, one row a stimulus, out of what a layer gave."""
        return self._pooled(name, output, self.axes[name])

    def _pooled(self, name: str, output: Tensor, axis: int) -> Tensor:
        prefix, of_px = _pooling.prefix_of(self.network), self.inputs.shape[-2:]
        return _pooling.pool(output.movedim(axis, 0), _pooling.check(self.poolings[name]), prefix, of_px).float()


_last: list[Seen] = []


def seen_of(model: Model) -> Seen:
    """What was seen of this model, kept until another one is asked for: checks of one model run one after another."""
    if not _last or _last[0].model is not model:
        _last[:] = [Seen(model)]
    return _last[0]


@torch.no_grad()
def _answers(network: nn.Module, names: Sequence[str], batch: Tensor) -> dict[str, list[Any]]:
    """Copies of what each module gave in one pass, or why that is no tensor; in the order of first answers."""
    network, answers = deepcopy(network).eval(), dict[str, list[Any]]()
    for name, part in network.named_modules(remove_duplicate=False):
        if name in names:

            def note(_module: nn.Module, _arguments: Any, output: Any, name: str = name) -> None:
                try:
                    answer: Any = tensor_of(output, name).clone()
                except BrainbenchError as error:
                    answer = str(error)
                answers.setdefault(name, []).append(answer)

            part.register_forward_hook(note)
    network(_as_the_network_takes(batch, network))
    return answers


@torch.no_grad()
def stopped(network: nn.Module, name: str, batch: Tensor) -> Tensor:
    """What a layer gives in a pass that ends right behind it."""
    outputs = []

    def stop(_module: nn.Module, _arguments: Any, output: Any) -> None:
        outputs.append(output)
        raise _Stop

    hook = network.get_submodule(name).register_forward_hook(stop)
    try:
        with suppress(_Stop):
            network(_as_the_network_takes(batch, network))
    finally:
        hook.remove()
    return tensor_of(outputs[0], name)


class _Stop(Exception):
    pass


def _as_the_network_takes(batch: Tensor, network: nn.Module) -> Tensor:
    dtype = next((part.dtype for part in network.parameters() if part.is_floating_point()), torch.float32)
    return batch.to(dtype, copy=True)  # a copy: the first module may work in place


def _batch_axis(one: torch.Size, two: torch.Size) -> int | str:
    """The axis that is twice as long for twice as many stimuli, or what is wrong where none is."""
    axes = [axis for axis, sizes in enumerate(zip(one, two)) if sizes == (1, 2)]
    if len(one) != len(two) or len(axes) != 1:
        return f"gives {tuple(one)} for one stimulus and {tuple(two)} for two: no axis is the batch"
    return axes[0]


def apart(one: Tensor, other: Tensor) -> float:
    """The largest difference, as a share of the largest value of `one`; NaN equals NaN, and nothing else."""
    if one.shape != other.shape:
        return float("inf")
    same = (one == other) | (one.isnan() & other.isnan())
    off = (one - other).abs().masked_fill(same, 0.0).nan_to_num(nan=float("inf"))
    return float(off.max() / one.nan_to_num(0, 0, 0).abs().max().clamp_min(torch.finfo(torch.float32).tiny))
