"""Reading what strangers wrote: JSON, TOML and safetensors, by size, name and content, before anything trusts it.

Nothing here runs, unpacks or follows what it reads. Names and kinds of files are looked at before they are opened, an
open file is never a link, and what does not hold is refused, not repaired.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from brainbench.errors import InputError

TEXT_BYTES = 262_144  # of a JSON or TOML file: an entry of nine layers has 22,000
FEATURES_BYTES = 100_000_000
HEADER_BYTES = 4_000_000
LARGEST = 1e15
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,119}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # what Windows cannot check out
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and signs that leave no mark on paper
_ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong: in which file, in which field of it (empty for the file itself), and what would be right."""

    file: str
    field: str = ""
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.field, self.message) if part)


def named(name: str) -> str:
    """Empty where `name` may name a file or folder on every system, else why not."""
    if not NAME.fullmatch(name):
        return "a name has 1 to 120 letters, digits and . _ + @ -, and begins with a letter or digit"
    if _RESERVED.fullmatch(name) or name.endswith("."):
        return "this name cannot be a file's on every system"
    return ""


def files_of(folder: Path, limits: dict[str, int]) -> tuple[dict[str, Path], list[Problem]]:
    """The plain files of a folder that has nothing else, by name, and what is wrong with the others, unopened.

    `limits` are the endings that a file may have, and the bytes that it may have with each. The folder is one level
    deep; a link, whatever it points to, is refused.
    """
    found: dict[str, Path] = {}
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    if not stat.S_ISDIR(os.lstat(folder).st_mode):
        return found, [Problem(file=shown(folder.name), message="is a link or no folder")]
    for item in sorted(os.scandir(folder), key=lambda item: item.name):
        label = f"{shown(folder.name)}/{shown(item.name)}"
        mode, size = (info := item.stat(follow_symlinks=False)).st_mode, info.st_size
        ending = next((e for e in limits if item.name.endswith(e)), None)
        message = named(item.name)
        if stat.S_ISLNK(mode):
            message = "is a link: put the file itself there"
        elif not stat.S_ISREG(mode):
            message = "is no plain file: a submission is one folder deep"
        elif message:
            pass
        elif ending is None:
            message = f"may not be part of a submission, and was not opened; {', '.join(limits)} may"
        elif size > limits[ending]:
            message = f"has {size:,} bytes; {limits[ending]:,} are the most"
        elif item.name.casefold() in seen:
            message = f"has the name of {seen[item.name.casefold()]} but for upper and lower case"
        seen[item.name.casefold()] = item.name
        if message:
            problems.append(Problem(file=label, message=message))
        else:
            found[item.name] = Path(item.path)
    return found, problems


@contextmanager
def opened(path: Path, most: int) -> Iterator[tuple[BufferedReader, int]]:
    """A plain file and its size. Raises InputError for a link, for anything that is no file, for more than `most`."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a plain file: {error}") from None
    info = os.fstat(handle)
    if not stat.S_ISREG(info.st_mode):
        os.close(handle)
        raise InputError(f"{path} is no plain file")
    with os.fdopen(handle, "rb") as file:
        if info.st_size > most:
            raise InputError(f"{path} has {info.st_size:,} bytes; {most:,} are the most")
        yield file, info.st_size


def content_of(path: Path, most: int = TEXT_BYTES) -> bytes:
    """The bytes of a plain file. Raises as `opened` does."""
    with opened(path, most) as (file, _):
        return file.read(most)


def sha256_of(path: Path, most: int = FEATURES_BYTES) -> str:
    """The sha256 of a plain file. Raises as `opened` does."""
    with opened(path, most) as (file, _):
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_of(content: bytes, what: str) -> str:
    """UTF-8 without a byte order mark. Raises InputError for anything else."""
    if content.startswith(b"\xef\xbb\xbf"):
        raise InputError(f"{what} begins with a byte order mark: save it as plain UTF-8")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{what} is not UTF-8: byte {error.start} is {content[error.start]:#04x}") from None


def parsed(adapter: TypeAdapter[Any], content: bytes, what: str) -> Any:
    """What JSON bytes hold, by a strict schema. Raises InputError that names the field, also of a key given twice."""
    text = text_of(content, what)
    try:
        value = adapter.validate_json(text)
    except ValidationError as error:
        raise InputError(f"{what}: {first_error(error)}") from None
    try:
        json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what}: {error}") from None
    return value


def first_error(error: ValidationError) -> str:
    """The first thing that a schema found wrong, as `field: message`; of fields that are missing, all of them."""
    found = error.errors(include_url=False, include_input=False)
    told = [one for one in found if one["type"] == "missing"] if found[0]["type"] == "missing" else found[:1]
    fields = [shown(".".join(map(str, one["loc"])) or "the file", 80) for one in told]
    return f"{', '.join(fields[:10])}{' ...' if len(fields) > 10 else ''}: {shown(found[0]['msg'], 200)}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {shown(key)!r} is given twice")
        found[key] = value
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON; undefined is null")


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{shown(text)} is beyond every number")
    return value


def unclean(text: str) -> str:
    """Empty for text that shows as what it is, else why not: control characters, and those that turn direction."""
    if text.isascii() and text.isprintable():
        return ""
    for character in text:
        kind = unicodedata.category(character)
        if kind in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or character in _BLANK:
            return f"holds the character U+{ord(character):04X}, which does not show"
    if text != unicodedata.normalize("NFC", text):
        return "is not in Unicode's composed form (NFC)"
    return ""


def dirty(value: Any, field: str = "", *, longest: int = 300, depth: int = 12) -> Iterator[tuple[str, str]]:
    """Fields of JSON values whose text does not show as what it is, or is too long, or that nest too deep."""
    if isinstance(value, str):
        if len(value) > longest:
            yield field, f"has {len(value)} characters; {longest} are the most"
        elif why := unclean(value):
            yield field, why
    elif isinstance(value, int | float) and not abs(value) < LARGEST:
        yield field, f"is {shown(str(value), 20)}, beyond any number that an entry has"
    elif isinstance(value, dict | list) and not depth:
        yield field, "nests too deep"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from dirty(key, f"{field}.{shown(key)} (the key)".lstrip("."), longest=longest)
            yield from dirty(item, f"{field}.{shown(key)}".lstrip("."), longest=longest, depth=depth - 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            if isinstance(item, float) and abs(item) < LARGEST:
                continue  # replicates are a million numbers of a board
            yield from dirty(item, f"{field}.{number}".lstrip("."), longest=longest, depth=depth - 1)


def shown(text: str, longest: int = 60) -> str:
    """Text of a stranger for a message: what does not show is written out, what is too long is cut."""
    plain = text if not unclean(text) else "".join(c if not unclean(c) else f"\\u{ord(c):04x}" for c in text)
    return plain if len(plain) <= longest else f"{plain[:longest]}…"


def safetensors_problem(path: Path) -> str:
    """Empty for a whole file of matrices with a row for each of its stimulus ids, judged by its header alone, else what
    is wrong with it.
    """
    try:
        with opened(path, FEATURES_BYTES) as (file, size):
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(HEADER_BYTES, size - 8):
                return f"its header would have {length:,} bytes, the file has {size:,}"
            header = parsed(TypeAdapter(dict[str, Any]), file.read(length), "its header")
    except InputError as error:
        return str(error)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        return "its metadata are not texts"
    end = 0
    for name, tensor in sorted(header.items(), key=lambda item: _offsets(item[1])):
        if not isinstance(tensor, dict) or set(tensor) != {"dtype", "shape", "data_offsets"}:
            return f"tensor {shown(name)!r} lacks dtype, shape or data_offsets"
        shape, (start, stop) = tensor["shape"], _offsets(tensor)
        counts = isinstance(shape, list) and all(type(n) is int and 0 < n < 2**40 for n in shape)
        if not counts or len(shape) != 2 or tensor["dtype"] not in _ITEM_BYTES:
            return f"tensor {shown(name)!r} is no matrix (stimulus, feature) of floating-point numbers"
        if start != end or stop - start != shape[0] * shape[1] * _ITEM_BYTES[tensor["dtype"]]:
            return f"tensor {shown(name)!r} of shape {shape} does not lie where its offsets {start}, {stop} say"
        end = stop
    if not header or end != size - 8 - length:
        return f"its {len(header)} tensors take {end:,} bytes, the file holds {size - 8 - length:,}"
    return _unnamed_rows(metadata, {name: tensor["shape"][0] for name, tensor in header.items()})


def _unnamed_rows(metadata: dict[str, str], rows: dict[str, int]) -> str:
    """Empty where metadata name the stimulus of each row."""
    if "stimulus_ids" not in metadata:
        return "its metadata have no stimulus_ids, a JSON list with the id of each row"
    try:
        ids = parsed(TypeAdapter(list[str]), metadata["stimulus_ids"].encode(), "stimulus_ids in its metadata")
    except InputError as error:
        return str(error)
    if len(set(ids)) < len(ids):
        return "its stimulus_ids name a stimulus more than once"
    for name, count in rows.items():
        if count != len(ids):
            return f"tensor {shown(name)!r} has {count} rows for {len(ids)} stimulus_ids"
    return ""


def _offsets(tensor: Any) -> tuple[int, int]:
    """Where a tensor begins and ends; (-1, -1) where that is no pair of counts."""
    pair = tensor.get("data_offsets") if isinstance(tensor, dict) else None
    if isinstance(pair, list) and len(pair) == 2 and all(type(n) is int and 0 <= n < 2**60 for n in pair):
        return pair[0], pair[1]
    return -1, -1
