"""How the tensor of a layer becomes one vector a stimulus.

| pooling    | what it keeps                                                                               |
|------------|---------------------------------------------------------------------------------------------|
| `flatten`  | every unit                                                                                  |
| `mean`     | the mean over space, or over the patch tokens                                               |
| `grid<k>`  | a conv map averaged down to at most k x k places, then every unit; smaller maps stay        |
| `cls`      | the class token                                                                             |
| `cls_mean` | the class token, then the mean of the patch tokens; only the mean where there is no such token |
| `sparse<k>` | every unit, through a fixed sparse random projection onto k numbers (`numerics.projection`)   |
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from brainbench.errors import UnknownNameError, UsageError
from brainbench.numerics._shapes import Float
from brainbench.numerics.projection import projected

_NAMES = ("flatten", "mean", "grid14", "cls", "cls_mean", "sparse1000")


@dataclass(frozen=True, slots=True)
class Prefix:
    """How token sequences of a network begin: `n` tokens that stand for no patch, first the class token, if any."""

    n: int
    has_cls: bool


def prefix_of(module: nn.Module) -> Prefix:
    """The prefix of this network's token sequences, read from what timm, open_clip, torchvision and DINO declare."""
    for part in module.modules():
        n = getattr(part, "num_prefix_tokens", None)  # timm: class token, distillation token, registers
        if isinstance(n, int):
            return Prefix(n, has_cls=n > 0 and getattr(part, "cls_token", None) is not None)
        if any(getattr(part, name, None) is not None for name in ("class_embedding", "class_token", "cls_token")):
            registers = [getattr(part, name, None) for name in ("register_tokens", "storage_tokens")]
            n = sum(tokens.shape[-2] for tokens in registers if isinstance(tokens, Tensor) and tokens.ndim > 1)
            return Prefix(1 + n, has_cls=True)
    return Prefix(0, has_cls=False)


def default_pooling(shape: Sequence[int]) -> str:
    """The pooling for a layer whose output has this shape, batch included."""
    if len(shape) == 4 and max(shape[2:]) > 1:
        return "grid14"
    return "cls_mean" if len(shape) == 3 else "flatten"


def check(pooling: str) -> str:
    """`pooling` itself. Raises UnknownNameError where there is none of that name."""
    if pooling not in _NAMES and not re.fullmatch(r"grid[1-9]\d{0,3}|sparse[1-9]\d{0,5}", pooling):
        raise UnknownNameError("pooling", pooling, _NAMES)
    return pooling


def pool(
    features: Float[Tensor, "b ..."], pooling: str, prefix: Prefix, of_px: Sequence[int] = (1, 1)
) -> Float[Tensor, "b p"]:
    """One vector a stimulus; may be a view of `features`, whose first axis is stimuli.

    Three axes are (stimulus, token, dimension); four are (stimulus, channel, height, width), or channels last where
    only that reading gives a map of a picture that is `of_px` high and wide: a square one of a square picture. Where a
    layer has no more tokens than the prefix, all count as patches. Raises UsageError where the pooling does not fit
    such a tensor.
    """
    if pooling == "flatten":
        return features.reshape(len(features), -1)
    if pooling.startswith("sparse"):
        return projected(features.reshape(len(features), -1), int(pooling.removeprefix("sparse")))
    if features.ndim == 4 and (pooling == "mean" or pooling.startswith("grid")):
        maps = features.movedim(-1, 1) if _has_channels_last(features.shape[1:], of_px) else features
        if pooling == "mean":
            return maps.mean(dim=(2, 3))
        side = int(pooling.removeprefix("grid"))
        places = tuple(min(side, size) for size in maps.shape[2:])
        return adaptive_avg_pool2d(maps, places).reshape(len(maps), -1)  # type: ignore[arg-type]
    if features.ndim == 3 and not pooling.startswith("grid"):
        cls, patches = features[:, 0], features[:, prefix.n :]
        if features.shape[1] <= prefix.n:
            return features.mean(dim=1)
        if pooling == "mean" or (pooling == "cls_mean" and not prefix.has_cls):
            return patches.mean(dim=1)
        if prefix.has_cls:
            return cls if pooling == "cls" else torch.cat([cls, patches.mean(dim=1)], dim=1)
        raise UsageError("pooling 'cls' needs a class token, and this network has none: use 'mean'")
    raise UsageError(
        f"pooling {pooling!r} does not fit a layer whose output is {tuple(features.shape)}, stimuli first: "
        "grids need (stimulus, channel, height, width), class tokens (stimulus, token, dimension); 'flatten' and "
        "'sparse<k>' fit all"
    )


def _has_channels_last(shape: Sequence[int], of_px: Sequence[int]) -> bool:
    """Whether three axes are (height, width, channel); channels come first where either reading, or neither, fits."""
    first, second, last = shape
    for picture in (of_px, (1, 1)):  # a network may make a square of whatever it is shown
        if _is_map_of(picture, second, last):
            return False
        if _is_map_of(picture, first, second):
            return True
    return False


def _is_map_of(picture: Sequence[int], height: int, width: int) -> bool:
    """Whether one stride and one border, the same for both sides, make such a map of the (height, width) `picture`."""
    apart = picture[1] - picture[0]
    if apart == 0:
        return height == width
    stride = min(picture[0] / max(height - 1, 1), picture[1] / max(width - 1, 1))  # at most: sides are rounded
    least, most = sorted([apart, apart / stride])
    return stride >= 1 and least - 1 <= width - height <= most + 1
