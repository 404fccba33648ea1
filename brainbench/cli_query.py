"""`brainbench query`: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from brainbench.errors import UsageError
from brainbench.terminal import AsJson, DataRoot, ProgressBars, out, print_json, roots


def query(
    model: Annotated[str, typer.Argument(help="A network with an image and a text tower: open_clip:ARCH/TAG.")],
    prompts: Annotated[list[str], typer.Argument(metavar="PROMPT...", help="Two or more, each in quotes.")],
    benchmarks: Annotated[
        list[str] | None,
        typer.Option(
            "--benchmarks",
            "-b",
            help="Ids or globs: whose neuroids and stimuli; may be repeated. This or --region is needed.",
        ),
    ] = None,
    region: Annotated[
        list[str] | None, typer.Option(help="Only this region; may be repeated. This or --benchmarks is needed.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="The network's weights, from a file.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Rank PROMPTs by how selective the neuroids of each region are for them, and label the regions."""
    from brainbench import queries
    from brainbench.benchmarks import known
    from brainbench.printing_studies import print_queried

    if stray := [prompt for prompt in prompts if prompt in known()]:
        raise UsageError(f"{stray[0]!r} is a benchmark, not a prompt: write --benchmarks before each")
    with ProgressBars() as bars:
        found = queries.query(
            model,
            prompts,
            benchmarks or None,
            regions=region or (),
            weights=weights,
            data_root=roots(data_root),
            device=device,
            progress=lambda: bars,
        )
    if as_json:
        print_json([one.as_json() for one in found])
    else:
        print_queried(out, found)
