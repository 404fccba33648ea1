"""What stands on the board: ranks within a benchmark, mean ranks over recordings, nothing synthetic among them."""

from dataclasses import replace

import numpy as np
import pytest

from brainbench.leaderboard import pages
from brainbench.leaderboard.board import Row, board, read_board, recording_facts
from brainbench.leaderboard.cards import card_of

V4 = ("cowley2023.V4-ridge", "cowley2023.V4-cka", "cowley2023.V4-ssm")
V1, IT = "henaff2021.V1-ridge", "kriegeskorte2008.humanIT-rsa"


@pytest.fixture
def rows(made):
    """Rows of models by name and benchmark with these scores; every model is one folder."""

    def make(scores, **facts):
        found = []
        for seed, (name, by_benchmark) in enumerate(scores.items()):
            for benchmark, raw in by_benchmark.items():
                entry = made.entry(f"timm:{name}", benchmark, raw=raw, seed=seed)
                found.append(Row(entry=entry, card=card_of(made.card(entry, **facts)), folder=name))
        return found

    return make


def test_a_recording_counts_once_however_many_scorers_it_has(rows):
    on_v4, on_v1 = dict.fromkeys(V4, 0.5), {V1: 0.2, IT: 0.2}
    scores = {"v4": on_v4 | on_v1, "rest": dict.fromkeys(V4, 0.2) | {V1: 0.5, IT: 0.5}}
    found = board(rows(scores))
    assert [(s.folder, round(s.mean_rank, 3), s.n_benchmarks) for s in found.standings] == [
        ("rest", round(1 / 3, 3), 5),
        ("v4", round(2 / 3, 3), 5),
    ]
    assert (found.n_recordings, found.n_benchmarks) == (3, 5)
    assert all(s.low <= s.mean_rank <= s.high for s in found.standings)


def test_neither_synthetic_recordings_nor_categories_nor_the_open_division_are_in_a_mean_rank(rows):
    real = {name: {V1: raw} for name, raw in (("good", 0.5), ("bad", 0.2))}
    alone = board(rows(real)).standings
    other = dict.fromkeys(("insilico.V4-ridge", "insilico.IT-rsa", "cowley2023.category-ka"))
    beside = {
        "good": {**real["good"], **dict.fromkeys(other, 0.1)},
        "bad": {**real["bad"], **dict.fromkeys(other, 0.6)},
    }
    found = board(rows(beside) + rows({"open": {V1: 0.9}}, submission="scores"))
    assert found.standings == alone
    assert [s.folder for s in found.standings] == ["good", "bad"]
    ranked = {(row.folder, row.entry.benchmark): row.best for row in found.rows}
    assert ranked["bad", "insilico.V4-ridge"] == ranked["good", V1] == ranked["open", V1] == 1


def test_a_model_without_a_score_on_some_recording_has_no_mean_rank(rows):
    found = board(rows({"a": {V1: 0.5, IT: 0.5}, "b": {V1: 0.4, IT: 0.4}, "partial": {V1: 0.9}}))
    assert [s.folder for s in found.standings] == ["a", "b"]


def test_intervals_of_mean_ranks_say_what_is_not_told_apart(rows):
    close = board(rows({"a": {V1: 0.4}, "b": {V1: 0.401}, "c": {V1: 0.1}})).standings
    assert [s.folder for s in close] == ["b", "a", "c"]
    assert close[0].high == close[1].high == 0.5 and close[0].low == close[1].low == 0.0
    assert (close[2].low, close[2].high) == (1.0, 1.0)


@pytest.mark.parametrize("n", [0, 1])
def test_boards_of_nothing_and_of_one_entry(rows, n):
    found = board(rows({"a": {V1: 0.5}})[:n])
    assert found.standings == () and found.n_recordings == 0
    assert "nothing to rank" in pages.html(found)


def test_nulls_and_ties_rank_as_such(rows):
    three = rows({"a": {V1: 0.5}, "b": {V1: 0.5}, "c": {V1: 0.2}})
    tied = three[0].entry
    three[1] = Row(
        entry=three[1].entry.model_copy(update={"replicates": tied.replicates}), card=three[1].card, folder="b"
    )
    failed = three[2].entry.model_copy(update={"status": "failed", "raw": None, "replicates": [], "reason": "dead"})
    found = board([*three, Row(entry=failed, card=three[2].card, folder="d")])
    ranks = {row.folder: (row.best, row.worst, row.ties, row.unranked) for row in found.rows}
    assert ranks["a"][:3] == ranks["b"][:3] == (1, 2, "a") and ranks["c"][:2] == (3, 3)
    assert ranks["d"] == (None, None, "", "failed")


def test_the_packed_replicates_of_a_lone_row_are_left_out(rows):
    alone = rows({"a": {V1: 0.5}, "b": {IT: 0.4}})
    assert pages.replicates(alone, 1000) == {}
    both = pages.replicates(rows({"a": {V1: 0.5}, "b": {V1: 0.4}}), 1000)
    assert {len(text) for _, _, text in both.values()} == {1000}
    assert np.isfinite([both["0"][0], both["1"][1]]).all()


def test_replicates_that_one_model_lacks_take_the_others_no_interval(rows):
    found = rows({name: dict.fromkeys((V1, IT), raw) for name, raw in {"a": 0.3, "b": 0.32, "c": 0.5}.items()})
    before = {s.folder: s for s in board(found).standings}
    for row, lacking in zip([row for row in found if row.folder == "a"], (range(500), range(500, 1000))):
        drawn = [None if n in lacking else r for n, r in enumerate(row.entry.replicates)]
        found[found.index(row)] = replace(row, entry=row.entry.model_copy(update={"replicates": drawn}))
    whole = board(found)
    assert [s.folder for s in whole.standings] == ["c", "b"]
    assert all(abs(s.high - before[s.folder].high) <= 0.25 for s in whole.standings)
    assert whole.unplaced == {"a": "no resamplings in which it has a score on all its benchmarks"}
    assert "nan" not in pages.html(whole).partition("<script")[0]


def test_replicates_that_one_row_lacks_make_nobodys_coarse(rows):
    found = rows({name: {V4[0]: raw} for name, raw in {"a": 0.3, "b": 0.5, "c": 0.7}.items()})
    whole = pages.replicates(found, 1000)
    lacking = [None if n % 10 == 0 else r for n, r in enumerate(found[2].entry.replicates)]
    found[2] = replace(found[2], entry=found[2].entry.model_copy(update={"replicates": lacking}))
    held = pages.replicates(found, 1000)
    assert all(held[name][1] < 2.5 * whole[name][1] for name in whole)
    first, second = (
        np.array([low + step * pages.ALPHABET.index(c) for c in text]) for low, step, text in list(held.values())[:2]
    )
    true = np.subtract(*(row.entry.replicates for row in found[:2]))
    assert np.abs(first - second - true).max() < 0.01
    assert held["2"][2][0] == "_" != held["2"][2][1]


def test_a_benchmark_that_few_models_have_moves_no_mean_rank(rows):
    scores = {f"m{n}": {V4[0]: 0.1 * n, V1: 0.1 * n, IT: 0.1 * n} for n in range(1, 7)}
    before = board(rows(scores))
    scores["m3"][V4[1]], scores["m1"][V4[1]] = 0.9, 0.1
    after = board(rows(scores))
    assert [(s.folder, s.mean_rank) for s in after.standings] == [(s.folder, s.mean_rank) for s in before.standings]
    assert (after.n_benchmarks, len(after.rows)) == (3, 20)
    assert {row.best for row in after.rows if row.entry.benchmark == V4[1]} == {1, 2}  # ranked among themselves


@pytest.mark.parametrize(
    "benchmark, species, modality",
    [
        ("kriegeskorte2008.humanIT-rsa", "human", "fMRI"),
        ("kriegeskorte2008.monkeyIT-rsa", "macaque", "single units"),
        ("kriegeskorte2008.judges-rsa", "human", "behaviour"),
        ("cowley2023.V4-ridge", "macaque", "multi-electrode"),
        ("cowley2023.category-ka", "none (categories)", "none (categories)"),
        ("geirhos2019.edges-ka", "none (categories)", "none (categories)"),
    ],
)
def test_a_benchmark_is_of_its_regions_species_where_a_recording_has_several(made, benchmark, species, modality):
    facts = recording_facts(made.entry("timm:made", benchmark))
    assert facts["species"] == species
    assert modality in facts["modality"]


def test_a_model_that_was_merged_twice_is_ranked_once(rows):
    once = [replace(row, folder="a (unpublished)", published=False) for row in rows({"a": {V1: 0.5}})]
    found = board(rows({"b": {V1: 0.4}}) + once + once)
    assert [(row.best, row.unranked) for row in found.rows] == [(2, ""), (1, ""), (None, "ranked by its first entry")]


def test_an_unpublished_run_of_a_published_model_says_where_it_is_ranked(rows):
    published = rows({"a": {V1: 0.5}, "b": {V1: 0.4}})
    again = [replace(row, folder="a (unpublished)", published=False) for row in rows({"a": {V1: 0.5}})]
    found = {row.folder: (row.best, row.unranked) for row in board(published + again).rows}
    assert found == {"a": (1, ""), "b": (2, ""), "a (unpublished)": (None, "ranked by its published entry")}


def test_models_without_a_mean_rank_have_a_reason(rows):
    scores = {f"m{n}": {V1: 0.1 * n, IT: 0.1 * n} | dict.fromkeys(V4, 0.1 * n) for n in range(1, 4)}
    published = rows(scores | {"few": {V1: 0.1, IT: 0.1}, "partial": {V1: 0.5}, "made": {"insilico.V4-ridge": 0.5}})
    again = [replace(row, folder="m1 (unpublished)", published=False) for row in rows({"m1": {V1: 0.1}})]
    found = board(published + again + rows({"open": {V1: 0.9}}, submission="scores"))
    assert found.unplaced == {
        "few": "no score on cowley2023",
        "partial": "no score on cowley2023, kriegeskorte2008",
        "made": "no score that counts",
        "m1 (unpublished)": "ranked by its published entry",
        "open": "open division",
    }
    assert board(rows({"a": {V1: 0.5}})).unplaced == {}


def test_a_benchmark_without_a_score_counts_as_its_last_place(rows):
    """Or whoever leaves out his worst benchmarks is better than before."""
    scores = {
        "a": {V4[0]: 0.5, V4[1]: 0.1, V1: 0.5},
        "b": {V4[0]: 0.4, V4[1]: 0.4, V1: 0.4},
        "c": {V4[0]: 0.3, V4[1]: 0.3, V1: 0.3},
    }
    whole = {s.folder: s.mean_rank for s in board(rows(scores)).standings}
    del scores["a"][V4[1]]
    found = {s.folder: s for s in board(rows(scores)).standings}
    assert found["a"].mean_rank == whole["a"] == found["a"].low == found["a"].high == 0.25
    assert found["a"].n_benchmarks == 2
    assert found["b"].mean_rank == (0 + 0.5) / 4 + 0.5 / 2


def test_facts_of_a_run_without_a_card_are_not_stated(tmp_path, made):
    entry = made.entry()
    made.submitted(tmp_path, entry)
    (folder,) = (tmp_path / "results").iterdir()
    (folder / "model.toml").unlink()
    (tmp_path / "other" / "results").mkdir(parents=True)
    found = read_board(tmp_path / "other", [tmp_path / "results"])
    model = pages.payload(found)["models"][0]
    assert model["brain_data"] is model["stimuli"] is None  # neither yes nor no
    assert {model[key] for key in ("family", "supervision", "submission", "licence")} == {"not stated"}
    assert model["training_data"] == ["not stated"]
