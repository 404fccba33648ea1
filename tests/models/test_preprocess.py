"""Pictures of every mode and size become the tensor that the network's own library would make."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from brainbench.core.specs import Preprocessing
from brainbench.errors import InputError, UsageError
from brainbench.models import _preprocess
from brainbench.models._torchvision import prepare

PLAIN = Preprocessing()


def picture(width, height, mode="RGB"):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("size", [(300, 200), (200, 333), (224, 224), (50, 41), (1, 9), (640, 1)])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"crop_pct": 1.0, "interpolation": "bilinear"},
        {"crop_pct": 0.9, "crop_mode": "squash"},
        {"crop_pct": 1.15, "input_size": (3, 231, 231)},
        {"input_size": (3, 127, 127), "interpolation": "lanczos"},
    ],
)
def test_pixels_are_those_of_timm(size, change):
    prepare()
    from timm.data import create_transform

    config = {
        "input_size": (3, 224, 224),
        "interpolation": "bicubic",
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "crop_pct": 0.875,
        "crop_mode": "center",
    } | change
    image = picture(*size)
    ours = _preprocess.apply(_preprocess.from_timm(config), image)
    torch.testing.assert_close(ours, create_transform(**config)(image), rtol=0, atol=0)


def test_timm_configs_that_letterbox_are_refused():
    config = {"input_size": (3, 224, 224), "crop_mode": "border", "interpolation": "bicubic"}
    with pytest.raises(UsageError, match="border"):
        _preprocess.from_timm(config | {"mean": (0, 0, 0), "std": (1, 1, 1)})


def test_blue_comes_first_and_the_scale_is_caffes():
    red = Image.new("RGB", (4, 4), (255, 0, 51))
    caffe = Preprocessing(scale=255.0, mean=(103.0, 116.0, 123.0), channels="BGR")
    torch.testing.assert_close(_preprocess.apply(caffe, red)[:, 0, 0], torch.tensor([51.0 - 103, -116, 255 - 123]))


def test_grey_networks_get_one_channel():
    seen = _preprocess.apply(Preprocessing(channels="L", mean=(0.0,), std=(1.0,)), Image.new("L", (5, 4), 51))
    torch.testing.assert_close(seen, torch.full((1, 4, 5), 0.2))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr", "HSV", "PA", "LAB"])
def test_every_mode_becomes_three_channels(mode):
    seen = _preprocess.apply(PLAIN, Image.new(mode, (8, 6)) if mode in ("LAB", "PA") else picture(8, 6, mode))
    assert seen.shape == (3, 6, 8)
    assert seen.dtype == torch.float32
    assert seen.min() >= 0
    assert seen.max() <= 1


def test_transparent_lies_on_white():
    clear = Image.new("RGBA", (2, 2), (255, 0, 0, 0))
    half = Image.new("LA", (2, 2), (0, 128))
    palette = Image.new("P", (2, 2), 0)
    palette.info["transparency"] = 0
    assert _preprocess.rgb(clear).getpixel((0, 0)) == (255, 255, 255)
    assert _preprocess.rgb(half).getpixel((0, 0)) == (127, 127, 127)
    assert _preprocess.rgb(palette).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_sixteen_bits_are_scaled_not_clipped(mode):
    values = np.array([[0, 257, 32896, 65535]], dtype="<u2" if mode == "I;16" else ">u2")
    image = Image.frombytes(mode, (4, 1), values.tobytes())
    assert np.asarray(_preprocess.rgb(image))[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_thirty_two_bits_are_refused(mode):
    with pytest.raises(InputError, match="32-bit"):
        _preprocess.apply(PLAIN, Image.new(mode, (3, 3)))


def test_exif_orientation_is_obeyed():
    image = Image.new("RGB", (4, 2))
    image.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    file = io.BytesIO()
    image.save(file, "PNG", exif=exif)
    upright = _preprocess.rgb(Image.open(io.BytesIO(file.getvalue())))
    assert upright.size == (2, 4)
    assert upright.getpixel((1, 0)) == (255, 0, 0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"])
def test_broken_files_are_refused_and_never_half_read(kind):
    file = io.BytesIO()
    picture(64, 64).save(file, kind)
    whole = file.getvalue()
    assert _preprocess.rgb(Image.open(io.BytesIO(whole))).size == (64, 64)
    try:
        image = Image.open(io.BytesIO(whole[: len(whole) // 2]))
    except OSError:
        return  # refused on opening, by the stimulus set
    with pytest.raises(InputError, match="truncated or corrupt"):
        _preprocess.rgb(image)


def test_pixel_limits_hold_before_and_after_resizing(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    with pytest.raises(InputError, match="10,201 pixels"):
        _preprocess.apply(PLAIN, Image.new("RGB", (101, 101)))
    with pytest.raises(InputError, match="shorter side"):
        _preprocess.apply(Preprocessing(resize_px=64), Image.new("RGB", (1, 500)))
    with pytest.raises(UsageError, match="bicubic"):
        _preprocess.apply(Preprocessing(resize_px=64, interpolation="cubic"), Image.new("RGB", (9, 9)))


def test_the_picture_itself_is_not_changed():
    image = picture(9, 7, "RGBA")
    before = image.tobytes()
    _preprocess.apply(Preprocessing(resize_px=5, crop_px=5), image)
    assert (image.mode, image.size, image.tobytes()) == ("RGBA", (9, 7), before)
