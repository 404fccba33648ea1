"""Frozen facts about datasets, models and scorers, and the hash that is their identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

import numpy as np

# correlation; share of variance; share of what there is to tell of categories, or of stimuli told: it has no ceiling
Scale = Literal["r", "r2", "share"]
# what may be done to features (stimulus, unit) without moving a score: to all at once, to units, to stimuli
Invariance = Literal["scale", "rotation", "translation", "unit-permutation", "stimulus-scale", "stimulus-offset"]


def fingerprint(facts: Any) -> str:
    """The sha256 of `facts` written as canonical JSON: sorted keys, exact floats, nothing else.

    Takes dataclasses, mappings with string keys, sequences, strings, numbers, bools and None.
    Raises TypeError for anything whose text could depend on the process (sets, objects, arrays).
    """
    text = json.dumps(plain(facts), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def plain(value: Any) -> Any:
    """`value` in the types that JSON has: what is fingerprinted, as a file holds it. Raises as `fingerprint` does."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        if any(not isinstance(key, str) for key in value):
            raise TypeError(f"keys must be strings to be fingerprinted, got {list(value)[:3]}")
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float | np.integer | np.floating):
        return value.item() if isinstance(value, np.generic) else value
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    raise TypeError(f"a {type(value).__name__} cannot be fingerprinted: its text is not its content")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """What a recording is, as its release states it.

    `version` rises whenever the adapter reads the same files into other numbers. `measures` says what the
    dataset can give: "responses", "rdms", "behaviour"; `regions` is empty where that is behaviour alone. `unit` is
    the unit of the numbers. `synthetic` recordings are labelled so wherever they appear. Where regions are of several
    species or modalities, `by_region` has each one's own: (species, modality).
    """

    id: str
    version: int
    title: str
    species: str
    modality: str
    measures: tuple[str, ...]
    subjects: tuple[str, ...]
    regions: tuple[str, ...]
    unit: str
    citation: str
    licence: str
    url: str
    synthetic: bool = False
    by_region: Mapping[str, tuple[str, str]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """How a picture becomes the tensor a network sees, as data: the same facts give the same pixels.

    The shorter side is resized to `resize_px` (both sides, where `squash`), the centre `crop_px` square is cut,
    values in [0, 1] are multiplied by `scale`, then `mean` is taken off and `std` divides, in the order of
    `channels` ("RGB", "BGR" or "L"). `code` holds the sha256 or name of a preprocessing that is a function of
    the user's own, in which case the other fields are not used.
    """

    resize_px: int = 0
    crop_px: int = 0
    interpolation: str = "bicubic"
    squash: bool = False
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    channels: str = "RGB"
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpec:
    """One place of a network where features are read.

    `name` is the module's dotted name, `depth` its place from 0 (input) to 1 (last layer), `pooling` how its
    tensor becomes one vector a stimulus (see `brainbench.models._pooling`).
    """

    name: str
    depth: float
    pooling: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """What a model is. `weights` is the sha256 over all its tensors, trained or not."""

    id: str
    source: str
    weights: str
    preprocessing: Preprocessing
    layers: tuple[LayerSpec, ...]
    training_data: str = "unknown"
    licence: str = "unknown"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerSpec:
    """What a scorer is. `scale` is that of its raw score; `trains` says whether it fits anything to training stimuli.

    `requires` is what layers are scored on: responses of neuroids, RDMs of subjects, or labels, the categories of
    stimuli. `invariances` is all that may be done to features without moving the score, with the scorer's default
    parameters. One that `reads` units instead of geometry is given channels averaged over space, never a Gram matrix.
    `replicates` of default parameters are "exact", the same predictions scored on a sample in which stimuli occur as
    often as they say, or "first-order", the score moved by what each stimulus does to it.
    """

    name: str
    version: int
    scale: Scale
    requires: Literal["responses", "rdms", "labels"]
    trains: bool
    invariances: tuple[Invariance, ...] = ()
    reads: Literal["geometry", "units"] = "geometry"
    replicates: Literal["exact", "first-order"] = "exact"
