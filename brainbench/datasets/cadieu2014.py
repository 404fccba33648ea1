"""Macaque V4 and IT to 1,960 rendered objects, averaged over 47 repeats (Cadieu et al., 2014), in the authors' archive.

Not read here. Known from public code that reads it: one zip with `NeuralData_{IT,V4}_{multi,single}units.mat` of
MATLAB 5, in each `features` (1960, sites) and `meta`, a matrix of characters whose rows are the path of the picture in
the archive, its category and ten numbers, 1 for training and 0 for test in the ten splits of the paper.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image

from brainbench.core.arrays import responses_array
from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets import _fetch
from brainbench.datasets._sessions import chosen
from brainbench.errors import InputError

_ARCHIVE = "PLoSCB2014_data_20141216.zip"
_FILES = {"V4": "V4_multiunits", "IT": "IT_multiunits", "V4-single": "V4_singleunits", "IT-single": "IT_singleunits"}


class Cadieu2014:
    """Mean responses of 128 V4 and 168 IT multi-unit sites, and of 40 single units each, to seven categories.

    All that was released are means over repeats of two animals' sites side by side: a stimulus is one presentation, of
    one subject, "monkeys", and nothing can be known of its noise. Regions "V4-single" and "IT-single" are single units.
    """

    spec = DatasetSpec(
        id="cadieu2014",
        version=1,
        title="Macaque V4 and IT to 1,960 rendered objects, means over repeats",
        species="macaque",
        modality="multi-electrode array",
        measures=("responses",),
        subjects=("monkeys",),
        regions=tuple(_FILES),
        unit="standard deviations of the spike count in 70-170 ms",
        citation="Cadieu CF, Hong H, Yamins DLK, Pinto N, Ardila D, Solomon EA, Majaj NJ, DiCarlo JJ (2014). Deep "
        "neural networks rival the representation of primate IT cortex for core visual object recognition. PLoS "
        "Computational Biology 10, e1003963.",
        licence="none stated",
        url="https://s3.amazonaws.com/cadieu-etal-ploscb2014/PLoSCB2014_data_20141216.zip",
    )

    def __init__(self, root: Path):
        self.root = root

    def stimuli(self) -> StimulusSet:
        """The pictures, by their path in the archive, with `category` and `stratum`, 8 degrees wide."""
        paths, categories, _ = self._content("IT")
        table = pd.DataFrame(
            {
                "sha256": [hashlib.sha256(self._bytes(path)).hexdigest() for path in paths],
                "category": categories,
                "stratum": categories,
            },
            index=pd.Index(paths, name="stimulus_id", dtype=object),
            dtype=object,
        )
        return StimulusSet(name=self.spec.id, table=table, open=self._open, size_deg=8.0)

    def responses(
        self, subject: str, *, regions: tuple[str, ...] | None = None, sessions: tuple[str, ...] | None = None
    ) -> xr.DataArray:
        """Mean responses (presentation, neuroid), a presentation a stimulus; there is one session, "mean".

        Raises UnknownNameError for a subject, region or session that does not exist, InputError for another archive.
        """
        chosen("subject of cadieu2014", (subject,), self.spec.subjects)
        wanted = chosen("region of cadieu2014", regions, self.spec.regions)
        chosen("session of cadieu2014", sessions, ("mean",))
        first = self._content("IT")[0]
        parts = []
        for region in wanted:
            paths, _, values = self._content(region)
            if sorted(paths) != sorted(first):
                raise InputError(f"{_FILES[region]} of {_ARCHIVE} is about other pictures than {_FILES['IT']}")
            parts.append(values[pd.Index(paths).get_indexer(pd.Index(first))])
        counts = {region: part.shape[1] for region, part in zip(wanted, parts)}
        return responses_array(
            np.concatenate(parts, axis=1),
            stimulus_id=first,
            repetition=[0] * len(first),
            session=["mean"] * len(first),
            neuroid_id=[f"{region}-{n:03d}" for region, count in counts.items() for n in range(count)],
            region=[region for region, count in counts.items() for _ in range(count)],
        )

    def _content(self, region: str) -> tuple[list[str], list[str], np.ndarray]:
        """Pictures, their categories, and responses (stimulus, site)."""
        if region not in self._contents:
            self._contents[region] = self._read(region)
        return self._contents[region]

    @cached_property
    def _contents(self) -> dict[str, tuple[list[str], list[str], np.ndarray]]:
        return {}

    def _read(self, region: str) -> tuple[list[str], list[str], np.ndarray]:
        from scipy.io import loadmat

        name = f"NeuralData_{_FILES[region]}.mat"
        try:
            content = loadmat(io.BytesIO(self._bytes(name)), variable_names=["features", "meta"])
            values, meta = np.asarray(content["features"], dtype=np.float32), np.ravel(content["meta"])
        except (ValueError, TypeError, KeyError, NotImplementedError) as error:
            raise InputError(f"{name} of {_ARCHIVE} is not as published: {type(error).__name__}: {error}") from None
        rows = [str(row).split() for row in meta]
        if values.ndim != 2 or len(rows) != len(values) or any(len(row) != 12 for row in rows):
            raise InputError(f"{name} of {_ARCHIVE} has {values.shape} features, {len(rows)} rows about pictures")
        return [row[0] for row in rows], [row[1] for row in rows], values

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        """Open as long as this is: its list of files is long, and every picture is asked for."""
        try:
            return zipfile.ZipFile(_fetch.verified(self.root, self.spec.id, _ARCHIVE))
        except zipfile.BadZipFile as error:
            raise InputError(f"{self.root / _ARCHIVE} is no whole zip archive: {error}. Get it anew.") from None

    @cached_property
    def _names(self) -> dict[str, str]:
        """Files of the archive: path below its folders' common top -> name in it."""
        names = [name for name in self._archive.namelist() if not name.startswith("__MACOSX")]
        mark = "NeuralData_IT_multiunits.mat"
        top = next((name.removesuffix(mark) for name in names if name.endswith(mark)), "")
        return {name.removeprefix(top): name for name in names}

    def _bytes(self, path: str) -> bytes:
        if path not in self._names:
            raise InputError(f"{_ARCHIVE} holds no {path!r}")
        return self._archive.read(self._names[path])

    def _open(self, stimulus_id: str) -> Image.Image:
        return Image.open(io.BytesIO(self._bytes(stimulus_id)))
