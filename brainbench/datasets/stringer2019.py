"""About ten thousand cells of mouse V1 at a time to 2,800 natural pictures shown twice (Stringer et al., 2019).

Not read here. Known from the authors' readme and scripts: MATLAB 5 files `natimg2800_<mouse>_<date>.mat` with the
struct `stim`, of it `resp` (presentation, cell) and `istim`, the picture of each presentation counted from 1, where
the largest number is the grey screen; and `images_natimg2800_all.mat` with `imgs` (68, 270, 2800), rows first.
"""

from __future__ import annotations

import hashlib
import re
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image

from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets import _fetch
from brainbench.datasets._sessions import Session, chosen, side_by_side
from brainbench.errors import InputError

_PICTURES = "images_natimg2800_all.mat"
_RECORDING = re.compile(r"natimg2800_M\d+_(MP\d+)_(\d{4}-\d\d-\d\d)\.mat$")


class Stringer2019:
    """Deconvolved calcium of V1 in seven recordings of six mice to 2,800 pictures, most of them shown twice.

    Each recording is a session with cells of its own, read whole: about 270 MB. Presentations of the grey screen are
    left out, and a cell without a number in a presentation is NaN there.
    """

    spec = DatasetSpec(
        id="stringer2019",
        version=1,
        title="Mouse V1, ten thousand cells at a time, 2,800 natural pictures",
        species="mouse",
        modality="two-photon calcium imaging",
        measures=("responses",),
        subjects=("MP027", "MP030", "MP031", "MP032", "MP033", "MP034"),
        regions=("V1",),
        unit="deconvolved fluorescence",
        citation="Stringer C, Pachitariu M, Steinmetz N, Carandini M, Harris KD (2019). High-dimensional geometry of "
        "population responses in visual cortex. Nature 571, 361-365.",
        licence="see the release's page",
        url="https://doi.org/10.25378/janelia.6845348",
    )

    def __init__(self, root: Path):
        self.root = root

    def stimuli(self) -> StimulusSet:
        """The pictures "natimg0001" to "natimg2800", grey. Raises AccessError or InputError for a wrong file."""
        pictures = self._imgs
        digests = [hashlib.sha256(pictures[:, :, n].tobytes()).hexdigest() for n in range(pictures.shape[2])]
        names = [f"natimg{n + 1:04d}" for n in range(pictures.shape[2])]
        table = pd.DataFrame({"sha256": digests}, index=pd.Index(names, name="stimulus_id", dtype=object), dtype=object)
        return StimulusSet(name=self.spec.id, table=table, open=self._open)

    def responses(
        self, subject: str, *, regions: tuple[str, ...] | None = None, sessions: tuple[str, ...] | None = None
    ) -> xr.DataArray:
        """Deconvolved fluorescence (presentation, neuroid) of one mouse; sessions are dates.

        Raises UnknownNameError for a subject, region or session of that subject that does not exist.
        """
        chosen("subject of stringer2019", (subject,), self.spec.subjects)
        chosen("region of stringer2019", regions, self.spec.regions)
        own = {m[2]: m[0] for file in _fetch.manifest(self.spec.id).files if (m := _RECORDING.search(file.path))}
        own = {date: path for date, path in own.items() if f"_{subject}_" in path}
        names = chosen(f"session of {subject} in stringer2019", sessions, tuple(sorted(own)))
        return side_by_side([self._session(name, own[name]) for name in names], region="V1")

    def _session(self, name: str, path: str) -> Session:
        stim = _loaded(_fetch.verified(self.root, self.spec.id, path), "stim")
        try:
            values = np.asarray(stim["resp"][0, 0], dtype=np.float32)
            number = np.asarray(stim["istim"][0, 0]).ravel().astype(np.int64)
        except (IndexError, KeyError, ValueError, TypeError) as error:
            raise InputError(f"'stim' of {path} is not as published: {type(error).__name__}: {error}") from None
        if values.ndim != 2 or len(number) != len(values) or number.min() < 1:
            raise InputError(f"{path} has responses {values.shape} and {len(number)} pictures, counted from 1")
        n = self._imgs.shape[2]
        if number.max() > n + 1:
            raise InputError(f"{path} shows picture {number.max()}, of {n} and a grey screen")
        shown = number <= n
        values, number = values[shown], number[shown]
        values[~np.isfinite(values)] = np.nan
        repetition = pd.Series(number).groupby(number).cumcount().to_numpy()
        ids = np.array([f"natimg{n:04d}" for n in number], dtype=object)
        return Session(name=name, values=values, stimulus_id=ids, repetition=repetition)

    @cached_property
    def _imgs(self) -> np.ndarray:
        path = _fetch.verified(self.root, self.spec.id, _PICTURES)
        imgs = np.asarray(_loaded(path, "imgs"))
        if imgs.ndim != 3:
            raise InputError(f"'imgs' of {path} has shape {imgs.shape}; expected rows x columns x pictures")
        grey = np.rint(imgs)
        if imgs.dtype != np.uint8 and (not np.array_equal(grey, imgs) or grey.min() < 0 or grey.max() > 255):
            raise InputError(f"'imgs' of {path} holds {imgs.dtype} that are not whole numbers from 0 to 255")
        return np.asarray(grey, dtype=np.uint8)

    def _open(self, stimulus_id: str) -> Image.Image:
        return Image.fromarray(np.ascontiguousarray(self._imgs[:, :, int(stimulus_id.removeprefix("natimg")) - 1]))


def _loaded(full: Path, name: str) -> np.ndarray:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        return np.asarray(loadmat(full, variable_names=[name])[name])
    except (ValueError, TypeError, KeyError, OSError, EOFError, NotImplementedError, MatReadError) as error:
        raise InputError(f"{full} cannot be read as MATLAB's: {type(error).__name__}: {error}. Get it anew.") from None
