"""The pages on scorers: their programs print what the page says, and the functions that they name exist."""

import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

from brainbench import numerics

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


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_a_function_of_numerics_that_a_page_names_exists(page):
    modules = {module.name for module in pkgutil.iter_modules(numerics.__path__)}
    for module, function in re.findall(r"`(?:(?:brainbench\.)?numerics\.)?(\w+)\.(\w+)", (DOCS / page).read_text()):
        if module in modules:
            assert hasattr(importlib.import_module(f"brainbench.numerics.{module}"), function), f"{module}.{function}"
