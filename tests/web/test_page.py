"""The page in a real browser: every control, hostile names inert, no request, clean console, no serious axe finding."""

import csv
import importlib.util
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brainbench.analysis.models import compare
from brainbench.entry import Baseline
from brainbench.leaderboard import pages
from brainbench.leaderboard.attestations import Attestation, Attested
from brainbench.leaderboard.board import Row, board
from brainbench.leaderboard.cards import Card, Superseded

pytestmark = [pytest.mark.web, pytest.mark.enable_socket]
_spec = importlib.util.spec_from_file_location("made", Path(__file__).parents[1] / "leaderboard" / "made.py")
made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(made)
NAMES = ("kriegeskorte2008.humanIT-rsa", "cowley2023.V4-ridge", "insilico.V4-ridge")
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "=cmd|'/c calc'!A0",
    "\u202egnp.exe",
    "x" * 5000,
]
HOSTILE += ["javascript:alert(1)", "{{ 7*7 }}", "'\"><svg onload=alert(1)>", "&lt;b&gt;", "\u2028alert(1)//"]


@pytest.fixture(scope="module")
def six():
    return made.rows(6, NAMES)


def titles(page):
    return page.locator("#scores-table tbody tr td:nth-child(1)").all_inner_texts()


def test_search_filters_sort_and_reset(opened, six):
    page = opened(six, "#scores")
    assert page.inner_text("#count") == "12 of 18 scores"  # without the synthetic ones
    page.check("[name=synthetic]")
    assert page.inner_text("#count") == "18 of 18 scores"
    page.select_option("[name=family]", "cnn")
    page.select_option("[name=species]", "macaque")
    page.fill("[name=q]", "MADE4")
    assert {title.strip() for title in titles(page)} == {"made4"}
    page.click("#reset")
    page.click("[data-sort=raw]")
    raw = [
        float(text.split()[0])
        for text in page.locator("#scores-table td.x, #scores-table .score > span").all_inner_texts()
    ]
    assert raw == sorted(raw, reverse=True)
    assert page.locator("th[aria-sort=descending]").count() == 1
    page.keyboard.press("Enter")  # the header keeps the focus
    assert page.locator("th[aria-sort=ascending]").count() == 1
    for key in (
        "species",
        "modality",
        "region",
        "scorer",
        "recording",
        "family",
        "supervision",
        "training",
        "division",
        "trust",
    ):
        values = page.locator(f"[name={key}] option").evaluate_all("all => all.map(o => o.value)")
        assert len(values) > 1
        page.select_option(f"[name={key}]", values[1])
        assert int(page.inner_text("#count").split()[0]) > 0
        page.select_option(f"[name={key}]", "")


def test_the_first_order_is_by_benchmark_the_best_model_first_and_the_top_of_the_page_is_seen(opened, six):
    page = opened(six, "#scores")
    lines = page.locator("#scores-table tbody tr")
    told = [
        (line.locator("[data-label=Benchmark]").inner_text(), line.locator("[data-label=Model]").inner_text().strip())
        for line in lines.all()
    ]
    names = sorted({name for name, _ in told})
    assert told == [(name, f"made{n}") for name in names for n in reversed(range(6))]
    page.wait_for_timeout(200)  # the browser's own scrolling to an address comes after the script
    assert page.evaluate("scrollY") == 0


def test_of_two_bounds_both_are_shown(opened):
    rows = [
        replace(row, entry=row.entry.model_copy(update={"ceiling": 0.37, "ceiling_upper": 0.67, "ceiling_scale": "r"}))
        for row in made.rows(2, ["kriegeskorte2008.humanIT-rsa"])
    ]
    page = opened(rows, "#scores")
    assert page.locator("#scores-table [data-label=Ceiling]").first.inner_text() == "0.370–0.670"
    page = opened(rows, "#benchmark=kriegeskorte2008.humanIT-rsa")
    assert "a lower bound; the upper one is 0.670" in page.inner_text("#benchmark-body")


def test_a_view_is_an_address(opened, six):
    page = opened(six, "#scores?q=made3&synthetic=1&sort=-normalized&region=V4")
    assert {title.strip() for title in titles(page)} == {"made3"}
    assert page.input_value("[name=region]") == "V4" and page.is_checked("[name=synthetic]")
    address = page.get_attribute("#permalink", "href")
    assert "sort=-normalized" in address and "q=made3" in address
    page.select_option("[name=region]", "humanIT")
    assert "region=humanIT" in page.url
    page.evaluate("history.replaceState(null, '', '#scores')")
    page.click("#permalink")
    page.locator("#linked:not(:empty)").wait_for()  # the browser takes its time over the clipboard
    assert "region=humanIT" in page.url
    page.reload()
    assert page.input_value("[name=region]") == "humanIT"
    page.evaluate("location.hash = '#scores?sort=nonsense&species=nobody'")
    assert page.inner_text("#count") == "12 of 18 scores" and "nobody" in page.inner_text("#unknown")


def test_the_overview_ranks_real_recordings_with_intervals(opened):
    rows = made.rows(3, ("henaff2021.V1-ridge", *NAMES))
    page = opened(rows)
    lines = page.locator("#standings tbody tr")
    assert [line.split()[0] for line in lines.all_inner_texts()] == ["made2", "made1", "made0"]
    for line, standing in zip(lines.all(), board(rows).standings):
        told = f"{standing.mean_rank:.2f} [{standing.low:.2f}, {standing.high:.2f}]"
        assert told in line.inner_text() and line.locator(".whisker").count() == 1
    assert "over 3 recordings" in page.inner_text("#overview") and "(3 in all)" in page.inner_text("#overview")
    listed = page.locator("#benchmark-list tbody th").all_inner_texts()
    assert listed[-1] == "insilico.V4-ridge (synthetic)" and len(listed) == 4
    page.locator("#benchmark-list tbody th a").first.click()
    page.locator("#benchmark").wait_for()
    assert page.is_visible("#benchmark")


def test_what_was_superseded_is_found_and_in_no_summary(opened):
    rows = made.rows(3, ("henaff2021.V1-ridge", *NAMES))
    old = [row for row in rows if row.entry.model == "timm:made0"]
    names = [f"{row.folder}/{row.entry.benchmark}.json" for row in old]
    said = [Superseded(path=name, sha256="0" * 64, reason="a bug") for name in names]
    card = old[0].card.model_copy(update={"supersedes": said})
    rows = [replace(row, sha256="0" * 64, card=card) if row in old else row for row in rows]
    page = opened(rows)
    assert f"2 models, {len(rows) - len(old)} scores." in page.inner_text("#overview")
    assert "made0" not in page.inner_text("#overview")
    assert set(page.locator("#benchmark-list td[data-label=Models]").all_inner_texts()) == {"2"}
    assert page.locator("#pair select[name=first] option").all_inner_texts() == ["made1", "made2"]
    page.goto(page.url.partition("#")[0] + "#model=" + old[0].folder)
    assert "superseded" in page.inner_text("#model-body")


def test_a_benchmark_is_shown_as_it_is_now_and_each_earlier_version_at_an_address_of_its_own(opened):
    """The superseded score on an earlier version comes first among the rows."""
    rows = made.rows(2, NAMES[:1])
    name = f"{rows[0].folder}/{NAMES[0]}.json"
    before = {"benchmark_fingerprint": "0" * 64, "scorer": "ridge 1"}
    card = rows[0].card.model_copy(update={"supersedes": [Superseded(path=name, sha256="0" * 64, reason="a bug")]})
    old = replace(rows[0], sha256="0" * 64, card=card, entry=rows[0].entry.model_copy(update=before))
    page = opened([old, rows[1]], f"#benchmark={NAMES[0]}")
    told = page.inner_text("#benchmark-body")
    assert "ridge (version 1)" not in told and "An earlier version" not in told
    page.goto(page.url.partition("#")[0] + "#benchmark=" + "0" * 16)
    told = page.inner_text("#benchmark-body")
    assert "ridge (version 1)" in told and "An earlier version" in told


def test_score_cells_have_an_interval_and_a_ceiling(opened):
    page = opened(made.rows(2, NAMES[:2]), "#scores?sort=-raw")
    for line in page.locator("#scores-table tbody tr").all():
        whisker = line.locator(".score .whisker").first
        dot = float(line.locator(".score .dot").get_attribute("cx"))
        assert float(whisker.get_attribute("x1")) < dot < float(whisker.get_attribute("x2"))
        ceiling = line.locator(".score .ceiling")
        assert (ceiling.count() == 1) == (line.locator("[data-label=Ceiling]").inner_text() != "–")
        assert ceiling.count() == 0 or dot < float(ceiling.get_attribute("x1"))


def test_trust_is_shown_filtered_and_has_its_history(opened):
    def attested(row, *verdicts, earlier=()):
        facts = {"entry": f"{row.folder}/x.json", "entry_sha256": "0" * 64, "signer": "host@lab", "date": "2026-01-02"}
        old, held = (
            tuple(Attestation(verdict=v, number=n, reason="for a reason", **facts) for n, v in enumerate(several, 1))
            for several in (earlier, verdicts)
        )
        return replace(row, attested=Attested(verdicts=held, earlier=old))

    one, two, three, four = made.rows(4, NAMES[:1])
    open_ = replace(made.rows(5, NAMES[:1], submission="scores")[4], folder="open")
    own = replace(two, folder="mine", published=False, entry=made.entry("timm:mine", NAMES[0], seed=8))
    rows = [
        attested(one, "spot-checked"),
        attested(two, "reproduced"),
        attested(three, "disputed", earlier=["reproduced"]),
    ]
    page = opened([*rows, attested(four, "withdrawn"), open_, own], "#scores")
    badges = page.locator("#scores-table td[data-label=Trust] .badge").all_inner_texts()
    assert sorted(badges) == ["reproduced", "self-reported", "spot-checked", "unpublished"]
    page.select_option("[name=trust]", "reproduced")
    assert titles(page) == ["made1"]
    page.click("#reset")
    page.select_option("[name=division]", "open")
    assert "open division" in titles(page)[0]
    assert page.inner_text("#scores-table td[data-label=Rank]") == "1 (open)"
    page.click("#reset")
    page.check("[name=unranked]")
    told = page.locator("#scores-table tr.unranked td[data-label=Rank]").all_inner_texts()
    assert sorted(told) == ["disputed", "withdrawn"]
    page.evaluate(f"location.hash = '#model={three.folder}'")
    history = page.locator("#model-body li").all_inner_texts()
    assert [line.split(": ")[1] for line in history] == [
        "reproduced (an earlier file) by host@lab, 2026-01-02", "disputed by host@lab, 2026-01-02"
    ]  # fmt: skip
    page.evaluate("location.hash = '#overview'")
    assert page.locator("#standings .badge").all_inner_texts() == ["unpublished"]


def test_a_model_stands_beside_its_best_baseline(opened):
    row = made.rows(1, NAMES[:1])[0]
    low = {"raw": 0.1, "difference": 0.1, "difference_low": 0.05, "difference_high": 0.15}
    best = {"raw": 0.15, "difference": 0.05, "difference_low": 0.01, "difference_high": 0.09}
    own = {"baseline:pixels": Baseline(**low), f"{row.entry.model}@untrained": Baseline(**best)}
    row = replace(row, entry=row.entry.model_copy(update={"baselines": own}))
    page = opened([row], f"#model={row.folder}")
    cell = " ".join(page.inner_text("#model-body td[data-label='Over best baseline']").split())
    assert cell == f"+{row.entry.raw - 0.15:.3f} [+0.010, +0.090] untrained twin"
    own["baseline:gabor"] = Baseline(reason="no memory")  # which of them is the best nobody knows
    page = opened([replace(row, entry=row.entry.model_copy(update={"baselines": own}))], f"#model={row.folder}")
    assert page.inner_text("#model-body td[data-label='Over best baseline']") == "–"


def test_ties_nulls_and_failures_are_shown_as_what_they_are(opened):
    rows = made.rows(3, NAMES[:1])
    rows += [
        Row(entry=made.entry("timm:tied", NAMES[0], raw=rows[0].entry.raw, seed=9), card=rows[0].card, folder="tied")
    ]
    failed = {
        "raw": None,
        "low": None,
        "high": None,
        "normalized": None,
        "ceiling": None,
        "status": "failed",
        "reason": "a layer is dead",
    }
    bad = made.entry("timm:bad", NAMES[0]).model_copy(update=failed | {"replicates": [], "layer": None})
    rows.append(Row(entry=bad, card=rows[0].card, folder="bad"))
    page = opened(rows, "#scores?unranked=1&sort=raw")
    for _ in range(2):
        assert "failed" in page.locator("#scores-table tbody tr").last.inner_text()  # nulls last, either way
        page.click("[data-sort=raw]")
    ranks = page.locator("#scores-table td[data-label=Rank]").all_inner_texts()
    assert "3–4" in ranks or "1–2" in ranks
    page.evaluate("location.hash = '#model=bad'")
    assert "a layer is dead" in page.inner_text("#model-body")


def test_model_and_benchmark_pages(opened, six):
    page = opened(six, "#scores?q=made2")
    page.locator("#scores-table tbody tr a").first.click()
    page.locator("#model").wait_for()
    body = page.inner_text("#model-body")
    assert "null" not in body and "undefined" not in body
    assert "ImageNet-1k" in body and "self-reported" in body and page.locator("#model-body figure").count() == 3
    assert page.title().startswith("made2")
    page.locator("#model-body figcaption a").first.click()
    page.locator("#benchmark").wait_for()
    body = page.inner_text("#benchmark-body")
    assert all(
        word in body for word in ("Data licence", "Get the data", "Ceiling", "Stimuli", "brainbench score MODEL")
    )
    assert page.locator("#benchmark-body tbody tr").count() == 6
    page.go_back()
    assert page.is_visible("#model")
    page.click("nav >> text=How to read this")
    page.locator("#about").wait_for()
    assert page.is_visible("#about") and not page.is_visible("#model")


def test_two_models_are_compared_as_the_library_compares_them(opened, six):
    first, second = six[0], six[-1]
    page = opened(six, f"#compare={first.folder},{second.folder}")
    lines = {line.split("\t")[0]: line for line in page.locator("#compare-body tbody tr").all_inner_texts()}
    for a, b in zip(six[:3], six[-3:]):
        _, (d,) = compare([a.entry, b.entry])
        cells = page.locator("#compare-body tbody tr", has_text=a.entry.benchmark).locator(".score > span").inner_text()
        value, low, high = (float(part.strip("[],+").replace("−", "-")) for part in cells.split())
        flip = -1 if d.model == a.entry.model else 1
        expected = sorted([-flip * d.low, -flip * d.high])
        assert value == pytest.approx(-flip * d.difference, abs=6e-4)
        assert [low, high] == pytest.approx(expected, abs=0.03 * (d.high - d.low) + 6e-4)
    assert len(lines) == 3
    page.select_option("[name=second]", six[3].folder)
    assert six[3].folder in page.url


def test_downloads_are_what_is_shown_and_no_formulas(opened, hostile):
    rows = hostile
    page = opened(rows, "#scores?synthetic=1&unranked=1")
    with page.expect_download() as waiting:
        page.click("#csv")
    text = waiting.value.path().read_bytes().decode()
    lines = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(lines) == len(rows)
    assert not any(cell.startswith(("=", "+", "@")) for line in lines for cell in line.values() if cell)
    assert any(line["title"].startswith("'=cmd") for line in lines)
    assert {float(line["raw"]) for line in lines} == {round(row.entry.raw, 5) for row in rows}
    with page.expect_download() as waiting:
        page.click("#json")
    assert {line["title"] for line in json.loads(waiting.value.path().read_text())} == set(HOSTILE)


def hostile_rows():
    rows = []
    for number, name in enumerate(HOSTILE):
        entry = made.entry(f"timm:made{number}", NAMES[2])
        layers = [layer.model_copy(update={"layer": name + str(n)}) for n, layer in enumerate(entry.layers)]
        entry = entry.model_copy(update={"model": name, "layers": layers, "layer": name + "5"})
        facts = made.card(made.entry()) | {
            "title": name,
            "submitter": name,
            "description": name,
            "url": name,
            "licence": name,
        }
        card = Card.model_construct(**facts | {"training_data": [name], "family": "cnn", "supersedes": []})
        rows.append(Row(entry=entry, card=card, folder=name))
    return rows


@pytest.fixture(scope="module")
def hostile():
    return hostile_rows()


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_names_are_text(opened, hostile, number):
    page = opened(hostile, "#scores?synthetic=1")
    assert page.locator("img, script[src], iframe, object, b:not(#about b)").count() == 0
    page.locator("#scores-table tbody tr").nth(number).locator("a").first.click()
    page.locator("#model-title bdi").wait_for()  # the view follows the address, a moment later
    assert page.is_visible("#model")
    hrefs = page.locator("a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert all(href.startswith(("#", "https://")) for href in hrefs)
    assert page.locator("#model-title bdi").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200
    policy = page.get_attribute("meta[http-equiv]", "content")
    assert "default-src 'none'" in policy and "unsafe" not in policy


def test_the_policy_stops_what_is_not_the_pages_own(opened, six):
    page = opened(six)
    page.evaluate(
        "const s = document.createElement('script'); s.textContent = 'window.broken = 1'; document.body.append(s)"
    )
    assert page.evaluate("window.broken") is None
    assert "Content Security Policy" in page.said.pop()


def test_dark_mode_is_kept(opened, six):
    page = opened(six)
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.click("#theme")
    assert page.get_attribute("#theme", "aria-pressed") == "true"
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


@pytest.mark.parametrize(
    "view", ["overview", "scores?synthetic=1", "compare", "about", f"benchmark={NAMES[1]}", "model"]
)
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_serious(opened, six, view, dark):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = opened(six, f"#model={six[0].folder}" if view == "model" else f"#{view}")
    if dark:
        page.click("#theme")
    found = axe.Axe().run(page).response["violations"]
    assert [(f["id"], f["nodes"][0]["html"]) for f in found if f["impact"] in ("serious", "critical")] == []


VISIBLE = """all => all.filter(e => e.checkVisibility()).map((e, n) => { e.dataset.n = n; return n; })"""


@pytest.mark.parametrize("view", ["overview", "scores?q=made3", "compare", f"benchmark={NAMES[1]}", "model"])
def test_every_control_can_be_reached_by_keyboard(opened, six, view):
    page = opened(six, f"#model={six[0].folder}" if view == "model" else f"#{view}")
    controls = page.locator("a[href], button, select, input, [tabindex='0']").evaluate_all(VISIBLE)
    reached = set()
    for _ in range(len(controls) + 5):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.dataset.n"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or page.evaluate("document.activeElement === document.body")
    assert {str(n) for n in controls} <= reached


def test_controls_answer_to_the_keyboard(opened, six):
    page = opened(six, "#scores")
    page.focus("[name=family]")
    page.keyboard.press("ArrowDown")
    assert "family=cnn" in page.evaluate("location.hash")
    page.focus("[name=synthetic]")
    page.keyboard.press("Space")
    assert "synthetic=1" in page.evaluate("location.hash")
    page.focus("#reset")
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#scores"
    for button, name in (("#csv", "brainbench.csv"), ("#json", "brainbench.json")):
        page.focus(button)
        with page.expect_download() as waiting:
            page.keyboard.press("Enter")
        assert waiting.value.suggested_filename == name
    page.evaluate(f"location.hash = '#benchmark={NAMES[1]}'")
    page.focus("#benchmark-body [data-sort=model]")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.sort") == "model"  # the new header has the focus
    page.evaluate("location.hash = '#compare'")
    page.focus("[name=second]")
    page.keyboard.press("ArrowDown")
    assert "#compare=" in page.evaluate("location.hash")
    page.focus("#theme")
    page.keyboard.press("Enter")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_by_keyboard_alone(opened, six):
    page = opened(six)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main-content"
    page.focus("nav a[data-view=scores]")
    page.keyboard.press("Enter")
    page.wait_for_selector("#scores", state="visible")  # the browser tells of a new hash a moment later
    page.focus("[data-sort=ceiling]")
    page.keyboard.press("Space")
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("Ceiling")


@pytest.mark.parametrize(
    "view", ["overview", "scores?synthetic=1", "compare", f"benchmark={NAMES[1]}", "model", "about"]
)
def test_nothing_is_wider_than_a_phone(opened, six, view):
    page = opened(six, f"#model={six[0].folder}" if view == "model" else f"#{view}")
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("n", [0, 1])
def test_a_board_of_nothing_or_one_entry_renders(opened, n):
    page = opened(made.rows(n, NAMES[:1]), "#scores")
    assert page.inner_text("#count") == f"{n} of {n} scores"
    for button in ("#csv", "#json"):
        with page.expect_download() as waiting:
            page.click(button)
        text = waiting.value.path().read_text()
        assert len(json.loads(text) if button == "#json" else list(csv.DictReader(io.StringIO(text)))) == n
    for view in ("overview", "compare", "model=x", "benchmark=x", "%E0%A4%A", "constructor"):
        page.evaluate(f"location.hash = '#{view}'")
    assert page.is_visible("#overview")


@pytest.mark.slow
def test_two_thousand_rows_are_below_a_megabyte_and_quick(opened, tmp_path):
    import time

    from brainbench.benchmarks import known

    rows = made.rows(100, sorted(known())[:20])
    start = time.perf_counter()
    page = opened(rows, "#scores?synthetic=1")
    assert page.inner_text("#count") == "2000 of 2000 scores"
    assert (tmp_path / "index.html").stat().st_size < 1_000_000
    page.click("text=Show all 2000 rows")
    assert page.locator("#scores-table tbody tr").count() == 2000 and time.perf_counter() - start < 120
    page.evaluate("location.hash = '#compare'")
    assert "resamplings" in page.inner_text("#compare-body")


def test_replicates_survive_their_packing():
    rows = made.rows(4, NAMES[:1])
    held = pages.replicates(rows, 1000)
    back = [
        np.asarray([held[str(n)][0] + held[str(n)][1] * pages.ALPHABET.index(c) for c in held[str(n)][2]])
        for n in range(4)
    ]
    true = [np.asarray(row.entry.replicates) for row in rows]
    step = max(held[str(n)][1] for n in range(4))
    assert np.abs((back[0] - back[3]) - (true[0] - true[3])).max() <= 1.01 * step
    assert pages.replicates(rows, 10) == {} and pages.replicates(rows[:1], 1000) == {}
