"""Downloading the files of open recordings: each is whole and right under its name, or not there.

A file comes down under a hidden name, is checked against manifest and lock, synced and moved into place, so a second
run only fetches what is left. A fault of one file (not found, another content) does not keep the others from coming; a
fault of the line (silence, a cut, a server in trouble) stops the run, as it would hit every file.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Protocol

from brainbench.datasets import _fetch
from brainbench.datasets._manifest import UNPINNED, File, Manifest
from brainbench.errors import AccessError, BrainbenchError, ResourceError, UnknownNameError, UsageError
from brainbench.holdings import pins
from brainbench.holdings.checking import checked
from brainbench.holdings.locating import Roots, fetchable, groups_of, locate, manifest_of

_CHUNK_BYTES = 1 << 20
_OF_THE_LINE = {429, 500, 502, 503, 504}  # answers that every file would get now


class Bar(Protocol):
    """Told of each file, then moved by pooch as its bytes come."""

    def start(self, name: str) -> None:
        """A new file."""


@dataclass(frozen=True)
class Failure:
    """A file that did not come: "differs" where something else came in its place."""

    path: str
    outcome: Literal["absent", "differs"]
    why: str


@dataclass(frozen=True)
class Fetched:
    """What a run did; `elsewhere` are files and folders that are not here and have no address of their own."""

    root: Path
    fetched: int
    kept: int
    failed: list[Failure]
    elsewhere: list[str]
    how_to_get: str


def fetch(id: str, roots: Roots, *, groups: Sequence[str] = (), timeout: float = 30.0, bar: Bar) -> Fetched:
    """Downloads what is missing or wrong of dataset `id`, all of it or the groups and parts named.

    Into the folder that was given, else the one that holds most, else the first of the search order. Raises
    AccessError where the recording is not open, where the line fails or the folder may not be written, UnknownNameError
    for a group, UsageError where another fetch is at work there, ResourceError where the disk is full.
    """
    from filelock import FileLock, Timeout

    here = manifest_of(id)
    wanted = _groups(here, groups)
    if why := fetchable(here):
        raise AccessError(f"{why}, so it is not fetched. {_fetch.how_to_get(id)}")
    root, locked = _target(id, roots), pins.pins(here)
    files = [pins.pinned(file, locked) for file in here.files if file.group in wanted]
    addressed = [file for file in files if here.direct or file.url]
    come = {file.path for file in addressed}
    elsewhere = [path for path in _fetch.absent(here, root, wanted) if path not in come]
    with _said(root):
        root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(root / ".brainbench-fetch.lock", timeout=0)
        try:
            with lock:
                left = [file for file in addressed if not _is_right(root / file.path, file)]
                _check_room(root, left)
                failed = _fetch_all(here, left, root, timeout, bar)
        except Timeout:
            raise UsageError(f"another fetch is at work in {root}: wait for it") from None
    kept, came = len(addressed) - len(left), len(left) - len(failed)
    return Fetched(root, came, kept, failed, elsewhere, _fetch.how_to_get(id))


def _groups(here: Manifest, names: Sequence[str]) -> set[str]:
    known = groups_of(here)
    for name in names:
        if name not in (*known, *here.parts):
            raise UnknownNameError(f"group of {here.id}", name, {*known, *here.parts})
    return {group for name in names for group in here.parts.get(name, [name])} or set(known)


def _target(id: str, roots: Roots) -> Path:
    found = locate(id, roots)
    first = found.places[0]
    return (first if first.named_by == "--data-root" else found.used or found.nearest or first).path


def _is_right(full: Path, file: File) -> bool:
    outcome = checked(full, file)
    if outcome.outcome == "unreadable":
        raise AccessError(f"no permission to read {full}: it is there, but not for this user")
    return outcome.outcome not in ("missing", "differs")


def _check_room(root: Path, files: Sequence[File]) -> None:
    needed, free = sum(file.bytes or 0 for file in files), shutil.disk_usage(root).free
    if needed > free:
        raise ResourceError(
            f"{root} has room for {free} bytes, and the files need {needed}: free space, or name a group"
        )


def _fetch_all(here: Manifest, files: Sequence[File], root: Path, timeout: float, bar: Bar) -> list[Failure]:
    from requests import ConnectionError, HTTPError, RequestException, Timeout
    from requests.exceptions import ChunkedEncodingError

    failed = []
    for n, file in enumerate(files):
        url, why = here.url(file), ""
        try:
            bar.start(f"{n + 1}/{len(files)} {PurePosixPath(file.path).name}")
            why = _fetch_one(url, file, root / file.path, timeout, bar)
            if why:
                failed.append(Failure(file.path, "differs", f"{why}. It came from {url}"))
        except RequestException as error:
            status = error.response.status_code if isinstance(error, HTTPError) and error.response is not None else 0
            said = f"the server answered {status}" if status else f"{type(error).__name__}: {error}"
            if status in _OF_THE_LINE or isinstance(error, (ConnectionError, Timeout, ChunkedEncodingError)):
                raise AccessError(
                    f"{url}: {said}. {n - len(failed)} of {len(files)} files came and are whole in {root}; run "
                    "again to go on"
                ) from None
            failed.append(Failure(file.path, "absent", f"could not be had from {url}: {said}"))
    return failed


def _fetch_one(url: str, file: File, full: Path, timeout: float, bar: Any) -> str:
    """Empty once the file is in its place, else what is wrong with what came."""
    from pooch import HTTPDownloader

    part = full.with_name(f".{full.name}.part")
    try:
        full.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            HTTPDownloader(progressbar=bar, chunk_size=_CHUNK_BYTES, timeout=timeout)(url, stream, None)
            stream.flush()
            os.fsync(stream.fileno())
        why = _fetch.difference(part, file)
        if not why and file.sha256 == UNPINNED and _is_page(part, file.path):
            why = "is a web page, not the file itself: a form or a login, perhaps"
        if not why:
            part.replace(full)
        return why
    finally:
        part.unlink(missing_ok=True)


def _is_page(full: Path, path: str) -> bool:
    with full.open("rb") as stream:
        start = stream.read(200).lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html")) and not path.endswith((".html", ".htm"))


class _said:
    """Turns what a folder cannot take into an error of ours that names it."""

    def __init__(self, root: Path):
        self.root = root

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, OSError) or isinstance(error, BrainbenchError):
            return
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise ResourceError(
                f"{self.root}: the disk is full. Files that came are whole; run again to go on"
            ) from None
        raise AccessError(f"{self.root} cannot be written: {error}. Name another folder with --data-root") from None
