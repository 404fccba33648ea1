"""What is known to be wrong with things of ours, and why it stays: id -> {check: reason}."""

from __future__ import annotations

KNOWN_FAILURES: dict[str, dict[str, str]] = {
    "cowley2023": {
        "near_duplicates_stay_together": "215 pairs in session 210305, 10 elsewhere, are versions of one picture; "
        "upstream names no groups"
    }
}
