from dataclasses import replace

import numpy as np
import pytest

from brainbench.aggregate import aggregate, choose, over_columns, summary
from brainbench.benchmarks import N_REPLICATES, known
from brainbench.core.arrays import Block, Labels, RDMs
from brainbench.core.score import Ceiling, Score
from brainbench.core.specs import LayerSpec
from brainbench.core.splits import Fold, Split
from brainbench.entry import Scored
from brainbench.errors import InputError
from brainbench.targets import Target

LAYERS = tuple(LayerSpec(name=name, depth=d, pooling="flatten") for name, d in (("early", 0.2), ("late", 0.9)))
BENCHMARK = known()["insilico.V4-ridge"]
IDS = tuple("abcdefgh")


class Stimuli:
    ids = IDS


def target(subject="s1", regions=("V4", "V4", "V4"), ceiling=0.64):
    v = len(regions)
    folds = (Fold(train=IDS[:4], test=IDS[4:]), Fold(train=IDS[4:], test=IDS[:4]))
    names = tuple(f"{subject}-{i}" for i in range(v))
    return Target(
        data=Block(stimulus_ids=IDS, neuroid_ids=names, regions=regions, values=np.zeros((8, 1, v))),
        stimuli=Stimuli(),
        split=Split(folds=folds, unit={i: f"content:{i}" for i in IDS}),
        subjects=(subject,) * v,
        regions=regions,
        names=names,
        ceilings={"split_half": Ceiling(value=np.full(v, ceiling), scale="r2", method="x", reason=("",) * v)},
    )


def score(raw, train, reason=None):
    raw, train = np.asarray(raw, float), np.asarray(train, float)
    return Score(
        scale="r",
        folds=raw,
        train=train,
        resample=lambda weights, folds, columns: np.broadcast_to(
            raw[list(folds)][:, columns], (len(weights), len(folds), len(columns))
        ),
        reason=reason or ("",) * raw.shape[1],
        extras={"at_edge": np.zeros(raw.shape, bool)},
    )


def test_the_layer_is_chosen_on_training_and_the_best_on_test_is_called_optimistic():
    early = score([[0.3, 0.4, 0.5]] * 2, [[0.2] * 3] * 2)
    late = score([[0.6, 0.7, 0.8]] * 2, [[0.1] * 3] * 2)  # better on test, worse in training
    fields = summary(aggregate(BENCHMARK, LAYERS, [target()], [[early, late]]))
    assert fields.layer == "early" and fields.layer_by_fold == ["early", "early"]
    assert fields.raw == pytest.approx(0.4)
    assert fields.optimistic.layer == "late"
    assert fields.optimistic.gap == pytest.approx(0.3)
    assert [layer.raw for layer in fields.layers] == pytest.approx([0.4, 0.7])


def test_each_fold_uses_its_own_choice():
    early = score([[0.1] * 3, [0.2] * 3], [[0.9] * 3, [0.0] * 3])
    late = score([[0.5] * 3, [0.6] * 3], [[0.0] * 3, [0.9] * 3])
    columns = aggregate(BENCHMARK, LAYERS, [target()], [[early, late]])
    assert columns.chosen == (0, 1)
    assert columns.raw == pytest.approx((0.1 + 0.6) / 2)


def test_median_over_neuroids_then_mean_over_subjects():
    scores = [[score([raw] * 2, [[0] * 3] * 2)] * 2 for raw in ([0.1, 0.2, 0.9], [0.5, 0.6, 0.7])]
    fields = summary(aggregate(BENCHMARK, LAYERS, [target("s1"), target("s2")], scores))
    assert fields.raw == pytest.approx((0.2 + 0.6) / 2)
    assert fields.normalized == pytest.approx((0.2**2 / 0.64 + 0.6**2 / 0.64) / 2)
    assert fields.per_subject["s2"].raw == pytest.approx(0.6)
    assert fields.n_neuroids == 6


def test_excluded_neuroids_are_counted_by_reason_and_never_zero():
    raw = [[0.4, np.nan, 0.6]] * 2
    fields = summary(aggregate(BENCHMARK, LAYERS, [target()], [[score(raw, raw, ("", "zero-variance", ""))] * 2]))
    assert fields.raw == pytest.approx(0.5)
    assert (fields.n_neuroids, fields.n_excluded) == (2, 1)
    assert fields.excluded == {"zero-variance": 1}


def test_a_region_without_any_score_is_null_with_its_reason():
    raw = [[np.nan] * 3] * 2
    fields = summary(aggregate(BENCHMARK, LAYERS, [target()], [[score(raw, raw, ("zero-variance",) * 3)] * 2]))
    assert fields.raw is None and fields.excluded == {"zero-variance": 3}
    assert fields.layer is None and fields.optimistic is None


def test_other_regions_of_the_solve_do_not_count():
    raw = [[0.1, 0.9, 0.3]] * 2
    fields = summary(aggregate(BENCHMARK, LAYERS, [target(regions=("V4", "V1", "V4"))], [[score(raw, raw)] * 2]))
    assert fields.raw == pytest.approx(0.2) and fields.n_neuroids == 2
    with pytest.raises(InputError, match="no column in region 'V4'"):
        aggregate(BENCHMARK, LAYERS, [target(regions=("V1", "V1", "V1"))], [[score(raw, raw)] * 2])


def test_subjects_are_resampled_and_replicates_belong_to_the_benchmark():
    scores = [[score([[raw] * 3] * 2, [[0] * 3] * 2)] * 2 for raw in (0.2, 0.6)]
    asked = [target("s1"), target("s2")]
    one, two = (aggregate(BENCHMARK, LAYERS, asked, scores) for _ in range(2))
    np.testing.assert_array_equal(one.replicates, two.replicates)
    assert len(one.replicates) == N_REPLICATES
    assert {round(float(r), 3) for r in one.replicates} == {0.2, 0.4, 0.6}
    assert len({round(float(r), 3) for r in one.normalized_replicates}) == 3  # who is drawn counts there, too
    single = aggregate(BENCHMARK, LAYERS, asked[:1], scores[:1])
    assert np.ptp(single.replicates) == 0 and "one subject" in single.resampled


def test_of_whole_subjects_what_is_explained_is_set_over_what_is_explainable_of_all():
    """One who agrees with nobody has next to nothing to explain, and must not make the share (seen in real judges)."""
    raw, bounds = np.array([0.2, 0.3, 0.2]), np.array([0.5, 0.6, 0.02])
    people = ("s1", "s2", "s3")
    asked = replace(
        target(),
        data=RDMs(stimulus_ids=IDS, subjects=people, values=np.zeros((3, 8, 8))),
        subjects=people,
        names=people,
        ceilings={"split_half": Ceiling(value=bounds, scale="r", method="x", reason=("",) * 3)},
    )
    scored = score([raw] * 2, [[0.2] * 3] * 2)
    columns = aggregate(BENCHMARK, LAYERS, [asked], [[scored, scored]])
    assert columns.normalized == pytest.approx((0.04 + 0.09 + 0.04) / (0.25 + 0.36 + 0.0004))
    assert summary(columns).per_subject["s3"].normalized == pytest.approx(100)  # told, where it belongs
    drawn = {round(float(r), 4) for r in columns.normalized_replicates}
    alone = {round(float(r**2 / c**2), 4) for r, c in zip(raw, bounds)}
    assert alone <= drawn and round(0.13 / 0.61, 4) not in drawn
    assert round(float((0.04 + 0.18) / (0.25 + 0.72)), 4) in drawn  # s1 once and s2 twice
    unreliable = replace(asked, ceilings={"split_half": replace(asked.ceilings["split_half"], value=bounds - 0.02)})
    without = aggregate(BENCHMARK, LAYERS, [unreliable], [[scored, scored]])
    assert without.normalized == pytest.approx((0.04 + 0.09) / (0.48**2 + 0.58**2))  # s3 is in neither sum


def test_without_a_ceiling_the_raw_score_stays():
    raw = [[0.4] * 3] * 2
    asked = target(ceiling=np.nan)
    fields = summary(aggregate(BENCHMARK, LAYERS, [asked], [[score(raw, raw)] * 2]))
    assert fields.raw == pytest.approx(0.4) and fields.normalized is None
    assert fields.n_without_ceiling == 3


def test_over_columns_of_nothing_is_nan():
    assert np.isnan(over_columns(np.array([np.nan, np.nan]), ["a", "b"]))


def test_a_layer_that_is_undefined_for_a_fold_is_not_chosen_there():
    """A layer that is dead for one test stimulus would leave the whole benchmark without a score."""
    good = score([[0.3] * 3] * 2, [[0.1] * 3] * 2)
    dead = score([[np.nan] * 3, [0.6] * 3], [[0.9] * 3] * 2)
    columns = aggregate(BENCHMARK, LAYERS, [target()], [[good, dead]])
    assert columns.chosen == (0, 1) and columns.raw == pytest.approx((0.3 + 0.6) / 2)


def test_replicates_are_spread_by_the_luck_of_the_training_stimuli():
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(N_REPLICATES, 2, 3))
    plain = score([[0.3] * 3] * 2, [[0.1] * 3] * 2)
    plain = replace(plain, resample=lambda weights, folds, columns: 0.3 + 0.05 * drawn[:, list(folds)][:, :, columns])
    lucky = replace(plain, luck=np.ones((2, 3)))
    one, two = (aggregate(BENCHMARK, LAYERS[:1], [target()], [[s]]).replicates for s in (plain, lucky))
    assert two.std() == pytest.approx(np.sqrt(2) * one.std(), rel=1e-3)
    assert two.mean() == pytest.approx(one.mean(), abs=1e-3)


def drawn(raw):
    """A score whose replicates tell which stimuli were drawn: `raw` times the share of the first in each."""
    plain = score(raw, raw)

    def shares(weights, folds, columns):
        first = weights[:, 0] / weights.sum(axis=1)
        return np.broadcast_to(first[:, None, None], (len(weights), len(folds), len(columns)))

    return replace(plain, resample=lambda *asked: plain.resample(*asked) * shares(*asked))


def test_what_is_not_in_the_score_is_in_no_replicate():
    """A column without a score in one fold has none, though samples of its other folds have."""
    one = score([[0.5, np.nan], [0.5, 0.1]], [[0.5, 0.5]] * 2, reason=("", "zero-variance"))
    found = aggregate(BENCHMARK, LAYERS[:1], [target(regions=("V4", "V4"))], [[one]])
    assert found.raw == 0.5 and np.allclose(found.replicates, 0.5)


def test_regions_of_one_recording_share_their_draws_and_other_recordings_do_not():
    both, scores = target(regions=("V4", "V1", "V4")), [[drawn([[0.5] * 3] * 2)] * 2]
    v4, v1 = (aggregate(known()[f"insilico.{region}-ridge"], LAYERS, [both], scores) for region in ("V4", "V1"))
    assert np.ptp(v4.replicates) > 0
    assert v1.draws == v4.draws
    np.testing.assert_array_equal(v1.replicates, v4.replicates)
    elsewhere = known()["cowley2023.V4-ridge"]
    fewer = replace(both, split=replace(both.split, unit=both.split.unit | {"a": "content:b"}))
    for other in (aggregate(elsewhere, LAYERS, [both], scores), aggregate(BENCHMARK, LAYERS, [fewer], scores)):
        assert other.draws != v4.draws and (other.replicates != v4.replicates).mean() > 0.5


def test_every_layer_has_replicates_on_request():
    early, late = drawn([[0.2, 0.4, 0.3]] * 2), drawn([[0.6] * 3] * 2)
    columns = aggregate(BENCHMARK, LAYERS, [target()], [[early, late]], every_layer=True)
    assert columns.chosen == (1, 1) and columns.layer_replicates.shape == (2, N_REPLICATES)
    np.testing.assert_allclose(columns.layer_replicates[1], columns.replicates, atol=1e-7)
    np.testing.assert_allclose(columns.layer_replicates[0], columns.replicates / 2, atol=1e-7)
    assert aggregate(BENCHMARK, LAYERS, [target()], [[early, late]]).layer_replicates is None


def test_choosing_alone_is_what_an_entry_says():
    early = score([[0.3, 0.4, 0.5]] * 2, [[0.2] * 3, [0.0] * 3])
    late = score([[0.6, 0.7, 0.8]] * 2, [[0.1] * 3] * 2)
    choice = choose(BENCHMARK, LAYERS, [target()], [[early, late]])
    whole = aggregate(BENCHMARK, LAYERS, [target()], [[early, late]])
    assert (choice.chosen, choice.best, choice.layer) == ((0, 1), 0, "early")
    assert choice.raw == whole.raw == pytest.approx((0.4 + 0.7) / 2)
    np.testing.assert_array_equal(choice.layer_raw, whole.layer_raw)


def test_geometry_stands_beside_each_layer_and_nothing_undefined_is_a_number():
    one = score([[0.4] * 3] * 2, [[0.1] * 3] * 2)
    geometry = [{"n_units": 5.0, "alpha_req": np.nan}, {"n_units": 9.0, "alpha_req": 1.5}]
    fields = summary(aggregate(BENCHMARK, LAYERS, [target()], [[one, one]], geometry=geometry))
    assert [layer.geometry for layer in fields.layers] == [
        {"n_units": 5.0, "alpha_req": None},
        {"n_units": 9.0, "alpha_req": 1.5},
    ]
    assert summary(aggregate(BENCHMARK, LAYERS, [target()], [[one, one]])).layers[0].geometry == {}


def labels(n_left_out=0):
    plain = target()
    return replace(
        plain,
        data=Labels(stimulus_ids=IDS, values=np.array(list("xyxyxyxy"), dtype=object), left_out=n_left_out),
        subjects=("",),
        regions=("",),
        names=("category",),
        ceilings={"none": Ceiling(value=np.full(1, np.nan), scale="share", method="none", reason=("no ceiling",))},
    )


def test_labels_have_a_score_and_a_curve_and_no_ceiling_nor_subject():
    curve = np.stack([np.arange(5.0)[None], np.arange(5.0)[None] + 2])
    one, two = (
        replace(score([[0.3], [0.5]], [[train], [0.1]]), scale="share", extras={"precision": curve * factor})
        for train, factor in ((0.2, 1), (0.1, 10))
    )
    benchmark = known()["insilico.category-ka"]
    fields = summary(aggregate(benchmark, LAYERS, [labels(3)], [[one, two]]))
    assert fields.raw == pytest.approx(0.4) and fields.normalized is None and fields.ceiling is None
    assert fields.ceiling_reason == "no ceiling: 1" and fields.per_subject == {} and fields.n_neuroids == 1
    assert fields.excluded == {"stimulus-without-category": 3} and fields.resampled == "8 stimuli"
    assert fields.extras == {"precision": [1.0, 2.0, 3.0, 4.0, 5.0]}  # of the layer that both folds chose
    assert Scored.model_validate_json(fields.model_dump_json()) == fields


def test_a_curve_that_is_not_defined_is_null():
    empty = replace(score([[np.nan]] * 2, [[0.1]] * 2), scale="share", extras={"precision": np.full((2, 1, 3), np.nan)})
    fine = replace(score([[0.2]] * 2, [[0.05]] * 2), scale="share", extras={"precision": np.ones((2, 1, 3))})
    benchmark = known()["insilico.category-ka"]
    fields = summary(aggregate(benchmark, LAYERS, [labels()], [[empty, fine]]))
    assert fields.layer == "late" and fields.extras == {"precision": [1.0, 1.0, 1.0]}
    both = summary(aggregate(benchmark, LAYERS, [labels()], [[empty, empty]]))
    assert both.raw is None and both.extras == {}
