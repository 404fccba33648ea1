"""The RDMs of a recording: the released ones, or those of its mean responses, in every time bin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from brainbench.benchmarks import Benchmark
from brainbench.core.arrays import Block, RDMs, blocks
from brainbench.core.splits import Split
from brainbench.datasets._sessions import chosen
from brainbench.errors import InputError
from brainbench.numerics.crossnobis import crossnobis
from brainbench.numerics.representation import Representation


def rdms(dataset: Any, region: str, benchmark: Benchmark, scorer: Any, split: Split) -> RDMs:
    """One RDM a subject and time bin: the released ones averaged over sessions, or those of the mean responses.

    `scorer.rdm` says which kind. Where `scorer.noise_normalization` is "univariate", each fold of the split has RDMs
    of its own, of neuroids divided by `noise_sd` of its training stimuli. Neuroids that lack a stimulus in some bin are
    left out. Raises InputError where dissimilarities of that kind cannot be made of what was recorded, UnknownNameError
    for a subject or session that it lacks.
    """
    kind = getattr(scorer, "rdm", "correlation")  # a scorer that does not say gets what is usual
    whitens = getattr(scorer, "noise_normalization", "none") == "univariate"
    if "rdms" in dataset.spec.measures:
        if kind in ("squared_euclidean", "crossnobis") or whitens:
            raise InputError(
                f"{benchmark.dataset} was released as dissimilarities, not as responses, and {scorer.spec.name} needs "
                "the geometry of responses: use rsa without noise_normalization, or ssm"
            )
        released = dataset.rdms(region)
        for axis, asked in (("subject", benchmark.subjects), ("session", benchmark.sessions)):
            kept = chosen(f"{axis} of {benchmark.dataset} in {region}", asked, tuple(released[axis].values))
            released = released.sel({axis: list(kept)})
        return RDMs(
            stimulus_ids=tuple(released["stimulus_id"].values),
            subjects=tuple(released["subject"].values),
            values=_mean_over_sessions(released.values),
        )
    found, ids, times, left_out = [], set(), set(), 0
    subjects = benchmark.subjects or dataset.spec.subjects
    for subject in subjects:
        responses = dataset.responses(subject, regions=(region,), sessions=benchmark.sessions)
        measured = blocks(responses)
        if len(measured) != 1:
            raise InputError(f"{subject}'s neuroids in {region} were shown different stimuli: they have no common RDM")
        (block,) = measured
        whole = np.isfinite(block.mean()).all(axis=(0, *range(2, responses.ndim)))
        if whole.sum() < 2:
            raise InputError(
                f"{subject} has {whole.sum()} of {len(whole)} neuroids in {region} with a response to "
                f"every stimulus: dissimilarities need 2"
            )
        left_out += int((~whole).sum())
        ids.add(block.stimulus_ids)
        times.add(tuple(responses["time_s"].values.tolist()) if responses.ndim == 3 else ())
        if len(ids) != 1 or len(times) != 1:
            what = "saw different stimuli" if len(ids) != 1 else "were recorded in different time bins"
            raise InputError(f"the subjects of {benchmark.dataset} {what}: their RDMs cannot be compared")
        complete = Block(
            stimulus_ids=block.stimulus_ids,
            neuroid_ids=tuple(np.asarray(block.neuroid_ids, dtype=object)[whole]),
            regions=(region,) * int(whole.sum()),
            values=block.values[:, :, whole],
        )
        if whitens:
            folds = split.restrict(block.stimulus_ids).rows(block.stimulus_ids)
            own = [np.stack(list(_by_bin(_normalized(complete, train), kind))) for train, _ in folds]
            found.append(np.stack(own).astype(np.float32))  # as many as there are folds
        else:
            found.append(np.stack(list(_by_bin(complete, kind))))
        if not np.isfinite(found[-1]).all() and kind == "crossnobis":
            raise InputError(
                f"{subject}'s neuroids in {region} share fewer than two repetitions for some stimuli: crossnobis "
                'multiplies two. Set distances = "squared_euclidean" in the benchmark, which keeps the noise.'
            )
    (bins,) = times
    return RDMs(
        stimulus_ids=ids.pop(),
        subjects=tuple(subject for subject in subjects for _ in bins or (0.0,)),
        values=np.concatenate(found, axis=-3),
        left_out=left_out,
        times=bins * len(subjects),
    )


def noise_sd(values: np.ndarray) -> np.ndarray:
    """Standard deviation of each neuroid's repetitions around their mean, pooled over stimuli and bins: (neuroid,).

    `values` are (stimulus, repetition, neuroid[, time]), NaN where there is no repetition. Degrees of freedom are
    presentations less stimuli. NaN where no stimulus has two repetitions.
    """
    present = np.isfinite(values)
    count = present.sum(axis=1)
    filled = np.where(present, values, 0.0).astype(np.float64)
    mean = filled.sum(axis=1) / np.maximum(count, 1)
    residual = np.where(present, filled - mean[:, None], 0.0)
    over = (0, *range(2, count.ndim))
    free = np.maximum(count - 1, 0).sum(axis=over)
    squares = np.square(residual).sum(axis=1).sum(axis=over)
    out = np.full(free.shape, np.nan)
    np.divide(squares, free, out=out, where=free > 0)
    sd: np.ndarray = np.sqrt(out)
    return sd


def _normalized(block: Block, train: np.ndarray) -> Block:
    sd = noise_sd(block.values[train])
    if not (sd > 0).all():
        raise InputError(
            f"{int((~(sd > 0)).sum())} of {len(sd)} neuroids have no noise that repetitions of training stimuli show: "
            'univariate noise normalization divides by it. Set noise_normalization = "none" in the benchmark.'
        )
    scaled = block.values / sd.reshape(1, 1, -1, *[1] * (block.values.ndim - 3)).astype(np.float32)
    return Block(stimulus_ids=block.stimulus_ids, neuroid_ids=block.neuroid_ids, regions=block.regions, values=scaled)


def _by_bin(block: Block, kind: str) -> Iterator[np.ndarray]:
    """The RDM (stimulus, stimulus) of every time bin, float64; of the one there is without time."""
    values = block.values if block.values.ndim == 4 else block.values[..., None]
    if kind == "crossnobis":
        for at in range(values.shape[3]):
            yield crossnobis(torch.as_tensor(values[..., at])).numpy()
        return
    means = block.mean().reshape(len(values), len(block.neuroid_ids), -1)
    for at in range(means.shape[2]):
        yield Representation.from_features(torch.as_tensor(means[:, :, at]), block.stimulus_ids).rdm(kind).numpy()


def _mean_over_sessions(values: np.ndarray) -> np.ndarray:
    present = np.isfinite(values).all(axis=(2, 3), keepdims=True)
    count = present.sum(axis=1)
    mean = np.full(values[:, 0].shape, np.nan)
    np.divide(np.where(present, values, 0.0).sum(axis=1), count, where=count > 0, out=mean)
    return mean
