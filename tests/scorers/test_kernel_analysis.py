import tempfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from brainbench import models, reading, runner, settings
from brainbench.benchmarks import known
from brainbench.core.arrays import Labels
from brainbench.core.specs import fingerprint
from brainbench.errors import UsageError
from brainbench.numerics.kernel_analysis import error_curve, precision_curve
from brainbench.numerics.kernel_errors import PENALTIES, component_errors, loo_errors
from brainbench.numerics.noise_matching import as_measured, recording_noise
from brainbench.numerics.representation import Representation
from brainbench.numerics.resampling import seed_of
from brainbench.scorers.kernel_analysis import KernelAnalysis

ONE = np.zeros(1, dtype=int)
FLOAT32 = 1e-6  # replicates weigh errors that are kept in single precision


def curve(case, part, protocol):
    of = precision_curve if protocol == "2014" else error_curve
    return of(case.gram(part), case.codes[part])


@pytest.mark.parametrize("protocol", ["2014", "2013"])
def test_a_fold_is_the_area_of_its_test_stimuli_and_train_that_of_the_others(categories, protocol):
    result = categories.score(KernelAnalysis(protocol=protocol))
    for number in range(4):
        train, test = categories.rows(number)
        assert result.folds[number, 0] == pytest.approx(curve(categories, test, protocol).auc, abs=1e-10)
        assert result.train[number, 0] == pytest.approx(curve(categories, train, protocol).auc, abs=1e-10)
    assert result.reason == ("",) and (result.luck == 1).all()


def test_the_curve_runs_from_the_simplest_reader_and_its_mean_is_the_score(categories):
    result = categories.score(KernelAnalysis())
    precision, complexity = result.extras["precision"], result.extras["complexity"]
    np.testing.assert_allclose(precision.mean(axis=2), result.folds, atol=1e-12)
    np.testing.assert_allclose(complexity[3, 0], np.sort(1 / np.asarray(PENALTIES)))
    _, test = categories.rows(3)
    np.testing.assert_allclose(precision[3, 0], curve(categories, test, "2014").values.flip(0), atol=1e-10)
    shown = categories.score(KernelAnalysis(protocol="2013")).extras
    errors = curve(categories, test, "2013").values
    assert shown["precision"].shape == shown["complexity"].shape == (4, 1, 101)
    np.testing.assert_allclose(shown["precision"][3, 0, [0, 50, 100]], 1 - errors[[0, 30, 60]], atol=1e-10)


@pytest.mark.parametrize("protocol", ["2014", "2013"])
def test_a_replicate_weighs_errors_before_the_envelope_is_taken(categories, protocol):
    """A stimulus that is drawn three times counts three times; the readers are those of the stimuli as they are."""
    weights = np.random.default_rng(3).integers(0, 4, size=(2, 120)).astype(np.float32)
    got = categories.score(KernelAnalysis(protocol=protocol)).resample(weights, [2, 1], ONE)
    assert got.shape == (2, 2, 1)
    _, test = categories.rows(2)
    of = loo_errors if protocol == "2014" else component_errors
    errors = of(categories.gram(test), categories.codes[test]).numpy()
    repeated = np.repeat(errors, weights[1][test].astype(int), axis=2)
    assert got[1, 0, 0] == pytest.approx(1 - repeated.mean(axis=2).min(axis=0).mean(), abs=FLOAT32)
    apart = (1 - errors.min(axis=0)).T  # the best width for each stimulus alone would be another number
    assert abs(got[1, 0, 0] - np.average(apart.mean(axis=1), weights=weights[1][test])) > 0.01


@pytest.mark.parametrize("protocol", ["2014", "2013"])
def test_a_replicate_of_ones_is_the_score_and_one_without_stimuli_is_nan(categories, protocol):
    result = categories.score(KernelAnalysis(protocol=protocol))
    weights = np.ones((2, 120))
    weights[1, categories.rows(1)[1]] = 0
    got = result.resample(weights, range(4), ONE)
    np.testing.assert_allclose(got[0], result.folds, atol=FLOAT32)
    assert np.isnan(got[1, 1]).all() and np.isfinite(got[1, 0]).all()


@pytest.mark.parametrize("protocol", ["2014", "2013"])
def test_errors_that_are_too_many_to_hold_lie_in_a_file_and_replicates_are_the_same(categories, protocol, monkeypatch):
    weights = np.random.default_rng(3).integers(0, 4, size=(5, 120)).astype(np.float32)
    held = categories.score(KernelAnalysis(protocol=protocol)).resample(weights, [2, 1], ONE)
    files = []
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda make=tempfile.TemporaryFile: files.append(1) or make())
    monkeypatch.setattr("brainbench.scorers.kernel_analysis.HELD", 0)
    lying = categories.score(KernelAnalysis(protocol=protocol)).resample(weights, [2, 1], ONE)
    assert len(files) == 1
    np.testing.assert_array_equal(lying, held)


def test_versions_of_a_stimulus_are_left_out_together(make):
    """40 near-copies in noise: left out alone, a stimulus is told from its version."""
    case = make(strength=0.0, n_versions=40)
    assert case.score(KernelAnalysis()).raw[0] < 0.02
    assert case.score(KernelAnalysis(leave_out="stimulus")).raw[0] > 0.05


def test_versions_left_out_together_have_the_errors_of_readers_that_never_saw_either(make):
    case = make(n_versions=8)
    x, codes, units = case.features, case.codes, torch.arange(120)
    units[:8] = units[60:68]
    penalty, scale = 0.05, 0.7
    errors = loo_errors(x @ x.T, codes, units=units, scales=[scale], penalties=[penalty])[0, 0]
    spread = torch.pdist(x).sort().values[[3569, 3570]].mean()
    kernel = torch.exp(-torch.cdist(x, x).square() / (2 * (scale * spread) ** 2))
    signs = 2 * torch.nn.functional.one_hot(codes).double() - 1
    y = (signs - signs.mean(dim=0)) / (signs - signs.mean(dim=0)).square().mean().sqrt()
    for i in range(120):
        fit = units != units[i]
        theta = torch.linalg.solve(kernel[fit][:, fit] + penalty * torch.eye(int(fit.sum())), y[fit])
        assert errors[i] == pytest.approx(
            float((kernel[i, fit] @ theta - y[i]).square().mean()), rel=1e-6
        )  # versions are at distances of the Gram matrix' last digits


def test_units_are_as_many_as_asked_for_and_drawn_anew_for_each_half(categories):
    few = categories.score(KernelAnalysis(n_units=5))
    again = categories.score(KernelAnalysis(n_units=5))
    np.testing.assert_array_equal(few.folds, again.folds)
    assert len(np.unique(few.folds.round(6))) == 4
    assert few.raw[0] < categories.score(KernelAnalysis()).raw[0] - 0.05
    every = categories.score(KernelAnalysis(n_units=20))
    np.testing.assert_allclose(every.folds, categories.score(KernelAnalysis()).folds, atol=1e-9)
    ones = few.resample(np.ones((1, 120)), range(4), ONE)[0]
    np.testing.assert_allclose(ones, few.folds, atol=FLOAT32)


def like(case, noise=1.0, n_sites=8):
    """The same labels beside a recording of 8 sites in 6 repetitions."""
    rng = np.random.default_rng(9)
    signal = case.features.numpy()[:, None, :n_sites]
    values = signal + noise * rng.normal(size=(120, 6, n_sites)) + 20 * rng.uniform(size=n_sites)
    return replace(case.target, like=values.astype("f4"))


MATCHED = KernelAnalysis(like="V4/s1")


def test_a_layer_is_read_as_the_recording_would_have_measured_it(categories):
    """As many units, under the noise of the means; what is drawn belongs to the fold's stimuli alone."""
    target = like(categories)
    found = categories.score(MATCHED, target=target)
    noise = recording_noise(torch.as_tensor(target.like), per_site=True)
    for fold in (0, 3):
        rows = categories.rows(fold)[1]
        names = sorted(target.stimulus_ids[r] for r in rows)
        seed = seed_of(fingerprint({"like": "V4/s1", "stimuli": names}), "noise").generate_state(1)[0]
        x = as_measured(categories.features[rows], noise, 8, seed=int(seed))
        assert found.folds[fold, 0] == pytest.approx(precision_curve(x @ x.T, categories.codes[rows]).auc, abs=1e-9)
    ones = found.resample(np.ones((1, 120)), range(4), ONE)[0]
    np.testing.assert_allclose(ones, found.folds, atol=FLOAT32)
    as_few = categories.score(KernelAnalysis(n_units=8)).raw[0]
    assert found.raw[0] < as_few - 0.02
    noisier = categories.score(MATCHED, target=like(categories, noise=3.0)).raw[0]
    assert noisier < found.raw[0] - 0.02


def test_no_order_of_stimuli_moves_what_is_drawn(categories):
    target, order = like(categories), np.random.default_rng(1).permutation(120)
    ids = tuple(target.stimulus_ids[i] for i in order)
    other = replace(target, stimulus_ids=ids, values=target.values[order], like=target.like[order])
    a, b = (categories.score(MATCHED, target=t).folds for t in (target, other))
    np.testing.assert_allclose(a, b, atol=1e-9)


def test_a_recording_has_the_noise_already(categories):
    target = like(categories, n_sites=20)
    own = categories.score(MATCHED.of_recording, target=target)
    np.testing.assert_allclose(own.folds, categories.score(KernelAnalysis(standardize=True)).folds, atol=1e-9)
    rows = categories.rows(0)[1]
    x = categories.features[rows] / categories.features[rows].std(dim=0)
    assert own.folds[0, 0] == pytest.approx(precision_curve(x @ x.T, categories.codes[rows]).auc, abs=1e-7)  # float32
    assert KernelAnalysis().of_recording == KernelAnalysis(noise=False)  # nothing is matched: it is read as it came
    assert KernelAnalysis(standardize=True).reads == "units"
    assert (MATCHED.reads, KernelAnalysis(n_units=5).reads, KernelAnalysis().reads) == ("units", "units", "geometry")
    with pytest.raises(UsageError, match="without the recording V4/s1"):
        categories.score(MATCHED)


@pytest.mark.parametrize("model", ["recording:insilico.V4/s1", "baseline:pixels"])
def test_in_a_run_models_get_the_noise_and_the_recording_does_not(model, tmp_path):
    setting = settings.make_setting(device="cpu", cache_folder=tmp_path)
    plain = known()["insilico.category-ka"].model_copy(update={"baselines": (), "params": {"protocol": "2013"}})
    matched = plain.model_copy(update={"id": "x", "params": {"protocol": "2013", "like": "V4/s1"}})
    own = plain.model_copy(update={"id": "y", "params": {"protocol": "2013", "standardize": True}})
    raw, equal, own = (entry.raw for entry in runner.run(models.load(model), [plain, matched, own], setting))
    if model.startswith("recording"):
        assert equal == pytest.approx(own, abs=1e-6) and equal != pytest.approx(raw, abs=1e-4)
    else:
        assert equal < raw - 0.005


def test_units_that_are_drawn_are_a_networks_channels():
    network = models.load("bundled:efficientnet_lite0")
    assert {layer.pooling for layer in reading.as_read(network, MATCHED).spec.layers} == {"mean", "flatten"}
    assert reading.as_read(network, KernelAnalysis()) is network


def wide(case):
    full = Representation.from_features(case.features, case.target.stimulus_ids)
    return Representation.from_gram(full.gram, full.unit_mean, 20, full.stimulus_ids)


def labels(case, change):
    values = case.target.values.copy()
    change(values)
    return Labels(stimulus_ids=case.target.stimulus_ids, values=values)


@pytest.mark.parametrize(
    "scorer, given, reason",
    [
        (KernelAnalysis(n_units=5), lambda case: {"representation": wide(case)}, "only-gram-kept"),
        (KernelAnalysis(n_units=21), lambda case: {}, "too-few-units"),
        (KernelAnalysis(), lambda case: {"features": torch.ones(120, 3)}, "constant-features"),
        (KernelAnalysis(protocol="2013"), lambda case: {"features": torch.ones(120, 3)}, "constant-features"),
        (KernelAnalysis(), lambda case: {"features": 1e160 * case.features}, "overflow"),
        (KernelAnalysis(n_units=5), lambda case: {"features": 1e25 * case.features.float()}, "overflow"),
        (MATCHED, lambda case: {"features": torch.ones(120, 8), "target": like(case)}, "constant-features"),
        (KernelAnalysis(), lambda case: {"target": labels(case, lambda v: v.fill("a"))}, "one-category"),
        (KernelAnalysis(), lambda case: {"target": labels(case, lambda v: v.put(3, None))}, "missing-stimuli"),
    ],
)
def test_what_cannot_be_read_is_nan_with_a_reason(categories, scorer, given, reason):
    result = categories.score(scorer, **given(categories))
    assert result.reason == (reason,)
    for values in (result.folds, result.train, result.resample(np.ones((2, 120)), [0, 1], ONE)):
        assert np.isnan(values).all()
    assert np.isnan(result.extras["precision"]).all() and np.isfinite(result.extras["complexity"]).all()


@pytest.mark.parametrize(
    "params",
    [
        {"protocol": "2015"},
        {"leave_out": "fold"},
        {"n_units": 0},
        {"like": "V4"},
        {"like": "V4/s1", "n_units": 5},
        {"law": "var"},
        {"like": "V4/s1", "standardize": True},
    ],
)
def test_wrong_parameters_are_usage_errors(params):
    with pytest.raises(UsageError):
        KernelAnalysis(**params)


def test_in_sample_errors_leave_nothing_out():
    with pytest.raises(UsageError, match="in-sample"):
        KernelAnalysis(protocol="2013", leave_out="stimulus")
