"""Macaque V1 spike counts to frames of movies (Hénaff, Bai, Charlton, Nauhaus, Simoncelli & Goris, 2021)."""

from __future__ import annotations

import io
import re
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image

from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets import _fetch
from brainbench.datasets._sessions import Session, chosen, side_by_side
from brainbench.errors import InputError

_RECORDINGS = (
    "ay2_u003",
    "ay2_u007",
    "ay3_u001",
    "ay3_u002",
    "ay4_u001",
    "ay4_u005",
    "ay4_u006",
    "ay5_u002",
    "ay5_u005",
)
_MOVIES = (  # movie 1 to 10: pictures lie under numbers, recordings name titles
    "chironomus",
    "bees",
    "dogville",
    "egomotion",
    "prairie1",
    "carnegiedam",
    "walking",
    "smile",
    "water",
    "leaveswind",
)
_PICTURES = "images/acute/stimulus_fullfield"
_PICTURE = re.compile(r"stimSelected-(zoom[12]x)/movie(\d+)([a-z0-9-]*)/(natural|synthetic|contrast)(\d\d)\.png$")


class Henaff2021:
    """Spike counts in 200 ms of 360 V1 units of four anaesthetized animals to 440 movie frames, 512 x 512 pixels.

    Ten movies at two zooms have 11 natural frames and 9 synthetic ones between the first and last of these; four
    movies have 10 frames of rising contrast at one zoom, faded versions of natural frame 1. Upstream repeats the
    responses to natural end frames in slots 1 and 11 of the synthetic sequences and, of frame 11, in slot 11 of the
    contrast sequences; these are no presentations of their own and are left out. Each of the nine recordings is a
    session with its own units. Units have NaN in repetitions in which they were not held: 24 to 60 are left.
    """

    spec = DatasetSpec(
        id="henaff2021",
        version=1,
        title="Macaque V1 spike counts to frames of natural, synthetic and contrast-faded movies",
        species="macaque",
        modality="multi-electrode array",
        measures=("responses",),
        subjects=("ay2", "ay3", "ay4", "ay5"),
        regions=("V1",),
        unit="spikes in 200 ms",
        citation="Hénaff OJ, Bai Y, Charlton JA, Nauhaus I, Simoncelli EP, Goris RLT (2021). Primary visual cortex "
        "straightens natural video trajectories. Nature Communications 12, 5982.",
        licence="none stated",
        url="https://github.com/olivierhenaff/neural-straightening",
    )

    def __init__(self, root: Path):
        self.root = root

    def stimuli(self) -> StimulusSet:
        """The 440 frames, such as "zoom1x/movie01chironomus/natural01", with `group`, `zoom`, `kind` and `frame`.

        `group` is the movie at both zooms: its frames are near-duplicates of each other, so whole movies are held
        out. Nothing is read before a picture is asked for: `sha256` is the manifest's, and holds for what is opened.
        """
        rows = []
        for file in _fetch.manifest(self.spec.id).files:
            if file.group == "images":
                zoom, movie, kind, frame = _parsed(file.path)
                rows.append((_stimulus_id(file.path), file.sha256, _title(movie), zoom, kind, frame))
        columns = ["stimulus_id", "sha256", "group", "zoom", "kind", "frame"]
        table = pd.DataFrame(rows, columns=columns).set_index("stimulus_id").sort_index()
        return StimulusSet(name=self.spec.id, table=table, open=self._open)

    def responses(
        self, subject: str, *, regions: tuple[str, ...] | None = None, sessions: tuple[str, ...] | None = None
    ) -> xr.DataArray:
        """Spike counts (presentation, neuroid) of one animal, NaN where a unit was not recorded.

        Raises UnknownNameError for a subject, region or session of that subject that does not exist.
        """
        chosen("subject of henaff2021", (subject,), self.spec.subjects)
        chosen("region of henaff2021", regions, self.spec.regions)
        own = [name for name in _RECORDINGS if name.startswith(f"{subject}_")]
        names = chosen(f"session of {subject} in henaff2021", sessions, own)
        return side_by_side([self._session(name) for name in names], region="V1")

    def _session(self, name: str) -> Session:
        path = f"V1_responses/{name}_image_sequences.mat"
        with h5py.File(_fetch.verified(self.root, self.spec.id, path), "r") as file:
            recording = file["naturalStruct"]
            # MATLAB's axes come out reversed: (repetition, unit, frame, movie, kind, zoom)
            counts = recording["sortedResponses"][()].astype(np.float32)
            shown = recording["stimulusStruct"]
            zooms, kinds = _texts(file, shown["scales"]), _texts(file, shown["categories"])
            frames = {}  # stimulus id -> its place on the last four axes, by the picture's path, not by its rank
            for sequence in (movie for scale in zooms for kind in shown[scale].values() for movie in kind.values()):
                for picture in _texts(file, sequence["file_paths"]):
                    zoom, movie, kind, frame = _parsed(picture)
                    frames[_stimulus_id(picture)] = (frame - 1, movie - 1, kinds.index(kind), zooms.index(zoom))
        ids = np.array(list(frames), dtype=object)
        counts = counts[:, :, *np.array(list(frames.values())).T].transpose(2, 0, 1)  # (stimulus, repetition, unit)
        stimulus, repetition = np.nonzero(~np.isnan(counts).all(axis=2))
        return Session(name=name, values=counts[stimulus, repetition], stimulus_id=ids[stimulus], repetition=repetition)

    def _open(self, stimulus_id: str) -> Image.Image:
        zoom, movie, picture = stimulus_id.split("/")
        path = f"{_PICTURES}/stimSelected-{zoom}/movie{int(movie[5:7])}/{picture}.png"
        return Image.open(io.BytesIO(_fetch.read(self.root, self.spec.id, path)))


def _parsed(path: str) -> tuple[str, int, str, int]:
    """Zoom, number of the movie, kind and number of the frame, from upstream's path of a picture."""
    match = _PICTURE.search(path)
    if not match or not 1 <= int(match[2]) <= len(_MOVIES):
        raise InputError(f"{path!r} names no frame of henaff2021; stimSelected-zoom1x/movie1/natural01.png would")
    if match[3] and match[3].replace("-", "") != _MOVIES[int(match[2]) - 1]:
        raise InputError(f"{path!r} names movie {match[2]} other than {_MOVIES[int(match[2]) - 1]!r}")
    return match[1], int(match[2]), match[4], int(match[5])


def _stimulus_id(path: str) -> str:
    zoom, movie, kind, frame = _parsed(path)
    return f"{zoom}/{_title(movie)}/{kind}{frame:02d}"


def _title(movie: int) -> str:
    return f"movie{movie:02d}{_MOVIES[movie - 1]}"


def _texts(file: h5py.File, references: h5py.Dataset) -> list[str]:
    """MATLAB's cell array of character arrays, each an array of code units somewhere else in the file."""
    return ["".join(map(chr, file[reference][()].ravel())) for reference in references[()].ravel()]
