"""The baselines and the oracle as models."""

import numpy as np
import pytest
import torch
from PIL import Image

from brainbench.core.protocols import Model
from brainbench.datasets.insilico import Insilico
from brainbench.errors import UnknownNameError, UsageError
from brainbench.models.baselines import baseline
from brainbench.models.insilico import insilico
from brainbench.numerics.cascade import Cascade


def noise(seed, *, side_px=64):
    return np.random.default_rng(seed).integers(0, 256, size=(side_px, side_px, 3), dtype=np.uint8)


def features(model, pixels):
    with torch.inference_mode():
        return model.build()(model.preprocess(Image.fromarray(pixels))[None]).flatten()


@pytest.mark.parametrize("model", [baseline("pixels"), baseline("gabor"), insilico("cascade")], ids=lambda m: m.spec.id)
def test_layers_are_modules_and_weights_are_named(model):
    assert isinstance(model, Model)
    network = model.build()
    assert not network.training
    assert {layer.name for layer in model.spec.layers} <= dict(network.named_modules()).keys()
    assert model.spec.weights
    assert list(network.parameters()) == []


def test_sizes():
    assert features(baseline("pixels"), noise(0)).numel() == 32 * 32 * 3
    assert features(baseline("gabor"), noise(0)).numel() == 4 * 8 * 14 * 14


def test_pixels_are_linear_in_the_picture():
    model = baseline("pixels")
    first, second = noise(1) // 2, noise(2) // 2
    mixed = features(model, first + second)
    # up to rounding to 8 bit after resizing, of three pictures
    assert torch.allclose(mixed, features(model, first) + features(model, second), atol=2 / 255)


@pytest.mark.parametrize("name", ["pixels", "gabor"])
def test_resizing_is_antialiased(name):
    """A checkerboard of single pixels, shrunk, is uniform grey: one without a filter would show a pattern."""
    board = (np.indices((448, 448)).sum(0) % 2 * 255).astype(np.uint8)
    shrunk = baseline(name).preprocess(Image.fromarray(np.stack([board] * 3, axis=-1)))
    inner = shrunk[:, 2:-2, 2:-2]
    assert inner.mean().item() == pytest.approx(0.5, abs=0.01)
    assert inner.std() < 0.02


def test_whole_picture_enters_whatever_its_shape():
    wide = np.zeros((40, 120, 3), dtype=np.uint8)
    wide[:, :10] = 255
    assert features(baseline("pixels"), wide).max() > 0.9


def test_oracle_sees_what_the_generator_saw():
    stimuli = Insilico().stimuli()
    image = stimuli.image(stimuli.ids[7])
    model = insilico("cascade")
    pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255
    assert torch.equal(model.preprocess(image), pixels)
    ours, theirs = model.build()(pixels[None]), Cascade()(pixels[None])
    assert all(torch.equal(ours[stage], theirs[stage]) for stage in ("V1", "V2", "V4", "IT"))


def test_layers_can_be_chosen():
    assert [layer.name for layer in insilico("cascade", layers=["V4", "V1"]).spec.layers] == ["V4", "V1"]
    with pytest.raises(UnknownNameError, match="V4"):
        insilico("cascade", layers=["v4"])
    for wrong in (["V1", "V1"], []):
        with pytest.raises(UsageError, match="each once"):
            insilico("cascade", layers=wrong)
    with pytest.raises(UnknownNameError, match="energy"):
        baseline("gabor", layers=["energie"])


def test_unknown_names_are_refused():
    with pytest.raises(UnknownNameError, match="pixels"):
        baseline("pixel")
    with pytest.raises(UnknownNameError, match="cascade"):
        insilico("casacde")


def test_a_default_dtype_of_the_users_makes_no_other_baseline():
    expected = baseline("gabor").spec
    torch.set_default_dtype(torch.float64)
    try:
        gabor = baseline("gabor")
        network = gabor.build()
    finally:
        torch.set_default_dtype(torch.float32)
    assert gabor.spec == expected
    assert {tensor.dtype for tensor in network.buffers()} == {torch.float32}
