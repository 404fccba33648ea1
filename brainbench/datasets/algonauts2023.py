"""The Algonauts 2023 challenge: NSD responses on fsaverage, averaged over repeats (Gifford et al., 2023).

Not read here. Known from the challenge's tutorial and from public code that reads it:
`training_split/training_fmri/{lh,rh}_training_fmri.npy` (picture, vertex), float32, pictures in the order of their
sorted names `training_images/ train-0001_nsd-00013.png`, and `roi_masks/{lh,rh}.<atlas>_challenge_space.npy`
(vertex,), the number of a region, 0 for none. The tables from numbers to names are pickles, which could run code, and
are not opened: NSD's own are used. Whether the number in a file's name counts from 0 was not checked.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image

from brainbench.core.arrays import responses_array
from brainbench.core.mapped import release, room, spans
from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets import _arrays, _fetch
from brainbench.datasets._columns import columns
from brainbench.datasets._sessions import chosen
from brainbench.errors import AccessError, InputError, listed

# the regions of each atlas, in the order of their numbers from 1
_ATLASES = {
    "prf-visualrois": ("V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4"),
    "floc-bodies": ("EBA", "FBA-1", "FBA-2", "mTL-bodies"),
    "floc-faces": ("OFA", "FFA-1", "FFA-2", "mTL-faces", "aTL-faces"),
    "floc-places": ("OPA", "PPA", "RSC"),
    "floc-words": ("OWFA", "VWFA-1", "VWFA-2", "mfs-words", "mTL-words"),
    "streams": ("early", "midventral", "midlateral", "midparietal", "ventral", "lateral", "parietal"),
}
_SIDES = ("lh", "rh")


class Algonauts2023:
    """Mean responses of eight people to the challenge's training pictures, on the vertices of the challenge.

    Responses are means over up to three repeats of z-scored betas: each picture is one presentation, and nothing can be
    known of its noise. The test split was released without responses. A neuroid's last number is its hemisphere, 0 for
    the left one, the first its vertex. Pictures are NSD's: do not add this to scores of `allen2021`.
    """

    spec = DatasetSpec(
        id="algonauts2023",
        version=1,
        title="Algonauts 2023 challenge: NSD on fsaverage, means over repeats",
        species="human",
        modality="fMRI",
        measures=("responses",),
        subjects=tuple(f"subj{number:02d}" for number in range(1, 9)),
        regions=tuple(region for regions in _ATLASES.values() for region in regions),
        unit="standard deviations, mean over repeats",
        citation="Gifford AT, Lahner B, Saba-Sadiya S, Vilas MG, Lascelles A, Oliva A, Kay K, Roig G, Cichy RM (2023). "
        "The Algonauts Project 2023 challenge: how the human brain makes sense of natural scenes. arXiv 2301.03198.",
        licence="NSD terms and conditions: not to be redistributed",
        url="http://algonauts.csail.mit.edu/challenge.html",
    )

    def __init__(self, root: Path):
        self.root = root

    def stimuli(self) -> StimulusSet:
        """The pictures of the subjects that are here, by their NSD number, such as "nsd-00013".

        They are 25 GB, so `sha256` is the hash of what the release says each is, its NSD number, not of its pixels;
        `as_of` tells when its file changes.
        """
        here = [subject for subject in self.spec.subjects if _fetch.inside(self.root, self.spec.id, _images(subject))]
        paths = {name: path for subject in here or self.spec.subjects for name, path in self._pictures(subject).items()}
        names = sorted(paths)
        digests = [hashlib.sha256(f"algonauts2023 {name}".encode()).hexdigest() for name in names]
        now = [_fetch.as_of(self.root, paths[name]) for name in names]
        index = pd.Index(names, name="stimulus_id", dtype=object)
        table = pd.DataFrame({"sha256": digests, "as_of": now}, index=index, dtype=object)
        return StimulusSet(
            name=self.spec.id,
            table=table,
            open=lambda name: Image.open(io.BytesIO(_fetch.read(self.root, self.spec.id, paths[name]))),
            size_deg=8.4,
        )

    def responses(
        self, subject: str, *, regions: tuple[str, ...] | None = None, sessions: tuple[str, ...] | None = None
    ) -> xr.DataArray:
        """Mean responses (presentation, neuroid), a presentation a picture; there is one session, "train".

        A vertex of several regions is a neuroid of each. Raises UnknownNameError for a subject, region or session that
        does not exist, AccessError or InputError for a file that is missing or does not fit.
        """
        chosen("subject of algonauts2023", (subject,), self.spec.subjects)
        wanted = chosen("region of algonauts2023", regions, self.spec.regions)
        chosen("session of algonauts2023", sessions, ("train",))
        names = list(self._pictures(subject))
        stored = [self._array(f"{subject}/training_split/training_fmri/{side}_training_fmri.npy", 2) for side in _SIDES]
        widest = max(part.shape[1] for part in stored)
        masks = {region: np.zeros((widest, 2), dtype=bool) for region in wanted}
        for atlas, parts in _ATLASES.items():
            for number, region in enumerate(parts, 1):
                for side, (letter, values) in enumerate(zip(_SIDES, stored)):
                    if region in masks:
                        mask = self._array(f"{subject}/roi_masks/{letter}.{atlas}_challenge_space.npy", 1) == number
                        if len(values) != len(names) or len(mask) != values.shape[1]:
                            raise InputError(
                                f"{subject}'s {letter} has responses {values.shape}, {len(names)} pictures and "
                                f"{len(mask)} vertices in {atlas}"
                            )
                        masks[region][: len(mask), side] = mask
        cells = columns(masks, of=subject)
        vertex, hemisphere = (index[cells.take] for index in cells.at)
        values = room((len(names), len(vertex)), axis=1)
        for some in spans(values.shape, axis=0):
            for side, part in enumerate(stored):
                values[some, hemisphere == side] = part[some][:, vertex[hemisphere == side]]
            release(values, *stored)
        return responses_array(
            values,
            stimulus_id=names,
            repetition=[0] * len(names),
            session=["train"] * len(names),
            neuroid_id=cells.neuroid_id,
            region=cells.region,
        )

    def _array(self, path: str, ndim: int) -> np.ndarray:
        return _arrays.mapped(_fetch.verified(self.root, self.spec.id, path), ndim=ndim)

    def _pictures(self, subject: str) -> dict[str, str]:
        """The pictures of a subject in the order of the responses: NSD number -> path."""
        found = _fetch.inside(self.root, self.spec.id, _images(subject))
        if not found:
            where = _fetch.manifest(self.spec.id).base_url
            raise AccessError(f"{self.root / _images(subject)} has no pictures; get them from {where}")
        names = [PurePosixPath(path).stem.partition("_")[2] for path in found]
        if any(not name.startswith("nsd-") for name in names) or len(set(names)) < len(names):
            raise InputError(f"pictures of {subject} must be named as train-0001_nsd-00013.png: {listed(found, 2)}")
        return dict(zip(names, found))


def _images(subject: str) -> str:
    return f"{subject}/training_split/training_images"
