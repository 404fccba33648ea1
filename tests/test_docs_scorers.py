"""The pages on scorers whose programs print numbers: run as they stand, they print what the page says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs" / "scorers"
BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["feature_strength.md", "geometry.md", "matching.md"])
def test_the_page_prints_what_it_says(page, tmp_path):
    blocks = BLOCK.findall((DOCS / page).read_text())
    printed = ""
    for language, title, text in blocks:
        if title:
            (tmp_path / title).write_text(text)
        elif language == "bash":
            program = text.removeprefix("python ").strip()
            done = subprocess.run(
                [sys.executable, program],
                cwd=tmp_path,
                env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(DOCS.parents[1])},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            printed += done.stdout
    said = [text for language, _, text in blocks if language == "text"]
    assert printed and printed == "".join(said)
