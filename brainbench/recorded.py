"""The brain as a model: `recording:DATASET.REGION/SUBJECT/SESSION` has a recording's mean responses for its features.

So a region stands beside networks wherever it is not scored on itself: how well can the categories of stimuli be read
(Cadieu et al. 2014)? A recording with a time axis has a layer a bin: its layer curve is its time course.
`matched` is the other direction: features as if the recording's sites and trials had measured them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from brainbench import datasets
from brainbench.benchmarks import Benchmark
from brainbench.core.arrays import Block, blocks
from brainbench.core.protocols import Model
from brainbench.core.specs import DatasetSpec
from brainbench.errors import InputError, UsageError, listed
from brainbench.models.features_file import FeatureTable
from brainbench.numerics.noise_matching import RecordingNoise, noise_matched, random_units, recording_noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded(FeatureTable):
    """Mean responses to each stimulus, a unit a neuroid: those of `neuroids`, by subject, in `region` of `dataset`."""

    dataset: str
    region: str
    neuroids: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """Single presentations (stimulus, repetition, neuroid[, time]) to neuroids that were shown the same stimuli."""

    dataset: DatasetSpec
    region: str
    blocks: dict[str, Block]  # by subject
    time_s: np.ndarray | None


def load(name: str, *, layers: Sequence[str] | None = None, roots: Mapping[str, Path] | None = None) -> Recorded:
    """The recording `DATASET.REGION[/SUBJECT[/SESSION]]`, its mean over repetitions at all layers or only at `layers`.

    There is one layer, named as the region, or one a time bin, `t0.075s` for the bin around 75 ms after onset, its
    depth its place in time. Neuroids that lack a stimulus are left out, and counted in the spec's note. Raises
    UnknownNameError for a dataset, region, subject, session or layer that does not exist, AccessError for a recording
    that is not here, UsageError for one without responses, and, listing the sessions, where neuroids were shown
    different stimuli, InputError where no neuroid is complete.
    """
    shown = _shown(name, roots)
    means, n_all = [], 0
    for block in shown.blocks.values():
        mean = block.mean()
        complete = np.isfinite(mean).all(axis=(0, *range(2, mean.ndim)))
        means.append(mean[:, complete])
        n_all += len(complete)
    values = np.concatenate(means, axis=1)
    if not values.shape[1]:
        raise InputError(f"no neuroid of recording:{name} has a response to every stimulus: {n_all} are incomplete")
    if shown.time_s is None:
        features = {shown.region: values}
    else:
        features = {f"t{second:.3f}s": values[:, :, at] for at, second in enumerate(shown.time_s)}
    table = FeatureTable.from_arrays(features, next(iter(shown.blocks.values())).stimulus_ids, name, layers=layers)
    note = (
        f"{values.shape[1]} neuroids of {', '.join(shown.blocks)}; {n_all - values.shape[1]} incomplete ones left out"
    )
    return Recorded(
        spec=replace(table.spec, id=f"recording:{name}", source="recording", licence=shown.dataset.licence, note=note),
        stimulus_ids=table.stimulus_ids,
        tensors=table.tensors,
        dataset=shown.dataset.id,
        region=shown.region,
        neuroids={subject: frozenset(block.neuroid_ids) for subject, block in shown.blocks.items()},
    )


def on_itself(model: Model | FeatureTable, benchmark: Benchmark, dataset: Any) -> bool:
    """Whether the model is a recording of neuroids that it would be compared with; never so for labels.

    Regions overlap, so a neuroid may be there under several names. Another release of the recording has other names for
    neuroids: there the same people are enough.
    """
    if not isinstance(model, Recorded) or not benchmark.region:
        return False
    if datasets.recording(model.dataset) != datasets.recording(benchmark.dataset):
        return False
    people = model.neuroids.keys() & set(benchmark.subjects or dataset.spec.subjects)
    if (model.dataset, model.region) == (benchmark.dataset, benchmark.region) or model.dataset != benchmark.dataset:
        return bool(people)
    asked = {"regions": (benchmark.region,), "sessions": benchmark.sessions}
    there = {subject: dataset.responses(subject, **asked)["neuroid_id"].values for subject in sorted(people)}
    return any(not model.neuroids[subject].isdisjoint(names) for subject, names in there.items())


def noise(
    name: str, *, roots: Mapping[str, Path] | None = None, law: Literal["sd", "variance"] = "sd"
) -> RecordingNoise:
    """What of the recording `DATASET.REGION[/SUBJECT[/SESSION]]` is noise, from its single presentations.

    Raises as `load` does, and UsageError for a recording with a time axis, whose noise is another one in every bin.
    """
    shown = _shown(name, roots)
    if shown.time_s is not None:
        raise UsageError(f"recording:{name} has a time axis, and its noise differs between bins: none can be matched")
    longest = max(block.values.shape[1] for block in shown.blocks.values())
    padded = [
        np.pad(block.values, ((0, 0), (0, longest - block.values.shape[1]), (0, 0)), constant_values=np.nan)
        for block in shown.blocks.values()
    ]
    return recording_noise(torch.as_tensor(np.concatenate(padded, axis=2)), law=law)


def matched(features: FeatureTable, name: str, *, seed: int, roots: Mapping[str, Path] | None = None) -> FeatureTable:
    """Features as if the sites and trials of the recording had measured them, for its stimuli.

    Each layer keeps as many units as the recording has neuroids, drawn at random by `seed`, scaled to its signal
    variance and under noise as large as in the mean of its repetitions (`numerics.noise_matching`). Raises UsageError
    for a layer with fewer units, AlignmentError where a stimulus is missing, and as `noise` does.
    """
    like, found = load(name, roots=roots), noise(name, roots=roots)
    n_units = next(iter(like.tensors.values())).shape[1]
    layers = {}
    for number, layer in enumerate(features.tensors):
        x = features.features(layer, like.stimulus_ids)
        drawn = random_units(x.shape[1], n_units, n_draws=1, seed=seed)[0]
        generator = torch.Generator().manual_seed(seed * len(features.tensors) + number)
        layers[layer] = noise_matched(x[:, drawn], found, generator=generator)
    made = f"{features.spec.id.removeprefix('features:')}, matched to recording:{name} by seed {seed}"
    return FeatureTable.from_arrays(layers, like.stimulus_ids, made)


def _shown(name: str, roots: Mapping[str, Path] | None) -> _Shown:
    dataset_id, _, rest = name.partition(".")
    region, *asked = rest.split("/")
    if not region or len(asked) > 2 or not all(asked):
        raise UsageError(f"a recording is named DATASET.REGION, DATASET.REGION/SUBJECT or .../SESSION; got {name!r}")
    measures = datasets.DATASETS[dataset_id].spec.measures
    if "responses" not in measures:
        raise UsageError(f"{dataset_id} holds {', '.join(measures)}, no responses that could be features")
    dataset: Any = datasets.load(dataset_id, dict(roots or {}))
    spec: DatasetSpec = dataset.spec
    responses = {
        subject: dataset.responses(subject, regions=(region,), sessions=tuple(asked[1:]) or None)
        for subject in asked[:1] or spec.subjects
    }
    found = {subject: blocks(array) for subject, array in responses.items()}
    if len({block.stimulus_ids for parts in found.values() for block in parts}) > 1:
        choices = [
            f"recording:{dataset_id}.{region}/{subject}/{session}"
            for subject, array in responses.items()
            for session in sorted(set(array["session"].values))
        ]
        raise UsageError(
            f"the neuroids of recording:{name} were shown different stimuli, so no row of features is whole. "
            f"Name a session: {listed(choices, len(choices))}"
        )
    first = next(iter(responses.values()))
    time_s = first["time_s"].values if "time_s" in first.coords else None
    return _Shown(dataset=spec, region=region, blocks={s: parts[0] for s, parts in found.items()}, time_s=time_s)
