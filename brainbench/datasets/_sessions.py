"""Sessions that recorded different neuroids, side by side in one array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from brainbench.core.arrays import responses_array
from brainbench.errors import UnknownNameError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What one session measured: `values` (presentation, neuroid), a stimulus id and repetition a row."""

    name: str
    values: np.ndarray
    stimulus_id: np.ndarray
    repetition: np.ndarray


def side_by_side(sessions: Sequence[Session], *, region: str) -> xr.DataArray:
    """Responses (presentation, neuroid) of sessions that share no neuroid: NaN outside each session's own block.

    Neuroid ids are "<session>-<00>", numbered as in the session's file.
    """
    rows = [len(session.values) for session in sessions]
    columns = [session.values.shape[1] for session in sessions]
    values = np.full((sum(rows), sum(columns)), np.nan, dtype=np.float32)
    row = column = 0
    for session, height, width in zip(sessions, rows, columns):
        values[row : row + height, column : column + width] = session.values
        row, column = row + height, column + width
    return responses_array(
        values,
        stimulus_id=[name for session in sessions for name in session.stimulus_id],
        repetition=[number for session in sessions for number in session.repetition],
        session=[session.name for session, height in zip(sessions, rows) for _ in range(height)],
        neuroid_id=[f"{session.name}-{n:02d}" for session, width in zip(sessions, columns) for n in range(width)],
        region=[region] * sum(columns),
    )


def chosen(kind: str, wanted: tuple[str, ...] | None, known: Sequence[str]) -> tuple[str, ...]:
    """`wanted` in the order of `known`, or all of them for None.

    Raises UnknownNameError for a name that is not known, UsageError where nothing is asked for.
    """
    if wanted is None:
        return tuple(known)
    for name in wanted:
        if name not in known:
            raise UnknownNameError(kind, name, known)
    if not wanted:
        raise UsageError(f"asked for no {kind} at all; leave it out to get every one")
    return tuple(name for name in known if name in wanted)
