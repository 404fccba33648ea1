"""Pictures that a model must be able to see, each made anew: who looks at one can never change another's.

They are what a preprocessing function is known by, and what the contract suite shows.
"""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image

# How a picture is stored under each EXIF orientation, so that obeying the tag shows it upright.
_STORED_AS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_ORIENTATION = 0x0112


def colourful(width: int = 160, height: int = 120, seed: int = 0) -> Image.Image:
    """Coloured waves under noise, RGB: no symmetry, no two pictures of different seeds alike."""
    return Image.fromarray(_waves(width, height, seed)).copy()  # which else would share the memory of the array


@cache
def _waves(width: int, height: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width][..., None] / 100
    frequencies, phases = random.uniform(10, 30, (2, 3)), random.uniform(0, 6, 3)
    waves = np.sin(frequencies[0] * x + frequencies[1] * y + phases)
    pixels: np.ndarray = 128 + 90 * waves + random.normal(0, 12, (height, width, 3))
    return pixels.clip(0, 255).astype(np.uint8)


def kinds() -> dict[str, Image.Image]:
    """One picture of every mode and shape that recordings hold, under the words a message names it by."""
    return {
        "RGB": colourful(),
        **{f"mode {picture.mode}": picture for picture in same_in_every_mode()},
        **{f"EXIF orientation {orientation}": rotated(orientation) for orientation in _STORED_AS},
        "half transparent": _half_transparent(),
        "grey, half transparent": _half_transparent().convert("LA"),
        "square": colourful(130, 130),
        "black": Image.new("RGB", (160, 120)),
        "1 px wide": colourful(1, 60),
        "1 px high": colourful(60, 1),
        "tall": colourful(120, 900),
        "wide": colourful(3000, 200),
    }


def same_in_every_mode() -> list[Image.Image]:
    """One grey picture in the modes that can hold it without loss, L first."""
    grey = colourful().convert("L")
    sixteen = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)  # 65535 is white, as 255 is
    return [grey, sixteen, *(grey.convert("RGB").convert(mode) for mode in ("RGB", "RGBA", "CMYK")), grey.convert("P")]


def _half_transparent() -> Image.Image:
    picture = colourful()
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    return picture


def rotated(orientation: int) -> Image.Image:
    """`colourful()` as a camera stores it that was held another way: 2 to 8, or 1 for upright."""
    picture, exif, file = colourful(), Image.Exif(), io.BytesIO()
    exif[_ORIENTATION] = orientation
    stored = picture.transpose(_STORED_AS[orientation]) if orientation in _STORED_AS else picture
    stored.save(file, "PNG", exif=exif)
    return Image.open(io.BytesIO(file.getvalue()))
