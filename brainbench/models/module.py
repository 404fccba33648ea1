"""Networks that are in memory, and `module:package.mod:callable`: the user's own code as a model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor, nn

from brainbench.core.protocols import Model
from brainbench.core.registry import load_from_here
from brainbench.core.specs import ModelSpec, Preprocessing
from brainbench.errors import BrainbenchError, InputError, UsageError, said_by
from brainbench.models import _ladder, _preprocess, _probes
from brainbench.models._identity import code_of
from brainbench.models._torchvision import prepare
from brainbench.models._weights import sha256_of

See = Callable[[Image.Image], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A Model: the facts, the module, and what makes its input from a picture."""

    spec: ModelSpec
    module: nn.Module
    see: See

    def build(self) -> nn.Module:
        """The network with its weights, in eval mode: a copy where the user's own is in training."""
        return deepcopy(self.module).eval() if any(m.training for m in self.module.modules()) else self.module

    def preprocess(self, image: Image.Image) -> Tensor:
        """One picture as float32 (channel, height, width). Raises InputError where it is broken, or seen otherwise."""
        return _tensor(self.see(image), f"mode {image.mode}")


def network(
    module: nn.Module,
    *,
    id: str,
    source: str,
    preprocess: Preprocessing | See,
    layers: Sequence[str] | None,
    training_data: str = "unknown",
    licence: str = "unknown",
    note: str = "",
) -> Network:
    """The module as a Model; one pass of a grey picture tells which layers it has (see `_ladder.layers`)."""
    if isinstance(preprocess, Preprocessing):
        facts, see = preprocess, cast(See, partial(_preprocess.apply, preprocess))
    else:
        facts, see = Preprocessing(code=_identity(preprocess, repr(id))), preprocess
    with said_by(f"a grey picture through {id!r}"):
        ladder = _ladder.layers(module, see(Image.new("RGB", (256, 256), (128, 128, 128))), layers)
    spec = ModelSpec(
        id=id,
        source=source,
        weights=sha256_of(module.state_dict()),
        preprocessing=facts,
        layers=ladder,
        training_data=training_data,
        licence=licence,
        note=note,
    )
    return Network(spec=spec, module=module, see=see)


def wrap(
    module: nn.Module, *, preprocess: Preprocessing | See, layers: Sequence[str] | None = None, name: str
) -> Network:
    """The user's module as a Model. Its identity is its weights, its code and all its attributes (see `_identity`)."""
    if not isinstance(module, nn.Module):
        raise UsageError(f"a torch.nn.Module was expected, got a {type(module).__name__}")
    made = network(module, id=name, source="module", preprocess=preprocess, layers=layers)
    source = f"module, {code_of(module, repr(name))}"  # after a pass: what forward() imports is there now
    return replace(made, spec=replace(made.spec, source=source))


def load(name: str, *, layers: Sequence[str] | None = None) -> Model:
    """The model that `package.mod:callable` returns: an nn.Module, a pair (module, preprocess), or a Model.

    A module alone is shown what its timm `pretrained_cfg` says, where it has one, else ImageNet's usual 224 px.
    The working directory can be imported from. Raises UsageError where there is no such callable, or it returns
    something else.
    """
    prepare()
    made = load_from_here(name)
    with said_by(repr(name)):
        made = made() if callable(made) and not isinstance(made, nn.Module) else made
    if isinstance(made, Model):
        if layers is None:
            return made
        grey = made.preprocess(Image.new("RGB", (256, 256), (128, 128, 128)))
        spec = replace(made.spec, layers=_ladder.layers(made.build(), grey, layers))
        return Network(spec=spec, module=made.build(), see=made.preprocess)
    if isinstance(made, nn.Module):
        config = getattr(made, "pretrained_cfg", None)
        made = (made, _preprocess.from_timm(config) if config else _preprocess.IMAGENET)
    if isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], nn.Module):
        return wrap(made[0], preprocess=made[1], layers=layers, name=f"module:{name}")
    raise UsageError(
        f"{name!r} returned a {type(made).__name__}; it must return an nn.Module, a pair (nn.Module, preprocess), "
        "or an object with spec, build() and preprocess()"
    )


def _identity(preprocess: See, what: str) -> str:
    """The sha256 of the code of `preprocess` and of what it makes of a picture of every kind; see also `code_of`.

    Raises InputError where the second look differs, and where an RGB picture cannot be seen, or not as a float32
    (channel, height, width); other kinds need not be seen.
    """
    digest = hashlib.sha256()
    for kind, picture in _probes.kinds().items():
        try:
            with said_by(f"preprocess of a picture ({kind})"):
                looks = [_tensor(preprocess(seen), kind) for seen in (picture.copy(), picture)]
        except BrainbenchError:
            if kind == "RGB":
                raise
            digest.update(f"{kind}: not seen\n".encode())
            continue
        if not torch.equal(*looks):
            raise InputError("preprocess sees the same picture differently the second time: leave augmentation out")
        digest.update(f"{kind}: {sha256_of({'': looks[0]})}\n".encode())
    code = code_of(preprocess, f"the preprocessing of {what}")
    digest.update(code.encode())
    return code if code.startswith("run ") else digest.hexdigest()


def _tensor(seen: Any, kind: str) -> Tensor:
    """`seen` itself. Raises InputError where it is no float32 (channel, height, width)."""
    if not isinstance(seen, Tensor) or seen.dtype != torch.float32 or seen.ndim != 3:
        made = f"{tuple(seen.shape)} {seen.dtype}" if isinstance(seen, Tensor) else f"a {type(seen).__name__}"
        raise InputError(
            f"preprocess must return a float32 tensor (channel, height, width), it returned {made} of a picture "
            f"({kind}): convert pictures to RGB first"
        )
    return seen
