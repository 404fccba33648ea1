"""Entry: one row of the leaderboard, as it stands in a file."""

from __future__ import annotations

import json
import logging
import math
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError, model_validator

from brainbench.core.whole import write_whole
from brainbench.errors import InputError, ResourceError

log = logging.getLogger("brainbench")
SCHEMA_VERSION: Literal[1] = 1
# How an entry's JSON of one version becomes that of the next: files are never rewritten, they are read forward.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}

# NaN is how the engine says "undefined"; in a file that is null
Number = Annotated[float | None, BeforeValidator(lambda v: None if isinstance(v, float) and math.isnan(v) else v)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Layer(_Strict):
    """One point of the layer curve: `train` is what layers are chosen on, `raw` the score if this one were fixed.

    `geometry` holds diagnostics of the layer for the largest set of stimuli that the benchmark scores (see
    `numerics.diagnostics`): they stand beside scores and are none. Entries older than it have an empty one.
    """

    layer: str
    pooling: str
    depth: float
    train: Number
    raw: Number
    geometry: dict[str, Number] = {}


class Optimistic(_Strict):
    """The layer that is best on the test stimuli: not a score, but how much choosing on them would have gained."""

    layer: str
    raw: Number
    gap: Number


class Subject(_Strict):
    """One subject: medians over neuroids (for RDMs, the subject's value), and how many neuroids they rest on."""

    raw: Number
    ceiling: Number
    normalized: Number
    n_neuroids: int


class Baseline(_Strict):
    """Another model's score on the same benchmark; `difference` is ours minus its, with its paired interval.

    One that could not be scored has nulls and a `reason`.
    """

    raw: Number = None
    normalized: Number = None
    layer: str | None = None
    difference: Number = None
    difference_low: Number = None
    difference_high: Number = None
    reason: str = ""


class TimeCourse(_Strict):
    """A score over time, a value a bin (see `docs/time.md`): `time_s` from onset, `raw` as the score is summarised.

    `low` and `high` are pointwise 95 % intervals, `p` is corrected for all bins (max-statistic over replicates around
    their mean), and `threshold` is what a bin has to be above for p < .05. `window_s` is what the entry's own `raw` is
    the mean over. The onset is the first of `n_consecutive` such bins; `onset_share` of the replicates have one, and
    its interval is theirs. The peak is the highest bin. Both are null, for the `reason`, where nothing is told from 0.
    `layer_raw` is `raw` with one layer in every fold, a row for each of the entry's `layers`.
    """

    time_s: list[float]
    window_s: list[float]
    raw: list[Number]
    low: list[Number]
    high: list[Number]
    ceiling: list[Number]
    p: list[Number]
    threshold: list[Number]
    n_consecutive: int
    onset_s: Number = None
    onset_low_s: Number = None
    onset_high_s: Number = None
    onset_share: Number = None
    peak_s: Number = None
    peak_low_s: Number = None
    peak_high_s: Number = None
    reason: str = ""
    layer_raw: list[list[Number]] = []


class Scored(_Strict):
    """What a model reached on a benchmark: all of an Entry's numbers that need no other model.

    `raw`, `ceiling` (on `ceiling_scale`) and `normalized` are medians over neuroids within a subject, then means over
    subjects. `low` and `high` bound `raw`: the 95 % percentile interval of `replicates`, which resample what
    `resampled` names. `normalized` is sign(r) r² / ceiling on the r² scale and not clipped. `extras` are the scorer's
    further numbers, and curves as lists of them. Undefined is null.

    Of a recording with time, `time_course` is there, and all else is over the bins of its `window_s`: a neuroid's `raw`
    is their mean, its `normalized` what it explains in all of them over what could be explained.
    """

    raw: Number = None
    ceiling: Number = None
    ceiling_upper: Number = None
    ceiling_scale: str = ""
    ceiling_method: str = ""
    ceiling_reason: str = ""
    normalized: Number = None
    low: Number = None
    high: Number = None
    normalized_low: Number = None
    normalized_high: Number = None
    resampled: str = ""
    layer: str | None = None
    layer_by_fold: list[str] = []
    layers: list[Layer] = []
    optimistic: Optimistic | None = None
    per_subject: dict[str, Subject] = {}
    n_stimuli: int = 0
    n_neuroids: int = 0
    n_excluded: int = 0
    excluded: dict[str, int] = {}
    n_without_ceiling: int = 0
    extras: dict[str, Number | list[Number]] = {}
    replicates: list[Number] = []
    time_course: TimeCourse | None = None


class _Head(_Strict):
    """What was scored on what."""

    schema_version: Literal[1] = SCHEMA_VERSION
    benchmark: str
    benchmark_fingerprint: str
    benchmark_identity: dict[str, Any] = {}
    synthetic: bool
    model: str
    model_fingerprint: str
    model_identity: dict[str, Any] = {}
    status: Literal["ok", "failed", "not_applicable"]
    reason: str = ""
    scorer: str
    scale: str


class Entry(Scored, _Head):
    """One model on one benchmark.

    `benchmark_fingerprint` is the hash of `benchmark_identity` (see `benchmarks.Benchmark.identity`), and
    `model_fingerprint` that of `model_identity`, a `core.specs.ModelSpec`: the sha256 of the weights, preprocessing,
    layers with their poolings, training data. `status` is `ok`, `failed` or `not_applicable`, the latter two with a
    `reason`; their numbers are null.
    """

    baselines: dict[str, Baseline] = {}
    provenance: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _forward(cls, content: Any) -> Any:
        return migrated(content) if isinstance(content, dict) else content

    @property
    def path(self) -> Path:
        """Where its file lies: `<model>-<8 hex>/<benchmark>.json`, the digits beginning the model's fingerprint.

        So models of one name, or one model read at other layers, lie side by side.
        """
        return Path(folder_of(self.model, self.model_fingerprint)) / f"{self.benchmark}.json"

    @property
    def label(self) -> str:
        """The benchmark's name as it is shown: never without saying that a recording is synthetic."""
        return f"{self.benchmark} (synthetic)" if self.synthetic else self.benchmark

    def as_json(self) -> dict[str, Any]:
        """The entry as plain JSON values."""
        return self.model_dump(mode="json")


def folder_of(model: str, fingerprint: str) -> str:
    """The name of the folder of a model's entries: `<model>-<8 hex>`."""
    return f"{re.sub(r'[^A-Za-z0-9._+@-]|^[.]+', '_', model)[:100]}-{fingerprint[:8]}"


def migrated(content: dict[str, Any]) -> dict[str, Any]:
    """An entry's JSON of an earlier version as one of this version. Raises ValueError for one of a later version."""
    while type(version := content.get("schema_version", SCHEMA_VERSION)) is int and version in MIGRATIONS:
        content = MIGRATIONS[version](content) | {"schema_version": version + 1}
    if type(version) is int and version > SCHEMA_VERSION:
        raise ValueError(f"is of schema version {version}, this brainbench reads up to {SCHEMA_VERSION}: update it")
    return content


def files(path: Path) -> list[Path]:
    """The file itself, or all JSON files below a folder in order, each once, those behind links to folders, too.

    Raises InputError where there is none.
    """
    found = sorted(file for folder in _folders(path) for file in folder.glob("*.json")) if path.is_dir() else [path]
    if not found:
        raise InputError(f"there are no entries in {path}: `brainbench score MODEL --out {path}` writes some")
    return found


def _folders(root: Path) -> Iterator[Path]:
    seen = {root.resolve()}
    for at, below, _ in os.walk(root, followlinks=True):
        yield Path(at)
        new = {(Path(at) / name).resolve(): name for name in sorted(below, reverse=True)}  # of two links, the first
        below[:] = [name for real, name in new.items() if real not in seen]
        seen |= new.keys()


def read(path: Path) -> list[Entry]:
    """The entries of a JSON file, or of all JSON files below a folder, in order of their paths.

    Raises InputError, naming the file and the field, where a file does not hold an entry or a list of them, and where
    there is none.
    """
    found: list[Entry] = []
    for file in files(path):
        try:
            found += _ENTRIES.validate_json(file.read_bytes())
        except OSError as error:
            raise InputError(f"cannot read the entry {file}: {error.strerror}") from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"] if part != "list[Entry]") or "the file"
            raise InputError(f"{file} is not an entry: {field}: {first['msg']}") from None
    if not found:
        raise InputError(f"{path} holds no entry, only an empty list")
    return found


_ENTRIES = TypeAdapter(
    Annotated[list[Entry], BeforeValidator(lambda value: value if isinstance(value, list) else [value])]
)


def save(entry: Entry, folder: Path) -> Path:
    """Write one entry as `<folder>/<model>-<8 hex>/<benchmark>.json`, whole or not at all; gives the path.

    A later entry of the same model replaces an earlier one, but one without a score never replaces a score.
    """
    path = folder / entry.path
    earlier = _scored_before(path)
    if earlier is not None and entry.status != "ok":
        log.warning("%s: this entry is %s and was not written, %s has a score", entry.label, entry.status, path)
        return path
    if earlier is not None and earlier.benchmark_fingerprint != entry.benchmark_fingerprint:
        log.warning("%s replaces the score on another version of the benchmark in %s", entry.label, path)
    try:
        write_whole(path, json.dumps(entry.as_json(), indent=1) + "\n")
    except OSError as error:
        raise ResourceError(f"cannot write the entry {path}: {error.strerror}. Give another --out folder.") from None
    return path


def _scored_before(path: Path) -> Entry | None:
    """The entry with a score that is in this file; None where there is no such file or entry."""
    try:
        return next((entry for entry in read(path) if entry.status == "ok"), None)
    except InputError:
        return None
