"""The local lock: sha256 of files that no manifest could pin, as this user first saw them.

It lies in the user's configuration, not beside the files, which may be a lab's and read-only. A manifest's own hash
goes before the lock's, and a new version of a manifest starts a new lock.
"""

from __future__ import annotations

import json
from pathlib import Path

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from brainbench.core.whole import write_whole
from brainbench.datasets._manifest import UNPINNED, File, Manifest
from brainbench.errors import AccessError, InputError


class Pin(BaseModel):
    """What one file was."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class _Lock(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    version: int
    files: dict[str, Pin]


def lock_file(id: str) -> Path:
    """Where the lock of dataset `id` lies, whether there is one or not."""
    return platformdirs.user_config_path("brainbench") / "pins" / f"{id}.json"


def pins(here: Manifest) -> dict[str, Pin]:
    """What is locked, by path; nothing where no lock is of this version. Raises InputError where it is damaged."""
    path = lock_file(here.id)
    try:
        lock = _Lock.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValidationError) as error:
        raise InputError(f"{path} cannot be read: {error}. Delete it and pin again") from None
    return lock.files if lock.version == here.version else {}


def write(here: Manifest, found: dict[str, Pin]) -> Path:
    """The lock, which now holds these. Raises AccessError where it cannot be written."""
    path = lock_file(here.id)
    lock = _Lock(version=here.version, files=dict(sorted(found.items())))
    try:
        write_whole(path, json.dumps(lock.model_dump(), indent=1))
    except OSError as error:
        raise AccessError(f"the lock {path} cannot be written: {error}") from None
    return path


def pinned(file: File, found: dict[str, Pin]) -> File:
    """The manifest's entry, with the lock's facts where it has no sha256 of its own."""
    if file.sha256 != UNPINNED or file.path not in found:
        return file
    return file.model_copy(update=found[file.path].model_dump())
