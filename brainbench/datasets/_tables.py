"""The tables of a declared recording: CSV in which everything is text, so that "001" stays "001"."""

from __future__ import annotations

import csv
import difflib
import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from brainbench.datasets._declared import file
from brainbench.datasets._fetch import TOML
from brainbench.errors import InputError, listed

Table = dict[str, list[str]]
_MISSING = {"nan", "NaN", "None", "<NA>"}  # what Python writes by mistake for nothing
_NEAR = 0.75  # how alike a header must be to a name that is missing to be taken for a slip


def stimuli(root: Path, path: str) -> Table:
    """Columns `stimulus_id` (unique) and `file`, and what else there is, such as `category`, `group` and `stratum`."""
    found = _read(root, path, needed=("stimulus_id",), optional=("file", "category", "group", "stratum"))
    _unique(root / path, "stimulus_id", found["stimulus_id"])
    return {"file": [""] * len(found["stimulus_id"])} | found


def presentations(root: Path, path: str) -> Table:
    """Columns `stimulus_id`, `repetition` and `session`, a row a presentation.

    Without sessions there is one, "1"; without repetitions they are counted, in order, within stimulus and session.
    """
    found = _read(root, path, needed=("stimulus_id",), optional=("repetition", "session"))
    names, full = found["stimulus_id"], root / path
    session = found.get("session") or ["1"] * len(names)
    if "repetition" not in found:
        seen: Counter[tuple[str, str]] = Counter()
        counted = []
        for key in zip(names, session):
            counted.append(str(seen[key]))
            seen[key] += 1
        return {"stimulus_id": names, "session": session, "repetition": counted}
    if odd := [(n, text) for n, text in enumerate(found["repetition"], 2) if not re.fullmatch("[0-9]{1,9}", text)]:
        said = odd[0][1] if len(odd[0][1]) < 40 else odd[0][1][:40] + "..."
        raise InputError(f"{full}, line {odd[0][0]}: repetition is {said!r}; it is a number from 0, or from 1")
    keys = Counter(zip(names, session, map(int, found["repetition"])))
    if twice := [key for key, n in keys.items() if n > 1]:
        name, when, number = twice[0]
        raise InputError(
            f"{full} holds {len(twice)} presentations more than once, such as stimulus {name!r}, session {when!r}, "
            f"repetition {number}. Number the repetitions of a stimulus within its session, or leave the column out"
        )
    return {"stimulus_id": names, "session": session, "repetition": found["repetition"]}


def neuroids(root: Path, path: str) -> Table:
    """Columns `neuroid_id` (unique) and `region`, and `x`, `y`, `z` where they are given, which are numbers."""
    found = _read(root, path, needed=("neuroid_id", "region"), optional=("x", "y", "z"))
    _unique(root / path, "neuroid_id", found["neuroid_id"])
    for axis in {"x", "y", "z"} & found.keys():
        for n, text in enumerate(found[axis], 2):
            if not _is_number(text):
                raise InputError(f"{root / path}, line {n}: {axis} is {text!r}, which is no number")
    return {name: found[name] for name in ("neuroid_id", "region", "x", "y", "z") if name in found}


def known(full: Path, wanted: Sequence[str], ids: Sequence[str], table: Path) -> None:
    """Nothing where all `wanted` are among `ids`; else InputError, which sees ids that differ in leading zeros."""
    there = set(ids)
    lacking = [name for name in dict.fromkeys(wanted) if name not in there]
    if not lacking:
        return
    bare = {name.lstrip("0"): name for name in ids}
    alike = next(((name, bare[name.lstrip("0")]) for name in lacking if name.lstrip("0") in bare), None)
    hint = f"'{alike[0]}' there may be '{alike[1]}' here: ids are text, write them alike. " if alike else ""
    raise InputError(
        f"{table} lacks {len(lacking)} stimuli that {full} says were shown: {listed(map(repr, lacking))}. {hint}"
        f"It holds {len(ids)}, such as {listed(map(repr, ids), 3)}. Add a row for each; `file` may be empty"
    )


def _read(root: Path, path: str, *, needed: tuple[str, ...], optional: tuple[str, ...]) -> Table:
    full = file(root, path, said=TOML)
    facts = full.stat()
    return _parsed(full, needed, optional, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=64)
def _parsed(full: Path, needed: tuple[str, ...], optional: tuple[str, ...], mtime_ns: int, size: int) -> Table:
    """The table of a file as it is now; nobody changes what is returned."""
    try:
        with full.open(encoding="utf-8-sig", newline="") as stream:
            header, *rows = [row for row in csv.reader(stream, strict=True) if row] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{full} is no CSV in UTF-8: {error}") from None
    header = [name.strip() for name in header]
    if len(set(header)) < len(header):
        raise InputError(f"{full} has two columns of one name: {', '.join(header)}")
    for sign, called in ((";", "';'"), ("\t", "tabs")):
        if len(header) == 1 and sign in header[0]:
            raise InputError(f"{full} has columns that are separated by {called}: save it with commas between them")
    for name in (*needed, *optional):
        if name in header:
            continue
        near = difflib.get_close_matches(name, set(header) - {*needed, *optional}, n=1, cutoff=_NEAR)
        if near:
            raise InputError(f"{full} has a column {near[0]!r}; is it {name!r}? Call it that, or something else")
        if name in needed:
            raise InputError(f"{full} has no column {name!r}; it has {', '.join(header) or 'none'}")
    if not rows:
        raise InputError(f"{full} has no row below its header")
    for n, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise InputError(f"{full}, line {n}: {len(row)} values for {len(header)} columns")
    found = {name: [row[at].strip() for row in rows] for at, name in enumerate(header)}
    for name in (*needed, "session"):
        if "" in found.get(name, ()):
            raise InputError(f"{full}, line {found[name].index('') + 2}: {name} is empty")
    for name in found.keys() & {*needed, *optional}:
        if marked := _MISSING & set(found[name]):
            text = marked.pop()
            raise InputError(
                f"{full}, line {found[name].index(text) + 2}: {name} is the text {text!r}. Leave a cell empty where "
                "there is nothing: all rows with that text would be alike"
            )
    return found


def _unique(full: Path, column: str, names: Sequence[str]) -> None:
    if twice := [name for name, n in Counter(names).items() if n > 1]:
        raise InputError(
            f"{full} holds {len(twice)} of {column} more than once: {listed(map(repr, twice))}. A row each"
        )


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
