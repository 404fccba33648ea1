"""Bundled networks of packages that are installed by themselves: each does what its makers' own program does."""

import contextlib
import importlib.util

import h5py
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image
from torch.nn.functional import batch_norm, conv2d, conv_transpose2d, interpolate

from brainbench import models
from brainbench.errors import InputError
from brainbench.models import _onnx
from brainbench.models.bundled_optional import OPTIONAL

FLOWER, PALACE = (Image.fromarray(load_sample_image(f"{name}.jpg")) for name in ("flower", "china"))


def loaded(name):
    """The model, and the file that its weights come from; skips, saying how to install it, where that is absent."""
    path = OPTIONAL[name].path()
    if path is None:
        pytest.skip(f"bundled:{name} needs `{OPTIONAL[name].install}`")
    return models.load(f"bundled:{name}"), path


def seen(model, *pictures):
    return torch.stack([model.preprocess(picture) for picture in pictures])


@torch.no_grad()
def test_the_focus_network_finds_the_flower_as_onnx_runtime_does():
    model, path = loaded("vit_small_focus")
    tokens = model.build().forward_features(seen(model, FLOWER, PALACE))
    arrays = {name: torch.tensor(values) for name, values in _onnx.read(path).arrays.items()}
    maps = tokens[:, 1:].transpose(1, 2).reshape(2, 384, 16, 16)
    for number in (1, 2, 3):  # the file's own way from the tokens to a map of what stands out
        kernel, bias = (arrays[f"decoder.upconv{number}.{kind}"] for kind in ("weight", "bias"))
        norm = [arrays[f"decoder.bn{number}.{kind}"] for kind in ("running_mean", "running_var", "weight", "bias")]
        maps = batch_norm(conv_transpose2d(maps, kernel, bias, stride=2, padding=1), *norm).relu()
    maps = conv2d(maps, arrays["decoder.final_conv.weight"], arrays["decoder.final_conv.bias"])
    maps = interpolate(maps, size=224, mode="bilinear").sigmoid()
    # The whole graph in ONNX Runtime 1.32.0 on the same pixels: means of 4 x 4 squares of its map.
    theirs = (
        torch.tensor(
            [
                [0.2887, 0.3167, 0.3140, 0.2869],
                [0.3989, 0.9503, 0.9077, 0.3051],
                [0.4368, 0.9728, 0.9369, 0.3149],
                [0.2692, 0.4512, 0.4708, 0.2651],
            ]
        ),
        torch.tensor(
            [
                [0.2751, 0.2207, 0.1467, 0.1607],
                [0.6615, 0.6597, 0.2534, 0.2681],
                [0.6650, 0.6932, 0.3839, 0.3214],
                [0.4133, 0.5669, 0.3827, 0.3344],
            ]
        ),
    )
    torch.testing.assert_close(maps.view(2, 4, 56, 4, 56).mean(dim=(2, 4)), torch.stack(theirs), rtol=0, atol=2e-4)


@torch.no_grad()
def test_the_last_block_of_the_focus_network_has_collapsed_and_is_not_read():
    model, _ = loaded("vit_small_focus")
    blocks = model.build().forward_intermediates(
        seen(model, FLOWER, PALACE), intermediates_only=True, norm=False, output_fmt="NLC"
    )
    variances = [torch.linalg.svdvals(block.flatten(0, 1) - block.mean(dim=(0, 1))) ** 2 for block in blocks]
    dimensions = [float(values.sum() ** 2 / (values**2).sum()) for values in variances]
    assert min(dimensions) == dimensions[11]
    assert dimensions[11] < dimensions[10] / 2
    assert [layer.name for layer in model.spec.layers] == [f"blocks.{block}" for block in range(11)]


@torch.no_grad()
def test_open_nsfw_says_of_photos_what_onnx_runtime_says():
    model, _ = loaded("open_nsfw")
    scores = model.build()(seen(model, FLOWER, PALACE)).softmax(dim=1)[:, 1]
    theirs = torch.tensor([0.0015405025333166122, 2.2100073238107143e-06])  # ONNX Runtime 1.32.0 on the same pixels
    torch.testing.assert_close(scores, theirs, rtol=1e-4, atol=0)


@torch.no_grad()
def test_mobilenet_gives_the_features_of_its_packages_own_network():
    model, path = loaded("mobilenetv2")
    code = importlib.util.spec_from_file_location("own", path.parents[1] / "mobilenetv2_bottle.py")
    own = importlib.util.module_from_spec(code)
    code.loader.exec_module(own)
    theirs = own.MobileNetV2_bottle(input_size=224, width_mult=1.0)
    theirs.load_state_dict(torch.load(path, weights_only=True))
    pixels = seen(model, FLOWER, PALACE)
    torch.testing.assert_close(model.build()(pixels), theirs.eval()(pixels), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_hed_draws_the_outline_of_a_disc_and_nothing_else():
    model, path = loaded("vgg16_hed")
    picture = Image.new("RGB", (224, 224), (40, 90, 60))
    ImageDraw.Draw(picture).ellipse((52, 52, 172, 172), fill=(220, 200, 90))
    features, sides = seen(model, picture), []
    with h5py.File(path) as file:

        def readout(name, maps):
            kernel, bias = (torch.tensor(file[f"{name}/vars/{number}"][()]) for number in "01")
            return conv2d(maps, kernel.permute(3, 2, 0, 1), bias)

        for name, part in model.build().named_children():
            features = part(features)
            if name in ("3", "8", "15", "22", "29"):
                side = readout(f"dsn{len(sides) + 1}", features)
                sides.append(interpolate(side, size=(224, 224), mode="bilinear"))
        edges = readout("fuse", torch.cat(sides, dim=1)).sigmoid()[0, 0].numpy()
    rows, columns = np.mgrid[:224, :224]
    off = np.abs(np.hypot(rows - 112, columns - 112) - 60)
    assert edges[off < 0.7].mean() > 0.8
    assert edges[off > 15].mean() < 0.1


@pytest.mark.parametrize("name", OPTIONAL)
def test_what_they_saw_is_told_of_the_trained_and_not_of_the_twin(name):
    model, _ = loaded(name)
    twin = models.load(f"bundled:{name}@untrained")
    assert model.spec.training_data == OPTIONAL[name].training_data
    assert twin.spec.training_data == "none"
    assert twin.spec.layers == model.spec.layers
    assert twin.spec.weights != model.spec.weights


def field(number, value):
    """One protobuf field: a whole number below 128, or bytes."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    assert len(value) < 128
    return bytes([number << 3 | 2, len(value)]) + value


def made_onnx():
    weights = field(1, 2) + field(1, 2) + field(2, 1) + field(8, b"w") + field(9, np.arange(4, dtype="<f4").tobytes())
    counts = field(1, 1) + field(2, 7) + field(8, b"n") + field(9, np.arange(1).tobytes())
    nodes = [(b"MatMul", b"x", b"w", b"y"), (b"Cast", b"y", b"", b"z"), (b"Identity", b"w", b"", b"v")]
    nodes += [(b"Add", b"z", b"v", b"out")]
    graph = b"".join(field(1, field(1, a) + field(1, b) + field(2, out) + field(4, kind)) for kind, a, b, out in nodes)
    return field(1, 8) + field(7, graph + field(5, weights) + field(5, counts))


def test_onnx_files_are_read_without_onnx(tmp_path):
    path = tmp_path / "made.onnx"
    path.write_bytes(made_onnx())
    graph = _onnx.read(path)
    assert [node.kind for node in graph.nodes] == ["MatMul", "Cast", "Identity", "Add"]
    assert graph.arrays.keys() == {"w", "v"}
    np.testing.assert_array_equal(graph.arrays["v"], [[0, 1], [2, 3]])
    assert graph.after(graph.nodes[0]).kind == "Cast"
    assert graph.constants_after(graph.nodes[0], 1)[0] is graph.arrays["v"]
    with pytest.raises(InputError, match="nothing reads 'out'"):
        graph.after(graph.nodes[3])


def test_damaged_onnx_files_are_refused_and_never_crash(tmp_path):
    path, whole = tmp_path / "made.onnx", made_onnx()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(InputError):
            _onnx.read(path)
    random = np.random.default_rng(0)
    for _ in range(2000):
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] = random.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(InputError):
            _onnx.read(path)
