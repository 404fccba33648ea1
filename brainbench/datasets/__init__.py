"""Recordings: one a file, named author and year."""

from __future__ import annotations

from pathlib import Path

from brainbench.core.protocols import Dataset
from brainbench.core.registry import Registry
from brainbench.datasets import _fetch, _terms
from brainbench.datasets._fetch import read, verified
from brainbench.errors import AccessError

__all__ = ["DATASETS", "content", "load", "present", "read", "verified"]

DATASETS = Registry(
    kind="dataset",
    own={
        "algonauts2023": "brainbench.datasets.algonauts2023:Algonauts2023",
        "allen2021": "brainbench.datasets.allen2021:Allen2021",
        "allen2021_fsaverage": "brainbench.datasets.allen2021:Allen2021Fsaverage",
        "cadieu2014": "brainbench.datasets.cadieu2014:Cadieu2014",
        "chang2019": "brainbench.datasets.chang2019:Chang2019",
        "cowley2023": "brainbench.datasets.cowley2023:Cowley2023",
        "devries2020": "brainbench.datasets.devries2020:DeVries2020",
        "freemanziemba2013": "brainbench.datasets.freemanziemba2013:FreemanZiemba2013",
        "geirhos2019": "brainbench.datasets.geirhos2019:Geirhos2019",
        "haxby2001": "brainbench.datasets.haxby2001:Haxby2001",
        "haxby2001_nilearn": "brainbench.datasets.haxby2001:Haxby2001Nilearn",
        "hebart2020": "brainbench.datasets.hebart2020:Hebart2020",
        "hebart2023_fmri": "brainbench.datasets.hebart2023_fmri:Hebart2023Fmri",
        "hebart2023_meg": "brainbench.datasets.hebart2023_meg:Hebart2023Meg",
        "henaff2021": "brainbench.datasets.henaff2021:Henaff2021",
        "insilico": "brainbench.datasets.insilico:Insilico",
        "insilico_meg": "brainbench.datasets.insilico:InsilicoMeg",
        "kriegeskorte2008": "brainbench.datasets.kriegeskorte2008:Kriegeskorte2008",
        "majajhong2015": "brainbench.datasets.majajhong2015:MajajHong2015",
        "stringer2019": "brainbench.datasets.stringer2019:Stringer2019",
        "zhang2011": "brainbench.datasets.zhang2011:Zhang2011",
    },
    group="brainbench.datasets",
)


def load(name: str, roots: dict[str, Path] | None = None) -> Dataset:
    """The dataset `name`, read from its folder on this machine.

    `roots` maps dataset ids to folders and goes before the environment. Raises UnknownNameError for a name that is
    not registered, and AccessError where files are missing, saying where it looked and how to get them, and where terms
    have to be accepted first, saying how.
    """
    kind = DATASETS[name]
    if not _fetch.has_manifest(name):
        made: Dataset = kind()
        return made
    folder = _fetch.root(name, roots or {})
    _terms.demand(_fetch.manifest(name))
    recorded: Dataset = kind(folder)
    return recorded


def content(name: str) -> str:
    """What stands for a dataset's content: the hash over its files' hashes, or its version where code makes it."""
    return _fetch.manifest(name).digest if _fetch.has_manifest(name) else f"made:{DATASETS[name].spec.version}"


def present(name: str, roots: dict[str, Path]) -> str:
    """Empty where the dataset's files are on this machine, else what is missing and how to get it."""
    if not _fetch.has_manifest(name):
        return ""
    try:
        _fetch.root(name, roots)
    except AccessError as error:
        return str(error)
    return ""
