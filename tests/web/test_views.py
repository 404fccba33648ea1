"""Where a reader goes in the page: the focus goes along, and whatever an address says, a view is shown and says so."""

import csv
import io
from dataclasses import replace

import pandas as pd
import pytest

from brainbench.leaderboard.cards import Superseded

pytestmark = [pytest.mark.web, pytest.mark.enable_socket]
NAMES = ("kriegeskorte2008.humanIT-rsa", "cowley2023.V4-ridge", "insilico.V4-ridge")


@pytest.fixture(scope="module")
def three(made):
    return made.rows(3, NAMES)


# resolves when the page has heard of its new address
GONE = """to => new Promise((done) => {
  addEventListener('hashchange', () => done(), { once: true });
  location.hash = to;
})"""


def go(page, address):
    page.evaluate(GONE, address)


FOCUSED = "document.activeElement.id || document.activeElement.tagName"


def test_the_focus_goes_along_with_a_link(opened, three):
    page = opened(three)
    assert page.evaluate(FOCUSED) == "BODY"  # a page that was just loaded is read from its beginning
    ways = [
        ("#standings a", "model"),
        ("#model-body figcaption a", "benchmark"),
        ("#benchmark-body p a", "scores"),
        ("nav a[data-view=about]", "about"),
        ("nav a[data-view=compare]", "compare"),
        ("nav a[data-view=overview]", "overview"),
    ]
    for link, view in ways:
        page.locator(link).first.focus()
        page.keyboard.press("Enter")
        page.locator(f"#{view}-title:focus").wait_for()
        assert page.evaluate("scrollY") == 0
        page.keyboard.press("Tab")
        inside = page.evaluate(f"document.getElementById('{view}').contains(document.activeElement)")
        assert inside or view == "about"  # which has no control
    page.go_back()
    page.locator("#compare-title:focus").wait_for()


def test_what_is_still_there_keeps_the_focus(opened, three):
    page = opened(three, "#compare")
    page.focus("[name=second]")
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(200)  # the browser tells of a new hash a moment later
    assert "#compare=" in page.url and page.evaluate("document.activeElement.name") == "second"
    page.focus("#theme")
    go(page, f"#model={three[0].folder}")
    assert page.evaluate(FOCUSED) == "theme"


def test_the_focus_goes_to_the_first_of_the_rows_that_are_asked_for(opened, made):
    names = ["cowley2023.V4-ridge", "cowley2023.V4-cka", "cowley2023.V4-ssm", "henaff2021.V1-ridge"]
    names += ["kriegeskorte2008.humanIT-rsa", "kriegeskorte2008.monkeyIT-rsa", "cowley2023.category-ka"]
    page = opened(made.rows(29, names), "#scores")
    page.focus("text=Show all 203 rows")
    page.keyboard.press("Enter")
    at = "[...document.querySelectorAll('#scores-table tbody tr')].indexOf(document.activeElement.closest('tr'))"
    assert page.evaluate("document.activeElement.tagName") == "A" and page.evaluate(at) == 200


def test_an_address_that_was_cut_short_shows_its_view(opened, three):
    page = opened(three, "#scores?training=ImageNet%2")
    assert page.inner_text("#count") == "6 of 9 scores"
    assert "No training data here is" in page.inner_text("#unknown")
    for view in ("model", "benchmark"):
        go(page, f"#{view}={three[0].folder if view == 'model' else NAMES[0]}")
        assert page.is_visible(f"#{view}")
        go(page, f"#{view}=%E0%A4%A")
        assert page.inner_text(f"#{view}-title") == f"No such {view}"
        assert f"no {view} of that address" in page.inner_text(f"#{view}-body")
    go(page, "#compare=%E0%A4%A,x")
    assert page.locator("#compare-body .note").count() == 2 and page.locator("#compare-body table").count() == 1


def test_what_was_not_found_is_forgotten_when_something_is_chosen(opened, three):
    page = opened(three, "#scores?species=nobody")
    assert page.is_visible("#unknown")
    page.select_option("[name=species]", "macaque")
    assert not page.is_visible("#unknown") and page.inner_text("#count") == "3 of 9 scores"


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_leads_to_all_scores_on_its_recording(opened, three, name):
    page = opened(three, f"#benchmark={name}")
    page.click("text=All scores on this recording")
    page.locator("#scores").wait_for()
    assert page.inner_text("#count") == "3 of 9 scores"


def test_a_view_is_an_address_in_a_browser_of_some_years_ago(opened, three):
    page = opened(three, "#scores")
    page.evaluate("delete URLSearchParams.prototype.size")
    page.select_option("[name=region]", "V4")
    assert page.url.endswith("#scores?region=V4")
    page.click("#reset")
    assert page.url.endswith("#scores")


@pytest.mark.parametrize("sort", ["-baseline", "-nonsense"])
def test_an_order_by_a_column_that_is_not_shown_is_the_first_order(opened, three, sort):
    page = opened(three, f"#scores?sort={sort}")
    assert page.locator("#scores-table th[aria-sort=ascending]").inner_text().startswith("Benchmark")
    assert page.locator("#scores-table [name=sort]").input_value() == "benchmark"
    assert page.get_attribute("#permalink", "href") == "#scores"


def notes(page):
    told = " ".join(page.inner_text("#scores-table .note").removeprefix("No score fits this view.").split())
    return [part.strip() for part in told.split("Show them") if part]


def test_a_row_that_two_flags_hide_is_shown_by_one_press(opened, made, three):
    failed = {"status": "failed", "reason": "no memory", "raw": None, "low": None, "high": None, "normalized": None}
    failed |= {"ceiling": None, "replicates": [], "layer": None, "model": "timm:bad", "model_fingerprint": "b" * 64}
    rows = [replace(row, folder="bad", entry=row.entry.model_copy(update=failed)) for row in three[1:3]]
    page = opened([*three, *rows], "#scores?q=bad")
    assert notes(page) == [
        "1 are hidden because they have no rank.",
        "1 are hidden because they are synthetic and because they have no rank.",
    ]
    page.check("[name=synthetic]")
    assert notes(page) == ["2 are hidden because they have no rank."]
    page.uncheck("[name=synthetic]")
    page.locator("#scores-table >> text=Show them").last.click()
    assert page.inner_text("#count") == "2 of 11 scores"
    assert page.is_checked("[name=synthetic]") and page.is_checked("[name=unranked]")
    assert page.evaluate("document.activeElement.name") == "synthetic"


def test_views_agree_on_how_many_scores_there_are(opened, made):
    rows = made.rows(3, NAMES)
    name = f"{rows[0].folder}/{rows[0].entry.benchmark}.json"
    card = rows[0].card.model_copy(update={"supersedes": [Superseded(path=name, sha256="0" * 64, reason="a bug")]})
    rows = [replace(rows[0], sha256="0" * 64, card=card), *(replace(row, card=card) for row in rows[1:3]), *rows[3:]]
    page = opened(rows)
    assert "3 models, 8 scores." in page.inner_text("#overview")
    go(page, "#scores?synthetic=1")
    assert page.inner_text("#count") == "8 of 8 scores"
    page.check("[name=unranked]")
    assert page.inner_text("#count") == "8 of 8 scores and 1 superseded"


def saved(page):
    with page.expect_download() as waiting:
        page.click("#csv")
    return waiting.value.path().read_bytes()


def test_a_file_for_spreadsheets(opened, made):
    """What is wide is a formula there, too; without its mark a spreadsheet takes UTF-8 for something else."""
    wide = ["＝1+1", "＋1", "－1", "＠a", "Größe"]
    rows = made.rows(5, NAMES[:1])
    rows = [replace(row, card=row.card.model_copy(update={"title": name})) for row, name in zip(rows, wide)]
    page = opened(rows, "#scores?sort=model")
    bytes_ = saved(page)
    table = pd.read_csv(io.BytesIO(bytes_))
    assert table.columns[0] == "model" and set(table["model"]) == {row.entry.model for row in rows}
    assert set(table["title"]) == {"Größe", *("'" + name for name in wide[:4])}
    assert bytes_.decode("utf-8-sig") == bytes_.decode()[1:]
    page.fill("[name=q]", "nothing of that name")
    assert page.inner_text("#count") == "0 of 5 scores"
    (header,) = csv.reader(io.StringIO(saved(page).decode("utf-8-sig")))
    assert header == list(table.columns)


def luminance(colour):
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


# of each element its edge or fill, mixed with what lies behind it, and what it must stand out from
COLOURS = """all => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const clear = (colour) => colour.length > 3 && colour[3] === 0;
  const behind = (e) => {
    const own = parse(getComputedStyle(e).backgroundColor);
    return clear(own) ? behind(e.parentElement) : own;
  };
  return all.filter((e) => e.checkVisibility()).map((e) => {
    const style = getComputedStyle(e), back = behind(e.parentElement), share = Number(style.opacity);
    const colour = parse(e.tagName === "rect" ? style.fill : style.borderTopColor);
    return [colour.map((part, at) => share * part + (1 - share) * back[at]), back];
  });
}"""


@pytest.mark.parametrize("dark", [False, True])
def test_what_is_not_text_stands_out(opened, three, dark):
    """WCAG 1.4.11: edges of controls and bars of a plot, 3 to 1."""
    page = opened(three, "#scores")
    page.emulate_media(color_scheme="dark" if dark else "light")
    found = []
    controls = "button:not(thead button), select, input:not([type=checkbox])"  # a browser draws its checkboxes itself
    for view, what, n in (("scores", controls, 15), ("compare", controls, 3), ("model", ".share", 3)):
        if view != "scores":
            go(page, f"#{view}" + (f"={three[0].folder}" if view == "model" else ""))
        pairs = page.locator(what).evaluate_all(COLOURS)
        assert len(pairs) == n, view
        found += pairs
    assert min(contrast(colour[:3], back[:3]) for colour, back in found) >= 3
