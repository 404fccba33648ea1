"""Shapes are checked in every test run; recordings are looked for once."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, one core each; set before torch is loaded

from pathlib import Path

import pytest
from jaxtyping import install_import_hook

hook = install_import_hook("brainbench.numerics", "beartype.beartype")

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with the recordings, one folder a dataset id; tests that need it are skipped where it is absent."""
    root = Path(os.environ.get("BRAINBENCH_DATA", SHARED))
    if not root.is_dir():
        pytest.skip("no recordings: set BRAINBENCH_DATA to the folder that holds them")
    return root


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests go first: a file is one worker's, and a long one that comes last leaves the others idle.

    Their lines are run by quicker tests too: tracing them would make slow tests longer by two thirds.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker("no_cover")
