"""Layers: the default ladders of networks of every make, depths, poolings, and help with names."""

import pytest
import torch
from torch import nn

from brainbench import models
from brainbench.errors import InputError, UnknownNameError, UsageError
from brainbench.models import _ladder
from brainbench.models._pooling import Prefix, default_pooling, pool, prefix_of
from brainbench.models._torchvision import prepare
from brainbench.numerics.projection import projected

prepare()
import timm  # noqa: E402 - after prepare
import torchvision  # noqa: E402

EXAMPLE = torch.zeros(3, 64, 64)


def ladder(module, wanted=None, example=EXAMPLE):
    return {layer.name: layer.pooling for layer in _ladder.layers(module, example, wanted)}


def test_efficientnet_has_its_stem_every_stage_and_pooled_features():
    names = ["bn1", *(f"blocks.{i}" for i in range(7)), "global_pool"]
    assert ladder(timm.create_model("tf_efficientnet_lite0")) == dict.fromkeys(names, "grid14") | {
        "global_pool": "flatten"
    }


def test_every_resnet_has_its_stages():
    stages = ["layer1", "layer2", "layer3", "layer4"]
    assert list(ladder(timm.create_model("resnet10t"))) == ["act1", *stages, "global_pool"]
    assert list(ladder(torchvision.models.resnet18(weights=None))) == ["maxpool", *stages, "avgpool"]


def test_transformers_have_at_most_twelve_blocks_evenly_spaced():
    module = timm.create_model("test_vit", img_size=64)
    assert ladder(module) == {f"blocks.{i}": "cls_mean" for i in range(6)}
    names = list(ladder(timm.create_model("test_vit", depth=23, img_size=64)))
    assert names == [f"blocks.{i}" for i in range(0, 23, 2)]


def test_a_network_of_unknown_make_is_taken_apart():
    def block(n):
        return nn.Sequential(nn.Conv2d(n, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Dropout(0.5))

    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = nn.Linear(2, 2)
            self.relu = nn.ReLU()
            self.net = nn.Sequential(block(3), *(block(8) for _ in range(9)), nn.Flatten(), nn.Linear(8 * 4 * 4, 5))

        def forward(self, x):
            return self.relu(self.net(self.relu(x)))

    layers = _ladder.layers(Wrapper(), torch.zeros(3, 4, 4))
    names = [layer.name for layer in layers]
    assert len(names) == 12
    assert (names[0], names[-1]) == ("net.0.0", "net.11")
    assert not any(name.endswith(".2") or name in ("unused", "relu") for name in names)
    assert [layer.depth for layer in layers] == sorted({layer.depth for layer in layers})


def test_depth_is_the_share_of_leaves_that_have_run_whatever_else_is_read():
    module = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(4)))
    assert {layer.name: layer.depth for layer in _ladder.layers(module, EXAMPLE)} == {
        "0": 0.25,
        "1": 0.5,
        "2": 0.75,
        "3": 1.0,
    }
    assert [layer.depth for layer in _ladder.layers(module, EXAMPLE, ["2:mean"])] == [0.75]


def test_named_layers_keep_their_order_and_pooling():
    module = torchvision.models.resnet18(weights=None)
    assert ladder(module, ["fc", "layer2:grid3", "layer1.0.conv1:mean"]) == {
        "fc": "flatten",
        "layer2": "grid3",
        "layer1.0.conv1": "mean",
    }
    with pytest.raises(UnknownNameError, match=r"layer 'layr4\.1'\. Did you mean 'layer4\.1'"):
        ladder(module, ["layr4.1"])
    with pytest.raises(UnknownNameError, match=r"pooling 'gird14'\. Did you mean 'grid14'"):
        ladder(module, ["layer1:gird14"])
    with pytest.raises(InputError, match="called 2 times"):
        ladder(module, ["layer1.0.relu"])
    for wanted in ([], ["fc", "fc:flatten"]):
        with pytest.raises(UsageError, match="once"):
            ladder(module, wanted)
    module.spare = nn.Linear(1, 1)
    with pytest.raises(InputError, match="not called"):
        ladder(module, ["spare"])


def test_a_picture_may_have_its_channels_last_in_memory():
    class Viewing(nn.Sequential):
        def forward(self, x):
            return super().forward(x.view(x.size(0), -1))

    module = Viewing(nn.Linear(3 * 6 * 8, 5), nn.ReLU())
    assert list(ladder(module, example=torch.zeros(6, 8, 3).permute(2, 0, 1))) == ["0", "1"]


class Positions(nn.Module):
    """A submodule that gives its tokens' positions, one row for all stimuli."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(1, 64, 8))

    def forward(self, tokens):
        return self.table


class Tokens(nn.Module):
    """A network of tokens (stimulus, token, dimension) that lie (token, stimulus, dimension) in its blocks."""

    def __init__(self):
        super().__init__()
        self.patch, self.positions = nn.Conv2d(3, 8, 8, stride=8), Positions()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        tokens = self.patch(x).flatten(2).mT
        return self.second(self.first((tokens + self.positions(tokens)).transpose(0, 1)))


def test_layers_that_are_the_same_for_all_stimuli_are_no_part_of_the_ladder():
    assert ladder(Tokens()) == {"patch": "grid14", "first": "cls_mean", "second": "cls_mean"}
    with pytest.raises(InputError, match=r"layer 'positions' .* no axis is the batch"):
        ladder(Tokens(), ["positions"])


def asked(layers):
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
    spec = models.wrap(module, preprocess=lambda image: torch.zeros(3, 8, 8), layers=layers).spec
    return [(layer.name, layer.pooling) for layer in spec.layers]


def test_poolings_may_come_as_a_mapping():
    assert asked({"1": "mean", "0": "grid3"}) == [("1", "mean"), ("0", "grid3")]
    with pytest.raises(UnknownNameError, match="pooling 'gird3'"):
        asked({"0": "gird3"})
    assert asked(name for name in ("1", "0:mean")) == [("1", "grid14"), ("0", "mean")]


@pytest.mark.parametrize("wanted", [[0, 1], {0: "mean"}, {"0": 3}, [("0", "mean")], 0])
def test_layers_are_asked_for_by_name(wanted):
    with pytest.raises(UsageError, match="layers are named by strings"):
        asked(wanted)


def test_a_network_without_layers_says_what_one_would_be():
    with pytest.raises(InputError, match=r"no layer was found .* submodule"):
        ladder(nn.Identity())


def test_tracing_leaves_the_module_as_it_was():
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    ladder(module)
    assert module.training
    assert not any(part._forward_hooks for part in module.modules())
    torch.testing.assert_close(dict(module.state_dict()), before, rtol=0, atol=0)


def test_prefixes_are_read_from_the_network():
    assert prefix_of(timm.create_model("test_vit")) == Prefix(1, has_cls=True)
    assert prefix_of(timm.create_model("test_vit", reg_tokens=4)) == Prefix(5, has_cls=True)
    assert prefix_of(timm.create_model("test_vit2")) == Prefix(1, has_cls=False)  # its one extra token is a register
    transformer = torchvision.models.VisionTransformer(32, 16, num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8)
    assert prefix_of(transformer) == Prefix(1, has_cls=True)
    assert prefix_of(nn.Linear(1, 1)) == Prefix(0, has_cls=False)


@pytest.mark.parametrize("name", ["register_tokens", "storage_tokens"])
def test_registers_beside_a_class_token_are_no_patches(name):
    """As DINOv2 and DINOv3 come from their authors' hubs, whole or in a wrapper."""
    module = nn.Module()
    module.cls_token = nn.Parameter(torch.zeros(1, 1, 8))
    setattr(module, name, None)
    assert prefix_of(module) == Prefix(1, has_cls=True)
    setattr(module, name, nn.Parameter(torch.zeros(1, 4, 8)))
    assert prefix_of(module) == prefix_of(nn.Sequential(module)) == Prefix(5, has_cls=True)


def test_poolings_of_tokens():
    tokens = torch.arange(24.0).reshape(2, 4, 3)
    mean = tokens[:, 2:].mean(dim=1)
    with_cls = Prefix(2, has_cls=True)
    assert torch.equal(pool(tokens, "cls_mean", with_cls), torch.cat([tokens[:, 0], mean], dim=1))
    assert torch.equal(pool(tokens, "cls", with_cls), tokens[:, 0])
    assert torch.equal(pool(tokens, "mean", with_cls), mean)
    assert torch.equal(pool(tokens, "cls_mean", Prefix(2, has_cls=False)), mean)
    assert torch.equal(pool(tokens, "cls_mean", Prefix(4, has_cls=True)), tokens.mean(dim=1))
    with pytest.raises(UsageError, match="class token"):
        pool(tokens, "cls", Prefix(0, has_cls=False))
    with pytest.raises(UsageError, match="fit"):
        pool(tokens, "grid2", with_cls)


def test_poolings_of_maps_with_channels_first_or_last():
    maps = torch.randn(2, 5, 4, 4)
    none = Prefix(0, has_cls=False)
    averaged = torch.stack([maps[..., r : r + 2, c : c + 2].mean(dim=(2, 3)) for r in (0, 2) for c in (0, 2)], dim=2)
    torch.testing.assert_close(pool(maps, "grid2", none), averaged.reshape(2, 20))
    torch.testing.assert_close(pool(maps.permute(0, 2, 3, 1), "grid2", none), averaged.reshape(2, 20))
    assert torch.equal(pool(maps, "grid14", none), maps.flatten(1))
    assert torch.equal(pool(maps, "sparse6", none), projected(maps.flatten(1), 6))
    torch.testing.assert_close(pool(maps, "mean", none), maps.mean(dim=(2, 3)))
    with pytest.raises(UsageError, match="fit"):
        pool(maps[:, 0, 0], "mean", none)


@pytest.mark.parametrize(
    ("shape", "pooling"),
    [((1, 8, 7, 7), "grid14"), ((1, 50, 8), "cls_mean"), ((1, 8), "flatten"), ((1, 8, 1, 1), "flatten")],
)
def test_default_poolings(shape, pooling):
    assert default_pooling(shape) == pooling
