"""What every group of commands writes with and takes: the consoles, progress bars, and the options that they share.

stdout carries results only; bars and messages go to stderr.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Self

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

from brainbench.errors import UsageError

_NAME_WIDTH = 32  # of a file beside its bar, of which the end tells more
TABLE_WIDTH = 160  # names are never cut, so a narrower terminal breaks lines rather than columns
out = Console(width=max(TABLE_WIDTH, Console().width), soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)

DataRoot = Annotated[
    list[str] | None,
    typer.Option(
        "--data-root",
        metavar="[ID=]PATH",
        help="Folder with one folder a dataset, or ID=PATH for one dataset's own folder. May be repeated.",
    ),
]
MaxMemory = Annotated[
    float | None,
    typer.Option(
        metavar="GB", help="Memory to hold beside the recording and the network; half of what is free, if not given."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of a table.")]


class ProgressBars:
    """A bar a stage on stderr; nothing where stderr is no terminal."""

    def __init__(self) -> None:
        self._bars = Bars(
            TextColumn("{task.description}", markup=False),  # a model's name may hold [brackets]
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=err,
            disable=not err.is_terminal,
        )
        self._bars.start()
        self._task: Any = None

    def stage(self, name: str, total: int) -> None:
        """A new bar."""
        self._task = self._bars.add_task(name, total=total)

    def step(self, n: int = 1) -> None:
        """The bar moves by n."""
        self._bars.advance(self._task, n)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the terminal as it was."""
        self._bars.stop()


class DownloadBar:
    """The bar of one file after another, as pooch's downloader moves it; nothing where stderr is no terminal."""

    def __init__(self) -> None:
        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=err,
            disable=not err.is_terminal,
        )
        self._bars.start()
        self._task: Any = None

    def start(self, name: str) -> None:
        """A new file, whose bar takes the place of the last one's."""
        if self._task is not None:
            self._bars.remove_task(self._task)
        shown = name if len(name) <= _NAME_WIDTH else f"…{name[1 - _NAME_WIDTH :]}"
        self._task = self._bars.add_task(shown, total=None)

    @property
    def total(self) -> float | None:
        """Bytes of the file, as the server says."""
        return next((task.total for task in self._bars.tasks if task.id == self._task), None)

    @total.setter
    def total(self, n: int) -> None:
        self._bars.update(self._task, total=n or None)

    def update(self, n: int) -> None:
        """n bytes more have come."""
        self._bars.advance(self._task, n)

    def reset(self) -> None:
        """Back to none."""
        self._bars.update(self._task, completed=0)

    def close(self) -> None:
        """This file is whole; the next may start."""

    def stop(self) -> None:
        """Leave the terminal as it was."""
        self._bars.stop()


def print_json(value: Any) -> None:
    """Print `value` as JSON on stdout, null for numbers that are undefined."""
    from brainbench.core.jsonable import jsonable

    typer.echo(json.dumps(jsonable(value), indent=1, allow_nan=False))


def roots(given: list[str] | None) -> dict[str, Path]:
    """`[ID=]PATH` options as a mapping; the parent folder of all has the name ''."""
    from brainbench.api import checked_roots
    from brainbench.datasets import DATASETS

    found: dict[str, Path] = {}
    for item in given or []:
        name, equals, path = item.partition("=")
        if not equals or "/" in name or (name not in DATASETS and Path(item).is_dir()):  # the = belongs to a path
            name, path = "", item
        if name in found:
            raise UsageError(f"--data-root is given twice for {name or 'all datasets'}")
        found[name] = Path(path)
    return checked_roots(found)
