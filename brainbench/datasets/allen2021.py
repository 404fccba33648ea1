"""The Natural Scenes Dataset: 7 T fMRI of eight people who saw up to 10,000 pictures three times (Allen et al., 2022).

Nothing of it can be had without signing its terms, so all that is known of the files is from public code that reads
them and from the data manual: betas in HDF5 as `betas` (750, z, y, x) or in NIfTI (x, y, z, 750), int16 of 300 times
percent signal change; on fsaverage in MGH (163842, 1, 1, 750), float, not scaled; `nsd_expdesign.mat` with `subjectim`
(8, 10000), `masterordering` (1, 30000) and `sharedix` (1, 1000), all counted from 1; `nsd_stim_info_merged.csv`, whose
`nsdId` counts from 0; `imgBrick` (73000, 425, 425, 3), uint8; regions as volumes of numbers, with tables `*.mgz.ctab`.

Ids count from 0 here, as in the table and in `imgBrick`. The design, which counts from 1, is held against the table's
own record of the trials, so an id that is off by one does not pass.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image

from brainbench.core.arrays import responses_array
from brainbench.core.mapped import release, room, spans
from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets import _fetch, _hdf5, _slabs, _volumes
from brainbench.datasets._columns import Columns, columns
from brainbench.datasets._sessions import chosen
from brainbench.errors import AccessError, InputError, listed

TRIALS = 750  # of a session
SCALE = 300  # what int16 betas are multiplied by
SUBJECTS = tuple(f"subj{number:02d}" for number in range(1, 9))
_BETAS = "betas_fithrf_GLMdenoise_RR"
# which volume or surface holds a region; names are those of the label tables
ATLASES = {
    "prf-visualrois": ("V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4"),
    "floc-bodies": ("EBA", "FBA-1", "FBA-2", "mTL-bodies"),
    "floc-faces": ("OFA", "FFA-1", "FFA-2", "mTL-faces", "aTL-faces"),
    "floc-places": ("OPA", "PPA", "RSC"),
    "floc-words": ("OWFA", "VWFA-1", "VWFA-2", "mfs-words", "mTL-words"),
    "streams": ("early", "midventral", "midlateral", "midparietal", "ventral", "lateral", "parietal"),
    "nsdgeneral": ("nsdgeneral",),
}
UNIONS = {"V1": ("V1v", "V1d"), "V2": ("V2v", "V2d"), "V3": ("V3v", "V3d"), "FFA": ("FFA-1", "FFA-2")}
_EXPERIMENT = "nsddata/experiments/nsd"
_PICTURES = "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"


class _Experiment(ABC):
    """What volumes and surfaces share: the design, the pictures, and how a subject's betas become responses."""

    spec: DatasetSpec
    space: str
    regions_of: ClassVar[dict[str, tuple[str, ...]]]  # by atlas

    def __init__(self, root: Path):
        self.root = root

    def stimuli(self) -> StimulusSet:
        """The 73,000 pictures, "nsd00000" to "nsd72999", with `shared1000`, `coco_id` and `coco_split`.

        The pictures are 40 GB, so `sha256` is not of their pixels: it is the hash of what the release says each is, its
        COCO picture and how that was cropped; `as_of` tells when their file changes. Two pictures are never the same by
        this table, and none is read before it is asked for. Raises AccessError or InputError where a file is missing or
        not the right one.
        """
        info = self._info
        said = info["cocoSplit"].astype(str) + " " + info["cocoId"].astype(str) + " " + info["cropBox"].astype(str)
        table = pd.DataFrame(
            {
                "sha256": [hashlib.sha256(f"nsd {text}".encode()).hexdigest() for text in said],
                "shared1000": info["shared1000"].to_numpy(dtype=bool),
                "coco_id": info["cocoId"].to_numpy(dtype=np.int64),
                "coco_split": info["cocoSplit"].to_numpy(dtype=object),
                "as_of": _fetch.as_of(self.root, _PICTURES),
            },
            index=pd.Index(_names(info["nsdId"].to_numpy()), name="stimulus_id", dtype=object),
        )
        return StimulusSet(name=self.spec.id, table=table, open=self._open, size_deg=8.4)

    def responses(
        self, subject: str, *, regions: tuple[str, ...] | None = None, sessions: tuple[str, ...] | None = None
    ) -> xr.DataArray:
        """Percent signal change (presentation, neuroid) to single trials, with `ncsnr` of each neuroid as released.

        Only the voxels of `regions` are read, session by session. What comes back, 120 kB a neuroid for 40 sessions, is
        held if it is small and else in a temporary file (see `core.mapped`): all regions together are more than 10 GB.
        A voxel of several regions is a neuroid of each.
        int16 has no NaN: a voxel that is 0 in all trials of a session was not measured in it, and is NaN in all of the
        sessions asked for, or its pictures would be other ones than its neighbours'.
        Raises UnknownNameError for a subject, region or session of that subject that does not exist, AccessError, with
        a line a subject, where sessions are missing, and InputError for files that are broken or do not fit.
        """
        chosen(f"subject of {self.spec.id}", (subject,), self.spec.subjects)
        wanted = chosen(f"region of {self.spec.id}", regions, self.spec.regions)
        known = self._sessions(subject)
        names = chosen(f"session of {subject} in {self.spec.id}", sessions, tuple(known))
        files = {name: self._files(subject, known[name]) for name in names}
        cells, ncsnr = self._cells(subject, wanted)
        shown = self._shown(subject)
        values = room((TRIALS * len(names), len(cells.region)), axis=1)
        unmeasured = np.zeros(len(cells.region), dtype=bool)
        ids: list[str] = []
        for at, name in enumerate(names):
            number, rows = known[name], slice(at * TRIALS, (at + 1) * TRIALS)
            betas = cells.of(self._betas(files[name], cells))
            for some in spans(betas.shape, axis=1):
                values[rows, some] = betas[:, some]
                unmeasured[some] |= ~(np.abs(betas[:, some]) > 0).any(axis=0)  # NaN is not above 0 either
                release(values)
            ids += _names(shown[(number - 1) * TRIALS : number * TRIALS])
        for neuroid in np.flatnonzero(unmeasured):
            values[:, neuroid] = np.nan
            release(values)
        session = np.repeat(np.array(names, dtype=object), TRIALS)
        order = pd.DataFrame({"session": session, "stimulus": ids}).groupby(["session", "stimulus"]).cumcount()
        return responses_array(
            values,
            stimulus_id=ids,
            repetition=order.tolist(),
            session=session.tolist(),
            neuroid_id=cells.neuroid_id,
            region=cells.region,
            ncsnr=cells.of(ncsnr).astype(np.float32).tolist(),
        )

    # What depends on the space --------------------------------------------------------------------------------------

    @abstractmethod
    def _files(self, subject: str, session: int) -> list[Path]:
        """Where the betas of one session are."""

    @abstractmethod
    def _betas(self, files: list[Path], cells: Columns) -> np.ndarray:
        """The betas (trial, place) of the places that `cells` names, from those files."""

    @abstractmethod
    def _atlas(self, subject: str, name: str) -> np.ndarray:
        """Which label of an atlas each place has."""

    @abstractmethod
    def _ncsnr(self, subject: str) -> np.ndarray:
        """The noise-ceiling signal-to-noise ratio of each place, as released."""

    # Files that all spaces share ------------------------------------------------------------------------------------

    def _verified(self, path: str) -> Path:
        return _fetch.verified(self.root, self.spec.id, path)

    def _sessions(self, subject: str) -> dict[str, int]:
        """The sessions that the manifest lists for a subject: name -> number from 1."""
        pattern = re.compile(rf"/{subject}/{self.space}/{_BETAS}/(?:lh\.)?betas_session(\d\d)\.")
        found = {m[1] for file in _fetch.manifest(self.spec.id).files if (m := pattern.search(file.path))}
        return {f"session{number}": int(number) for number in sorted(found)}

    def _missing(self, subject: str, paths: str) -> AccessError:
        lines = [
            f"  {part}: {'complete' if not lacks else f'lacks {len(lacks)} files, such as {listed(lacks, 1)}'}"
            for part, lacks in _fetch.parts(self.spec.id, self.root).items()
        ]
        where = _fetch.manifest(self.spec.id).base_url
        return AccessError(
            f"{subject} of {self.spec.id} lacks {paths} in {self.root}; it is at {where}. There\n" + "\n".join(lines)
        )

    def _cells(self, subject: str, regions: tuple[str, ...]) -> tuple[Columns, np.ndarray]:
        """The columns of `regions`, and `ncsnr` of their distinct voxels."""
        volumes: dict[str, np.ndarray] = {}
        tables: dict[str, dict[str, int]] = {}
        masks = {}
        for region in regions:
            mask = None
            for part in UNIONS.get(region, (region,)):
                atlas = next(name for name, parts in self.regions_of.items() if part in parts)
                if atlas not in volumes:
                    volumes[atlas], tables[atlas] = self._atlas(subject, atlas), self._labels(subject, atlas)
                number = tables[atlas].get(part)
                this = volumes[atlas] == number if number is not None else np.zeros(volumes[atlas].shape, dtype=bool)
                mask = this if mask is None else mask | this
            assert mask is not None
            masks[region] = mask.reshape(mask.shape + (1,) * (3 - mask.ndim))
        cells = columns(masks, of=subject)
        ncsnr = self._ncsnr(subject)
        ncsnr = ncsnr.reshape(ncsnr.shape + (1,) * (3 - ncsnr.ndim))
        shape = next(iter(masks.values())).shape
        if ncsnr.shape != shape:
            raise InputError(f"ncsnr of {subject} has shape {ncsnr.shape}, its regions have {shape}")
        return cells, ncsnr[cells.at]

    def _labels(self, subject: str, atlas: str) -> dict[str, int]:
        if atlas == "nsdgeneral":
            return {"nsdgeneral": 1}
        path = self._verified(f"nsddata/freesurfer/{subject}/label/{atlas}.mgz.ctab")
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        if any(len(row) < 2 or not re.fullmatch(r"-?\d+", row[0]) for row in rows):
            raise InputError(f"{path} is no table of labels: a line is a number and a name")
        return {row[1]: int(row[0]) for row in rows}

    @cached_property
    def _info(self) -> pd.DataFrame:
        path = self._verified(f"{_EXPERIMENT}/nsd_stim_info_merged.csv")
        table = pd.read_csv(path, index_col=0)
        trials = [f"subject{subject}_rep{repetition}" for subject in range(1, 9) for repetition in range(3)]
        needed = ["cocoId", "cocoSplit", "cropBox", "nsdId", "shared1000", *trials]
        if lacking := [name for name in needed if name not in table]:
            raise InputError(f"{path} lacks the columns {listed(lacking)}")
        if not np.array_equal(table["nsdId"], np.arange(len(table))):
            raise InputError(f"nsdId of {path} must count from 0 to {len(table) - 1}, a row a picture, in order")
        return table

    @cached_property
    def _design(self) -> dict[str, np.ndarray]:
        from scipy.io import loadmat

        path = self._verified(f"{_EXPERIMENT}/nsd_expdesign.mat")
        names = ["subjectim", "masterordering", "sharedix"]
        try:
            content = loadmat(path, variable_names=names)
        except (ValueError, TypeError, OSError, NotImplementedError) as error:
            raise InputError(f"{path} is no MATLAB file of version 7 or older, or is truncated: {error}") from None
        if lacking := [name for name in names if name not in content]:
            raise InputError(f"{path} lacks {listed(lacking)}")
        return {name: np.asarray(content[name]).astype(np.int64) for name in names}

    def _shown(self, subject: str) -> np.ndarray:
        """The picture, from 0, of each trial of a subject, in order. Raises InputError where sources disagree."""
        who = SUBJECTS.index(subject)
        pictures, order = self._design["subjectim"], self._design["masterordering"].ravel()
        if pictures.shape[0] != len(SUBJECTS) or order.min() < 1 or order.max() > pictures.shape[1]:
            raise InputError(f"the design has shapes {pictures.shape} and {order.shape}: it must count from 1")
        shown = pictures[who, order - 1] - 1
        for repetition in range(3):
            trial = self._info[f"subject{who + 1}_rep{repetition}"].to_numpy(dtype=np.int64)  # from 1, 0 where never
            there = (trial > 0) & (trial <= len(shown))
            wrong = np.flatnonzero(shown[trial[there] - 1] != np.flatnonzero(there))
            if wrong.size or not there.any():
                raise InputError(
                    f"nsd_expdesign.mat and nsd_stim_info_merged.csv disagree on what {subject} saw in {wrong.size} of "
                    f"{there.sum()} trials: the design counts pictures and trials from 1, the table's nsdId from 0"
                )
        return np.asarray(shown)

    def _open(self, stimulus_id: str) -> Image.Image:
        with _hdf5.opened(self._verified(_PICTURES)) as file:
            stored = _hdf5.array(file, "imgBrick", shape=(len(self._info), None, None, 3), kinds="u")
            return Image.fromarray(stored[int(stimulus_id.removeprefix("nsd"))])


class Allen2021(_Experiment):
    """Single-trial betas of eight subjects, 30 to 40 sessions of 750 trials, at 1.8 mm, in each subject's own space.

    They are the release's third version (own haemodynamic response, GLMdenoise, ridge regression). A session is read
    from `betas_sessionNN.hdf5`, or from `.nii.gz` where there is no HDF5, which takes longer. V1, V2, V3 and FFA are
    the released parts taken together; all other regions have the release's names. Regions of different atlases overlap.
    1000 pictures (`shared1000`) were meant for all subjects; four of them finished all 40 sessions.
    """

    space = "func1pt8mm"
    regions_of = ATLASES
    spec = DatasetSpec(
        id="allen2021",
        version=2,
        title="Natural Scenes Dataset: 7 T fMRI of eight people, 1.8 mm",
        species="human",
        modality="fMRI",
        measures=("responses",),
        subjects=SUBJECTS,
        regions=(*(region for regions in ATLASES.values() for region in regions), *UNIONS),
        unit="percent signal change",
        citation="Allen EJ, St-Yves G, Wu Y, Breedlove JL, Prince JS, Dowdle LT, Nau M, Caron B, Pestilli F, "
        "Charest I, Hutchinson JB, Naselaris T, Kay K (2022). A massive 7T fMRI dataset to bridge cognitive "
        "neuroscience and artificial intelligence. Nature Neuroscience 25, 116-126.",
        licence="NSD terms and conditions: not to be redistributed",
        url="https://naturalscenesdataset.org",
    )

    def _files(self, subject: str, session: int) -> list[Path]:
        stem = f"nsddata_betas/ppdata/{subject}/{self.space}/{_BETAS}/betas_session{session:02d}"
        listed_here = {file.path for file in _fetch.manifest(self.spec.id).files}
        for path in (f"{stem}.hdf5", f"{stem}.nii.gz"):
            if path in listed_here and ((self.root / path).exists() or (self.root / path).is_symlink()):
                return [self._verified(path)]
        raise self._missing(subject, f"{stem}.hdf5 and {stem}.nii.gz")

    def _betas(self, files: list[Path], cells: Columns) -> np.ndarray:
        (full,) = files
        if full.suffix == ".hdf5":
            return _slabs.voxels(full, "betas", cells.at, n_volumes=TRIALS, dtype="int16") / np.float32(SCALE)
        stored = _volumes.header(full).get_data_dtype()
        if stored.newbyteorder("=") != np.int16:
            raise InputError(f"{full} holds {stored}, not int16 of {SCALE} x percent: its scale would be unknown")
        return _volumes.voxels(full, cells.at, n_volumes=TRIALS) / np.float32(SCALE)

    def _atlas(self, subject: str, name: str) -> np.ndarray:
        return _volumes.volume(self._verified(f"nsddata/ppdata/{subject}/{self.space}/roi/{name}.nii.gz"))

    def _ncsnr(self, subject: str) -> np.ndarray:
        return _volumes.volume(self._verified(f"nsddata_betas/ppdata/{subject}/{self.space}/{_BETAS}/ncsnr.nii.gz"))


class Allen2021Fsaverage(_Experiment):
    """The same betas on the surface of fsaverage, so that subjects share their 327,684 vertices.

    Regions are those that the release draws on fsaverage itself, for all subjects alike: the streams and `nsdgeneral`.
    A neuroid's last number is its hemisphere, 0 for the left one, the first its vertex.
    """

    space = "fsaverage"
    regions_of: ClassVar = {name: ATLASES[name] for name in ("streams", "nsdgeneral")}
    spec = DatasetSpec(
        id="allen2021_fsaverage",
        version=2,
        title="Natural Scenes Dataset: 7 T fMRI of eight people, on fsaverage",
        species="human",
        modality="fMRI",
        measures=("responses",),
        subjects=SUBJECTS,
        regions=(*ATLASES["streams"], *ATLASES["nsdgeneral"]),
        unit="percent signal change",
        citation=Allen2021.spec.citation,
        licence=Allen2021.spec.licence,
        url=Allen2021.spec.url,
    )

    def _files(self, subject: str, session: int) -> list[Path]:
        folder = f"nsddata_betas/ppdata/{subject}/{self.space}/{_BETAS}"
        paths = [f"{folder}/{side}.betas_session{session:02d}.mgh" for side in ("lh", "rh")]
        for path in paths:
            if not (self.root / path).exists() and not (self.root / path).is_symlink():
                raise self._missing(subject, path)
        return [self._verified(path) for path in paths]

    def _betas(self, files: list[Path], cells: Columns) -> np.ndarray:
        vertex, side, _ = cells.at
        values = np.empty((TRIALS, len(vertex)), dtype=np.float32)
        for hemisphere, full in enumerate(files):
            here = np.flatnonzero(side == hemisphere)
            nowhere = np.zeros(len(here), dtype=np.int64)
            values[:, here] = _volumes.voxels(full, (vertex[here], nowhere, nowhere), n_volumes=TRIALS)
        return values

    def _labels(self, subject: str, atlas: str) -> dict[str, int]:
        return super()._labels("fsaverage", atlas)

    def _atlas(self, subject: str, name: str) -> np.ndarray:
        return self._both(f"nsddata/freesurfer/fsaverage/label/{{side}}.{name}.mgz")

    def _ncsnr(self, subject: str) -> np.ndarray:
        return self._both(f"nsddata_betas/ppdata/{subject}/{self.space}/{_BETAS}/{{side}}.ncsnr.mgh")

    def _both(self, path: str) -> np.ndarray:
        """A map of both hemispheres (vertex, hemisphere)."""
        sides = [_volumes.volume(self._verified(path.format(side=side))).ravel() for side in ("lh", "rh")]
        if sides[0].shape != sides[1].shape:
            raise InputError(f"{path.format(side='lh')} and its twin have {len(sides[0])} and {len(sides[1])} vertices")
        return np.stack(sides, axis=1)


def _names(numbers: np.ndarray) -> list[str]:
    return [f"nsd{number:05d}" for number in numbers]
