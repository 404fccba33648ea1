"""`brainbench few-shot`: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from brainbench.errors import UsageError
from brainbench.terminal import AsJson, DataRoot, ProgressBars, err, out, print_json, roots


def few_shot(
    model: Annotated[str, typer.Argument(help="Whose features are read; in_context:NAME brings its encoder.")],
    benchmark: Annotated[str, typer.Option("--benchmark", "-b", help="Whose neuroids and stimuli.")],
    sizes: Annotated[str, typer.Option(help="Numbers of support stimuli.")] = "10,20,50,100,200",
    subject: Annotated[
        str | None, typer.Option(help="Only this subject; needed where the benchmark has several.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="The layer that is read: NAME or NAME:POOLING; needed where MODEL has several.")
    ] = None,
    figure: Annotated[Path | None, typer.Option(help="Write the figure to this file, .png or .svg.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Compare readouts from few stimuli, size by size: ridge, and the in-context encoder where MODEL has one."""
    from brainbench import api, few_shots, plotting
    from brainbench.printing_studies import few_shot_table

    counts = [part.strip() for part in sizes.split(",")]
    if not all(part.isdigit() and int(part) >= 10 for part in counts):
        raise UsageError(f"--sizes are whole numbers from 10 with commas between, such as 10,100; got {sizes!r}")
    if figure is not None:
        plotting.check_kind(figure)
        api.check_writable(figure.parent, "--figure")
    with ProgressBars() as bars:
        found = few_shots.few_shots(
            model,
            benchmark,
            [int(part) for part in counts],
            subject=subject,
            layer=layer,
            roots=roots(data_root),
            device=device,
            progress=lambda: bars,
        )
    shown = f"{found.benchmark} (synthetic)" if found.synthetic else found.benchmark
    if as_json:
        print_json(found)
    else:
        out.print(few_shot_table(shown, found.points))
        out.print(
            Text(
                f"Ridge on all training stimuli: {found.full:.3f}. Differences are of mean r, from ridge. Intervals "
                "are over test stimuli, not over supports: other supports would have moved scores further."
            )
        )
    if figure is not None:
        told = f"n = {found.n_stimuli} stimuli, {found.n_neuroids} neuroids"
        drawn = plotting.few_shot(found.points, title=shown, told=told, full=found.full)
        err.print(Text(f"Written: {plotting.save_as(drawn, figure)}"))
