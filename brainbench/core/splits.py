"""Splits of stimuli into folds in which nothing that is the same stands on both sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from brainbench.core.arrays import take
from brainbench.errors import InputError, LeakageError, listed

FEWEST = 3  # stimuli on each side of a fold


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Stimulus ids to fit and choose on, and stimulus ids to score on."""

    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Folds over stimuli, and the group each stimulus belongs to (inner folds must respect it too).

    `unit` maps a stimulus id to its resampling unit: its group where there is one, else its content.
    """

    folds: tuple[Fold, ...]
    unit: dict[str, str]

    def restrict(self, ids: tuple[str, ...]) -> Split:
        """The same folds over only `ids`. Raises InputError where a fold would keep fewer than 3 stimuli a side.

        Two numbers always correlate by 1 or -1, and two stimuli have one dissimilarity.
        """
        keep = set(ids)
        take(list(self.unit), ids, what="the split")
        folds = tuple(
            Fold(train=tuple(i for i in f.train if i in keep), test=tuple(i for i in f.test if i in keep))
            for f in self.folds
        )
        for number, fold in enumerate(folds):
            if min(len(fold.train), len(fold.test)) < FEWEST:
                raise InputError(
                    f"fold {number} would train on {len(fold.train)} and test on {len(fold.test)} of the "
                    f"{len(ids)} stimuli: both need {FEWEST} at least. Use fewer folds, or more stimuli."
                )
        return Split(folds=folds, unit={i: self.unit[i] for i in ids})

    def rows(self, ids: tuple[str, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Each fold's training and test stimuli as positions in `ids`. Raises AlignmentError where `ids` lacks one."""
        what = "what the folds are taken from"
        return [(take(ids, fold.train, what=what), take(ids, fold.test, what=what)) for fold in self.folds]


def grouped_folds(table: pd.DataFrame, *, n_folds: int, n_repeats: int = 1, seed: int) -> Split:
    """Folds over the stimuli of `table` (see StimulusSet): every stimulus is tested once in each repeat.

    Stimuli that share their content (`sha256`) or their `group` always fall into one fold; a stimulus whose picture
    was not released shares its content with none. Units are dealt out in a seeded random order, each to the fold
    that has least of its `stratum` so far, so strata are spread evenly. Raises InputError where there are fewer units
    than folds, and LeakageError if the result leaks.
    """
    units = leakage_units(table)
    if n_folds < 2 or units.nunique() < n_folds:
        raise InputError(
            f"{units.nunique()} units of stimuli (identical pictures and groups count once) cannot make "
            f"{n_folds} folds; at least 2 folds and a unit for each are needed"
        )
    strata = table["stratum"].astype(str).tolist() if "stratum" in table else [""] * len(table)
    members = units.groupby(units).indices  # positions: labels are slow to look up
    stratum = {unit: strata[rows[0]] for unit, rows in members.items()}
    ids = np.asarray(table.index, dtype=object)
    folds = []
    for repeat in range(n_repeats):
        shuffled = np.random.default_rng([seed, repeat]).permutation(sorted(members))
        order = sorted(shuffled, key=lambda unit: stratum[unit])  # stable: random within a stratum
        fold_of = np.full(len(table), -1)
        total = np.zeros(n_folds, dtype=int)
        within: dict[str, np.ndarray] = {}
        for unit in order:
            counts = within.setdefault(stratum[unit], np.zeros(n_folds, dtype=int))
            fold = np.lexsort((total, counts))[0]
            fold_of[members[unit]] = fold
            counts[fold] += len(members[unit])
            total[fold] += len(members[unit])
        folds += [
            Fold(train=tuple(ids[fold_of != number]), test=tuple(ids[fold_of == number])) for number in range(n_folds)
        ]
    split = Split(folds=tuple(folds), unit=dict(zip(table.index, units)))
    check_leakage(split, table)
    return split


def leakage_units(table: pd.DataFrame) -> pd.Series:
    """For each stimulus the name of the smallest set that may not be torn apart: joined by content and by group."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    groups = table["group"] if "group" in table else pd.Series(None, index=table.index, dtype=object)
    contents = [
        f"content of:{stimulus_id}" if pd.isna(digest) else f"content:{digest}"
        for stimulus_id, digest in table["sha256"].items()
    ]
    for content, name in zip(contents, groups):
        group = content if pd.isna(name) else f"group:{name}"
        first, second = sorted((root(content), root(group)))
        parent[first] = second  # "group:" sorts last, so a unit with a group is named after one
    return pd.Series([root(content) for content in contents], index=table.index)


def check_leakage(split: Split, table: pd.DataFrame) -> None:
    """Raises LeakageError, listing pairs, where a fold has an id, a content or a group on both sides."""
    columns = {"content": table["sha256"].dropna()} | ({"group": table["group"].dropna()} if "group" in table else {})
    for number, fold in enumerate(split.folds):
        both = sorted(set(fold.train) & set(fold.test))
        if both:
            raise LeakageError(f"fold {number} trains and tests on the same stimuli: {listed(both)}")
        for what, column in columns.items():
            train, test = (column[column.index.isin(ids)] for ids in (set(fold.train), set(fold.test)))
            shared = test[test.isin(set(train))]
            if len(shared):
                first_with = {value: name for name, value in train.items()}
                pairs = [f"{first_with[value]} ~ {name}" for name, value in shared.items()]
                raise LeakageError(
                    f"fold {number} has the same {what} in training and test ({len(pairs)} test stimuli): "
                    f"{listed(pairs)}. Make folds with grouped_folds, or give the stimuli one `group`."
                )
