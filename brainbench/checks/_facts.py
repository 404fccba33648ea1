"""What a dataset gives when it is asked once: recordings and pictures are large, and many checks look at them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image

from brainbench.core.stimuli import StimulusSet

NEAR_BITS = 4  # of the 64 of a dHash: what re-encoding, resizing or a retouched detail changes
NEAR_CORRELATION = 0.98  # of 32 x 32 thumbnails: few of the 64 bits also differ between objects on plain backgrounds
_ROWS = 1024  # compared with all others at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """`digest` is equal where the decoded pixels are; `bits` (64,) is the dHash; `thumbnail` (1024,) is grey."""

    digest: str
    bits: np.ndarray
    thumbnail: np.ndarray


class Facts:
    """The first answers of one dataset."""

    def __init__(self, dataset: Any):
        self.dataset = dataset
        self._responses: dict[str, xr.DataArray] = {}

    @cached_property
    def stimuli(self) -> StimulusSet:
        """The stimuli."""
        stimuli: StimulusSet = self.dataset.stimuli()
        return stimuli

    @cached_property
    def opened(self) -> dict[str, Picture | Exception]:
        """The picture of each stimulus that has one (a `sha256`), or what was raised instead."""
        found: dict[str, Picture | Exception] = {}
        for name in self.stimuli.table["sha256"].dropna().index:
            try:
                found[name] = picture(self.stimuli.image(name))
            except Exception as error:
                found[name] = error
        return found

    @cached_property
    def pictures(self) -> dict[str, Picture]:
        """The pictures that open."""
        return {name: found for name, found in self.opened.items() if isinstance(found, Picture)}

    def responses(self, subject: str) -> xr.DataArray:
        """All that one subject's neuroids did."""
        if subject not in self._responses:
            self._responses[subject] = self.dataset.responses(subject)
        return self._responses[subject]

    @cached_property
    def rdms(self) -> dict[str, xr.DataArray]:
        """The RDMs of each region."""
        return {region: self.dataset.rdms(region) for region in self.dataset.spec.regions}

    @cached_property
    def behaviour(self) -> pd.DataFrame:
        """The trials of all subjects."""
        trials: pd.DataFrame = self.dataset.behaviour()
        return trials


_latest: list[Facts] = []  # of one dataset at a time: checks are run dataset by dataset


def facts(dataset: Any) -> Facts:
    """The facts of a dataset, the same object as long as no other dataset is asked about."""
    if not _latest or _latest[0].dataset is not dataset:
        _latest[:] = [Facts(dataset)]
    return _latest[0]


def picture(image: Image.Image) -> Picture:
    """What pictures are compared by: exact pixels, and two small grey versions."""
    image = image.convert("RGBA") if image.mode in ("P", "PA") else image  # a palette's numbers are not its colours
    grey = image.convert("L")
    small = np.asarray(grey.resize((9, 8), Image.Resampling.BOX))
    return Picture(
        digest=hashlib.sha256(f"{image.mode} {image.size}".encode() + image.tobytes()).hexdigest(),
        bits=(small[:, 1:] > small[:, :-1]).ravel(),
        thumbnail=np.asarray(grey.resize((32, 32), Image.Resampling.BOX), dtype=np.float32).ravel(),
    )


def near_duplicates(pictures: dict[str, Picture]) -> pd.DataFrame:
    """Pairs of stimuli that show nearly the same: `first`, `second`, `bits` that differ, `r` of the thumbnails.

    Near means that the dHashes (64 bits, brighter to the right on a 9 x 8 grid) differ in at most 4 bits and that
    32 x 32 grey thumbnails correlate by 0.98 or more. Pictures of one grey, which correlate with nothing, and
    identical pixels are left out.
    """
    ids = np.array(list(pictures), dtype=object)
    of = list(pictures.values())
    digests = np.array([one.digest for one in of], dtype=object)
    bits = np.array([one.bits for one in of], dtype=np.float32).reshape(-1, 64)
    thumbnails = np.array([one.thumbnail for one in of], dtype=np.float32).reshape(-1, 1024)
    thumbnails = thumbnails - thumbnails.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(thumbnails, axis=1, keepdims=True)
    thumbnails = np.divide(thumbnails, norm, out=np.zeros_like(thumbnails), where=norm > 0)
    found = []
    for start in range(0, len(ids), _ROWS):
        rows = slice(start, start + _ROWS)
        differing = bits[rows] @ (1 - bits.T) + (1 - bits[rows]) @ bits.T
        first, second = np.nonzero(differing <= NEAR_BITS)
        r = np.einsum("ij,ij->i", thumbnails[rows][first], thumbnails[second])
        near = (first + start < second) & (r >= NEAR_CORRELATION) & (digests[rows][first] != digests[second])
        first, second, r = first[near], second[near], r[near]
        found.append(
            pd.DataFrame(
                {"first": ids[rows][first], "second": ids[second], "bits": differing[first, second].astype(int), "r": r}
            )
        )
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["first", "second", "bits", "r"])
