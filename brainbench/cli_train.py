"""`brainbench train`: networks of the suite's own."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from brainbench.errors import UsageError
from brainbench.terminal import DataRoot, roots

app = typer.Typer(help="Train networks of the suite's own.", no_args_is_help=True)


@app.callback()
def _train() -> None:
    """Train networks of the suite's own."""


@app.command("in-context")
def in_context(
    dataset: Annotated[str, typer.Option(help="The recording to train on.")],
    subjects: Annotated[str, typer.Option(help="Subjects to train on, comma-separated.")],
    out: Annotated[Path, typer.Option(help="Where the checkpoint goes, a .safetensors file.")],
    model: Annotated[str, typer.Option(help="The network whose features are read.")] = "bundled:efficientnet_lite0",
    layer: Annotated[str, typer.Option(help="Its layer on a grid, NAME:grid<side>.")] = "blocks.4:grid4",
    unseen: Annotated[str, typer.Option(help="Benchmarks that the training may not touch, comma-separated.")] = "",
    preset: Annotated[str, typer.Option(help="Sizes of the network: tiny, small, clip, ...")] = "small",
    components: Annotated[int, typer.Option(help="Components that features are reduced to.")] = 384,
    steps: Annotated[str, typer.Option(help="Steps of the three stages.")] = "2500,300,800",
    seed: Annotated[int, typer.Option(help="Of all random numbers.")] = 0,
    precision: Annotated[str, typer.Option(help="float32 or bf16.")] = "float32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    data_root: DataRoot = None,
) -> None:
    """Train the in-context encoder: synthetic neuroids, longer contexts, then real neuroids of the subjects named."""
    from brainbench import training
    from brainbench.runner import make_setting

    counts = [part.strip() for part in steps.split(",")]
    if len(counts) != 3 or not all(part.isdigit() for part in counts):
        raise UsageError(f"--steps are three numbers, such as 2500,300,800; got {steps!r}")
    if precision not in ("float32", "bf16"):
        raise UsageError(f"--precision is float32 or bf16, got {precision!r}")
    if out.suffix != ".safetensors":
        raise UsageError(f"--out is a .safetensors file, got {out.name!r}")
    order = training.Order(
        dataset=dataset,
        subjects=tuple(name.strip() for name in subjects.split(",")),
        model=model,
        layer=layer,
        unseen=tuple(name.strip() for name in unseen.split(",") if name.strip()),
        preset=preset,
        components=components,
        steps=(int(counts[0]), int(counts[1]), int(counts[2])),
        seed=seed,
        precision=precision,
    )
    setting = make_setting(roots=roots(data_root), device=device)
    given = [argument.replace(str(out), out.name) for argument in sys.argv[1:] if argument != "--debug"]
    command = shlex.join(["brainbench", *given])
    path = training.in_context(order, out, setting, tell=lambda line: typer.echo(line, err=True), command=command)
    typer.echo(str(path))
