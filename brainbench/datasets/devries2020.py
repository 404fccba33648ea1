"""Allen Brain Observatory: six visual areas of the mouse to 118 natural scenes shown 50 times (de Vries et al., 2020).

Not read here. Known from the AllenSDK, whose cache leaves the files as they are named here: NWB of version 1, which is
HDF5, with `stimulus/presentation/natural_scenes_stimulus/data` (the AllenSDK also takes the name without its ending),
the scene of each sweep counted from 0 and -1 for grey, `frame_duration` (sweep, 2), its first and last frame,
`stimulus/templates/natural_scenes_image_stack/data` (118, 918, 1174), float of whole numbers, and `general/...` for
area, depth and genotype; and the detected events of each experiment in an .npz, `ev` (cell, frame), in the order of the
file's cells.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image

from brainbench.core.arrays import responses_array
from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets import _fetch, _hdf5
from brainbench.datasets._sessions import chosen
from brainbench.errors import AccessError, InputError, listed

AREAS = ("VISp", "VISl", "VISal", "VISpm", "VISam", "VISrl")
_SCENES = ("stimulus/presentation/natural_scenes_stimulus", "stimulus/presentation/natural_scenes")
_STACK = "stimulus/templates/natural_scenes_image_stack/data"
_PLANE = "general/optophysiology/imaging_plane_1"
_CELLS = "processing/brain_observatory_pipeline/ImageSegmentation/cell_specimen_ids"
_SESSION = "three_session_B"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Experiment:
    """One field of view: where it was, and its cells' responses (scene, repetition, cell)."""

    id: str
    area: str
    depth_um: int
    layer: str
    cre_line: str
    cells: list[str]


class DeVries2020:
    """Sums of detected calcium events of the cells of all experiments side by side, areas VISp to VISrl.

    Cells of experiments were not recorded together: the k-th presentation of a scene stands for the k-th in each
    experiment, and they are one subject, "mice". Each cell has its `experiment`, `cre_line`, `depth_um` and `layer`
    (by depth; Scnn1a and Nr5a1 are in layer 4). The grey sweeps are left out. A response sums the events from the first
    frame of a sweep up to, without it, the last. Experiments are all that are in the folder and showed the scenes.
    """

    spec = DatasetSpec(
        id="devries2020",
        version=1,
        title="Allen Brain Observatory: mouse visual areas, 118 natural scenes",
        species="mouse",
        modality="two-photon calcium imaging",
        measures=("responses",),
        subjects=("mice",),
        regions=AREAS,
        unit="sum of calcium events",
        citation="de Vries SEJ, Lecoq JA, Buice MA, et al. (2020). A large-scale standardized physiological survey "
        "reveals functional organization of the mouse visual cortex. Nature Neuroscience 23, 138-151.",
        licence="Allen Institute terms of use",
        url="https://observatory.brain-map.org/visualcoding",
    )

    def __init__(self, root: Path):
        self.root = root

    def stimuli(self) -> StimulusSet:
        """The scenes "scene000" to "scene117", grey; pixels and `sha256` are of the first experiment's own stack."""
        names = [f"scene{n:03d}" for n in range(len(self._stack))]
        digests = [hashlib.sha256(picture.tobytes()).hexdigest() for picture in self._stack]
        table = pd.DataFrame({"sha256": digests}, index=pd.Index(names, name="stimulus_id", dtype=object), dtype=object)
        return StimulusSet(name=self.spec.id, table=table, open=self._open)

    def responses(
        self, subject: str, *, regions: tuple[str, ...] | None = None, sessions: tuple[str, ...] | None = None
    ) -> xr.DataArray:
        """Sums of events (presentation, neuroid), experiment by experiment; there is one session, "three_session_B".

        A cell whose experiment showed a scene less often than others is NaN in the rest. Raises UnknownNameError for a
        subject, region or session that does not exist, AccessError for an experiment without its events.
        """
        chosen("subject of devries2020", (subject,), self.spec.subjects)
        wanted = chosen("region of devries2020", regions, self.spec.regions)
        chosen("session of devries2020", sessions, (_SESSION,))
        experiments = [experiment for experiment in self._experiments if experiment.area in wanted]
        if not experiments:
            raise InputError(f"no experiment in {self.root} with natural scenes is in {listed(wanted)}")
        sums = [self._sums(experiment) for experiment in experiments]
        n_scenes, n_most = len(self._stack), max(part.shape[1] for part in sums)
        values = np.full((n_scenes, n_most, sum(part.shape[2] for part in sums)), np.nan, dtype=np.float32)
        at = 0
        for part in sums:
            values[:, : part.shape[1], at : at + part.shape[2]] = part
            at += part.shape[2]
        values = values.reshape(n_scenes * n_most, -1)
        of = [experiment for experiment in experiments for _ in experiment.cells]
        return responses_array(
            values,
            stimulus_id=[f"scene{n:03d}" for n in range(n_scenes) for _ in range(n_most)],
            repetition=list(range(n_most)) * n_scenes,
            session=[_SESSION] * len(values),
            neuroid_id=[f"{e.id}-{cell}" for e in experiments for cell in e.cells],
            region=[e.area for e in of],
            experiment=[e.id for e in of],
            cre_line=[e.cre_line for e in of],
            depth_um=[e.depth_um for e in of],
            layer=[e.layer for e in of],
        )

    @cached_property
    def _experiments(self) -> list[_Experiment]:
        """All experiments that showed natural scenes, in order of id."""
        paths = _fetch.inside(self.root, self.spec.id, "ophys_experiment_data")
        if not paths:
            where = _fetch.manifest(self.spec.id)
            raise AccessError(f"{self.root} has no ophys_experiment_data/*.nwb; get them from {where.base_url}")
        return [found for path in paths if (found := self._described(path)) is not None]

    def _described(self, path: str) -> _Experiment | None:
        with _hdf5.opened(_fetch.verified(self.root, self.spec.id, path)) as file:
            if not _scenes(file):
                return None
            genotype = _hdf5.text(file, "general/subject/genotype")
            depth = re.match(r"\s*(\d+)", _hdf5.text(file, f"{_PLANE}/imaging depth"))
            area = _hdf5.text(file, f"{_PLANE}/location")
            if depth is None or area not in AREAS:
                raise InputError(f"{self.root / path} says area {area!r} and no depth in micrometres")
            cre = genotype.split(";")[0].strip()
            cells = _hdf5.array(file, _CELLS, ndim=1)[()]
        return _Experiment(
            id=Path(path).stem,
            area=area,
            depth_um=int(depth[1]),
            layer=_layer(int(depth[1]), cre),
            cre_line=cre,
            cells=[str(int(cell)) for cell in cells],
        )

    def _sums(self, experiment: _Experiment) -> np.ndarray:
        """Sums of events (scene, repetition, cell) of one experiment."""
        path = _fetch.verified(self.root, self.spec.id, f"ophys_experiment_data/{experiment.id}.nwb")
        with _hdf5.opened(path) as file:
            scene = _hdf5.array(file, f"{_scenes(file)}/data", ndim=1)[()].astype(np.int64)
            frames = _hdf5.array(file, f"{_scenes(file)}/frame_duration", shape=(len(scene), 2))[()].astype(np.int64)
        events = self._events(experiment)
        if scene.max() >= len(self._stack) or scene.min() < -1 or frames.max() > events.shape[1] or frames.min() < 0:
            raise InputError(f"{path} shows scene {scene.max()} of {len(self._stack)} up to frame {frames.max()}")
        before = np.concatenate([np.zeros((len(events), 1)), np.cumsum(events, axis=1, dtype=np.float64)], axis=1)
        sweeps = (before[:, frames[:, 1]] - before[:, frames[:, 0]]).T  # (sweep, cell)
        shown = np.flatnonzero(scene >= 0)
        repetition = pd.Series(scene[shown]).groupby(scene[shown]).cumcount().to_numpy()
        sums = np.full((len(self._stack), repetition.max() + 1, len(events)), np.nan, dtype=np.float32)
        sums[scene[shown], repetition] = sweeps[shown]
        return sums

    def _events(self, experiment: _Experiment) -> np.ndarray:
        path = _fetch.verified(self.root, self.spec.id, f"ophys_experiment_events/{experiment.id}_events.npz")
        try:
            with path.open("rb") as stream:  # numpy leaves a file open that is no archive
                events = np.asarray(np.load(stream, allow_pickle=False)["ev"])
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is not as published: {type(error).__name__}: {error}. Get it anew.") from None
        if events.ndim != 2 or len(events) != len(experiment.cells):
            raise InputError(f"{path} has events {events.shape} of {len(experiment.cells)} cells")
        return events

    @cached_property
    def _stack(self) -> np.ndarray:
        first = f"ophys_experiment_data/{self._experiments[0].id}.nwb" if self._experiments else ""
        if not first:
            raise InputError(f"no experiment in {self.root} showed natural scenes")
        with _hdf5.opened(_fetch.verified(self.root, self.spec.id, first)) as file:
            stack = _hdf5.array(file, _STACK, ndim=3)[()]
        if not np.array_equal(stack, np.rint(stack)) or stack.min() < 0 or stack.max() > 255:
            raise InputError(f"the pictures of {first} are not whole numbers from 0 to 255")
        return np.asarray(stack, dtype=np.uint8)

    def _open(self, stimulus_id: str) -> Image.Image:
        return Image.fromarray(self._stack[int(stimulus_id.removeprefix("scene"))])


def _scenes(file: h5py.File) -> str:
    """Where a file tells which scene was shown when, "" where it showed none: the name has an ending, or has not."""
    return next((name for name in _SCENES if name in file), "")


def _layer(depth_um: int, cre: str) -> str:
    """The cortical layer of a depth, as Shi, Shea-Brown & Buice (2019) divide them."""
    if cre.startswith(("Scnn1a", "Nr5a1")):
        return "L4"
    return "L2/3" if depth_um < 200 else "L4" if depth_um < 300 else "L5" if depth_um < 500 else "L6"
