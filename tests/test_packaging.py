"""What the package imports is what it says it needs."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

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
