"""Whether the files of a recording that are here are the right ones: every byte of them, or quickly by size.

Loading a recording hashes no large file and no unpinned one; this does.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from brainbench.datasets import _fetch
from brainbench.datasets._manifest import UNPINNED, File, Manifest
from brainbench.errors import AccessError, UsageError
from brainbench.holdings import pins
from brainbench.holdings.locating import Roots, locate, manifest_of

Outcome = Literal["right", "size right", "unpinned", "differs", "unreadable", "missing"]


@dataclass(frozen=True)
class Checked:
    """One file: "size right" was not hashed, "unpinned" is there and has nothing to be held against."""

    path: str
    outcome: Outcome
    why: str = ""


@dataclass(frozen=True)
class Report:
    """All files of a recording, in the manifest's order; `lock` is the file that was written, if any."""

    id: str
    root: Path
    usable: bool  # enough is there to read it
    files: list[Checked]
    lock: Path | None

    def of(self, *outcomes: Outcome) -> list[Checked]:
        """The files with one of these outcomes."""
        return [file for file in self.files if file.outcome in outcomes]

    def __str__(self) -> str:
        counts = Counter(file.outcome for file in self.files)
        told = ", ".join(f"{n} {outcome}" for outcome, n in counts.items())
        return f"{self.id} in {self.root}, {len(self.files)} files: {told}"


def verify(
    id: str,
    roots: Roots,
    *,
    quick: bool = False,
    pin: bool = False,
    start: Callable[[int], object] = lambda total: None,
    step: Callable[[], object] = lambda: None,
) -> Report:
    """Every file of dataset `id` in the folder that is read, or that lacks least, held against manifest and lock.

    `quick` hashes nothing. `pin` locks the files that were unpinned and are there; what differs is never locked.
    `start` hears how many files there are, `step` of each. Raises UsageError for both at once, AccessError where no
    file is here.
    """
    if quick and pin:
        raise UsageError("--pin needs the hashes that --quick leaves out: give one of them")
    here, found = manifest_of(id), locate(id, roots)
    place = found.used or found.nearest
    if place is None:
        _fetch.root(id, roots)  # says where it looked and how to get the files
        raise AccessError(f"{id} is not on this machine")
    locked = pins.pins(here)
    entries = _entries(here, place.path)
    files, new = [], dict(locked)
    start(len(entries))
    for entry in entries:
        outcome = checked(place.path / entry.path, pins.pinned(entry, locked), quick=quick)
        if pin and outcome.outcome in ("right", "unpinned") and entry.sha256 == UNPINNED and entry.path not in locked:
            new[entry.path] = _pin(place.path / entry.path)
            outcome = Checked(entry.path, "right", "pinned now")
        files.append(Checked(entry.path, outcome.outcome, outcome.why))
        step()
    lock = pins.write(here, new) if new != locked else None
    return Report(id, place.path, found.used is not None, files, lock)


def checked(full: Path, expected: File, *, quick: bool = False) -> Checked:
    """One file held against its entry; what cannot be read is an outcome, not an error."""

    def is_(outcome: Outcome, why: str = "") -> Checked:
        return Checked(expected.path, outcome, why)

    try:
        why = _fetch.difference(full, expected, hashed_below=0 if quick else math.inf)
    except (FileNotFoundError, NotADirectoryError):
        if full.is_symlink():
            return is_("differs", f"is a link to {full.readlink()}, which is not here: a git-annex stub, perhaps")
        return is_("missing")
    except PermissionError:
        return is_("unreadable", "no permission to read it")
    except OSError as error:
        return is_("differs", f"cannot be read: {error}")
    if why:
        return is_("differs", why)
    if expected.sha256 == UNPINNED and not expected.sha1:
        return is_("unpinned") if expected.bytes is None else is_("size right")
    return is_("size right" if expected.bytes is not None else "unpinned") if quick else is_("right")


def _entries(here: Manifest, root: Path) -> list[File]:
    named = here.files
    inside = [path for folder in here.folders for path in _fetch.inside(root, here.id, folder.path)]
    known = {file.path for file in named}
    return [*named, *(here.file(path) for path in dict.fromkeys(inside) if path not in known)]


def _pin(full: Path) -> pins.Pin:
    with full.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return pins.Pin(bytes=full.stat().st_size, sha256=digest)
