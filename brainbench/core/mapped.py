"""Arrays too large to hold: they lie in a file of their own and are written and read some neuroids at a time."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from brainbench.errors import ResourceError

HELD = 2**26  # most numbers of an array in memory: 268 MB of float32
AT_A_TIME = 2**22  # numbers of one span


class _OwnFile(mmap.mmap):
    """A file that is this array's alone: what was written is in it, so memory may be given back at any time."""


def room(shape: Sequence[int], axis: int, *, most: int | None = None) -> np.ndarray:
    """A float32 array to be filled: in memory, or in a file where it has more than `most` numbers, HELD unless told.

    The file lies in TMPDIR and is gone with the last view of the array. In it the axes from `axis` (neuroids, then
    time) are outermost, so that a neuroid is one stretch. Raises ResourceError where the disk has no room.
    """
    if math.prod(shape) <= (HELD if most is None else most):
        return np.empty(shape, dtype=np.float32)
    size = 4 * math.prod(shape)
    try:
        with tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):  # a disk that is full later would end the program without a word
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            held = _OwnFile(file.fileno(), size)
    except OSError as error:
        where = f" in {tempfile.tempdir}" if tempfile.tempdir else ""  # none, if no folder can be written to
        raise ResourceError(
            f"no room for {size / 1e9:.1f} GB that memory is not to hold{where}: {error.strerror}. "
            "Set TMPDIR to a folder on a larger disk."
        ) from None
    stored: np.ndarray = np.ndarray((*shape[axis:], *shape[:axis]), dtype=np.float32, buffer=held)
    axes = range(len(shape))
    return stored.transpose(*axes[len(shape) - axis :], *axes[: len(shape) - axis])


def spans(shape: Sequence[int], axis: int) -> Iterator[slice]:
    """Stretches of an axis, in order, each of about AT_A_TIME numbers of an array of this shape; one, if empty."""
    width = max(1, AT_A_TIME * shape[axis] // max(1, math.prod(shape)))
    for start in range(0, max(1, shape[axis]), width):
        yield slice(start, min(start + width, shape[axis]))


def release(*arrays: np.ndarray) -> None:
    """Gives back the memory of what was read of read-only maps, and read or written of `room`; others stay.

    A private copy of a file (mode "c") holds what was written in memory alone, and may be flagged read-only.
    """
    for values in arrays:
        base: Any = values
        reads = False
        while isinstance(base, np.ndarray):
            reads |= getattr(base, "mode", "") == "r"
            base = base.base
        safe = isinstance(base, _OwnFile) or (isinstance(base, mmap.mmap) and reads)
        if safe and hasattr(base, "madvise"):
            base.madvise(mmap.MADV_DONTNEED)
