"""StimulusSet: what was shown, one row a stimulus, and the pictures behind the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import repeat

import pandas as pd
from PIL import Image

from brainbench.core.arrays import take
from brainbench.core.specs import fingerprint
from brainbench.errors import InputError


@dataclass(frozen=True, kw_only=True)
class StimulusSet:
    """Stimuli of one dataset.

    `table` has the unique string index `stimulus_id` and the column `sha256` (of the picture's bytes; missing where
    the release holds no picture: nothing stands in for one that nobody can see); optional columns are `group` (what
    no split may tear apart, such as the frames of a movie; missing for stimuli that stand alone), `stratum` (what is
    spread evenly over folds, such as a category or session), `as_of` (what stands for the picture's file as it is now,
    where `sha256` is not of its bytes), and whatever else the release tells. `open` gives the picture of an id as its
    file holds it: modes and sizes are the preprocessing's business; it is None where no picture at all was released.
    `size_deg` is the width on the subject's retina in degrees of visual angle, None where it is not known.
    """

    name: str
    table: pd.DataFrame
    open: Callable[[str], Image.Image] | None = field(default=None, repr=False)
    size_deg: float | None = None

    def __post_init__(self) -> None:
        if self.table.index.name != "stimulus_id" or "sha256" not in self.table:
            raise InputError(f"the table of {self.name} needs an index named 'stimulus_id' and a column 'sha256'")
        take(list(self.table.index), [], what=f"the stimulus table of {self.name}")

    @property
    def ids(self) -> tuple[str, ...]:
        """All stimulus ids, in the table's order."""
        return tuple(self.table.index)

    def image(self, stimulus_id: str) -> Image.Image:
        """The picture of one stimulus.

        Raises AlignmentError for an unknown id, InputError for a broken picture and for one that was not released.
        """
        if stimulus_id not in self.table.index:  # hashed; `take` looks at all ids, and says what is near
            take(self.ids, [stimulus_id], what=f"the stimulus set {self.name}")
        if self.open is None or pd.isna(self.table.at[stimulus_id, "sha256"]):
            raise InputError(
                f"{self.name} was released without the picture of {stimulus_id!r}, so no network can see it. Features "
                "computed from a copy of your own can be scored: features:FILE, rows joined by stimulus id."
            )
        return self.open(stimulus_id)

    def select(self, ids: tuple[str, ...]) -> StimulusSet:
        """The same set with only `ids`, in that order. Raises AlignmentError if one is missing."""
        rows = take(self.ids, ids, what=f"the stimulus set {self.name}")
        return StimulusSet(name=self.name, table=self.table.iloc[rows], open=self.open, size_deg=self.size_deg)

    @property
    def fingerprint(self) -> str:
        """Hash of ids and contents in order: what features of this set depend on, and nothing else."""
        digests = (None if pd.isna(digest) else digest for digest in self.table["sha256"])
        now = [[state] for state in self.table["as_of"]] if "as_of" in self.table else repeat([])
        return fingerprint([[name, digest, *state] for name, digest, state in zip(self.table.index, digests, now)])
