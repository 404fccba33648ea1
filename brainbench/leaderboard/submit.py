"""From a run to a folder that a pull request can bring: the entries, the model card, and the features where asked."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from brainbench.core.specs import plain
from brainbench.core.whole import write_whole
from brainbench.entry import Entry, read
from brainbench.errors import InputError, ResourceError, UsageError
from brainbench.leaderboard.cards import CARD, FEATURES, FIRM, REBUILT_FROM, Card, Line, as_toml, read_cards, superseded
from brainbench.leaderboard.reports import RESULTS
from brainbench.leaderboard.untrusted import FEATURES_BYTES, first_error

# what a card's author tells, which no entry does
DECLARED = (
    "title",
    "family",
    "supervision",
    "training_data",
    "trained_on_brain_data",
    "trained_on_benchmark_stimuli",
    "licence",
    "submitter",
    "url",
    "description",
)


def submit(
    run: Path,
    to: Path,
    *,
    facts: dict[str, Any],
    features: Path | None = None,
    scores_only: bool = False,
    reason: str = "",
    keep: Sequence[str] | None = None,
) -> list[Path]:
    """Writes each model of a run as a folder of `to/results`; gives these folders.

    `facts` are fields of the card; what a card that is there already declares is kept, and what nobody gave is left
    open, for the submitter. `features` is the file that the run scored; scores alone leave none beside the card.
    `reason` is why entries, and what stands firm in a card, take the place of earlier ones; the card then says so.
    Earlier is what lies under an entry's own name, and where that is no other, what the submitter's other versions of
    the model (other weights or layers, so another folder) have of its benchmark.
    `keep` names the benchmarks that are submitted, all if None. Raises InputError where the run has no entries with a
    score or was made of other features, UsageError where features are missing, superfluous or too large, where title,
    submitter or reason is no line, or an earlier entry differs and no reason was given.
    """
    given = {"reason": reason or "none is given"} | {of: facts[of] for of in ("title", "submitter") if of in facts}
    for name, line in given.items():
        try:
            TypeAdapter(Line).validate_python(line)
        except ValidationError as error:
            raise UsageError(f"the {name} is one line of 1 to 100 characters: {first_error(error)}") from None
    if features is not None and scores_only:
        raise UsageError("--scores-only submits no features, and --features does: give one of the two")
    entries = [entry for entry in read(run) if keep is None or entry.benchmark in keep]
    if not any(entry.status == "ok" for entry in entries):
        raise InputError(f"no entry in {run} has a score to submit")
    by_model: dict[str, list[Entry]] = {}
    for entry in entries:
        by_model.setdefault(entry.path.parts[0], []).append(entry)
    if features is not None and len(by_model) > 1:
        raise UsageError(f"{run} has entries of {len(by_model)} models, and --features is one file: name one folder")
    cards: dict[Path, dict[str, Any]] = {}  # all of them before anything is written
    for name, own in sorted(by_model.items()):
        folder = to / RESULTS / name
        earlier = _earlier(folder)
        declared = {field: earlier[field] for field in DECLARED if field in earlier}
        card = {**_known(own[0], features, scores_only), **declared, **facts}
        replaced = _superseded(folder, own, reason)
        if reason:
            again = {old["path"] for old in replaced}
            new = [entry for entry in own if f"{name}/{entry.path.name}" not in again]
            replaced += [_named(path, reason) for path in earlier_versions(folder, new, card)]
        elif features is None and (folder / FEATURES).exists():
            raise UsageError(f"{folder / FEATURES} would go: say why scores alone take its place, --supersede REASON")
        firm = [field for field in FIRM if field in earlier and earlier[field] != card.get(field)]
        changed = [CARD] * bool(firm) + [FEATURES] * ("features_sha256" in firm)
        replaced += [_named(folder / file, reason) for file in changed if reason and (folder / file).exists()]
        said = earlier.get("supersedes", [])
        card["supersedes"] = said + [old for old in replaced if old not in said]
        cards[folder] = card
    for folder, card in cards.items():
        try:
            # the card comes first: whoever is interrupted and does this again finds what it says of earlier entries
            write_whole(folder / CARD, as_toml(card))
            if features is not None:
                write_whole(folder / FEATURES, features.read_bytes())
            else:
                (folder / FEATURES).unlink(missing_ok=True)
            for entry in by_model[folder.name]:
                write_whole(to / RESULTS / entry.path, text_of(entry))
        except OSError as error:
            raise ResourceError(f"cannot write {folder}: {error.strerror}. Give another --to folder.") from None
    return list(cards)


def text_of(entry: Entry) -> str:
    """An entry as its file holds it: one value a line, the same text for the same entry."""
    import json

    return json.dumps(entry.as_json(), indent=1) + "\n"


def _known(entry: Entry, features: Path | None, scores_only: bool) -> dict[str, Any]:
    """What the entry itself tells of its card."""
    source, identity = entry.model.partition(":")[0], entry.model_identity
    card: dict[str, Any] = {"schema_version": 1, "model": entry.model, "model_fingerprint": entry.model_fingerprint}
    if features is not None:
        if source != "features":
            raise UsageError(f"{entry.model} was not scored from a file of features: score features:FILE, then submit")
        if not features.is_file():
            raise UsageError(f"{features} is no file: --features is the one that {entry.model} was scored from")
        if features.stat().st_size > FEATURES_BYTES:
            raise UsageError(
                f"{features} has {features.stat().st_size:,} bytes; {FEATURES_BYTES:,} can be submitted. Pool or "
                "project layers, or write float16, and score the smaller file."
            )
        _check_scored(features, entry)
        card |= {"submission": "features", "features_sha256": _sha256(features)}
    elif scores_only:
        card |= {"submission": "scores"}
    elif source in REBUILT_FROM:
        card |= {"submission": "rebuildable", "weights_sha256": identity["weights"]}
    elif source == "features":
        raise UsageError(f"give the file that {entry.model} was scored from, --features FILE, or say --scores-only")
    else:
        raise UsageError(
            f"nobody can rebuild {entry.model} by its name: submit its features (write them with "
            "brainbench.models.features_file.write_features, score features:FILE), or say --scores-only for the open "
            "division, which is not ranked with the others"
        )
    card["licence"] = "not stated" if identity["licence"] == "unknown" else identity["licence"]
    if identity.get("training_data") == "none":
        card |= {
            "supervision": "none",
            "training_data": [],
            "trained_on_brain_data": False,
            "trained_on_benchmark_stimuli": False,
        }
    return card


def _check_scored(features: Path, entry: Entry) -> None:
    from brainbench.models import features_file

    layers = [layer["name"] for layer in entry.model_identity["layers"]]
    here: dict[str, Any] = plain(features_file.load(str(features), layers=layers).spec)
    for field in here:  # the file may be named otherwise, and not all its layers be scored
        if field not in ("id", "layers") and here[field] != entry.model_identity.get(field):
            raise InputError(
                f"model_identity.{field}: {features} is not what {entry.model} was scored from; the run has "
                f"{str(entry.model_identity.get(field))[:80]!r}, the file {str(here[field])[:80]!r}"
            )


def _earlier(folder: Path) -> dict[str, Any]:
    """What the card that is there says. Raises InputError for one that no TOML reader takes."""
    path = folder / CARD
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}. Mend it, or take it away.") from None
    if not isinstance(found.get("supersedes", []), list):
        raise InputError(f"{path}: supersedes is no list of [[supersedes]] tables. Mend it, or take it away.")
    return found


def _superseded(folder: Path, entries: Sequence[Entry], reason: str) -> list[dict[str, str]]:
    found = []
    for entry in entries:
        path = folder / entry.path.name
        if not path.exists() or path.read_bytes() == text_of(entry).encode():
            continue
        if not reason:
            raise UsageError(
                f"{path} is there already, and is another entry: say why this one supersedes it, --supersede REASON"
            )
        found.append(_named(path, reason))
    return found


def side_by_side(folder: Path) -> list[Path]:
    """The files of other versions of a submitted model that stand beside it, as nothing took their place."""
    card = tomllib.loads((folder / CARD).read_text(encoding="utf-8"))
    paths = earlier_versions(folder, [entry for file in folder.glob("*.json") for entry in read(file)], card)
    named = {(old["path"], old["sha256"]) for old in card.get("supersedes", [])}
    return [path for path in paths if (f"{path.parent.name}/{path.name}", _sha256(path)) not in named]


def earlier_versions(folder: Path, entries: Sequence[Entry], card: Mapping[str, Any]) -> list[Path]:
    """The files in other folders of the card's model and submitter that are of these entries' benchmarks, and that
    nothing took the place of yet.
    """
    cards = read_cards(folder.parent)
    told, found = superseded(cards), []
    for name, other in cards.items():
        if name == folder.name or (other.model, other.submitter) != (card["model"], card.get("submitter")):
            continue
        for path in (folder.parent / name / entry.path.name for entry in entries):
            if path.exists() and (f"{name}/{path.name}", _sha256(path)) not in told:
                found.append(path)
    return found


def _named(path: Path, reason: str) -> dict[str, str]:
    return {"path": f"{path.parent.name}/{path.name}", "sha256": _sha256(path), "reason": reason}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def missing(folder: Path) -> list[str]:
    """The fields that a card still leaves open."""
    given = tomllib.loads((folder / CARD).read_text(encoding="utf-8"))
    return [name for name, field in Card.model_fields.items() if field.is_required() and name not in given]
