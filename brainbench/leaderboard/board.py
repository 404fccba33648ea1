"""What a leaderboard shows: every entry as a row with its trust, rank and ties, and how models stand over benchmarks.

Models are ranked within one fingerprint of a benchmark and one division. Ranks are ranges: models whose difference is
not distinguishable (`analysis.models`) share a letter, not a place in an order that another draw of stimuli and
subjects would undo.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from brainbench.analysis.models import ranks
from brainbench.core.specs import fingerprint
from brainbench.datasets import DATASETS, recording
from brainbench.entry import Entry, read
from brainbench.errors import InputError
from brainbench.leaderboard.attestations import Attested, read_all
from brainbench.leaderboard.cards import CARD, Card, read_cards, superseded
from brainbench.leaderboard.reports import RESULTS, is_root
from brainbench.leaderboard.rules import stale
from brainbench.leaderboard.untrusted import Problem
from brainbench.leaderboard.validate import validate
from brainbench.numerics.resampling import interval

UNPUBLISHED = "unpublished"
NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One entry as it is shown. `unranked` says why it has no rank; `best` to `worst` is what its rank may be."""

    entry: Entry
    card: Card
    folder: str
    attested: Attested = field(default_factory=Attested)
    sha256: str = ""  # of its file, which is what another card may supersede
    published: bool = True
    unranked: str = ""
    best: int | None = None
    worst: int | None = None
    ties: str = ""

    @property
    def trust(self) -> str:
        """How far the score was checked."""
        return self.attested.trust if self.published else UNPUBLISHED

    @property
    def past(self) -> bool:
        """Whether another entry took its place: it is history, and in no summary."""
        return self.unranked == "superseded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a model stands over recordings of brains: its mean rank, 0 where it is first everywhere, 1 where last.

    `low` and `high` are the 95 % interval of the mean rank over replicates, in which all models are ranked anew.
    `n_benchmarks` are those with a score; of the others that count, it has the last place.
    """

    folder: str
    mean_rank: float
    low: float
    high: float
    n_benchmarks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """All rows, how models of the main division stand, and what was left out or not believed, and why.

    `unplaced` tells by folder why a model has no mean rank, where others have one.
    """

    rows: tuple[Row, ...]
    standings: tuple[Standing, ...]
    n_benchmarks: int
    n_recordings: int
    unplaced: dict[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def read_board(root: Path, merge: Sequence[Path] = ()) -> Board:
    """The board of a leaderboard folder, with the entries of other folders (`merge`) beside it, marked unpublished.

    A submission with a problem is left out whole, and told. Raises InputError where `root` is no leaderboard, or
    nothing in a merged folder is an entry.
    """
    if not is_root(root):
        raise InputError(f"{root} is no leaderboard: it has no results/")
    report = validate(root)
    attested, _ = read_all(root)
    # an entry of an earlier version of its benchmark is shown, unranked; whether it may come in, `validate` says
    bad = {problem.file.split("/")[0] for problem in report.problems if problem.field != "benchmark_fingerprint"}
    rows: list[Row] = []
    for submission in report.submissions:
        name = submission.folder.name
        if name in bad:
            continue
        for file, entry in submission.entries.items():
            found = attested.get(f"{name}/{file}", Attested())
            rows.append(
                Row(entry=entry, card=submission.card, folder=name, attested=found, sha256=submission.sha256[file])
            )
    for folder in merge:
        rows += _unpublished(folder)
    return board(rows, report.problems)


def board(rows: Sequence[Row], problems: Sequence[Problem] = ()) -> Board:
    """The board of these rows, ranked."""
    old = superseded({row.folder: row.card for row in rows})
    told = [replace(row, unranked=_unranked(row, old)) for row in rows]
    ranked = _ranked(told)
    groups = [group for group in _groups([row for row in ranked if _of_a_brain(row)]) if len(group) > 1]
    # the best of a few is no peer of the best of many: benchmarks that most models lack count in no mean rank
    groups = [group for group in groups if 2 * len(group) >= max(map(len, groups))]
    standings = _standings(groups)
    return Board(
        rows=tuple(ranked),
        standings=tuple(standings),
        n_benchmarks=len(groups),
        n_recordings=len({_recording(group[0]) for group in groups}),
        unplaced=_unplaced(ranked, groups, {standing.folder for standing in standings}),
        problems=tuple(problems),
    )


def _unpublished(folder: Path) -> list[Row]:
    """The entries of a run, a submission or a leaderboard, with a card made of what they tell where there is none."""
    folder = folder / RESULTS if is_root(folder) else folder
    old = superseded(read_cards(folder))
    found = []
    for entry in read(folder):
        place, file = entry.path.parts[0], folder / entry.path
        if old and file.is_file() and (entry.path.as_posix(), hashlib.sha256(file.read_bytes()).hexdigest()) in old:
            continue  # history, which their own board tells
        own = next((path for path in (folder / CARD, folder / place / CARD) if path.exists()), None)
        card = _own_card(own, entry)
        found.append(Row(entry=entry, card=card, folder=f"{place} ({UNPUBLISHED})", published=False))
    return found


def _own_card(path: Path | None, entry: Entry) -> Card:
    from brainbench.leaderboard.cards import read_card

    if path is not None:
        try:
            return read_card(path)
        except InputError:  # not filled in yet, which is no reason not to look at the scores
            pass
    told = {name: value for name, value in entry.model_identity.items() if value and value != "unknown"}
    return Card.model_construct(
        model=entry.model,
        model_fingerprint=entry.model_fingerprint,
        submission=NOT_STATED,
        title=entry.model,
        family=NOT_STATED,
        supervision=NOT_STATED,
        training_data=[str(told.get("training_data", NOT_STATED))],
        trained_on_brain_data=None,
        trained_on_benchmark_stimuli=None,
        licence=str(told.get("licence", NOT_STATED)),
        submitter="this machine",
        url="",
        description="",
        supersedes=[],
    )


def _unranked(row: Row, old: set[tuple[str, str]]) -> str:
    if row.entry.status != "ok":
        return row.entry.status.replace("_", " ")
    if row.published and (f"{row.folder}/{row.entry.benchmark}.json", row.sha256) in old:
        return "superseded"
    if row.trust in ("disputed", "withdrawn"):
        return row.trust
    return "earlier version of the benchmark" if stale(row.entry) else ""


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Ranked rows by benchmark and division, best first; a model that is there twice is taken once."""
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        if not row.unranked:
            benchmark, division, model = _ranked_as(row)
            found.setdefault((benchmark, division), {}).setdefault(model, row)
    return [
        sorted(group.values(), key=lambda row: (-(row.entry.raw or 0.0), row.entry.model))
        for _, group in sorted(found.items())
    ]


def _ranked(rows: Sequence[Row]) -> list[Row]:
    places: dict[int, tuple[int, int, str]] = {}  # by the row itself: two merged folders may have one name
    ranked: dict[tuple[str, str, str], Row] = {}
    for group in _groups(rows):
        among = [(1, 1, "a")] if len(group) == 1 else ranks([row.entry for row in group])
        places |= {id(row): place for row, place in zip(group, among)}
        ranked |= {_ranked_as(row): row for row in group}
    found = []
    for row in rows:
        if not row.unranked and id(row) in places:
            best, worst, ties = places[id(row)]
            row = replace(row, best=best, worst=worst, ties=ties)
        elif not row.unranked:  # of a model that is there twice, as an unpublished run of a published one
            which = "published" if ranked[_ranked_as(row)].published else "first"
            row = replace(row, unranked=f"ranked by its {which} entry")
        found.append(row)
    return found


def _ranked_as(row: Row) -> tuple[str, str, str]:
    """What at most one row with a rank has: benchmark, division and model."""
    return row.entry.benchmark_fingerprint, row.card.division, row.entry.model_fingerprint


def _of_a_brain(row: Row) -> bool:
    """Whether a row counts in mean ranks: not in the open division, and scored on what was measured of a real brain."""
    return row.card.division == "main" and not row.entry.synthetic and bool(row.entry.benchmark_identity.get("region"))


def _recording(row: Row) -> str:
    return recording(str(row.entry.benchmark_identity["dataset"]))


def _standings(groups: Sequence[list[Row]]) -> list[Standing]:
    """Models with a score on every recording, best mean rank first; but those without an interval, as resamplings that
    one benchmark has another lacks.

    The mean is over recordings of the means over their benchmarks: twelve scorers of one recording are one recording.
    A benchmark without a score counts as its last place, or leaving out the worst would lead to the top.
    """
    recordings = {_recording(group[0]) for group in groups}
    scored: dict[str, list[str]] = {}
    for row in (row for group in groups for row in group):
        scored.setdefault(row.folder, []).append(_recording(row))
    placed: dict[str, dict[str, list[np.ndarray]]] = {
        folder: {name: [] for name in recordings} for folder, own in scored.items() if recordings == set(own)
    }
    for group in groups:
        raw = np.asarray([[row.entry.raw] for row in group], dtype=float)
        replicates = np.asarray([[np.nan if r is None else r for r in row.entry.replicates] for row in group])
        places = {row.folder: at for row, at in zip(group, np.hstack([_places(raw), _places(replicates)]))}
        for folder, own in placed.items():
            own[_recording(group[0])].append(places.get(folder, np.ones(1 + replicates.shape[1])))
    found = []
    for folder, own in placed.items():
        mean, *drawn = np.mean([np.mean(several, axis=0) for several in own.values()], axis=0)
        low, high = interval(np.asarray(drawn))
        if np.isfinite(low):
            n_benchmarks = len(scored[folder])
            found.append(Standing(folder=folder, mean_rank=float(mean), low=low, high=high, n_benchmarks=n_benchmarks))
    return sorted(found, key=lambda standing: (standing.mean_rank, standing.folder))


def _unplaced(rows: Sequence[Row], groups: Sequence[list[Row]], placed: set[str]) -> dict[str, str]:
    recordings = {_recording(group[0]) for group in groups}
    found: dict[str, str] = {}
    for row in rows:
        if not placed or row.past or row.folder in placed | found.keys():
            continue
        counted = [group[0] for group in groups if any(one.folder == row.folder for one in group)]
        lacking = sorted(recordings - {_recording(one) for one in counted})
        if row.card.division == "open":
            found[row.folder] = "open division"
        elif not counted:
            elsewhere = row.unranked.startswith("ranked by") and row.unranked
            found[row.folder] = elsewhere or "no score that counts"
        elif lacking:
            found[row.folder] = f"no score on {', '.join(lacking)}"
        else:
            found[row.folder] = "no resamplings in which it has a score on all its benchmarks"
    return found


def _places(scores: np.ndarray) -> np.ndarray:
    """(m, B) scores -> the share of the other models that score higher, ties counted half; NaN for a NaN, which takes
    the other models nothing.
    """
    from scipy.stats import rankdata

    count = np.isfinite(scores).sum(axis=0)
    places = (rankdata(-scores, axis=0, nan_policy="omit") - 1) / np.maximum(1, count - 1)
    return np.where(count > 1, places, np.nan)


def recording_facts(entry: Entry) -> dict[str, object]:
    """What the page tells of the recording behind an entry; empty for one that this brainbench does not have."""
    name = str(entry.benchmark_identity.get("dataset", entry.benchmark.partition(".")[0]))
    if name not in DATASETS:
        return {}
    spec = DATASETS[name].spec
    region = str(entry.benchmark_identity.get("region", ""))
    # without a region nothing that was recorded is scored: the stimuli's categories are
    whole = (spec.species, spec.modality) if region else ("none (categories)", "none (categories)")
    species, modality = spec.by_region.get(region, whole)
    return {
        "id": spec.id,
        "title": spec.title,
        "species": species,
        "modality": modality,
        "citation": spec.citation,
        "licence": spec.licence,
        "url": spec.url,
        "synthetic": spec.synthetic,
        "content": fingerprint(entry.benchmark_identity.get("dataset_content", ""))[:12],
    }
