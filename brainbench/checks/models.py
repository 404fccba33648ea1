"""The laws of models: what a network answers depends on the picture alone, and its spec tells which network it is."""

from __future__ import annotations

import re
from contextlib import suppress
from copy import deepcopy
from itertools import combinations
from typing import cast

import torch
from PIL import Image
from torch import Tensor

from brainbench.checks._check import Violation, check
from brainbench.checks._passes import apart, seen_of, stopped
from brainbench.core.protocols import Model
from brainbench.core.specs import ModelSpec, fingerprint
from brainbench.errors import BrainbenchError, listed
from brainbench.models import _preprocess, load
from brainbench.models._extract import TOLERANCE, extract
from brainbench.models._probes import colourful, kinds, rotated, same_in_every_mode
from brainbench.models._weights import sha256_of

GREY_LEVELS = 4 / 255  # of the range of a picture: what rounding to 8 bit, before or after resizing, may change
HAVE_TWINS = ("bundled:", "timm:", "open_clip:")


@check("model", mend="state every fact in spec; list layers from the input to the last, each once")
def check_spec_is_complete(model: Model) -> None:
    spec = model.spec
    if not isinstance(spec, ModelSpec):
        raise Violation(f"spec must be a ModelSpec, it is a {type(spec).__name__}")
    empty = [
        fact for fact in ("id", "source", "weights", "layers", "training_data", "licence") if not getattr(spec, fact)
    ]
    if empty:
        raise Violation(f"these facts of the spec are empty: {listed(empty)}")
    names, depths = [layer.name for layer in spec.layers], [layer.depth for layer in spec.layers]
    if len(set(names)) < len(names):
        raise Violation(f"layers must be named once each: {names}")
    if not all(0 <= depth <= 1 for depth in depths) or sorted(depths) != depths:
        raise Violation(f"depths must rise from 0 (input) to 1 (last layer), layer by layer; they are {depths}")
    fingerprint(spec)


@check("model", mend="name modules that the forward pass calls once, and that give one tensor with a row a stimulus")
def check_layers_can_be_read(model: Model) -> None:
    faults = [f"layer {name!r} {axis}" for name, axis in seen_of(model).readable.items() if isinstance(axis, str)]
    if faults:
        raise Violation("; ".join(faults))


@check("model", mend="give each layer the depth at which it runs; leave `layers` to the default ladder to have it set")
def check_depths_follow_the_pass(model: Model) -> None:
    called = list(seen_of(model).answers)
    known = [layer for layer in model.spec.layers if layer.name in called]
    for one, other in combinations(sorted(known, key=lambda layer: layer.depth), 2):
        if one.depth < other.depth and called.index(one.name) > called.index(other.name):
            raise Violation(
                f"layer {one.name!r} is said to lie at depth {one.depth:.3g}, before {other.name!r} at "
                f"{other.depth:.3g}, but answers after it"
            )


@check("model", mend="keep divisions and logarithms away from 0: uniform pictures are stimuli, too")
def check_features_are_finite(model: Model) -> None:
    seen = seen_of(model)
    answers = {f"an ordinary picture ({seed})": {k: v[[seed]] for k, v in seen.features.items()} for seed in range(3)}
    for colour in ("black", "white"):
        answers[f"a {colour} picture"] = seen.rows(model.preprocess(Image.new("RGB", (160, 120), colour))[None])
    for title, rows in answers.items():
        for name, row in rows.items():
            expected = seen.features[name][:1].shape
            if row.shape != expected:
                raise Violation(f"layer {name!r} gives {tuple(row.shape)} for {title}, not {tuple(expected)} as before")
            if not row.isfinite().all():
                n = int(row.isfinite().logical_not().sum())
                raise Violation(f"layer {name!r} gives NaN or infinity in {n} of {row.shape[1]} units for {title}")


@check(
    "model",
    mend="let no stimulus see its neighbours: no batch statistics, no noise, tokens and batch on their own axes",
)
def check_batches_change_nothing(model: Model) -> None:
    seen = seen_of(model)
    for order in ([2, 0, 1], [1, 1]):
        for name, rows in seen.rows(seen.inputs[order]).items():
            for row, picture in zip(rows, order):
                off = apart(row, seen.features[name][picture])
                if off > TOLERANCE:
                    raise Violation(
                        f"layer {name!r} answers picture {picture} of the batch {order} otherwise than alone: by "
                        f"{off:.2g} of its largest feature, more than {TOLERANCE}"
                    )


@check("model", mend="load or seed the weights inside build(), so that every call gives the same network")
def check_builds_agree(model: Model) -> None:
    seen = seen_of(model)
    for name, rows in seen.rows(seen.inputs[:1], model.build()).items():
        off = apart(rows[0], seen.features[name][0])
        if off > TOLERANCE:
            raise Violation(f"a second build() gives other features in layer {name!r}: by {off:.2g} of the largest")


@check("model", mend="call .eval() on the network before build() returns it")
def check_build_is_in_eval_mode(model: Model) -> None:
    network = model.build()
    training = [name or "the network" for name, part in network.named_modules() if part.training]
    if training:
        raise Violation(f"build() returns {len(training)} modules in training mode: {listed(training)}")


@check(
    "model",
    mend="convert every mode to 8-bit RGB, then resize and crop to a fixed size; core.specs.Preprocessing does",
)
def check_every_picture_is_seen(model: Model) -> None:
    expected = None
    for title, picture in kinds().items():
        try:
            seen = model.preprocess(picture)
        except Exception as error:
            raise Violation(f"preprocess of a picture ({title}) raises {type(error).__name__}: {error}") from error
        if not isinstance(seen, Tensor) or seen.dtype != torch.float32 or seen.ndim != 3:
            what = f"{seen.dtype} {tuple(seen.shape)}" if isinstance(seen, Tensor) else f"a {type(seen).__name__}"
            raise Violation(f"a picture ({title}) becomes {what}, not float32 (channel, height, width)")
        expected = expected or seen.shape
        if seen.shape != expected:
            raise Violation(f"a picture ({title}) becomes {tuple(seen.shape)}, an RGB one {tuple(expected)}")
        if not seen.isfinite().all():
            raise Violation(f"a picture ({title}) becomes NaN or infinity")


@check(
    "model",
    mend="scale every mode to the same white: 16-bit grey by 1/257, opaque alpha by nothing, palettes looked up",
)
def check_modes_look_the_same(model: Model) -> None:
    grey, *others = same_in_every_mode()
    for other in others:
        off = _sets_apart(model, grey, other)
        if off > GREY_LEVELS:
            raise Violation(
                f"one grey picture is seen otherwise in mode {other.mode} than in mode L: by {off:.2g} of the range"
            )


@check("model", mend="call PIL.ImageOps.exif_transpose before anything else")
def check_rotated_pictures_are_upright(model: Model) -> None:
    for orientation in range(2, 9):
        off = _sets_apart(model, rotated(1), rotated(orientation))
        if off > GREY_LEVELS:
            raise Violation(
                f"a picture stored with EXIF orientation {orientation} is seen otherwise than upright: by {off:.2g} of "
                "the range"
            )


@check("model", mend="leave random crops, flips and colour jitter out")
def check_preprocessing_repeats(model: Model) -> None:
    looks = [model.preprocess(colourful()) for _ in range(4)]
    if not all(torch.equal(looks[0], look) for look in looks[1:]):
        raise Violation("preprocess sees the same picture differently when asked again")


@check(
    "model",
    mend="work on a copy: Image.thumbnail, putalpha, paste and exif_transpose(in_place=True) change the picture",
)
def check_pictures_are_left_alone(model: Model) -> None:
    for title, picture in kinds().items():
        before = picture.mode, picture.size, picture.tobytes(), dict(picture.getexif())
        with suppress(Exception):  # whether it is seen at all is another check
            model.preprocess(picture)
        if (picture.mode, picture.size, picture.tobytes(), dict(picture.getexif())) != before:
            raise Violation(f"preprocess changes the picture it is given ({title})")


@check(
    "model",
    mend="let preprocess follow spec.preprocessing, or put the hash of your own code into spec.preprocessing.code",
    applies=lambda model: not model.spec.preprocessing.code,
)
def check_preprocessing_is_as_declared(model: Model) -> None:
    for width, height in ((160, 120), (97, 211), (300, 300)):
        picture = colourful(width, height)
        declared, seen = _preprocess.apply(model.spec.preprocessing, picture), model.preprocess(picture)
        if apart(declared, seen) > TOLERANCE:
            raise Violation(
                f"preprocess makes something else of a picture of {width} x {height} px than {model.spec.preprocessing}"
            )


@check("model", mend="let a pass leave nothing behind: no in-place work on views of weights, buffers or kept tensors")
def check_extraction_reads_what_a_stopped_pass_gives(model: Model) -> None:
    seen = seen_of(model)
    try:
        layers = {name: seen.poolings[name] for name in seen.axes}
        features = extract(deepcopy(seen.network), [lambda: seen.inputs[0]], layers)
    except BrainbenchError as error:
        raise Violation(f"extraction refuses the network: {error}") from error
    network = deepcopy(seen.network)
    for name, rows in features.items():
        off = apart(rows[0], seen.rows_of(name, stopped(network, name, seen.inputs[:1]))[0])
        if off > TOLERANCE:
            raise Violation(
                f"layer {name!r} read in a whole pass is not what it gave when the pass is stopped right behind it: by "
                f"{off:.2g} of its largest feature"
            )


@check("model", mend="have brainbench.models.wrap hash the weights, trained or not; type no hash by hand")
def check_weights_are_those_of_the_network(model: Model) -> None:
    declared = model.spec.weights
    if not re.fullmatch("[0-9a-f]{64}", declared):
        raise Violation(f"weights must be a sha256, they are {declared!r}")
    actual = sha256_of(model.build().state_dict())
    if actual != declared:
        raise Violation(f"the spec says that the weights are {declared}, those of the network are {actual}")


@check(
    "model",
    mend="draw every random number of an untrained network from the seed in its name",
    applies=lambda model: model.spec.id.startswith(HAVE_TWINS) and "@" in model.spec.id,
)
def check_untrained_weights_come_from_their_seed(model: Model) -> None:
    weights = [made.build().state_dict() for made in (model, cast(Model, load(model.spec.id)))]
    if sha256_of(weights[0]) != sha256_of(weights[1]):
        raise Violation(f"{model.spec.id!r}, loaded again, has other weights")


@check(
    "model",
    mend="load the trained weights: the network answers as if it had never seen a picture",
    applies=lambda model: model.spec.id.startswith(HAVE_TWINS) and "@" not in model.spec.id,
)
def check_training_made_a_difference(model: Model) -> None:
    seen = seen_of(model)
    deepest = max(seen.axes, key=list(seen.answers).index)
    twin = cast(Model, load(f"{model.spec.id}@untrained", layers=[deepest]))
    if apart(seen.features[deepest][:1], seen.rows(seen.inputs[:1], twin.build())[deepest]) <= TOLERANCE:
        raise Violation(f"its deepest layer {deepest!r} gives the features of the untrained twin")


def _sets_apart(model: Model, picture: Image.Image, other: Image.Image) -> float:
    """How differently two pictures of the same thing are seen, as a share of the range of values.

    0 where one of them is not seen at all, or chance does as much: other checks tell that.
    """
    try:
        looks = [model.preprocess(shown) for shown in (picture.copy(), picture, other)]
    except Exception:
        return 0.0
    first, again, seen = looks
    if seen.shape != first.shape or not torch.equal(first, again):
        return 0.0
    return float((seen - first).abs().max() / (first.max() - first.min()).clamp_min(torch.finfo(torch.float32).tiny))
