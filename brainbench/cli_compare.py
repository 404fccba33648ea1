"""`brainbench compare`: parse, call, print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from brainbench.cli_entries import stored, tell_left_out, tell_wrong
from brainbench.errors import InputError, UsageError
from brainbench.terminal import AsJson, DataRoot, MaxMemory, ProgressBars, err, out, print_json, roots


def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH|MODEL",
            help="Entries: JSON files, or folders of them. With --regions, models by name.",
        ),
    ],
    regions: Annotated[
        list[str] | None,
        typer.Option(help="Regions or benchmarks in the order that depth should follow: V1,V4,IT or V1 V4 IT."),
    ] = None,
    benchmarks: Annotated[
        list[str] | None,
        typer.Option("--benchmarks", "-b", help="Ids or globs to look for the regions in; may be repeated."),
    ] = None,
    scorer: Annotated[
        str | None, typer.Option(help="Whose benchmarks stand for a region: ridge, if not given.")
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(help="Write figures, PNG and SVG, to this folder: of regions, or curves of kernel_analysis."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda, cuda:1, ..., with --regions; auto, if not given.")
    ] = None,
    max_memory: MaxMemory = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Compare models on each benchmark, pair by pair, from their entries alone; or regions of cortex for each model."""
    if regions:
        _compare_regions(
            names,
            regions,
            benchmarks=benchmarks or None,
            scorer=scorer or "ridge",
            figures=figures,
            as_json=as_json,
            data_root=roots(data_root),
            device=device or "auto",
            max_memory=max_memory,
        )
        return
    of_regions = {"benchmarks": benchmarks, "scorer": scorer, "device": device}
    for option, given in (of_regions | {"max-memory": max_memory, "data-root": data_root}).items():
        if given:
            raise UsageError(f"--{option} goes with --regions: entries are compared as they stand")
    _compare_entries([Path(name) for name in names], figures, as_json)


def _compare_regions(
    names: list[str], given: list[str], *, figures: Path | None, as_json: bool, data_root: Any, **options: Any
) -> None:
    from dataclasses import replace

    from brainbench import api
    from brainbench.printing import print_regions, shown

    # what follows `--regions V1` without an option of its own comes with the models; these have a colon in their names
    more = [name for name in names if ":" not in name]
    models = list(dict.fromkeys(name for name in names if ":" in name))
    if not models:
        raise UsageError(f"no model was named beside the regions: none of {', '.join(names)} is SOURCE:NAME")
    if more and len(given) > 1:
        raise UsageError(f"give all regions after one --regions; {more[0]!r} stands apart")
    wanted = [name for text in (*given, *more) for name in text.replace(",", " ").split()]
    if figures is not None:
        api.check_writable(figures, "--figures")  # before hours of work, not after
    loaded = [api.load_model(model, roots=data_root) for model in models]  # a misspelt one, too
    with ProgressBars() as bars:
        found = [
            api.compare_regions(model, wanted, data_root=data_root, progress=lambda: bars, **options)
            for model in loaded
        ]
    if len({regions.comparison.model for regions in found}) < len(found):  # files of one name, in two folders
        found = [api.Regions(replace(r.comparison, model=model)) for r, model in zip(found, models)]
    if as_json:
        print_json([regions.comparison.as_json() for regions in found])
    else:
        print_regions(out, [regions.comparison for regions in found])
    for path in (path for regions in found if figures is not None for path in regions.figures(figures)):
        err.print(Text(f"Written: {path}"))
    unscored = [region for regions in found for region in regions.comparison.regions if region.best is None]
    for region in unscored:
        err.print(Text(f"{shown(region)} has no score: {region.curve.reason}"))
    if unscored:
        raise typer.Exit(InputError.exit_code)


def _compare_entries(paths: Sequence[Path], figures: Path | None, as_json: bool) -> None:
    """What pairs is shown; what does not is told, and makes the exit code."""
    from brainbench import plotting
    from brainbench.analysis.models import compare as compare_entries
    from brainbench.printing import print_standings

    found = stored(paths)
    several = {name: entries for name, entries in found.scored.items() if len(entries) > 1}
    too_few = ", ".join(label for name, label in found.labels.items() if name not in several)
    results = {}
    for name, entries in several.items():
        try:
            results[name] = compare_entries(entries)
        except (InputError, UsageError) as error:
            found.wrong.append(error)
    if not results:
        raise (
            found.wrong[0]
            if found.wrong
            else UsageError(f"no benchmark has scores of two models here, only one or none of {too_few}")
        )
    curves = [name for name in results if all(plotting.has_curve(entry) for entry in several[name])]
    if figures is not None and not curves:
        raise UsageError("--figures goes with --regions, or with entries of kernel_analysis: no others have curves")
    if too_few:
        err.print(Text(f"Not compared, fewer than two models have a score: {too_few}"))
    tell_left_out(found, results)
    if as_json:
        plain = {
            name: {"standings": [s.as_json() for s in standings], "differences": [d.as_json() for d in differences]}
            for name, (standings, differences) in results.items()
        }
        print_json(plain)
    else:
        for name, (standings, differences) in results.items():
            print_standings(out, found.labels[name], standings, differences, synthetic=several[name][0].synthetic)
        out.print(
            "Paired replicates; p two-sided; q after Benjamini and Hochberg over the pairs of a benchmark. Models that "
            "share a letter are not told apart at q < .05. best in: share of replicates in which the model is first."
        )
    if figures is not None:
        drawn = [(f"{name}-curves", plotting.kernel_curves(several[name])) for name in curves]
        for path in (path for name, figure in drawn for path in plotting.save(figure, figures, name)):
            err.print(Text(f"Written: {path}"))
    tell_wrong(found.wrong)
