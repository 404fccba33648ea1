"""Manifests, and the only way from a manifest to a file on this machine that is known to be the right one."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from brainbench._resources import tomls
from brainbench.core.specs import fingerprint
from brainbench.errors import AccessError, InputError, UnknownNameError, listed

_HASHED_BELOW_BYTES = 256_000_000  # larger files are known by their size alone: hashing them would stall every start
_hashed: set[tuple[Path, int, int]] = set()  # (path, size, mtime) whose sha256 was right in this process


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class File(_Strict):
    """One file of a recording; `url` only where it does not lie under the manifest's `base_url`."""

    path: str
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    group: str
    url: str = ""

    @field_validator("path")
    @classmethod
    def _inside_the_root(cls, path: str) -> str:
        parts = PurePosixPath(path).parts
        if not parts or parts[0] == "/" or ".." in parts or "\\" in path:
            raise ValueError("must be relative, with / between folders and without ..")
        return path


class Manifest(_Strict):
    """What a recording consists of, where it comes from and on what terms: `data_manifests/<id>.toml`."""

    id: str
    version: int
    title: str
    citation: str
    doi: str
    licence: str
    access: Literal["open"]
    source: str
    base_url: str
    files: list[File] = Field(alias="file", min_length=1)

    @field_validator("files")
    @classmethod
    def _listed_once(cls, files: list[File]) -> list[File]:
        if len({file.path for file in files}) < len(files):
            raise ValueError("a path is listed twice")
        return files

    @cached_property
    def digest(self) -> str:
        """Hash of all paths and contents, in no order: the identity of the recording."""
        return fingerprint({file.path: file.sha256 for file in self.files})

    def file(self, path: str) -> File:
        """The entry of one file. Raises UnknownNameError where the manifest has none."""
        for file in self.files:
            if file.path == path:
                return file
        raise UnknownNameError(f"file of {self.id}", path, (file.path for file in self.files))

    def url(self, file: File) -> str:
        """The public address of one of its files."""
        return file.url or self.base_url + file.path


@cache
def manifest(id: str) -> Manifest:
    """The manifest of dataset `id`. Raises UnknownNameError where there is none, InputError where it is malformed."""
    known = {path.stem: path for path in tomls("data_manifests")}
    if id not in known:
        raise UnknownNameError("data manifest", id, known)
    try:
        return Manifest.model_validate(tomllib.loads(known[id].read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise InputError(f"{known[id].name} is not a data manifest: {error}") from None


def has_manifest(id: str) -> bool:
    """Whether dataset `id` is made of files that a manifest lists; others are made by their own code."""
    return any(path.stem == id for path in tomls("data_manifests"))


def root(id: str, roots: Mapping[str, Path]) -> Path:
    """The folder of this machine that holds every file of dataset `id`.

    A folder given for this id is the only place looked at: what was asked for by name is used or refused. Otherwise
    the first complete one of: `id` inside the folder given as "", the environment's BRAINBENCH_DATA_<ID>, `id`
    inside BRAINBENCH_DATA, `id` inside the user's data folder. Raises AccessError, naming each place and what it
    lacks, where none is complete.
    """
    places = _places(id, roots)
    found = []
    for place in places:
        lacking = missing(id, place)
        if not lacking:
            return place
        found.append(
            f"{place} lacks {len(lacking)} of {len(manifest(id).files)} files, such as {listed(lacking, 2)}"
            if place.is_dir()
            else f"{place} does not exist"
        )
    lines = "\n  ".join(found)
    raise AccessError(f"{id} is not on this machine; looked at\n  {lines}\n{_how_to_get(id)}")


def _places(id: str, roots: Mapping[str, Path]) -> list[Path]:
    if id in roots:
        return [Path(roots[id]).expanduser()]
    own = os.environ.get(f"BRAINBENCH_DATA_{id.upper()}")
    parents = [roots.get(""), os.environ.get("BRAINBENCH_DATA"), platformdirs.user_data_path("brainbench")]
    below = [Path(parent) / id if parent else None for parent in parents]
    places = [below[0], Path(own) if own else None, *below[1:]]
    return [place.expanduser() for place in places if place]


def _how_to_get(id: str) -> str:
    here = manifest(id)
    return (
        f"Get them from {here.source} (first file: {here.url(here.files[0])}), keep that file tree, and say "
        f"--data-root {id}=PATH, or set BRAINBENCH_DATA to the folder that holds {id}/."
    )


def missing(id: str, root: Path) -> list[str]:
    """Paths of the manifest that are not in `root`. Raises AccessError where looking is not permitted."""
    try:
        return [file.path for file in manifest(id).files if not _exists(root / file.path)]
    except PermissionError as error:
        raise AccessError(f"no permission to look into {error.filename} for the files of {id}") from None


def _exists(path: Path) -> bool:
    """Unlike Path.exists: a link to nowhere is there, `verified` says what is wrong with it; no permission raises."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def read(root: Path, id: str, path: str) -> bytes:
    """The content of one file, verified. Raises as `verified` does."""
    return verified(root, id, path).read_bytes()


def verified(root: Path, id: str, path: str) -> Path:
    """Where one file of dataset `id` lies, once its size and (below 256 MB) its sha256 are those of the manifest.

    Hashed once in a process, and again when it has changed. Raises AccessError where the file is missing or may not
    be read, and InputError, with what was expected and found, where it is truncated, a stub or another file.
    """
    expected = manifest(id).file(path)
    full = root / path
    try:
        facts = full.stat()
        if facts.st_size != expected.bytes:
            raise InputError(f"{full} is {_oddity(full, facts.st_size, expected.bytes)}. {_how_to_get(id)}")
        seen = (full.absolute(), facts.st_size, facts.st_mtime_ns)
        if facts.st_size < _HASHED_BELOW_BYTES and seen not in _hashed:
            with full.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
            if found != expected.sha256:
                raise InputError(
                    f"{full} has the right size but another content: expected sha256 {expected.sha256}, "
                    f"found {found}. {_how_to_get(id)}"
                )
            _hashed.add(seen)
    except (FileNotFoundError, NotADirectoryError):
        if full.is_symlink():
            raise InputError(
                f"{full} is a link to {full.readlink()}, which is not here: a git-annex stub, perhaps "
                f"(git annex get {path}). Expected {expected.bytes} bytes. {_how_to_get(id)}"
            ) from None
        raise AccessError(f"{full} is missing. {_how_to_get(id)}") from None
    except PermissionError:
        raise AccessError(f"no permission to read {full}: it is there, but not for this user") from None
    except OSError as error:
        raise InputError(f"{full} cannot be read: {error}. {_how_to_get(id)}") from None
    return full


def _oddity(full: Path, found: int, expected: int) -> str:
    with full.open("rb") as stream:
        start = stream.read(200)
    sizes = f"expected {expected} bytes, found {found}"
    if start.startswith(b"version https://git-lfs.github.com/spec/"):
        return f"a git-LFS pointer, not the file itself (git lfs pull): {sizes}"
    if start.startswith(b"/annex/objects/"):
        return f"a git-annex stub, not the file itself (git annex get): {sizes}"
    return f"{'truncated' if found < expected else 'not the file of this name'}: {sizes}"
