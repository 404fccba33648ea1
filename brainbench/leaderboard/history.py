"""What became of an earlier leaderboard: what was changed, taken away, or came beside it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from brainbench.errors import InputError, listed
from brainbench.leaderboard import attestations
from brainbench.leaderboard.cards import CARD, FEATURES, FIRM, Card, read_card, superseded
from brainbench.leaderboard.reports import LIMITS, RESULTS, Report
from brainbench.leaderboard.untrusted import FEATURES_BYTES, Problem, content_of, sha256_of, shown


def hashes(root: Path) -> dict[str, str]:
    """The sha256 of what a leaderboard may hold; files of any other kind are not opened, here neither."""
    found = {}
    for top, kinds in ((RESULTS, LIMITS), (attestations.FOLDER, attestations.LIMITS)):
        for path in (path for folder in _inside(root / top) for path in _inside(folder)):
            if stat.S_ISREG(os.lstat(path).st_mode) and path.suffix in kinds:
                found[path.relative_to(root).as_posix()] = sha256_of(path)
    return found


def since(root: Path, against: Path, before: dict[str, str], report: Report) -> None:
    """What of the earlier leaderboard was changed or taken away, and what of it a maintainer should look at."""
    now = hashes(root)
    told = superseded(report.cards)
    for file, digest in before.items():
        if now.get(file) == digest:
            continue
        if file.startswith(f"{attestations.FOLDER}/"):
            report.problems.append(Problem(file=file, message="was changed or removed: attestations are only added"))
        elif file.endswith(f"/{FEATURES}") and (file.partition("/")[2], digest) in told:
            continue  # superseded by others, or by scores alone
        elif file not in now:
            why = "was removed since it was accepted: a file is superseded under its name, or withdrawn, but stays"
            report.problems.append(Problem(file=file, message=why))
        elif not file.endswith(f"/{CARD}") and (file.partition("/")[2], digest) not in told:
            report.problems.append(Problem(file=file, message=f"was changed since it was accepted: {_name_it(digest)}"))
    for folder, card in report.cards.items():
        path = f"{RESULTS}/{folder}/{CARD}"
        _card_since(card, against / path, before.get(path, ""), told, report)
    for signers in (folder / attestations.SIGNERS for folder in (against, root)):
        if signers.exists():
            content_of(signers)  # refuses what is no plain file
    old, new = (_beside_results(folder) for folder in (against, root))
    for file in sorted(old.keys() | new.keys()):
        if old.get(file) != new.get(file):
            what = "was added" if file not in old else "was removed" if file not in new else "was changed"
            report.notes.append(Problem(file=shown(file, 200), message=f"{what}: for a maintainer to decide"))


def beside_others(report: Report, before: dict[str, str], objected: set[str]) -> None:
    """New folders that look like what was there: a further version of their submitter's model that takes nothing's
    place, and so sheds what was objected to the earlier one, or the title of somebody else's.
    """
    told = superseded(report.cards)
    stood = [old for old in report.submissions if f"{RESULTS}/{old.folder.name}/{CARD}" in before]
    for new, old in ((new, old) for new in report.submissions if new not in stood for old in stood):
        label, name = f"{new.folder.name}/{CARD}", old.folder.name
        paths = {f"{name}/{file}": digest for file, digest in old.sha256.items() if file in new.sha256}
        stay = sorted(path for path, digest in paths.items() if (path, digest) not in told)
        if (old.card.model, old.card.submitter) == (new.card.model, new.card.submitter) and stay:
            why = f"is also that of {name}, by the same submitter; {len(stay)} of its entries stay beside it"
            if against := [path for path in stay if path in objected]:
                why += f", and something is objected to {listed(against, 3)}"
            report.notes.append(Problem(file=label, field="model", message=why))
        if old.card.title.casefold() == new.card.title.casefold() and old.card.submitter != new.card.submitter:
            why = f"is also that of {name}, by {shown(old.card.submitter)}"
            report.notes.append(Problem(file=label, field="title", message=why))


def _beside_results(root: Path) -> dict[str, tuple[int, int, str]]:
    """What is no part of a submission, such as the page and its list of models: kind, size and sha256, two levels deep,
    as all of a leaderboard is. Links are not followed, nor is what is larger than any of its files opened.
    """
    found = {}
    top = [path for path in _inside(root) if path.name not in (RESULTS, attestations.FOLDER)]
    for path in [*top, *(inner for folder in top for inner in _inside(folder))]:
        info, digest = os.lstat(path), ""
        if stat.S_ISREG(info.st_mode) and info.st_size <= FEATURES_BYTES:
            digest = sha256_of(path)
        if not stat.S_ISDIR(info.st_mode):
            found[path.relative_to(root).as_posix()] = (stat.S_IFMT(info.st_mode), info.st_size, digest)
        elif path not in top:
            found[path.relative_to(root).as_posix()] = (stat.S_IFMT(info.st_mode), 0, "")
    return found


def _card_since(card: Card, path: Path, digest: str, told: set[tuple[str, str]], report: Report) -> None:
    """What a card says and the earlier one at `path`, if it has a `digest`, did not."""
    label = f"{path.parent.name}/{CARD}"
    old = None
    if digest:
        try:
            old = read_card(path)
        except InputError as error:
            report.notes.append(Problem(file=label, message=f"the earlier card cannot be read today: {error}"))
    for name in Card.model_fields if old else ():
        was, now = getattr(old, name), getattr(card, name)
        if was == now or name == "supersedes":
            continue
        why = f"was {shown(str(was), 100)}, is {shown(str(now), 100)}"
        if name in FIRM and (label, digest) not in told:
            report.problems.append(Problem(file=label, field=name, message=f"{why}: {_name_it(digest)}"))
        else:
            report.notes.append(Problem(file=label, field=name, message=why))
    earlier = old.supersedes if old else []
    for line in (line for line in earlier if line not in card.supersedes):
        why = f"no longer names {line.path} with its sha256 and reason: what was said stays"
        report.problems.append(Problem(file=label, field="supersedes", message=why))
    for line in (line for line in card.supersedes if line not in earlier):
        why = f"takes the place of {line.path}, because: {shown(line.reason, 100)}"
        report.notes.append(Problem(file=label, field="supersedes", message=why))


def _name_it(digest: str) -> str:
    return f"name it in [[supersedes]] with path, sha256 {digest} and a reason"


def _inside(folder: Path) -> list[Path]:
    """What lies in a folder, one level deep, as all of a leaderboard does; nothing for a link, or what is no folder."""
    return sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []
