"""`brainbench data ...`: parse, call, print."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from brainbench.errors import AccessError, UsageError, VerificationError, listed
from brainbench.terminal import AsJson, DataRoot, DownloadBar, ProgressBars, err, out, print_json, roots

app = typer.Typer(help="Find, check, fetch and describe the files of recordings.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="ID", help="A dataset: see `brainbench data list`.")]
MOST_SHOWN = 20


@app.command("list")
def list_(data_root: DataRoot = None, as_json: AsJson = False) -> None:
    """How much of each recording is here, its licence, and who may have it."""
    from brainbench.holdings import locating

    rows = locating.overview(roots(data_root))
    if as_json:
        print_json(rows)
        return
    out.print(_table(rows, breaks=("licence", "folder")))


@app.command()
def locate(id: Id, data_root: DataRoot = None, as_json: AsJson = False) -> None:
    """Where ID is looked for, what is there, part by part, and what to do. Exit code 4: not enough is anywhere."""
    from brainbench.holdings import locating

    found = locating.locate(id, roots(data_root))
    place = found.used or found.nearest
    places: list[dict[str, Any]] = []
    for n, p in enumerate(found.places, start=1):
        held = p.problem or ("whole" if not p.lacks else f"lacks {p.lacks} files")
        used = "yes" if p is found.used else ""
        places.append({"order": n, "folder": str(p.path), "named by": p.named_by, "holds": held, "used": used})
    parts = [
        {
            "part": part,
            "files here": place.here(part, n) if place else 0,
            "of": n,
            "needed": part in found.core,
            "lacking": (place.absent[part][:2] if place else []),
        }
        for part, n in found.parts.items()
    ]
    steps = locating.what_to_do(found)
    if as_json:
        facts = {"dataset": id, "state": found.state, "places": places, "parts": parts, "what_to_do": steps}
        print_json(facts)
    else:
        out.print(Text(f"{id}: {found.state}{' by code: it has no files' if found.state == 'made' else ''}"))
        for rows in (places, parts):
            if rows:
                out.print()
                out.print(_table(rows, breaks=("lacking",)))
        for step in steps:
            err.print(Text(f"\n{step}"))
    if found.state in ("partial", "missing"):
        raise typer.Exit(AccessError.exit_code)


@app.command()
def fetch(
    id: Id,
    group: Annotated[
        list[str] | None, typer.Option(help="Only this group or part; may be repeated. See `brainbench data locate`.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that a server may be silent.")] = 30.0,
    data_root: DataRoot = None,
) -> None:
    """Download the files of ID that are not here, if they are open to all; run again to go on. Prints their folder.

    Exit code 4: some could not be had; 5: what came was not what the manifest says; 6: the disk is full.
    """
    from brainbench.holdings import fetching

    if not timeout > 0:
        raise UsageError(f"--timeout is a number of seconds above 0, got {timeout}")
    bar = DownloadBar()
    try:
        report = fetching.fetch(id, roots(data_root), groups=group or (), timeout=timeout, bar=bar)
    finally:
        bar.stop()
    typer.echo(str(report.root))
    err.print(Text(f"{id}: {report.fetched} files fetched, {report.kept} were here, {len(report.failed)} failed"))
    for failure in report.failed[:MOST_SHOWN]:
        err.print(Text(f"{failure.path} {failure.why}"))
    if report.elsewhere:
        err.print(Text(f"Without an address of their own: {listed(report.elsewhere)}. {report.how_to_get}"))
    if different := [failure.path for failure in report.failed if failure.outcome == "differs"]:
        raise VerificationError(f"{len(different)} files that came were not what they should be, and were not kept")
    if report.failed or report.elsewhere:
        raise AccessError(f"not all files of {id} could be had; those that came are whole")


@app.command()
def verify(
    id: Id,
    quick: Annotated[bool, typer.Option("--quick", help="Compare sizes only; hash nothing.")] = False,
    pin: Annotated[
        bool, typer.Option("--pin", help="Lock the sha256 of unpinned files as they are now, for this user.")
    ] = False,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Hold every file of ID that is here against its manifest. Exit code 5: one differs; 4: too few are here."""
    from brainbench.holdings import checking

    with ProgressBars() as bars:
        report = checking.verify(
            id, roots(data_root), quick=quick, pin=pin, start=lambda n: bars.stage(f"verifying {id}", n), step=bars.step
        )
    bad = report.of("differs", "unreadable")
    if as_json:
        print_json(report.files)
    else:
        for file in bad:
            out.print(Text(f"{file.outcome}: {file.path} {file.why}"))
        if missing := [file.path for file in report.of("missing")]:
            out.print(Text(f"missing: {listed(missing, MOST_SHOWN)}"))
        out.print(Text(str(report)))
    if report.lock:
        err.print(Text(f"Locked: {report.lock}"))
    elif report.of("unpinned") and not quick:
        err.print(Text(f"Unpinned files were not checked: `brainbench data verify {id} --pin` locks them as they are."))
    if report.of("differs"):
        raise VerificationError(f"{len(report.of('differs'))} files of {id} are not what they should be")
    if bad or not report.usable:
        raise AccessError(f"{id} cannot be used as it is here: `brainbench data locate {id}` says what to do")


@app.command()
def accept(
    id: Id, yes: Annotated[bool, typer.Option("--yes", help="I have read the terms and agree; do not ask.")] = False
) -> None:
    """Agree to the terms of use of ID, once and for this version of them. Exit code 4: not agreed."""
    import sys

    from brainbench.datasets import _terms
    from brainbench.holdings import locating

    here = locating.manifest_of(id)
    if here.access == "open":
        err.print(Text(f"{id} is open: there are no terms to accept. Its licence: {here.licence}"))
        return
    if _terms.accepted(here):
        err.print(Text(f"The terms of {id} (version {here.terms_version}) were accepted before"))
        return
    err.print(Text(f"{here.title}\n{here.citation}\nLicence: {here.licence}\nTerms: {here.terms_url}"))
    if not yes and not sys.stdin.isatty():
        raise AccessError(
            f"nobody can be asked here: read {here.terms_url}, then say `brainbench data accept {id} --yes`, or set "
            f"{_terms.VARIABLE}={id}"
        )
    if not yes and not typer.confirm("Have you read these terms, and do you agree to them?", err=True):
        raise AccessError(f"the terms of {id} were not accepted")
    out.print(Text(str(_terms.accept(here))))


@app.command()
def croissant(id: Id) -> None:
    """Describe the files of ID as Croissant JSON-LD, on stdout."""
    from brainbench.holdings import croissants

    described = croissants.described(id)
    typer.echo(json.dumps(described, indent=1, ensure_ascii=False))
    bare = [part for part in described["distribution"] if part["@type"] == "cr:FileObject" and "sha256" not in part]
    if bare:
        err.print(
            Text(
                f"{len(bare)} files have no sha256, which Croissant asks for: nobody pinned them. "
                f"`brainbench data verify {id} --pin` locks those that are here."
            )
        )


@app.command()
def where(
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="[ID=]PATH", help="From now on look here, for ID or for all; may be repeated."),
    ] = None,
    unset: Annotated[list[str] | None, typer.Option(metavar="ID|all", help="Forget a folder that was set.")] = None,
    as_json: AsJson = False,
) -> None:
    """Which folders recordings are looked for in, in order, and what was set for this user."""
    from brainbench.holdings import places

    if set_ or unset:
        path = places.change(roots(set_), unset or [])
        err.print(Text(f"Written: {path}"))
    rows = places.shown()
    if as_json:
        print_json(rows)
        return
    out.print(_table(rows))
    err.print(Text("\nThe first that holds enough of a recording is used: `brainbench data locate ID` shows which."))


def _table(rows: list[dict[str, Any]], breaks: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in rows[0]:
        table.add_column(name, no_wrap=name not in breaks)
    for row in rows:
        table.add_row(*[Text(_cell(value)) for value in row.values()])
    return table


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else str(value)
