"""Every exception brainbench raises on purpose, with the exit code the command line returns for it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any


class BrainbenchError(Exception):
    """Base of all; `exit_code` is what `brainbench` exits with when one escapes a command."""

    exit_code = 70


class UsageError(BrainbenchError):
    """The call itself is wrong: an option, a name, a combination."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that is not registered; the message holds the nearest ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str]):
        super().__init__(f"unknown {kind} {name!r}.{did_you_mean(name, known)}")


class InputError(BrainbenchError):
    """A file, an array or an image does not hold what it should."""

    exit_code = 3


class NotApplicableError(InputError):
    """The model says nothing about this benchmark: nothing is wrong with either."""


class AlignmentError(InputError):
    """Rows that should meet by stimulus id do not: an id is missing, repeated, or of the wrong type."""


class LeakageError(InputError):
    """The same stimulus, content or group stands on both sides of a split."""


class AccessError(BrainbenchError):
    """Data or weights that are not on this machine, or whose terms nobody has accepted."""

    exit_code = 4


class VerificationError(BrainbenchError):
    """Something is not what it says: a dataset, model or scorer by a check, a file by its hash, an entry recomputed."""

    exit_code = 5


class ResourceError(BrainbenchError):
    """Disk or memory ran out."""

    exit_code = 6


@contextmanager
def said_by(what: str) -> Iterator[None]:
    """Turns whatever the user's own code raises into an InputError that says which code it was."""
    try:
        yield
    except BrainbenchError:
        raise
    except Exception as error:
        raise InputError(f"{what} raised {type(error).__name__}: {error}") from error


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'a', 'b'?`, or ` Known: ...` when nothing is near; empty when nothing is known."""
    names = sorted(set(known))
    by_case = {n.lower(): n for n in names}
    near = [by_case[n] for n in difflib.get_close_matches(name.lower(), by_case, n=3, cutoff=0.6)]
    if near:
        return f" Did you mean {', '.join(repr(n) for n in near)}?"
    if not names:
        return ""
    return f" Known: {listed(names, 12)}."


def complaint(detail: Mapping[str, Any], known: Callable[[list[str]], Iterable[str]]) -> str:
    """One of pydantic's complaints in our words, with the key that was meant: `known` gives those of a table."""
    *where, key = [str(part) for part in detail["loc"]] or [""]
    place = f" of [{'.'.join(where)}]" if where else ""
    if detail["type"] == "extra_forbidden":
        return f"unknown key {key!r}{place}.{did_you_mean(key, known(where))}"
    if detail["type"] == "missing":
        return f"the key {key!r}{place} is missing"
    if not key:  # about the table as a whole
        return str(detail.get("ctx", {}).get("error", detail["msg"]))
    return f"{key!r}{place} is {detail['input']!r}: {detail['msg']}"


def listed(items: Iterable[str], limit: int = 5) -> str:
    """The first `limit` items and how many more there are, for messages."""
    items = list(items)
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more
