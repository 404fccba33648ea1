"""Labelled arrays at the edges: how recordings are shaped, checked and taken apart.

Dimension names are fixed: responses are (presentation, neuroid) or (presentation, neuroid, time), RDMs are
(subject, session, stimulus, stimulus_), behaviour is a table with a row a trial. Rows of two arrays meet only in
`take`, by stimulus id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import pandas as pd
import xarray as xr

from brainbench.core.mapped import release, room, spans
from brainbench.errors import AlignmentError, InputError, listed


def take(ids: Sequence[str], wanted: Sequence[str], *, what: str) -> np.ndarray:
    """Positions of `wanted` in `ids`: the only way rows of two sources are brought together.

    `what` names the source of `ids` in messages. Raises AlignmentError if `ids` holds a name twice or lacks a
    wanted one, or if either holds anything but strings.
    """
    index = pd.Index(_strings(ids, what))
    if not index.is_unique:
        twice = index[index.duplicated()].unique()
        raise AlignmentError(f"{what} holds {len(twice)} stimulus ids more than once: {listed(twice)}")
    positions = index.get_indexer(pd.Index(_strings(wanted, "the request")))
    if (positions < 0).any():
        missing = [name for name, at in zip(wanted, positions) if at < 0]
        raise AlignmentError(
            f"{what} lacks {len(missing)} of the {len(wanted)} stimuli asked for: {listed(missing)}. "
            f"It holds {len(index)}, such as {listed(index, 3)}. Rows are joined by stimulus id, never by position."
        )
    return positions


def _strings(ids: Iterable, what: str) -> list[str]:
    ids = list(ids)
    wrong = next((name for name in ids if not isinstance(name, str)), None)
    if wrong is not None:
        raise AlignmentError(
            f"stimulus ids of {what} must be strings, got {wrong!r} ({type(wrong).__name__}): "
            "1 and '1' and '0001' would be three stimuli. Convert them where they are read."
        )
    return ids


def responses_array(
    values: np.ndarray,
    *,
    stimulus_id: Sequence[str],
    repetition: Sequence[int],
    session: Sequence[str],
    neuroid_id: Sequence[str],
    region: Sequence[str],
    time_s: Sequence[float] | None = None,
    **neuroid_coordinates: Sequence,
) -> xr.DataArray:
    """Single presentations as a float32 DataArray (presentation, neuroid[, time]); NaN where nothing was measured.

    Raises InputError where a coordinate does not fit the values or a neuroid id occurs twice.
    """
    values = np.asarray(values, dtype=np.float32)
    dims = ("presentation", "neuroid", "time")[: values.ndim]
    coordinates: dict = {
        "stimulus_id": ("presentation", np.asarray(_strings(stimulus_id, "the responses"), dtype=object)),
        "repetition": ("presentation", np.asarray(repetition, dtype=np.int64)),
        "session": ("presentation", np.asarray(session, dtype=object)),
        "neuroid_id": ("neuroid", np.asarray(neuroid_id, dtype=object)),
        "region": ("neuroid", np.asarray(region, dtype=object)),
    }
    coordinates |= {name: ("neuroid", np.asarray(value)) for name, value in neuroid_coordinates.items()}
    if time_s is not None:
        coordinates["time_s"] = ("time", np.asarray(time_s, dtype=np.float64))
    sizes = dict(zip(dims, values.shape))
    for name, (dim, value) in coordinates.items():
        if len(value) != sizes.get(dim):
            raise InputError(
                f"coordinate {name!r} has {len(value)} entries, the responses have {sizes.get(dim)} along {dim!r}"
            )
    if len(set(neuroid_id)) != len(neuroid_id):
        raise InputError("neuroid ids must be unique within a subject")
    return xr.DataArray(values, dims=dims, coords=coordinates, name="responses")


def presentations(responses: xr.DataArray, rows: np.ndarray) -> xr.DataArray:
    """Those of the presentations, in that order; in a file of their own where they are large."""
    whole = responses.values
    values = room((len(rows), *whole.shape[1:]), axis=1)
    for some in spans((len(whole), *whole.shape[1:]), axis=1):
        values[:, some] = whole[:, some][rows]
        release(values, whole)
    coords = {name: at[rows] if at.dims == ("presentation",) else at for name, at in responses.coords.items()}
    return xr.DataArray(values, dims=responses.dims, coords=coords, name=responses.name, attrs=responses.attrs)


def rdms_array(
    values: np.ndarray, *, subject: Sequence[str], session: Sequence[str], stimulus_id: Sequence[str]
) -> xr.DataArray:
    """RDMs as a float64 DataArray (subject, session, stimulus, stimulus_): square, symmetric, zero diagonal.

    Raises InputError where they are not; a session a subject lacks is all NaN.
    """
    values = np.asarray(values, dtype=np.float64)
    n = len(_strings(stimulus_id, "the RDMs"))
    if values.shape != (len(subject), len(session), n, n):
        raise InputError(f"RDMs of shape {values.shape} do not fit {len(subject)} subjects x {len(session)} x {n}²")
    if not np.array_equal(values, np.swapaxes(values, -1, -2), equal_nan=True):
        raise InputError("an RDM is not symmetric")
    if np.nanmax(np.abs(np.diagonal(values, axis1=-2, axis2=-1)), initial=0.0) > 1e-6:
        raise InputError("an RDM has a diagonal that is not 0: is it a similarity matrix?")
    coordinates = {
        "subject": np.asarray(subject, dtype=object),
        "session": np.asarray(session, dtype=object),
        "stimulus_id": ("stimulus", np.asarray(stimulus_id, dtype=object)),
    }
    return xr.DataArray(values, dims=("subject", "session", "stimulus", "stimulus_"), coords=coordinates, name="rdms")


def behaviour_table(
    *,
    subject: Sequence[str],
    session: Sequence[str],
    trial: Sequence[int],
    stimulus_id: Sequence[str],
    choice: Sequence[str | None],
    **columns: Sequence,
) -> pd.DataFrame:
    """Single trials, a row each: who saw which stimulus and chose what; `choice` is None where nothing was chosen.

    Further `columns` are kept as they are, such as reaction times in seconds, `rt_s`. Raises InputError where columns
    differ in length or one subject has two trials of one number in a session.
    """
    texts = {"subject": subject, "session": session, "stimulus_id": _strings(stimulus_id, "the behaviour")}
    content = {name: np.asarray(value, dtype=object) for name, value in texts.items()}
    content |= {"trial": np.asarray(trial, dtype=np.int64), "choice": np.asarray(choice, dtype=object)}
    content |= {name: np.asarray(value) for name, value in columns.items()}
    lengths = {name: len(value) for name, value in content.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"columns of one table of trials must be of one length; they are of {lengths}")
    table = pd.DataFrame({name: pd.Series(value, dtype=value.dtype) for name, value in content.items()})
    twice = table.duplicated(["subject", "session", "trial"])
    if twice.any():
        who, when, number = table.loc[twice, ["subject", "session", "trial"]].iloc[0]
        raise InputError(f"subject {who!r} has two trials of number {number} in session {when!r}")
    return table


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Neuroids that were measured on the same stimuli: (stimulus, repetition, neuroid[, time]), padded with NaN.

    A recording falls into several blocks where its sessions showed different stimuli to different neuroids. `unrolled`
    over time it has a column for each neuroid and bin, and `times` says which bin (in seconds) a column is.
    """

    stimulus_ids: tuple[str, ...]
    neuroid_ids: tuple[str, ...]
    regions: tuple[str, ...]
    values: np.ndarray
    times: tuple[float, ...] = ()

    def unrolled(self, time_s: Sequence[float] | np.ndarray) -> Block:
        """The same with time bins as columns, (stimulus, repetition, column): neuroid by neuroid, each bin by bin.

        So a solve of many columns is one of many bins, too. Raises InputError where the values have no such bins.
        """
        if self.values.ndim != 4 or self.values.shape[3] != len(time_s):
            raise InputError(f"responses of shape {self.values.shape} have no axis of {len(time_s)} time bins")
        n, bins = len(self.neuroid_ids), len(time_s)
        return Block(
            stimulus_ids=self.stimulus_ids,
            neuroid_ids=tuple(name for name in self.neuroid_ids for _ in range(bins)),
            regions=tuple(region for region in self.regions for _ in range(bins)),
            values=self.values.reshape(*self.values.shape[:2], n * bins),
            times=tuple(float(second) for second in time_s) * n,
        )

    def columns(self, at: slice | np.ndarray) -> Block:
        """Some of its columns, in that order."""
        return replace(
            self,
            neuroid_ids=picked(self.neuroid_ids, at),
            regions=picked(self.regions, at),
            values=self.values[:, :, at],
            times=picked(self.times, at) if self.times else (),
        )

    def stimuli(self, rows: np.ndarray) -> Block:
        """Those of some of its stimuli, in that order, under the names that these have."""
        values = room((len(rows), *self.values.shape[1:]), axis=2)
        for some in spans(values.shape, axis=2):
            values[:, :, some] = self.values[:, :, some][rows]
            release(values, self.values)
        return replace(self, stimulus_ids=tuple(self.stimulus_ids[row] for row in rows), values=values)

    def mean(self, neuroids: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Mean over the repetitions that exist: float64 (stimulus, neuroid[, time]); NaN where none does."""
        values = np.asarray(self.values[:, :, neuroids])
        if values.shape[1] == 1:
            mean = np.where(np.isfinite(values[:, 0]), values[:, 0], np.nan).astype(np.float64)
        else:
            total = np.zeros_like(values[:, 0], dtype=np.float64)
            count = np.zeros_like(total, dtype=np.int32)
            for repetition in range(values.shape[1]):  # all at once would be several times the values
                one = values[:, repetition]
                present = np.isfinite(one)
                total += np.where(present, one, 0.0)
                count += present
            mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
        release(self.values)
        return mean


@dataclass(frozen=True, slots=True, kw_only=True)
class RDMs:
    """One RDM a column over the same stimuli: values (column, stimulus, stimulus), NaN where not measured.

    A column is a subject, or where there is time a subject and bin: subject by subject, each bin by bin, and `times`
    says which bin (in seconds) it is. Where noise is normalized inside training stimuli, each fold has RDMs of its own:
    values (fold, column, stimulus, stimulus), taken with `of_fold`. `left_out` counts the neuroids that lack a stimulus
    and so have no part in their subject's RDM.
    """

    stimulus_ids: tuple[str, ...]
    subjects: tuple[str, ...]
    values: np.ndarray
    left_out: int = 0
    times: tuple[float, ...] = ()

    def of_fold(self, fold: int) -> np.ndarray:
        """The RDMs (column, stimulus, stimulus) that a fold is scored on."""
        return self.values if self.values.ndim == 3 else self.values[fold]

    def columns(self, at: slice | np.ndarray) -> RDMs:
        """Some of its columns, in that order."""
        return replace(
            self,
            subjects=picked(self.subjects, at),
            values=self.values[..., at, :, :],
            times=picked(self.times, at) if self.times else (),
        )

    def stimuli(self, rows: np.ndarray) -> RDMs:
        """Those of some of its stimuli, in that order, under the names that these have."""
        names = tuple(self.stimulus_ids[row] for row in rows)
        return replace(self, stimulus_ids=names, values=self.values[..., rows, :][..., rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The category of each stimulus: values (stimulus,), strings; None where there is none.

    They belong to the stimuli, not to a recording. `left_out` counts the stimuli that were shown and have no category.
    `like` has single presentations (stimulus, repetition, neuroid) of the recording whose number of neuroids and noise
    layers are to be given, NaN where there was none; None where layers are read as they are.
    """

    stimulus_ids: tuple[str, ...]
    values: np.ndarray
    left_out: int = 0
    like: np.ndarray | None = None

    def stimuli(self, rows: np.ndarray) -> Labels:
        """Those of some of its stimuli, in that order, under the names that these have."""
        return replace(self, stimulus_ids=tuple(self.stimulus_ids[row] for row in rows), values=self.values[rows])

    @property
    def codes(self) -> np.ndarray:
        """A whole number for each stimulus' category, in the categories' alphabetical order; -1 where there is none."""
        return pd.factorize(self.values, sort=True)[0]


_Item = TypeVar("_Item")


def picked(items: tuple[_Item, ...], at: slice | np.ndarray) -> tuple[_Item, ...]:
    """Those of the items that an array axis beside them would be indexed to."""
    return items[at] if isinstance(at, slice) else tuple(items[number] for number in at)


def blocks(responses: xr.DataArray) -> list[Block]:
    """The recording taken apart into sets of neuroids that were shown the same stimuli, in order of stimulus id.

    A neuroid was shown what its sessions showed: those in which it has at least one number. So a value missing for
    single stimuli makes the neuroid incomplete, never the block smaller; and a neuroid without any number is kept,
    with the first neuroid's sessions, so that it is counted and named, not lost. Raises InputError where there is none.
    """
    values = responses.values
    if not values.size:
        raise InputError(f"{len(values)} presentations of {values.shape[1]} neuroids: there is nothing to score")
    stimulus_of, names = pd.factorize(responses["stimulus_id"].values, sort=True)
    session_of, sessions = pd.factorize(responses["session"].values, sort=True)
    measured = np.empty((values.shape[1], len(sessions)), dtype=bool)
    for some in spans(values.shape, axis=1):
        finite = np.isfinite(values[:, some]).reshape(len(values), some.stop - some.start, -1).any(axis=2)
        measured[some] = np.stack([finite[session_of == s].any(axis=0) for s in range(len(sessions))], axis=1)
        release(values)
    silent = np.logical_not(measured.any(axis=1))
    measured[silent] = measured[~silent][0] if not silent.all() else True
    shows = np.stack([np.isin(np.arange(len(names)), stimulus_of[session_of == s]) for s in range(len(sessions))])
    patterns, pattern_of = np.unique(measured, axis=0, return_inverse=True)
    shown_to = np.matmul(patterns, shows)  # (pattern, stimulus): any of its sessions showed it
    result = []
    for shown in np.unique(shown_to, axis=0):
        neuroids = np.flatnonzero(np.all(shown_to == shown, axis=1)[pattern_of.ravel()])
        rows = np.flatnonzero(np.asarray(measured[neuroids].any(axis=0))[session_of])
        result.append(
            Block(
                stimulus_ids=tuple(names[shown]),
                neuroid_ids=tuple(responses["neuroid_id"].values[neuroids]),
                regions=tuple(responses["region"].values[neuroids]),
                values=_stacked_repetitions(values, rows, neuroids, stimulus_of[rows]),
            )
        )
    return result


def _stacked_repetitions(
    values: np.ndarray, rows: np.ndarray, neuroids: np.ndarray, stimulus: np.ndarray
) -> np.ndarray:
    """(presentation, neuroid, ...) -> (stimulus, repetition, neuroid, ...): what was measured first, then NaN.

    Of those rows and neuroids; `stimulus` is what each of the rows showed.
    """
    shown, at = np.unique(stimulus, return_inverse=True)
    slot = pd.Series(at).groupby(at).cumcount().to_numpy()
    n_slots, everything = int(slot.max()) + 1, values.shape[:2] == (len(rows), len(neuroids))
    stacked, longest = room((len(shown), n_slots, len(neuroids), *values.shape[2:]), axis=2), 1
    for some in spans(stacked.shape, axis=2):
        part = stacked[:, :, some]
        part.fill(np.nan)
        part[at, slot] = values[:, some] if everything else values[np.ix_(rows, neuroids[some])]
        longest = max(longest, int((~np.isnan(part)).sum(axis=1, dtype=np.uint16).max(initial=0)))
        release(values, stacked)
    if longest == n_slots:
        return stacked
    closed = room((len(shown), longest, *stacked.shape[2:]), axis=2)  # sessions of other neuroids took slots
    for some in spans(stacked.shape, axis=2):
        part = stacked[:, :, some]
        order = np.argsort(np.isnan(part), axis=1, kind="stable")[:, :longest]
        closed[:, :, some] = np.take_along_axis(part, order, axis=1)
        release(stacked, closed)
    return closed
