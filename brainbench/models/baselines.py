"""Baselines that stand beside every score: pixels, and Gabor energy."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import nn

from brainbench.core.specs import LayerSpec, ModelSpec, Preprocessing
from brainbench.errors import UnknownNameError
from brainbench.models import _preprocess
from brainbench.models._identity import code_sha256
from brainbench.models._weights import sha256_of
from brainbench.numerics.gabor import GaborEnergy


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A fixed computation on the picture behind the Model interface; nothing in it was ever trained."""

    spec: ModelSpec
    network: Callable[[], nn.Module]

    def build(self) -> nn.Module:
        """The computation as a network with one layer, in eval mode."""
        return self.network().float().eval()

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """RGB in [0, 1], (3, side, side), antialiased."""
        return _preprocess.apply(self.spec.preprocessing, image)


def _pixels() -> nn.Module:
    return nn.Sequential(OrderedDict(pixels=nn.Identity()))


def _gabor() -> nn.Module:
    """6272 features: 4 octaves (wavelengths of 4 to 32 px) x 8 orientations x 14 x 14 places."""
    return nn.Sequential(OrderedDict(energy=GaborEnergy(octaves=(0, 1, 2, 3), n_orientations=8, grid=14)))


# name -> its network, its one layer, the side of its input
_BASELINES: dict[str, tuple[Callable[[], nn.Module], str, int]] = {
    "pixels": (_pixels, "pixels", 32),
    "gabor": (_gabor, "energy", 112),
}


def baseline(name: str, *, layers: Sequence[str] | None = None) -> Baseline:
    """The model `baseline:<name>`: `pixels` (32 x 32 RGB) or `gabor` (Gabor energy of luminance), of one layer each.

    Raises UnknownNameError for another name or layer.
    """
    if name not in _BASELINES:
        raise UnknownNameError("baseline", name, _BASELINES)
    network, layer, side_px = _BASELINES[name]
    module = network().float()  # whatever torch makes by default
    for wanted in layers or ():
        if wanted != layer:
            raise UnknownNameError(f"layer of baseline:{name}", wanted, [layer])
    return Baseline(
        spec=ModelSpec(
            id=f"baseline:{name}",
            source=f"baseline, code {code_sha256(module)[:16]}",
            weights=sha256_of(module.state_dict()),
            # squashed, so that no part of the picture is lost
            preprocessing=Preprocessing(resize_px=side_px, squash=True),
            layers=(LayerSpec(name=layer, depth=0.0, pooling="flatten"),),
            training_data="none: fixed weights",
            licence="BSD-3-Clause",
        ),
        network=network,
    )
