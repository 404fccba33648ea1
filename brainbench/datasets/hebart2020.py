"""Judged similarity of 48 objects, and 66 dimensions of 1854 (Hebart, Zheng, Pereira & Baker, 2020)."""

from __future__ import annotations

import io
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.io
import xarray as xr

from brainbench.core.arrays import rdms_array
from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets import _fetch
from brainbench.datasets._sessions import chosen
from brainbench.errors import InputError

_EMBEDDING = "data/spose_embedding66d_rescaled.csv"
_ORDER = "data/spose_embedding66d_rescaled_48val_reordered.csv"
_MEASURED = "data/RDM48_triplet.mat"
_LABELS = "data/labels66.txt"


class Hebart2020:
    """The RDM of 48 THINGS objects from odd-one-out choices of many people taken together, and an embedding.

    An entry of the RDM is the share of triplets with both objects in which they were not the pair that was kept
    together: 2/3 on average, as by chance. Upstream names no rows: they are in the order of the file
    "48val_reordered" (in which the embedding's dot products correlate with the RDM by -0.88, in others by nothing).
    The single choices are not in the release, and **neither are the pictures**: stimuli are their file names in THINGS.
    """

    spec = DatasetSpec(
        id="hebart2020",
        version=1,
        title="THINGS objects: dissimilarities of 48 in human odd-one-out choices",
        species="human",
        modality="behaviour",
        measures=("rdms",),
        subjects=("pooled",),
        regions=("judges",),
        unit="share of triplets in which the pair was not kept together",
        citation="Hebart MN, Zheng CY, Pereira F, Baker CI (2020). Revealing the multidimensional mental "
        "representations of natural objects underlying human similarity judgements. Nature Human Behaviour 4, "
        "1173-1185.",
        licence="MIT",
        url="https://github.com/marrenj/cvpr_perturbations",
    )

    def __init__(self, root: Path):
        self.root = root

    def stimuli(self) -> StimulusSet:
        """The 1854 objects, such as "aardvark_01b", one a `concept` ("aardvark"); no pictures, `sha256` is missing.

        Only the 48 that `rdms` holds have a measured RDM. Raises AccessError or InputError where the file is missing or
        not the right one.
        """
        ids = list(self._embedding.index)
        table = pd.DataFrame(
            {"sha256": None, "concept": [name.rpartition("_")[0] for name in ids]},
            index=pd.Index(ids, name="stimulus_id", dtype=object),
            dtype=object,
        )
        return StimulusSet(name=self.spec.id, table=table)

    def rdms(self, region: str) -> xr.DataArray:
        """The one RDM (1, 1, 48, 48) of "judges", everybody's choices taken together.

        Raises UnknownNameError for another region, InputError where the file holds no RDM of 48 objects.
        """
        chosen("region of hebart2020", (region,), self.spec.regions)
        content = _fetch.read(self.root, self.spec.id, _MEASURED)
        measured = scipy.io.loadmat(io.BytesIO(content))["RDM48_triplet"]
        ids = list(self._read(_ORDER).index)
        if measured.shape != (len(ids), len(ids)):
            raise InputError(f"{_MEASURED} is of shape {measured.shape}, but {_ORDER} names {len(ids)} objects")
        return rdms_array(measured[None, None], subject=self.spec.subjects, session=("1",), stimulus_id=ids)

    def embedding(self) -> pd.DataFrame:
        """The sparse non-negative dimensions (stimulus_id, dimension) fitted to people's choices, columns by label.

        It is a model of behaviour, not a measurement, and no part of what benchmarks score. Upstream scaled all
        numbers by one factor, to a maximum of 100. There are 66 dimensions, as of the later fit to 4.7 million triplets
        (Hebart, Contier, Teichmann et al., 2023, eLife 12, e82580); the paper of 2020 has 49.
        """
        return self._embedding.copy()

    @cached_property
    def _embedding(self) -> pd.DataFrame:
        labels = _fetch.read(self.root, self.spec.id, _LABELS).decode("utf-8").splitlines()
        embedding = self._read(_EMBEDDING)
        if embedding.shape[1] != len(labels):
            raise InputError(f"{_EMBEDDING} has {embedding.shape[1]} dimensions, but {_LABELS} names {len(labels)}")
        return embedding.set_axis(labels, axis="columns")

    def _read(self, path: str) -> pd.DataFrame:
        """A table of dimensions by object; upstream's first column is the row in the table of all objects."""
        content = io.BytesIO(_fetch.read(self.root, self.spec.id, path))
        table = pd.read_csv(content, index_col="image_name").drop(columns="Unnamed: 0").astype(np.float64)
        ids = [name.removesuffix(".jpg") for name in table.index]
        return table.set_axis(pd.Index(ids, name="stimulus_id", dtype=object), axis="index")
