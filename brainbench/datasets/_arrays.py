"""Arrays in .npy files, mapped into memory, with errors that say which file is wrong and how."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from brainbench.errors import InputError


def mapped(full: Path, *, ndim: int | None = None) -> np.ndarray:
    """The array of a file, not read yet; `ndim` None takes any number of axes.

    Raises InputError, naming the file, where it is truncated or holds no numbers.
    """
    try:
        values = np.load(full, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{full} is truncated or no array of numbers: {error}. Get it anew.") from None
    if not isinstance(values, np.ndarray) or ndim not in (None, values.ndim) or values.dtype.kind not in "iuf":
        shape = getattr(values, "shape", "no array")
        raise InputError(
            f"{full} has shape {shape} of {getattr(values, 'dtype', '?')}; expected {ndim or 'some'} axes of numbers"
        )
    return values
