"""Macaque V1 and V2 to textures and their spectrally matched noise, over time (Freeman, Ziemba et al., 2013).

Not read here. Known from the code with which Brain-Score packaged the authors' own files:
`FreemanZiemba2013_V1V2data.mat` is HDF5 with `v1` and `v2` (cell, 1 ms bin, repetition, sample, type, family), 300
bins, 20 repetitions, 15 samples, the types noise and texture, and 15 families in the order below; pictures are
`stim/{noise,tex}-320x320-im<family>-smp<n>.png`.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image

from brainbench.core.arrays import responses_array
from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets import _fetch, _hdf5
from brainbench.datasets._sessions import chosen
from brainbench.errors import InputError

FAMILIES = (327, 336, 393, 402, 13, 18, 23, 30, 38, 48, 52, 56, 60, 71, 99)  # in the order of the file
_TYPES = ("noise", "tex")
BIN_MS = 10
_FILE = "data/FreemanZiemba2013_V1V2data.mat"


class FreemanZiemba2013:
    """Spike counts of single units of V1 and V2, 20 trials of 450 pictures, in 30 bins of 10 ms from onset.

    Upstream's bins of 1 ms are summed by tens, or one area would be a gigabyte. Units were recorded one at a time, so
    trial order across units means nothing; they are one subject, "monkeys". `group` is a texture family with its noise.
    """

    spec = DatasetSpec(
        id="freemanziemba2013",
        version=1,
        title="Macaque V1 and V2 single units to textures and matched noise, over time",
        species="macaque",
        modality="single units",
        measures=("responses",),
        subjects=("monkeys",),
        regions=("V1", "V2"),
        unit=f"spikes in {BIN_MS} ms",
        citation="Freeman J, Ziemba CM, Heeger DJ, Simoncelli EP, Movshon JA (2013). A functional and perceptual "
        "signature of the second visual area in primates. Nature Neuroscience 16, 974-981.",
        licence="none stated",
        url="https://github.com/brain-score/vision",
    )

    def __init__(self, root: Path):
        self.root = root

    def stimuli(self) -> StimulusSet:
        """The pictures "noise-im13-smp1" to "tex-im402-smp15", with `category` (the type), `family` and `group`.

        4 degrees wide. Raises AccessError or InputError where a picture is missing or not the right one.
        """
        rows = []
        for name, kind, family in _shown(self._n_samples):
            digest = hashlib.sha256(self._bytes(name)).hexdigest()
            rows.append((name, digest, "texture" if kind == "tex" else "noise", str(family), f"im{family}"))
        columns = ["stimulus_id", "sha256", "category", "family", "group"]
        table = pd.DataFrame(rows, columns=columns, dtype=object).set_index("stimulus_id")
        return StimulusSet(name=self.spec.id, table=table, open=self._open, size_deg=4.0)

    def responses(
        self, subject: str, *, regions: tuple[str, ...] | None = None, sessions: tuple[str, ...] | None = None
    ) -> xr.DataArray:
        """Spike counts (presentation, neuroid, time), unit by unit out of the file; there is one session, "all".

        `time_s` is the middle of a bin after onset. Raises UnknownNameError for a subject, region or session that does
        not exist.
        """
        chosen("subject of freemanziemba2013", (subject,), self.spec.subjects)
        wanted = chosen("region of freemanziemba2013", regions, self.spec.regions)
        chosen("session of freemanziemba2013", sessions, ("all",))
        with _hdf5.opened(_fetch.verified(self.root, self.spec.id, _FILE)) as file:
            stored = [_hdf5.array(file, region.lower(), ndim=6) for region in wanted]
            shape = stored[0].shape[1:]
            if any(part.shape[1:] != shape for part in stored) or shape[3:] != (2, len(FAMILIES)) or shape[0] % BIN_MS:
                raise InputError(f"{_FILE} has areas of shape {[part.shape for part in stored]}; bins, types, families")
            n_bins, n_repeats, n_samples = shape[0] // BIN_MS, shape[1], shape[2]
            n_pictures, counts = n_samples * 2 * len(FAMILIES), [len(part) for part in stored]
            values = np.empty((n_pictures * n_repeats, sum(counts), n_bins), dtype=np.float32)
            at = 0
            for part in stored:
                for unit in range(len(part)):
                    bins = np.asarray(part[unit], dtype=np.float32).reshape(n_bins, BIN_MS, *shape[1:]).sum(axis=1)
                    # (bin, repetition, sample, type, family) -> (type, family, sample, repetition, bin)
                    values[:, at] = bins.transpose(3, 4, 2, 1, 0).reshape(-1, n_bins)
                    at += 1
        names = [name for name, _, _ in _shown(n_samples)]
        return responses_array(
            values,
            stimulus_id=[name for name in names for _ in range(n_repeats)],
            repetition=list(range(n_repeats)) * n_pictures,
            session=["all"] * len(values),
            neuroid_id=[f"{region}-{n:03d}" for region, count in zip(wanted, counts) for n in range(count)],
            region=[region for region, count in zip(wanted, counts) for _ in range(count)],
            time_s=[(n + 0.5) * BIN_MS / 1000 for n in range(n_bins)],
        )

    @property
    def _n_samples(self) -> int:
        with _hdf5.opened(_fetch.verified(self.root, self.spec.id, _FILE)) as file:
            return int(_hdf5.array(file, "v1", ndim=6).shape[3])

    def _bytes(self, name: str) -> bytes:
        kind, family, sample = name.split("-")
        return _fetch.read(self.root, self.spec.id, f"stim/{kind}-320x320-{family}-{sample}.png")

    def _open(self, stimulus_id: str) -> Image.Image:
        return Image.open(io.BytesIO(self._bytes(stimulus_id)))


def _shown(n_samples: int) -> list[tuple[str, str, int]]:
    """Names, types and families of all pictures: type by type, family by family, sample by sample."""
    return [
        (f"{kind}-im{family}-smp{sample + 1}", kind, family)
        for kind in _TYPES
        for family in FAMILIES
        for sample in range(n_samples)
    ]
