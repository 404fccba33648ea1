"""Content-addressed arrays on disk that are either whole or not there.

A key is a mapping of everything that can change the arrays. Its entry is a folder with a blob (safetensors) and
`entry.json`, which holds the blob's size and sha256 and is written last: it is the commit point. Each file is
written under a temporary name, synced, and moved into place. Size and hash are checked on the first read of a blob
in a process; an entry that fails is moved to `quarantine/` and treated as absent. Correctness rests on this alone:
two writers of one key write the same bytes. What killed processes left in the store's folder is removed at the first
write of a later one, `LEFT_BEHIND_S` after it was last written to.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from brainbench.core.modes import mode_of_umask
from brainbench.core.specs import fingerprint
from brainbench.errors import ResourceError

SCHEMA = 1
LEFT_BEHIND_S = 14 * 24 * 3600  # no living process lets its own passing store or temporary file lie for so long
TRIES = 8  # to write an entry whose folder other processes drop meanwhile
log = logging.getLogger("brainbench.store")


class Store:
    """The store under `root`, made on first use."""

    def __init__(self, root: Path):
        self.root = Path(root)
        self._checked: dict[Path, tuple[int, int]] = {}
        self._cleared = False

    def _folder(self, key: Mapping[str, Any]) -> Path:
        name = fingerprint({"schema": SCHEMA, **key})
        return self.root / name[:2] / name

    def put(self, key: Mapping[str, Any], arrays: Mapping[str, np.ndarray], provenance: Mapping[str, Any]) -> None:
        """Write `arrays` under `key`. Raises ResourceError where the disk is full or cannot be written."""
        folder = self._folder(key)
        try:
            for left in reversed(range(TRIES)):
                try:
                    return self._write(folder, key, arrays, provenance)
                except FileNotFoundError:  # another process has dropped the entry, and this part of it, meanwhile
                    if not left:
                        raise
        except (OSError, SafetensorError) as error:
            full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            cause = "the disk is full" if full or "No space left" in str(error) else str(error)
            raise ResourceError(
                f"cannot write to the feature store {self.root}: {cause}. What was stored before is whole. Free space, "
                "or point BRAINBENCH_CACHE at another folder, and run again: finished work is not repeated."
            ) from error

    def _write(
        self, folder: Path, key: Mapping[str, Any], arrays: Mapping[str, np.ndarray], provenance: Mapping[str, Any]
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._clear()
        temporary = self._temporary()  # not in the folder, which another process may take away
        try:
            with mode_of_umask(temporary):
                save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary)
            digest = _sha256(temporary)
            blob = f"{digest}.safetensors"
            size = temporary.stat().st_size
            _commit(temporary, folder / blob)
            entry = {"schema": SCHEMA, "blob": blob, "sha256": digest, "bytes": size, "key": dict(key)}
            entry["provenance"] = dict(provenance)
            temporary.write_text(json.dumps(entry, indent=1, default=list))
            _commit(temporary, folder / "entry.json")
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def get(self, key: Mapping[str, Any], names: Sequence[str] | None = None) -> dict[str, np.ndarray] | None:
        """The arrays under `key` (only `names`, if given), or None where there is no whole entry.

        Raises ResourceError where there may be one that the system does not let this process read.
        """
        folder = self._folder(key)
        try:
            entry = json.loads((folder / "entry.json").read_text())
            blob = folder / Path(entry["blob"]).name
            self._verify(blob, entry["bytes"], entry["sha256"])
            with safe_open(blob, framework="numpy") as file:
                return {name: file.get_tensor(name) for name in (file.keys() if names is None else names)}
        except (FileNotFoundError, NotADirectoryError):
            if not (folder / "entry.json").exists():
                return None
            self._quarantine(folder, "its blob is gone")
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            if isinstance(error, OSError) and error.errno != errno.EIO:
                raise ResourceError(
                    f"cannot read {folder} in the feature store: {error}. It is left as it is. Mend this, or point "
                    "BRAINBENCH_CACHE at another folder, and run again: finished work is not repeated."
                ) from error
            self._quarantine(folder, str(error))
        return None

    def drop(self, key: Mapping[str, Any]) -> None:
        """Remove the entry or part under `key`, all of it at once; nothing happens where there is none."""
        aside = self._temporary()
        with contextlib.suppress(OSError):
            self._folder(key).replace(aside)
            shutil.rmtree(aside, ignore_errors=True)

    def part(self, key: Mapping[str, Any]) -> Store:
        """A store inside this one, which `drop` of the same key removes with all that was put there."""
        return Store(self._folder(key))

    @contextlib.contextmanager
    def passing(self) -> Iterator[Store]:
        """A store inside this one's folder that is gone in the end: for what nobody could find again."""
        store = Store(self.root / f"passing-{uuid.uuid4().hex}")
        try:
            yield store
        finally:
            shutil.rmtree(store.root, ignore_errors=True)

    def _verify(self, blob: Path, size: int, digest: str) -> None:
        with blob.open("rb") as file:  # also when it was checked: safetensors calls what it cannot open missing
            status = os.fstat(file.fileno())
            if self._checked.get(blob) == (status.st_mtime_ns, status.st_size):
                return
            if status.st_size != size:
                raise ValueError(f"its blob has {status.st_size} bytes, {size} were written")
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise ValueError("its blob does not match its sha256")
        self._checked[blob] = (status.st_mtime_ns, status.st_size)

    def _quarantine(self, folder: Path, why: str) -> None:
        log.warning("store entry %s is damaged (%s): moved to quarantine, computed again", folder.name[:12], why)
        aside = self.root / "quarantine" / f"{folder.name}-{uuid.uuid4().hex[:8]}"
        with contextlib.suppress(OSError):  # where nothing can be moved, `put` will say why
            aside.parent.mkdir(parents=True, exist_ok=True)
            folder.replace(aside)

    def _temporary(self) -> Path:
        return self.root / f".tmp-{uuid.uuid4().hex}"

    def _clear(self) -> None:
        """Once: remove passing stores and temporary files, safetensors' own as well, that killed processes left."""
        if self._cleared:
            return
        self._cleared = True
        for path in [*self.root.glob("passing-*"), *self.root.glob(".tmp*")]:
            with contextlib.suppress(OSError):  # somebody else's, or removed by another process just now
                if path.is_symlink() or time.time() - _last_written(path) < LEFT_BEHIND_S:
                    continue
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()


def _last_written(path: Path) -> float:
    inside = [Path(folder) / name for folder, folders, files in os.walk(path) for name in folders + files]
    return max(each.lstat().st_mtime for each in [path, *inside])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _commit(temporary: Path, final: Path) -> None:
    """Sync the file, move it into place, sync the folder: after this the name holds the whole file or the old one."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(final)
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
