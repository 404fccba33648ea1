"""THINGS-fMRI: single-trial responses of three people to 8,740 pictures of 720 objects (Hebart et al., 2023).

Not read here. Known from the authors' notebooks and from public code that reads the files: the release in tables,
`betas_csv/sub-NN_ResponseData.h5`, a data frame as pandas stores one, whose `ResponseData/block*_values` (voxel,
trial) hold the betas and `axis1` the voxels' ids; `sub-NN_VoxelMetadata.csv`, a row a voxel, with a column of 0 and 1
for each region; and `sub-NN_StimulusMetadata.csv`, a row a trial, with `trial_type`, `session`, `run` and `stimulus`.
Catch trials are not in it.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from brainbench.core.arrays import responses_array
from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets import _fetch, _hdf5, _things
from brainbench.datasets._columns import columns
from brainbench.datasets._sessions import chosen
from brainbench.errors import AccessError, InputError, listed

_SIDES = ("EBA", "FFA", "OFA", "STS", "PPA", "RSC", "TOS", "LOC")
_RETINOTOPIC = ("V1", "V2", "V3", "hV4", "VO1", "VO2", "LO1 (prf)", "LO2 (prf)", "TO1", "TO2", "V3b", "V3a")


class Hebart2023Fmri:
    """Single-trial betas of three people, 12 sessions: 8,640 pictures once ("train"), 100 in every session ("test").

    Regions are the release's, from population receptive fields and localizers, with "l" or "r" for the hemisphere.
    A neuroid has the release's noise ceiling of the mean of its test trials, `nc_testset`, in percent. Pictures belong
    to THINGS and are used where its folder `object_images` lies beside `betas_csv`.
    """

    spec = DatasetSpec(
        id="hebart2023_fmri",
        version=1,
        title="THINGS-fMRI: three people, 8,740 pictures of 720 objects",
        species="human",
        modality="fMRI",
        measures=("responses",),
        subjects=("sub-01", "sub-02", "sub-03"),
        regions=(*_RETINOTOPIC, *(f"{side}{name}" for name in _SIDES for side in "lr"), "IT"),
        unit="percent signal change",
        citation="Hebart MN, Contier O, Teichmann L, Rockter AH, Zheng CY, Kidder A, Corriveau A, Vaziri-Pashkam M, "
        "Baker CI (2023). THINGS-data, a multimodal collection of large-scale datasets for investigating object "
        "representations in human brain and behavior. eLife 12, e82580.",
        licence="see the release's page",
        url="https://doi.org/10.25452/figshare.plus.20492835.v2",
    )

    def __init__(self, root: Path):
        self.root = root

    def stimuli(self) -> StimulusSet:
        """What was shown to the subjects whose tables are here, such as "dog_12s", with `concept`, `group` and `kind`.

        Raises AccessError where there is no subject's table, InputError for one that is not as published.
        """
        here = [s for s in self.spec.subjects if (self.root / self._path(s, "StimulusMetadata.csv")).exists()]
        tables = [self._trials(subject) for subject in here or self.spec.subjects]
        shown = {pair for table in tables for pair in zip(table["name"], table["trial_type"])}
        return _things.stimulus_set(self.root, self.spec.id, shown)

    def responses(
        self, subject: str, *, regions: tuple[str, ...] | None = None, sessions: tuple[str, ...] | None = None
    ) -> xr.DataArray:
        """Betas (presentation, neuroid) of single trials; only the rows of the regions' voxels are read.

        A voxel of several regions is a neuroid of each. Raises UnknownNameError for a subject, region or session that
        does not exist, AccessError or InputError for a file that is missing or not as published.
        """
        chosen("subject of hebart2023_fmri", (subject,), self.spec.subjects)
        wanted = chosen("region of hebart2023_fmri", regions, self.spec.regions)
        trials = self._trials(subject)
        session = trials["session"].map(lambda number: f"session{int(number):02d}")
        names = chosen(f"session of {subject} in hebart2023_fmri", sessions, tuple(sorted(set(session))))
        voxels = pd.read_csv(self._verified(subject, "VoxelMetadata.csv"))
        if "voxel_id" not in voxels or "nc_testset" not in voxels:
            raise InputError(f"{self._path(subject, 'VoxelMetadata.csv')} lacks voxel_id or nc_testset")
        nowhere = np.zeros(len(voxels), dtype=bool)
        masks = {r: voxels[r].to_numpy() > 0 if r in voxels else nowhere for r in wanted}
        cells = columns(masks, of=subject)
        (at,) = cells.at
        values = self._rows(subject, voxels["voxel_id"].to_numpy(dtype=np.int64)[at], len(trials))
        kept = session.isin(names).to_numpy()
        trials, session = trials[kept], session[kept]
        return responses_array(
            cells.of(values[kept]),
            stimulus_id=trials["name"].tolist(),
            repetition=trials.groupby([session, trials["name"]]).cumcount().tolist(),
            session=session.tolist(),
            neuroid_id=cells.neuroid_id,
            region=cells.region,
            nc_testset=cells.of(voxels["nc_testset"].to_numpy(dtype=np.float32)[at]).tolist(),
        )

    def _rows(self, subject: str, ids: np.ndarray, n_trials: int) -> np.ndarray:
        """Betas (trial, voxel) of the voxels with these ids, run of neighbours by run."""
        with _hdf5.opened(self._verified(subject, "ResponseData.h5")) as file:
            stored = _table(file, n_trials)
            known = _hdf5.array(file, "ResponseData/axis1", shape=(len(stored),))[()]
            row = pd.Index(known).get_indexer(pd.Index(ids))
            if (row < 0).any():
                raise InputError(f"{file.filename} lacks {(row < 0).sum()} voxels of {subject}'s table of voxels")
            values = np.empty((n_trials, len(row)), dtype=np.float32)
            order = np.argsort(row)
            for run in np.split(order, np.flatnonzero(np.diff(row[order]) != 1) + 1):
                values[:, run] = stored[int(row[run[0]]) : int(row[run[-1]]) + 1].T
        return values

    def _trials(self, subject: str) -> pd.DataFrame:
        path = self._verified(subject, "StimulusMetadata.csv")
        table = pd.read_csv(path)
        if lacking := [name for name in ("trial_type", "session", "stimulus") if name not in table]:
            raise InputError(f"{path} lacks the columns {listed(lacking)}")
        return table.assign(name=[PurePosixPath(str(name)).stem for name in table["stimulus"]])

    def _path(self, subject: str, name: str) -> str:
        return f"betas_csv/{subject}_{name}"

    def _verified(self, subject: str, name: str) -> Path:
        try:
            return _fetch.verified(self.root, self.spec.id, self._path(subject, name))
        except AccessError as error:
            here = ", ".join(
                f"{part}: {'complete' if not lacks else f'lacks {len(lacks)}'}"
                for part, lacks in _fetch.parts(self.spec.id, self.root).items()
            )
            raise AccessError(f"{error} {here}") from None


def _table(file: h5py.File, n_trials: int) -> h5py.Dataset:
    """The block of the data frame that has a column a trial; another one may hold the voxels' ids."""
    group = file.get("ResponseData")
    blocks = sorted(group) if isinstance(group, h5py.Group) else []
    names = [f"ResponseData/{name}" for name in blocks if re.fullmatch(r"block\d+_values", name)]
    fits = [name for name in names if file[name].ndim == 2 and file[name].shape[1] == n_trials]
    if len(fits) != 1:
        shapes = listed(f"{name} {file[name].shape}" for name in names) or "no block of numbers"
        raise InputError(f"{file.filename} has {shapes}; expected one of {n_trials} trials")
    return _hdf5.array(file, fits[0], ndim=2, kinds="f")
