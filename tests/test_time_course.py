"""Scores over time: bins are columns of one solve, latencies that are known are found, no test stimulus chooses."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
import xarray as xr

from brainbench.aggregate import aggregate, summary
from brainbench.benchmarks import known
from brainbench.core.arrays import blocks
from brainbench.core.specs import LayerSpec
from brainbench.datasets.insilico import InsilicoMeg, _codes, _ids
from brainbench.errors import UsageError
from brainbench.numerics.representation import Representation
from brainbench.scorers import load
from brainbench.targets import targets
from brainbench.time_course import first_of_run, latencies_of, time_course

RIDGE = known()["insilico_meg.sensors-ridge"].model_copy(update={"subjects": ("s1",)})
RSA = known()["insilico_meg.sensors-rsa"]
STAGES = ("V1", "V2", "V4", "IT")


@cache
def recorded(subject):
    return InsilicoMeg().responses(subject)


class Part(InsilicoMeg):
    """Some stimuli and sensors of `insilico_meg`."""

    def __init__(self, n_stimuli=400, n_sensors=12, change=lambda responses: responses):
        self.n_stimuli, self.n_sensors, self.change = n_stimuli, n_sensors, change

    def stimuli(self):
        everything = super().stimuli()
        return everything.select(everything.ids[: self.n_stimuli])

    def responses(self, subject, *, regions=None, sessions=None):
        whole = recorded(subject)
        seen = whole[np.isin(whole["stimulus_id"].values.astype(str), self.stimuli().ids)]
        return self.change(seen[:, : self.n_sensors].copy())


def run(recording, benchmark, stages):
    """The entry's numbers of a model whose layers are the codes of these stages."""
    scorer = load(benchmark.scorer, benchmark.params)
    asked = targets(recording, [benchmark], scorer)
    layers = tuple(LayerSpec(name=s, depth=(n + 1) / len(stages), pooling="flatten") for n, s in enumerate(stages))
    codes = [Representation.from_features(torch.tensor(_codes()[stage]), tuple(_ids())) for stage in stages]
    scores = [[scorer.score(code, t.data, t.split, seed=0, device="cpu") for code in codes] for t in asked]
    return aggregate(benchmark, layers, asked, scores)


@pytest.fixture(scope="module")
def whole():
    return run(Part(), RIDGE, STAGES)


def test_every_bin_scores_what_it_scores_alone(whole):
    at = 9  # 0.08 s
    alone = Part(change=lambda responses: responses[:, :, at].drop_vars("time_s"))
    bin_ = run(alone, RIDGE.model_copy(update={"window_s": None}), ["IT"])
    course = run(Part(), RIDGE, ["IT"]).time_course
    assert bin_.time_course is None
    assert course.time_s[at] == pytest.approx(0.08)
    assert course.raw[at] == pytest.approx(bin_.raw, abs=1e-5)
    assert course.ceiling[at] == pytest.approx(np.median(bin_.ceiling.value), abs=1e-5)
    low, high = np.quantile(bin_.replicates, [0.025, 0.975])
    assert (course.low[at], course.high[at]) == pytest.approx((low, high), abs=1e-5)
    assert whole.time_course.layer_raw[3][at] == pytest.approx(bin_.raw, abs=1e-4)


def test_the_summary_is_the_mean_over_the_window_neuroid_by_neuroid(whole):
    scorer = load("ridge", {})
    (target,) = targets(Part(), [RIDGE], scorer)
    assert len(set(whole.chosen)) == 1  # the layer of every fold
    code = Representation.from_features(torch.tensor(_codes()[STAGES[whole.chosen[0]]]), tuple(_ids()))
    score = scorer.score(code, target.data, target.split, seed=0, device="cpu")
    inside = [t for t, second in enumerate(whole.time_course.time_s) if 0.05 <= second <= 0.3]
    assert len(inside) == 13 and len(whole.column_raw) == 12
    r = score.raw.reshape(12, -1)[:, inside]
    np.testing.assert_allclose(whole.column_raw, r.mean(axis=1), rtol=1e-5)
    ceiling = target.ceilings["split_half"].value.reshape(12, -1)[:, inside]
    shares = (np.sign(r) * r**2).sum(axis=1) / ceiling.sum(axis=1)
    np.testing.assert_allclose(whole.column_normalized, shares, rtol=1e-5)
    assert summary(whole).n_neuroids == 12


@pytest.mark.parametrize("stage", STAGES)
def test_known_latencies_are_in_the_intervals(stage):
    """Each stage alone: no signal before its onset at half its latency, and the score peaks when the stage does."""
    course = run(Part(), RIDGE, [stage]).time_course
    step = 0.02
    assert course.peak_low_s - step / 2 <= InsilicoMeg.latency_s[stage] <= course.peak_high_s + step / 2
    # the first stage's signal is 0 up to 0.04 s, so 0.06 s is the first bin with any: little for a layer of the last
    assert course.onset_low_s <= 0.06 <= course.onset_high_s
    assert course.onset_share == 1 and course.reason == ""
    assert max(p for second, p in zip(course.time_s, course.p) if 0.07 <= second <= 0.2) < 0.05


def test_latencies_of_rdms_too():
    course = run(Part(n_stimuli=80), RSA, ["V1"]).time_course
    assert course.peak_low_s <= 0.08 <= course.peak_high_s
    assert course.onset_low_s <= 0.06 <= course.onset_high_s
    assert all(p > 0.05 for second, p in zip(course.time_s, course.p) if second < 0.05)


def test_one_layer_serves_all_bins_and_is_chosen_inside_the_training_stimuli(whole):
    """V1 is by far the best in its own bin; what layers are chosen on is their mean over the window in training."""
    course, (chosen,) = whole.time_course, set(whole.chosen)
    assert chosen == int(np.argmax(whole.train)) != 0
    assert course.layer_raw[0][9] > course.raw[9] + 0.2
    np.testing.assert_allclose(course.raw, course.layer_raw[chosen], atol=1e-4)


def test_test_responses_choose_neither_layer_nor_bin(whole):
    (target,) = targets(Part(n_sensors=1), [RIDGE], load("ridge", {}))
    test = set(target.split.folds[0].test)

    def spoilt(responses):
        rows = np.isin(responses["stimulus_id"].values.astype(str), list(test))
        values = responses.values.copy()
        values[rows] = np.random.default_rng(0).normal(size=values[rows].shape) * 50
        return responses.copy(data=values)

    other = run(Part(change=spoilt), RIDGE.model_copy(update={"ceiling": "none"}), STAGES)
    assert other.chosen[0] == whole.chosen[0]
    assert other.layer_raw.max() < whole.layer_raw.max() - 0.1  # the noise was there


def test_a_recording_with_time_needs_a_window_and_one_without_has_none():
    with pytest.raises(UsageError, match="has a time axis; name the window_s"):
        targets(Part(n_stimuli=20, n_sensors=2), [RIDGE.model_copy(update={"window_s": None})], load("ridge", {}))
    with pytest.raises(UsageError, match=r"no time bin .* lies in 0\.6 to 0\.9 s; they go from -0\.1 to 0\.5 s"):
        targets(Part(n_stimuli=20, n_sensors=2), [RIDGE.model_copy(update={"window_s": (0.6, 0.9)})], load("ridge", {}))
    flat = Part(n_stimuli=20, n_sensors=2, change=lambda responses: responses[:, :, 9].drop_vars("time_s"))
    with pytest.raises(UsageError, match="has no time axis; leave window_s out"):
        targets(flat, [RIDGE], load("ridge", {}))
    with pytest.raises(ValueError, match="from an earlier to a later second"):
        type(RIDGE)(**RIDGE.model_dump() | {"window_s": (0.3, 0.1)})


def test_the_window_is_part_of_what_a_benchmark_is_and_of_no_solve():
    other = RIDGE.model_copy(update={"window_s": (0.05, 0.2)})
    assert other.fingerprint != RIDGE.fingerprint and other.solve_key == RIDGE.solve_key
    assert "window_s" not in known()["insilico.V1-ridge"].identity


def test_bins_stay_with_their_neuroid_when_a_target_is_cut():
    recording = Part(n_stimuli=60, n_sensors=5)
    (target,) = targets(recording, [RIDGE], load("ridge", {}))
    assert target.n_bins == 31 and len(target.names) == 5 * 31
    (block,) = blocks(recording.responses("s1"))
    np.testing.assert_array_equal(target.data.values.reshape(60, 4, 5, 31), block.values)
    parts = target.parts(70)  # two neuroids and some bins
    assert [len(part.names) for part in parts] == [62, 62, 31]
    assert [set(part.names) for part in parts][2] == {"s1-04"}
    assert parts[1].times[:31] == tuple(target.times[:31])
    np.testing.assert_array_equal(parts[1].data.values, target.data.values[:, :, 62:124])


def test_a_recording_in_parts_has_the_same_course():
    recording = Part(n_stimuli=60, n_sensors=4)
    scorer = load("ridge", {})
    (target,) = targets(recording, [RIDGE], scorer)
    layers = (LayerSpec(name="V1", depth=1.0, pooling="flatten"),)
    code = Representation.from_features(torch.tensor(_codes()["V1"]), tuple(_ids()))
    one, two = (
        aggregate(
            RIDGE, layers, asked, [[scorer.score(code, t.data, t.split, seed=0, device="cpu")] for t in asked]
        ).time_course
        for asked in ([target], target.parts(40))
    )
    np.testing.assert_allclose(one.raw, two.raw, atol=1e-5)
    np.testing.assert_allclose(one.low, two.low, atol=1e-5)


def test_a_gap_in_one_bin_leaves_the_sensor_out_with_its_reason():
    def gap(responses):
        values = responses.values.copy()
        values[:, 3, 12] = np.nan  # at 0.14 s
        return responses.copy(data=values)

    recording = Part(n_stimuli=60, n_sensors=6, change=gap)
    bare = RIDGE.model_copy(update={"ceiling": "none"})
    found = summary(run(recording, bare, ["V1"]))
    assert found.excluded == {"missing-stimuli": 1} and found.n_neuroids == 5
    outside = summary(run(recording, bare.model_copy(update={"window_s": (0.15, 0.2)}), ["V1"]))
    assert outside.n_neuroids == 6 and outside.time_course.raw[12] is not None


def test_subjects_of_other_bins_are_refused():
    def later(responses):
        return responses.assign_coords(time_s=("time", responses["time_s"].values + shift.pop()))

    shift = [0.01, 0.0]
    with pytest.raises(Exception, match="different time bins"):
        run(
            Part(n_stimuli=60, n_sensors=3, change=later),
            RIDGE.model_copy(update={"subjects": ("s1", "s2")}),
            ["V1"],
        )


# the course itself, of curves that are known -------------------------------------------------------------------------

TIME = np.arange(10) / 100


def course(height, sd=0.05, seed=0):
    rng = np.random.default_rng(seed)
    height = np.asarray(height, dtype=float)
    replicates = height + sd * rng.normal(size=(1000, 10))
    return time_course(TIME, height, replicates, ceiling=np.ones(10), layer_raw=height[None], window_s=(0.0, 0.05))


def test_the_onset_is_the_first_of_two_significant_bins_and_the_peak_the_highest():
    found = course([0, 0.5, 0, 0, 0.7, 0.8, 0.9, 0.7, 0, 0])
    assert [second for second, p in zip(found.time_s, found.p) if p < 0.05] == [0.01, 0.04, 0.05, 0.06, 0.07]
    assert (found.onset_s, found.peak_s) == (0.04, 0.06)
    assert found.onset_low_s <= found.onset_s <= found.onset_high_s
    assert 0.05 <= found.peak_low_s <= found.peak_high_s == 0.06
    assert latencies_of(found) == (0.04, 0.06)


def test_without_a_significant_bin_latencies_are_undefined_and_say_why():
    nothing = course([0.02] * 10)
    assert nothing.onset_s is None and nothing.peak_s is None and nothing.onset_share is None
    assert nothing.reason == "no bin is above 0 at corrected p < 0.05"
    single = course([0, 0, 0.9, 0, 0, 0, 0, 0, 0, 0])
    assert single.onset_s is None and single.peak_s == 0.02
    assert single.reason == "no onset: no 2 bins in a row are above 0 at corrected p < 0.05"


def test_a_bin_without_a_score_has_no_part():
    height = np.array([0, 0, 0.9, np.nan, 0.9, 0.9, 0, 0, 0, 0])
    found = course(height)
    assert found.p[3] is None and found.threshold[3] is None and found.raw[3] is None
    assert found.onset_s == 0.04  # a gap ends a run
    assert latencies_of(found) == (found.onset_s, found.peak_s)


def test_p_below_the_level_is_being_above_the_threshold():
    found = course([0, 0.1, 0.12, 0.13, 0.14, 0.145, 0.15, 0.16, 0.2, 0])
    assert {a > b for a, b in zip(found.raw, found.threshold)} == {True, False}
    for raw, p, threshold in zip(found.raw, found.p, found.threshold):
        assert (p < 0.05) == (raw > threshold)


@pytest.mark.parametrize(
    ("above", "n", "first"),
    [("0110", 2, 1), ("0101", 2, -1), ("1011", 2, 2), ("0011", 3, -1), ("0111", 3, 1), ("1", 2, -1), ("01", 1, 1)],
)
def test_the_first_of_a_run(above, n, first):
    assert first_of_run(np.array([[c == "1" for c in above]]), n).tolist() == [first]


def test_unrolling_asks_for_the_bins_that_are_there():
    (block,) = blocks(Part(n_stimuli=20, n_sensors=2).responses("s1"))
    with pytest.raises(Exception, match=r"have no axis of 3 time bins"):
        block.unrolled([0.1, 0.2, 0.3])
    flat = replace(block, values=block.values[..., 0])
    with pytest.raises(Exception, match=r"have no axis of 31 time bins"):
        flat.unrolled(list(range(31)))
    assert isinstance(Part().responses("s1"), xr.DataArray)


def test_the_peak_is_a_bin_that_is_told_from_zero():
    """A noisy bin may be the highest by luck: here the first, whose p is near 1."""
    rng = np.random.default_rng(0)
    raw = np.array([0.5, 0.1, 0.3, 0.3, 0.1])
    sd = np.array([1.0, 0.02, 0.02, 0.02, 0.02])
    time_s = np.arange(5) / 100
    found = time_course(
        time_s,
        raw,
        raw + sd * rng.normal(size=(1000, 5)),
        ceiling=np.full(5, np.nan),
        layer_raw=raw[None],
        window_s=(0.0, 0.05),
    )
    assert found.p[0] > 0.05 and found.peak_s in (0.02, 0.03)
