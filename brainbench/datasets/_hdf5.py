"""HDF5 files, opened with errors that say which file is wrong and how: truncated, another format, another shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from brainbench.errors import BrainbenchError, InputError, listed

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@contextmanager
def opened(full: Path) -> Iterator[h5py.File]:
    """The file, for reading. Raises InputError, naming it, where it is no HDF5, truncated, or breaks while read."""
    try:
        with h5py.File(full, "r") as file:
            yield file
    except BrainbenchError:
        raise
    except (OSError, RuntimeError) as error:  # h5py raises either, depending on which part of a file is broken
        raise InputError(f"{full} {_why(full)}: {error}. Get it anew.") from None


def array(
    file: h5py.File, name: str, *, ndim: int | None = None, kinds: str = "iuf", shape: Sequence[int | None] = ()
) -> h5py.Dataset:
    """The dataset `name`, nothing read yet. `shape` holds the sizes that must be met, None where any size will do.

    Raises InputError where it is missing, or has another number of axes, size or type of number than expected.
    """
    found = file.get(name)
    if not isinstance(found, h5py.Dataset):
        raise InputError(f"{file.filename} has no array {name!r}; it holds {listed(sorted(file)) or 'nothing'}")
    expected = len(shape) or ndim or found.ndim
    fits = found.ndim == expected and all(want in (None, have) for want, have in zip(shape or found.shape, found.shape))
    if not fits:
        wanted = " x ".join("any" if want is None else str(want) for want in shape) or f"{ndim} axes"
        raise InputError(f"{name!r} in {file.filename} has shape {found.shape}; expected {wanted}")
    if found.dtype.kind not in kinds:
        raise InputError(f"{name!r} in {file.filename} holds {found.dtype}, not numbers of kind {kinds!r}")
    return found


def own(file: h5py.File, name: str) -> h5py.Dataset:
    """The dataset `name`, which lies in this very file: what strangers send is never followed into other files.

    Raises InputError for a link or an array stored elsewhere, and where there is none.
    """
    at: h5py.Group | h5py.Dataset = file
    for part in name.split("/"):
        if not isinstance(at, h5py.Group) or not isinstance(at.get(part, getlink=True), h5py.HardLink):
            held = listed(sorted(at)) if isinstance(at, h5py.Group) else "no arrays"
            raise InputError(
                f"{file.filename} has no array {name!r} of its own (links are not followed); it holds {held}"
            )
        at = at[part]
    if not isinstance(at, h5py.Dataset) or at.external or at.is_virtual:
        what = "is a group" if isinstance(at, h5py.Group) else "is stored in other files: copy it into this one"
        raise InputError(f"{name!r} in {file.filename} {what}")
    return at


def text(file: h5py.File, name: str) -> str:
    """A single string. Raises InputError where there is none."""
    found = file.get(name)
    value = found[()] if isinstance(found, h5py.Dataset) else None
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value
    raise InputError(f"{file.filename} has no text {name!r}")


def _why(full: Path) -> str:
    with full.open("rb") as stream:
        start = stream.read(8)
    return "is truncated or corrupt" if start == _SIGNATURE else "is no HDF5 file"
