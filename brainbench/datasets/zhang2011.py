"""Spike counts of macaque IT to seven objects at three places, over time (Zhang et al., 2011)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from brainbench.core.arrays import responses_array
from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets import _fetch
from brainbench.datasets._rda import data_frame
from brainbench.datasets._sessions import chosen
from brainbench.errors import InputError, listed

BIN_MS = 150
STARTS_MS = tuple(range(-500, 351, 50))  # of the bins, from the onset of the object; upstream's, 18 in all
_PATH = "inst/extdata/ZD_150bins_50sampled.Rda"
_TIMES = [f"time.{start}_{start + BIN_MS}" for start in STARTS_MS]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """The release, a row a trial of one unit: `labels` (session, unit, stimulus, trial) and `counts` (row, time)."""

    labels: pd.DataFrame
    counts: np.ndarray


class Zhang2011:
    """Spike counts of 132 IT units of one monkey to 7 objects at 3 places, 20 trials each, in 18 bins of time.

    A trial is 500 ms of fixation and 500 ms of one object. Bins are 150 ms wide and start every 50 ms from -500 ms,
    so neighbouring bins share two thirds of their spikes; upstream released nothing finer in this file. Units belong
    to 21 sessions of 4 to 11 units; all units of a session have the same sequence of stimuli and share their trials
    (noise of two units of a session correlates by 0.12 to 0.23, and by 0.00 when one's trials are shuffled within
    stimuli), so a presentation is a trial of a session. **The release holds no pictures.**
    """

    spec = DatasetSpec(
        id="zhang2011",
        version=1,
        title="Macaque IT spike counts over time to seven objects at three places",
        species="macaque",
        modality="single units",
        measures=("responses",),
        subjects=("monkey",),
        regions=("IT",),
        unit="spikes in 150 ms",
        citation="Zhang Y, Meyers EM, Bichot NP, Serre T, Poggio TA, Desimone R (2011). Object decoding with attention "
        "in inferior temporal cortex. PNAS 108, 8850-8855.",
        licence="GPL-3.0",
        url="https://github.com/emeyers/NeuroDecodeR",
    )

    def __init__(self, root: Path):
        self.root = root

    def stimuli(self) -> StimulusSet:
        """The 21 stimuli "<object>_<position>", with `category` (the object), `position` and `group`; no pictures.

        Each category has one object, which is the `group` too: at "upper", "middle" and "lower" it is the same picture.
        `sha256` is missing everywhere. Raises AccessError or InputError where the file is missing or not the right one.
        """
        shown = sorted(self._rows.labels["stimulus"].unique())
        category, position = zip(*(name.split("_") for name in shown))
        table = pd.DataFrame(
            {"sha256": None, "category": category, "position": position, "group": category},
            index=pd.Index(shown, name="stimulus_id", dtype=object),
            dtype=object,
        )
        return StimulusSet(name=self.spec.id, table=table)

    def responses(
        self, subject: str, *, regions: tuple[str, ...] | None = None, sessions: tuple[str, ...] | None = None
    ) -> xr.DataArray:
        """Spike counts (presentation, neuroid, time), a presentation a trial, NaN outside each unit's own session.

        `time_s` is the middle of a bin, in seconds after onset: -0.425 is [-500, -350) ms. Neuroids are named
        "<session>-<electrode><unit>". Raises UnknownNameError for a subject, region or session that does not exist.
        """
        chosen("subject of zhang2011", (subject,), self.spec.subjects)
        chosen("region of zhang2011", regions, self.spec.regions)
        labels = self._rows.labels
        names = chosen("session of zhang2011", sessions, tuple(labels["session"].unique()))
        rows = labels["session"].isin(names).to_numpy()
        labels = labels[rows]
        trial = pd.MultiIndex.from_frame(labels[["session", "trial"]])
        presentation, _ = pd.factorize(trial)
        neuroid, neuroids = pd.factorize(labels["unit"])
        first = labels[~trial.duplicated()]  # all units of a session have the same labels: `_rows` has seen to it
        values = np.full((len(first), len(neuroids), len(STARTS_MS)), np.nan, dtype=np.float32)
        values[presentation, neuroid] = self._rows.counts[rows]
        return responses_array(
            values,
            stimulus_id=first["stimulus"].tolist(),
            repetition=first.groupby(["session", "stimulus"]).cumcount().tolist(),
            session=first["session"].tolist(),
            neuroid_id=list(neuroids),
            region=["IT"] * len(neuroids),
            time_s=[(start + BIN_MS / 2) / 1000 for start in STARTS_MS],
        )

    @cached_property
    def _rows(self) -> _Rows:
        frame = data_frame(_fetch.read(self.root, self.spec.id, _PATH), "binned_data")
        times = [column for column in frame if column.startswith("time.")]
        if times != _TIMES:
            raise InputError(f"{_PATH} has the bins {listed(times)}, not {listed(_TIMES)}")
        counts = frame[_TIMES].to_numpy() * BIN_MS  # upstream's numbers are means over the milliseconds of a bin
        if not np.allclose(counts, np.rint(counts), rtol=0, atol=1e-9):
            raise InputError(f"{_PATH} holds numbers that are no counts of spikes in {BIN_MS} ms")
        session = frame["site_info.session_ID"].astype(int).astype(str)
        electrode = frame["site_info.recording_channel"].astype(int).map("{:02d}".format)
        labels = pd.DataFrame(
            {
                "session": session,
                "unit": session + "-" + electrode + frame["site_info.unit"],
                "stimulus": frame["labels.combined_ID_position"],
            }
        )
        labels["trial"] = labels.groupby("unit").cumcount()
        units = labels.groupby("session")["unit"].nunique()
        seen = labels.groupby(["session", "trial"])["stimulus"].agg(["size", "nunique"])
        torn = (seen["nunique"] > 1) | (
            seen["size"] != units.reindex(seen.index.get_level_values("session")).to_numpy()
        )
        if torn.any():
            raise InputError(f"units of session {seen.index[torn][0][0]} of {_PATH} were not shown the same trials")
        return _Rows(labels=labels, counts=np.rint(counts).astype(np.float32))
