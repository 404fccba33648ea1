"""Fewer stimuli and neuroids: what is drawn, what is scored, and that what is known stays known."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from brainbench import models, runner, settings
from brainbench.analysis import subsampling
from brainbench.analysis.robustness import Stability, level, orders
from brainbench.analysis.subsampling import subsample
from brainbench.benchmarks import known
from brainbench.datasets.insilico import Insilico
from brainbench.errors import InputError, UsageError
from brainbench.models.features_file import FeatureTable
from brainbench.numerics.representation import Representation

IDS = Insilico().stimuli().ids


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return settings.make_setting(device="cpu", cache_folder=tmp_path_factory.mktemp("cache"))


def bare(name):
    return known()[name].model_copy(update={"baselines": ()})


def noise(seed=0, p=6):
    features = np.random.default_rng(seed).normal(size=(len(IDS), p)).astype(np.float32)
    return FeatureTable.from_arrays({"a": features, "b": features[:, :3]}, IDS, f"noise{seed}")


@pytest.fixture(scope="module")
def oracle(setting):
    """The oracle on both kinds of benchmark."""
    model = models.load("insilico:cascade")
    asked = {"ridge": [0.5, 0.125], "rsa": [0.5, 0.125]}
    return {
        scorer: subsample([model, noise()], bare(f"insilico.V4-{scorer}"), setting, fractions=fractions, n_draws=5)
        for scorer, fractions in asked.items()
    }


def at(found, axis, fraction, model=0):
    return next(one for one in found.models[model].levels if (one.axis, one.fraction) == (axis, fraction))


# what is known stays known


@pytest.mark.parametrize("scorer", ["ridge", "rsa"])
def test_the_oracles_layer_stays_the_best_at_half_of_the_stimuli_and_of_the_neuroids(oracle, scorer):
    found = oracle[scorer]
    assert found.models[0].layer == "V4"
    for axis in ("stimuli", "neuroids"):
        half = at(found, axis, 0.5)
        assert (half.layer_same, half.layer_near, half.layer_shift) == (1, 1, 0)
        assert half.n_draws == 5 and half.n == {"stimuli": 200, "neuroids": 75}[axis]
        assert [o.same_first for o in found.orders if o.axis == axis] == [1, 1]
        assert [o.tau for o in found.orders if o.axis == axis] == [1, 1]


@pytest.mark.parametrize("scorer", ["ridge", "rsa"])
@pytest.mark.parametrize("axis", ["stimuli", "neuroids"])
def test_the_spread_grows_where_there_is_less(oracle, scorer, axis):
    half, eighth = (at(oracle[scorer], axis, fraction) for fraction in (0.5, 0.125))
    assert eighth.sd_fresh > half.sd_fresh > 0 and eighth.sd > 1.5 * half.sd
    assert half.sd_fresh == pytest.approx(half.sd * math.sqrt(2))


def test_fewer_stimuli_teach_less_and_fewer_neuroids_do_not(oracle):
    """A readout learns from stimuli; each neuroid's score is its own."""
    whole = oracle["ridge"].models[0].score
    assert at(oracle["ridge"], "stimuli", 0.125).mean < whole - 0.02
    assert at(oracle["ridge"], "neuroids", 0.125).mean == pytest.approx(whole, abs=0.02)


def test_features_that_know_nothing_stay_at_nothing(oracle):
    for found in oracle.values():
        for one in found.models[1].levels:
            assert abs(one.mean) < 0.06


def test_all_data_have_the_score_of_an_entry(oracle, setting):
    for scorer, found in oracle.items():
        (entry,) = runner.run(models.load("insilico:cascade"), [bare(f"insilico.V4-{scorer}")], setting)
        assert found.models[0].score == pytest.approx(entry.raw, abs=1e-9)
        assert (found.n_stimuli, found.n_units, found.n_neuroids, found.n_subjects) == (400, 400, 150, 3)
        assert found.synthetic and not found.missing


# what is drawn


@pytest.fixture(scope="module")
def recordings(setting):
    return {s: subsampling._Recording.of(bare(f"insilico.V4-{s}"), setting) for s in ("ridge", "rsa")}


def names(targets, axis):
    if axis == "stimuli":
        return {i for target in targets for i in target.data.stimulus_ids}
    return {n for target in targets for n in target.names}


@pytest.mark.parametrize("axis", ["stimuli", "neuroids"])
def test_a_smaller_share_is_part_of_a_larger_one_and_other_draws_are_others(recordings, axis):
    half, quarter, other = (recordings["ridge"].fewer(axis, *asked)[0] for asked in ((0.5, 0), (0.25, 0), (0.25, 1)))
    assert names(quarter, axis) < names(half, axis)
    assert names(other, axis) != names(quarter, axis) and len(names(other, axis)) == len(names(quarter, axis))
    again = recordings["ridge"].fewer(axis, 0.25, 0)[0]
    assert names(again, axis) == names(quarter, axis)


def test_every_subject_keeps_its_share_and_columns_keep_their_own_responses(recordings):
    whole = {name: (t, k) for t in recordings["ridge"].asked for k, name in enumerate(t.names)}
    few, n = recordings["ridge"].fewer("neuroids", 0.5, 0)
    assert n == 75 and sorted(len(t.names) for t in few) == [25, 25, 25]
    for target in few:
        assert target.data.neuroid_ids == target.names and set(target.subjects) == {target.names[0].split("-")[0]}
        for k, name in enumerate(target.names):
            full, place = whole[name]
            np.testing.assert_array_equal(target.data.values[:, :, k], full.data.values[:, :, place])
            assert target.regions[k] == full.regions[place]


def test_rdms_of_fewer_neuroids_are_made_of_their_responses(recordings):
    (few,), n = recordings["rsa"].fewer("neuroids", 0.5, 3)
    assert n == 75 and few.data.values.shape == (3, 400, 400)
    ridge, _ = recordings["ridge"].fewer("neuroids", 0.5, 3)  # the same draws, whatever the scorer
    responses = torch.as_tensor(ridge[0].data.mean())
    expected = Representation.from_features(responses, ridge[0].data.stimulus_ids).rdm("correlation")
    np.testing.assert_allclose(few.data.values[0], expected, atol=1e-12)


@pytest.mark.parametrize("scorer", ["ridge", "rsa"])
def test_folds_lose_what_is_dropped_and_nothing_else(recordings, scorer):
    (few, *_), _ = recordings[scorer].fewer("stimuli", 0.25, 0)
    kept, whole = set(few.data.stimulus_ids), recordings[scorer].asked[0]
    assert few.stimuli.ids == few.data.stimulus_ids and len(kept) == 100
    for fold, full in zip(few.split.folds, whole.split.folds):
        assert fold.test == tuple(i for i in full.test if i in kept)
        assert fold.train == tuple(i for i in full.train if i in kept)
    at = [whole.data.stimulus_ids.index(i) for i in few.data.stimulus_ids]
    values = whole.data.values[:, at][:, :, at] if scorer == "rsa" else whole.data.values[at]
    np.testing.assert_array_equal(few.data.values, values)


def test_groups_are_dropped_whole(recordings):
    whole = recordings["ridge"]
    movie = {i: f"group:{n // 40}" for n, i in enumerate(sorted(whole.unit))}
    grouped = replace(whole, asked=[replace(t, split=replace(t.split, unit=dict(movie))) for t in whole.asked])
    few, n = grouped.fewer("stimuli", 0.5, 0)
    kept = names(few, "stimuli")
    assert n == len(kept) == 200
    assert all(len(kept & {i for i, g in movie.items() if g == group}) in (0, 40) for group in set(movie.values()))


# what cannot be had


def test_a_draw_without_enough_stimuli_has_no_score(setting):
    found = subsample([noise()], bare("insilico.V4-ridge"), setting, fractions=[0.02], n_draws=3)
    gone, kept = at(found, "stimuli", 0.02), at(found, "neuroids", 0.02)
    assert gone.n_draws < 3 and any(math.isnan(score) for score in gone.scores)
    assert "both need 3 at least" in gone.reason and kept.reason == ""
    assert kept.n_draws == 3 and kept.n == 3  # at least one neuroid a subject


def test_released_rdms_have_no_neuroids_to_drop(setting, monkeypatch):
    class Released(Insilico):
        spec = replace(Insilico.spec, measures=("rdms",))

        def rdms(self, region):
            values = np.random.default_rng(0).random((2, 1, 400, 400))
            values = values + np.swapaxes(values, 2, 3)
            values[..., np.arange(400), np.arange(400)] = 0
            import xarray as xr

            return xr.DataArray(
                values,
                dims=("subject", "session", "stimulus", "stimulus_"),
                coords={"subject": ["s1", "s2"], "session": ["1"], "stimulus_id": ("stimulus", list(IDS))},
            )

    monkeypatch.setattr(subsampling.datasets, "load", lambda name, roots: Released())
    found = subsample([noise()], bare("insilico.V4-rsa"), setting, fractions=[0.5], n_draws=2)
    assert found.missing == {"neuroids": "only RDMs were released, not the responses behind them"}
    assert {one.axis for one in found.models[0].levels} == {"stimuli"} and found.n_neuroids == 0


def test_categories_are_of_stimuli_and_lose_those(setting):
    """Eight categories that the features tell exactly: read at any number of stimuli, without neuroids or subjects."""
    table = Insilico().stimuli().table
    one_hot = np.eye(len(set(table["category"])))[np.unique(table["category"], return_inverse=True)[1]]
    features = one_hot + 0.1 * np.random.default_rng(0).normal(size=one_hot.shape)
    model = FeatureTable.from_arrays({"a": features.astype(np.float32)}, IDS, "told")
    found = subsample([model], bare("insilico.category-svm"), setting, fractions=[0.5], n_draws=2)
    assert found.missing == {"neuroids": "categories belong to stimuli, not to neuroids"}
    assert (found.n_stimuli, found.n_neuroids, found.n_subjects) == (400, 0, 0)
    assert found.models[0].score == 1
    assert at(found, "stimuli", 0.5).mean == pytest.approx(
        1, abs=0.005
    )  # the least of equal C may leave out one of 200


def test_a_recording_is_not_compared_with_itself(setting):
    itself = models.load("recording:insilico.V4/s1")
    with pytest.raises(InputError, match=r"its own responses on insilico\.V4-ridge"):
        subsample([itself], bare("insilico.V4-ridge"), setting, fractions=[0.5], n_draws=2)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"fractions": [0.5, 1.0]}, "between 0 and 1"),
        ({"fractions": []}, "got none"),
        ({"n_draws": 1}, "2 draws or more"),
    ],
)
def test_asking_for_nonsense_is_refused(setting, options, says):
    with pytest.raises(UsageError, match=says):
        subsample([noise()], bare("insilico.V4-ridge"), setting, **options)


def test_trouble_with_all_data_is_not_hidden(setting):
    short = FeatureTable.from_arrays({"a": np.ones((399, 3), np.float32)}, IDS[:-1], "short")
    with pytest.raises(InputError, match="insilico/0400"):
        subsample([short], bare("insilico.V4-ridge"), setting, fractions=[0.5], n_draws=2)


# summaries


def test_a_level_says_how_far_the_layer_moved():
    one = level(
        "stimuli",
        0.5,
        numbers=[50, 50, 50, 50, 0],
        whole=100,
        scores=[0.1, 0.2, 0.3, 0.4, math.nan],
        layers=[2, 2, 3, 0, None],
        best=2,
    )
    assert (one.n, one.n_draws, one.mean) == (50, 4, pytest.approx(0.25))
    assert one.sd == pytest.approx(np.std([0.1, 0.2, 0.3, 0.4], ddof=1))
    assert one.sd_fresh == pytest.approx(one.sd * 2**0.5)
    assert (one.layer_same, one.layer_near, one.layer_shift) == (0.5, 0.75, pytest.approx(-0.25))


def test_the_fresh_spread_is_that_of_independent_samples():
    """Means of subsets of one finite sample: sd / sqrt(1 - f) is sigma / sqrt(n)."""
    rng = np.random.default_rng(0)
    sample = rng.normal(size=400)
    for n in (300, 100):
        means = [rng.permutation(sample)[:n].mean() for _ in range(1000)]
        one = level("stimuli", n / 400, numbers=[n] * 1000, whole=400, scores=means, layers=[0] * 1000, best=0)
        assert one.sd_fresh == pytest.approx(sample.std(ddof=1) / n**0.5, rel=0.08)


def test_the_ranking_is_compared_draw_by_draw():
    def model(name, score, *draws):
        one = level("stimuli", 0.5, numbers=[5] * 3, whole=10, scores=draws, layers=[0] * 3, best=0)
        return Stability(model=name, score=score, layer="a", levels=(one,))

    several = [model("a", 0.9, 0.9, 0.1, 0.9), model("b", 0.5, 0.5, 0.5, math.nan), model("c", 0.1, 0.1, 0.9, 0.1)]
    (order,) = orders(several)
    assert (order.n_draws, order.tau, order.same_first) == (2, 0, 0.5)
    assert order.tau_sd == pytest.approx(np.std([1, -1], ddof=1))
    assert orders(several[:1]) == ()


def test_table_and_json(oracle):
    table = oracle["ridge"].table()
    assert table.loc[("insilico:cascade", "stimuli", 0.5), "n"] == 200
    plain = json.loads(json.dumps(oracle["ridge"].as_json(), allow_nan=False))
    assert plain["models"][0]["levels"][0]["scores"] == pytest.approx(at(oracle["ridge"], "stimuli", 0.5).scores)


def test_some_stimuli_of_a_representation():
    """Features or Gram matrix: what is computed of some stimuli is what is computed of them alone."""
    x = torch.randn(12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ids, rows = [f"s{i}" for i in range(12)], torch.tensor([7, 2, 9, 4])
    alone = Representation.from_features(x[rows], [ids[i] for i in rows])
    kept = Representation.from_features(x, ids)
    kept.eigh(torch.arange(3))
    stored = Representation.from_gram(x @ x.T, x.mean(dim=1), 5, ids)
    for some in (kept.select(rows), stored.select(rows)):
        assert some.stimulus_ids == alone.stimulus_ids and some.n_units == 5
        torch.testing.assert_close(some.gram, alone.gram)
        torch.testing.assert_close(some.rdm("correlation"), alone.rdm("correlation"))
        torch.testing.assert_close(some.eigh(torch.arange(3)).values, alone.eigh(torch.arange(3)).values)
