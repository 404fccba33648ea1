"""`brainbench submit` and `brainbench leaderboard ...`: parse, call, print."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer
from rich.text import Text

from brainbench.errors import InputError, UnknownNameError, UsageError, VerificationError, listed
from brainbench.terminal import AsJson, DataRoot, ProgressBars, err, out, print_json, roots

app = typer.Typer(help="Check, recompute, sign and show a leaderboard's entries.", no_args_is_help=True)
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
Root = Annotated[Path, typer.Argument(metavar="LEADERBOARD", help="A leaderboard's folder: the one with results/.")]
Attest = Annotated[
    Path | None, typer.Option("--attest", metavar="KEY", help="If all holds, sign that with this ssh key.")
]
Signer = Annotated[str, typer.Option(help="Your name in allowed_signers.")]
MOST_SHOWN = 20
log = logging.getLogger("brainbench")


def submit(
    run: Annotated[Path, typer.Argument(help="A run's entries: a file, or a folder, as `score --out` writes them.")],
    to: Annotated[Path, typer.Option("--to", help="The leaderboard's folder in your clone.")],
    features: Annotated[
        Path | None, typer.Option(help="The features file that was scored, to be submitted with the scores.")
    ] = None,
    scores_only: Annotated[
        bool, typer.Option("--scores-only", help="For the open division: nobody can check these.")
    ] = False,
    title: Annotated[str | None, typer.Option(help="The model's name as it shall be shown.")] = None,
    submitter: Annotated[str | None, typer.Option(help="Who answers for the submission.")] = None,
    supersede: Annotated[
        str, typer.Option(metavar="REASON", help="Take the place of earlier entries, for this reason.")
    ] = "",
) -> None:
    """Prepare the entries of RUN for a leaderboard, and say what the pull request must hold."""
    from brainbench.leaderboard import submit as submission
    from brainbench.leaderboard.cards import CARD

    facts = {name: value for name, value in (("title", title), ("submitter", submitter)) if value is not None}
    folders = submission.submit(run, to, facts=facts, features=features, scores_only=scores_only, reason=supersede)
    for folder in folders:
        typer.echo(folder)
        if fields := submission.missing(folder):
            err.print(Text(f"Fill in {folder / CARD}: {', '.join(fields)}."))
        if others := submission.side_by_side(folder):
            err.print(
                Text(
                    f"This model is there already, with other weights or layers: {listed(list(map(str, others)), 3)}. "
                    "Both stay. If this one takes its place, submit again with --supersede REASON."
                )
            )
    err.print(
        Text(
            f"Then run `brainbench leaderboard validate {to}` and open a pull request with "
            f"{'this folder' if len(folders) == 1 else 'these folders'} and nothing else. See docs/submitting.md."
        )
    )


@app.command("validate")
def validate_(
    path: Annotated[Path, typer.Argument(help="A leaderboard's folder, or one submission.")],
    against: Annotated[
        Path | None, typer.Option(help="The leaderboard as it was: what stood there may not change in silence.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check files, schema, fingerprints, ranges, cards and signatures; nothing is written. Exit code 3: problems."""
    from brainbench.leaderboard.validate import validate

    report = validate(path, against=against)
    if as_json:
        print_json({"problems": report.problems, "notes": report.notes})
    else:
        for note in report.notes:
            err.print(Text(f"note: {note}"))
        for problem in report.problems:
            out.print(Text(str(problem)))
    if report.problems:
        n = len(report.problems)
        raise InputError(f"{n} problem{'s' * (n > 1)} in {path}")
    err.print(Text(f"{report.n_entries} entries in {len(report.submissions)} submissions: all valid"))


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(help="A submission's folder in results/.")],
    sample: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Recompute only what N cells, benchmark x subject, need.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Draws the cells and the control; a new one, if not given.")] = None,
    attest: Attest = None,
    signer: Signer = "",
    device: Device = "auto",
    data_root: DataRoot = None,
) -> None:
    """Recompute a submission and compare it field by field. Exit code 5: it is not what it says, with the field.

    Nothing that was computed before is used. A sample leaves the baselines out, which cost as much as the model.
    """
    import secrets

    from brainbench import settings
    from brainbench.leaderboard import recompute

    submission = _submission(path)
    seed = secrets.randbelow(2**31) if seed is None else seed
    entries = recompute.current([e for e in submission.entries.values() if e.status == "ok"])
    cells: list[str] = []
    if sample is not None:
        entries, cells = recompute.sampled(entries, sample, seed)
    badge = "spot-checked" if sample is not None else "reproduced"
    signed = entries
    if attest is not None:  # what forbids the signature is told before the hours that a recomputation takes
        signed = _may_sign(path, entries, badge, attest, signer)
    found_roots = roots(data_root)
    with (
        ProgressBars() as bars,
        recompute.fresh(settings.make_setting(roots=found_roots, device=device, progress=lambda: bars)) as setting,
    ):
        model = recompute.rebuilt(path, submission.card, entries[0], found_roots)
        computed = recompute.again(model, entries, setting, baselines=sample is None)
        scored = [entry for entry in entries if computed[entry.benchmark].status == "ok"]
        exchanged = recompute.control(model, scored, setting, seed=seed)
    tolerance = recompute.TOLERANCE[submission.card.submission]
    what = f"seed {seed}" + (f", cells {', '.join(cells)}" if cells else "")
    err.print(Text(f"Recomputed {len(entries)} of {len(submission.entries)} entries, tolerance {tolerance:g}; {what}"))
    failures = []
    for entry in entries:
        claimed = entry if sample is None else entry.model_copy(update={"baselines": {}})
        bad = [d for d in recompute.differences(claimed, computed[entry.benchmark], tolerance) if d.fails]
        null = exchanged.get(entry.benchmark)
        leaks = null is not None and recompute.control_fails(entry, null)
        control = f"control{' fails,' if leaks else ''} {_number(null.raw if null else None)}"
        out.print(Text(f"{entry.label}: {'differs' if bad else 'agrees'}; {control} against {_number(entry.raw)}"))
        failures += [f"{entry.benchmark}: {d.field}: claimed {d.claimed}, computed {d.computed}" for d in bad]
        if leaks and null is not None:
            failures.append(f"{entry.benchmark}: control: {null.raw:.3f} with the stimuli exchanged is no less")
    if failures:
        for line in failures[:MOST_SHOWN]:
            err.print(Text(line))
        raise VerificationError(f"{submission.card.model} is not what it says in {len(failures)} fields: {failures[0]}")
    if attest is not None:
        _sign(submission, signed, badge, attest, signer, computed, f"verify, {what}")


@app.command()
def reproduce(
    path: Annotated[Path, typer.Argument(metavar="ENTRY", help="An entry's file in results/<model>/.")],
    device: Device = "auto",
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Make the run of an entry again, baselines included: every number that differs, and what of the machine does.

    Nothing that was computed before is used.
    """
    from brainbench import settings
    from brainbench.leaderboard import recompute

    submission = _submission(path.parent)
    if path.name not in submission.entries:
        raise UnknownNameError("entry", path.name, submission.entries)
    (entry,) = recompute.current([submission.entries[path.name]])
    found_roots = roots(data_root)
    with (
        ProgressBars() as bars,
        recompute.fresh(settings.make_setting(roots=found_roots, device=device, progress=lambda: bars)) as setting,
    ):
        model = recompute.rebuilt(path.parent, submission.card, entry, found_roots)
        computed = recompute.again(model, [entry], setting, baselines=True)[entry.benchmark]
    tolerance = recompute.TOLERANCE[submission.card.submission]
    differences = recompute.differences(entry, computed, tolerance)
    environments = recompute.environments(entry, computed)
    if as_json:
        print_json({"differences": differences, "environment": environments})
    else:
        for d in differences[:MOST_SHOWN]:
            mark = "beyond the tolerance" if d.fails else "within"
            out.print(Text(f"{d.field}: claimed {d.claimed}, computed {d.computed} ({mark})"))
        out.print(
            Text(
                f"{entry.label}: {len(differences)} fields differ, "
                f"{sum(d.fails for d in differences)} beyond {tolerance:g}"
            )
        )
        for name, (one, other) in environments.items():
            out.print(Text(f"environment, {name}: {one} there, {other} here"))
    bad = [d.field for d in differences if d.fails]
    if bad:
        raise VerificationError(f"{entry.label} is not reproduced: {listed(bad)}")


@app.command("attest")
def attest_(
    entries: Annotated[list[Path], typer.Argument(help="Files of entries in results/<model>/.")],
    verdict: Annotated[str, typer.Option(help="spot-checked, reproduced, disputed, withdrawn or lifted.")],
    key: Annotated[Path, typer.Option(help="Your private ssh key, or the public one if an agent holds it.")],
    signer: Signer,
    reason: Annotated[
        str, typer.Option(help="Why, in one line, as it shall be shown; needed for disputed, withdrawn and lifted.")
    ] = "",
) -> None:
    """Sign a verdict on entries: a badge, an objection, or that an objection is lifted.

    A verdict that a recomputation gives is better signed by `verify --attest`.
    """
    from brainbench.leaderboard import attestations

    if verdict not in get_args(attestations.Verdict):
        raise UnknownNameError("verdict", verdict, get_args(attestations.Verdict))
    if len(found := {_root(path.parent) for path in entries}) > 1:
        raise UsageError(f"these are entries of {len(found)} leaderboards: attest those of one at a time")
    (root,) = found
    names = [f"{path.parent.resolve().name}/{path.name}" for path in entries]
    said: dict[str, Any] = {"key": key, "signer": signer, "reason": reason}
    attestations.check(root, names, cast(Any, verdict), **said)
    for name in names:
        typer.echo(attestations.attest(root, name, cast(Any, verdict), **said))


@app.command()
def build(
    root: Root,
    merge: Annotated[
        list[Path] | None,
        typer.Option(help="Show your own unpublished entries beside the public ones; may be repeated."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="The file to write; LEADERBOARD/site/index.html, if not given.")
    ] = None,
) -> None:
    """Write the leaderboard as one static page that works offline, from disk."""
    if merge and to is None:
        raise UsageError("give a page with unpublished entries a place of its own, --to FILE: site/ is public")
    if merge and to is not None and to.resolve().is_relative_to((root / "site").resolve()):
        raise UsageError(f"{to} lies in {root / 'site'}, which is public: give the page a place of its own")
    _write_page(root, merge or (), to)


@app.command()
def schema(root: Root) -> None:
    """Write the JSON Schemas of entries, cards and attestations to LEADERBOARD/schema."""
    from brainbench.leaderboard.schema import write_schemas

    for path in write_schemas(root / "schema"):
        typer.echo(path)


@app.command("fill")
def fill_(
    root: Root,
    models: Annotated[
        list[str] | None, typer.Option("--model", help="Only this model of the list; may be repeated.")
    ] = None,
    benchmarks: Annotated[
        list[str] | None,
        typer.Option("--benchmarks", "-b", help="Only these of the list's, ids or globs; may be repeated."),
    ] = None,
    supersede: Annotated[
        str, typer.Option(metavar="REASON", help="Score again what is there, and take its place for this reason.")
    ] = "",
    device: Device = "auto",
    data_root: DataRoot = None,
) -> None:
    """Score and submit what LEADERBOARD/models.toml lists and is not there yet, then write the page."""
    from brainbench.leaderboard.fill import fill

    with ProgressBars() as bars:
        for name, result in fill(
            root,
            only=models,
            benchmarks=benchmarks,
            roots=roots(data_root),
            device=device,
            progress=lambda: bars,
            reason=supersede,
        ):
            if isinstance(result, str):
                err.print(Text(f"{name} was left out: {result}"))
            elif result:
                typer.echo("\n".join(map(str, result)))
            else:
                err.print(Text(f"{name} has all its entries"))
    _write_page(root)


def _write_page(root: Path, merge: Sequence[Path] = (), to: Path | None = None) -> None:
    from brainbench.leaderboard.board import read_board
    from brainbench.leaderboard.pages import write

    board = read_board(root, merge)
    for problem in board.problems:
        log.warning("left out: %s", problem)
    path = write(board, to or root / "site" / "index.html")
    typer.echo(path)
    err.print(Text(f"{len(board.rows)} entries, {path.stat().st_size:,} bytes"))


def _submission(folder: Path) -> Any:
    """A submission without problems; an entry of an earlier benchmark may be there: what recomputes leaves it out.

    Raises UsageError for a folder that is none, VerificationError, naming the field, for one that cannot be right.
    """
    from brainbench.leaderboard.cards import CARD
    from brainbench.leaderboard.validate import validate

    if folder.is_dir() and not (folder / CARD).exists():
        raise UsageError(f"{folder} is no submission, it has no {CARD}: name one folder of results/")
    report = validate(folder)
    problems = [str(problem) for problem in report.problems if problem.field != "benchmark_fingerprint"]
    if problems or len(report.submissions) != 1:
        raise VerificationError(f"not valid, so not recomputed: {listed(problems, 3)}")
    return report.submissions[0]


def _root(folder: Path) -> Path:
    root = folder.resolve().parent.parent
    if folder.resolve().parent.name != "results":
        raise UsageError(f"{folder} does not lie in the results/ of a leaderboard, where attestations belong beside it")
    return root


def _may_sign(folder: Path, entries: list[Any], verdict: str, key: Path, signer: str) -> list[Any]:
    """The entries that nobody objects to; the others are told. Raises what `_sign` would raise for them."""
    from brainbench.leaderboard.attestations import Attested, check, read_all

    if not signer:
        raise UsageError("--attest goes with --signer: your name in allowed_signers")
    root = _root(folder)
    attested, _ = read_all(root)
    objections = {e.path.as_posix(): attested.get(e.path.as_posix(), Attested()).objection for e in entries}
    free = [e for e in entries if objections[e.path.as_posix()] is None] or entries
    check(root, [entry.path.as_posix() for entry in free], cast(Any, verdict), key=key, signer=signer)
    for name, objection in objections.items():
        if objection is not None:
            err.print(Text(f"{name} will have no badge: it is {objection.verdict}"))
    return free


def _sign(
    submission: Any, entries: list[Any], verdict: str, key: Path, signer: str, computed: dict[str, Any], reason: str
) -> None:
    from brainbench.leaderboard.attestations import attest

    for entry in entries:
        here = computed[entry.benchmark]
        environment = {
            name: str(value)[:100] for name, value in here.provenance.items() if isinstance(value, str | int)
        }
        path = attest(
            _root(submission.folder),
            entry.path.as_posix(),
            cast(Any, verdict),
            key=key,
            signer=signer,
            reason=reason[:1000],
            sha256=submission.sha256[entry.path.name],  # a recomputation takes hours, in which files may change
            largest_difference=abs((entry.raw or 0.0) - (here.raw or 0.0)),
            environment=environment,
        )
        typer.echo(path)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
