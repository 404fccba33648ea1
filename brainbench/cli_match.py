"""`brainbench match`: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from brainbench.terminal import AsJson, DataRoot, ProgressBars, err, out, print_json, roots


def match(
    first: Annotated[str, typer.Argument(metavar="MODEL_A", help="Among whose units partners are looked for.")],
    second: Annotated[
        str, typer.Argument(metavar="MODEL_B", help="Whose units are looked for: a model, recording:...")
    ],
    stimuli: Annotated[str, typer.Option(help="A dataset or benchmark, whose pictures both see.")],
    layers: Annotated[
        str | None,
        typer.Option(
            help="Pairs A=B, comma-separated; A alone stands for the same name in MODEL_B. All of A's, if not given."
        ),
    ] = None,
    units: Annotated[int, typer.Option(min=2, help="Most units of a layer; of more, so many are drawn.")] = 256,
    groups: Annotated[int, typer.Option(min=1, help="Into how many groups the units of both fall.")] = 8,
    figure: Annotated[Path | None, typer.Option(help="Write the figure to this file, .png or .svg.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Match units of two models, or of a model and a recording: one-to-one, best, few and all partners; groups."""
    from brainbench import api, matches, plotting
    from brainbench.printing_studies import print_matches

    if figure is not None:
        plotting.check_kind(figure)
        api.check_writable(figure.parent, "--figure")  # before minutes of work, not after
    with ProgressBars() as bars:
        found = matches.matches(
            first,
            second,
            stimuli,
            layers=None if layers is None else [text.strip() for text in layers.split(",")],
            n_units=units,
            n_groups=groups,
            roots=roots(data_root),
            device=device,
            progress=lambda: bars,
        )
    if as_json:
        print_json(found.as_json())
    else:
        print_matches(out, found)
    if figure is not None:
        title = f"{found.stimuli} (synthetic)" if found.synthetic else found.stimuli
        drawn = plotting.matching(found.pairs, title=title, systems=(found.first, found.second))
        err.print(Text(f"Written: {plotting.save_as(drawn, figure)}"))
