"""The laws of models hold for ours, and each bites: a planted defect is caught by the check meant for it alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn import functional

from brainbench import models
from brainbench.checks import Violation, kind_of, parametrize_with_checks, run_checks
from brainbench.checks import models as laws
from brainbench.checks._check import REGISTERED
from brainbench.core.specs import LayerSpec, ModelSpec, Preprocessing
from brainbench.core.stimuli import StimulusSet
from brainbench.errors import AccessError
from brainbench.extraction import extract, representation
from brainbench.models import _preprocess
from brainbench.models._pooling import pool, prefix_of
from brainbench.models._weights import sha256_of
from brainbench.store import Store

SEE = Preprocessing(resize_px=32, crop_px=32)


@pytest.fixture(autouse=True)
def one_thread():
    """One intra-op thread while the test runs: two that share a busy core wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A third party's model: nothing of the library's own but the spec."""

    spec: ModelSpec
    make: Callable[[], nn.Module]
    see: Callable[[Image.Image], Tensor]

    def build(self):
        return self.make()

    def preprocess(self, image):
        return self.see(image)


def planted(make, *, see=None, read=("0", "3"), **facts):
    """A model read at the layers `read` whose spec is true, but for `facts`."""
    depths = {name: (at + 1) / len(read) for at, name in enumerate(read)}
    spec = ModelSpec(
        id="planted:model",
        source="planted",
        weights=sha256_of(make().state_dict()),
        preprocessing=Preprocessing(code="planted") if see else SEE,
        layers=tuple(LayerSpec(name=name, depth=depth, pooling="flatten") for name, depth in depths.items()),
    )
    return Planted(spec=replace(spec, **facts), make=make, see=see or partial(_preprocess.apply, SEE))


def net(*inserted, seed=0):
    """A small network that obeys every law; `inserted` takes the place of the in-place ReLU behind its first layer."""
    torch.manual_seed(seed)
    first, act, last = nn.Conv2d(3, 4, 5, stride=4), nn.ReLU(inplace=True), nn.Linear(4 * 7 * 7, 8)
    return nn.Sequential(first, *(inserted or [act]), nn.Flatten(), last).eval()


def wrapped():
    return models.wrap(net(), preprocess=SEE, layers=["0:grid2", "3"], name="wrapped")


SMALL = [models.load(name) for name in ("baseline:pixels", "baseline:gabor", "insilico:cascade")]


@parametrize_with_checks([*SMALL, wrapped(), planted(net)])
def test_small_models_obey(thing, check):
    check.run(thing)


@pytest.mark.parametrize(
    "name",
    [
        "bundled:efficientnet_lite0",
        "bundled:squeezenet1_1",
        "timm:vit_tiny_patch16_224@untrained",
        "timm:resnet18@untrained",
        "open_clip:ViT-S-32-alt@untrained",
    ],
)
def test_networks_obey(name):
    try:
        model = models.load(name)
    except AccessError as error:
        pytest.skip(str(error))
    outcomes = list(run_checks(model))
    assert [f"{outcome.check}: {outcome.message}" for outcome in outcomes if outcome.status != "passed"] == []
    names = {outcome.check for outcome in outcomes}
    assert ("training_made_a_difference" in names) == name.startswith("bundled:")
    assert ("untrained_weights_come_from_their_seed" in names) == name.endswith("@untrained")


class Body(nn.Module):
    """A network around one function, read at its layer."""

    def __init__(self, forward, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.layer = nn.Identity()
        self.function = forward

    def forward(self, x):
        return self.layer(self.function(self, x))


class ViewOfWeights(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -1.0, 0.5]))

    def forward(self, x):
        return self.weight.view(1, -1, 1, 1)


def in_place_behind_a_view():
    gain, act, scaled = ViewOfWeights(), nn.ReLU(inplace=True), nn.Identity()

    def forward(self, x):
        gain = self.gain(x)
        return self.scaled(x * gain) + self.act(gain)  # from the second pass on, a weight is 0 that was -1

    return Body(forward, gain=gain, act=act, scaled=scaled).eval()


def batch_taken_for_tokens():
    """A causal block of (batch, token, dimension) that is given the batch as tokens: later stimuli see earlier ones."""

    def forward(self, x):
        tokens = functional.adaptive_avg_pool2d(x, 4).flatten(1)[None]  # (1, stimulus, 48)
        return self.block(tokens, src_mask=nn.Transformer.generate_square_subsequent_mask(tokens.shape[1]))[0]

    torch.manual_seed(0)
    return Body(forward, block=nn.TransformerEncoderLayer(48, 2, 16, batch_first=True)).eval()


def another_build(count=itertools.count(1)):  # noqa: B008  (every call counts on)
    factor = next(count)  # in no weight, whose hash would tell
    return Body(lambda self, x: factor * x).eval()


def one_weight_moved(seed):
    module = net(seed=seed)
    with torch.no_grad():
        module[0].weight.view(-1)[5] += 1e-6
    return module


def random_crop(image, generator=torch.Generator().manual_seed(0)):  # noqa: B008
    seen = _preprocess.apply(Preprocessing(resize_px=48, crop_px=48), image)
    top, left = torch.randint(0, 17, (2,), generator=generator).tolist()
    return seen[:, top : top + 32, left : left + 32]


def no_exif(image):
    bare = image.copy()
    bare.info.pop("exif", None)
    return _preprocess.apply(SEE, bare)


def colour_only(image):
    if image.mode not in ("RGB", "RGBA", "P", "CMYK"):
        raise ValueError(f"image has wrong mode {image.mode}")
    return _preprocess.apply(SEE, image)


def grey_stays_grey(image):
    seen = _preprocess.apply(SEE, image)
    return seen[:1] if image.mode == "L" else seen


def sixteen_bits_over_4096(image):
    if image.mode == "I;16":
        image = Image.fromarray((np.asarray(image) // 16).clip(0, 255).astype(np.uint8))
    return _preprocess.apply(SEE, image)


def shape_kept(image):
    return _preprocess.apply(Preprocessing(resize_px=32), image)


def in_the_picture_itself(image):
    ImageOps.exif_transpose(image, in_place=True)
    return _preprocess.apply(SEE, image)


def dark_divides(self, x):
    return x / x.amax(dim=(1, 2, 3), keepdim=True)


def nan_in_threes(self, x):
    return x * (float("nan") if len(x) == 3 else 1.0)


def windows(self, x):
    return self.entry(x).unfold(2, 16, 16).transpose(1, 2).flatten(0, 1)


def called_twice(self, x):
    return self.conv(self.conv(x))


def noisy(self, x):
    return functional.dropout(x, 0.5, training=True)


def body(forward, *, see=None, read=("layer",), **parts):
    return planted(lambda: Body(forward, **parts).eval(), see=see, read=read)


def layers(*depths, pooling="flatten"):
    """Layers at these depths; `pooling` is that of the first."""
    poolings = [pooling] + ["flatten"] * (len(depths) - 1)
    return tuple(LayerSpec(name=name, depth=depth, pooling=how) for (name, depth), how in zip(depths, poolings))


def posing_as(id, seed):
    """A small untrained network of a seed under another name."""
    model = models.load(f"timm:test_efficientnet@untrained{seed}")
    return Planted(spec=replace(model.spec, id=id), make=model.build, see=model.preprocess)


# what is wrong, the model, the one check that must see it
DEFECTS = [
    ("a layer twice", lambda: planted(net, layers=layers(("0", 0.5), ("0", 1.0))), "spec_is_complete"),
    ("deep layers first", lambda: planted(net, layers=layers(("3", 1.0), ("0", 0.5))), "spec_is_complete"),
    ("depth in layers", lambda: planted(net, layers=layers(("0", 1.0), ("3", 2.0))), "spec_is_complete"),
    ("no licence", lambda: planted(net, licence=""), "spec_is_complete"),
    ("no such layer", lambda: planted(net, read=("0", "7")), "layers_can_be_read"),
    (
        "never called",
        lambda: body(lambda self, x: x, spare=nn.Identity(), read=("spare", "layer")),
        "layers_can_be_read",
    ),
    ("called twice", lambda: body(called_twice, conv=nn.Conv2d(3, 3, 1), read=("conv", "layer")), "layers_can_be_read"),
    ("windows for stimuli", lambda: body(windows, entry=nn.Identity(), read=("entry", "layer")), "layers_can_be_read"),
    (
        "unknown pooling",
        lambda: planted(net, layers=layers(("0", 0.5), ("3", 1.0), pooling="max")),
        "layers_can_be_read",
    ),
    (
        "no class token",
        lambda: planted(net, layers=layers(("0", 0.5), ("3", 1.0), pooling="cls")),
        "layers_can_be_read",
    ),
    ("depths reversed", lambda: planted(net, layers=layers(("3", 0.2), ("0", 0.9))), "depths_follow_the_pass"),
    ("NaN where it is black", lambda: body(dark_divides), "features_are_finite"),
    (
        "batch statistics",
        lambda: planted(lambda: net(nn.BatchNorm2d(4, track_running_stats=False))),
        "batches_change_nothing",
    ),
    ("NaN beside others", lambda: body(nan_in_threes), "batches_change_nothing"),
    ("batch taken for tokens", lambda: planted(batch_taken_for_tokens, read=("layer",)), "batches_change_nothing"),
    ("other weights each time", lambda: planted(another_build, read=("layer",)), "builds_agree"),
    ("training mode", lambda: planted(lambda: net(nn.Dropout()).train()), "build_is_in_eval_mode"),
    ("grey is refused", lambda: planted(net, see=colour_only), "every_picture_is_seen"),
    ("grey has one channel", lambda: planted(net, see=grey_stays_grey), "every_picture_is_seen"),
    ("pictures keep their shape", lambda: body(lambda self, x: x, see=shape_kept), "every_picture_is_seen"),
    ("16 bits divided wrongly", lambda: planted(net, see=sixteen_bits_over_4096), "modes_look_the_same"),
    ("EXIF ignored", lambda: planted(net, see=no_exif), "rotated_pictures_are_upright"),
    ("random crop", lambda: planted(net, see=random_crop), "preprocessing_repeats"),
    ("turned in place", lambda: planted(net, see=in_the_picture_itself), "pictures_are_left_alone"),
    (
        "another mean than declared",
        lambda: planted(net, preprocessing=replace(SEE, mean=(0.5, 0.5, 0.5))),
        "preprocessing_is_as_declared",
    ),
    (
        "in place on a view of weights",
        lambda: planted(in_place_behind_a_view, read=("scaled", "layer")),
        "extraction_reads_what_a_stopped_pass_gives",
    ),
    ("hash typed by hand", lambda: planted(net, weights="0" * 64), "weights_are_those_of_the_network"),
    ("version for a hash", lambda: planted(net, weights="v1"), "weights_are_those_of_the_network"),
    (
        "weights changed since",
        lambda: planted(partial(net, seed=1), weights=sha256_of(one_weight_moved(seed=1).state_dict())),
        "weights_are_those_of_the_network",
    ),
    (
        "seed of another twin",
        lambda: posing_as("timm:test_efficientnet@untrained", 1),
        "untrained_weights_come_from_their_seed",
    ),
    ("never trained", lambda: posing_as("timm:test_efficientnet", 0), "training_made_a_difference"),
]


@pytest.mark.parametrize(("make", "check"), [pytest.param(*case, id=name) for name, *case in DEFECTS])
def test_each_defect_is_caught_by_its_own_check_alone(make, check):
    failed = [outcome for outcome in run_checks(make()) if outcome.status == "failed"]
    assert [outcome.check for outcome in failed] == [check], [outcome.message for outcome in failed]
    assert failed[0].message
    assert failed[0].mend


def test_every_check_has_a_defect():
    assert {check for _, _, check in DEFECTS} == {law.name for law in REGISTERED["model"]}


def test_noise_in_eval_mode_is_caught_wherever_features_are_compared():
    failed = {outcome.check for outcome in run_checks(body(noisy)) if outcome.status == "failed"}
    assert failed == {"batches_change_nothing", "builds_agree", "extraction_reads_what_a_stopped_pass_gives"}


def test_hooks_that_do_not_copy_are_caught(monkeypatch):
    def careless(module, inputs, layers):
        caught = {}
        for name in layers:
            hook = lambda *call, name=name: caught.update({name: call[-1]})  # noqa: E731
            module.get_submodule(name).register_forward_hook(hook)
        with torch.no_grad():
            module(inputs[0]()[None])
        return {name: pool(caught[name], pooling, prefix_of(module)) for name, pooling in layers.items()}

    monkeypatch.setattr(laws, "extract", careless)
    with pytest.raises(Violation, match="layer '0' read in a whole pass is not what it gave"):
        laws.check_extraction_reads_what_a_stopped_pass_gives(planted(net))


def test_checks_leave_the_model_as_it_was():
    module = net(nn.Dropout()).train()
    before = sha256_of(module.state_dict())
    list(run_checks(planted(lambda: module)))
    assert sha256_of(module.state_dict()) == before
    assert all(part.training and not part._forward_hooks for part in module.modules())


def test_stored_features_are_found_again_by_what_made_them_and_by_nothing_else(tmp_path):
    pictures = {f"s{i}": Image.new("RGB", (32, 32), (40 * i, 90, 200 - 40 * i)) for i in range(3)}
    table = pd.DataFrame({"sha256": ["0", "1", "2"]}, index=pd.Index(list(pictures), name="stimulus_id"))
    stimuli = StimulusSet(name="colours", table=table, open=lambda name: pictures[name].copy())
    store, model = Store(tmp_path), planted(net)
    extract(model, stimuli, store, device="cpu", provenance={}, progress=lambda count: None, max_bytes=2**30)

    def found(**facts):
        spec = replace(model.spec, **facts)
        return [representation(replace(model, spec=spec), layer, stimuli, store) is not None for layer in spec.layers]

    first, last = model.spec.layers
    other_facts = {"training_data": "else", "licence": "else", "note": "else"}
    assert found() == found(**other_facts) == found(layers=(replace(first, depth=0.1), last)) == [True, True]
    assert found(layers=(replace(first, pooling="mean"), last)) == [False, True]
    for moved in ({"weights": "0" * 64}, {"preprocessing": replace(SEE, interpolation="bilinear")}, {"source": "else"}):
        assert found(**moved) == [False, False]


def test_only_what_builds_and_preprocesses_is_a_model():
    assert kind_of(planted(net)) == "model"
    with pytest.raises(TypeError, match="spec, build, preprocess"):
        kind_of(net())
