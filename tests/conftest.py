"""Shapes are checked in every test but the slow ones; recordings are looked for once."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, one core each; set before torch is loaded

from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import config, install_import_hook

hook = install_import_hook("brainbench.numerics", "beartype.beartype")

TESTS = Path(__file__).parent
TRACED = {"core", "numerics", "properties", "scorers"}
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

    Coverage is what the three packages' own tests and properties reach: to trace whole runs, planted defects, pages and
    calibrations would make the suite longer by half, and a line that no other test reaches is not tested by them.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    for item in items:
        if item.path.relative_to(TESTS).parts[0] not in TRACED or item.get_closest_marker("slow"):
            item.add_marker("no_cover")


@pytest.fixture(autouse=True)
def shapes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Slow tests repeat by the thousand what others run with their shapes checked: it took a third of their time."""
    config.update("jaxtyping_disable", request.node.get_closest_marker("slow") is not None)
    yield
    config.update("jaxtyping_disable", False)
