"""From a picture, whatever its mode, to the tensor a network sees."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from brainbench.core.specs import Preprocessing
from brainbench.errors import InputError, UsageError
from brainbench.numerics._shapes import Float

IMAGENET = Preprocessing(resize_px=256, crop_px=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def apply(preprocessing: Preprocessing, image: Image.Image) -> Float[Tensor, "c h w"]:
    """The picture as float32, resized, cut and normalised as `preprocessing` says.

    A `resize_px` or `crop_px` of 0 leaves that step out; where the cut is larger than the picture, black is added
    around it. Pixels are those of torchvision's Resize, CenterCrop, ToTensor and Normalize on a PIL picture.
    Raises InputError where the picture is broken or beyond PIL's limit of pixels (see `rgb`).
    """
    picture = _resized(rgb(image), preprocessing)
    if preprocessing.crop_px:
        left, top = (_crop_start(side, preprocessing.crop_px) for side in picture.size)
        picture = picture.crop((left, top, left + preprocessing.crop_px, top + preprocessing.crop_px))
    if preprocessing.channels == "L":
        picture = picture.convert("L")
    values = np.asarray(picture).reshape(picture.height, picture.width, -1)
    if preprocessing.channels == "BGR":
        values = values[..., ::-1]
    pixels = torch.from_numpy(values.transpose(2, 0, 1).astype(np.float32)).div_(255)
    mean, std = (torch.tensor(v, dtype=torch.float32).view(-1, 1, 1) for v in (preprocessing.mean, preprocessing.std))
    return pixels.mul_(preprocessing.scale).sub_(mean).div_(std)


def rgb(image: Image.Image) -> Image.Image:
    """The picture upright (EXIF) and in 8-bit RGB.

    What is transparent lies on white, as a page would show it; 16-bit grey is scaled by 1/257 and rounded; grey,
    palette and CMYK are converted by PIL. Raises InputError for a truncated or corrupt file, for more pixels than
    `PIL.Image.MAX_IMAGE_PIXELS`, and for 32-bit modes, whose range nothing tells.
    """
    name = getattr(image, "filename", "") or f"the {image.width} x {image.height} picture"
    _check_pixels(image.width, image.height, name)
    if image.mode in ("I", "F"):
        raise InputError(
            f"{name} holds 32-bit values (mode {image.mode!r}), and nothing says which is white: "
            "scale it to 8 bit and save it again"
        )
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I;16"):
            return Image.fromarray(np.round(np.asarray(image) / 257).astype(np.uint8)).convert("RGB")
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise InputError(f"{name} cannot be decoded ({error}): it is truncated or corrupt; fetch it again") from error


def from_timm(config: Mapping[str, Any]) -> Preprocessing:
    """What timm's evaluation transform does for this data config (or `pretrained_cfg`), as data.

    Raises UsageError for the few configs that letterbox or want pictures that are not square.
    """
    _, height, width = config["input_size"]
    crop_mode = config.get("crop_mode") or "center"
    if height != width or crop_mode not in ("center", "squash"):
        raise UsageError(
            f"timm prepares pictures for this network as {height} x {width} px in mode {crop_mode!r}; only square "
            "'center' and 'squash' are known here. Wrap the network with a preprocessing of your own (module:...)."
        )
    return Preprocessing(
        resize_px=math.floor(height / (config.get("crop_pct") or 0.875)),
        crop_px=height,
        interpolation=config["interpolation"],
        squash=crop_mode == "squash",
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


def _resized(picture: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    size = preprocessing.resize_px
    if not size:
        return picture
    width, height = picture.size
    if preprocessing.squash:
        target = (size, size)
    elif width <= height:
        target = (size, int(size * height / width))
    else:
        target = (int(size * width / height), size)
    _check_pixels(*target, f"a picture of {width} x {height} px, brought to {size} px on its shorter side,")
    try:
        method = Image.Resampling[preprocessing.interpolation.upper()]
    except KeyError:
        known = ", ".join(method.name.lower() for method in Image.Resampling)
        raise UsageError(f"unknown interpolation {preprocessing.interpolation!r}; there are {known}") from None
    return picture.resize(target, method)


def _crop_start(side: int, crop: int) -> int:
    """Where torchvision's CenterCrop begins; below 0 where it pads."""
    return round((side - crop) / 2) if side >= crop else -((crop - side) // 2)


def _check_pixels(width: int, height: int, name: str) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise InputError(f"{name} has {width * height:,} pixels, more than the {limit:,} that PIL takes for safe")
