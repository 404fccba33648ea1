"""BOLD5000: fMRI of four people who saw 4,916 pictures of scenes, things and events (Chang et al., 2019; release 2.0).

Not read here. Known from the release's readme and from public code that reads it: betas of regions as arrays,
`BOLD5000_GLMsingle_ROI_betas/py/CSIn_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses_<LH or RH><region>.npy` (trial,
voxel), all sessions one after another; and `CSIn_imgnames.txt`, the file shown in each trial. In lists of the first
release the name of a picture that is shown again begins with "rep_"; here it may or may not.
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
from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets import _arrays, _fetch
from brainbench.datasets._sessions import chosen
from brainbench.errors import InputError, listed

_BETAS = "BOLD5000_GLMsingle_ROI_betas/py"
_STIMULI = "BOLD5000_Stimuli"
_SHOWN = f"{_STIMULI}/Scene_Stimuli/Presented_Stimuli"


class Chang2019:
    """Percent signal change of single trials of four people, 15 sessions (9 of CSI4), in five regions.

    Both hemispheres make a region. Sessions are not told apart in these arrays: there is one, "all". About a hundred
    pictures were shown several times, the others once. The authors ask to z-score each voxel within its sessions;
    nothing is here.
    """

    spec = DatasetSpec(
        id="chang2019",
        version=1,
        title="BOLD5000: four people, 4,916 pictures of COCO, ImageNet and SUN",
        species="human",
        modality="fMRI",
        measures=("responses",),
        subjects=("CSI1", "CSI2", "CSI3", "CSI4"),
        regions=("EarlyVis", "LOC", "OPA", "PPA", "RSC"),
        unit="percent signal change",
        citation="Chang N, Pyles JA, Marcus A, Gupta A, Tarr MJ, Aminoff EM (2019). BOLD5000, a public fMRI dataset "
        "while viewing 5000 visual images. Scientific Data 6, 49.",
        licence="see the release's page",
        url="https://bold5000.github.io",
    )

    def __init__(self, root: Path):
        self.root = root

    def stimuli(self) -> StimulusSet:
        """All pictures of the subjects whose lists are here, by file name, with `source` and `stratum`.

        `source` is the folder: "COCO", "ImageNet" or "Scene". `sha256` is missing for a picture that is not here.
        """
        here = [subject for subject in self.spec.subjects if (self.root / _names(subject)).exists()]
        names = sorted({name for subject in here or self.spec.subjects for name in self._shown(subject)})
        paths = {PurePosixPath(path).name: path for path in _fetch.inside(self.root, self.spec.id, _SHOWN)}
        digests = [self._digest(paths[name]) if name in paths else None for name in names]
        source = [PurePosixPath(paths[name]).parent.name if name in paths else None for name in names]
        table = pd.DataFrame(
            {"sha256": digests, "source": source, "stratum": source},
            index=pd.Index(names, name="stimulus_id", dtype=object),
            dtype=object,
        )
        return StimulusSet(
            name=self.spec.id, table=table, open=lambda name: Image.open(io.BytesIO(self._read(paths[name])))
        )

    def responses(
        self, subject: str, *, regions: tuple[str, ...] | None = None, sessions: tuple[str, ...] | None = None
    ) -> xr.DataArray:
        """Percent signal change (presentation, neuroid) of single trials, with each neuroid's `hemisphere`.

        Raises UnknownNameError for a subject, region or session that does not exist, AccessError or InputError for a
        file that is missing, broken or of another number of trials than the list of pictures.
        """
        chosen("subject of chang2019", (subject,), self.spec.subjects)
        wanted = chosen("region of chang2019", regions, self.spec.regions)
        chosen("session of chang2019", sessions, ("all",))
        names = self._shown(subject)
        parts: list[np.ndarray] = []
        cells: list[tuple[str, str, str]] = []
        for region in wanted:
            for side in ("LH", "RH"):
                stem = f"{subject}_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses_{side}{region}"
                full = _fetch.verified(self.root, self.spec.id, f"{_BETAS}/{stem}.npy")
                values = _arrays.mapped(full, ndim=2)
                if len(values) != len(names):
                    raise InputError(
                        f"{full} has shape {values.shape}; {subject} saw {len(names)} pictures, a row each"
                    )
                parts.append(np.asarray(values, dtype=np.float32))
                cells += [(f"{region}-{side}-{n:04d}", region, side) for n in range(values.shape[1])]
        return responses_array(
            np.concatenate(parts, axis=1),
            stimulus_id=names,
            repetition=pd.Series(names).groupby(names).cumcount().tolist(),
            session=["all"] * len(names),
            neuroid_id=[cell[0] for cell in cells],
            region=[cell[1] for cell in cells],
            hemisphere=[cell[2] for cell in cells],
        )

    def _shown(self, subject: str) -> list[str]:
        path = _fetch.verified(self.root, self.spec.id, _names(subject))
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        if not lines or any("." not in line for line in lines):
            odd = [line for line in lines if "." not in line]
            raise InputError(f"{path} must name a file in every line; {listed(odd) or 'it is empty'}")
        return [line.removeprefix("rep_") for line in lines]

    def _digest(self, path: str) -> str:
        return hashlib.sha256(self._read(path)).hexdigest()

    def _read(self, path: str) -> bytes:
        return _fetch.read(self.root, self.spec.id, path)


def _names(subject: str) -> str:
    return f"{_STIMULI}/Stimuli_Presentation_Lists/{subject}/{subject}_imgnames.txt"
