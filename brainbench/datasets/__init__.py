"""Recordings: one a file, named author and year."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from brainbench.core.protocols import Dataset
from brainbench.core.registry import Registry
from brainbench.datasets import _fetch, _terms
from brainbench.datasets._fetch import NOT_AN_ID, holds_dataset, look_in, read, unpinned, verified
from brainbench.errors import AccessError, InputError, UnknownNameError, UsageError

__all__ = [
    "DATASETS",
    "NOT_AN_ID",
    "content",
    "declared_benchmarks",
    "holds_dataset",
    "is_declared",
    "load",
    "look_in",
    "present",
    "read",
    "recording",
    "unpinned",
    "verified",
    "warn",
]

log = logging.getLogger(__name__)


class _Datasets(Registry):
    """Those of this installation, and every folder with a `dataset.toml` where recordings are looked for."""

    def __iter__(self) -> Iterator[str]:
        return iter(sorted([*self._targets(), *self.folders()]))

    def __contains__(self, name: object) -> bool:
        return name in self._targets() or (isinstance(name, str) and _fetch.declared_in(name) is not None)

    def __getitem__(self, name: str) -> Any:
        folder = _fetch.declared_in(name)
        if folder is None:
            try:
                return super().__getitem__(name)
            except UnknownNameError:
                raise UnknownNameError(self.kind, name, self) from None  # folders' names may be near, too
        from brainbench.datasets._folders import Kind

        if name in self._targets():
            raise UsageError(
                f"{folder / _fetch.TOML} declares a dataset {name!r}, which there is already: give its folder, and the "
                "id in it, another name"
            )
        return Kind(name, folder)

    def folders(self) -> list[str]:
        """The ids of folders that can be used; of others, and of places that hold none, it is said why not, once."""
        for sentence in _fetch.passed_over():
            warn(sentence)
        usable = []
        for name in _fetch.declared_ids():
            try:
                self[name].spec, _fetch.manifest(name)
                usable.append(name)
            except (InputError, AccessError, UsageError) as error:
                warn(f"dataset {name} is left out: {error}")
        return usable


@cache
def warn(text: str) -> None:
    """A warning that is given once, however often the same is found."""
    log.warning("%s", text)


DATASETS = _Datasets(
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
    if roots:
        look_in(roots)
    kind = DATASETS[name]
    if not _fetch.has_manifest(name):
        made: Dataset = kind()
        return made
    folder = _fetch.root(name, roots or {})
    _terms.demand(_fetch.manifest(name))
    recorded: Dataset = kind(folder)
    return recorded


RELEASES = {"allen2021_fsaverage": "allen2021", "algonauts2023": "allen2021", "haxby2001_nilearn": "haxby2001"}


def recording(name: str) -> str:
    """The recording that a dataset is a release of: people and their responses are the same in all of its releases."""
    return RELEASES.get(name, name)


def content(name: str) -> str:
    """What stands for a dataset's content: the hash over its files' hashes, or its version where code makes it.

    Of files that no manifest could pin it holds the names alone, so that it is the same wherever the release is; see
    `unpinned` for what they are on this machine.
    """
    folder = _fetch.declared_in(name)
    if folder is not None:
        from brainbench.datasets import _folders

        return _folders.content(folder)
    return _fetch.manifest(name).digest if _fetch.has_manifest(name) else f"made:{DATASETS[name].spec.version}"


def is_declared(name: str) -> bool:
    """Whether there is a folder of this name with a `dataset.toml`, be it right or wrong."""
    return _fetch.declared_in(name) is not None


def declared_benchmarks(name: str) -> list[dict[str, Any]]:
    """The benchmark tables of a folder with a `dataset.toml`. Raises InputError or AccessError where it is wrong."""
    from brainbench.datasets import _folders

    kind = DATASETS[name]
    _ = kind.spec  # says so where the folder and the id in it have different names
    return _folders.benchmark_tables(kind.root)


def present(name: str, roots: dict[str, Path]) -> str:
    """Empty where the dataset's files are on this machine and its terms accepted, else what is missing and how to mend.

    Raises InputError where the user's own record of accepted terms cannot be read.
    """
    if not _fetch.has_manifest(name):
        return ""
    try:
        _fetch.root(name, roots)
        _terms.demand(_fetch.manifest(name))
    except AccessError as error:
        return str(error)
    return ""
