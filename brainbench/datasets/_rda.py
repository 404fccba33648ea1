"""Data frames out of an R workspace (.Rda), as R's `save` writes it: gzip around XDR serialization, version 2 or 3.

Every item starts with a flag word: its type in the low byte, then whether attributes and a tag follow. The format is
described in "R Internals", section 1.8. Only what data frames are made of is read: vectors, factors, names; anything
else is refused, so that no value is ever taken for another.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from brainbench.errors import InputError, UnknownNameError

_SYMBOL, _PAIRS, _TEXT, _LOGICALS, _INTEGERS, _DOUBLES, _TEXTS, _LIST = 1, 2, 9, 10, 13, 14, 16, 19
_NIL, _SEEN_SYMBOL = 254, 255
_HAS_ATTRIBUTES, _HAS_TAG = 0x200, 0x400
_NA = np.iinfo(np.int32).min  # R's missing integer


def data_frame(content: bytes, name: str) -> pd.DataFrame:
    """The data frame `name` of the workspace in `content`, factors as the strings of their levels.

    What is missing is NaN, strings and levels too; row names are left out. Raises InputError where the content
    is no such workspace or `name` no data frame, UnknownNameError where it does not hold `name`.
    """
    try:
        workspace = _Reader(gzip.decompress(content)).workspace()
    except (OSError, EOFError, zlib.error, struct.error, ValueError) as error:
        raise InputError(f"this is not a whole R workspace: {error}") from None
    if name not in workspace:
        raise UnknownNameError("object of the R workspace", name, workspace)
    frame = workspace[name]
    if not isinstance(frame, _Vector) or "data.frame" not in frame.texts("class"):
        raise InputError(f"{name!r} of the R workspace is no data frame")
    columns = {column: _column(values) for column, values in zip(frame.texts("names"), frame.values, strict=True)}
    return pd.DataFrame(columns)


def _column(vector: _Vector) -> np.ndarray:
    if "factor" in vector.texts("class"):
        levels = np.array([None, *vector.texts("levels")], dtype=object)
        strings: np.ndarray = levels[np.where(vector.values == _NA, 0, vector.values)]
        return strings
    if isinstance(vector.values, list):
        return np.array(vector.values, dtype=object)
    values: np.ndarray = vector.values.astype(vector.values.dtype.newbyteorder("="))
    return np.where(values == _NA, np.nan, values) if values.dtype == np.int32 and (values == _NA).any() else values


@dataclass(frozen=True, slots=True)
class _Vector:
    """Numbers as an array, strings and items of a list as a list; attributes by name."""

    values: Any
    attributes: dict[str, Any] = field(default_factory=dict)

    def texts(self, attribute: str) -> list[str]:
        """The strings of an attribute; none where it is not there."""
        found = self.attributes.get(attribute)
        return list(found.values) if isinstance(found, _Vector) else []


class _Reader:
    """Reads one item after the other."""

    def __init__(self, content: bytes):
        self._content = content
        self._at = 0
        self._symbols: list[str] = []

    def workspace(self) -> dict[str, Any]:
        """All objects by name. Raises InputError for another format."""
        magic = self._bytes(7)
        if magic not in (b"RDX2\nX\n", b"RDX3\nX\n"):
            raise InputError(f"expected an R workspace in XDR format, version 2 or 3; it starts with {magic!r}")
        version, _, _ = (self._integer() for _ in range(3))  # of the format, of R, of the oldest R that can read it
        if version == 3:
            self._bytes(self._integer())  # the name of R's own encoding; strings below are UTF-8 or ASCII
        objects = self._item()
        if not isinstance(objects, dict):
            raise InputError("the R workspace is no list of named objects")
        return objects

    def _bytes(self, n: int) -> bytes:
        taken = self._content[self._at : self._at + n]
        if len(taken) < n:
            raise EOFError(f"it ends after {len(self._content)} bytes, in the midst of an item")
        self._at += n
        return taken

    def _integer(self) -> int:
        value: int = struct.unpack(">i", self._bytes(4))[0]
        return value

    def _item(self) -> Any:
        flags = self._integer()
        kind = flags & 0xFF
        if kind == _NIL:
            return None
        if kind == _SYMBOL:
            self._symbols.append(self._item())
            return self._symbols[-1]
        if kind == _SEEN_SYMBOL:
            return self._symbols[(flags >> 8) - 1]
        if kind == _TEXT:
            length = self._integer()
            return None if length < 0 else self._bytes(length).decode("utf-8")
        if kind == _PAIRS:
            return self._pairs(flags)
        values: Any
        if kind in (_LOGICALS, _INTEGERS, _DOUBLES):
            dtype = np.dtype(">f8" if kind == _DOUBLES else ">i4")
            values = np.frombuffer(self._bytes(self._integer() * dtype.itemsize), dtype)
        elif kind in (_TEXTS, _LIST):
            values = [self._item() for _ in range(self._integer())]
        else:
            raise InputError(f"the R workspace holds an item of type {kind}, which no data frame here is made of")
        return _Vector(values, self._item() if flags & _HAS_ATTRIBUTES else {})

    def _pairs(self, flags: int) -> dict[str, Any]:
        """A chain of tagged values, each link an item of its own, up to nil."""
        pairs = {}
        while flags & 0xFF == _PAIRS:
            if flags & _HAS_ATTRIBUTES or not flags & _HAS_TAG:
                raise InputError("the R workspace holds a list of unnamed pairs")
            tag = self._item()
            pairs[tag] = self._item()
            flags = self._integer()
        if flags & 0xFF != _NIL:
            raise InputError("a list of pairs of the R workspace has no end")
        return pairs
