"""Options that several groups of commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from brainbench.errors import UsageError

DataRoot = Annotated[
    list[str] | None,
    typer.Option(
        "--data-root",
        metavar="[ID=]PATH",
        help="Folder with one folder a dataset, or ID=PATH for one dataset's own folder. May be repeated.",
    ),
]


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
