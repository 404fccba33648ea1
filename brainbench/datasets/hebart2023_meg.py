"""THINGS-MEG: magnetic fields of four people over time, 22,448 pictures of 1,854 objects (Hebart et al., 2023).

Not read here. Known from the authors' preprocessing script, which writes the files: `preprocessed_PN-epo.fif`, split
by mne into files of less than 2 GB, epochs of -100 to 1300 ms at 200 Hz of 271 CTF sensors, each a z-score of its
baseline, with a table of the trials: `trial_type` ("exp", "test" or "catch"), `session_nr`, `image_path`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from brainbench.core.arrays import responses_array
from brainbench.core.mapped import release, room
from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets import _fetch, _things
from brainbench.datasets._sessions import chosen
from brainbench.errors import InputError, UsageError, listed

# the third letter of a CTF sensor's name
SENSORS = {"occipital": "O", "temporal": "T", "parietal": "P", "frontal": "F", "central": "C"}
_AT_A_TIME = 500  # epochs of all sensors, 300 MB


class Hebart2023Meg:
    """Epochs of four people over time, 12 sessions: 22,248 pictures once ("train"), 200 in every session ("test").

    Regions are the groups of sensors over a lobe. Nothing is normalized here: noise differs between sensors, and what
    is done about it belongs inside the training stimuli. Catch trials, pictures of no object that were answered by a
    button, are left out. Pictures belong to THINGS and are used where its folder `object_images` lies beside.
    """

    spec = DatasetSpec(
        id="hebart2023_meg",
        version=1,
        title="THINGS-MEG: four people, 22,448 pictures of 1,854 objects, over time",
        species="human",
        modality="MEG",
        measures=("responses",),
        subjects=("P1", "P2", "P3", "P4"),
        regions=tuple(SENSORS),
        unit="standard deviations of the baseline",
        citation="Hebart MN, Contier O, Teichmann L, Rockter AH, Zheng CY, Kidder A, Corriveau A, Vaziri-Pashkam M, "
        "Baker CI (2023). THINGS-data, a multimodal collection of large-scale datasets for investigating object "
        "representations in human brain and behavior. eLife 12, e82580.",
        licence="see the release's page",
        url="https://openneuro.org/datasets/ds004212",
    )

    def __init__(self, root: Path):
        self.root = root

    def stimuli(self) -> StimulusSet:
        """What was shown to the subjects whose epochs are here, with `concept`, `group` and `kind`.

        Raises AccessError where no subject's epochs are here, InputError for a file that is not as published.
        """
        here = [subject for subject in self.spec.subjects if (self.root / _path(subject)).exists()]
        tables = [self._trials(subject, self._epochs(subject)) for subject in here or self.spec.subjects]
        return _things.stimulus_set(
            self.root, self.spec.id, {pair for table in tables for pair in zip(table["name"], table["kind"])}
        )

    def responses(
        self, subject: str, *, regions: tuple[str, ...] | None = None, sessions: tuple[str, ...] | None = None
    ) -> xr.DataArray:
        """Fields (presentation, neuroid, time), a sensor a neuroid, read 500 epochs at a time.

        `time_s` is from onset. All of a subject is 8 GB, the occipital sensors a seventh of it, one session of them 100
        MB; what is large lies in a temporary file (see `core.mapped`). Raises UnknownNameError for a subject, region or
        session that does not exist, UsageError without mne.
        """
        chosen("subject of hebart2023_meg", (subject,), self.spec.subjects)
        wanted = chosen("region of hebart2023_meg", regions, self.spec.regions)
        epochs = self._epochs(subject)
        trials = self._trials(subject, epochs)
        known = tuple(sorted(set(trials["session"])))
        names = chosen(f"session of {subject} in hebart2023_meg", sessions, known)
        trials = trials[trials["session"].isin(names)]
        of = {letter: region for region, letter in SENSORS.items()}
        sensors = [(name, of.get(name[2:3], "")) for name in epochs.ch_names]
        sensors = [(name, region) for wish in wanted for name, region in sensors if region == wish]
        if not sensors:
            raise InputError(f"{_path(subject)} has no sensor over {listed(wanted)}: {listed(epochs.ch_names)}")
        values = room((len(trials), len(sensors), len(epochs.times)), axis=1)
        rows = trials["row"].to_numpy()
        for start in range(0, len(rows), _AT_A_TIME):
            some = slice(start, start + _AT_A_TIME)
            values[some] = self._read(subject, epochs, rows[some], [name for name, _ in sensors])
            release(values)
        return responses_array(
            values,
            stimulus_id=trials["name"].tolist(),
            repetition=trials.groupby(["session", "name"]).cumcount().tolist(),
            session=trials["session"].tolist(),
            neuroid_id=[name for name, _ in sensors],
            region=[region for _, region in sensors],
            time_s=np.round(epochs.times, 6).tolist(),
        )

    def _epochs(self, subject: str) -> Any:
        """The epochs of a subject, their numbers still in the files."""
        full = _fetch.verified(self.root, self.spec.id, _path(subject))
        try:
            import mne
        except ImportError:
            raise UsageError(
                "hebart2023_meg is read with mne: pip install -c constraints-cpu.txt 'brainbench[meg]'"
            ) from None
        try:
            with _quiet():
                return mne.read_epochs(full, preload=False, verbose="error")
        except Exception as error:  # mne raises whatever its parsing meets
            raise InputError(f"{full} cannot be read: {type(error).__name__}: {error}. Get it anew.") from None

    def _read(self, subject: str, epochs: Any, rows: np.ndarray, sensors: list[str]) -> np.ndarray:
        try:
            with _quiet():
                return np.asarray(epochs[rows].get_data(picks=sensors, verbose="error"), dtype=np.float32)
        except Exception as error:
            raise InputError(f"{_path(subject)} breaks while it is read: {type(error).__name__}: {error}") from None

    def _trials(self, subject: str, epochs: Any) -> pd.DataFrame:
        """A row an epoch that showed an object: its `row` in the file, `name`, `kind` and `session`."""
        table = epochs.metadata
        needed = ("trial_type", "session_nr", "image_path")
        if table is None or any(name not in table for name in needed):
            raise InputError(f"{_path(subject)} has no table of trials with {listed(needed)}")
        known = {"exp": "train", "train": "train", "test": "test"}
        trials = pd.DataFrame(
            {
                "row": np.arange(len(table)),
                "name": [PurePosixPath(str(path)).stem for path in table["image_path"]],
                "kind": table["trial_type"].map(known).to_numpy(),
                "session": [f"session{int(number):02d}" for number in table["session_nr"]],
            }
        )
        return trials[trials["kind"].notna()]


@contextmanager
def _quiet() -> Iterator[None]:
    """mne asks pandas for what pandas is going to drop: nothing that who scores a recording could mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _path(subject: str) -> str:
    return f"derivatives/preprocessed/preprocessed_{subject}-epo.fif"
