"""Make README's picture of the leaderboard again: `python tests/web/picture.py`, with Chromium and playwright."""

from pathlib import Path

from conftest import CHROMIUM, FLAGS
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]

with sync_playwright() as play:
    browser = play.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
    page = browser.new_page(viewport={"width": 1180, "height": 860})
    page.goto((ROOT / "leaderboard" / "site" / "index.html").as_uri())
    page.screenshot(path=ROOT / "docs" / "figures" / "leaderboard.png")
    browser.close()
