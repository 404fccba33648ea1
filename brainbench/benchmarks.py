"""Benchmarks: what is compared with what, and how, as data: one TOML a dataset."""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Iterable
from functools import cache
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from brainbench import _resources, datasets, scorers
from brainbench.core.specs import fingerprint
from brainbench.errors import AccessError, InputError, UnknownNameError, UsageError, complaint, did_you_mean

N_REPLICATES = 1000
AGGREGATION = 3  # rises when the way from columns to an entry's numbers changes


class SplitRule(BaseModel):
    """How many folds, dealt out how often (see `core.splits.grouped_folds`)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    n_folds: int = Field(ge=2)
    n_repeats: int = Field(default=1, ge=1)


class Benchmark(BaseModel):
    """One row of `brainbench list benchmarks`.

    `region` is the recording's own name for it; `subjects` and `sessions` keep only those (all if absent). A scorer
    that requires labels takes the `category` of the stimuli that they were shown, and no region is named. `stimuli`
    keeps those whose columns in the stimulus table have these values, such as { shared1000 = true } (all if absent).
    `window_s`, from and to in seconds after onset, is there where the recording has time: its score is the mean over
    the bins in it, and the time course stands beside.
    `ceiling` is the rule that bounds the score: `split_half` (reliability of the mean over repetitions), `ncsnr` (the
    same from the variance over repetitions, as in the NSD), `leave_one_subject_out` (of RDMs) or `none`. `baselines`
    are scored beside every model: model names, and `untrained` for its own twin.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$")
    version: int = Field(ge=1)
    title: str
    dataset: str
    region: str = ""
    subjects: tuple[str, ...] | None = None
    sessions: tuple[str, ...] | None = None
    stimuli: dict[str, bool | int | str] | None = None
    window_s: tuple[float, float] | None = None
    scorer: str
    params: dict[str, Any] = {}
    split: SplitRule
    layer_policy: Literal["choose_on_train"] = "choose_on_train"
    ceiling: Literal["split_half", "ncsnr", "leave_one_subject_out", "none"]
    baselines: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        if self.dataset not in datasets.DATASETS:
            raise ValueError(f"unknown dataset {self.dataset!r}.{did_you_mean(self.dataset, datasets.DATASETS)}")
        if self.scorer not in scorers.SCORERS:
            raise ValueError(f"unknown scorer {self.scorer!r}.{did_you_mean(self.scorer, scorers.SCORERS)}")
        if self.window_s is not None and self.window_s[0] >= self.window_s[1]:
            raise ValueError(f"window_s goes from an earlier to a later second, got {list(self.window_s)}")
        return self

    @property
    def identity(self) -> dict[str, Any]:
        """All that can change a score but the model.

        This table (not its title or baselines), the dataset's adapter version and the sha256 of its files, the
        scorer's version, and the way scores are summarised. Raises AccessError or InputError where a folder's files
        cannot be read.
        """
        return self.identity_on(datasets.content(self.dataset))

    def identity_on(self, content: str) -> dict[str, Any]:
        """The identity, were the recording's content this."""
        # rows of before there was a choice stay what they are
        whole = {name for name in ("stimuli", "window_s") if getattr(self, name) is None}
        return {
            **self.model_dump(mode="json", exclude={"title", "baselines", *whole}),
            **self._recording(content),
            "scorer_version": scorers.SCORERS[self.scorer].spec.version,
            "aggregation": AGGREGATION,
            "replicates": N_REPLICATES,
        }

    @property
    def fingerprint(self) -> str:
        """Hash of the identity: rows with different ones are never ranked together."""
        return fingerprint(self.identity)

    @property
    def recording(self) -> dict[str, Any]:
        """What the recording is, whatever is asked of it."""
        return self._recording(datasets.content(self.dataset))

    def _recording(self, content: str) -> dict[str, Any]:
        version = datasets.DATASETS[self.dataset].spec.version
        return {"dataset": self.dataset, "dataset_version": version, "dataset_content": content}

    @property
    def solve_key(self) -> str:
        """Benchmarks that agree in this are columns of one solve: they differ in region and ceiling alone."""
        return fingerprint(
            {
                "dataset": self.dataset,
                "subjects": self.subjects,
                "sessions": self.sessions,
                "scorer": self.scorer,
                "params": self.params,
                "split": self.split.model_dump(),
                **({"stimuli": self.stimuli} if self.stimuli is not None else {}),
            }
        )


def known() -> dict[str, Benchmark]:
    """All benchmarks by id: this installation's, and those of folders with a `dataset.toml`.

    Raises InputError, naming file and field, for a TOML of this installation that is wrong; of a folder it is said.
    """
    found = dict(_shipped())
    for name in datasets.DATASETS.folders():
        try:
            found |= _declared(name)
        except (AccessError, InputError) as error:
            datasets.warn(f"benchmarks of {name} are left out: {error}")
    return found


def named(id: str) -> Benchmark | None:
    """The benchmark of this id, None where there is none: folders are looked through only for what is not shipped."""
    return _shipped().get(id) or known().get(id)


def _declared(name: str) -> dict[str, Benchmark]:
    """Those of one folder. Raises InputError or AccessError where it, or one of them, is not as it should be."""
    found: dict[str, Benchmark] = {}
    for table in datasets.declared_benchmarks(name):
        _add(found, table, f"dataset.toml of {name}")
        try:
            scorers.load(table["scorer"], table.get("params", {}))
        except UsageError as error:
            raise InputError(f"dataset.toml of {name}, benchmark {table['id']!r}: {error}") from None
    return found


@cache
def _shipped() -> dict[str, Benchmark]:
    found: dict[str, Benchmark] = {}
    for path in _resources.tomls("benchmarks"):
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path.name} is not TOML: {error}") from None
        tables = content.pop("benchmark", None)
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise InputError(f"{path.name} has no [[benchmark]] tables")
        for table in tables:
            _add(found, content | table, path.name)
    return found


def _keys(table: list[str]) -> Iterable[str]:
    return (SplitRule if table else Benchmark).model_fields


def _add(found: dict[str, Benchmark], table: dict[str, Any], said: str) -> None:
    try:
        benchmark = Benchmark(**table)
    except ValidationError as error:
        wrong = "\n  ".join(complaint(detail, _keys) for detail in error.errors())
        raise InputError(f"{said}, benchmark {table.get('id')!r}:\n  {wrong}") from None
    if benchmark.id in found:
        raise InputError(f"{said} defines {benchmark.id!r} a second time")
    found[benchmark.id] = benchmark


def select(patterns: tuple[str, ...] | None) -> list[Benchmark]:
    """Benchmarks whose id matches one of the glob `patterns` (all if None), in order of id.

    Raises UnknownNameError, with near names, for a pattern that matches none.
    """
    everything = known()
    if patterns is None:
        return [everything[name] for name in sorted(everything)]
    chosen: set[str] = set()
    for pattern in patterns:
        matches = fnmatch.filter(everything, pattern)
        if not matches:
            if datasets.is_declared(dataset := pattern.partition(".")[0]):
                _declared(dataset)  # where the folder is not as it should be, this says what is wrong
            raise UnknownNameError("benchmark", pattern, everything)
        chosen.update(matches)
    return [everything[name] for name in sorted(chosen)]


def of_region(name: str, scorer: str, patterns: tuple[str, ...] | None = None) -> list[Benchmark]:
    """The benchmark of this id, or those of this region, scorer and glob `patterns`, in order of id; never none.

    Raises UnknownNameError for a name that is neither, UsageError for a region that only other scorers score.
    """
    if name in known():
        return [known()[name]]
    chosen = [b for b in select(patterns) if b.region == name]
    if not chosen:
        regions = {b.region for b in select(patterns) if b.region}
        raise UnknownNameError("region or benchmark", name, regions | set(known()))
    scored = [b for b in chosen if b.scorer == scorer]
    if not scored:
        others = ", ".join(f"{b.id} is by {b.scorer}" for b in chosen)
        raise UsageError(f"no benchmark of {name!r} is scored by {scorer!r}; {others}. Name another --scorer.")
    return scored
