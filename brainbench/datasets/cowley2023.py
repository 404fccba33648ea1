"""Macaque V4 spike counts to ten sessions' worth of pictures (Cowley, Stan, Pillow & Smith, 2023)."""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image

from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets import _fetch
from brainbench.datasets._sessions import Session, chosen, side_by_side
from brainbench.errors import InputError, listed

_FOLDER = "data_V4_responses"
_ANIMAL = {  # of each session, from upstream's readme
    "190923": "WE",
    "190925": "WE",
    "190927": "WE",
    "190929": "WE",
    "201025": "PE",
    "210224": "PE",
    "210225": "PE",
    "210305": "PE",
    "210322": "PE",
    "210325": "PE",
}
_REPEATED = "210325"  # the one session whose single trials are released
# What grey pictures of one object on a landscape show, in blocks of 80. Upstream has no label file: read by eye.
_BLOCKS = ("bear", "elephant", "face", "car", "dog", "apple", "chair", "plane")
_BLOCKS_START = {"210325": 0, "210322": 600}  # 210322 goes on with the first 600 pictures of 210325
# Pictures that are versions of one another, found by comparing all and then by eye: no split may tear them apart.
# In 210305, numbers 101 to 400 are two runs of 50 pictures, each followed by two blurred versions of all 50.
_VERSIONS = {"210305": {101: 50, 251: 50}}  # session -> {first number of a run: pictures in it}
_NEAR = (
    ("190925/image0421", "190929/image0487"),
    ("190929/image1128", "201025/image1076"),
    ("210322/image0704", "210322/image0731", "210325/image0104", "210325/image0131"),
    ("210322/image0931", "210322/image0987", "210325/image0331", "210325/image0387"),
)


class Cowley2023:
    """Spike counts in 100 ms of 523 V4 units in animals WE and PE, and the 112 x 112 JPEGs they were shown.

    Upstream's readme lists a third animal, RA, but released none of its sessions. Session 210325 comes as single
    trials, 6 to 10 a stimulus. The other nine were released averaged over repeats only: each of their stimuli is one
    presentation, the average, so nothing about their noise can be known. Columns of upstream's arrays belong to the
    sorted picture names of the session; each session has its own units.
    """

    spec = DatasetSpec(
        id="cowley2023",
        version=1,
        title="Macaque V4 spike counts to natural, synthesized and altered pictures, two of three animals",
        species="macaque",
        modality="multi-electrode array",
        measures=("responses",),
        subjects=("WE", "PE"),
        regions=("V4",),
        unit="spikes in 100 ms",
        citation="Cowley BR, Stan PL, Pillow JW, Smith MA (2023). Compact deep neural network models of visual "
        "cortex. bioRxiv 2023.11.22.568315.",
        licence="GPL-3.0",
        url="https://github.com/cowleygroup/V4_compact_models",
    )

    def __init__(self, root: Path):
        self.root = root
        self._jpegs: dict[str, dict[str, bytes]] = {}  # by session, as they are asked for: 40 MB in all

    def stimuli(self) -> StimulusSet:
        """The 10240 stimuli of all sessions, "<session>/<picture name>", with `session`, `stratum` and `category`.

        9340 contents are distinct: 190925 holds 300 pictures under two names each, and 600 of 210325 are in 210322
        too. `stratum` is the session, divided by category in 210325.

        `category` is labelled as read by eye, and None where nothing is: 210325 holds 80 pictures each of a bear, an
        elephant, a face, a car, a dog, an apple, a chair and a plane, in blocks of this order; 210322 ends with the
        first 600 of them, so with 40 planes. All 640 were looked at: no block shows another's object, and the pictures
        at both ends of every block show its own. Of some objects only an edge is seen, and in numbers 230, 551, 589 and
        609 of 210325 none can be made out: these have the label of their block. The responses agree: they tell the
        categories apart best where the blocks begin and end.

        Raises AccessError or InputError where a file is missing or not the right one.
        """
        return StimulusSet(name=self.spec.id, table=self._table.copy(), open=self._open)

    def responses(
        self, subject: str, *, regions: tuple[str, ...] | None = None, sessions: tuple[str, ...] | None = None
    ) -> xr.DataArray:
        """Spike counts (presentation, neuroid) of one animal, NaN where a unit was not recorded in that session.

        A presentation is a trial in session 210325 and an average over repeats in the others (`repetition` 0).
        Raises UnknownNameError for a subject, region or session of that subject that does not exist.
        """
        chosen("subject of cowley2023", (subject,), self.spec.subjects)
        chosen("region of cowley2023", regions, self.spec.regions)
        own = [session for session, animal in _ANIMAL.items() if animal == subject]
        names = chosen(f"session of {subject} in cowley2023", sessions, own)
        return side_by_side([self._session(name) for name in names], region="V4")

    def _session(self, session: str) -> Session:
        kind = "raw" if session == _REPEATED else "repeat_averaged"
        path = f"{_FOLDER}/responses_{kind}/responses_{session}.npy"
        counts = np.load(io.BytesIO(_fetch.read(self.root, self.spec.id, path)), allow_pickle=False)
        if counts.ndim == 2:
            counts = counts[:, :, None]
        ids = np.array([f"{session}/{name}" for name in self._pictures(session)], dtype=object)
        if counts.shape[1] != len(ids):
            raise InputError(f"{path} has {counts.shape[1]} columns, but the session has {len(ids)} pictures")
        counts = counts.transpose(1, 2, 0)  # (stimulus, repetition, neuroid)
        stimulus, repetition = np.nonzero(~np.isnan(counts).all(axis=2))  # an empty slot is no trial
        return Session(
            name=session, values=counts[stimulus, repetition], stimulus_id=ids[stimulus], repetition=repetition
        )

    def _pictures(self, session: str) -> dict[str, bytes]:
        """JPEGs by name without ending, in the order of the columns of the session's responses."""
        if session not in self._jpegs:
            self._jpegs[session] = self._read_pictures(session)
        return self._jpegs[session]

    def _read_pictures(self, session: str) -> dict[str, bytes]:
        path = f"{_FOLDER}/images/images_{session}.zip"
        with zipfile.ZipFile(io.BytesIO(_fetch.read(self.root, self.spec.id, path))) as archive:
            entries = [PurePosixPath(name) for name in archive.namelist() if not name.endswith("/")]
            # archives of one session put the names in a folder, of another in disorder; macOS adds shadows of files
            entries = [entry for entry in entries if "__MACOSX" not in entry.parts and entry.suffix == ".jpg"]
            names = [entry.stem for entry in entries]
            if len(set(names)) < len(names):
                twice = {name for name in names if names.count(name) > 1}
                raise InputError(f"{path} holds pictures of one name twice: {listed(sorted(twice))}")
            return {entry.stem: archive.read(str(entry)) for entry in sorted(entries, key=lambda entry: entry.stem)}

    @cached_property
    def _table(self) -> pd.DataFrame:
        rows = []
        for session in _ANIMAL:
            for at, (name, jpeg) in enumerate(self._pictures(session).items()):
                within = at - _BLOCKS_START.get(session, len(self._pictures(session)))
                category = _BLOCKS[within // 80] if within >= 0 else None
                rows.append(
                    {
                        "stimulus_id": f"{session}/{name}",
                        "sha256": hashlib.sha256(jpeg).hexdigest(),
                        "session": session,
                        "stratum": f"{session}/{category}" if session == _REPEATED else session,
                        "category": category,
                        "group": _group(session, name),
                    }
                )
        return pd.DataFrame(rows).set_index("stimulus_id")

    def _open(self, stimulus_id: str) -> Image.Image:
        session, name = stimulus_id.split("/")
        return Image.open(io.BytesIO(self._pictures(session)[name]))


def _group(session: str, name: str) -> str | None:
    """The first picture of which this one is a version; None for one that stands alone."""
    number = int("".join(filter(str.isdigit, name)) or 0)
    for first, run in _VERSIONS.get(session, {}).items():
        if first <= number < first + 3 * run:
            return f"{session}/{first + (number - first) % run}"
    return next((near[0] for near in _NEAR if f"{session}/{name}" in near), None)
