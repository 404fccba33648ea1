"""`brainbench train`: networks of the suite's own, and what their trainings are worth."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from brainbench.errors import UsageError
from brainbench.terminal import AsJson, DataRoot, out, print_json, roots

app = typer.Typer(help="Train networks of the suite's own.", no_args_is_help=True)

Dataset = Annotated[str, typer.Option(help="The recording to train on.")]
Subjects = Annotated[str, typer.Option(help="Subjects to train on, comma-separated.")]
Network = Annotated[str, typer.Option("--model", help="The network whose features are read.")]
Layer = Annotated[str, typer.Option(help="Its layer on a grid, NAME:grid<side>.")]
Preset = Annotated[str, typer.Option(help="Sizes of the network: tiny, small, clip, dino or siglip.")]
Components = Annotated[int, typer.Option(help="Components that features are reduced to.")]
Steps = Annotated[str, typer.Option(help="Steps of the three stages.")]
Seed = Annotated[int, typer.Option(help="Of all random numbers.")]
Sizes = Annotated[str, typer.Option(help="Numbers of support stimuli.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
FigureFile = Annotated[Path | None, typer.Option(help="Write the figure to this file, .png or .svg.")]


@app.callback()
def _train() -> None:
    """Train networks of the suite's own."""


@app.command("in-context")
def in_context(
    dataset: Dataset,
    subjects: Subjects,
    out: Annotated[Path, typer.Option(help="Where the checkpoint goes, a .safetensors file.")],
    model: Network = "bundled:efficientnet_lite0",
    layer: Layer = "blocks.4:grid4",
    unseen: Annotated[str, typer.Option(help="Benchmarks that the training may not touch, comma-separated.")] = "",
    neuroids: Annotated[
        int | None,
        typer.Option(
            help="Learn from so many neuroids: 0 is synthetic ones alone; all but those held out, if not given."
        ),
    ] = None,
    preset: Preset = "small",
    components: Components = 384,
    steps: Steps = "200,0,400",
    seed: Seed = 0,
    precision: Annotated[str, typer.Option(help="float32 or bf16.")] = "float32",
    device: Device = "auto",
    data_root: DataRoot = None,
) -> None:
    """Train the in-context encoder: synthetic neuroids, longer contexts, then real neuroids of the subjects named."""
    from brainbench import api, training
    from brainbench.settings import make_setting

    if precision not in ("float32", "bf16"):
        raise UsageError(f"--precision is float32 or bf16, got {precision!r}")
    if out.suffix != ".safetensors":
        raise UsageError(f"--out is a .safetensors file, got {out.name!r}")
    first, second, third = _stages(steps)
    order = training.Order(
        dataset=dataset,
        subjects=_names(subjects),
        model=model,
        layer=layer,
        unseen=_names(unseen),
        neuroids=neuroids,
        preset=preset,
        components=components,
        steps=(first, second, third),
        seed=seed,
        precision=precision,
    )
    api.check_writable(out.parent, "--out")
    setting = make_setting(roots=roots(data_root), device=device)
    path = training.in_context(
        order, out, setting, tell=lambda line: typer.echo(line, err=True), command=_command(sys.argv[1:], out)
    )
    typer.echo(str(path))


@app.command()
def scaling(
    dataset: Dataset,
    subjects: Subjects,
    neuroids: Annotated[str, typer.Option(help="Numbers of neuroids to learn from; 0 is synthetic ones alone.")],
    model: Network = "bundled:efficientnet_lite0",
    layer: Layer = "blocks.4:grid4",
    preset: Preset = "small",
    components: Components = 384,
    steps: Steps = "50,0,150",
    seed: Seed = 0,
    sizes: Sizes = "20,100",
    figure: FigureFile = None,
    device: Device = "auto",
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Train on fewer and more neuroids, equally long, and compare held-out neuroids: does the score rise?"""
    from brainbench import api, plotting, training, training_studies
    from brainbench.settings import make_setting

    counts = _numbers(neuroids, "--neuroids", least=0)
    first, second, third = _stages(steps)
    order = training.Order(
        dataset=dataset,
        subjects=_names(subjects),
        model=model,
        layer=layer,
        preset=preset,
        components=components,
        steps=(first, second, third),
        seed=seed,
    )
    asked = _numbers(sizes, "--sizes", least=3)
    if figure is not None:
        plotting.check_kind(figure)
        api.check_writable(figure.parent, "--figure")
    setting = make_setting(roots=roots(data_root), device=device)
    found = training_studies.scaling(order, counts, asked, setting, tell=lambda line: typer.echo(line, err=True))
    _show(found, f"held-out neuroids of {dataset} {subjects}", "neuroids learned from", f"less {counts[0]}", as_json)
    if figure is not None:
        typer.echo(f"Written: {plotting.save_as(plotting.scaling(found), figure)}", err=True)


@app.command("held-out")
def held_out(
    checkpoint: Annotated[str, typer.Argument(help="A shipped name, or a .safetensors file.")],
    sizes: Sizes = "10,20,50,100,200,400",
    device: Device = "auto",
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Score the neuroids that a training held out: by ridge, by the encoder, and by its test-time ensembles."""
    from brainbench import training_studies
    from brainbench.settings import make_setting

    asked = _numbers(sizes, "--sizes", least=10)
    setting = make_setting(roots=roots(data_root), device=device)
    found = training_studies.held_out(checkpoint, asked, setting)
    _show(found, f"neuroids held out of {checkpoint}", "readout", "less in-context", as_json)


@app.command()
def gaussian(
    features: Annotated[int, typer.Option(help="Of a stimulus.")] = 8,
    noise: Annotated[float, typer.Option(help="Variance of the noise; the signal has 1.")] = 0.5,
    preset: Preset = "tiny",
    steps: Annotated[int, typer.Option(help="Of the training.")] = 3000,
    sizes: Sizes = "2,4,8,16,32,64",
    seed: Seed = 0,
    figure: FigureFile = None,
    as_json: AsJson = False,
) -> None:
    """Train on Gaussian neuroids, whose best readout is known, and tell how near the network comes to it. Synthetic."""
    from brainbench import api, plotting
    from brainbench.in_context.gaussian import Gaussian, risk, trained
    from brainbench.printing_studies import risk_table

    prior = Gaussian(n_features=features, noise=noise)
    asked = _numbers(sizes, "--sizes", least=2)
    if figure is not None:
        plotting.check_kind(figure)
        api.check_writable(figure.parent, "--figure")

    def after(step: int, loss: float) -> None:
        if (step + 1) % 500 == 0:
            typer.echo(f"step {step + 1}/{steps} loss {loss:.4f}", err=True)

    before, network = trained(prior, name=preset, largest=max(asked), steps=steps, seed=seed, after=after)
    found = [risk(prior, before, network, size=size, seed=seed) for size in asked]
    if as_json:
        print_json(found)
    else:
        out.print(risk_table(found, title=f"Gaussian neuroids (synthetic), {features} features, noise {noise:g}"))
    if figure is not None:
        typer.echo(f"Written: {plotting.save_as(plotting.risks(found), figure)}", err=True)


def _show(found: list, title: str, heading: str, difference: str, as_json: bool) -> None:  # type: ignore[type-arg]
    from brainbench.printing_studies import explained_table

    if as_json:
        print_json(found)
    else:
        out.print(explained_table(found, title=title, heading=heading, difference=difference))


def _stages(steps: str) -> list[int]:
    counts = [part.strip() for part in steps.split(",")]
    if len(counts) != 3 or not all(part.isdigit() for part in counts):
        raise UsageError(f"--steps are three numbers, such as 200,0,400; got {steps!r}")
    return [int(part) for part in counts]


def _numbers(text: str, option: str, *, least: int) -> list[int]:
    """Ascending whole numbers that were told with commas between."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) >= least for part in parts):
        raise UsageError(f"{option} are whole numbers from {least} with commas between, such as 20,100; got {text!r}")
    return sorted({int(part) for part in parts})


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _command(arguments: list[str], out: Path) -> str:
    """The command as a card tells it: without folders of this machine, which are nobody's business."""
    kept, skip = [], False
    for argument in arguments:
        if skip or argument == "--debug" or argument.startswith("--data-root"):
            skip = argument == "--data-root"
            continue
        kept.append(argument.replace(str(out), out.name))
    return shlex.join(["brainbench", *kept])
