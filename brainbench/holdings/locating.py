"""Where a recording is looked for, what is there of each of its parts, and what is left to do.

A part is what its manifest calls one, such as a subject in one format; where it has none, a group of files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from brainbench.datasets import DATASETS, _fetch, _terms
from brainbench.datasets._manifest import Manifest
from brainbench.errors import AccessError, InputError, listed

State = Literal["present", "partial", "missing", "made"]
Roots = dict[str, Path]


@dataclass(frozen=True)
class Place:
    """One folder of the search order: `absent` are, a part, the paths that it lacks there."""

    named_by: str
    path: Path
    lacks: int
    absent: dict[str, list[str]]
    problem: str = ""

    def here(self, part: str, total: int) -> int:
        """How many of the part's files are in this folder."""
        return 0 if self.problem else total - len(self.absent[part])


@dataclass(frozen=True)
class Found:
    """A recording on this machine: `used` is the folder it is read from, `nearest` the one that lacks least."""

    id: str
    parts: dict[str, int]  # how many files each has
    core: list[str]  # parts that nothing works without
    places: list[Place]

    @property
    def used(self) -> Place | None:
        """The folder that the recording is read from; None where none holds enough."""
        return next((place for place in self.places if not place.problem and not place.lacks), None)

    @property
    def nearest(self) -> Place | None:
        """The folder that holds most of its files; None where none holds any."""
        held = {place.path: self._held(place) for place in self.places}
        best = max(self.places, key=lambda place: held[place.path], default=None)
        return best if best and held[best.path] else None

    def _held(self, place: Place) -> int:
        return sum(place.here(part, total) for part, total in self.parts.items())

    @property
    def state(self) -> State:
        """In one word; made where code makes the recording, so there are no files."""
        if not self.places:
            return "made"
        return "present" if self.used else "partial" if self.nearest else "missing"

    @property
    def whole(self) -> int:
        """How many parts are whole in the folder that is used, or in the nearest."""
        place = self.used or self.nearest
        return sum(place.here(part, n) == n for part, n in self.parts.items()) if place else 0


def manifest_of(id: str) -> Manifest:
    """The manifest of a dataset that has one. Raises UnknownNameError, and InputError where code makes the dataset."""
    DATASETS[id]
    if not _fetch.has_manifest(id):
        raise InputError(f"{id} has no files: it is made by code, and always here")
    return _fetch.manifest(id)


def locate(id: str, roots: Roots) -> Found:
    """What is on this machine of dataset `id`. Raises UnknownNameError; never for what a folder lacks."""
    DATASETS[id]
    if not _fetch.has_manifest(id):
        return Found(id, {}, [], [])
    here = _fetch.manifest(id)
    groups = groups_of(here)
    named = {group for part in here.parts.values() for group in part}
    parts = dict(here.parts) | {group: [group] for group in groups if group not in named}
    totals = {part: _fetch.counted(here, of) for part, of in parts.items()}
    found = []
    for named_by, path in _fetch.places(id, roots):
        try:
            if not path.is_dir():
                raise AccessError("is not a folder" if path.exists() else "does not exist")
            absent = {part: _fetch.absent(here, path, of) for part, of in parts.items()}
            found.append(Place(named_by, path, len(_fetch.missing(id, path)), absent))
        except (AccessError, PermissionError) as error:
            why = "no permission to look" if isinstance(error, PermissionError) else str(error)
            found.append(Place(named_by, path, 0, {}, why))
    return Found(id, totals, [part for part in parts if part in here.required], found)


def groups_of(here: Manifest) -> list[str]:
    """The groups of a manifest, in its order."""
    return list(dict.fromkeys(entry.group for entry in (*here.files, *here.folders)))


def fetchable(here: Manifest) -> str:
    """Empty where files can be fetched one by one by anybody, else why not."""
    if here.access != "open":
        return f"{here.id} is not open: {here.access} ({here.terms_url})"
    if not any(here.direct or file.url for file in here.files):
        return f"{here.id} has no address a file"
    return ""


def what_to_do(found: Found) -> list[str]:
    """What is left to do before the recording can be used, one sentence each; nothing where it can."""
    if found.state == "made":
        return []
    here, steps = _fetch.manifest(found.id), []
    if not _terms.accepted(here):
        steps.append(f"Read {here.terms_url} and say `brainbench data accept {here.id}`.")
    if found.state != "present":
        steps += [] if fetchable(here) else [f"Say `brainbench data fetch {here.id}`, or:"]
        steps.append(_fetch.how_to_get(here.id))
        steps += [f"File tree: {here.layout}."] if here.layout else []
        if here.parts:
            beside = f", beside {listed(here.core)}" if here.core else ""
            steps.append(f"One part is enough{beside}: {listed(here.parts)}.")
    return steps


def overview(roots: Roots) -> list[dict[str, Any]]:
    """One row a dataset: how much of it is here, its licence, and who may have it."""
    rows = []
    for id in DATASETS:
        found = locate(id, roots)
        here = _fetch.manifest(id) if found.places else None
        place = found.used or found.nearest
        terms = (
            "" if here is None or here.access == "open" else ", accepted" if _terms.accepted(here) else ", to accept"
        )
        rows.append(
            {
                "dataset": id,
                "state": found.state,
                "parts": f"{found.whole} of {len(found.parts)}" if found.parts else "–",
                "access": f"{here.access}{terms}" if here else "–",
                "licence": here.licence if here else DATASETS[id].spec.licence,
                "folder": str(place.path) if place else "",
            }
        )
    return rows
