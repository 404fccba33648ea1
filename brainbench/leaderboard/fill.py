"""A leaderboard's own entries, all by one command: what `models.toml` lists, on every recording that is here.

Each model is scored as `brainbench score` does, and put into `results/` as `brainbench submit` does. What was scored
before is in the store, so a second run only adds what is new; a run that was interrupted goes on.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from brainbench import api
from brainbench.errors import AccessError, InputError
from brainbench.leaderboard.cards import Family, Line, Supervision
from brainbench.leaderboard.submit import submit
from brainbench.leaderboard.untrusted import first_error
from brainbench.runner import Progress

LIST = "models.toml"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Listed(_Strict):
    """One model of the list. `twin` also scores the same architecture untrained."""

    model: str
    title: Line
    family: Family
    supervision: Supervision
    training_data: list[Line]
    twin: bool = False


class Plan(_Strict):
    """What `models.toml` holds: `benchmarks`, ids or globs, and one `[[model]]` table a model."""

    benchmarks: list[str] = Field(min_length=1)
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
    only: list[str] | None = None,
    benchmarks: list[str] | None = None,
    data_root: Any = None,
    device: str = "auto",
    progress: Callable[[], Progress] | None = None,
    reason: str = "",
) -> Iterator[tuple[str, list[Path] | str]]:
    """Scores and submits every model of `root/models.toml`, or `only` those; gives each with its folders.

    `benchmarks` takes the place of the list's own. A model whose weights are not here is given with how to get them,
    one without any score with the reason. Raises as `read_plan`, `api.score` and `submit` do.
    """
    plan = read_plan(root / LIST)
    for listed in plan.models:
        for name in [listed.model] + [f"{listed.model}@untrained"] * listed.twin:
            if only is not None and name not in only:
                continue
            trained = name == listed.model
            facts: dict[str, Any] = {
                "title": listed.title if trained else f"{listed.title}, untrained",
                "family": listed.family,
                "supervision": listed.supervision if trained else "none",
                "training_data": listed.training_data if trained else [],
                "trained_on_brain_data": False,
                "trained_on_benchmark_stimuli": False,
                "submitter": plan.submitter,
            }
            with TemporaryDirectory() as run:
                try:
                    api.score(
                        name,
                        benchmarks or plan.benchmarks,
                        data_root=data_root,
                        device=device,
                        out=run,
                        progress=progress,
                    )
                    yield name, submit(Path(run), root, facts=facts, reason=reason)
                except (AccessError, InputError) as error:
                    yield name, str(error)
