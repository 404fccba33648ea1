"""Networks: one source a file. A model is named `source:name`; importing this package imports no torch."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from brainbench.core.registry import Registry
from brainbench.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from brainbench.core.protocols import Model
    from brainbench.core.specs import Preprocessing
    from brainbench.models.features_file import FeatureTable

# A source is a callable (name, *, layers) -> Model; one that can read a weights file also takes `weights`, and one that
# reads recordings `roots`, their folders.
SOURCES = Registry(
    kind="source of models",
    own={
        "baseline": "brainbench.models.baselines:baseline",
        "bundled": "brainbench.models.bundled:load",
        "features": "brainbench.models.features_file:load",
        "in_context": "brainbench.models.in_context:load",
        "insilico": "brainbench.models.insilico:insilico",
        "module": "brainbench.models.module:load",
        "open_clip": "brainbench.models.open_clip_zoo:load",
        "recording": "brainbench.recorded:load",  # named here, defined above: networks know nothing of datasets
        "timm": "brainbench.models.timm_zoo:load",
    },
    group="brainbench.models",
)


def load(
    name: str,
    *,
    layers: Sequence[str] | Mapping[str, str] | None = None,
    weights: Path | None = None,
    roots: Mapping[str, Path] | None = None,
) -> Model | FeatureTable:
    """The model `source:name`, such as "bundled:efficientnet_lite0", "timm:resnet18.a1_in1k@untrained",
    "open_clip:ViT-B-32/openai", "module:package.mod:callable", "features:FILE.safetensors", "baseline:gabor",
    "recording:cowley2023.V4/PE/210325".

    "@untrained" (seed 0) or "@untrained<seed>" after a bundled, timm or open_clip name is its untrained twin. `layers`
    are "name" or "name:pooling" each, or a dict from name to pooling; None takes the default ladder. `weights` is a
    file of a timm or open_clip network.
    `roots` maps datasets to their folders, for recordings, and goes before the environment.
    Raises UnknownNameError for any part of the name that is not known, AccessError for weights that are not here.
    """
    source, colon, rest = name.partition(":")
    if not colon or not rest:
        raise UnknownNameError("model", name, _meant(name))
    make: Callable[..., Model | FeatureTable] = SOURCES[source]
    takes = inspect.signature(make).parameters
    given: dict[str, Any] = {"layers": _spelled(layers)} | ({"roots": roots} if "roots" in takes else {})
    if weights is None:
        return make(rest, **given)
    if "weights" not in takes:
        raise UsageError(f"{source!r} models bring their own weights; a weights file goes with timm: and open_clip:")
    if rest.partition("@")[1]:
        raise UsageError(f"{name!r} names an untrained twin, and a weights file was given: leave one of them out")
    return make(rest, weights=weights, **given)


def _spelled(layers: Sequence[str] | Mapping[str, str] | None) -> list[str] | None:
    """Each layer as "name" or "name:pooling"; None for None. Raises UsageError for what is no string."""
    if layers is None:
        return None
    given: Any = layers.items() if isinstance(layers, Mapping) else layers
    if isinstance(given, str) or not isinstance(given, Iterable):
        given = [given]
    spelled = [layer if isinstance(layers, Mapping) else (layer,) for layer in given]
    for part in chain(*spelled):
        if not isinstance(part, str):
            raise UsageError(
                f"layers are named by strings, NAME or NAME:POOLING, or by a dict from name to pooling; got {part!r}"
            )
    return [":".join(parts) for parts in spelled]


def _meant(name: str) -> list[str]:
    """Full names that a name without its source may stand for; all that are listed where none is near."""
    from brainbench.models._torchvision import prepare

    prepare()
    import timm

    from brainbench.models.bundled import BUNDLES

    listed = [row.name for row in _SMALL] + [f"bundled:{bundle}" for bundle in BUNDLES]
    full = {row.partition(":")[2]: row for row in listed}
    near = [full[match] for match in difflib.get_close_matches(name, full, cutoff=0.6)]
    return near + [f"timm:{name}"] * timm.is_model(name.partition("@")[0]) or listed


def wrap(
    module: torch.nn.Module,
    *,
    preprocess: Preprocessing | Callable[[Image.Image], torch.Tensor],
    layers: Sequence[str] | Mapping[str, str] | None = None,
    name: str = "module",
) -> Model:
    """The user's own module as a Model; the module is not touched. `layers` are as `load` takes them.

    `preprocess` makes a float32 (channel, height, width) of a PIL picture. Its identity is what it does, that of the
    module its weights and source code, so `name` is only a label.
    """
    from brainbench.models import module as source

    return source.wrap(module, preprocess=preprocess, layers=_spelled(layers), name=name)


class Known(NamedTuple):
    """A row of `brainbench list models`: one model, or a pattern for many."""

    name: str
    description: str
    available: bool
    how_to_get: str


_SMALL = (
    Known("baseline:pixels", "the picture itself, made small", True, ""),
    Known("baseline:gabor", "Gabor energy at several scales and orientations", True, ""),
    Known("in_context:small", "what the shipped in-context encoder reads of EfficientNet-Lite0", True, ""),
    Known("in_context:small-untrained", "the same of EfficientNet-Lite0 with random weights", True, ""),
    Known("in_context:small-mobilenetv2", "the same of MobileNetV2", True, ""),
    Known("insilico:cascade", "the hierarchy behind the synthetic dataset: an oracle", True, ""),
    Known("module:PACKAGE.MODULE:CALLABLE", "your own network; the callable returns an nn.Module", True, ""),
    Known("features:FILE.safetensors", "features computed elsewhere, rows named by stimulus id", True, ""),
    Known("recording:DATASET.REGION/SUBJECT/SESSION", "a recording's mean responses: the brain as a row", True, ""),
)


def known() -> list[Known]:
    """Every model that can be named, patterns summarised with counts; asks timm and open_clip, so it imports them."""
    from brainbench.models import bundled, open_clip_zoo, timm_zoo

    rows = [
        Known(
            f"bundled:{name}", bundle.description, (here := bundle.path() is not None), "" if here else bundle.install
        )
        for name, bundle in bundled.BUNDLES.items()
    ]
    for pattern, counts in (("timm:NAME", timm_zoo.counts()), ("open_clip:ARCH/TAG", open_clip_zoo.counts())):
        networks, trained, cached = counts
        description = f"{networks} networks; of {trained} sets of trained weights {cached} are on this machine"
        how = (
            "load once online with the library itself, or HF_HOME, or --weights FILE (of `score` and `query`); "
            "'@untrained' needs none"
        )
        rows.append(Known(pattern, description, cached > 0, how))
    return [*rows, *_SMALL]
