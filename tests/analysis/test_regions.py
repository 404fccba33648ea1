"""Comparisons of regions on curves made by hand: what a number says is what it was made to say."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from brainbench.analysis.comparison import Curve
from brainbench.analysis.depth_order import best_layers, rising_p, shared_curves, trend
from brainbench.analysis.regions import compare_regions
from brainbench.errors import InputError, UsageError
from brainbench.numerics.max_statistic import interaction, signal_p

B = 400
DEPTHS = np.array([0.1, 0.4, 0.7, 1.0])


def noise(seed, shape=(4, B), sd=0.02):
    """Replicates around 0, exactly."""
    drawn = np.random.default_rng(seed).normal(scale=sd, size=shape)
    return drawn - drawn.mean(axis=-1, keepdims=True)


def curve(region, raw, seed=0, sd=0.02, **changes):
    raw = np.asarray(raw, dtype=float)
    replicates = raw[:, None] + noise(seed, (len(raw), B), sd)
    fields = {
        "benchmark": f"d.{region}-ridge",
        "region": region,
        "recording": "d",
        "synthetic": False,
        "scorer": "ridge",
        "scale": "r",
        "layers": ("a", "b", "c", "d"),
        "depths": DEPTHS,
        "raw": raw,
        "layer_replicates": replicates,
        "score": 0.4,
        "replicates": 0.4 + noise(seed + 100, (B,)),
        "normalized": 0.2,
        "normalized_replicates": 0.2 + noise(seed + 200, (B,)),
        "reach": 0.8,
        "n_stimuli": 100,
        "n_neuroids": 10,
        "n_excluded": 1,
        "resampled": "100 stimuli, 3 subjects",
    }
    return Curve(**fields | changes)


EARLY, LATE = [0.5, 0.4, 0.3, 0.2], [0.2, 0.3, 0.4, 0.5]
NOTHING = {"layer_replicates": np.full((4, B), np.nan), "replicates": np.full(B, np.nan)}
NOTHING |= {"score": np.nan, "normalized": np.nan, "normalized_replicates": np.full(B, np.nan), "reason": "all dead"}


def test_the_best_layer_with_its_bootstrap_distribution():
    made = np.tile(np.asarray(EARLY)[:, None], B)
    made[2, :100] = 0.9  # in 100 of 400 replicates the third layer is the highest
    first = compare_regions("m", [curve("V1", EARLY, layer_replicates=made), curve("IT", LATE)]).regions[0]
    assert (first.best, first.layer, first.depth) == (0, "a", 0.1)
    np.testing.assert_allclose(first.shares, [0.75, 0, 0.25, 0])
    assert (first.depth_low, first.depth_high) == (0.1, 0.7)
    np.testing.assert_allclose([first.low[2], first.high[2]], [0.3, 0.9])


def test_the_shallower_layer_of_a_tie_is_the_best():
    assert compare_regions("m", [curve("V1", [0.3, 0.5, 0.5, 0.1]), curve("IT", LATE)]).regions[0].layer == "b"
    np.testing.assert_array_equal(best_layers(np.array([[1.0, np.nan], [1.0, np.nan]])), [0, -1])


def test_differences_are_second_minus_first_and_paired_within_a_recording():
    shared = noise(7, (B,), 0.1)
    regions = [
        curve("V1", EARLY, score=0.4, replicates=0.4 + shared, normalized=0.3),
        curve("IT", LATE, score=0.5, replicates=0.5 + shared + noise(8, (B,), 0.001)),
        curve("V4", EARLY, seed=5, recording="e", benchmark="e.V4-ridge"),
    ]
    found = compare_regions("m", regions)
    assert [(p.first, p.second, p.paired) for p in found.pairs] == [
        ("V1", "IT", True),
        ("V1", "V4", False),
        ("IT", "V4", False),
    ]
    pair = found.pairs[0]
    assert pair.raw == pytest.approx(0.1) and 0.097 < pair.raw_low < 0.1 < pair.raw_high < 0.103
    assert pair.normalized == pytest.approx(-0.1)
    assert pair.raw_p == pytest.approx(2 / (B + 1))
    for kind in ("raw", "normalized", "depth"):
        p, q = (np.array([getattr(pair, f"{kind}_{x}") for pair in found.pairs]) for x in "pq")
        np.testing.assert_allclose(q, false_discovery_control(p))
    assert pair.depth == pytest.approx(0.9) and (pair.depth_low, pair.depth_high) == (pytest.approx(0.9),) * 2


def test_regions_of_one_name_are_called_by_their_benchmarks():
    found = compare_regions("m", [curve("V4", EARLY), curve("V4", LATE, benchmark="e.V4-ridge"), curve("IT", LATE)])
    assert [region.label for region in found.regions] == ["d.V4-ridge", "e.V4-ridge", "IT"]


def test_a_dead_layer_is_never_the_best_and_takes_nothing_with_it():
    dead = curve("V1", [np.nan, 0.3, 0.5, 0.2])
    found = compare_regions("m", [dead, curve("IT", LATE, seed=3)])  # its replicates are NaN, too
    assert found.regions[0].layer == "c" and found.regions[0].shares[0] == 0
    raised = replace(dead, layer_replicates=np.nan_to_num(dead.layer_replicates, nan=9.0))
    again = compare_regions("m", [raised, curve("IT", LATE, seed=3)])
    np.testing.assert_array_equal(again.regions[0].shares, found.regions[0].shares)
    assert np.isnan(found.pairs[0].interaction_p[0]) and np.isfinite(found.pairs[0].interaction_p[1:]).all()
    assert np.isfinite([found.order.p, found.order.trend, found.pairs[0].depth_p]).all()


def test_a_region_without_a_score_stays_and_says_so():
    whole = [curve("V1", EARLY), curve("IT", LATE, seed=3)]
    found = compare_regions("m", [*whole, curve("V4", [np.nan] * 4, **NOTHING)])
    last = found.regions[2]
    assert last.best is None and last.layer is None and last.curve.reason == "all dead"
    assert np.isnan([last.depth, last.depth_low, last.p_signal, last.score_low, found.order.p, found.order.trend]).all()
    assert np.isnan(found.pairs[1].interaction_p).all() and np.isnan(found.pairs[2].depth_p)
    alone = compare_regions("m", whole)
    for name in ("raw_p", "depth_p", "depth", "interaction", "interaction_low", "interaction_p"):
        np.testing.assert_array_equal(getattr(found.pairs[0], name), getattr(alone.pairs[0], name))
    plain = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert plain["regions"][2]["depth"] is None and plain["order"]["p"] is None
    assert plain["regions"][0]["curve"]["raw"] == EARLY and "replicates" not in plain["regions"][0]["curve"]


def test_of_layers_that_tie_the_shallower_is_best_in_whatever_order_they_were_named():
    flat = {"layers": ("d", "c", "b", "a"), "depths": DEPTHS[::-1]}
    first, _ = compare_regions("m", [curve("V1", [0.5] * 4, sd=0, **flat), curve("IT", EARLY, **flat)]).regions
    assert (first.layer, first.depth, first.shares.tolist()) == ("a", 0.1, [1, 0, 0, 0])


def test_interactions_by_hand():
    """Two curves, three layers, four replicates: every number of the max-statistic written out."""
    curves = np.array([[0.3, 0.2, 0.1], [0.1, 0.2, 0.6]])
    around = np.array([[[1, -1, 2, -2], [0, 0, 0, 0], [-1, 1, -2, 2]], [[0] * 4, [2, -2, -1, 1], [0] * 4]]) / 10
    value, low, high, p = interaction(curves, curves[..., None] + around, np.array([[0, 1]]), level=1.0)
    np.testing.assert_allclose(value, [[-0.3, -0.1, 0.4]])  # (-0.2, -0.1, 0.3) less (0.1, 0, -0.1)
    centred = around - around.mean(axis=1, keepdims=True)
    drawn = centred[1] - centred[0]
    sd = drawn.std(axis=1)
    largest = np.abs(drawn / sd[:, None]).max(axis=0)
    np.testing.assert_allclose(low, value - largest.max() * sd)
    np.testing.assert_allclose(high, value + largest.max() * sd)
    np.testing.assert_allclose(p[0], [(1 + (largest >= abs(v) / s).sum()) / 5 for v, s in zip(value[0], sd)])


def test_interactions_hold_for_all_layers_at_once():
    regions = [curve("V1", EARLY), curve("V4", EARLY, seed=1), curve("IT", LATE, seed=2)]
    same, other, _ = compare_regions("m", regions).pairs
    assert same.interaction_p.min() > 0.05 and other.interaction_p[[0, 3]].max() == pytest.approx(1 / (B + 1))
    centred = [c.layer_replicates - c.layer_replicates.mean(axis=0) for c in regions]
    alone = np.quantile((centred[2] - centred[0]) / 0.8, [0.025, 0.975], axis=1)
    assert (other.interaction_low < alone[0]).all() and (alone[1] < other.interaction_high).all()


def test_bounds_of_interactions_widen_with_the_pairs_that_are_looked_at():
    curves = np.zeros((3, 4))
    replicates = np.random.default_rng(0).normal(size=(3, 4, 2000))
    one = interaction(curves, replicates, np.array([[0, 1]]))[2][0]
    both = interaction(curves, replicates, np.array([[0, 1], [0, 2]]))[2][0]
    assert (both > 1.03 * one).all()


def test_interactions_are_blind_to_offsets_and_to_reliability():
    def found(change):
        return compare_regions("m", [curve("V1", EARLY), change(curve("IT", LATE, seed=2))]).pairs[0]

    plain = found(lambda c: c)
    lifted = found(lambda c: replace(c, raw=c.raw + 0.2, layer_replicates=c.layer_replicates + 0.2))
    faint = found(lambda c: replace(c, raw=c.raw / 2, layer_replicates=c.layer_replicates / 2, reach=0.4))
    for changed in (lifted, faint):
        np.testing.assert_allclose(changed.interaction, plain.interaction, atol=1e-12)
        np.testing.assert_allclose(changed.interaction_p, plain.interaction_p)
        assert changed.depth_p == plain.depth_p
    without = compare_regions("m", [curve("V1", EARLY), curve("IT", LATE, seed=2, reach=np.nan)])
    assert not without.corrected
    np.testing.assert_allclose(without.pairs[0].interaction, plain.interaction * 0.8)


def test_a_trend_is_a_slope():
    assert trend(np.array([0.1, 0.4, 0.7])) == pytest.approx(0.3)
    x = np.random.default_rng(0).normal(size=(5, 20))
    np.testing.assert_allclose(trend(x), np.polyfit(np.arange(5), x, 1)[0])


def test_depth_that_rises_and_depth_that_falls():
    middle = [0.3, 0.5, 0.4, 0.2]
    regions = [curve("V1", EARLY), curve("V4", middle, seed=1), curve("IT", LATE, seed=2)]
    order = compare_regions("m", regions).order
    assert order.trend == pytest.approx(0.45) and order.low == pytest.approx(0.45)
    assert order.p == order.every_step_p == pytest.approx(1 / (B + 1))
    assert order.increasing == order.not_decreasing == 1
    fallen = compare_regions("m", regions[::-1])
    assert fallen.order.trend == pytest.approx(-0.45) and fallen.order.p == 1 and fallen.order.increasing == 0
    assert fallen.pairs[1].depth_p == pytest.approx(2 / (B + 1))
    level = compare_regions("m", [curve("V1", EARLY), curve("V4", EARLY, seed=1), curve("IT", LATE, seed=2)]).order
    assert level.p < 0.01 and level.every_step_p > 0.5  # the first step is none
    assert level.increasing == 0 and level.not_decreasing == 1


def test_one_sharp_curve_has_no_trend():
    regions = [curve(name, EARLY, seed=i, sd=0.005) for i, name in enumerate(("V1", "V4", "IT"))]
    order = compare_regions("m", regions).order
    assert (order.trend, order.p, order.increasing, order.not_decreasing) == (0, 1, 0, 1)


def test_a_faint_region_beside_a_clear_one_is_no_hierarchy():
    """A flat curve whose noise makes an early layer the best: its best layer says nothing, and p says that."""
    flat = curve("V1", [0.21, 0.2, 0.2, 0.2], sd=0.02)
    found = compare_regions("m", [flat, curve("IT", LATE, seed=2)])
    assert found.order.trend == pytest.approx(0.9) and found.order.p > 0.1


def test_the_shared_curve_has_each_regions_amplitude():
    shape = np.array([-1.0, 0.0, 0.0, 1.0])
    own = np.stack([noise(i, (4, B), 0.01) for i in range(3)])
    shared = shared_curves(np.stack([0.3 + 0.2 * shape, 0.1 + 0.05 * shape, np.full(4, 0.2)]), own)
    np.testing.assert_allclose(shared, np.outer([0.2, 0.05, 0.0], shape), atol=0.002)
    np.testing.assert_array_equal(shared_curves(np.zeros((2, 4)), own[:2]), np.zeros((2, 4)))
    small = np.array([0.004, -0.004, -0.004, 0.004])  # less than noise does by itself
    np.testing.assert_array_equal(shared_curves(np.stack([0.2 * shape, small]), own[:2])[1], np.zeros(4))
    some = shared_curves(np.stack([0.02 * shape, 0.02 * shape]), own[:2])  # its variance holds that of the noise, too
    around = own[:2] - own[:2].mean(axis=1, keepdims=True)
    amplitude = np.sqrt(0.02**2 / 2 - (around**2).mean(axis=(1, 2)))
    weight = amplitude**2 / (around**2).mean(axis=(1, 2))
    expected = np.outer(amplitude, 0.02 * shape * (weight / amplitude).sum() / weight.sum())
    np.testing.assert_allclose(some, expected)
    exact = shared_curves(np.stack([0.2 * shape, 0.1 * shape]), np.zeros((2, 4, B)))  # replicates that do not vary
    np.testing.assert_allclose(exact, np.outer([0.2, 0.1], shape))


def test_the_null_of_the_order_by_brute_force():
    curves = np.array([[0.08, 0.06, 0.06, 0.03], [0.06, 0.07, 0.06, 0.06], [0.05, 0.05, 0.08, 0.08]])
    own = np.stack([noise(i, (4, B), 0.03) for i in range(3)])
    curves[:, 3], own[:, 3] = curves[:, 2], own[:, 2]  # two layers that are one: the shallower counts
    replicates = curves[..., None] + own
    around = replicates - replicates.mean(axis=2, keepdims=True)

    def averaged(start):
        best = [np.argmax(start[r][:, None] + around[r, :, :200], axis=0) for r in range(3)]
        return np.polyfit(range(3), [DEPTHS[layers].mean() for layers in best], 1)[0]

    null, observed = shared_curves(curves, around), averaged(curves)
    drawn = np.array([averaged(null + around[:, :, b]) for b in range(B)])
    up, down = rising_p(curves, replicates, DEPTHS)
    assert up == pytest.approx((1 + (drawn >= observed - 1e-9).sum()) / (B + 1)) and 0.05 < up < 0.5
    assert down == 1
    up, down = rising_p(curves[::-1], replicates[::-1], DEPTHS)
    assert up == 1 and down == pytest.approx((1 + (drawn >= observed - 1e-9).sum()) / (B + 1))


def test_runners_up_make_no_hierarchy():
    """All regions have one best layer, and noise moves it the one way here and the other way there."""
    left, right = [0.1, 0.48, 0.5, 0.1], [0.1, 0.1, 0.5, 0.48]
    order = compare_regions("m", [curve("V1", left), curve("IT", right, seed=3)]).order
    assert order.trend == 0 and order.p == 1


def test_a_signal_is_held_against_the_largest_layer_of_the_null():
    own = noise(0, (30, B), 0.1)
    least = signal_p(np.full(30, 0.2), own)  # 2 sd: p of one layer alone would be .02
    assert 0.3 < least < 0.7
    assert signal_p(np.full(30, 0.5), own) == pytest.approx(1 / (B + 1)) and signal_p(np.full(30, -0.5), own) == 1


def test_what_does_not_compare_is_refused():
    with pytest.raises(UsageError, match="needs 2"):
        compare_regions("m", [curve("V1", EARLY)])
    with pytest.raises(UsageError, match=r"d.V1-ridge is scored by ridge, d.IT-ridge by rsa"):
        compare_regions("m", [curve("V1", EARLY), curve("IT", LATE, scorer="rsa")])
    with pytest.raises(InputError, match="other layers"):
        compare_regions("m", [curve("V1", EARLY), curve("IT", LATE, layers=("a", "b", "c", "e"))])


def test_a_table_has_a_row_a_region():
    shown = compare_regions("m", [curve("V1", EARLY), curve("IT", LATE, synthetic=True)]).table()
    assert list(shown.index) == ["V1", "IT"] and list(shown["layer"]) == ["a", "d"]
    wanted = (
        "benchmark synthetic score score_low score_high normalized depth depth_low depth_high n_neuroids n_excluded"
    )
    assert set(wanted.split()) <= set(shown) and list(shown["synthetic"]) == [False, True]
