"""A synthetic recording of which the answers are known, in the form scorers take it, and what can be done to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import xarray as xr

from brainbench.benchmarks import known
from brainbench.checks._check import Violation
from brainbench.core.arrays import Block, Labels, RDMs, take
from brainbench.core.score import Ceiling, Score
from brainbench.core.splits import Split
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets.insilico import Insilico
from brainbench.models.insilico import insilico
from brainbench.numerics.representation import Representation
from brainbench.targets import targets

Data = Block | RDMs | Labels
SAME = 1e-3  # scores that agree to float32 are the same
# benchmark, stimuli, subjects: a readout needs many stimuli, dissimilarities are compared between subjects
_SIZES: dict[str, tuple[str, int, tuple[str, ...] | None]] = {
    "responses": ("insilico.V4-ridge", 320, ("s1",)),
    "rdms": ("insilico.V4-rsa", 120, ("s1", "s2", "s3")),
    "labels": ("insilico.category-ka", 200, None),
}
_CATEGORIES = 4  # that are read out of the stage's code, where labels are asked for


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What one region of `insilico` did, and what each stage of the cascade behind it makes of the same stimuli.

    Where labels are asked for, the stimuli's categories are read out of the region's stage.
    """

    region: str
    data: Data
    split: Split
    ceiling: Ceiling
    codes: dict[str, np.ndarray]  # stage -> (stimulus, dimension), rows in the order of data.stimulus_ids

    @property
    def features(self) -> np.ndarray:
        """The code that the region's neuroids read out: (stimulus, dimension)."""
        return self.codes[self.region]


def recording(scorer: Any, region: str = "V4") -> Recording:
    """The recording of one region in the form that a scorer requires: made once, and to be copied before use."""
    return _recording(
        scorer.spec.requires,
        scorer.spec.scale,
        getattr(scorer, "rdm", "correlation"),
        getattr(scorer, "comparison", "spearman"),
        getattr(scorer, "agree", None),
        region,
    )


def scored(
    scorer: Any,
    case: Recording,
    *,
    data: Data | None = None,
    features: np.ndarray | None = None,
    ids: tuple[str, ...] | None = None,
    split: Split | None = None,
    representation: Representation | None = None,
    device: str = "cpu",
) -> Score:
    """The score on a recording, or on one that differs from it in what is given; the scorer gets copies."""
    data = case.data if data is None else data
    score: Score = scorer.score(
        represented(case, features, ids) if representation is None else representation,
        replace(data, values=data.values.copy()),
        case.split if split is None else split,
        seed=0,
        device=device,
    )
    return score


def represented(
    case: Recording, features: np.ndarray | None = None, ids: tuple[str, ...] | None = None, *, device: str = "cpu"
) -> Representation:
    """A representation of its own: the oracle's, or one of the `features` and stimulus `ids` given."""
    copied = torch.tensor(case.features if features is None else features, device=device)
    return Representation.from_features(copied, case.data.stimulus_ids if ids is None else ids)


def signals(case: Recording) -> np.ndarray:
    """What the recording's neuroids would do without noise, in its order of stimuli: (stimulus, neuroid)."""
    rows = take(Insilico().stimuli().ids, case.data.stimulus_ids, what="the signals")
    taken: np.ndarray = Insilico().signal("s1", case.region)[rows]
    return taken


def rng() -> np.random.Generator:
    """The random numbers of one check: the same on every run."""
    return np.random.default_rng(0)


def test_rows(case: Recording) -> np.ndarray:
    """Rows of the first fold's test stimuli."""
    return take(case.data.stimulus_ids, case.split.folds[0].test, what="the recording")


def same(got: np.ndarray, expected: np.ndarray, law: str, *, within: float = SAME) -> None:
    """Raises Violation, with the largest difference, unless all entries agree; NaN agrees with NaN."""
    if got.shape != expected.shape:
        raise Violation(f"{law}: shape {got.shape} instead of {expected.shape}")
    nans, expected_nans = int(np.isnan(got).sum()), int(np.isnan(expected).sum())
    if not np.array_equal(np.isnan(got), np.isnan(expected)):
        raise Violation(f"{law}: {nans} of {got.size} scores are NaN, where {expected_nans} should be")
    apart = np.nan_to_num(np.abs(got - expected)).max(initial=0.0)
    if apart > within:
        raise Violation(f"{law}: scores move by up to {apart:.3g}; {within:g} is allowed")


def rows_taken(data: Data, rows: np.ndarray, ids: tuple[str, ...]) -> Data:
    """The recording of stimuli `rows`, in that order, under the names `ids`."""
    if isinstance(data, RDMs):
        return replace(data.stimuli(rows), stimulus_ids=ids)
    return replace(data, stimulus_ids=ids, values=data.values[rows])


def columns_taken(data: Data, columns: np.ndarray) -> Data:
    """The recording of some neuroids, or of some subjects' RDMs, in that order; labels are one column."""
    return data if isinstance(data, Labels) else data.columns(columns)


def with_further_bin(data: Block | RDMs, further: Block | RDMs) -> Block | RDMs:
    """The recording in two time bins, its own and then a `further` one: each neuroid's (or subject's) side by side."""
    order = np.arange(2 * n_columns(data)).reshape(2, -1).T.ravel()
    axis = 0 if isinstance(data, RDMs) else 2
    values = np.concatenate([data.values, further.values], axis=axis)
    times = (0.1,) * n_columns(data) + (0.2,) * n_columns(data)
    if isinstance(data, RDMs):
        return replace(data, subjects=data.subjects * 2, values=values, times=times).columns(order)
    both: dict[str, Any] = {"neuroid_ids": data.neuroid_ids * 2, "regions": data.regions * 2}
    return replace(data, values=values, times=times, **both).columns(order)


def n_columns(data: Data) -> int:
    """How many neuroids, or subjects' RDMs, there are; labels are one column."""
    if isinstance(data, Labels):
        return 1
    return len(data.subjects) if isinstance(data, RDMs) else len(data.neuroid_ids)


def shuffled(data: Data, rng: np.random.Generator) -> Data:
    """The recording with every column's stimuli exchanged, each column's in its own way; the names stay in place."""
    n = len(data.stimulus_ids)
    if isinstance(data, Labels):
        return replace(data, values=rng.permutation(data.values))
    values = data.values.copy()
    for column in range(n_columns(data)):
        order = rng.permutation(n)
        if isinstance(data, Block):
            values[:, :, column] = data.values[order, :, column]
        else:
            values[column] = data.values[column][order][:, order]
    return replace(data, values=values)


def noisier(data: Data, sd: float, rng: np.random.Generator) -> Data:
    """The recording under further noise, of `sd` standard deviations of what is there.

    Of labels, a share sd / (1 + sd) is exchanged among stimuli.
    """
    if isinstance(data, Labels):
        return garbled(data, np.flatnonzero(rng.random(len(data.values)) < sd / (1 + sd)), rng)
    values = data.values + sd * np.nanstd(data.values) * rng.normal(size=data.values.shape).astype(data.values.dtype)
    return replace(data, values=values if isinstance(data, Block) else _as_rdms(values))


def inverted(data: Data, rows: np.ndarray) -> Data:
    """The recording with responses to `rows` negated; of RDMs, all distances mirrored at their mean.

    Labels have no opposite and stay.
    """
    values = data.values.copy()
    if isinstance(data, Labels):
        return data
    if isinstance(data, RDMs):
        return replace(data, values=_as_rdms(2 * values.mean() - values))
    values[rows] = -values[rows]
    return replace(data, values=values)


def garbled(data: Data, rows: np.ndarray, rng: np.random.Generator) -> Data:
    """The recording with all that concerns `rows` replaced by large random numbers; labels are exchanged among them."""
    if isinstance(data, Labels):
        labels = data.values.copy()
        labels[rows] = rng.permutation(labels[rows])
        return replace(data, values=labels)
    noise = 5 + 20 * np.nanstd(data.values) * np.abs(rng.normal(size=data.values.shape)).astype(data.values.dtype)
    values = data.values.copy()
    if isinstance(data, RDMs):
        values[:, rows], values[:, :, rows] = noise[:, rows], noise[:, :, rows]
        return replace(data, values=_as_rdms(values))
    values[rows] = noise[rows]
    return replace(data, values=values)


def with_column(data: Data, column: int, value: float, rows: np.ndarray | None = None) -> Data:
    """The recording with one column `value`: everywhere, or in all that concerns `rows`."""
    values = data.values.copy()
    at = slice(None) if rows is None else rows
    if isinstance(data, Labels):
        values[at] = None if np.isnan(value) else str(value)
        return replace(data, values=values)
    if isinstance(data, Block):
        values[at, :, column] = value
        return replace(data, values=values)
    values[column, at] = value
    values[column, :, at] = value
    return replace(data, values=_as_rdms(values))


def _as_rdms(values: np.ndarray) -> np.ndarray:
    """Symmetric with a zero diagonal, from the upper triangles of `values`."""
    above = np.triu(values, k=1)
    symmetric: np.ndarray = above + np.swapaxes(above, 1, 2)
    return symmetric


@cache
def _recording(requires: str, scale: str, rdm: str, comparison: str, agree: Any, region: str) -> Recording:
    name, n, subjects = _SIZES[requires]
    benchmark = known()[name]
    once = benchmark.split.model_copy(update={"n_repeats": 1})
    of_region = {"region": region} if benchmark.region else {}
    benchmark = benchmark.model_copy(update={"subjects": subjects, "split": once, **of_region})
    spec = SimpleNamespace(requires=requires, scale=scale)
    asks = SimpleNamespace(spec=spec, rdm=rdm, comparison=comparison, agree=agree)
    first = _First(n) if requires != "labels" else _Labelled(n, region)
    (target,) = targets(first, [benchmark], asks)
    rows = take(first.stimuli().ids, target.data.stimulus_ids, what="the codes")
    return Recording(
        region=region,
        data=target.data,
        split=target.split,
        ceiling=target.ceilings[benchmark.ceiling],
        codes={stage: code[rows] for stage, code in _codes(n).items()},
    )


class _First:
    """The first n stimuli of `insilico`."""

    spec = Insilico.spec

    def __init__(self, n: int):
        self.n = n

    def stimuli(self) -> StimulusSet:
        everything = Insilico().stimuli()
        return everything.select(everything.ids[: self.n])

    def responses(
        self, subject: str, *, regions: tuple[str, ...] | None = None, sessions: tuple[str, ...] | None = None
    ) -> xr.DataArray:
        measured = Insilico().responses(subject, regions=regions, sessions=sessions)
        return measured[np.isin(measured["stimulus_id"].values, self.stimuli().ids)]


class _Labelled(_First):
    """The same stimuli, each of the category whose linear readout of one stage's code is largest."""

    def __init__(self, n: int, stage: str):
        super().__init__(n)
        self.stage = stage

    def stimuli(self) -> StimulusSet:
        shown = super().stimuli()
        code = _codes(self.n)[self.stage]
        readouts = (code - code.mean(axis=0)) @ rng().normal(size=(code.shape[1], _CATEGORIES))
        category = [f"category {number}" for number in (readouts / readouts.std(axis=0)).argmax(axis=1)]
        return replace(shown, table=shown.table.assign(category=category, stratum=category))


@cache
def _codes(n: int) -> dict[str, np.ndarray]:
    """What the oracle computes at each stage for the first n stimuli."""
    stimuli, oracle = _First(n).stimuli(), insilico("cascade")
    with torch.inference_mode():
        codes = oracle.build()(torch.stack([oracle.preprocess(stimuli.image(i)) for i in stimuli.ids]))
    return {stage: code.double().numpy() for stage, code in codes.items()}
