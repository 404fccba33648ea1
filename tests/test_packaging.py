"""What the package imports is what it says it needs, and its wheel holds all that it reads."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

from brainbench.benchmarks import known

ROOT = Path(__file__).parents[1]
OPTIONAL = {"pytest", "mne"}  # imported where a test suite asks for checks as parameters; in the extra `meg`


def test_every_package_that_is_imported_is_declared():
    imported = set()
    for path in (ROOT / "brainbench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.partition(".")[0])
    imported -= {*sys.stdlib_module_names, "brainbench", *OPTIONAL}
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.match(r"[\w.-]+", line)[0].lower().replace("-", "_") for line in declared}
    of = packages_distributions()
    missing = {name for name in imported if not names & {d.lower().replace("-", "_") for d in of[name]}}
    assert {"numpy", "torch", "typer"} <= imported and missing == set()


def test_a_wheel_works_far_from_its_repository(tmp_path):
    """Benchmarks and manifests lie beside the package in the repository and inside it in a wheel."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("brainbench-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    env = os.environ | {"PYTHONPATH": str(tmp_path / "installed"), "BRAINBENCH_CACHE": str(tmp_path / "cache")}

    def run(*args, code="from brainbench.cli import main; main()", where=tmp_path):
        found = subprocess.run([sys.executable, "-c", code, *args], cwd=where, env=env, capture_output=True, text=True)
        assert found.returncode == 0, found.stderr
        return found.stdout

    where = run(code="import brainbench; print(brainbench.__file__)").strip()
    assert Path(where) == tmp_path / "installed" / "brainbench" / "__init__.py"
    assert {row["benchmark"] for row in json.loads(run("list", "benchmarks", "--json"))} == set(known())
    assert "images_190923.zip" in run("data", "croissant", "cowley2023")
    (tmp_path / "board" / "results").mkdir(parents=True)
    run("score", "baseline:pixels", "-b", "insilico.V1-rsa", "--out", tmp_path / "runs")
    run("leaderboard", "build", tmp_path / "board", "--merge", tmp_path / "runs", "--to", tmp_path / "page.html")
    assert "insilico.V1-rsa" in (tmp_path / "page.html").read_text()
