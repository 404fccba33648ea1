"""`brainbench time`: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from brainbench.errors import UsageError
from brainbench.terminal import AsJson, err, out, print_json


def time(
    paths: Annotated[list[Path], typer.Argument(help="Entries: JSON files, or folders of them.")],
    figure: Annotated[Path | None, typer.Option(help="Write the figure to this file, .png or .svg.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show scores over time: onset, peak, which layers peak when, and the figure, from entries alone."""
    from brainbench import api, plotting
    from brainbench.analysis.temporal import temporal
    from brainbench.entry import read
    from brainbench.printing_time import print_time

    if figure is not None:
        plotting.check_kind(figure)
        api.check_writable(figure.parent, "--figure")
    everything = [entry for path in paths for entry in read(path)]
    entries = sorted((e for e in everything if e.time_course is not None), key=lambda e: (e.benchmark, e.model))
    if not entries:
        names = ", ".join(sorted({entry.label for entry in everything}))
        raise UsageError(f"no entry here has a score over time, only {names}: score a recording that has time")
    found = [temporal(entry) for entry in entries]
    if as_json:
        rows = [
            {
                "benchmark": entry.benchmark,
                "synthetic": entry.synthetic,
                "model": entry.model,
                "time_course": entry.as_json()["time_course"],
                "temporal": order,
            }
            for entry, order in zip(entries, found)
        ]
        print_json(rows)
    else:
        print_time(out, entries, found)
    if figure is not None:
        err.print(Text(f"Written: {plotting.save_as(plotting.time_courses(entries), figure)}"))
