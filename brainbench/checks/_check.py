"""What a check is, and how a thing is held to all that apply to it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["dataset", "model", "scorer"]


class Violation(AssertionError):
    """A check found its law broken: what was expected, and what was there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One law. `run` takes the thing and raises Violation; `mend` tells the author what to change."""

    name: str
    run: Callable[[Any], None]
    mend: str
    applies: Callable[[Any], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a check said of a thing: `failed` also where the check itself could not run to its end."""

    check: str
    status: Literal["passed", "failed", "known"]
    message: str = ""
    mend: str = ""


REGISTERED: dict[Kind, list[Check]] = {"dataset": [], "model": [], "scorer": []}


def check(
    kind: Kind, *, mend: str, applies: Callable[[Any], bool] = lambda thing: True
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Register a function as the check of its own name, for things of `kind` that it `applies` to."""

    def register(run: Callable[[Any], None]) -> Callable[[Any], None]:
        name = run.__name__.removeprefix("check_")
        REGISTERED[kind].append(Check(name=name, run=run, mend=mend, applies=applies))
        return run

    return register


def kind_of(thing: Any) -> Kind:
    """Whether a thing is a dataset, a model or a scorer, by what it can do. Raises TypeError for anything else."""
    if hasattr(thing, "build") and hasattr(thing, "preprocess"):
        return "model"
    if hasattr(thing, "stimuli"):
        return "dataset"
    if hasattr(thing, "score"):
        return "scorer"
    raise TypeError(
        f"a {type(thing).__name__} is no dataset (spec, stimuli), model (spec, build, preprocess) or scorer "
        "(spec, score): see brainbench.core.protocols"
    )


def checks_for(thing: Any) -> Iterator[Check]:
    """Every check that applies to a thing, in the order they are to be read."""
    from brainbench.checks import datasets, models, scorers, scorers_truth  # noqa: F401  (each registers its checks)

    yield from (c for c in REGISTERED[kind_of(thing)] if c.applies(thing))


def run_checks(thing: Any, known_failures: Mapping[str, str] | None = None) -> Iterator[Outcome]:
    """The outcome of every check, one by one as they end.

    `known_failures` maps checks to the reason why they are expected to fail; such a check that passes is a failure,
    so that the list stays true.
    """
    known = dict(known_failures or {})
    for law in checks_for(thing):
        why = known.pop(law.name, None)
        try:
            law.run(thing)
        except Exception as error:
            message = str(error) if isinstance(error, Violation) else _told(error)
            status: Literal["failed", "known"] = "failed" if why is None else "known"
            yield Outcome(check=law.name, status=status, message=why or message, mend=law.mend)
        else:
            if why is None:
                yield Outcome(check=law.name, status="passed")
            else:
                yield Outcome(
                    check=law.name,
                    status="failed",
                    message=f"passes, but is listed as known to fail: {why}",
                    mend="take it off the list of known failures",
                )
    for name in known:
        yield Outcome(
            check=name, status="failed", message="listed as known to fail, but does not apply", mend="take it off"
        )


def _told(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({last.name}, line {last.lineno})"
