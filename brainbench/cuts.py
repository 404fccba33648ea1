"""One region's neuroids cut out of targets and scores, and how values over neuroids become one.

A value over neuroids is always the median within a subject, then the mean over subjects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from brainbench.benchmarks import Benchmark
from brainbench.core.arrays import RDMs
from brainbench.core.score import Score
from brainbench.errors import InputError
from brainbench.targets import Target, window


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One region's neuroids in a target, with the target's score for each layer.

    `places` (V, T) are each neuroid's columns in the target, one a time bin (T is 1 without time), and `inside` (T,)
    says which of them are in the window that its score is the mean of.
    """

    target: Target
    places: np.ndarray
    inside: np.ndarray
    scores: Sequence[Score]

    @property
    def subjects(self) -> tuple[str, ...]:
        """Of each neuroid."""
        return tuple(self.target.subjects[c] for c in self.places[:, 0])

    @property
    def whole_subjects(self) -> bool:
        """Whether a column is a subject's RDM, and no neuroid."""
        return isinstance(self.target.data, RDMs)

    @property
    def times(self) -> tuple[float, ...]:
        """Of each bin; () without time."""
        return tuple(self.target.times[c] for c in self.places[0]) if self.target.times else ()

    def reasons(self, of_column: Sequence[str]) -> list[str]:
        """For each neuroid the first reason that its bins in the window have, "" where they have none."""
        return [next((of_column[c] for c in row if of_column[c]), "") for row in self.places[:, self.inside]]

    def over_window(self, values: np.ndarray) -> np.ndarray:
        """(..., columns) -> (..., V): the mean over the window."""
        mean: np.ndarray = values[..., self.places[:, self.inside]].mean(axis=-1)
        return mean


def cut_out(benchmark: Benchmark, asked: Sequence[Target], scores: Sequence[Sequence[Score]]) -> list[Cut]:
    cuts = []
    for target, by_layer in zip(asked, scores):
        places = np.flatnonzero(np.asarray(target.regions) == benchmark.region)
        if len(places):
            inside = window(benchmark, target)
            cuts.append(Cut(target=target, places=places.reshape(-1, len(inside)), inside=inside, scores=by_layer))
    if not cuts:
        raise InputError(f"{benchmark.id}: the recording has no column in region {benchmark.region!r}")
    if len({cut.times for cut in cuts}) > 1:
        raise InputError(f"{benchmark.id}: subjects were recorded in different time bins: they have no common course")
    return cuts


def over_columns(values: np.ndarray, subjects: Sequence[str]) -> float:
    """Median over each subject's finite columns, mean over subjects that have one; NaN where none has."""
    return float(over_columns_each(values[None], subjects)[0])


def over_columns_each(values: np.ndarray, subjects: Sequence[str]) -> np.ndarray:
    """(B, V) -> (B,): the same for each row."""
    return over_subjects(medians_of(values, subjects), None)


def medians_of(values: np.ndarray, subjects: Sequence[str]) -> np.ndarray:
    """(B, V) -> (B, S): over each subject's finite columns, subjects in order of their names."""
    labels = np.asarray(subjects)
    return np.stack([nanmedian(values[:, labels == name]) for name in sorted(set(subjects))], axis=1)


def over_subjects(medians: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """(B, S) -> (B,): the mean over subjects that have a value, counted `weights` (B, S) times."""
    weights = np.ones(medians.shape) if weights is None else weights
    present = np.isfinite(medians) * weights
    total = present.sum(axis=1)
    weighted = np.where(np.isfinite(medians), medians, 0.0) * weights
    out = np.full(len(medians), np.nan)
    np.divide(weighted.sum(axis=1), total, out=out, where=total > 0)
    return out


def share_over_subjects(explained: np.ndarray, explainable: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """(B, S), (S,) -> (B,): what is explained of all subjects over what is explainable of all.

    For RDMs, of which a subject has one: the mean of subjects' own shares would be that of a subject who agrees with
    nobody, and of whom next to nothing can be explained.
    """
    share: np.ndarray = over_subjects(explained, weights) / over_subjects(explained * 0 + explainable, weights)
    return share


def nanmedian(values: np.ndarray) -> np.ndarray:
    """(B, V) -> (B,): the median of what is no NaN, NaN where nothing is; a hundred times as quick as numpy's."""
    ordered = np.sort(values, axis=1)  # NaN last
    count = (~np.isnan(values)).sum(axis=1)
    low, high = (
        np.take_along_axis(ordered, at[:, None], axis=1)[:, 0] for at in (np.maximum(count - 1, 0) // 2, count // 2)
    )
    return np.where(count > 0, (low + high) / 2, np.nan)


def nanmean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is finite; NaN where nothing is."""
    count = np.isfinite(values).sum(axis=-1)
    total = np.where(np.isfinite(values), values, 0.0).sum(axis=-1)
    out = np.full(count.shape, np.nan)
    np.divide(total, count, out=out, where=count > 0)
    return out
