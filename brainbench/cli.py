"""The command line: parse, call, print. stdout is the result, stderr everything else."""

from __future__ import annotations

import errno
import io
import logging
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.exceptions
from rich.logging import RichHandler
from rich.table import Table
from rich.text import Text

from brainbench import (
    __version__,
    cli_compare,
    cli_data,
    cli_entries,
    cli_few_shot,
    cli_leaderboard,
    cli_match,
    cli_query,
    cli_time,
    cli_train,
)
from brainbench.errors import (
    BrainbenchError,
    InputError,
    ResourceError,
    UnknownNameError,
    UsageError,
    VerificationError,
    listed,
)
from brainbench.terminal import AsJson, DataRoot, MaxMemory, ProgressBars, err, out, print_json, roots

INTERRUPTED = 130  # what shells call a command that Ctrl-C ended
_MAY_BREAK = ("title", "description", "modality", "regions", "areas", "licence")  # columns of lists; names never do
KINDS = ("datasets", "models", "scorers", "benchmarks")
Layers = Annotated[
    str | None,
    typer.Option(
        help="Layers, comma-separated: NAME or NAME:POOLING; a default ladder, if not given (docs/add_a_model.md)."
    ),
]

app = typer.Typer(
    help="How brain-like is a vision model, where in the brain, at what depth, and how sure are we?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(cli_compare.compare)
app.add_typer(cli_data.app, name="data")
app.add_typer(cli_train.app, name="train")
app.command()(cli_query.query)
app.command("few-shot")(cli_few_shot.few_shot)
app.command()(cli_time.time)
app.command()(cli_match.match)
app.command()(cli_leaderboard.submit)
app.add_typer(cli_leaderboard.app, name="leaderboard")


def _told_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def _common(
    _: Annotated[
        bool, typer.Option("--version", callback=_told_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks. May also follow the command.")] = False,
) -> None:
    logging.basicConfig(
        level="WARNING", format="%(message)s", handlers=[RichHandler(console=err, show_path=False, show_time=False)]
    )
    if debug:
        os.environ["BRAINBENCH_DEBUG"] = "1"


@app.command()
def version() -> None:
    """Print the version."""
    out.print(__version__)


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(metavar="|".join(KINDS), help="What to list.")],
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """List datasets, models, scorers or benchmarks, with what is here and how to get what is not."""
    from brainbench import listing

    if kind not in KINDS:
        raise UnknownNameError("list", kind, KINDS)
    rows = getattr(listing, kind)(roots(data_root))
    if as_json:
        print_json(rows)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    shown = [name for name in rows[0] if name != "how_to_get"]
    for name in shown:
        table.add_column(name, no_wrap=name not in _MAY_BREAK)
    for entry in rows:
        table.add_row(*[Text(_cell(entry[name])) for name in shown])
    out.print(table)
    for text in dict.fromkeys(entry["how_to_get"] for entry in rows if entry.get("how_to_get")):
        err.print(Text(f"\n{text}"))


@app.command()
def score(
    model: Annotated[str, typer.Argument(help="A model's name: see `brainbench list models`.")],
    benchmarks: Annotated[
        list[str] | None,
        typer.Option("--benchmarks", "-b", help="Ids or globs; may be repeated, or be followed by several."),
    ] = None,
    more: Annotated[
        list[str] | None, typer.Argument(metavar="BENCHMARKS", help="More ids or globs, after --benchmarks.")
    ] = None,
    layers: Layers = None,
    weights: Annotated[Path | None, typer.Option(help="Weights for a timm or open_clip model, from a file.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    max_memory: MaxMemory = None,
    data_root: DataRoot = None,
    out_folder: Annotated[Path | None, typer.Option("--out", help="Write the entries as JSON files here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score MODEL on every benchmark whose recording is here, or on those named.

    Exit code 3: an entry failed, or none has a score; 4: a recording that was named, or weights, are not here.
    """
    from brainbench import api
    from brainbench.printing import scores_table
    from brainbench.printing_studies import at_edge, dominated
    from brainbench.printing_time import latencies

    if more and not benchmarks:
        raise UsageError(f"score takes one model; got {model!r} and {more[0]!r} too. Benchmarks follow --benchmarks.")
    with ProgressBars() as bars:
        results = api.score(
            model,
            [*(benchmarks or []), *(more or [])] or None,
            layers=None if layers is None else [name.strip() for name in layers.split(",")],
            weights=weights,
            data_root=roots(data_root),
            device=device,
            max_memory=max_memory,
            out=out_folder,
            progress=lambda: bars,
        )
    if as_json:
        print_json([entry.as_json() for entry in results.entries])
    else:
        out.print(scores_table(model, results.entries))
        for line in [*latencies(results.entries), *dominated(results.entries), *at_edge(results.entries)]:
            out.print(Text(line))
    if results.skipped:
        names = ", ".join(sorted(results.skipped))
        err.print(Text(f"Not run, recording not here: {names}. See `brainbench list datasets`."))
    status = {entry.status for entry in results.entries}
    if "failed" in status or "ok" not in status:
        raise typer.Exit(InputError.exit_code)


@app.command()
def confounds(
    paths: Annotated[list[Path], typer.Argument(help="Entries: JSON files, or folders of them.")],
    as_json: AsJson = False,
) -> None:
    """Set scores beside what their layers are like, such as width and dimensionality, from entries alone."""
    from brainbench.analysis.confounds import Panel, panel
    from brainbench.printing_studies import LEGEND, print_panel

    found = cli_entries.stored(paths)
    panels: dict[str, Panel] = {}
    for name, entries in ((name, entries) for name, entries in found.scored.items() if entries):
        try:
            panels[name] = panel(entries)
        except (InputError, UsageError) as error:
            found.wrong.append(error)
    if not panels:
        raise found.wrong[0] if found.wrong else UsageError("no entry here has a score")
    cli_entries.tell_left_out(found, panels)
    if as_json:
        print_json([one.as_json() for one in panels.values()])
    else:
        for one in panels.values():
            print_panel(out, one)
        out.print(Text(LEGEND))
        shown = [entry for name in panels for entry in found.scored[name]]
        bare = sorted({entry.model for entry in shown if not any(layer.geometry for layer in entry.layers)})
        if bare:
            err.print(Text(f"Nothing is known of the layers of {', '.join(bare)}: score them again."))
    cli_entries.tell_wrong(found.wrong)


@app.command()
def describe(
    benchmarks: Annotated[list[str], typer.Argument(help="Ids or globs of benchmarks.")],
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Describe the recordings behind benchmarks: how much of them is signal, and of how many dimensions."""
    from brainbench import studies
    from brainbench.printing_studies import DESCRIBED, described

    found = studies.recordings(benchmarks, roots(data_root))
    if as_json:
        print_json(found)
        return
    out.print(described(found))
    out.print(Text(DESCRIBED))


@app.command()
def subsample(
    names: Annotated[list[str], typer.Argument(metavar="MODELS", help="Models by name, SOURCE:NAME.")],
    benchmarks: Annotated[
        list[str], typer.Option("--benchmarks", "-b", help="Ids or globs; may be repeated, or be followed by several.")
    ],
    draws: Annotated[int | None, typer.Option(help="Random subsets at each number; 10, if not given.")] = None,
    fractions: Annotated[str | None, typer.Option(help="Shares to keep; 0.75,0.5,0.25,0.125, if not given.")] = None,
    layers: Layers = None,
    figure: Annotated[Path | None, typer.Option(help="Write the figure to this file, .png or .svg.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    max_memory: MaxMemory = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Score models with fewer stimuli and with fewer neuroids: do score, best layer and ranking stay?"""
    from brainbench import api, plotting, studies
    from brainbench.printing_studies import print_robustness

    models = [name for name in names if ":" in name]  # what follows `-b ID` without an option comes with the models
    if not models:
        raise UsageError(f"no model was named: none of {', '.join(names)} is SOURCE:NAME")
    if figure is not None:
        plotting.check_kind(figure)
        api.check_writable(figure.parent, "--figure")  # before minutes of work, not after
    with ProgressBars() as bars:
        found = studies.subsample(
            models,
            [*benchmarks, *(name for name in names if ":" not in name)],
            fractions=None if fractions is None else _numbers(fractions),
            draws=draws,
            layers=None if layers is None else [name.strip() for name in layers.split(",")],
            data_root=roots(data_root),
            device=device,
            max_memory=max_memory,
            progress=lambda: bars,
        )
    if as_json:
        print_json([one.as_json() for one in found.benchmarks])
    else:
        print_robustness(out, found.benchmarks)
    if figure is not None:
        err.print(Text(f"Written: {found.figure(figure)}"))


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--fractions are numbers with commas between, such as 0.5,0.25; got {text!r}") from None


@app.command()
def check(
    name: Annotated[
        str, typer.Argument(help="A dataset, model or scorer by name, or yours: package.module:attribute.")
    ],
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Hold a dataset, model or scorer to its contract: one line a check, and how to mend what is broken.

    Exit code 5: a check fails; 4: a recording or weights are not here.
    """
    from brainbench.checks import run_checks
    from brainbench.checks._known import KNOWN_FAILURES
    from brainbench.checks._named import named

    thing = named(name, roots(data_root))
    outcomes = []
    for outcome in run_checks(thing, KNOWN_FAILURES.get(name)):
        outcomes.append(outcome)
        if not as_json:
            word = {"passed": "ok", "failed": "FAIL", "known": "known"}[outcome.status]
            mend = f" To mend it: {outcome.mend}" if outcome.status == "failed" else ""
            typer.echo(f"{word:<6}{outcome.check}{f': {outcome.message}.' if outcome.message else ''}{mend}")
    if as_json:
        print_json(outcomes)
    failed = [outcome.check for outcome in outcomes if outcome.status == "failed"]
    if failed:
        raise VerificationError(f"{name} fails {len(failed)} of {len(outcomes)} checks: {', '.join(failed)}")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return listed(map(str, value), 4) if isinstance(value, list) else str(value)


def _prepare_stdout() -> None:
    """What the terminal's encoding lacks is a "?", hours of work are not lost for it; and what is not written is told.

    Under PYTHONUNBUFFERED there is no buffer to see that only a part of a text went to a full disk: it gets one.
    """
    if not isinstance(sys.stdout, io.TextIOWrapper):
        return
    raw: Any = sys.stdout.buffer
    if isinstance(raw, io.RawIOBase) and sys.stdout is sys.__stdout__:  # another's would be closed with its wrapper
        raw = io.BufferedWriter(raw)
        sys.stdout = io.TextIOWrapper(raw, encoding=sys.stdout.encoding, line_buffering=True)
    sys.stdout.reconfigure(errors="replace")


def main() -> None:
    """Run the command line and exit: what goes wrong is one message and an exit code, a traceback only on request."""
    _prepare_stdout()
    warnings.filterwarnings("ignore", module="torch|timm|open_clip")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds: temporary files and the terminal are put right
    try:
        arguments = sorted(sys.argv[1:], key=lambda argument: argument != "--debug")  # it may stand anywhere
        # typer gives the code of an Exit back, also of the one it makes of Ctrl-C
        code = app(arguments, prog_name="brainbench", standalone_mode=False)
        out.file.flush()
    except typer.exceptions.TyperException as error:  # a flag or argument that does not exist, or none at all
        message = error.format_message()
        if message:
            context = getattr(error, "ctx", None)
            of = context.command_path if context else "brainbench"
            end = "" if message.endswith(("?", ".")) else "."
            err.print(Text(f"brainbench: {message}{end} `{of} --help` lists what there is."))
        code = UsageError.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except Exception as error:
        if os.environ.get("BRAINBENCH_DEBUG"):
            raise
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            error = ResourceError(f"cannot write: {error.strerror}. Free space and run again: finished work is stored.")
            sys.stdout = None  # what is left of the output would fail once more at the exit, with another code
        mine = isinstance(error, BrainbenchError)
        what = str(error) if mine else f"a bug: {type(error).__name__}: {error}. `brainbench --debug ...` shows where."
        err.print(Text(f"brainbench: {what}"))
        code = error.exit_code if isinstance(error, BrainbenchError) else BrainbenchError.exit_code
    if code == INTERRUPTED:
        err.print("brainbench: interrupted; finished work is stored, run again to go on")
    sys.exit(code)
