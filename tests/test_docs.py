"""The pages that teach extending brainbench are run as they stand, as packages installed by entry point."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def install(folder):
    """What `pip install -e` leaves behind: a dist-info folder with the entry points of pyproject.toml."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in named.items())
        for group, named in project["entry-points"].items()
    )
    (info / "entry_points.txt").write_text(points)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["add_a_dataset.md", "add_a_model.md", "add_a_scorer.md"])
def test_the_page_runs_as_it_stands(page, tmp_path):
    blocks = BLOCK.findall((DOCS / page).read_text())
    commands = []
    for language, title, text in blocks:
        if title:
            path = tmp_path / title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif language == "bash":
            commands += text.strip().splitlines()
    assert any(c.startswith("brainbench check") for c in commands)
    environment = os.environ | {
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",  # this tree's brainbench, whichever one is installed
        "BRAINBENCH_CACHE": str(tmp_path / "cache"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    for command in commands:
        if command.startswith("pip install"):
            install(tmp_path)
            continue
        done = subprocess.run(
            shlex.split(command), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        if command.startswith("brainbench score"):
            assert "ok" in done.stdout or "0." in done.stdout
