"""A board's page in real Chromium; whatever a test does there, nothing leaves the page and its console stays clean."""

import importlib.util
from pathlib import Path

import pytest

from brainbench.leaderboard import pages
from brainbench.leaderboard.board import board

CHROMIUM = next((p for p in map(Path, ("/usr/bin/chromium", "/usr/bin/chromium-browser")) if p.exists()), None)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
_spec = importlib.util.spec_from_file_location("made", Path(__file__).parents[1] / "leaderboard" / "made.py")
made_ = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(made_)


@pytest.fixture(scope="session")
def made():
    """Entries and rows for tests."""
    return made_


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install '.[web-test]'"
    )
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def written():
    """Rows that several tests open, and their page, by the id of the list: ranking takes longer than all else."""
    return {}


@pytest.fixture
def opened(browser, tmp_path, written):
    """Opens a board's page, and afterwards holds that nothing left it and nothing was said on the console."""
    context = browser.new_context(accept_downloads=True, viewport={"width": 1200, "height": 800})
    said, asked = [], []

    def use(rows, view=""):
        path = tmp_path / "index.html"
        if id(rows) in written:
            path.write_text(written[id(rows)][1])
        else:
            pages.write(board(rows), path)
            written[id(rows)] = rows, path.read_text()
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append("a dialog"), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.said = said
        page.goto(f"file://{path}{view}")
        return page

    yield use
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file://", "data:", "blob:"))] == []
    assert len({url.partition("#")[0] for url in asked if url.startswith("file://")}) == 1
