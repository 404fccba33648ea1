"""The leaderboard as one static file: no server, no request, no script but its own.

Data lie in the page as JSON; numbers are whole, in hundred-thousandths. Replicates come along so that any two models
can be compared in the browser: a character each (6 bits) after what all models of a benchmark share is taken off,
which cancels in every difference. As many as fit under `PAGE_BYTES` come along, all of them on a small board.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from brainbench.core.whole import write_whole
from brainbench.errors import ResourceError
from brainbench.leaderboard.board import Board, Row, recording_facts
from brainbench.leaderboard.rules import stale

PAGE_BYTES = 990_000
UNIT = 100_000
LEVELS = 63  # of a replicate; the 64th character stands for an undefined one
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
FEWEST = 40  # below these an interval says nothing, so none come along
SCRIPTS = ("parts.js", "scores.js", "views.js")  # one script, in this order
# what a scorer's number says, in a sentence
MEASURES = {
    "cca": "Mean squared canonical correlation of the layer's and the brain's strongest components, less chance.",
    "cka": "Likeness of two geometries of stimuli (centred kernel alignment): 0 for noise, 1 for the same geometry.",
    "few_shot_ridge": "How well ridge regression on few stimuli predicts responses to held-out stimuli (Pearson's r).",
    "in_context": "How well an encoder that sees few stimuli predicts responses to held-out stimuli (Pearson's r).",
    "kernel_analysis": "How simply the stimuli's categories can be read from the layer; no brain has a part in it.",
    "matching": "Correlation of each neuroid with its partner among the layer's units, on held-out stimuli.",
    "ridge": "How well ridge regression from the layer predicts responses to held-out stimuli (Pearson's r).",
    "rsa": "Agreement of the layer's and the brain's dissimilarities between stimuli; nothing is fitted.",
    "shape": "Likeness of two clouds of stimuli after the best rotation (Procrustes), less chance.",
    "ssm": "Rank correlation of the layer's and the brain's similarities between stimuli; nothing is fitted.",
    "svm": "Share of held-out stimuli that linear machines put into their category; no brain has a part in it.",
    "whitened": "Correlation of the layer's and the brain's squared distances, allowing for noise that they share.",
}
_HERE = Path(__file__).parent / "page"
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def html(board: Board) -> str:
    """The whole page."""
    parts = [(_HERE / name).read_text(encoding="utf-8") for name in SCRIPTS]
    script = "\n".join(['"use strict";', "(() => {", *parts, "})();"])
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    data = payload(board)
    bare = _rendered(board, data, {}, script, style)
    several = _several(board.rows)
    fits = (PAGE_BYTES - len(bare.encode())) // max(1, len(several)) - 40  # beside them, where each begins and ends
    return _rendered(board, data, replicates(board.rows, fits), script, style)


def write(board: Board, path: Path) -> Path:
    """Writes the page, whole or not at all. Raises ResourceError for a place that cannot be written."""
    try:
        write_whole(path, html(board))
    except OSError as error:
        raise ResourceError(f"cannot write the page {path}: {error.strerror}. Name another file with --to.") from None
    return path


def payload(board: Board) -> dict[str, Any]:
    """What the page's script reads: models, benchmarks, recordings and rows that point to them."""
    folders = list(dict.fromkeys(row.folder for row in board.rows))
    keys = list(dict.fromkeys(_benchmark(row) for row in sorted(board.rows, key=lambda row: row.entry.benchmark)))
    # an entry without a score may have no layers
    first = {f: max((r for r in board.rows if r.folder == f), key=lambda r: bool(r.entry.layers)) for f in folders}
    surest = {key: max((r for r in board.rows if _benchmark(r) == key), key=_sure) for key in keys}
    return {
        "version": version("brainbench"),
        "models": [_model(first[folder]) for folder in folders],
        "benchmarks": [_bench(row) for row in surest.values()],
        "rows": [_row(row, folders.index(row.folder), keys.index(_benchmark(row)), surest) for row in board.rows],
        "standings": [
            [folders.index(s.folder), _whole(s.mean_rank), _whole(s.low), _whole(s.high), s.n_benchmarks]
            for s in board.standings
        ],
    }


def replicates(rows: Sequence[Row], most: int) -> dict[str, Any]:
    """Replicates of rows that can be compared, by row number: [lowest, step, text]; at most `most` of each.

    A replicate is lowest + step * place of its character in the alphabet, without what its benchmark's rows share.
    """
    several = _several(rows)
    if most < FEWEST or not several:
        return {}
    found: dict[str, Any] = {}
    for key in sorted({_benchmark(rows[number]) for number in several}):
        own = [number for number in several if _benchmark(rows[number]) == key]
        values = np.asarray([[np.nan if r is None else r for r in rows[n].entry.replicates[:most]] for n in own])
        # around each row's own mean, so that one which has none here leaves the others where they are: a wide range of
        # numbers makes coarse steps
        values = values - _mean(values - _mean(values, axis=1), axis=0)
        for number, line in zip(own, values):
            finite = line[np.isfinite(line)]
            low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
            low, step = float(f"{low:.5g}"), float(f"{(high - low) / (LEVELS - 1) or 1e-9:.4g}")
            places = np.where(np.isfinite(line), np.rint((line - low) / step), LEVELS)
            text = "".join(ALPHABET[int(place)] for place in np.clip(places, 0, LEVELS))
            found[str(number)] = [low, step, text]
    return found


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """The mean of what is finite; 0 where nothing is."""
    finite = np.isfinite(values)
    return np.asarray(
        values.sum(axis=axis, keepdims=True, where=finite) / np.maximum(1, finite.sum(axis, keepdims=True))
    )


def _several(rows: Sequence[Row]) -> list[int]:
    """The numbers of rows with a score, of benchmarks where another row has one."""
    scored = [number for number, row in enumerate(rows) if row.entry.status == "ok" and not row.past]
    count: dict[str, int] = {}
    for number in scored:
        key = _benchmark(rows[number])
        count[key] = count.get(key, 0) + 1
    return [number for number in scored if count[_benchmark(rows[number])] > 1]


def _benchmark(row: Row) -> str:
    return f"{row.entry.benchmark} {row.entry.benchmark_fingerprint}"


def _sure(row: Row) -> tuple[bool, bool, bool, bool]:
    """By how much an entry is to be believed of its benchmark: the open division's, say, nobody can check."""
    return row.entry.status == "ok", not row.unranked, row.card.division == "main", row.published


def _model(row: Row) -> dict[str, Any]:
    entry, card = row.entry, row.card
    return {
        "folder": row.folder,
        "id": entry.model,
        "fingerprint": entry.model_fingerprint[:16],
        "weights": str(entry.model_identity.get("weights", ""))[:16],
        "title": card.title,
        "family": card.family,
        "supervision": card.supervision,
        "training_data": card.training_data,
        "brain_data": card.trained_on_brain_data,
        "stimuli": card.trained_on_benchmark_stimuli,
        "licence": card.licence,
        "submitter": card.submitter,
        "url": card.url,
        "description": card.description,
        "submission": card.submission,
        "division": card.division,
        "published": row.published,
        "layers": [layer.layer for layer in entry.layers],
        "depths": [_whole(layer.depth) for layer in entry.layers],
    }


def _bench(row: Row) -> dict[str, Any]:
    entry, identity = row.entry, row.entry.benchmark_identity
    recording = recording_facts(entry)
    return {
        "id": entry.benchmark,
        "label": entry.label,
        "synthetic": entry.synthetic,
        "fingerprint": entry.benchmark_fingerprint[:16],
        "version": identity.get("version", 1),
        "current": not stale(entry),
        "region": identity.get("region", "") or "categories",
        "scorer": entry.scorer,
        "measures": MEASURES.get(str(identity.get("scorer")), ""),
        "params": identity.get("params") or {},
        "split": identity.get("split") or {},
        "sessions": identity.get("sessions") or [],
        "scale": entry.scale,
        "n_stimuli": entry.n_stimuli,
        "n_neuroids": entry.n_neuroids + entry.n_excluded,
        "subjects": sorted(entry.per_subject),
        "resampled": entry.resampled,
        "ceiling_scale": entry.ceiling_scale,
        "ceiling_method": entry.ceiling_method,
        "recording": recording,
    }


def _row(row: Row, model: int, benchmark: int, surest: dict[str, Row]) -> list[Any]:
    """In the order that parts.js names: what is not there is null."""
    entry = row.entry
    layers = [layer.layer for layer in entry.layers]
    sure = surest[_benchmark(row)].entry
    whole = all(b.raw is not None for b in entry.baselines.values())  # the best of some is not the best of all
    best = max(entry.baselines.items(), key=lambda item: item[1].raw or 0.0, default=None) if whole else None
    return [
        model,
        benchmark,
        _whole(entry.raw),
        _whole(entry.low),
        _whole(entry.high),
        _whole(entry.ceiling),
        _whole(entry.ceiling_upper),
        _whole(entry.normalized),
        _whole(entry.normalized_low),
        _whole(entry.normalized_high),
        layers.index(entry.layer) if entry.layer in layers else None,
        row.best,
        row.worst,
        row.ties,
        row.trust,
        row.unranked,
        entry.reason if entry.status != "ok" else "",
        [_whole(layer.raw) for layer in entry.layers],
        [_whole(s.raw) if (s := entry.per_subject.get(name)) else None for name in sorted(sure.per_subject)],
        None
        if best is None
        else [best[0], *map(_whole, (best[1].difference, best[1].difference_low, best[1].difference_high))],
        None if entry.optimistic is None else _whole(entry.optimistic.gap),
        [[a.verdict, a.signer, a.date, a.reason, 1] for a in row.attested.earlier]
        + [[a.verdict, a.signer, a.date, a.reason, 0] for a in row.attested.verdicts],
    ]


def _whole(value: float | None) -> int | None:
    """`value` in units, and never halfway between two third digits: the page rounds it to the one that Python does."""
    if value is None or not np.isfinite(value):
        return None
    whole = round(value * UNIT)
    halfway = whole % (UNIT // 1000) == UNIT // 2000
    return whole + (1 if float(f"{value:.3f}") > value else -1) if halfway else whole


def _rendered(board: Board, data: dict[str, Any], held: dict[str, Any], script: str, style: str) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    models = {model["folder"]: model for model in data["models"]}
    return environment.get_template("page.html").render(
        policy="; ".join(
            [
                "default-src 'none'",
                f"script-src '{_hash(script)}'",
                f"style-src '{_hash(style)}'",
                "img-src data:",
                "base-uri 'none'",
                "form-action 'none'",
            ]
        ),
        script=Markup(script),
        style=Markup(style),
        data=_json(data),
        replicates=_json(held),
        standings=[(models[s.folder], s) for s in board.standings],
        unplaced=[(models[folder], why) for folder, why in board.unplaced.items()],
        unpublished=[model for model in models.values() if not model["published"]],
        n_models=len({row.folder for row in board.rows if not row.past}),
        n_rows=sum(not row.past for row in board.rows),
        n_benchmarks=board.n_benchmarks,
        n_recordings=board.n_recordings,
        version=version("brainbench"),
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _json(value: Any) -> Any:
    """JSON that ends no element and opens none, whatever names it holds."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.translate(_ESCAPES))
