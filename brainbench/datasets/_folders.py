"""Datasets that are folders with a `dataset.toml`: what each is; no array is read where tables say it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainbench.core.specs import DatasetSpec, fingerprint
from brainbench.datasets import _declared, _tables
from brainbench.datasets._declared import declared
from brainbench.datasets._fetch import TOML
from brainbench.datasets._manifest import UNPINNED, File, Manifest
from brainbench.errors import AccessError, InputError

if TYPE_CHECKING:
    from brainbench.datasets.folder import Folder

log = logging.getLogger(__name__)
AT_ONSET = 1e-9  # seconds: as close to 0 as sums of bins come
LONGEST = 40  # letters of a region in an id, which has 100 at most
TESTED = 5  # stimuli that a fold tests at least, where there are enough for two folds: a correlation needs some


@dataclass(frozen=True, slots=True)
class Kind:
    """What stands in the registry where other datasets have a class: a `spec`, and a call that opens the folder."""

    id: str
    root: Path

    @property
    def spec(self) -> DatasetSpec:
        """Raises InputError or AccessError where `dataset.toml` or a table of neuroids is not as it should be."""
        found = spec(self.root)
        if found.id != self.id:
            raise InputError(
                f"{self.root / TOML} says that its id is {found.id!r}, but it is looked for as {self.id!r}: give the "
                "folder the name of the id"
            )
        return found

    def __call__(self, root: Path) -> Folder:
        from brainbench.datasets.folder import Folder

        _ = self.spec  # a folder under another id's name is refused
        return Folder(root)


def spec(root: Path) -> DatasetSpec:
    """The facts of the recording in a folder; regions in the order of its tables. Raises as `declared` does."""
    said = declared(root)
    regions = dict.fromkeys(name for subject in said.subjects for name in neuroids(root, subject)["region"])
    return DatasetSpec(
        id=said.id,
        version=said.version,
        title=said.title,
        species=said.species,
        modality=said.modality,
        measures=("responses",),
        subjects=tuple(said.subjects),
        regions=tuple(regions),
        unit=said.unit,
        citation=said.citation,
        licence=said.licence,
        url=said.url,
        synthetic=said.synthetic,
    )


def neuroids(root: Path, subject: str) -> _tables.Table:
    """The neuroids of one subject, a row each in the order of its array."""
    return _tables.neuroids(root, declared(root).subjects[subject].neuroids)


def presentations(root: Path, subject: str) -> _tables.Table:
    """The presentations of one subject, a row each in the order of its array; all their stimuli are in the table.

    Raises InputError where one is not.
    """
    said = declared(root)
    path = said.subjects[subject].presentations
    found = _tables.presentations(root, path)
    _tables.known(root / path, found["stimulus_id"], stimuli(root)["stimulus_id"], root / said.stimuli)
    return found


def stimuli(root: Path) -> _tables.Table:
    """The stimulus table."""
    return _tables.stimuli(root, declared(root).stimuli)


def files(root: Path) -> dict[str, str]:
    """Every file of the recording but `dataset.toml`, by path: the group it is in."""
    said = declared(root)
    found = {said.stimuli: "tables"}
    for name, subject in said.subjects.items():
        found |= {subject.presentations: "tables", subject.neuroids: "tables", subject.responses: name}
    return found | {path: "stimuli" for path in stimuli(root)["file"] if path}


def manifest(root: Path) -> Manifest:
    """The folder's own list of its files, unpinned: which content is the right one, only its maker knows."""
    said = declared(root)
    listed = [File(path=TOML, group="tables", sha256=UNPINNED)]
    for path, group in files(root).items():
        _declared.inside(root, path, said=TOML)
        listed.append(File(path=path, group=group, sha256=UNPINNED))
    return Manifest(
        id=said.id,
        version=said.version,
        title=said.title,
        citation=said.citation,
        doi="",
        licence=said.licence,
        access="open",
        source="whoever made this folder",
        base_url=said.url,
        direct=False,
        layout=f"as in {root / TOML}",
        file=listed,
    )


def content(root: Path) -> str:
    """Hash over the contents of all files and over what `dataset.toml` says of how they are read."""
    said = declared(root)
    hashes = {path: _declared.sha256(_declared.file(root, path, said=TOML)) for path in files(root)}
    reading = said.model_dump(include={"subjects", "stimuli", "time_s", "size_deg"})
    return fingerprint({"files": hashes, "reading": reading})


def benchmark_tables(root: Path) -> list[dict[str, Any]]:
    """The folder's own `[[benchmark]]` tables or, where it has none, ridge and RSA of every region.

    Raises InputError for a table whose id does not begin with the dataset's, or that is about another dataset, and
    where time ends before a stimulus can be answered.
    """
    said = declared(root)
    for table in said.benchmark:
        if not str(table.get("id", "")).startswith(f"{said.id}."):
            raise InputError(
                f"{root / TOML}: the benchmark {table.get('id')!r} must have an id that begins with '{said.id}.', such "
                f"as '{said.id}.V4-ridge'"
            )
        if table.get("dataset", said.id) != said.id:
            raise InputError(f"{root / TOML}: {table['id']!r} is about {table['dataset']!r}: leave `dataset` out")
    if said.benchmark:
        return [{"dataset": said.id, **table} for table in said.benchmark]
    if said.time_s and said.time_s[-1] <= AT_ONSET:
        raise InputError(
            f"{root / TOML}: time_s ends at {said.time_s[-1]:g} s, when the stimulus comes on, so no benchmark can be "
            "made: give the seconds after that, or your own [[benchmark]] tables, each with its window_s"
        )
    named = _id_parts(spec(root).regions)
    return [table for region, part in named.items() for table in _defaults(root, said, region, part)]


def _id_parts(regions: Iterable[str]) -> dict[str, str]:
    """What stands for each region in a benchmark's id, no two alike: what an id may not hold is a dash."""
    parts: dict[str, str] = {}
    for region in regions:
        plain = re.sub("[^A-Za-z0-9_+-]+", "-", region)[:LONGEST]
        plain = plain if plain.strip("-") else "region"
        alike = (f"{plain}-{n}" for n in count(2))
        parts[region] = plain if plain not in parts.values() else next(p for p in alike if p not in parts.values())
    return parts


def _defaults(root: Path, said: _declared.Declared, region: str, part: str) -> list[dict[str, Any]]:
    """Ridge over the subjects that have the region, and RSA over each set of them whose neuroids saw the same stimuli.

    Where there is time, the score is the mean over all bins after onset.
    """
    shown: dict[str, list[str]] = {}
    sets: dict[frozenset[str], list[str]] = {}
    for name in said.subjects:
        size = neuroids(root, name)["region"].count(region)
        if size:
            shown[name] = presentations(root, name)["stimulus_id"]
        if size > 1 and _alike(root, name, region):  # dissimilarities of one neuroid have no pattern
            sets.setdefault(frozenset(shown[name]), []).append(name)
    prefix = f"{said.id}.{part}"
    common: dict[str, Any] = {"version": 1, "dataset": said.id, "region": region}
    common |= {"baselines": ["baseline:pixels"]} if any(stimuli(root)["file"]) else {}
    if said.time_s:
        first = min(t for t in said.time_s if t > AT_ONSET)
        start = first / 2 if any(abs(t) <= AT_ONSET for t in said.time_s) else 0.0  # the bin at 0 is before all answers
        common["window_s"] = [start, said.time_s[-1]]
    repeated = all(len(set(names)) < len(names) for names in shown.values())
    grouped, n_stimuli = any(stimuli(root).get("group", ())), min(len(set(names)) for names in shown.values())
    ridge: dict[str, Any] = {
        "id": f"{prefix}-ridge",
        "title": f"{said.title}: {region}, each neuroid predicted",
        "subjects": list(shown),
        "scorer": "ridge",
        "params": {"select": "kfold" if grouped else "gcv"},
        "split": {"n_folds": max(3 if grouped else 2, min(5, n_stimuli // TESTED))},  # kfold leaves out two folds
        "ceiling": "split_half" if repeated else "none",
    }
    rsa: list[dict[str, Any]] = [
        {
            "id": f"{prefix}-rsa" + (f"-{n}" if len(sets) > 1 else ""),
            "title": f"{said.title}: {region}, geometry",
            "subjects": names,
            "scorer": "rsa",
            "params": {"rdm": "correlation", "comparison": "spearman"},
            "split": {"n_folds": 2, "n_repeats": 5},
            "ceiling": "leave_one_subject_out" if len(names) > 1 else "none",
        }
        for n, names in enumerate(sets.values(), 1)
    ]
    return [common | table for table in (ridge, *rsa)]


def _alike(root: Path, subject: str, region: str) -> bool:
    """Whether all neuroids of a region were shown the same stimuli; else they have no common RDM.

    The array is only read where sessions showed different stimuli.
    """
    table = presentations(root, subject)
    by_session: dict[str, set[str]] = {}
    for name, session in zip(table["stimulus_id"], table["session"]):
        by_session.setdefault(session, set()).add(name)
    if len(set(map(frozenset, by_session.values()))) == 1:
        return True
    files = declared(root).subjects[subject]
    try:
        facts = [(root / path).stat() for path in (files.responses, files.presentations, files.neuroids)]
    except OSError:  # what reads it says what is wrong
        return True
    return _measured_alike(root, subject, region, tuple((one.st_size, one.st_mtime_ns) for one in facts))


@lru_cache(maxsize=1024)
def _measured_alike(root: Path, subject: str, region: str, facts: tuple[tuple[int, int], ...]) -> bool:
    from brainbench.datasets.folder import Folder

    try:
        responses = Folder(root).responses(subject, regions=(region,))
    except (AccessError, InputError):
        return True
    values, sessions, names = responses.values, responses["session"].values, responses["stimulus_id"].values
    shown: list[set[str]] = [set() for _ in range(values.shape[1])]
    for session in dict.fromkeys(sessions):
        rows = np.flatnonzero(sessions == session)
        there = np.isfinite(values[rows]).reshape(len(rows), values.shape[1], -1).any(axis=(0, 2))
        for neuroid in np.flatnonzero(there):
            shown[neuroid].update(names[rows])
    alike = len({frozenset(seen) for seen in shown if seen}) < 2
    if not alike:
        log.warning(
            "no RSA is made of %s of %s in %s: its neuroids were shown different stimuli", region, subject, root.name
        )
    return alike
