"""Voxels out of HDF5 volumes that are too large to hold: slab by slab, only where voxels were asked for."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from brainbench.datasets import _hdf5
from brainbench.errors import InputError

_MOST_PLANES = 16


def voxels(full: Path, name: str, at: tuple[np.ndarray, ...], *, n_volumes: int, dtype: str) -> np.ndarray:
    """Values (volume, voxel), in the file's own numbers, of dataset `name` (volume, k, j, i), as MATLAB leaves it.

    `at` holds indices (i, j, k), as of the NIfTI volumes of the same subject. Raises InputError, naming the file, where
    it holds another number of volumes, another type of number (of either byte order), or is smaller than `at`.
    """
    with _hdf5.opened(full) as file:
        stored = _hdf5.array(file, name, shape=(n_volumes, None, None, None))
        if stored.dtype.newbyteorder("=") != np.dtype(dtype):
            raise InputError(f"{name!r} in {full} holds {stored.dtype}, not {dtype}: its scale would be unknown")
        i, j, k = at
        if any(index.size and index.max() >= size for index, size in zip((k, j, i), stored.shape[1:])):
            raise InputError(
                f"{name!r} in {full} has shape {stored.shape}: masks of this subject belong to another one"
            )
        result = np.empty((n_volumes, len(i)), dtype=dtype)
        for start in range(0, stored.shape[1], _planes(stored)):
            inside = np.flatnonzero((k >= start) & (k < start + _planes(stored)))
            if inside.size:
                box = [slice(int(index[inside].min()), int(index[inside].max()) + 1) for index in (k, j, i)]
                slab = stored[:, *box]
                places = tuple(index[inside] - part.start for index, part in zip((k, j, i), box))
                result[:, inside] = slab[:, *places]
    return result


def _planes(stored: h5py.Dataset) -> int:
    """How many planes are read at once: as many as are packed together, so that none is unpacked twice."""
    return min(stored.chunks[1], _MOST_PLANES) if stored.chunks else 1
