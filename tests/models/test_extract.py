"""Extraction: every row belongs to its stimulus, and whatever cannot be read that way is refused."""

import copy
import threading
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from brainbench.errors import InputError, ResourceError, UnknownNameError, UsageError
from brainbench.models._extract import extract, private_copy


@pytest.fixture(autouse=True)
def two_workers(one_thread):
    """Extraction runs as many networks side by side as torch has threads: here two, as on most machines several."""
    torch.set_num_threads(2)


def inputs(n, *, shape=(3, 16, 16)):
    pictures = torch.randn(n, *shape, generator=torch.Generator().manual_seed(1))
    return [lambda picture=picture: picture for picture in pictures]


def conv_net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Conv2d(8, 4, 3, stride=2)
    )


LAYERS = {"0": "flatten", "1": "flatten", "2": "mean", "4": "flatten"}


class Body(nn.Module):
    """A network around one function, so that a test can say what goes wrong in the forward pass."""

    def __init__(self, forward):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.layer = nn.Identity()
        self.function = forward

    def forward(self, x):
        return self.layer(self.function(self, x * self.scale))


def test_features_are_those_of_each_input_alone_in_eval_mode():
    module = conv_net()
    module(torch.randn(8, 3, 16, 16))  # in train mode: running statistics move
    features = extract(module.train(), inputs(11), LAYERS)
    module.eval()
    with torch.no_grad():
        first = torch.stack([module[0](picture()[None])[0] for picture in inputs(11)])
        normed = module[1](first)
    torch.testing.assert_close(features["0"], first.flatten(1))
    torch.testing.assert_close(features["1"], normed.flatten(1))  # though the next layer worked on it in place
    torch.testing.assert_close(features["2"], normed.relu().mean(dim=(2, 3)))


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_batch_size_and_order_change_nothing(batch_size):
    module, order = conv_net(), [5, 0, 6, 6, 2]
    expected = extract(module, inputs(7), LAYERS)
    features = extract(module, [inputs(7)[i] for i in order], LAYERS, batch_size=batch_size)
    for name, values in features.items():
        torch.testing.assert_close(values, expected[name][order], rtol=1e-4, atol=1e-5)
        assert values.dtype == torch.float32


def test_module_and_process_are_left_as_they_were():
    module = conv_net().train()
    module[1].eval()
    before, threads = copy.deepcopy(module.state_dict()), torch.get_num_threads()
    precision, tf32 = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    def broken():
        raise InputError("broken picture")

    for pictures in (inputs(9), [*inputs(8), broken]):
        try:
            extract(module, pictures, LAYERS)
        except InputError as error:
            assert "broken picture" in str(error)  # the first of the two succeeds
        assert [part.training for part in module.modules()] == [True, True, False, True, True, True]
        assert not any(part._forward_hooks for part in module.modules())
        assert torch.get_num_threads() == threads
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == (precision, tf32)
        assert torch.is_grad_enabled()
        torch.testing.assert_close(module.state_dict(), before, rtol=0, atol=0)


def test_decoding_is_lazy_and_progress_counts_in_the_calling_thread():
    alive, most, lock, told = set(), 0, threading.Lock(), []

    def picture(i):
        nonlocal most
        with lock:
            alive.add(i)
            most = max(most, len(alive))
        return torch.full((3, 16, 16), float(i))

    def progress(count):
        assert threading.current_thread() is threading.main_thread()
        told.append(count)
        with lock:
            alive.clear()

    extract(conv_net(), [lambda i=i: picture(i) for i in range(200)], {"0": "mean"}, progress=progress)
    assert sum(told) == 200
    assert most < 150


def test_state_on_self_does_not_cross_threads():
    def remember(self, x):
        self.seen = x
        torch.randn(200, 200) @ torch.randn(200, 200)  # time for another thread to step in
        return self.seen * 2

    features = extract(Body(remember), inputs(64), {"layer": "flatten"}, batch_size=1)["layer"]
    expected = torch.stack([picture().flatten() * 2 for picture in inputs(64)])
    torch.testing.assert_close(features, expected)


def test_a_batch_axis_that_is_not_the_first_is_found():
    class TokensFirst(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=False)

        def forward(self, x):
            tokens = x.flatten(2).permute(2, 0, 1)[..., :3].repeat(1, 1, 6)[..., :16]
            return self.block(tokens)

    module = TokensFirst().eval()
    features = extract(module, inputs(6, shape=(3, 2, 4)), {"block": "flatten"})["block"]
    with torch.no_grad():
        expected = torch.cat(
            [module(picture()[None]).movedim(1, 0).flatten(1) for picture in inputs(6, shape=(3, 2, 4))]
        )
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda self, x: x - x.mean(dim=0) if len(x) > 1 else x, "beside another"),
        (lambda self, x: x + torch.rand(()), "second time"),
        (lambda self, x: x.reshape(-1, 16), "no axis is the batch"),
        (lambda self, x: x.squeeze(0), "no axis is the batch"),
        (lambda self, x: x.mean(dim=0, keepdim=True), "no axis is the batch"),
        (lambda self, x: x / 0 * 0, "NaN or infinity"),
        (lambda self, x: (x, x), "tuple of Tensor, Tensor"),
        (lambda self, x: {"out": x}, "dict"),
        (lambda self, x: x.argmax(dim=1), "int64"),
        (lambda self, x: self.layer(x), "more than once"),
    ],
)
def test_what_cannot_be_read_is_refused(forward, message):
    with pytest.raises(InputError, match=message):
        extract(Body(forward), inputs(5), {"layer": "flatten"})


def test_a_tuple_of_one_is_its_tensor():
    features = extract(Body(lambda self, x: (x,)), inputs(3), {"layer": "flatten"})["layer"]
    torch.testing.assert_close(features, torch.stack([picture().flatten() for picture in inputs(3)]))


def test_nan_names_layer_and_input():
    pictures = inputs(9)
    pictures[6] = lambda: torch.full((3, 16, 16), float("inf"))
    with pytest.raises(InputError, match=r"layer '2' .* input 6"):
        extract(conv_net(), pictures, {"2": "mean"})


def test_layers_must_exist_and_be_called():
    module = conv_net()
    module.head = nn.Linear(4, 2)
    module.forward = lambda x: module[4](module[0](x))
    with pytest.raises(UnknownNameError, match="Did you mean 'head'"):
        extract(module, inputs(2), {"haed": "flatten"})
    with pytest.raises(UnknownNameError, match="pooling 'max'"):
        extract(module, inputs(2), {"0": "max"})
    with pytest.raises(UsageError, match="nothing"):
        extract(module, [], {"0": "mean"})

    class Skips(nn.Sequential):
        def forward(self, x):
            return self[0](x)

    with pytest.raises(InputError, match="not called"):
        extract(Skips(*conv_net()), inputs(2), {"0": "mean", "1": "mean"})


def test_pictures_of_two_sizes_and_half_precision_are_refused():
    with pytest.raises(InputError, match="one shape"):
        extract(conv_net(), [*inputs(1), *inputs(1, shape=(3, 20, 16))], {"0": "mean"})
    with pytest.raises(InputError, match="float32"):
        extract(conv_net().half(), inputs(2), {"0": "mean"})


@pytest.mark.parametrize(("most", "fits"), [(1, 1), (2, 2), (5, 4)])
def test_a_batch_that_does_not_fit_is_halved(most, fits):
    sizes = []

    def limited(self, x):
        if len(x) > most:
            raise torch.OutOfMemoryError("injected")
        sizes.append(len(x))
        return x

    features = extract(Body(limited), inputs(10), {"layer": "flatten"}, batch_size=8)["layer"]
    torch.testing.assert_close(features, torch.stack([picture().flatten() for picture in inputs(10)]))
    assert sum(sizes) <= 10 + 2 + 2 + 1 + 1 + 1  # the probe's, and nothing twice
    assert max(sizes) == fits
    with pytest.raises(ResourceError, match="one input"):
        extract(Body(_always_full), inputs(4), {"layer": "flatten"})


def _always_full(self, x):
    raise torch.OutOfMemoryError("injected")


def test_only_running_out_of_memory_is_retried():
    calls = []

    def broken(self, x):
        calls.append(len(x))
        if len(x) == 4:
            raise RuntimeError("sizes do not match")
        return x

    with pytest.raises(InputError, match="the network raised RuntimeError: sizes do not match"):
        extract(Body(broken), inputs(4), {"layer": "flatten"})
    assert calls[-1] == 4


def test_what_later_layers_do_in_place_is_not_read():
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 6), nn.ReLU(inplace=True))
    features = extract(module, inputs(5), {"1": "flatten", "2": "flatten"})
    assert (features["1"] < 0).any()
    assert torch.equal(features["1"].relu(), features["2"])


def test_copies_share_their_weights():
    module = conv_net()
    copy_ = private_copy(module, torch.device("cpu"))
    assert copy_ is not module
    assert copy_[0].weight.data_ptr() == module[0].weight.data_ptr()


class Viewing(nn.Module):
    """The classic `view` after a convolution, which a map with its channels last in memory refuses."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(3, 4, 5), nn.Linear(4 * 12 * 12, 5)

    def forward(self, x):
        return self.head(self.conv(x).view(x.size(0), -1))


@pytest.mark.parametrize("transposed", [False, True])
def test_a_network_that_cannot_take_channels_last_in_memory_is_read_all_the_same(transposed):
    module, pictures = Viewing().eval(), inputs(6)
    if transposed:
        pictures = [lambda see=see: see().permute(1, 2, 0).contiguous().permute(2, 0, 1) for see in pictures]
    features = extract(module, pictures, {"conv": "flatten", "head": "flatten"})
    with torch.no_grad():
        expected = torch.stack([module(picture()[None].contiguous())[0] for picture in pictures])
    torch.testing.assert_close(features["head"], expected)
    assert features["conv"].shape == (6, 4 * 12 * 12)


def test_the_memory_of_a_network_has_channels_last_where_it_takes_it():
    def told(self, x):
        formats.add(x.is_contiguous(memory_format=torch.channels_last))
        return x

    formats = set()
    extract(Body(told), inputs(9), {"layer": "flatten"})
    assert formats == {True}


class Scratch(nn.Module):
    """It works in a buffer that every pass resets, and counts the passes in another."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("state", torch.zeros(4, 3, 16, 16))
        self.register_buffer("passes", torch.zeros(()))
        self.register_buffer("history", self.scale * 2)
        self.inner, self.layer = nn.Module(), nn.Identity()
        self.inner.register_buffer("state", self.state)

    def forward(self, x):
        self.passes += 1
        state = self.state[: len(x)]
        state.zero_()
        for _ in range(3):
            state.add_(x * self.scale)
            torch.randn(200, 200) @ torch.randn(200, 200)  # time for another thread to step in
        return self.layer(self.inner.state[: len(x)] * self.history)


def test_buffers_that_a_pass_writes_into_do_not_cross_threads():
    module = Scratch().eval()
    features = extract(module, inputs(64), {"layer": "flatten"})["layer"]
    expected = torch.stack([picture().flatten() * 6 for picture in inputs(64)])
    torch.testing.assert_close(features, expected)
    assert module.passes == 0 and not module.state.any()


class ChannelsLast(nn.Module):
    """As Swin's stages: (stimulus, height, width, channel)."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.mix = nn.Conv2d(3, 96, 4, stride=4), nn.Linear(96, 96)

    def forward(self, x):
        return self.mix(self.conv(x).permute(0, 2, 3, 1))


@pytest.mark.parametrize("shape", [(3, 16, 32), (3, 32, 16), (3, 16, 16), (3, 64, 24), (3, 15, 33)])
@pytest.mark.parametrize("padding", [0, 1])
def test_channels_are_averaged_over_space_whatever_the_shape_of_the_picture(shape, padding):
    for channels in (8, 14, 16, 32):
        module = nn.Sequential(nn.Conv2d(3, channels, 3, padding=padding), nn.ReLU())
        features = extract(module, inputs(3, shape=shape), {"1": "mean"})["1"]
        with torch.no_grad():
            expected = torch.stack([module(picture()[None])[0].mean(dim=(1, 2)) for picture in inputs(3, shape=shape)])
        torch.testing.assert_close(features, expected)
    module = ChannelsLast()
    features = extract(module, inputs(3, shape=shape), {"mix": "mean"})["mix"]
    with torch.no_grad():
        expected = torch.stack([module(picture()[None])[0].mean(dim=(0, 1)) for picture in inputs(3, shape=shape)])
    torch.testing.assert_close(features, expected)


@contextmanager
def _default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("state", [torch.inference_mode, _default_dtype])
def test_what_torch_is_set_to_changes_nothing(state):
    module = conv_net().eval()
    expected = extract(module, inputs(9), LAYERS)
    pictures = inputs(9)
    with state():
        features = extract(module, pictures, LAYERS)
    torch.testing.assert_close(features, expected)
    assert not any(values.is_inference() for values in features.values())


def test_one_stimulus():
    assert extract(conv_net(), inputs(1), {"0": "mean"})["0"].shape == (1, 8)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_the_features_of_the_cpu():
    module = conv_net()
    on_cpu, on_cuda = (extract(module, inputs(70), LAYERS, device=device) for device in ("cpu", "cuda"))
    assert next(module.parameters()).device.type == "cpu"
    for name, values in on_cpu.items():
        torch.testing.assert_close(on_cuda[name], values, rtol=1e-4, atol=1e-4)


def test_a_causal_axis_taken_for_the_batch_is_refused():
    """A running sum over the batch leaves the first row alone: only the second one tells."""
    with pytest.raises(InputError, match="differently beside another one"):
        extract(Body(lambda self, x: x.cumsum(0)), inputs(4), {"layer": "flatten"})
