"""A run holds no more than it was told to, whatever the size of the recording: peak memory of a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BIG = Path(__file__).parent / "speed" / "big.py"


def peak_gb(max_memory):
    """What scoring 12,000 voxels adds to a process (GB), and the score."""
    command = [sys.executable, BIG, "--one", "600", "64", "12000", str(max_memory)]
    got = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return got["peak_gb"] - got["before_gb"], got["raw"]


@pytest.mark.slow
def test_max_memory_is_kept_and_changes_no_score():
    little, score = peak_gb(0.1)
    much, same = peak_gb(8)
    assert score == pytest.approx(same, abs=1e-6)
    assert much > 0.5  # predictions of all voxels and 1,000 replicates of each in 5 folds
    assert little < 0.1 + 0.25  # and 1,000 replicates of their mean, with what medians copy of them
