"""What `validate` reads and says: the submissions of a leaderboard, and what is wrong with them or worth a word."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from brainbench.entry import Entry
from brainbench.leaderboard.cards import Card
from brainbench.leaderboard.untrusted import FEATURES_BYTES, TEXT_BYTES, Problem

LIMITS = {".json": TEXT_BYTES, ".toml": TEXT_BYTES, ".safetensors": FEATURES_BYTES}
RESULTS = "results"


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
    def cards(self) -> dict[str, Card]:
        """Of all submissions that could be read, by folder."""
        return {submission.folder.name: submission.card for submission in self.submissions}

    @property
    def n_entries(self) -> int:
        """Of all submissions that could be read."""
        return sum(len(submission.entries) for submission in self.submissions)


def is_root(path: Path) -> bool:
    """Whether this is a whole leaderboard, not one submission. Its `results/` is a folder, not a link to one."""
    return (path / RESULTS).is_dir() and not (path / RESULTS).is_symlink()
