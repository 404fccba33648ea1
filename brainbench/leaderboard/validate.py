"""Whether a leaderboard, or one submission, holds what it must: no model, no recording, no network, no writing.

`against` is the leaderboard as it was before. No file of it is deleted (but features that scores alone supersede), and
one that is changed, the card's weightiest fields included, is named by a card in `[[supersedes]]`, with its sha256 and
the reason. Who may do so is not for a program to know: each such line, and each changed field of a card, is noted for
a maintainer to see. Without `against`, what a card supersedes is taken for history: its benchmark may have changed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from pathlib import Path

from pydantic import TypeAdapter

from brainbench.core.specs import fingerprint
from brainbench.entry import Entry
from brainbench.errors import InputError, UsageError
from brainbench.leaderboard import attestations, history
from brainbench.leaderboard.cards import CARD, FEATURES, read_card, read_cards, superseded
from brainbench.leaderboard.reports import LIMITS, RESULTS, Report, Submission, is_root
from brainbench.leaderboard.rules import broken, stale
from brainbench.leaderboard.untrusted import (
    Problem,
    content_of,
    files_of,
    named,
    parsed,
    safetensors_problem,
    sha256_of,
    shown,
)

BESIDE = 5e-3  # by which machines may differ in a baseline's score
_entry: TypeAdapter[Entry] = TypeAdapter(Entry)


def validate(path: Path, *, against: Path | None = None) -> Report:
    """What is wrong with a leaderboard (a folder with `results/`) or with one submission (a folder with a card).

    Raises InputError where `path` is neither or `against` is no leaderboard, UsageError for `against` beside one
    submission.
    """
    path = Path(os.path.abspath(path))  # "." has a name, too  # noqa: PTH100  (resolve() would follow links)
    if not path.is_dir() or not (is_root(path) or (path / CARD).exists()):
        raise InputError(f"{path} is no leaderboard (it has no {RESULTS}/) and no submission (it has no {CARD})")
    if against is not None and not is_root(against):
        raise InputError(f"{against} is no leaderboard to compare with: it has no {RESULTS}/")
    if against is not None and not is_root(path):
        raise UsageError(f"{path} is one submission: what came before is compared with a whole leaderboard")
    report = Report()
    if not is_root(path):
        _submission(path, report, {}, set())
        return report
    before = {} if against is None else history.hashes(against)
    past = superseded(read_cards(path / RESULTS)) if against is None else set()  # else `before` knows what stood
    for folder in _folders(path / RESULTS, report):
        _submission(folder, report, before, past)
    signers = None if against is None else against / attestations.SIGNERS  # nobody lets himself in
    attested, problems = attestations.read_all(path, signers)
    objected = {where for where, found in attested.items() if found.objection is not None}
    _among_all(report, before, objected)
    _baselines(report, before, objected)
    if against is not None:
        history.since(path, against, before, report)
        history.beside_others(report, before, objected)
    report.problems += problems
    return report


def _folders(results: Path, report: Report) -> list[Path]:
    found, seen = [], set()
    for item in sorted(results.iterdir()):
        label = f"{RESULTS}/{shown(item.name)}"
        info = os.lstat(item)
        if item.name == ".gitkeep" and stat.S_ISREG(info.st_mode) and not info.st_size:
            continue  # how git keeps a folder that has nothing yet
        if not stat.S_ISDIR(info.st_mode):
            report.problems.append(Problem(file=label, message="is a link or a file; results/ has folders alone"))
        elif why := named(item.name):
            report.problems.append(Problem(file=label, message=why))
        elif item.name.casefold() in seen:
            report.problems.append(Problem(file=label, message="is there twice but for upper and lower case"))
        else:
            found.append(item)
        seen.add(item.name.casefold())
    return found


def _submission(folder: Path, report: Report, before: dict[str, str], past: set[tuple[str, str]]) -> None:
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
        found = list(broken(entry, card))
        if (label, submission.sha256[file]) in past and found == [("benchmark_fingerprint", stale(entry))]:
            report.notes.append(Problem(file=label, message=f"is history: {stale(entry)}"))
            continue
        report.problems += [Problem(file=label, field=at, message=why) for at, why in found]
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
    digest = sha256_of(path)
    if card.features_sha256 is not None and digest != card.features_sha256:
        report.problems.append(Problem(file=label, message=f"has the sha256 {digest}, the card names another"))


def _among_all(report: Report, before: dict[str, str], objected: set[str]) -> None:
    """What no two submissions may share, and what all entries of a benchmark do share.

    Entries that stood there before are right, and their model is theirs. A name proves nothing: without a before, all
    who share a model are told, and of a benchmark's facts what most entries say is right, if there is such a thing.
    Each division is by itself: what nobody can recompute holds nothing against what somebody can; nor does what is
    `objected` to.
    """
    models: dict[tuple[str, str], dict[str, bool]] = {}  # by division and what the model is: folders, if they stood
    said: dict[tuple[str, str, str], dict[str, object]] = {}  # by division, benchmark and fact: what each entry says
    stood = _stood(report, before)
    told = superseded(report.cards)
    for submission in report.submissions:
        name = submission.folder.name
        for old in submission.card.supersedes:
            place, _, file = old.path.partition("/")
            if (old.path, old.sha256) not in told:
                why = f"{shown(old.path)} is of another model or submitter: only its own card can supersede it"
                report.problems.append(Problem(file=f"{name}/{CARD}", field="supersedes", message=why))
            elif place != name and file.endswith(".json") and file not in submission.entries:
                why = f"puts nothing in the place of {shown(old.path)}: it has no {shown(file)}. Ask for a withdrawal."
                report.problems.append(Problem(file=f"{name}/{CARD}", field="supersedes", message=why))
        own = {f"{name}/{file}": submission.sha256[file] for file in submission.entries}
        live = _live(submission, told, objected)
        division = submission.card.division
        for old in submission.card.supersedes:
            if own.get(old.path) == old.sha256:
                why = "is superseded by its own card: a file that was replaced cannot come back; score it again"
                report.problems.append(Problem(file=old.path, message=why))
        for entry in list(live.values())[:1]:
            content = {key: entry.model_identity.get(key) for key in ("weights", "preprocessing", "layers")}
            models.setdefault((division, fingerprint(content)), {})[name] = not stood.isdisjoint(live)
        for where, entry in live.items():
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
                said.setdefault((division, entry.benchmark_fingerprint, fact), {})[where] = value
    for folders in models.values():
        earlier = [name for name, stands in folders.items() if stands]
        for name in folders if len(folders) > 1 else ():
            if earlier != [name]:
                others = ", ".join(other for other in (earlier or folders) if other != name)
                why = f"is the model of {others}, with the same weights, preprocessing and layers"
                report.problems.append(Problem(file=f"{name}/{CARD}", field="model", message=why))
    for (*_, fact), values in said.items():
        report.problems += _odd_ones(fact, values, {w: v for w, v in values.items() if w in stood} or values)


def _baselines(report: Report, before: dict[str, str], objected: set[str]) -> None:
    """Entries that say of a baseline what its own entry does not: a weak one beside a model flatters it.

    A twin is read at the layers of its model, so the entry of one that was read at others says nothing of it. Where one
    of the two stood there before, the other one is told.
    """
    told = superseded(report.cards)
    live = {
        where: entry
        for submission in report.submissions
        for where, entry in _live(submission, told, objected).items()
        if submission.card.division == "main" and entry.status == "ok"
    }
    stood = _stood(report, before)
    own: dict[tuple[str, str], dict[str, float]] = {}  # by benchmark and what the baseline is: its score, by file
    for where, entry in sorted(live.items(), key=lambda item: item[0] not in stood):
        if entry.raw is not None:
            for name in (entry.model, _at_layers(entry.model, entry)):
                own.setdefault((entry.benchmark_fingerprint, name), {})[where] = entry.raw
    for where, entry in live.items():
        for name, baseline in entry.baselines.items():
            known = _at_layers(name, entry) if name == f"{entry.model}@untrained" else name
            scores = own.get((entry.benchmark_fingerprint, known), {})
            raw = baseline.raw
            if not scores or (raw is not None and any(abs(raw - score) <= BESIDE for score in scores.values())):
                continue
            at, score = next(iter(scores.items()))
            said = "undefined" if raw is None else f"{raw:g}"
            if where in stood and at not in stood:
                why = f"is {score:g}, and {said} beside {where}, which stood before"
                report.problems.append(Problem(file=at, field="raw", message=why))
            else:
                why = f"is {said}; {name} has {score:g} in {at}"
                report.problems.append(Problem(file=where, field=f"baselines.{name}.raw", message=why))


def _at_layers(name: str, entry: Entry) -> str:
    """The model of this name at the layers of the entry."""
    layers = entry.model_identity.get("layers", [])
    return fingerprint([name, *([layer.get("name"), layer.get("pooling")] for layer in layers)])


def _stood(report: Report, before: dict[str, str]) -> set[str]:
    """The entries, `<folder>/<file>`, that are as they were before."""
    own = {f"{one.folder.name}/{file}": digest for one in report.submissions for file, digest in one.sha256.items()}
    return {where for where, digest in own.items() if before.get(f"{RESULTS}/{where}") == digest}


def _live(submission: Submission, told: set[tuple[str, str]], objected: set[str]) -> dict[str, Entry]:
    """Its entries by `<folder>/<file>` that nothing took the place of and nobody objects to."""
    found = {f"{submission.folder.name}/{file}": (file, entry) for file, entry in submission.entries.items()}
    return {
        where: entry
        for where, (file, entry) in found.items()
        if (where, submission.sha256[file]) not in told and where not in objected
    }


def _odd_ones(fact: str, values: dict[str, object], sure: dict[str, object]) -> list[Problem]:
    """Entries that do not say of a benchmark what most of the `sure` ones do; all of them where no value has most."""
    (first, most), *others = Counter(map(repr, sure.values())).most_common(2)
    right = None if others and others[0][1] == most else first
    found = []
    for where, value in values.items():
        if repr(value) != right:
            other = next(w for w, v in sure.items() if repr(v) == right or (right is None and repr(v) != repr(value)))
            why = f"is {shown(str(value))}, and {shown(str(values[other]))} in {other}: the benchmark fixes it"
            found.append(Problem(file=where, field=fact, message=why))
    return found
