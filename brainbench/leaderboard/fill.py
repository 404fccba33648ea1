"""A leaderboard's own entries, all by one command: what `models.toml` lists, on every recording that is here.

Each model is scored as `brainbench score` does, and put into `results/` as `brainbench submit` does. A second run adds
what is new; what a run that was interrupted had scored is in the store, and it goes on from there.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from brainbench import api, models
from brainbench.benchmarks import Benchmark, known, select
from brainbench.core.specs import fingerprint
from brainbench.datasets import present
from brainbench.entry import folder_of, read
from brainbench.errors import AccessError, InputError, UnknownNameError, UsageError
from brainbench.errors import listed as told
from brainbench.leaderboard.cards import Family, Line, Supervision
from brainbench.leaderboard.reports import RESULTS
from brainbench.leaderboard.submit import submit
from brainbench.leaderboard.untrusted import first_error
from brainbench.settings import Progress

LIST = "models.toml"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Listed(_Strict):
    """One model of the list: what its card says, and whether the same architecture is also scored untrained (`twin`).

    Its own `benchmarks`, and its own `without`, take the place of the list's.
    """

    model: str
    title: Line
    family: Family
    supervision: Supervision
    training_data: list[Line]
    trained_on_brain_data: bool = False
    trained_on_benchmark_stimuli: bool = False
    benchmarks: list[str] = []
    without: list[str] | None = None
    twin: bool = False


class Plan(_Strict):
    """What `models.toml` holds: `benchmarks`, ids or globs, less those of `without`; one `[[model]]` table a model."""

    benchmarks: list[str] = Field(min_length=1)
    without: list[str] = []
    submitter: Line
    models: list[Listed] = Field(alias="model", min_length=1)


def read_plan(path: Path) -> Plan:
    """The list of a leaderboard. Raises InputError, naming the field, for one that is wrong or not there."""
    try:
        return Plan.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from None
    except ValidationError as error:
        raise InputError(f"{path}: {first_error(error)}") from None


def fill(
    root: Path,
    *,
    only: Sequence[str] | None = None,
    benchmarks: Sequence[str] | None = None,
    roots: Mapping[str, Path] | None = None,
    device: str = "auto",
    progress: Callable[[], Progress] | None = None,
    reason: str = "",
) -> Iterator[tuple[str, list[Path] | str]]:
    """Scores and submits every model of `root/models.toml`, or `only` those; gives each with its folders.

    Of the list's benchmarks only those among `benchmarks` (ids or globs; all if None) are scored, and only those whose
    recording is in `roots` or on this machine. What is in `results/` already is not scored again, unless a `reason`
    says why it is superseded. A model whose weights are not here is given with how to get them, one without any score
    with why. Raises InputError as `read_plan` does, UnknownNameError for an `only` that the list does not have,
    ResourceError where disk or memory runs out.
    """
    plan = read_plan(root / LIST)
    rows = {name: listed for listed in plan.models for name in _names(listed)}
    if unknown := [name for name in only or () if name not in rows]:
        raise UnknownNameError(f"model of {root / LIST}", unknown[0], rows)
    for name, listed in rows.items():
        if only is not None and name not in only:
            continue
        try:
            asked = _here(of_model(plan, listed), benchmarks, dict(roots or {}))
            wanted = asked if reason else _without_entry(name, asked, root, roots)
            if not wanted:
                yield name, []
                continue
            with TemporaryDirectory() as run:
                api.score(name, [b.id for b in wanted], data_root=roots, device=device, out=run, progress=progress)
                facts = _facts(listed, name) | {"submitter": plan.submitter}
                yield name, submit(Path(run), root, facts=facts, reason=reason)
        except (AccessError, InputError, UsageError) as error:
            yield name, str(error)


def _names(listed: Listed) -> list[str]:
    return [listed.model] + [f"{listed.model}@untrained"] * listed.twin


def of_model(plan: Plan, listed: Listed) -> set[str]:
    """The ids of the benchmarks that a model is scored on. Raises UnknownNameError for an id or glob of none."""
    without = plan.without if listed.without is None else listed.without
    asked = {b.id for b in select(tuple(listed.benchmarks or plan.benchmarks))}
    return asked - {b.id for b in select(tuple(without))}


def _here(asked: set[str], only: Sequence[str] | None, roots: dict[str, Path]) -> list[Benchmark]:
    """Of the benchmarks `only` those whose recording is here. Raises AccessError for none."""
    kept = asked & {b.id for b in select(tuple(only) if only else None)}
    here = [known()[name] for name in sorted(kept) if not present(known()[name].dataset, roots)]
    if kept and not here:
        raise AccessError(
            f"no recording behind {told(sorted(kept), 3)} is here: `brainbench data locate ID` says how to get it"
        )
    return here


def _without_entry(
    name: str, asked: Sequence[Benchmark], root: Path, roots: Mapping[str, Path] | None
) -> list[Benchmark]:
    """Those of the benchmarks that a model, as it is on this machine, has no entry of in `root/results`."""
    spec = models.load(name, roots=roots).spec
    folder = root / RESULTS / folder_of(name, fingerprint(spec))
    paths = sorted(folder.glob("*.json"))
    done = {(entry.benchmark, entry.benchmark_fingerprint) for path in paths for entry in read(path)}
    return [b for b in asked if (b.id, b.fingerprint) not in done]


def _facts(listed: Listed, name: str) -> dict[str, Any]:
    """What the card of a model, or of its twin, says."""
    if name != listed.model:
        listed = listed.model_copy(
            update={
                "title": f"{listed.title}, untrained",
                "supervision": "none",
                "training_data": [],
                "trained_on_brain_data": False,
                "trained_on_benchmark_stimuli": False,
            }
        )
    return listed.model_dump(exclude={"model", "benchmarks", "without", "twin"})
