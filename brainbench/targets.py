"""Targets: what a benchmark asks a model to match, cut out of a recording by rule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from brainbench import ceilings, datasets
from brainbench.benchmarks import Benchmark
from brainbench.core.arrays import Block, Labels, RDMs, blocks, picked
from brainbench.core.score import Ceiling
from brainbench.core.shown import shown
from brainbench.core.specs import fingerprint
from brainbench.core.splits import Split, grouped_folds
from brainbench.core.stimuli import StimulusSet
from brainbench.dissimilarities import rdms
from brainbench.errors import InputError, LeakageError, UsageError
from brainbench.numerics.resampling import seed_of


@dataclass(frozen=True, kw_only=True)
class Target:
    """Columns that are solved together: neuroids of one subject, the RDMs of all subjects, or the stimuli's categories.

    Where there is time, a neuroid's (or a subject's) bins are columns one after another, all of the same bins.
    `data` is the Block, RDMs or Labels a scorer takes; `subjects`, `regions` and `names` have one entry a column.
    `ceilings` maps a ceiling rule to the columns' ceiling.
    """

    data: Block | RDMs | Labels
    stimuli: StimulusSet
    split: Split
    subjects: tuple[str, ...]
    regions: tuple[str, ...]
    names: tuple[str, ...]
    ceilings: dict[str, Ceiling]

    @property
    def times(self) -> tuple[float, ...]:
        """The time bin of each column, in seconds; () for a recording without time."""
        return () if isinstance(self.data, Labels) else self.data.times

    @property
    def n_bins(self) -> int:
        """How many columns a neuroid has, one after another: 1 without time."""
        return len(set(self.times)) or 1

    @property
    def n_values(self) -> int:
        """How many predictions one layer makes for it."""
        return len(self.stimuli.ids) * len(self.names)

    def parts(self, n_columns: int | None) -> list[Target]:
        """The same neuroids in targets of at most `n_columns`, so that one fits into memory; others stay together.

        None for a scorer that scores them jointly.
        """
        if not isinstance(self.data, Block) or n_columns is None or len(self.names) <= n_columns:
            return [self]
        bins = self.n_bins
        width = max(1, n_columns // bins) * bins  # all bins of a neuroid stay together
        return [self._columns(slice(start, start + width)) for start in range(0, len(self.names), width)]

    def restricted(self, ids: frozenset[str]) -> Target:
        """The same columns on those of their stimuli that are in `ids`; without ceilings, which hold for all of them.

        Raises InputError where a fold would keep fewer than 3 stimuli a side.
        """
        rows = np.flatnonzero([name in ids for name in self.data.stimulus_ids])
        kept = tuple(self.data.stimulus_ids[row] for row in rows)
        split, stimuli = self.split.restrict(kept), self.stimuli.select(kept)
        return replace(self, data=self.data.stimuli(rows), stimuli=stimuli, split=split, ceilings={})

    def exchanged(self, seed: int) -> Target:
        """The same recording with its stimuli exchanged at random, for a control: no model has anything to find in it.

        Ceilings stay those of the recording. Targets of the same stimuli are exchanged alike.
        """
        order = np.random.default_rng(seed).permutation(len(self.data.stimulus_ids))
        data: Block | RDMs | Labels = replace(self.data.stimuli(order), stimulus_ids=self.data.stimulus_ids)
        return replace(self, data=data)

    def neuroids(self, at: np.ndarray) -> Target:
        """Only the columns with these numbers; without ceilings. Only a Block has neuroids to choose from.

        Where there is time, whole neuroids: all columns of those that are kept.
        """
        return replace(self, ceilings={})._columns(at)

    def _columns(self, at: slice | np.ndarray) -> Target:
        assert isinstance(self.data, Block)
        ceilings = {
            rule: replace(ceiling, value=ceiling.value[at], reason=picked(ceiling.reason, at))
            for rule, ceiling in self.ceilings.items()
        }
        return replace(
            self,
            data=self.data.columns(at),
            subjects=picked(self.subjects, at),
            regions=picked(self.regions, at),
            names=picked(self.names, at),
            ceilings=ceilings,
        )


def targets(dataset: Any, group: Sequence[Benchmark], scorer: Any) -> list[Target]:
    """The targets of benchmarks that share a solve key, with all the regions they name.

    Folds are made over all stimuli of the dataset, so a stimulus that several subjects saw is in one fold for all, and
    no benchmark's folds depend on which others are run beside it.
    Raises LeakageError or InputError where that cannot be done, UsageError for a benchmark that names a region and
    scores labels or neither, and UnknownNameError for a region that is not there.
    """
    first = group[0]
    dataset = shown(dataset, first.stimuli)
    regions = tuple(sorted({b.region for b in group}))
    rules: set[str] = {b.ceiling for b in group}
    stimuli = dataset.stimuli()
    seed = fingerprint({"dataset": first.dataset, "split": first.split.model_dump()})
    recorded: list[tuple[str, Block | RDMs | Labels]]
    for benchmark in group:
        if bool(benchmark.region) == (scorer.spec.requires == "labels"):
            mend = "categories belong to stimuli: leave it out" if benchmark.region else "name the one that is scored"
            raise UsageError(f"{benchmark.id} has the region {benchmark.region!r}; {mend}")
    split = grouped_folds(
        stimuli.table,
        n_folds=first.split.n_folds,
        n_repeats=first.split.n_repeats,
        seed=int(seed_of(seed, "split").generate_state(1)[0]),
    )
    if scorer.spec.requires == "labels":
        labels = _labels(dataset, stimuli.table, first)
        like = getattr(scorer, "like", "")
        recorded = [("", replace(labels, like=_presentations(dataset, like)) if like else labels)]
    elif scorer.spec.requires == "rdms":
        recorded = [(region, rdms(dataset, region, first, scorer, split)) for region in regions]
    else:
        recorded = [
            (subject, block)
            for subject in first.subjects or dataset.spec.subjects
            for block in columns_of(dataset.responses(subject, regions=regions, sessions=first.sessions))
        ]
    result = []
    subjects: tuple[str, ...]
    columns: tuple[str, ...]
    names: tuple[str, ...]
    for label, data in recorded:
        own = split.restrict(data.stimulus_ids)
        if isinstance(data, Labels):
            subjects, columns, names = ("",), ("",), ("category",)  # of no subject and no region
            bounds = {rule: ceilings.of_labels(rule) for rule in rules}
        elif isinstance(data, RDMs):
            subjects, columns, names = data.subjects, (label,) * len(data.subjects), data.subjects
            bounds = {rule: ceilings.of_rdms(rule, data, own, scorer) for rule in rules}
        else:
            subjects, columns, names = (label,) * len(data.neuroid_ids), data.regions, data.neuroid_ids
            bounds = {rule: ceilings.of_neuroids(rule, data, seed) for rule in rules}
        result.append(
            Target(
                data=data,
                stimuli=stimuli.select(data.stimulus_ids),
                split=own,
                subjects=subjects,
                regions=columns,
                names=names,
                ceilings=bounds,
            )
        )
    for target in result:
        for benchmark in group:
            window(benchmark, target)
    return result


def columns_of(responses: xr.DataArray) -> list[Block]:
    """The recording's blocks, time bins as columns."""
    found = blocks(responses)
    return [block.unrolled(responses["time_s"].values) for block in found] if responses.ndim == 3 else found


def window(benchmark: Benchmark, target: Target) -> np.ndarray:
    """Which of a neuroid's columns the benchmark's score is the mean of: (bin,), all of one without time.

    Raises UsageError where the benchmark names no window of a recording with time, one without a bin, or one of a
    recording without time.
    """
    if bool(target.times) != (benchmark.window_s is not None):
        mend = "name the window_s, in seconds, that the score is the mean of" if target.times else "leave window_s out"
        has = "a" if target.times else "no"
        raise UsageError(f"{benchmark.id}: {benchmark.dataset} has {has} time axis; {mend}")
    if benchmark.window_s is None:
        return np.ones(1, dtype=bool)
    start, end = benchmark.window_s
    times = np.asarray(target.times[: target.n_bins])
    inside: np.ndarray = (start - 1e-9 <= times) & (times <= end + 1e-9)
    if not inside.any():
        raise UsageError(
            f"{benchmark.id}: no time bin of {benchmark.dataset} lies in {start} to {end} s; they go from {times[0]:g} "
            f"to {times[-1]:g} s"
        )
    return inside


def shared(
    dataset: Any, target: Target, of: str, subjects: Iterable[str], sha256: Iterable[str]
) -> tuple[list[str], int]:
    """Subjects of the target, and how many of its stimuli, that were seen in a training on dataset `of`.

    Other releases of a recording have its subjects: those of one that names them otherwise cannot be told apart, so all
    count. A near-copy of a picture (one `group`) counts as the picture.
    """
    people: list[str] = []
    if datasets.recording(of) == datasets.recording(dataset.spec.id):
        alike = of == dataset.spec.id or set(datasets.DATASETS[of].spec.subjects) & set(dataset.spec.subjects)
        people = sorted({*target.subjects} & set(subjects) if alike else {*target.subjects} - {""})
    table = dataset.stimuli().table
    seen = table["sha256"].isin(list(sha256))
    if "group" in table:
        seen |= table["group"].isin(table["group"][seen].dropna())
    return people, int(seen.loc[list(target.stimuli.ids)].sum())


def refuse_seen(scorer: Any, dataset: Any, found: Iterable[Target]) -> None:
    """Raises LeakageError where the training of what the scorer scores with saw a subject or a picture of a target."""
    seen = getattr(scorer, "seen", {})
    for target in found if seen else ():
        people, n_pictures = shared(dataset, target, seen["dataset"], seen["subjects"], seen["sha256"])
        if people or n_pictures:
            raise LeakageError(
                f"the encoder was trained on subjects {people} and {n_pictures} pictures of this benchmark: a score "
                "on them would rank what it remembers. Train another with --unseen."
            )


def _labels(dataset: Any, table: pd.DataFrame, benchmark: Benchmark) -> Labels:
    """The `category` of the stimuli that were shown to the benchmark's subjects in its sessions, in order of id."""
    if "category" not in table:
        raise InputError(f"{benchmark.dataset} does not say which category a stimulus is of: it has no labels")
    seen = set(table.index)
    if benchmark.subjects or benchmark.sessions:
        asked = [
            dataset.responses(subject, sessions=benchmark.sessions)
            for subject in benchmark.subjects or dataset.spec.subjects
        ]
        seen = {name for responses in asked for name in responses["stimulus_id"].values}
    category = table["category"].loc[sorted(seen)]
    known = category.dropna().astype(str)
    return Labels(
        stimulus_ids=tuple(known.index), values=known.to_numpy(dtype=object), left_out=len(category) - len(known)
    )


def _presentations(dataset: Any, name: str) -> np.ndarray:
    """Single presentations of the neuroids of `REGION/SUBJECT[/SESSION]` that have a response to every stimulus."""
    region, subject, *session = name.split("/")
    measured = blocks(dataset.responses(subject, regions=(region,), sessions=tuple(session) or None))
    if len(measured) != 1 or measured[0].values.ndim != 3:
        raise InputError(
            f"{name} of {dataset.spec.id} has a time axis, or neuroids that were shown different stimuli: no noise can "
            "be matched. Name a session, REGION/SUBJECT/SESSION."
        )
    values = measured[0].values
    return values[:, :, np.isfinite(measured[0].mean()).all(axis=0)]
