"""`brainbench time`: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from brainbench.cli_entries import stored, tell_left_out, tell_wrong
from brainbench.errors import InputError, UsageError
from brainbench.terminal import AsJson, err, out, print_json


def time(
    paths: Annotated[list[Path], typer.Argument(help="Entries: JSON files, or folders of them.")],
    figure: Annotated[Path | None, typer.Option(help="Write the figure to this file, .png or .svg.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show scores over time: onset, peak, which layers peak when, and the figure, from entries alone."""
    from brainbench import api, plotting
    from brainbench.analysis.models import check_one_benchmark, told_apart
    from brainbench.analysis.temporal import temporal
    from brainbench.printing_time import print_time

    if figure is not None:
        plotting.check_kind(figure)
        api.check_writable(figure.parent, "--figure")
    found = stored(paths)
    entries, models = [], []
    for of_one in found.scored.values():
        timed = sorted((entry for entry in of_one if entry.time_course is not None), key=lambda entry: entry.model)
        try:
            check_one_benchmark(timed)
        except (InputError, UsageError) as error:
            found.wrong.append(error)
        else:
            entries += timed
            models += told_apart(timed)
    if not entries:
        names = ", ".join(found.labels.values())
        raise (
            found.wrong[0]
            if found.wrong
            else UsageError(f"no entry here has a score over time, only {names}: score a recording that has time")
        )
    tell_left_out(found, dict.fromkeys(entry.benchmark for entry in entries))
    orders = [temporal(entry) for entry in entries]
    if as_json:
        rows = [
            {
                "benchmark": entry.benchmark,
                "synthetic": entry.synthetic,
                "model": model,
                "time_course": entry.as_json()["time_course"],
                "temporal": order,
            }
            for entry, model, order in zip(entries, models, orders)
        ]
        print_json(rows)
    else:
        print_time(out, entries, models, orders)
    if figure is not None:
        err.print(Text(f"Written: {plotting.save_as(plotting.time_courses(entries), figure)}"))
    tell_wrong(found.wrong)
