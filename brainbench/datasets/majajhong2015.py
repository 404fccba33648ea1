"""Macaque V4 and IT multi-unit sites to 3,200 rendered objects (Majaj, Hong, Solomon & DiCarlo, 2015; public part).

The files are those that Brain-Score distributes, and the sha1 of each is the one it publishes. None was read here:
names of labels and of the pictures' table are known from Brain-Score's and BrainIO's code and from code that reads the
files, as are 256 sites and 148,480 presentations of variations 0 and 3 in one bin of 70 to 170 ms.
"""

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

from brainbench.core.arrays import responses_array
from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets import _fetch, _netcdf
from brainbench.datasets._sessions import chosen
from brainbench.errors import InputError, listed

_ASSEMBLY = "assy_dicarlo_MajajHong2015_public.nc"
_TABLE, _PICTURES = "image_dicarlo_hvm-public.csv", "image_dicarlo_hvm-public.zip"


class MajajHong2015:
    """Normalized spike counts of 70-170 ms of 88 V4 and 168 IT sites in two animals to 64 objects on backgrounds.

    Brain-Score's public part: pictures without variation (0) and with medium variation (3) of place, size and pose. A
    count has that of the blank screen taken off and is divided by the site's standard deviation, as upstream did.
    Trials of different sites are not known to be simultaneous. `stratum` is the category.
    """

    spec = DatasetSpec(
        id="majajhong2015",
        version=1,
        title="Macaque V4 and IT multi-unit sites to rendered objects, public part",
        species="macaque",
        modality="multi-electrode array",
        measures=("responses",),
        subjects=("Chabo", "Tito"),
        regions=("V4", "IT"),
        unit="standard deviations of the spike count in 70-170 ms",
        citation="Majaj NJ, Hong H, Solomon EA, DiCarlo JJ (2015). Simple learned weighted sums of inferior temporal "
        "neuronal firing rates accurately predict human core object recognition performance. Journal of Neuroscience "
        "35, 13402-13418.",
        licence="none stated",
        url="https://github.com/brain-score/vision",
    )

    def __init__(self, root: Path):
        self.root = root

    def stimuli(self) -> StimulusSet:
        """All pictures, by upstream's id, with `category`, `stratum`, `object` and `variation`, 8 degrees wide.

        Raises AccessError or InputError where a file is missing or not the right one.
        """
        return StimulusSet(name=self.spec.id, table=self._table.copy(), open=self._open, size_deg=8.0)

    def responses(
        self, subject: str, *, regions: tuple[str, ...] | None = None, sessions: tuple[str, ...] | None = None
    ) -> xr.DataArray:
        """Normalized counts (presentation, neuroid) of one animal; there is one session, "all".

        Presentations in which none of the animal's sites has a number are another animal's and are left out. Raises
        UnknownNameError for a subject, region or session that does not exist.
        """
        chosen("subject of majajhong2015", (subject,), self.spec.subjects)
        wanted = chosen("region of majajhong2015", regions, self.spec.regions)
        chosen("session of majajhong2015", sessions, ("all",))
        full = _fetch.verified(self.root, self.spec.id, _ASSEMBLY)
        found = _netcdf.assembly(full, neuroids={"animal": subject})
        values = found.values
        if values.ndim == 3:
            if values.shape[2] != 1:
                raise InputError(f"{full} has {values.shape[2]} bins of time, not the one of 70-170 ms")
            values = values[:, :, 0]
        there = np.isfinite(values).any(axis=1)
        ids = found.label("presentation", "image_id", "stimulus_id")[there].astype(str)
        region = found.label("neuroid", "region").astype(str)
        columns = np.isin(region, wanted)
        return responses_array(
            values[there][:, columns],
            stimulus_id=ids.tolist(),
            repetition=pd.Series(ids).groupby(ids).cumcount().tolist(),
            session=["all"] * len(ids),
            neuroid_id=found.label("neuroid", "neuroid_id").astype(str)[columns].tolist(),
            region=region[columns].tolist(),
        )

    @cached_property
    def _table(self) -> pd.DataFrame:
        path = _fetch.verified(self.root, self.spec.id, _TABLE)
        upstream = pd.read_csv(path)
        names = {"id": ("image_id", "stimulus_id"), "file": ("filename", "image_file_name")}
        at = {what: next((name for name in known if name in upstream), "") for what, known in names.items()}
        lacking = [what for what in ("category_name", "object_name", "variation") if what not in upstream]
        if lacking or not all(at.values()):
            raise InputError(f"{path} is not the table of the pictures: it has the columns {listed(upstream)}")
        files = upstream[at["file"]].map(lambda name: PurePosixPath(name).name)
        if unknown := sorted(set(files) - set(self._names)):
            raise InputError(f"{_PICTURES} lacks {len(unknown)} pictures of the table: {listed(unknown)}")
        category = upstream["category_name"].to_numpy(dtype=object)
        return pd.DataFrame(
            {
                "sha256": [hashlib.sha256(self._bytes(name)).hexdigest() for name in files],
                "category": category,
                "stratum": category,
                "object": upstream["object_name"].to_numpy(dtype=object),
                "variation": upstream["variation"].to_numpy(dtype=np.int64),
                "file": files.to_numpy(dtype=object),
            },
            index=pd.Index(upstream[at["id"]].astype(str), name="stimulus_id", dtype=object),
        )

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        """Open as long as this is: its list of files is long, and every picture is asked for."""
        try:
            return zipfile.ZipFile(_fetch.verified(self.root, self.spec.id, _PICTURES))
        except zipfile.BadZipFile as error:
            raise InputError(f"{self.root / _PICTURES} is no whole zip archive: {error}. Get it anew.") from None

    @cached_property
    def _names(self) -> dict[str, str]:
        """The pictures of the archive: name without folders -> name in it."""
        return {PurePosixPath(name).name: name for name in self._archive.namelist() if not name.endswith("/")}

    def _bytes(self, name: str) -> bytes:
        return self._archive.read(self._names[name])

    def _open(self, stimulus_id: str) -> Image.Image:
        return Image.open(io.BytesIO(self._bytes(self._table.at[stimulus_id, "file"])))
