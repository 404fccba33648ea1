"""Stored entries as the commands take them that set models side by side: each once, and what is left out is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from brainbench.errors import BrainbenchError, InputError
from brainbench.terminal import err

if TYPE_CHECKING:
    from brainbench.entry import Entry


@dataclass(frozen=True, slots=True)
class Stored:
    """Entries of each benchmark, in order of its name: those with a score, and those without one.

    `labels` is how benchmarks are shown, and `wrong` what could not be read.
    """

    scored: dict[str, list[Entry]] = field(default_factory=dict)
    unscored: dict[str, list[Entry]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    wrong: list[BrainbenchError] = field(default_factory=list)


def stored(paths: Sequence[Path]) -> Stored:
    """All entries in these files and folders; a model that failed once and was scored later counts as scored."""
    from brainbench.entry import files, read

    found = Stored()
    everything: list[Entry] = []
    for file in dict.fromkeys(file.resolve() for path in paths for file in files(path)):
        try:
            everything += read(file)
        except InputError as error:
            found.wrong.append(error)
    for entry in sorted(everything, key=lambda entry: entry.benchmark):
        found.labels[entry.benchmark] = entry.label
        known = found.scored.setdefault(entry.benchmark, [])
        if entry.status == "ok" and entry not in known:  # the same file may lie in two folders
            known.append(entry)
    for entry in everything:
        models = {scored.model_fingerprint for scored in found.scored[entry.benchmark]}
        others = found.unscored.setdefault(entry.benchmark, [])
        if entry.status != "ok" and entry.model_fingerprint not in models | {o.model_fingerprint for o in others}:
            others.append(entry)
    return found


def tell_unscored(found: Stored, shown: Iterable[str]) -> None:
    """A line for each of the benchmarks that are shown, with the models that are missing there."""
    for name in shown:
        missing = ", ".join(f"{entry.model} ({entry.status})" for entry in found.unscored[name])
        if missing:
            err.print(Text(f"Without a score, so left out of {found.labels[name]}: {missing}"))


def tell_wrong(wrong: Sequence[BrainbenchError]) -> None:
    """What could not be shown, and the exit code that comes of it."""
    for problem in wrong:
        err.print(Text(f"brainbench: {problem}"))
    if wrong:
        raise typer.Exit(wrong[0].exit_code)
