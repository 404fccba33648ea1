"""Which voxels stand in which columns: regions of several atlases overlap, and a voxel may stand in each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from brainbench.errors import InputError, listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Columns of an array of responses: `at` (axis, voxel) are the distinct voxels, `take` says which one a column is.

    A neuroid is named "<region>-<i>-<j>-<k>", so a voxel of two overlapping regions is two neuroids.
    """

    neuroid_id: list[str]
    region: list[str]
    at: tuple[np.ndarray, ...]
    take: np.ndarray

    def of(self, values: np.ndarray) -> np.ndarray:
        """Values (..., voxel) -> (..., column)."""
        n = values.shape[-1]
        return values if np.array_equal(self.take, np.arange(n)) else values[..., self.take]


def columns(masks: Mapping[str, np.ndarray], *, of: str) -> Columns:
    """The columns of `masks`, region -> (i, j, k) bool, in their order and within a region in order of voxel.

    Raises InputError, naming the recording `of`, where masks differ in shape or no region has a voxel.
    """
    shapes = {mask.shape for mask in masks.values()}
    if len(shapes) != 1:
        raise InputError(f"masks of {of} differ in shape: {listed(f'{k} {m.shape}' for k, m in masks.items())}")
    if not any(mask.any() for mask in masks.values()):
        raise InputError(f"no voxel of {of} is in {listed(masks)}: this subject lacks the region")
    (shape,) = shapes
    flat = [np.flatnonzero(mask) for mask in masks.values()]
    joined = np.concatenate(flat)
    distinct, take = np.unique(joined, return_inverse=True)
    places = np.stack(np.unravel_index(joined, shape), axis=1)
    region = [name for name, index in zip(masks, flat) for _ in index]
    names = [f"{name}-" + "-".join(f"{part:03d}" for part in place) for name, place in zip(region, places)]
    return Columns(neuroid_id=names, region=region, at=np.unravel_index(distinct, shape), take=take)
