"""Assemblies as Brain-Score distributes them: netCDF-4, which is HDF5 with dimension scales: one array and its labels.

Known from the code that writes and reads them: `xarray.DataArray.to_netcdf` after its indexes were reset, so every
label is a variable of one dimension (`presentation`, `neuroid` or `time_bin`), strings of variable length, and the
array is a variable that spans two dimensions or more, under the assembly's own name or "data".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from brainbench.datasets import _hdf5
from brainbench.errors import InputError, listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """`values` (presentation, neuroid[, time_bin]), float32, and the labels of each dimension."""

    values: np.ndarray
    labels: Mapping[str, Mapping[str, np.ndarray]]  # dimension -> name -> values

    def label(self, dimension: str, *names: str) -> np.ndarray:
        """The label of this name, or of the first of several spellings. Raises InputError where there is none."""
        for name in names:
            if name in self.labels[dimension]:
                return self.labels[dimension][name]
        raise InputError(
            f"the assembly has no label {names[0]!r} of each {dimension}; {listed(self.labels[dimension])}"
        )


def assembly(full: Path, *, neuroids: Mapping[str, str] | None = None) -> Assembly:
    """The one assembly of a file, or only the neuroids whose labels are as `neuroids` says.

    Raises InputError, naming the file, where it holds none, or more than one, or breaks.
    """
    with _hdf5.opened(full) as file:
        found = [(name, dims) for name, item in file.items() if len(dims := _dims(item)) > 1]
        if len(found) != 1 or not {"presentation", "neuroid"} <= set(found[0][1]):
            raise InputError(
                f"{full} needs one array of presentation x neuroid; it has {listed(map(str, found)) or 'none'}"
            )
        ((name, dims),) = found
        labels: dict[str, dict[str, np.ndarray]] = {dim: {} for dim in dims}
        for key, item in file.items():
            if (own := _dims(item)) and len(own) == 1 and own[0] in labels and not _is_bare(item):
                labels[own[0]][key] = _read(item)
        keep = np.ones(file[name].shape[dims.index("neuroid")], dtype=bool)
        for key, value in (neuroids or {}).items():
            if key not in labels["neuroid"]:
                raise InputError(f"{full} has no label {key!r} of each neuroid; {listed(labels['neuroid'])}")
            keep &= labels["neuroid"][key] == value
        at = tuple(np.flatnonzero(keep) if dim == "neuroid" else slice(None) for dim in dims)
        values = np.asarray(_hdf5.array(file, name)[at], dtype=np.float32)
    order = [dims.index(dim) for dim in ("presentation", "neuroid", "time_bin") if dim in dims]
    labels["neuroid"] = {key: value[keep] for key, value in labels["neuroid"].items()}
    return Assembly(values=values.transpose(order), labels=labels)


def _dims(item: object) -> tuple[str, ...]:
    """The names of a variable's dimensions: those of the scales attached to it, or its own where it is one."""
    if not isinstance(item, h5py.Dataset):
        return ()
    if item.is_scale:
        return (item.name.rsplit("/", 1)[-1],)
    return tuple(axis[0].name.rsplit("/", 1)[-1] if len(axis) else "" for axis in item.dims)


def _is_bare(item: h5py.Dataset) -> bool:
    """Whether it stands for a dimension that has no labels of its own."""
    name = item.attrs.get("NAME", b"")
    text = name.decode() if isinstance(name, bytes) else str(name)
    return text.startswith("This is a netCDF dimension but not a netCDF variable")


def _read(item: h5py.Dataset) -> np.ndarray:
    if h5py.check_string_dtype(item.dtype) is None:
        return np.asarray(item[()])
    return np.asarray(item.asstr()[()], dtype=object)
