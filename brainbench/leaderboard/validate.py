"""Whether a leaderboard, or one submission, holds what it must: no model, no recording, no network, no writing.

`against` is the leaderboard as it was before: what stood in it stays as it is, unless a card names the file that it
supersedes, with its sha256 and the reason.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from brainbench.core.specs import fingerprint
from brainbench.entry import Entry
from brainbench.errors import InputError
from brainbench.leaderboard import attestations
from brainbench.leaderboard.cards import CARD, FEATURES, Card, read_card, superseded
from brainbench.leaderboard.rules import broken, stale
from brainbench.leaderboard.untrusted import (
    FEATURES_BYTES,
    TEXT_BYTES,
    Problem,
    content_of,
    files_of,
    named,
    opened,
    parsed,
    safetensors_problem,
    shown,
)

LIMITS = {".json": TEXT_BYTES, ".toml": TEXT_BYTES, ".safetensors": FEATURES_BYTES}
RESULTS = "results"
_entry: TypeAdapter[Entry] = TypeAdapter(Entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One folder of `results/`: a card, and the entries of one model by file name, with the sha256 of each file."""

    folder: Path
    card: Card
    entries: dict[str, Entry] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Report:
    """What was read, what is wrong with it, and what is worth a word."""

    submissions: list[Submission] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    @property
    def n_entries(self) -> int:
        """Of all submissions that could be read."""
        return sum(len(submission.entries) for submission in self.submissions)


def is_root(path: Path) -> bool:
    """Whether this is a whole leaderboard, not one submission. Its `results/` is a folder, not a link to one."""
    return (path / RESULTS).is_dir() and not (path / RESULTS).is_symlink()


def validate(path: Path, *, against: Path | None = None) -> Report:
    """What is wrong with a leaderboard (a folder with `results/`) or with one submission (a folder with a card).

    Raises InputError where `path` or `against` is neither.
    """
    path = Path(os.path.abspath(path))  # "." has a name, too  # noqa: PTH100  (resolve() would follow links)
    if not path.is_dir() or not (is_root(path) or (path / CARD).exists()):
        raise InputError(f"{path} is no leaderboard (it has no {RESULTS}/) and no submission (it has no {CARD})")
    report = Report()
    if not is_root(path):
        _submission(path, report, {})
        return report
    if against is not None and not against.is_dir():
        raise InputError(f"{against} is no leaderboard to compare with")
    before = {} if against is None else _hashes(against)
    for folder in _folders(path / RESULTS, report):
        _submission(folder, report, before)
    _among_all(report)
    if against is not None:
        _since(path, against, before, report)
    signers = None if against is None else against / attestations.SIGNERS  # nobody lets himself in
    report.problems += attestations.read_all(path, signers)[1]
    return report


def _folders(results: Path, report: Report) -> list[Path]:
    found, seen = [], set()
    for item in sorted(results.iterdir()):
        label = f"{RESULTS}/{shown(item.name)}"
        if not stat.S_ISDIR(os.lstat(item).st_mode):
            report.problems.append(Problem(file=label, message="is a link or a file; results/ has folders alone"))
        elif why := named(item.name):
            report.problems.append(Problem(file=label, message=why))
        elif item.name.casefold() in seen:
            report.problems.append(Problem(file=label, message="is there twice but for upper and lower case"))
        else:
            found.append(item)
        seen.add(item.name.casefold())
    return found


def _submission(folder: Path, report: Report, before: dict[str, str]) -> None:
    files, wrong = files_of(folder, LIMITS)
    report.problems += wrong
    name = shown(folder.name)
    if CARD not in files:
        if not any(problem.file.endswith(f"/{CARD}") for problem in wrong):
            report.problems.append(Problem(file=name, message=f"has no {CARD}: the model card is missing"))
        return
    try:
        card = read_card(files.pop(CARD))
    except InputError as error:
        report.problems.append(Problem(file=f"{name}/{CARD}", message=str(error)))
        return
    submission = Submission(folder=folder, card=card)
    _features(submission, files.pop(FEATURES, None), report)
    for file, path in files.items():
        label = f"{name}/{file}"
        if not file.endswith(".json"):
            report.problems.append(Problem(file=label, message=f"beside {CARD} and {FEATURES} there are entries alone"))
            continue
        try:
            content = content_of(path)
            entry: Entry = parsed(_entry, content, "the entry")
        except InputError as error:
            report.problems.append(Problem(file=label, message=str(error)))
            continue
        submission.entries[file] = entry
        submission.sha256[file] = hashlib.sha256(content).hexdigest()
        if entry.path.parts != (folder.name, file):
            report.problems.append(
                Problem(file=label, field="model", message=f"belongs to {shown(str(entry.path), 200)}")
            )
        if before.get(f"{RESULTS}/{folder.name}/{file}") == submission.sha256[file] and stale(entry):
            report.notes.append(Problem(file=label, message=f"is ranked no more: {stale(entry)}"))
            continue
        report.problems += [Problem(file=label, field=at, message=why) for at, why in broken(entry, card)]
    if not submission.entries and not wrong:
        report.problems.append(Problem(file=name, message="has no entries"))
    report.submissions.append(submission)


def _features(submission: Submission, path: Path | None, report: Report) -> None:
    card, label = submission.card, f"{submission.folder.name}/{FEATURES}"
    if (card.submission == "features") != (path is not None):
        what = "is missing" if path is None else f"is not part of a submission of {card.submission}"
        report.problems.append(Problem(file=label, message=what))
    if path is None:
        return
    if why := safetensors_problem(path):
        report.problems.append(Problem(file=label, message=why))
    with opened(path, FEATURES_BYTES) as (file, _):
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if card.features_sha256 is not None and digest != card.features_sha256:
        report.problems.append(Problem(file=label, message=f"has the sha256 {digest}, the card names another"))


def _among_all(report: Report) -> None:
    """What no two submissions may share, and what all entries of a benchmark do share."""
    models: dict[str, str] = {}
    shared: dict[tuple[str, str], tuple[str, object]] = {}
    told = superseded(_cards(report))
    for submission in report.submissions:
        name = submission.folder.name
        for old in submission.card.supersedes:
            if (old.path, old.sha256) not in told:
                why = f"{shown(old.path)} is of another model or submitter: only its own card can supersede it"
                report.problems.append(Problem(file=f"{name}/{CARD}", field="supersedes", message=why))
        live = {
            file: e for file, e in submission.entries.items() if (f"{name}/{file}", submission.sha256[file]) not in told
        }
        for entry in list(live.values())[:1]:
            content = {key: entry.model_identity.get(key) for key in ("weights", "preprocessing", "layers")}
            other = models.setdefault(fingerprint(content), name)
            if other != name:
                why = f"is the model of {other}, with the same weights, preprocessing and layers"
                report.problems.append(Problem(file=f"{name}/{CARD}", field="model", message=why))
        for file, entry in live.items():
            if entry.status != "ok" or stale(entry):
                continue
            facts = {
                "n_stimuli": entry.n_stimuli,
                "resampled": entry.resampled,
                "per_subject": sorted(entry.per_subject),
                "ceiling_scale": entry.ceiling_scale,
                "ceiling_method": entry.ceiling_method,
                "n_neuroids": entry.n_neuroids + entry.n_excluded,
            }
            for fact, value in facts.items():
                where, right = shared.setdefault((entry.benchmark_fingerprint, fact), (f"{name}/{file}", value))
                if value != right:
                    why = f"is {shown(str(value))}, and {shown(str(right))} in {where}: the benchmark fixes it"
                    report.problems.append(Problem(file=f"{name}/{file}", field=fact, message=why))


def _cards(report: Report) -> dict[str, Card]:
    return {submission.folder.name: submission.card for submission in report.submissions}


def _hashes(root: Path) -> dict[str, str]:
    """The sha256 of what a leaderboard may hold; files of any other kind are not opened, here neither."""
    found = {}
    for top in (RESULTS, attestations.FOLDER):
        for path in sorted((root / top).rglob("*")):
            kinds = LIMITS if top == RESULTS else attestations.LIMITS
            if stat.S_ISREG(os.lstat(path).st_mode) and path.suffix in kinds:
                with opened(path, FEATURES_BYTES) as (file, _):
                    found[path.relative_to(root).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _since(root: Path, against: Path, before: dict[str, str], report: Report) -> None:
    """What of the earlier leaderboard was changed or taken away without a word."""
    now = _hashes(root)
    told = superseded(_cards(report))
    for file, digest in before.items():
        if now.get(file) == digest or file.endswith(f"/{CARD}"):
            continue
        where = file.partition("/")[2]
        if file.startswith(f"{attestations.FOLDER}/"):
            report.problems.append(Problem(file=file, message="was changed or removed: attestations are only added"))
        elif (where, digest) not in told:
            what = "was changed" if file in now else "was removed"
            why = f"{what} since it was accepted: name it in [[supersedes]] with path, sha256 {digest} and a reason"
            report.problems.append(Problem(file=file, message=why))
    for file in (file for file in before if file.endswith(f"/{CARD}") and now.get(file) != before[file]):
        report.notes.append(Problem(file=file, message="the card was changed"))
        if file not in now:
            report.problems.append(Problem(file=file, message="was removed: a submission is withdrawn, not deleted"))
    old, new = (_bytes(folder / attestations.SIGNERS) for folder in (against, root))
    if old != new:
        report.notes.append(Problem(file=attestations.SIGNERS, message="was changed: for a maintainer to decide"))


def _bytes(path: Path) -> bytes:
    return content_of(path) if path.exists() else b""
