"""What is known to be wrong with things of ours, and why it stays: id -> {check: reason}."""

from __future__ import annotations

_FIRST_ORDER = (
    "replicates are a first-order expansion (jackknife): two copies of a stimulus agree perfectly, and resampling "
    "proper would reward that. tests/nulls/test_geometries.py measures their width"
)
KNOWN_FAILURES: dict[str, dict[str, str]] = {
    "cca": {"replicates_repeat_stimuli": _FIRST_ORDER},
    "shape": {"replicates_repeat_stimuli": _FIRST_ORDER},
}
