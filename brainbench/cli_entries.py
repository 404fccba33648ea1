"""Stored entries as the commands take them that set models side by side: each once, and what is left out is told."""

from __future__ import annotations

from collections import Counter
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
    """Entries of each benchmark, in order of its name: those with a score, those of a version that fewer of them are
    of, and those without a score.

    `labels` is how benchmarks are shown, and `wrong` what could not be read.
    """

    scored: dict[str, list[Entry]] = field(default_factory=dict)
    other: dict[str, list[Entry]] = field(default_factory=dict)
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
    for name, entries in found.scored.items():
        versions = Counter(entry.benchmark_fingerprint for entry in entries).most_common(2)
        if len(versions) == 2 and versions[0][1] > versions[1][1]:  # of versions in equal number none is the right one
            version = versions[0][0]
            found.scored[name] = [entry for entry in entries if entry.benchmark_fingerprint == version]
            found.other[name] = [entry for entry in entries if entry.benchmark_fingerprint != version]
    for entry in everything:
        there = found.scored[entry.benchmark] + found.other.get(entry.benchmark, [])
        models = {scored.model_fingerprint for scored in there}
        others = found.unscored.setdefault(entry.benchmark, [])
        if entry.status != "ok" and entry.model_fingerprint not in models | {o.model_fingerprint for o in others}:
            others.append(entry)
    return found


def tell_left_out(found: Stored, shown: Iterable[str]) -> None:
    """Lines for each of the benchmarks that are shown, with the models that are missing there."""
    for name in shown:
        if others := found.other.get(name):
            models = ", ".join(entry.model for entry in others)
            err.print(Text(f"Scored on another version of it, so left out of {found.labels[name]}: {models}"))
        missing = ", ".join(f"{entry.model} ({entry.status})" for entry in found.unscored[name])
        if missing:
            err.print(Text(f"Without a score, so left out of {found.labels[name]}: {missing}"))


def tell_wrong(wrong: Sequence[BrainbenchError]) -> None:
    """What could not be shown, and the exit code that comes of it."""
    for problem in wrong:
        err.print(Text(f"brainbench: {problem}"))
    if wrong:
        raise typer.Exit(wrong[0].exit_code)
