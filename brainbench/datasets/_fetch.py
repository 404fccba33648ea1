"""Manifests, and the only way from a manifest to a file on this machine that is known to be the right one."""

from __future__ import annotations

import hashlib
import math
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from functools import cache
from pathlib import Path

import platformdirs
from pydantic import ValidationError

from brainbench._resources import tomls
from brainbench.core.specs import fingerprint
from brainbench.datasets import _settings
from brainbench.datasets._manifest import UNPINNED, File, Manifest
from brainbench.errors import AccessError, InputError, UnknownNameError, listed

_HASHED_BELOW_BYTES = 256_000_000  # larger files are known by their size alone: hashing them would stall every start
ROOTS, EVERY = "roots", "all"  # the name of the user's settings, and the key in them of the folder of all recordings
TOML = "dataset.toml"  # a folder that holds one is a dataset by itself
FOLDER_ID = r"^[a-z0-9][a-z0-9_]{0,49}$"  # lower case, for BRAINBENCH_DATA_<ID>; "." ends it in a benchmark's id
NOT_AN_ID = "the id of a dataset, and the name of its folder, have lower-case letters, digits and _ only"
_hashed: set[tuple[Path, int, int]] = set()  # (path, size, mtime) whose sha256 was right in this process
_given: ContextVar[Mapping[str, Path]] = ContextVar("the folders that the call in progress names")


def look_in(roots: Mapping[str, Path]) -> None:
    """From here on this call (thread, task) also finds datasets that declare themselves in these folders."""
    _given.set(roots)


def declared_in(id: str) -> Path | None:
    """The folder whose `dataset.toml` makes it dataset `id`: the first of its `places` that holds one."""
    if not re.fullmatch(FOLDER_ID, id):
        return None
    return next((place for _, place in places(id, _given.get({})) if holds_dataset(place)), None)


def holds_dataset(folder: Path) -> bool:
    """Whether a `dataset.toml` can be seen there; not where looking is not permitted."""
    try:
        return (folder / TOML).is_file()
    except PermissionError:
        return False


def declared_ids() -> list[str]:
    """Names of all folders with a `dataset.toml`, in order; nothing of them is read."""
    roots, prefix = _given.get({}), "BRAINBENCH_DATA_"
    names = {*roots, *_settings.kept(ROOTS)}
    names |= {name.removeprefix(prefix).lower() for name in os.environ if name.startswith(prefix)}
    for _, parent in _parents(roots):
        try:
            names |= {child.name for child in parent.iterdir()}
        except OSError:
            continue  # who asks for a dataset is told what its folder lacks
    return sorted(name for name in names if declared_in(name))


def passed_over() -> list[str]:
    """What keeps folders from being datasets before anything in them is read, a sentence each."""
    said = []
    for named, parent in _parents(_given.get({})):
        try:
            children = sorted(parent.iterdir())
        except PermissionError:
            said.append(f"no permission to look into {parent} ({named})")
            continue
        except OSError:
            if parent != platformdirs.user_data_path("brainbench"):  # which few people have
                one = " (it is one folder, not a list)" if os.pathsep in str(parent) else ""
                said.append(f"{named} is {parent}, which is no folder{one}")
            continue
        if holds_dataset(parent):
            said.append(f"{parent} is the folder of a dataset itself: {named} is the folder above it")
        for child in children:
            if child.is_dir() and not os.access(child, os.R_OK | os.X_OK):
                said.append(f"no permission to look into {child}")
            elif holds_dataset(child) and not re.fullmatch(FOLDER_ID, child.name):
                said.append(f"{child} is left out: {NOT_AN_ID}")
    return said


def manifest(id: str) -> Manifest:
    """The manifest of dataset `id`. Raises UnknownNameError where there is none, InputError where it is malformed."""
    try:
        return shipped(id)
    except UnknownNameError:
        folder = declared_in(id)
        if folder is None:
            raise
    from brainbench.datasets import _folders  # which reads files through this module

    return _folders.manifest(folder)


@cache
def shipped(id: str) -> Manifest:
    """The manifest of a dataset that comes with brainbench or a package. Raises as `manifest` does."""
    known = {path.stem: path for path in tomls("data_manifests")}
    if id not in known:
        raise UnknownNameError("data manifest", id, known)
    try:
        return Manifest.model_validate(tomllib.loads(known[id].read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise InputError(f"{known[id].name} is not a data manifest: {error}") from None


def has_manifest(id: str) -> bool:
    """Whether dataset `id` is made of files that a manifest lists; others are made by their own code."""
    return any(path.stem == id for path in tomls("data_manifests")) or declared_in(id) is not None


def root(id: str, roots: Mapping[str, Path]) -> Path:
    """The folder of this machine that holds dataset `id`: every file, or what its manifest calls enough.

    A folder given for this id is the only place looked at: what was asked for by name is used or refused. Otherwise
    the first that holds enough of: `id` inside the folder given as "", the environment's BRAINBENCH_DATA_<ID>, `id`
    inside BRAINBENCH_DATA, what `brainbench data where --set` named for this id or for all, `id` inside the user's
    data folder. Raises AccessError, naming each place and what it lacks, part by part, where none does.
    """
    found = []
    for _, place in places(id, roots):
        if not missing(id, place):
            return place
        found.append(_lacking(id, place) if place.is_dir() else f"{place} does not exist")
    lines = "\n  ".join(found)
    raise AccessError(f"{id} is not on this machine; looked at\n  {lines}\n{how_to_get(id)}")


def _lacking(id: str, place: Path) -> str:
    """What a folder lacks, in one line, and a line for each part that is there but not whole."""
    here, lacking = manifest(id), missing(id, place)
    lines = [f"{place} lacks {len(lacking)} of {_needed(here)} files, such as {listed(lacking, 2)}"]
    for part, paths in parts(id, place).items():
        n = counted(here, here.parts[part])
        if 0 < len(paths) < n:
            lines.append(f"{part}: lacks {len(paths)} of {n} files, such as {listed(paths, 2)}")
    return "\n    ".join(lines)


def _needed(here: Manifest) -> int:
    smallest = min(here.parts.values(), key=lambda groups: counted(here, groups), default=[])
    return counted(here, {*here.required, *smallest})


def counted(here: Manifest, groups: Iterable[str]) -> int:
    """How many files these groups have; a folder, whose files are not known by name, counts once."""
    groups = set(groups)
    return sum(entry.group in groups for entry in (*here.files, *here.folders))


def places(id: str, roots: Mapping[str, Path]) -> list[tuple[str, Path]]:
    """Where dataset `id` is looked for, in order: what names the folder, and the folder."""
    if id in roots:
        return [("--data-root", Path(roots[id]).expanduser())]
    own, set_ = f"BRAINBENCH_DATA_{id.upper()}", _settings.kept(ROOTS)
    below = [(name, parent / id) for name, parent in _parents(roots)]
    if os.environ.get(own):
        below.insert("--data-root" in dict(below), (own, Path(os.environ[own])))
    if id in set_:
        below.insert(-1 - (EVERY in set_), ("data where", Path(set_[id])))
    return [(name, place.expanduser()) for name, place in below]


def _parents(roots: Mapping[str, Path]) -> list[tuple[str, Path]]:
    """Folders that hold a folder for each dataset, in the order of `places`: what names them, and where they are."""
    parents = {
        "--data-root": roots.get(""),
        "BRAINBENCH_DATA": os.environ.get("BRAINBENCH_DATA"),
        "data where": _settings.kept(ROOTS).get(EVERY),
        "the user's data folder": platformdirs.user_data_path("brainbench"),
    }
    return [(name, Path(parent).expanduser()) for name, parent in parents.items() if parent]


def how_to_get(id: str) -> str:
    """Where the files of dataset `id` are published, and how to say where they lie."""
    folder = declared_in(id)
    if folder is not None:
        return f"Put them there, or correct what {folder / TOML} says of them."
    here = manifest(id)
    first = f"first file: {here.first_url}" if here.direct and here.files else here.base_url
    return (
        f"Get them from {here.source} ({first}), keep that file tree, and say --data-root {id}=PATH, or set "
        f"BRAINBENCH_DATA to the folder that holds {id}/."
    )


def missing(id: str, root: Path) -> list[str]:
    """Paths that dataset `id` cannot do without and that are not in `root`: none where it can be used.

    Where parts would do and none is whole, those of the part that lacks least. Raises AccessError where looking is not
    permitted.
    """
    here = manifest(id)
    core = absent(here, root, here.required)
    return core + min(parts(id, root).values(), key=len, default=[])


def parts(id: str, root: Path) -> dict[str, list[str]]:
    """For each part of dataset `id` that can be used alone, the paths that it lacks in `root`."""
    here = manifest(id)
    return {part: absent(here, root, groups) for part, groups in here.parts.items()}


def absent(here: Manifest, root: Path, groups: Iterable[str]) -> list[str]:
    """Paths of these groups that are not in `root`. Raises AccessError where looking is not permitted."""
    wanted = set(groups)
    try:
        absent = [file.path for file in here.files if file.group in wanted and not _exists(root / file.path)]
        for folder in here.folders:
            if folder.group in wanted and not any((root / folder.path).glob(folder.pattern)):
                absent.append(f"{folder.path}/{folder.pattern}")
    except PermissionError as error:
        raise AccessError(f"no permission to look into {error.filename} for the files of {here.id}") from None
    return absent


def inside(root: Path, id: str, path: str) -> list[str]:
    """Paths, in order, of the files there are in folder `path` of the manifest; none where the folder is not there."""
    folder = next(folder for folder in manifest(id).folders if folder.path == path)
    return sorted(full.relative_to(root).as_posix() for full in (root / path).glob(folder.pattern))


def unpinned(id: str, roots: Mapping[str, Path]) -> str:
    """What stands for the files of dataset `id` that no manifest could pin, as they are here now: sizes and times.

    Empty where there are none, or none is here. For files of a terabyte, whose hashes nobody waits for.
    """
    if declared_in(id) or not has_manifest(id):  # folders are hashed, what code makes has no files
        return ""
    here = manifest(id)
    paths = [file.path for file in here.files if file.sha256 == UNPINNED and not file.sha1]
    if not paths and not here.folders:
        return ""
    place = next((place for _, place in places(id, roots) if not missing(id, place)), None)
    if place is None:
        return ""
    paths += [path for folder in here.folders for path in inside(place, id, folder.path)]
    return fingerprint({path: as_of(place, path) for path in paths})


def as_of(root: Path, path: str) -> str:
    """What stands for a file as it is now: its size and time. Empty where it is not here, or will not be read."""
    try:
        facts = (root / path).stat()
    except OSError:
        return ""
    return f"{facts.st_size} {facts.st_mtime_ns}"


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
    """Where one file of dataset `id` lies, once its size and (below 256 MB) its hash are those of the manifest.

    Hashed once in a process, and again when it has changed. What is unpinned is only kept from being a stub or empty.
    Raises AccessError where the file is missing or may not be read, and InputError, with what was expected and found,
    where it is truncated, a stub or another file.
    """
    expected = manifest(id).file(path)
    full = root / path
    try:
        facts = full.stat()
        seen = (full.absolute(), facts.st_size, facts.st_mtime_ns)
        why = difference(full, expected, hashed_below=0 if seen in _hashed else _HASHED_BELOW_BYTES)
        if why:
            raise InputError(f"{full} {why}. {how_to_get(id)}")
        _hashed.add(seen)
    except (FileNotFoundError, NotADirectoryError):
        if full.is_symlink():
            raise InputError(
                f"{full} is a link to {full.readlink()}, which is not here: a git-annex stub, perhaps "
                f"(git annex get {path}). Expected {_sized(expected.bytes)}. {how_to_get(id)}"
            ) from None
        raise AccessError(f"{full} is missing. {how_to_get(id)}") from None
    except PermissionError:
        raise AccessError(f"no permission to read {full}: it is there, but not for this user") from None
    except OSError as error:
        raise InputError(f"{full} cannot be read: {error}. {how_to_get(id)}") from None
    return full


def difference(full: Path, expected: File, *, hashed_below: float = math.inf) -> str:
    """What about a file is not as its entry says, such as "is truncated: ..."; empty where nothing is.

    Its hash is taken where it has fewer bytes than `hashed_below`. Raises OSError where it is not there or unreadable.
    """
    size = full.stat().st_size
    if size != expected.bytes if expected.bytes is not None else _is_stub(full, size):
        return f"is {_oddity(full, size, expected.bytes)}"
    name, right = _pin(expected)
    if name and size < hashed_below:
        with full.open("rb") as stream:
            found = hashlib.file_digest(stream, name).hexdigest()
        if found != right:
            sized = "the right size but " if expected.bytes is not None else ""
            return f"has {sized}another content: expected {name} {right}, found {found}"
    return ""


def _pin(expected: File) -> tuple[str, str]:
    if expected.sha256 != UNPINNED:
        return "sha256", expected.sha256
    return ("sha1", expected.sha1) if expected.sha1 else ("", "")


_LFS, _ANNEX = b"version https://git-lfs.github.com/spec/", b"/annex/objects/"


def _is_stub(full: Path, size: int) -> bool:
    """Whether a file of unknown size can be told from the file itself: a folder, nothing, or a pointer to it."""
    with full.open("rb") as stream:
        return not size or stream.read(200).startswith((_LFS, _ANNEX))


def _sized(expected: int | None) -> str:
    return f"{expected} bytes" if expected is not None else "the file itself"


def _oddity(full: Path, found: int, expected: int | None) -> str:
    with full.open("rb") as stream:
        start = stream.read(200)
    sizes = f"expected {_sized(expected)}, found {found}{' bytes' if expected is None else ''}"
    if start.startswith(_LFS):
        return f"a git-LFS pointer, not the file itself (git lfs pull): {sizes}"
    if start.startswith(_ANNEX):
        return f"a git-annex stub, not the file itself (git annex get): {sizes}"
    return f"{'truncated' if found < (expected or 1) else 'not the file of this name'}: {sizes}"
