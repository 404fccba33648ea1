"""`dataset.toml`: a recording that is a folder of arrays and tables, declared without code."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from brainbench.datasets._fetch import FOLDER_ID, TOML, difference
from brainbench.datasets._manifest import UNPINNED, File
from brainbench.errors import AccessError, InputError, complaint

HOW = "https://github.com/brainbench/brainbench/tree/main/docs/add_a_dataset.md"
_ENDINGS = (".npy", ".safetensors", ".h5", ".hdf5")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Subject(_Strict):
    """The files of one subject, relative to the folder: an array, and a table for each of its first two axes.

    `array` names the array where a .h5 or .safetensors file holds several.
    """

    responses: str
    presentations: str
    neuroids: str
    array: str = ""


class Declared(_Strict):
    """What a `dataset.toml` says. `benchmark` holds tables as in `benchmarks/*.toml`; defaults stand in for none."""

    id: str = Field(pattern=FOLDER_ID)
    version: int = Field(default=1, ge=1)
    title: str = Field(min_length=1)
    citation: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    species: str = Field(min_length=1)
    modality: str = Field(min_length=1)
    unit: str = Field(default="not stated", min_length=1)
    url: str = Field(default="not published", min_length=1)
    synthetic: bool = False
    size_deg: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    stimuli: str = "stimuli.csv"
    time_s: Annotated[list[FiniteFloat], Field(min_length=1)] | None = None
    subjects: dict[str, Subject] = Field(min_length=1)
    benchmark: list[dict[str, Any]] = []


def declared(root: Path) -> Declared:
    """What the folder's `dataset.toml` says.

    Raises AccessError where there is none, InputError, with each wrong key, where it is not as it should be.
    """
    full = file(root, TOML, said="a recording's folder")
    facts = full.stat()
    return _parsed(full, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=256)
def _parsed(full: Path, mtime_ns: int, size: int) -> Declared:
    try:
        found = Declared.model_validate(tomllib.loads(full.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{full} is not TOML: {error}") from None
    except ValidationError as error:
        wrong = "\n  ".join(complaint(detail, _keys) for detail in error.errors())
        raise InputError(f"{full}:\n  {wrong}\nEvery key is explained in {HOW}") from None
    for name, subject in found.subjects.items():
        if not subject.responses.endswith(_ENDINGS):
            raise InputError(
                f"{full}: the responses of {name!r} are in {subject.responses!r}; a file that can be read ends with "
                f"{', '.join(_ENDINGS)}"
            )
    if found.time_s is not None and any(b <= a for a, b in zip(found.time_s, found.time_s[1:])):
        raise InputError(f"{full}: time_s must rise, in seconds after the stimulus came on; it is {found.time_s}")
    return found


def _keys(table: list[str]) -> Iterable[str]:
    return (Subject if table else Declared).model_fields


def inside(root: Path, path: str, *, said: str) -> Path:
    """Where the file `path` of a folder would lie. Raises InputError for a path that leads out of the folder."""
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts or {"\\", "\0"} & set(path):
        raise InputError(
            f"{said} of {root} names the file {path!r}: paths start in that folder, with / and without .., so that the "
            "folder is whole"
        )
    return root / path


def file(root: Path, path: str, *, said: str) -> Path:
    """Where the file `path` of a folder lies, which is inside the folder; `said` is what names it, for messages.

    Raises InputError for a path or link that leads out, and for a pointer or an empty file in place of the file, and
    AccessError where there is none or it may not be read.
    """
    full = inside(root, path, said=said)
    try:
        if not full.resolve().is_relative_to(root.resolve()):
            raise InputError(f"{full} is a link out of the folder, to {full.resolve()}: put the file itself there")
        if full.exists() and not full.is_file():  # a pipe would be waited for
            raise InputError(f"{full} is no file but a folder, pipe or device: put the file itself there")
        why = difference(full, File(path=path, group="all", sha256=UNPINNED))
    except (FileNotFoundError, NotADirectoryError):
        if full.is_symlink():
            raise InputError(f"{full} is a link to {full.readlink()}, which is not here: put the file there") from None
        raise AccessError(f"{full} is missing; {said} names it. Put it there, or correct the name ({HOW})") from None
    except PermissionError:
        raise AccessError(f"no permission to read {full}: it is there, but not for this user") from None
    except OSError as error:
        raise InputError(f"{full} cannot be read: {error}") from None
    if why:
        raise InputError(f"{full} {why}")
    return full


def sha256(full: Path) -> str:
    """The hash of a file's content, taken once in a process, and again when the file has changed."""
    facts = full.stat()
    return _hashed(full.absolute(), facts.st_size, facts.st_mtime_ns)


@cache
def _hashed(full: Path, size: int, mtime_ns: int) -> str:
    with full.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
