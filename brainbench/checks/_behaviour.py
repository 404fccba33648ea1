"""What behaviour is held to: a row a trial, with who saw what and chose what, the same on every call."""

from __future__ import annotations

from typing import Any

import pandas as pd

from brainbench.checks._check import Violation, check
from brainbench.checks._facts import facts
from brainbench.errors import listed

_TEXTS = ("subject", "session", "stimulus_id")


def behaves(dataset: Any) -> bool:
    """Whether a dataset measures behaviour."""
    return hasattr(dataset, "behaviour")


@check("dataset", applies=behaves, mend="Build the table with brainbench.core.arrays.behaviour_table.")
def check_behaviour_is_labelled(dataset: Any) -> None:
    trials = facts(dataset).behaviour
    if not isinstance(trials, pd.DataFrame) or not len(trials):
        raise Violation(f"behaviour() must be a DataFrame with a row a trial, it is {type(trials).__name__}")
    lacking = [name for name in (*_TEXTS, "trial", "choice") if name not in trials]
    if lacking:
        raise Violation(f"behaviour() lacks the columns {listed(lacking)}; it has {listed(trials.columns, 12)}")
    for name in _TEXTS:
        wrong = [value for value in trials[name] if not isinstance(value, str) or not value]
        if wrong:
            raise Violation(f"{name} of behaviour() must be strings, there is {wrong[0]!r}")
    if trials["trial"].dtype.kind != "i":
        raise Violation(f"trial of behaviour() must be integers, it is {trials['trial'].dtype}")
    chosen = list(trials["choice"].dropna())
    wrong = [value for value in chosen if not isinstance(value, str) or not value]
    if wrong or not chosen:
        raise Violation(f"choice of behaviour() must be strings, or None for no choice; there is {[*wrong, None][0]!r}")


@check("dataset", applies=behaves, mend="Count a subject's trials within a session, and give each trial one row.")
def check_trials_are_told_apart(dataset: Any) -> None:
    trials = facts(dataset).behaviour
    twice = trials[trials.duplicated(["subject", "session", "trial"])]
    if len(twice):
        who, when, number = twice[["subject", "session", "trial"]].iloc[0]
        raise Violation(f"{len(twice)} rows are of a trial that has one already: trial {number} of {who} in {when}")


@check("dataset", applies=behaves, mend="Read the same files into the same rows, in the same order, on every call.")
def check_trials_are_the_same_again(dataset: Any) -> None:
    first, second = facts(dataset).behaviour, dataset.behaviour()
    if not first.equals(second):
        changed = [name for name in first if name not in second or not first[name].equals(second[name])]
        raise Violation(f"behaviour() is another the second time, in {listed(changed) or 'its columns'}")


@check("dataset", applies=behaves, mend="Return a copy (`.copy()`) of the table the adapter keeps.")
def check_callers_cannot_change_the_trials(dataset: Any) -> None:
    trials = dataset.behaviour()
    kept, written = trials["choice"].copy(), "overwritten"
    trials["choice"] = written
    changed = (dataset.behaviour()["choice"] == written).any()
    trials["choice"] = kept
    if changed:
        raise Violation("who writes into behaviour() changes what is returned next")
