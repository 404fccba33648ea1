"""A recording of some of its stimuli: those whose row in the stimulus table says what a benchmark asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from brainbench.core.arrays import presentations
from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.errors import InputError, UnknownNameError, listed


@dataclass(frozen=True, kw_only=True)
class Shown:
    """`dataset` as if nothing but the stimuli had been shown whose columns have the values of `where`."""

    dataset: Any
    where: Mapping[str, Any]

    @property
    def spec(self) -> DatasetSpec:
        """The recording's own."""
        spec: DatasetSpec = self.dataset.spec
        return spec

    def stimuli(self) -> StimulusSet:
        """Those stimuli. Raises UnknownNameError for a column that is not there, InputError where none is left."""
        return self._stimuli

    @cached_property
    def _stimuli(self) -> StimulusSet:
        """Found once: a recording may hash the files of thousands of pictures to say what was shown."""
        everything: StimulusSet = self.dataset.stimuli()
        table = everything.table
        keep = np.ones(len(table), dtype=bool)
        for column, value in self.where.items():
            if column not in table:
                raise UnknownNameError(f"column of the stimuli of {self.spec.id}", column, table.columns)
            keep &= [_is(cell, value) for cell in table[column]]
        if not keep.any():
            raise InputError(f"no stimulus of {self.spec.id} has {listed(f'{k} = {v}' for k, v in self.where.items())}")
        return everything.select(tuple(table.index[keep]))

    def responses(self, subject: str, **asked: Any) -> xr.DataArray:
        """Presentations of those stimuli. Raises InputError where the subject saw none of them."""
        responses: xr.DataArray = self.dataset.responses(subject, **asked)
        rows = np.flatnonzero(np.isin(responses["stimulus_id"].values.astype(str), self.stimuli().ids))
        if not len(rows):
            raise InputError(
                f"{subject} of {self.spec.id} was shown none of the {len(self.stimuli().ids)} stimuli asked for"
            )
        return presentations(responses, rows)

    def rdms(self, region: str) -> xr.DataArray:
        """Dissimilarities between those stimuli."""
        rdms: xr.DataArray = self.dataset.rdms(region)
        at = np.flatnonzero(np.isin(rdms["stimulus_id"].values.astype(str), self.stimuli().ids))
        return rdms.isel(stimulus=at, stimulus_=at)


def _is(cell: Any, value: Any) -> bool:
    """Whether a cell has the value: where tables are text, as text, with true or True for true."""
    if isinstance(cell, str) and not isinstance(value, str):
        return (cell.lower() if isinstance(value, bool) else cell) == str(value).lower()
    return bool(pd.notna(cell) and cell == value)


def shown(dataset: Any, where: Mapping[str, Any] | None) -> Any:
    """The dataset, or of it the stimuli that `where` asks for."""
    return Shown(dataset=dataset, where=where) if where else dataset
