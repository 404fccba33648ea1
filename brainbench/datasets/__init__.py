"""Recordings: one a file, named author and year."""

from __future__ import annotations

from pathlib import Path

from brainbench.core.protocols import Dataset
from brainbench.core.registry import Registry
from brainbench.datasets import _fetch

DATASETS = Registry(
    kind="dataset",
    own={
        "cowley2023": "brainbench.datasets.cowley2023:Cowley2023",
        "henaff2021": "brainbench.datasets.henaff2021:Henaff2021",
        "insilico": "brainbench.datasets.insilico:Insilico",
        "kriegeskorte2008": "brainbench.datasets.kriegeskorte2008:Kriegeskorte2008",
    },
    group="brainbench.datasets",
)


def load(name: str, roots: dict[str, Path] | None = None) -> Dataset:
    """The dataset `name`, read from its folder on this machine.

    `roots` maps dataset ids to folders and goes before the environment. Raises UnknownNameError for a name that is
    not registered, and AccessError, saying where it looked and how to get them, where files are missing.
    """
    kind = DATASETS[name]
    return kind() if kind.spec.synthetic else kind(_fetch.root(name, roots or {}))
