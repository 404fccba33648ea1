"""Which layers of a network are read when nobody names any, and how deep each one lies.

Depth is the share of the network's leaf modules that have run, in one forward pass, once the layer has answered: 0 is
the input, 1 the last leaf. So it does not depend on which layers are read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from brainbench.core.specs import LayerSpec
from brainbench.errors import InputError, UnknownNameError, UsageError, listed
from brainbench.models import _pooling
from brainbench.models._extract import batch_axis, private_copy, tensor_of
from brainbench.numerics._shapes import Float

MOST = 12
_CONTAINERS = (nn.Sequential, nn.ModuleList)
_REPEATS_ITS_INPUT = (nn.Identity, nn.Dropout, nn.Flatten)


@dataclass(frozen=True, slots=True)
class Call:
    """What a module answered in the traced pass: the shape for a batch of 1, or why it cannot be read."""

    depth: float
    shape: tuple[int, ...] = ()
    unreadable: str = ""


def layers(
    module: nn.Module, example: Float[Tensor, "c h w"], wanted: Sequence[str] | None = None
) -> tuple[LayerSpec, ...]:
    """The layers `wanted`, each "name" or "name:pooling", in that order; the default ladder where None is given.

    Raises UnknownNameError for a layer or pooling that does not exist, UsageError for an empty or repeated choice,
    InputError for a layer that is not called exactly once, gives no single tensor or has no row for each stimulus, and
    for a network without layers.
    """
    calls = trace(module, example)
    choices = [text.partition(":") for text in (default_names(module, calls) if wanted is None else wanted)]
    names = [name for name, _, _ in choices]
    if wanted is None and not names:
        raise InputError(
            f"no layer was found in this {type(module).__name__}: a layer is a submodule that is called once in the "
            f"forward pass and gives one floating-point tensor with a row a stimulus. {_found(calls)}"
        )
    if not names or len(set(names)) < len(names):
        raise UsageError(f"layers must be named, each once; got {names}")
    known = dict(module.named_modules(remove_duplicate=False)).keys() - {""}
    specs = []
    for name, _, pooling in choices:
        if name not in known:
            raise UnknownNameError("layer", name, known)
        call = calls.get(name, Call(depth=0.0, unreadable="is not called as a module in the forward pass"))
        if call.unreadable:
            raise InputError(f"layer {name!r} {call.unreadable}, so it cannot be read: name a module around or inside")
        pooling = _pooling.check(pooling) if pooling else _pooling.default_pooling(call.shape)
        specs.append(LayerSpec(name=name, depth=call.depth, pooling=pooling))
    return tuple(specs)


def _found(calls: dict[str, Call]) -> str:
    """What the submodules that were called are instead of layers."""
    reasons = [f"{name!r} {call.unreadable}" for name, call in calls.items() if call.unreadable]
    return f"Here {listed(reasons, 3)}." if reasons else "Here none is called."


def trace(module: nn.Module, example: Float[Tensor, "c h w"]) -> dict[str, Call]:
    """Every submodule that a forward pass of `example` calls, in the order in which they answer.

    A second pass, of two stimuli, tells what has no row for each of them, where memory holds two.
    """
    network = private_copy(module, next(module.parameters(), example).device)
    calls, pair = _pass(network, torch.stack([example])), {}
    with suppress(torch.OutOfMemoryError):
        pair = _pass(network, torch.stack([example, example]))
    for name in calls.keys() & pair.keys():
        one, two = calls[name].shape, pair[name].shape
        if not calls[name].unreadable and batch_axis(two, one) is None:
            told = f"is {one} for 1 stimulus and {two} for 2: no axis is the batch"
            calls[name] = replace(calls[name], unreadable=told)
    return calls


@torch.no_grad()
def _pass(network: nn.Module, batch: Float[Tensor, "b c h w"]) -> dict[str, Call]:
    """The calls of one pass, in the order in which they answer."""
    parameter = next(network.parameters(), batch)
    answers: dict[str, list[tuple[int, Any]]] = {}
    n_leaves = 0

    def note(name: str, is_leaf: bool, _module: nn.Module, _arguments: Any, output: Any) -> None:
        nonlocal n_leaves
        n_leaves += is_leaf
        try:
            seen: Any = tuple(tensor_of(output, name).shape)
        except InputError as error:
            seen = str(error)
        answers.setdefault(name, []).append((n_leaves, seen))

    hooks = [
        part.register_forward_hook(partial(note, name, not any(part.children())))
        for name, part in network.named_modules(remove_duplicate=False)
        if name
    ]
    network(batch.to(parameter.device, parameter.dtype))
    for hook in hooks:
        hook.remove()
    calls = {}
    for name, answered in answers.items():
        leaves, seen = answered[-1]
        depth = leaves / max(n_leaves, 1)
        if len(answered) > 1:
            calls[name] = Call(depth=depth, unreadable=f"is called {len(answered)} times in one forward pass")
        elif isinstance(seen, str):
            calls[name] = Call(depth=depth, unreadable=f"gives no single tensor ({seen})")
        else:
            calls[name] = Call(depth=depth, shape=seen)
    return calls


def default_names(module: nn.Module, calls: dict[str, Call]) -> list[str]:
    """The default ladder, at most 12 stages evenly spaced.

    Transformers: every block. Networks of conv maps: what enters the first stage, every stage, and the first vector
    after the last one. Stages are those that timm, open_clip or the module's own structure declares.
    """
    readable = [name for name, call in calls.items() if not call.unreadable]
    stages = [name for name in _declared(module) if name in readable]
    if len(stages) < 2:
        chain = _chain(module, calls)
        return _spread([name for name in readable if name in chain])
    names = _spread(stages)
    if len(calls[stages[0]].shape) != 4:
        return names
    inside = [name.startswith(stages[0] + ".") for name in readable]
    stem = readable[: inside.index(True)][-1:] if any(inside) else []  # a first stage that is a leaf is the stem
    after = readable[readable.index(stages[-1]) + 1 :]
    vectors = (name for name in after if _pooling.default_pooling(calls[name].shape) == "flatten")
    return stem + names + [_widest(name, readable, calls) for name in islice(vectors, 1)]


def _declared(module: nn.Module) -> list[str]:
    """Names of the stages or blocks that the network's library declares; empty where none does."""
    inner = getattr(module, "trunk", None)  # a timm network inside open_clip
    prefix, trunk = ("trunk.", inner) if isinstance(inner, nn.Module) else ("", module)
    parts = dict(trunk.named_modules())
    for path in ("blocks", "transformer.resblocks"):  # timm, and the transformers of open_clip
        if path in parts:
            return [f"{prefix}{path}.{name}" for name, _ in parts[path].named_children()]
    stages: Any = getattr(trunk, "feature_info", None)
    if stages:
        return [prefix + stage["module"] for stage in (stages.get_dicts() if hasattr(stages, "get_dicts") else stages)]
    return [name for name in ("layer1", "layer2", "layer3", "layer4") if name in parts]  # every other ResNet


def _chain(module: nn.Module, calls: dict[str, Call]) -> set[str]:
    """The parts of a network of unknown make: its children, those of containers instead of the containers.

    While that gives fewer than 4 parts, the largest is taken apart too, as in a wrapper around another network.
    """
    parts = dict(_children(module, ""))
    while len(parts) < 4:
        name, largest = max(parts.items(), key=lambda item: len(list(item[1].modules())), default=("", nn.Identity()))
        inner = dict(_children(largest, name + "."))
        if not inner:
            break
        del parts[name]
        parts |= inner
    return {name for name, part in parts.items() if not isinstance(part, _REPEATS_ITS_INPUT) and name in calls}


def _children(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if isinstance(child, _CONTAINERS) and len(child):
            yield from _children(child, f"{prefix}{name}.")
        else:
            yield prefix + name, child


def _widest(name: str, readable: Sequence[str], calls: dict[str, Call]) -> str:
    """The outermost module around `name` that gives as many features: a pooling with its flattening."""
    parent = name.rpartition(".")[0]
    same = parent in readable and math.prod(calls[parent].shape) == math.prod(calls[name].shape)
    return _widest(parent, readable, calls) if same else name


def _spread(names: list[str]) -> list[str]:
    """At most `MOST` of the names, evenly spaced, with the first and the last."""
    if len(names) <= MOST:
        return names
    return [names[round(at)] for at in np.linspace(0, len(names) - 1, MOST)]
