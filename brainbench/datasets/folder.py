"""A recording of anybody's: a folder of arrays and tables that a `dataset.toml` declares, read without code."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image, UnidentifiedImageError

from brainbench.core.arrays import responses_array
from brainbench.core.mapped import release, room, spans
from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets import _arrays, _declared, _folders, _hdf5
from brainbench.datasets._fetch import TOML
from brainbench.datasets._sessions import chosen
from brainbench.errors import InputError, listed

PICTURES = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")  # no format that starts another program
Check = Callable[[tuple[int, ...], np.dtype], None]


class Folder:
    """The recording that a folder's `dataset.toml` declares (`docs/add_a_dataset.md`).

    Rows of a subject's array belong to the rows of its table of presentations, columns to those of its neuroids, and
    a third axis to `time_s`. Everything meets by the ids in the tables, which are text.
    """

    def __init__(self, root: Path):
        self.root = root

    @cached_property
    def spec(self) -> DatasetSpec:
        """What `dataset.toml` states. Raises AccessError where there is none, InputError where it is wrong."""
        return _folders.spec(self.root)

    def stimuli(self) -> StimulusSet:
        """All rows of the stimulus table, with its further columns as text, None where they are empty.

        Raises AccessError or InputError where a picture is missing, leads out of the folder, or is no file of its own.
        """
        return StimulusSet(
            name=self.spec.id,
            table=self._table.copy(),
            open=self._open if self._table["sha256"].notna().any() else None,
            size_deg=_declared.declared(self.root).size_deg,
        )

    def responses(
        self, subject: str, *, regions: tuple[str, ...] | None = None, sessions: tuple[str, ...] | None = None
    ) -> xr.DataArray:
        """Float32 (presentation, neuroid[, time]) of one subject, as stored; a .npy is mapped, and read where needed.

        Raises UnknownNameError for a subject, region or session of that subject that does not exist, and InputError
        where array and tables do not fit.
        """
        chosen(f"subject of {self.spec.id}", (subject,), self.spec.subjects)
        shown = _folders.presentations(self.root, subject)
        units = _folders.neuroids(self.root, subject)
        which = chosen(f"region of {subject} in {self.spec.id}", regions, list(dict.fromkeys(units["region"])))
        when = chosen(f"session of {subject} in {self.spec.id}", sessions, list(dict.fromkeys(shown["session"])))
        rows = np.flatnonzero(np.isin(shown["session"], when))
        columns = np.flatnonzero(np.isin(units["region"], which))
        values = self._array(subject, n_presentations=len(shown["session"]), n_neuroids=len(units["region"]))
        places = {axis: [float(units[axis][column]) for column in columns] for axis in ("x", "y", "z") if axis in units}
        return responses_array(
            _part(values, rows, columns),
            stimulus_id=[shown["stimulus_id"][row] for row in rows],
            repetition=[int(shown["repetition"][row]) for row in rows],
            session=[shown["session"][row] for row in rows],
            neuroid_id=[units["neuroid_id"][column] for column in columns],
            region=[units["region"][column] for column in columns],
            time_s=_declared.declared(self.root).time_s,
            **places,
        )

    def _array(self, subject: str, *, n_presentations: int, n_neuroids: int) -> np.ndarray:
        """The subject's array, once it is as large as its tables say."""
        said = _declared.declared(self.root)
        files = said.subjects[subject]
        full = _declared.file(self.root, files.responses, said=TOML)
        expected = {"presentations": n_presentations, "neuroids": n_neuroids}
        if said.time_s is not None:
            expected["times"] = len(said.time_s)

        def check(shape: tuple[int, ...], dtype: np.dtype) -> None:
            if dtype.kind not in "iuf":
                raise InputError(f"{full} holds {dtype}, which are no numbers: write it as float32")
            if shape == tuple(expected.values()):
                return
            tables = f"{files.presentations}, {files.neuroids}" + (" and time_s" if said.time_s is not None else "")
            raise InputError(
                f"{full} has shape {shape}; {tables} say {' x '.join(f'{n} {name}' for name, n in expected.items())}"
                f": {_mend(shape, tuple(expected.values()))}"
            )

        return _READ[full.suffix](full, files.array, check)

    @cached_property
    def _table(self) -> pd.DataFrame:
        columns = dict(_folders.stimuli(self.root))
        index = pd.Index(columns.pop("stimulus_id"), name="stimulus_id", dtype=object)
        digests = [_declared.sha256(self._picture(path)) if path else None for path in columns["file"]]
        told = {name: [text or None for text in column] for name, column in columns.items() if name != "sha256"}
        return pd.DataFrame({"sha256": digests, **told}, index=index, dtype=object)

    def _open(self, stimulus_id: str) -> Image.Image:
        full = self._picture(self._table.at[stimulus_id, "file"])
        try:
            image = Image.open(io.BytesIO(full.read_bytes()), formats=PICTURES)
            image.load()
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            why = "is no picture" if isinstance(error, UnidentifiedImageError) else f"is a broken picture: {error}"
            raise InputError(f"{full}, the picture of stimulus {stimulus_id!r}, {why}. Export it anew") from None
        return image

    def _picture(self, path: str) -> Path:
        return _declared.file(self.root, path, said=_declared.declared(self.root).stimuli)


def _part(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Rows and columns of an array as float32: a map as it is where they are all of it, else in a file if large."""
    if (len(rows), len(columns)) == values.shape[:2] and values.dtype == np.float32:
        return values
    part = room((len(rows), len(columns), *values.shape[2:]), axis=1)
    for some in spans((len(rows), *values.shape[1:]), axis=0):
        part[some] = values[np.ix_(rows[some], columns)]
        release(part, values)
    return part


def _mend(shape: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """What may have gone wrong, and what to do about it."""
    if shape[:2] == expected[1::-1] and shape[2:] == expected[2:]:
        return "presentations come first: transpose it"
    if len(shape) == 3 and len(expected) == 2:
        return "a third axis is time: say time_s = [...], a number in seconds for each bin"
    return "correct the table that is too long or too short, or the array"


def _npy(full: Path, name: str, check: Check) -> np.ndarray:
    if name:
        raise InputError(f"{full} holds one array without a name: leave array = {name!r} out")
    values = _arrays.mapped(full)
    check(values.shape, values.dtype)
    return values


def _h5(full: Path, name: str, check: Check) -> np.ndarray:
    with _hdf5.opened(full) as file:
        found = _hdf5.own(file, name or _only(full, list(file)))
        check(found.shape, found.dtype)  # before it is read: a small file may say that it is huge
        values: np.ndarray = found[()]
    return values


def _safetensors(full: Path, name: str, check: Check) -> np.ndarray:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(full, framework="numpy") as file:
            held = sorted(file.keys())
            name = name or _only(full, held)
            if name not in held:
                raise InputError(f"{full} has no array {name!r}; it holds {listed(held)}")
            values: np.ndarray = file.get_tensor(name)
    except (SafetensorError, OSError, TypeError) as error:  # TypeError: a type of number that numpy lacks
        raise InputError(f"{full} is truncated, or no safetensors file of numbers: {error}") from None
    check(values.shape, values.dtype)
    return values


def _only(full: Path, names: list[str]) -> str:
    if len(names) != 1:
        raise InputError(f"{full} holds {len(names)} arrays ({listed(names)}): say which with array = ...")
    return names[0]


_READ = {".npy": _npy, ".safetensors": _safetensors, ".h5": _h5, ".hdf5": _h5}
