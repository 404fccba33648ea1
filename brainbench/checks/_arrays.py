"""Labelled arrays held against each other, and against what they must look like."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import xarray as xr

from brainbench.checks._check import Violation


def labelled(what: str, array: Any, dims: tuple[str, ...], along: dict[str, str], dtype: Any) -> None:
    """Raises Violation unless `array` has these dims and dtype, numbers, and each coordinate along its dim."""
    if not isinstance(array, xr.DataArray):
        raise Violation(f"{what} must be a DataArray, it is a {type(array).__name__}")
    if array.dims != dims or array.dtype != dtype or not array.size:
        raise Violation(
            f"{what} must be {np.dtype(dtype)} of dims {dims}, not empty; it is {array.dtype} of {dict(array.sizes)}"
        )
    for name, dim in along.items():
        there = array[name].dims if name in array.coords else None
        if there != (dim,):
            raise Violation(f"{what} needs a coordinate {name!r} along {dim!r}, there is {there or 'none'}")


def difference(first: xr.DataArray, second: xr.DataArray) -> str:
    """Empty where two arrays hold the same values and coordinates, else what differs."""
    if dict(first.sizes) != dict(second.sizes):
        return f"{dict(first.sizes)} became {dict(second.sizes)}"
    for name in first.coords:
        if name not in second.coords or not first[name].equals(second[name]):
            return f"coordinate {name!r} changed"
    if first.dtype != second.dtype:
        return f"{first.dtype} became {second.dtype}"
    same = (first.values == second.values) | (np.isnan(first.values) & np.isnan(second.values))
    return "" if same.all() else f"{(~same).sum()} of {same.size} values changed"


def ordered(array: xr.DataArray) -> xr.DataArray:
    """Responses without the rows and columns that hold no number, in an order that follows from their labels alone."""
    there = ~np.isnan(array.values).reshape(*array.shape[:2], -1).all(axis=2)
    rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
    labels = [array[name].values[rows].astype(str) for name in ("repetition", "stimulus_id", "session")]
    columns = columns[np.argsort(array["neuroid_id"].values[columns].astype(str), kind="stable")]
    return array.isel(presentation=rows[np.lexsort(labels)], neuroid=columns)


@contextmanager
def overwritten(arrays: Iterable[np.ndarray]) -> Iterator[None]:
    """Zeros in all arrays that can be written into; what stood there is put back."""
    written = [(array, array.copy()) for array in arrays if array.flags.writeable]
    for array, _ in written:
        array[...] = np.zeros((), dtype=array.dtype)
    try:
        yield
    finally:
        for array, before in written:
            array[...] = before
