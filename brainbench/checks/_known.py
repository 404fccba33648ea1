"""What is known to be wrong with things of ours, and why it stays: id -> {check: reason}."""

from __future__ import annotations

KNOWN_FAILURES: dict[str, dict[str, str]] = {}
