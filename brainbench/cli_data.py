"""`brainbench data ...`: parse, call, print."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from brainbench.errors import AccessError
from brainbench.terminal import AsJson, DataRoot, err, out, roots

app = typer.Typer(help="Find, check, fetch and describe the files of recordings.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="ID", help="A dataset: see `brainbench data list`.")]
MOST_SHOWN = 20


@app.command("list")
def list_(data_root: DataRoot = None, as_json: AsJson = False) -> None:
    """How much of each recording is here, its licence, and who may have it."""
    from brainbench.holdings import locating

    rows = locating.overview(roots(data_root))
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    out.print(_table(rows, breaks=("licence", "folder")))


@app.command()
def locate(id: Id, data_root: DataRoot = None, as_json: AsJson = False) -> None:
    """Where ID is looked for, what is there, part by part, and what to do. Exit code 4: it is not whole anywhere."""
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
        typer.echo(json.dumps(facts, indent=1))
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
