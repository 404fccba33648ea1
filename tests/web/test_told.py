"""What the page says of scores is what the entries say, on any screen."""

import json
from dataclasses import replace

import numpy as np
import pytest

from brainbench.entry import Baseline, Scored
from brainbench.leaderboard import pages
from brainbench.leaderboard.attestations import Attestation, Attested
from brainbench.leaderboard.cards import Superseded
from brainbench.numerics.resampling import benjamini_hochberg, two_sided_each
from brainbench.scorers import SCORERS

pytestmark = [pytest.mark.web, pytest.mark.enable_socket]
NAMES = ("kriegeskorte2008.humanIT-rsa", "cowley2023.V4-ridge", "insilico.V4-ridge")
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def six(made):
    return made.rows(6, NAMES)


@pytest.mark.parametrize("view", ["scores", f"benchmark={NAMES[1]}"])
def test_tables_are_sorted_on_a_phone(opened, six, view):
    page = opened(six, f"#{view}")
    table = page.locator(f"#{view.partition('=')[0]}")
    assert not table.locator("[name=sort]").is_visible()  # a wide screen has headers
    page.set_viewport_size(PHONE)
    assert not table.locator("thead").is_visible()
    table.locator("[name=sort]").select_option("raw")
    scores = [float(text.split()[0]) for text in table.locator("tbody .score > span").all_inner_texts()]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) > 2
    assert page.evaluate("document.activeElement.name") == "sort"
    table.locator("[name=direction]").select_option("up")
    again = [float(text.split()[0]) for text in table.locator("tbody .score > span").all_inner_texts()]
    assert again == scores[::-1]
    assert table.locator("[name=sort]").input_value() == "raw"
    for control in (table.locator("[name=sort]"), table.locator("[name=direction]")):
        control.focus()
        box = control.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 360 and box["height"] > 20


def test_the_highest_are_named_with_those_not_told_apart_from_them(opened, made):
    rows = made.rows(4, NAMES[1:2])
    alike = rows[-1].entry
    rows[2] = replace(
        rows[2], entry=rows[2].entry.model_copy(update={"raw": alike.raw - 0.001, "replicates": alike.replicates})
    )
    rows.append(replace(made.rows(5, NAMES[1:2], submission="scores")[4], folder="open"))  # higher, but not among them
    page = opened(rows)
    cell = page.locator("#benchmark-list tbody td[data-label=Highest]")
    assert " ".join(cell.inner_text().split()) == "made3 and 1 not told apart"
    cell.locator("a").last.click()
    page.locator("#benchmark-title", has_text=NAMES[1]).wait_for()
    alone = opened(made.rows(3, NAMES[1:2]))
    assert alone.inner_text("#benchmark-list tbody td[data-label=Highest]") == "made2"


def test_numbers_are_rounded_once_and_as_python_does(opened, made):
    rest = made.rows(11, NAMES[1:2])
    odd = [0.12345, 0.43749999, 0.2344996, 0.2345004, 0.0625, 0.1875, 0.3125, 0.4375, 0.00049999, 0.0005, 0.2675]
    rows = []
    for row, raw in zip(rest, odd):
        drawn = [round(r - row.entry.raw + raw, 6) for r in row.entry.replicates]
        facts = {"raw": raw, "low": raw - 0.03125, "high": raw + 0.0300451, "replicates": drawn}
        rows.append(replace(row, entry=row.entry.model_copy(update=facts)))
    page = opened(rows, "#scores?sort=model")
    told = dict(
        zip(
            page.locator("#scores-table [data-label=Model]").all_inner_texts(),
            page.locator("#scores-table .score > span").all_inner_texts(),
        )
    )
    shown = {name.strip(): " ".join(text.split()) for name, text in told.items()}
    assert shown == {
        row.card.title: f"{e.raw:.3f} [{e.low:.3f}, {e.high:.3f}]".replace("-0.000", "0.000")
        for row in rows
        if (e := row.entry)
    }


def test_differences_from_a_baseline_are_the_entrys_own(opened, made):
    row = made.rows(1, NAMES[:1])[0]
    own = {"baseline:pixels": Baseline(raw=0.12354, difference=0.07646, difference_low=0.05, difference_high=0.15)}
    page = opened([replace(row, entry=row.entry.model_copy(update={"baselines": own}))], f"#model={row.folder}")
    assert page.inner_text("#model-body td[data-label='Over best baseline']").split()[0] == "+0.076"


def test_filters_say_how_much_they_would_show_and_what_hides(opened, made, six):
    page = opened(six, "#scores?region=V4")
    assert page.locator("[name=species] option").all_inner_texts() == [
        "all",
        "human (0)",
        "macaque (6)",
        "synthetic (0)",
    ]
    page.select_option("[name=species]", "synthetic")
    assert page.inner_text("#count") == "0 of 18 scores"
    assert "6 are hidden because they are synthetic" in page.inner_text("#scores-table")
    page.click("#scores-table >> text=Show them")
    assert page.inner_text("#count") == "6 of 18 scores" and page.is_checked("[name=synthetic]")
    assert page.evaluate("document.activeElement.name") == "synthetic"


def test_a_region_is_found_in_every_species(opened, made):
    names = ("kriegeskorte2008.humanIT-rsa", "kriegeskorte2008.monkeyIT-rsa", "insilico.IT-rsa", "henaff2021.V1-ridge")
    page = opened(made.rows(2, names), "#scores?region=IT")
    assert page.inner_text("#count") == "4 of 8 scores"
    assert "IT (4)" in page.locator("[name=region] option").all_inner_texts()
    page.select_option("[name=region]", "humanIT")
    assert page.inner_text("#count") == "2 of 8 scores"


def test_an_address_with_a_value_that_is_not_here_shows_all_and_says_so(opened, six):
    page = opened(six, "#scores?species=nobody<b>&region=V4")
    assert page.inner_text("#count") == "6 of 18 scores"
    assert 'No species here is "nobody<b>"' in page.inner_text("#unknown")
    assert page.get_attribute("#permalink", "href") == "#scores?region=V4"
    page.click("#reset")
    assert not page.is_visible("#unknown")


def test_a_page_with_unpublished_entries_says_so_in_every_view(opened, made, six):
    own = [
        replace(row, folder=f"mine{n}", published=False, entry=made.entry(f"timm:mine{n}", NAMES[0], seed=8 + n))
        for n, row in enumerate(six[:2])
    ]
    page = opened([*six, *own], f"#model={own[0].folder}")
    assert page.locator("#model-title .badge").inner_text() == "unpublished"
    for view in ("overview", "scores", f"benchmark={NAMES[0]}", "compare", "about"):
        page.evaluate(f"location.hash = '#{view}'")
        page.locator(f"#{view.partition('=')[0]}").wait_for()
        assert "not to be published" in page.inner_text("#private")
    page.evaluate("location.hash = '#scores'")
    assert page.locator("#scores-table td[data-label=Model] .badge").all_inner_texts() == ["unpublished"] * 2
    page.locator("#private a").first.click()
    page.locator("#model-title", has_text="made0").wait_for()
    page.evaluate("location.hash = '#overview'")
    told = page.locator("#unplaced li").all_inner_texts()
    assert told == ["made0 unpublished: no score on cowley2023", "made0 unpublished: no score on cowley2023"]
    assert opened(six).locator("#private, #unplaced").count() == 0


def test_what_nobody_stated_is_not_shown_as_no(opened, made):
    (row,) = made.rows(1, NAMES[:1])
    card = row.card.model_copy(update={"trained_on_brain_data": None, "trained_on_benchmark_stimuli": None})
    page = opened([replace(row, card=card)], f"#model={row.folder}")
    told = dict(zip(page.locator("#model dt").all_inner_texts(), page.locator("#model dd").all_inner_texts()))
    assert told["Brain data in training"] == told["Benchmark stimuli in training"] == "not stated"
    assert page.locator("#model .badge", has_text="trained on").count() == 0


def test_a_ceiling_is_told_on_both_scales(opened, made):
    rows = made.rows(2, NAMES[1:2])
    rows = [replace(row, entry=row.entry.model_copy(update={"ceiling": 0.764})) for row in rows]
    page = opened(rows, f"#benchmark={NAMES[1]}")
    assert "0.764 on the scale r² (0.874 on the score's scale)" in page.inner_text("#benchmark-body")
    assert page.locator("#benchmark-body td[data-label=Ceiling]").first.inner_text() == "0.874"


def test_a_profile_has_normalized_scores_alone_and_marks_what_it_cuts(opened, made):
    names = ("henaff2021.V1-ridge", "cowley2023.V4-ridge", "cowley2023.V4-cka", "insilico.V4-ridge")
    one, two, without, fourth = made.rows(1, names)
    assert without.entry.normalized is None
    cut = {"normalized": 1.3, "normalized_low": 1.0, "normalized_high": 1.5}
    two = replace(two, entry=two.entry.model_copy(update=cut))
    page = opened([one, two, without, fourth], f"#model={one.folder}")
    plot = page.locator("[aria-label='Profile over regions'] svg")
    assert plot.locator("rect").count() == 3
    assert plot.locator(".heading").all_text_contents() == ["V1", "V4", "V4, synthetic"]
    assert plot.locator(".tick").all_text_contents() == ["0", ".5", "1"]
    assert plot.locator(".cut").count() == 1
    assert "do not compare" in page.inner_text("#model-body")
    page.set_viewport_size(PHONE)
    box = plot.locator(".ceiling").bounding_box()
    assert 0 < box["x"] < 350
    bare = opened([without], f"#model={without.folder}")
    assert bare.locator("[aria-label='Profile over regions']").count() == 0


def test_a_benchmark_is_explained(opened, made):
    page = opened(made.rows(1, ("cowley2023.V4-ridge", "geirhos2019.edges-ka")), "#benchmark=cowley2023.V4-ridge")
    facts = dict(zip(page.locator("#benchmark dt").all_inner_texts(), page.locator("#benchmark dd").all_inner_texts()))
    assert facts["Scorer"] == "ridge (version 3), scale r"
    assert "held-out stimuli" in facts["What it measures"]
    assert facts["Parameters"] == 'select: "gcv"' and facts["Split"] == "5 folds"
    assert facts["Sessions"] == "1: 210325"
    assert "brainbench data locate cowley2023" in facts["Get the data"]
    assert "brainbench data fetch cowley2023" in facts["Get the data"]
    page.evaluate("location.hash = '#benchmark=geirhos2019.edges-ka'")
    page.locator("#benchmark-title", has_text="geirhos").wait_for()
    facts = dict(zip(page.locator("#benchmark dt").all_inner_texts(), page.locator("#benchmark dd").all_inner_texts()))
    assert facts["Split"] == "2 folds, dealt 5 times" and "Sessions" not in facts


def test_every_scorer_is_explained():
    assert set(pages.MEASURES) == set(SCORERS)


def test_layer_curves_have_a_legend_and_a_table(opened, six):
    page = opened(six, f"#model={six[0].folder}")
    assert "Filled: the chosen layer" in page.inner_text("#model-body")
    figure = page.locator("#model-body figure").first
    figure.locator("summary").focus()
    page.keyboard.press("Enter")
    lines = figure.locator("tbody tr").all_inner_texts()
    entry = next(r.entry for r in six if r.entry.benchmark == figure.locator("a").inner_text())
    layers = [(layer.layer, f"{layer.depth:.3f}", f"{layer.raw:.3f}") for layer in entry.layers]
    assert [tuple(line.replace(" (chosen)", "").split("\t")) for line in lines] == layers
    assert [line.split("\t")[0] for line in lines if "(chosen)" in line] == [f"{entry.layer} (chosen)"]


def test_what_a_reader_needs_is_explained(opened, six):
    page = opened(six, "#about")
    terms = page.locator("#about dt").all_inner_texts()
    assert {"Mean rank", "Over best baseline"} <= set(terms)
    about = " ".join(page.inner_text("#about").split())
    assert "each neuroid" in about and "score's scale" in about
    assert "a recording where categories are read" in about and "bundled, timm and open_clip networks" in about
    assert "only aggregates per subject and region" in page.inner_text("footer")
    page = opened(six)
    assert page.locator("#standings .ends").inner_text().split("\n") == ["0 best", "1 worst"]
    rule = "A benchmark that counts and on which a model has no score counts as its last place."
    assert rule in " ".join(page.inner_text("#overview").split())
    page.click("#overview >> text=compare them")
    page.locator("#compare").wait_for()


def closely(made, names=(*NAMES[:2], "henaff2021.V1-ridge"), differences=(0.03, 0.02, 0.1)):
    rows = [row for row in made.rows(2, names) if row.card.title == "made0"]
    found = list(rows)
    for row, higher in zip(rows, differences):
        entry = made.entry("timm:close", row.entry.benchmark, raw=row.entry.raw + higher, seed=9)
        card = row.card.model_copy(update={"title": "close"})
        found.append(replace(row, entry=entry, card=card, folder="close"))
    return found


def cells(page, label):
    return page.locator(f"#compare-body td[data-label='{label}']").all_inner_texts()


def test_p_and_q_of_a_comparison_are_the_librarys(opened, made):
    rows = closely(made)
    page = opened(rows, f"#compare={rows[0].folder},close")
    held = pages.replicates(rows, 1000)
    drawn = [
        np.asarray([held[str(n)][0] + held[str(n)][1] * pages.ALPHABET.index(c) for c in held[str(n)][2]])
        for n in range(6)
    ]
    p = two_sided_each(np.asarray([drawn[n] - drawn[n + 3] for n in range(3)]))
    assert p[0] < 0.1 and p[1] > p[0] and p[2] == 2 / 1001
    order = [text.replace("\n", "") for text in page.locator("#compare-body tbody th").all_inner_texts()]
    at = [[row.entry.benchmark for row in rows[:3]].index(name) for name in order]
    assert cells(page, "p") == ["≤ 0.002" if p[n] < 0.002 else f"{p[n]:.3f}" for n in at]
    q = benjamini_hochberg(p)
    assert [text.removeprefix("≤ ") for text in cells(page, "q")] == [
        f"{np.ceil(q[n] * 1000) / 1000 if p[n] < 0.002 else q[n]:.3f}" for n in at
    ]
    assert [text.startswith("≤") for text in cells(page, "q")] == [bool(p[n] < 0.002) for n in at]


def test_synthetic_benchmarks_make_no_q_of_a_brain_larger(opened, made):
    rows = closely(made, NAMES, (0.03, 0.02, 0.1))
    page = opened(rows, f"#compare={rows[0].folder},close")
    last = page.locator("#compare-body tbody th").last.inner_text().replace("\n", "")
    assert last == f"{NAMES[2]} (synthetic)"
    *p, _ = (float(text.removeprefix("≤ ")) for text in cells(page, "p"))
    *q, alone = cells(page, "q")
    assert [float(text) for text in q] == pytest.approx(benjamini_hochberg(np.asarray(p)), abs=0.002)
    assert alone == cells(page, "p")[-1] == "≤ 0.002"
    assert "synthetic ones apart" in page.inner_text("#compare-body .muted")


def test_a_comparison_says_how_small_a_p_it_can_show(opened, made, monkeypatch):
    few = pages.replicates
    monkeypatch.setattr(pages, "replicates", lambda rows, most: few(rows, 300))
    rows = closely(made)
    page = opened(rows, f"#compare={rows[0].folder},close")
    assert "≤ 0.007" in cells(page, "p")
    assert "300 resamplings show no p below 0.0066" in page.inner_text("#compare-body .muted")
    rows = closely(made, NAMES[:2], (0.001, 0.002))
    page = opened(rows, f"#compare={rows[0].folder},close")
    assert not any("≤" in text for text in cells(page, "p"))
    assert "no p below" not in page.inner_text("#compare-body .muted")


def test_where_models_are_too_alike_to_letter_the_page_says_so(opened, made, monkeypatch):
    whole = pages.payload
    bare = lambda board: whole(replace(board, rows=tuple(replace(row, ties="") for row in board.rows)))  # noqa: E731
    monkeypatch.setattr(pages, "payload", bare)
    rows = made.rows(3, NAMES[1:2])
    page = opened([replace(rows[0], attested=objected("disputed")), *rows[1:]], "#scores?unranked=1&sort=model")
    ties, ranks = page.locator("td[data-label=Ties]"), page.locator("td[data-label=Rank]").all_inner_texts()
    assert ties.all_inner_texts() == ["–"] * 3 and ranks == ["disputed", "2", "1"]
    titles = ties.evaluate_all("all => all.map(e => e.querySelector('[title]')?.title)")
    assert titles == [None, *["too many groups of models that cannot be told apart to letter"] * 2]


def test_one_subject_is_no_vote_and_a_phone_names_both_models(opened, made):
    rows = closely(made)
    page = opened(rows, f"#compare={rows[0].folder},close")
    told = dict(
        zip(
            (t.replace("\n", "") for t in page.locator("#compare-body tbody th").all_inner_texts()),
            cells(page, "Subjects"),
        )
    )
    assert (
        told["cowley2023.V4-ridge"] == "–"
        and told["kriegeskorte2008.humanIT-rsa"] == f"0 of {len(rows[0].entry.per_subject)}"
    )
    page.set_viewport_size(PHONE)
    label = "e => getComputedStyle(e, '::before').content"
    shown = page.locator("#compare-body tbody tr").first.locator("td").evaluate_all(f"all => all.map({label})")
    assert shown[:2] == ['"made0"', '"close"']


def test_a_model_is_not_compared_with_itself(opened, six):
    page = opened(six, "#compare")
    folders = list(dict.fromkeys(row.folder for row in six))
    pair = [page.input_value(f"[name={name}]") for name in ("first", "second")]
    assert pair == folders[:3:-1]  # the first two of the standings
    page.select_option("[name=first]", pair[1])
    page.wait_for_function("document.querySelector('[name=second]').value === " + json.dumps(pair[0]))
    assert page.input_value("[name=first]") == pair[1]
    assert page.url.endswith(f"#compare={pair[1]},{pair[0]}")
    page = opened(six, f"#compare={folders[0]},{folders[0]}")
    assert page.input_value("[name=second]") == folders[5]
    assert page.url.endswith(f"#compare={folders[0]},{folders[5]}")


def test_a_model_leads_to_its_untrained_twin(opened, made):
    rows = closely(made)
    twin = made.entry(f"{rows[0].entry.model}@untrained", NAMES[0], seed=9)
    rows.append(replace(rows[0], entry=twin, folder="twin", card=rows[0].card.model_copy(update={"title": "the twin"})))
    page = opened(rows, f"#model={rows[0].folder}")
    page.click("text=Compare with its untrained twin")
    page.locator("#compare").wait_for()
    assert page.input_value("[name=second]") == "twin"
    page.evaluate("location.hash = '#model=close'")
    page.locator("#model-title", has_text="close").wait_for()
    assert page.locator("text=Compare with its untrained twin").count() == 0


def test_rows_are_in_the_order_of_areas(opened, made):
    names = (
        "insilico.V1-ridge",
        "kriegeskorte2008.monkeyIT-rsa",
        "cowley2023.V4-ridge",
        "cowley2023.category-ka",
        "henaff2021.V1-ridge",
    )
    order = [names[4], names[2], names[1], names[3], names[0] + " (synthetic)"]
    rows = made.rows(2, names)
    page = opened(rows, f"#model={rows[0].folder}")
    told = page.locator("#model-body td[data-label=Benchmark]").all_inner_texts()
    assert [text.replace("\n", "") for text in told] == order
    page.evaluate("location.hash = '#compare'")
    page.locator("#compare-body tbody th").first.wait_for()
    told = page.locator("#compare-body tbody th").all_inner_texts()
    assert [text.replace("\n", "") for text in told] == order


def test_a_long_tables_header_stays_in_view(opened, six):
    page = opened(six, "#scores?synthetic=1")
    region = page.locator("#scores-table .scroll")
    assert region.bounding_box()["height"] < 800
    region.evaluate("e => e.scrollTo(0, 1e6)")
    top = region.bounding_box()["y"]
    assert region.evaluate("e => e.scrollTop") > 0
    assert abs(page.locator("#scores-table thead th").first.bounding_box()["y"] - top) < 3


@pytest.mark.parametrize("width", [360, 800])
def test_overview_tables_are_whole_on_a_narrow_screen(opened, six, width):
    page = opened(six)
    page.set_viewport_size({"width": width, "height": 740})
    cut = page.locator("#overview .scroll").evaluate_all("all => all.map(e => e.scrollWidth > e.clientWidth)")
    assert cut == [False, False]
    if width == 360:
        label = page.locator("#standings td.plot").first.evaluate("e => getComputedStyle(e, '::before').content")
        assert "0 best, 1 worst" in label


def test_a_view_is_copied_as_a_link(opened, six):
    page = opened(six, "#scores")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.select_option("[name=region]", "V4")
    page.click("#permalink")
    page.locator("#linked", has_text="Copied").wait_for()
    assert page.is_visible("#linked")
    assert page.evaluate("navigator.clipboard.readText()") == page.url and "region=V4" in page.url
    page.select_option("[name=region]", "humanIT")
    assert not page.is_visible("#linked")


def test_where_nothing_can_be_copied_the_address_bar_has_the_link(opened, six):
    page = opened(six, "#scores?region=V4")
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.click("#permalink")
    assert "address bar" in page.inner_text("#linked")


def test_dark_mode_looks_pressed(opened, six):
    page = opened(six)
    look = "(b => getComputedStyle(b).backgroundColor)(document.getElementById('theme'))"
    accent = "getComputedStyle(document.querySelector('nav a:not([aria-current])')).color"
    assert page.evaluate(look) != page.evaluate(accent)
    page.click("#theme")
    assert page.evaluate(look) == page.evaluate(accent)


def test_marks_of_a_model_are_apart_and_short_words_are_whole(opened, made):
    rows = made.rows(2, NAMES[:2], trained_on_brain_data=True, trained_on_benchmark_stimuli=True)
    page = opened(rows, "#scores?q=macaque")
    assert page.inner_text("#count") == "2 of 4 scores"
    cell = page.locator("#scores-table td[data-label=Model]").first
    assert cell.evaluate("e => e.textContent") == "made1 trained on brain data trained on stimuli"
    for words, n in (("V4", 2), ("it", 2), ("mad", 0), ("made", 4), ("rsa", 2), ("human", 2), ("age", 0)):
        page.fill("[name=q]", words)
        assert page.inner_text("#count") == f"{n} of 4 scores", words


def test_layers_have_their_names_where_a_models_first_entry_has_no_score(opened, made):
    rows = made.rows(2, NAMES[1:2])
    blank = Scored().model_dump() | {"status": "failed", "reason": "no memory"}
    failed = rows[0].entry.model_copy(update=blank | {"benchmark": "cowley2023.V4-cka"})
    page = opened([replace(rows[0], entry=failed), *rows], "#scores?sort=model")
    assert page.locator("#scores-table td[data-label=Layer]").all_inner_texts() == ["blocks.5"] * 2
    page.goto(f"{page.url.partition('#')[0]}#model={rows[0].folder}")
    page.locator("#model-body summary").click()
    assert page.locator("#model-body details tbody tr").count() == 9
    assert "blocks.5 (chosen)" in page.inner_text("#model-body details")


def objected(verdict):
    facts = {"entry": "a/b.json", "entry_sha256": "0" * 64, "number": 1, "signer": "h", "date": "2026-01-01"}
    return Attested(verdicts=(Attestation(verdict=verdict, reason="?", **facts),))


@pytest.mark.parametrize("why", ["open division", "disputed"])
def test_what_nobody_can_check_says_nothing_of_a_benchmark(opened, made, why):
    true = made.rows(2, NAMES[1:2])
    odd = {"n_stimuli": 7, "resampled": "7 stimuli", "ceiling": 0.9, "ceiling_method": "guessed", "ceiling_upper": 0.95}
    others = {} if why == "disputed" else {"submission": "scores"}
    (row,) = made.rows(1, NAMES[1:2], **others)
    forged = row.entry.model_copy(update={"model": "timm:a", "model_fingerprint": "a" * 64, **odd})
    attested = objected("disputed") if why == "disputed" else Attested()
    page = opened([replace(row, entry=forged, folder="a", attested=attested), *true], f"#benchmark={NAMES[1]}")
    told = " ".join(page.inner_text("#benchmark-body dl").split())
    assert "Stimuli 400 " in told and "Intervals resample 400 stimuli, 3 subjects" in told
    assert "Ceiling 0.640 on the scale r² (0.800 on the score's scale), split-half" in told
    assert not {"guessed", "0.950", "0.900"} & set(told.split())


def test_a_comparison_tells_what_is_objected_to_and_who_is_in_the_open_division(opened, made):
    first, second = made.rows(2, NAMES[1:2])
    (third,) = made.rows(1, NAMES[1:2], submission="scores")
    third = replace(third, folder="open")
    page = opened([replace(first, attested=objected("withdrawn")), second, third], f"#compare={first.folder},open")
    (cell, other) = page.locator("#compare-body tbody td").all_inner_texts()[:2]
    assert cell.split() == ["0.250", "withdrawn"] and other.split() == ["0.250"]
    assert page.locator("#compare-body thead th").nth(2).inner_text().split() == ["made0", "open", "division"]


def test_models_of_one_title_are_told_apart_where_they_are_chosen(opened, made):
    rows = made.rows(3, NAMES[1:2])
    rows[1] = replace(rows[1], card=rows[0].card)
    page = opened(rows, "#compare")
    told = page.locator("#pair [name=first] option").all_inner_texts()
    assert told == [f"made0, {rows[0].folder}", f"made0, {rows[1].folder}", "made2"]


def test_a_model_that_cannot_be_compared_is_not_exchanged_in_silence(opened, made):
    rows = made.rows(3, NAMES[1:2])
    card = rows[1].card
    old = Superseded(path=f"{rows[0].folder}/{NAMES[1]}.json", sha256="0" * 64, reason="mended")
    rows[1] = replace(rows[1], card=card.model_copy(update={"supersedes": [old], "model": rows[0].card.model}))
    rows[0] = replace(rows[0], sha256="0" * 64)
    page = opened(rows, f"#compare={rows[0].folder},{rows[2].folder}")
    told = page.inner_text("#compare-body .note")
    assert told == f"This page has no scores to compare of {rows[0].folder}; another model takes its place."
    page.goto(f"{page.url.partition('#')[0]}#compare={rows[1].folder},{rows[2].folder}")
    assert not page.locator("#compare-body .note").count()
    page.goto(f"{page.url.partition('#')[0]}#model={rows[0].folder}")
    assert not page.locator("#model-body a[href^='#compare']").count()


@pytest.mark.parametrize("view", ["scores", f"benchmark={NAMES[1]}"])
def test_the_open_division_comes_after_the_main_one_however_high_it_scores(opened, made, view):
    rows = made.rows(3, NAMES[1:2])
    *_, highest = made.rows(4, NAMES[1:2], submission="scores")
    page = opened([replace(highest, folder="open"), *rows], f"#{view}")
    table = page.locator(f"#{view.partition('=')[0]} table")
    titles = [" ".join(text.split()) for text in table.locator("td[data-label=Model]").all_inner_texts()]
    assert titles == ["made2", "made1", "made0", "made3 open division"]


def test_the_dot_of_a_model_that_is_first_everywhere_is_whole(opened, made):
    page = opened(made.rows(2, NAMES[1:2]))
    first = page.locator("#standings tbody tr").first
    assert "0.00" in first.inner_text() and first.locator("circle").get_attribute("cx") == "0.0"
    assert first.locator("svg").evaluate("(plot) => getComputedStyle(plot).overflow") == "visible"
