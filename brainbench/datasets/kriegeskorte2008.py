"""Dissimilarities of 92 objects in monkey and human IT and in human judgement (Kriegeskorte et al., 2008)."""

from __future__ import annotations

import hashlib
import io
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.io
import xarray as xr
from PIL import Image
from scipy.spatial.distance import squareform

from brainbench.core.arrays import rdms_array
from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets import _fetch
from brainbench.datasets._sessions import chosen
from brainbench.errors import InputError

_FOLDER = "demos/92imageData"
_IDS = tuple(f"object{number:02d}" for number in range(1, 93))
_HUMANS = ("BE", "KO", "SN", "TI")
_JUDGES = tuple(f"judge{number:02d}" for number in range(1, 17))


class Kriegeskorte2008:
    """RDMs of 92 objects: human IT in fMRI, monkey IT pooled over 674 cells, and 16 people's judgements.

    Upstream names neither stimuli nor rows: everything is in one order, that of the pictures in the supplement.
    "object01" is the first of them and the first row of every RDM. (That human IT of the supplement, which lies
    beside the pictures, is to the last bit the mean of the eight RDMs of the other file ties the two together.)
    The judgements are from Mur et al. (2013), Frontiers in Psychology 4, 128.
    """

    spec = DatasetSpec(
        id="kriegeskorte2008",
        version=1,
        title="92 objects: dissimilarities in monkey IT, human IT and human judgements",
        species="macaque, human",
        modality="single units, fMRI, behaviour",
        measures=("rdms",),
        subjects=(*_HUMANS, "monkeys", *_JUDGES),
        regions=("humanIT", "monkeyIT", "judges"),
        by_region={
            "humanIT": ("human", "fMRI"),
            "monkeyIT": ("macaque", "single units"),
            "judges": ("human", "behaviour"),
        },
        unit="correlation distance (IT), arbitrary (judges)",
        citation="Kriegeskorte N, Mur M, Ruff DA, Kiani R, Bodurka J, Esteky H, Tanaka K, Bandettini PA (2008). "
        "Matching categorical object representations in inferior temporal cortex of man and monkey. "
        "Neuron 60, 1126-1141.",
        licence="MIT",
        url="https://github.com/rsagroup/rsatoolbox",
    )

    def __init__(self, root: Path):
        self.root = root

    def stimuli(self) -> StimulusSet:
        """The 92 objects, "object01" to "object92", 175 x 175 RGB, with upstream's six classes as `category`.

        `stratum` is the category, which has 12 to 23 objects. `sha256` is taken over shape and pixels, as the
        pictures are arrays in a MATLAB file. Raises AccessError or InputError where that file is not the right one.
        """
        objects = self._supplement["stimuli_92objs"].ravel()
        category = [str(entry["category"].item()) for entry in objects]
        table = pd.DataFrame(
            {
                "sha256": [_digest(entry["image"]) for entry in objects],
                "category": category,
                "stratum": category,
            },
            index=pd.Index(_IDS, name="stimulus_id", dtype=object),
        )
        return StimulusSet(name=self.spec.id, table=table, open=self._open)

    def rdms(self, region: str) -> xr.DataArray:
        """The RDMs (subject, session, stimulus, stimulus_) of "humanIT", "monkeyIT" or "judges".

        Human IT has 4 subjects x 2 sessions; the others one session; the monkeys' RDM is of the cells of two animals
        taken together, one subject "monkeys". Raises UnknownNameError for another region.
        """
        chosen("region of kriegeskorte2008", (region,), self.spec.regions)
        if region == "humanIT":
            recorded = self._variables("92_brainRDMs.mat")["RDMs"][0]  # (subject, session)
            names = [[f"hIT | {subject} | Session: {session}" for session in (1, 2)] for subject in _HUMANS]
            return _labelled(recorded, names, subject=_HUMANS, session=("1", "2"))
        if region == "judges":
            judged = self._variables("92_behavRDMs.mat")["rdms_behav_92"].T  # (subject, 1)
            names = [[f"simJudge | subject{number}"] for number in range(1, 17)]
            return _labelled(judged, names, subject=_JUDGES, session=("1",))
        pooled = self._supplement["RDMs_mIT_hIT_fig1"][:, :1]
        return _labelled(pooled, [["mIT_674neurons"]], subject=("monkeys",), session=("1",))

    @cached_property
    def _supplement(self) -> dict[str, Any]:
        return self._variables("Kriegeskorte_Neuron2008_supplementalData.mat")

    def _variables(self, name: str) -> dict[str, Any]:
        content = _fetch.read(self.root, self.spec.id, f"{_FOLDER}/{name}")
        variables: dict[str, Any] = scipy.io.loadmat(io.BytesIO(content))
        return variables

    def _open(self, stimulus_id: str) -> Image.Image:
        entry = self._supplement["stimuli_92objs"].ravel()[_IDS.index(stimulus_id)]
        return Image.fromarray(entry["image"].copy())  # who writes into the picture does not write into ours


def _digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(f"{pixels.shape} {pixels.dtype}".encode() + pixels.tobytes()).hexdigest()


def _labelled(
    recorded: np.ndarray, names: list[list[str]], *, subject: tuple[str, ...], session: tuple[str, ...]
) -> xr.DataArray:
    """MATLAB's structs (subject, session) with fields `name` and `RDM` as an array of square RDMs.

    Raises InputError where the names are not those expected, so that no subject is taken for another.
    """
    found = [[str(entry["name"].item()) for entry in row] for row in recorded]
    if found != names:
        raise InputError(f"expected RDMs named {names}, found {found}")
    # condensed ones are the upper triangle row by row, as scipy has it
    square = [[np.float64(e["RDM"] if e["RDM"].shape[0] > 1 else squareform(e["RDM"][0])) for e in r] for r in recorded]
    return rdms_array(np.array(square), subject=subject, session=session, stimulus_id=_IDS)
