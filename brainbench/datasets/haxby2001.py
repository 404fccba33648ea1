"""Human fMRI of blocks of faces, houses, cats and five more categories (Haxby et al., 2001), in two releases.

Checked against real files: PyMVPA's tree of one subject. Known from nilearn's code and documentation alone: the names
of the six subjects' files, that `labels.txt` has a header "labels chunks" and a row a scan, that subject 5 has a run
without labels, and the five masks. PyMVPA's own table of labels, in the same form, gives the onsets of its event files.

**Labels name the scans that hold the response, not those in which something was shown.** In the 60 voxels that respond
best, blocks as labelled explain 50 % of the variance, blocks convolved with a haemodynamic response 29 %, and 52 % once
they are moved 5 s ahead. So blocks are fitted as labelled.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from brainbench.core.arrays import responses_array
from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets import _fetch, _volumes
from brainbench.datasets._columns import Columns, columns
from brainbench.datasets._glm import block_responses
from brainbench.datasets._sessions import chosen
from brainbench.errors import InputError, listed

CATEGORIES = ("bottle", "cat", "chair", "face", "house", "scissors", "scrambledpix", "shoe")
T_R = 2.5  # seconds
_RUNS = tuple(f"run{number:02d}" for number in range(1, 13))
_CITATION = (
    "Haxby JV, Gobbini MI, Furey ML, Ishai A, Schouten JL, Pietrini P (2001). Distributed and overlapping "
    "representations of faces and objects in ventral temporal cortex. Science 293, 2425-2430."
)
# of the images of a run: their path, and the region whose mask says which voxels are read
_GRIDS = {"brain": "25mm", "gray": "25mm", "white": "25mm", "vt": "25mm", "slice": "1slice"}
_TREE = "mvpa2/data/haxby2001/sub001"


class Haxby2001:
    """Block responses of one subject, 12 runs of 8 categories, at 25 mm (129 voxels of brain) and in one axial slice.

    What PyMVPA ships for its tests: not enough of a brain for a finding, and real all the same. A presentation is a
    block of 22.5 s, its response the percent signal change of a general linear model fitted to its run; sessions are
    the runs. **The release holds no pictures**, and does not say which ones a block showed: a stimulus is a category.
    `gray`, `white` and `vt` (one voxel) lie within `brain`, and `slice` is the brain in another resolution.
    """

    spec = DatasetSpec(
        id="haxby2001",
        version=1,
        title="Human fMRI of eight categories of objects in blocks, one subject at low resolution",
        species="human",
        modality="fMRI",
        measures=("responses",),
        subjects=("sub001",),
        regions=tuple(_GRIDS),
        unit="percent signal change of a block",
        citation=_CITATION,
        licence="MIT (package)",
        url="https://github.com/PyMVPA/PyMVPA",
    )

    def __init__(self, root: Path):
        self.root = root

    def stimuli(self) -> StimulusSet:
        """The 8 categories, with `category`; there are no pictures, so `sha256` is missing."""
        return _categories(self.spec.id)

    def responses(
        self, subject: str, *, regions: tuple[str, ...] | None = None, sessions: tuple[str, ...] | None = None
    ) -> xr.DataArray:
        """Percent signal change (presentation, neuroid), a presentation a block; a voxel is a neuroid of each region.

        Raises UnknownNameError for a subject, region or session (run) that does not exist.
        """
        chosen("subject of haxby2001", (subject,), self.spec.subjects)
        wanted = chosen("region of haxby2001", regions, self.spec.regions)
        runs = chosen("session of haxby2001", sessions, _RUNS)
        blocks = {run: self._events(run) for run in runs}
        fitted = []
        for grid in dict.fromkeys(_GRIDS[region] for region in wanted):
            cells = columns({r: self._mask(r) for r in wanted if _GRIDS[r] == grid}, of=subject)
            paths = {run: self._path(run, f"bold_{grid}.nii.gz") for run in runs}
            series = {run: _volumes.voxels(path, cells.at) for run, path in paths.items()}
            fitted.append((cells, _fitted(series, blocks)))
        return _assembled(fitted, blocks)

    def _path(self, run: str, name: str) -> Path:
        return _fetch.verified(self.root, self.spec.id, f"{_TREE}/BOLD/task001_run0{run[-2:]}/{name}")

    def _events(self, run: str) -> pd.DataFrame:
        return pd.read_csv(self._path(run, "bold_events.tsv"), sep="\t")

    def _mask(self, region: str) -> np.ndarray:
        path = "mvpa2/data/mask.nii.gz" if region == "slice" else f"{_TREE}/masks/25mm/{region}.nii.gz"
        return _volumes.volume(_fetch.verified(self.root, self.spec.id, path)) > 0


class Haxby2001Nilearn:
    """Block responses of six subjects at full resolution, as `nilearn.datasets.fetch_haxby` lays the files out.

    As in `haxby2001`, a presentation is a block and a session a run. Regions are the masks of the release, ventral
    temporal cortex and, within it, voxels that prefer faces or houses by two criteria, each cut out in the subject's
    own space. The pictures can be fetched too, but nothing says which of them a block showed.
    """

    spec = DatasetSpec(
        id="haxby2001_nilearn",
        version=1,
        title="Human fMRI of eight categories of objects in blocks, six subjects",
        species="human",
        modality="fMRI",
        measures=("responses",),
        subjects=tuple(f"subj{number}" for number in range(1, 7)),
        regions=("mask4_vt", "mask8_face_vt", "mask8_house_vt", "mask8b_face_vt", "mask8b_house_vt"),
        unit="percent signal change of a block",
        citation=_CITATION,
        licence="CC BY-SA 3.0",
        url="https://nilearn.github.io/stable/modules/generated/nilearn.datasets.fetch_haxby.html",
    )

    def __init__(self, root: Path):
        self.root = root

    def stimuli(self) -> StimulusSet:
        """The 8 categories, with `category`; which pictures a block showed is not known, so `sha256` is missing."""
        return _categories(self.spec.id)

    def responses(
        self, subject: str, *, regions: tuple[str, ...] | None = None, sessions: tuple[str, ...] | None = None
    ) -> xr.DataArray:
        """Percent signal change (presentation, neuroid), a presentation a block; a voxel is a neuroid of each region.

        Raises UnknownNameError for a subject, region or session (run) of that subject that does not exist.
        """
        chosen("subject of haxby2001_nilearn", (subject,), self.spec.subjects)
        wanted = chosen("region of haxby2001_nilearn", regions, self.spec.regions)
        scans = self._labels(subject)
        blocks = {f"run{chunk + 1:02d}": _runs_of(rows) for chunk, rows in scans.groupby("chunks")["labels"]}
        blocks = {run: events for run, events in blocks.items() if len(events)}  # one run of subj5 has no labels
        runs = chosen(f"session of {subject} in haxby2001_nilearn", sessions, tuple(blocks))
        masks = {region: _volumes.volume(self._path(subject, f"{region}.nii.gz")) > 0 for region in wanted}
        cells = columns(masks, of=subject)
        whole = _volumes.voxels(self._path(subject, "bold.nii.gz"), cells.at, n_volumes=len(scans))
        series = {run: whole[scans["chunks"] == int(run[3:]) - 1] for run in runs}
        blocks = {run: blocks[run] for run in runs}
        return _assembled([(cells, _fitted(series, blocks))], blocks)

    def _labels(self, subject: str) -> pd.DataFrame:
        path = self._path(subject, "labels.txt")
        table = pd.read_csv(path, sep=r"\s+")
        if list(table) != ["labels", "chunks"] or set(table["labels"]) - {"rest", *CATEGORIES}:
            raise InputError(f"{path} needs columns 'labels' and 'chunks', with names of categories: {listed(table)}")
        return table

    def _path(self, subject: str, name: str) -> Path:
        return _fetch.verified(self.root, self.spec.id, f"{subject}/{name}")


def _categories(name: str) -> StimulusSet:
    table = pd.DataFrame(
        {"sha256": None, "category": CATEGORIES},
        index=pd.Index(CATEGORIES, name="stimulus_id", dtype=object),
        dtype=object,
    )
    return StimulusSet(name=name, table=table)


def _runs_of(labels: pd.Series) -> pd.DataFrame:
    """Onset and duration in seconds of every block, from the label of each scan of a run."""
    rows, scan = [], 0
    for label, run in groupby(labels):
        n = len(list(run))
        if label != "rest":
            rows.append((scan * T_R, n * T_R, label))
        scan += n
    return pd.DataFrame(rows, columns=["onset", "duration", "trial_type"])


def _fitted(series: dict[str, np.ndarray], blocks: dict[str, pd.DataFrame]) -> np.ndarray:
    """Responses (block, voxel) of all runs, from each run's scans and blocks."""
    for run, events in blocks.items():
        twice = events["trial_type"][events["trial_type"].duplicated()]
        if len(twice):
            raise InputError(f"{run} shows {listed(twice)} twice: a block could not be told from the other")
    return np.concatenate([block_responses(series[run], events, t_r=T_R) for run, events in blocks.items()])


def _assembled(fitted: list[tuple[Columns, np.ndarray]], blocks: dict[str, pd.DataFrame]) -> xr.DataArray:
    shown = [(run, name) for run, events in blocks.items() for name in events["trial_type"]]
    return responses_array(
        np.concatenate([cells.of(values) for cells, values in fitted], axis=1),
        stimulus_id=[name for _, name in shown],
        repetition=[0] * len(shown),
        session=[run for run, _ in shown],
        neuroid_id=[name for cells, _ in fitted for name in cells.neuroid_id],
        region=[name for cells, _ in fitted for name in cells.region],
    )
