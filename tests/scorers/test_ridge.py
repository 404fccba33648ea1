import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import RidgeCV

from brainbench.core.splits import Fold, Split, grouped_folds
from brainbench.errors import AlignmentError, UsageError
from brainbench.numerics import ridge
from brainbench.scorers.ridge import Ridge


def score(scorer, case, block=None, representation=None):
    return scorer.score(
        representation or case.representation(), block or case.block(), case.split, seed=0, device="cpu"
    )


@pytest.mark.parametrize("select", ["gcv", "loo", "kfold"])
def test_signal_is_found_and_raw_is_the_mean_of_fold_correlations(case, select):
    result = score(Ridge(select=select), case)
    assert result.folds.shape == (5, 6) and (result.raw > 0.4).all()
    np.testing.assert_allclose(result.raw, result.folds.mean(axis=0))
    assert set(result.reason) == {""}


def test_loo_equals_scikit_learn_on_the_same_folds(case):
    result = score(Ridge(select="loo"), case)
    y = case.block().mean()
    x, ids = case.features.numpy(), list(case.block().stimulus_ids)
    expected = []
    for fold in case.split.folds:
        train, test = [ids.index(i) for i in fold.train], [ids.index(i) for i in fold.test]
        centred = x[train] - x[train].mean(axis=0)
        alphas = np.asarray(Ridge().grid) * (centred**2).sum() / len(train)
        fit = RidgeCV(alphas=alphas, alpha_per_target=True).fit(x[train], y[train])
        predicted = fit.predict(x[test])
        expected.append([np.corrcoef(predicted[:, v], y[test, v])[0, 1] for v in range(6)])
    np.testing.assert_allclose(result.folds, expected, atol=1e-4)


def test_shuffled_responses_read_about_zero_and_inverted_ones_below(case):
    shuffled = case.values[np.random.default_rng(3).permutation(120)]
    assert abs(score(Ridge(), case, case.block(shuffled)).raw.mean()) < 0.12
    features = -case.features
    scores = score(Ridge(), case, representation=case.representation(features))
    np.testing.assert_allclose(scores.raw, score(Ridge(), case).raw, atol=1e-5)  # a linear map undoes a sign
    trained = score(Ridge(), case)
    folds = [list(case.block().stimulus_ids).index(i) for i in case.split.folds[0].test]
    values = case.values.copy()
    values[folds] = -values[folds]
    np.testing.assert_allclose(score(Ridge(), case, case.block(values)).folds[0], -trained.folds[0], atol=1e-5)


@pytest.mark.parametrize("select", ["gcv", "loo", "kfold"])
def test_test_responses_choose_neither_penalty_nor_layer(case, select):
    before = score(Ridge(select=select), case)
    ids = list(case.block().stimulus_ids)
    test = [ids.index(i) for i in case.split.folds[2].test]
    values = case.values.copy()
    values[test] = np.random.default_rng(0).normal(size=values[test].shape) * 50
    after = score(Ridge(select=select), case, case.block(values))
    np.testing.assert_array_equal(after.extras["penalty"][2], before.extras["penalty"][2])
    np.testing.assert_allclose(after.train[2], before.train[2], atol=1e-6)


def test_order_of_stimuli_and_neuroids_does_not_matter(case):
    order = np.random.default_rng(1).permutation(120)
    ids = tuple(np.asarray(case.block().stimulus_ids)[order])
    moved = score(
        Ridge(),
        case,
        case.block(case.values[order][:, :, ::-1], ids),
        case.representation(case.features.flip(0), ids_flipped()),
    )
    np.testing.assert_allclose(moved.folds[:, ::-1], score(Ridge(), case).folds, atol=1e-4)


IDS = tuple(f"s{i:03d}" for i in range(120))


def ids_flipped():
    return IDS[::-1]


def test_a_missing_stimulus_raises(case):
    with pytest.raises(AlignmentError, match="lacks 20"):
        score(Ridge(), case, representation=case.representation(case.features[:100], case.block().stimulus_ids[:100]))


def test_constant_and_incomplete_neuroids_are_nan_with_a_reason_and_leave_the_others_alone(case):
    values = case.values.copy()
    values[:, :, 1] = 4.0
    values[7, :, 2] = np.nan
    in_fold = [list(case.block().stimulus_ids).index(i) for i in case.split.folds[0].test]
    values[in_fold, :, 3] = 1.0  # constant in one fold's test stimuli only
    result = score(Ridge(), case, case.block(values))
    assert result.reason == ("", "zero-variance", "missing-stimuli", "zero-variance", "", "")
    assert np.isnan(result.raw).tolist() == [False, True, True, True, False, False]
    np.testing.assert_allclose(result.raw[[0, 4, 5]], score(Ridge(), case).raw[[0, 4, 5]], atol=1e-6)


def test_replicates_of_ones_are_the_score_and_multiplicities_repeat_stimuli(case):
    result = score(Ridge(), case)
    np.testing.assert_allclose(
        result.resample(np.ones((1, 120), np.float32), range(5), np.arange(result.folds.shape[1]))[0],
        result.folds,
        atol=1e-5,
    )


def test_inputs_are_not_touched_and_two_runs_agree(case):
    values, features = case.values.copy(), case.features.clone()
    first, second = score(Ridge(), case), score(Ridge(), case)
    np.testing.assert_array_equal(first.folds, second.folds)
    np.testing.assert_array_equal(values, case.values)
    assert torch.equal(features, case.features)


def test_edges_of_the_grid_are_counted(case):
    assert score(Ridge(grid=(1e-6, 1e-5)), case).extras["at_edge"].all()
    assert score(Ridge(), case).extras["at_edge"].mean() < 0.2


@pytest.mark.parametrize("params", [{"select": "test"}, {"grid": (1.0,)}, {"grid": (2.0, 1.0)}, {"grid": (0.0, 1.0)}])
def test_wrong_parameters_are_usage_errors(params):
    with pytest.raises(UsageError):
        Ridge(**params)


def test_responses_far_from_zero_score_the_same(case):
    far = score(Ridge(), case, case.block(case.values.astype(np.float64) + 1e5))
    np.testing.assert_allclose(far.folds, score(Ridge(), case).folds, atol=1e-4)
    assert set(far.reason) == {""}


def test_standardized_features_equal_scaling_by_hand_inside_the_training_stimuli(case):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scale = torch.logspace(-2, 2, case.features.shape[1])
    kept = case.features[:, :30] * scale[:30]  # fewer units than training stimuli
    ours = score(Ridge(select="loo", standardize=True), case, representation=case.representation(kept))
    y, x, ids = case.block().mean(), kept.double().numpy(), list(case.block().stimulus_ids)
    for number, fold in enumerate(case.split.folds):
        train, test = [ids.index(i) for i in fold.train], [ids.index(i) for i in fold.test]
        alphas = np.asarray(Ridge().grid) * 30
        fit = make_pipeline(StandardScaler(), RidgeCV(alphas=alphas, alpha_per_target=True)).fit(x[train], y[train])
        predicted = fit.predict(x[test])
        np.testing.assert_allclose(
            ours.folds[number], [np.corrcoef(predicted[:, v], y[test, v])[0, 1] for v in range(6)], atol=1e-4
        )
    with pytest.raises(UsageError, match="Pool it to fewer units"):
        full = case.representation()
        gram = type(full).from_gram(full.gram, full.unit_mean, full.n_units, full.stimulus_ids)
        score(Ridge(standardize=True), case, representation=gram)


def test_kfold_decomposes_each_pair_of_left_out_folds_once(case, monkeypatch):
    sizes = []
    eigh = torch.linalg.eigh
    monkeypatch.setattr(torch.linalg, "eigh", lambda matrix: sizes.append(len(matrix)) or eigh(matrix))
    score(Ridge(select="kfold"), case)
    assert len(sizes) == 5 + 10  # outer folds, and pairs of them


@pytest.mark.parametrize("n_repeats", [1, 2])
def test_kfold_needs_a_fold_to_leave_out_and_one_to_fit_on(case, n_repeats):
    table = pd.DataFrame({"sha256": IDS}, index=pd.Index(IDS, name="stimulus_id"))
    case.split = grouped_folds(table, n_folds=2, n_repeats=n_repeats, seed=1)
    with pytest.raises(UsageError, match="set n_folds to 3 or more, or select to gcv or loo"):
        score(Ridge(select="kfold"), case)
    case.split = grouped_folds(table, n_folds=3, n_repeats=n_repeats, seed=1)
    assert (score(Ridge(select="kfold"), case).raw > 0.4).all()


def test_a_memory_mapped_recording_is_read_by_blocks_of_neuroids(case, tmp_path, monkeypatch):
    monkeypatch.setattr("brainbench.scorers.ridge.COLUMNS", 4)
    values = np.memmap(tmp_path / "responses", dtype=np.float32, mode="w+", shape=case.values.shape)
    values[:] = case.values
    mapped, held = score(Ridge(), case, case.block(values)), score(Ridge(), case)
    np.testing.assert_allclose(mapped.folds, held.folds, atol=1e-6)
    ones = np.ones((1, 120), np.float32)
    columns = np.arange(held.folds.shape[1])
    np.testing.assert_allclose(mapped.resample(ones, [3, 1], columns), held.resample(ones, [3, 1], columns), atol=1e-6)


def test_a_layer_that_says_the_same_of_every_stimulus_has_no_score(case):
    row = torch.randn(1, 400, generator=torch.Generator().manual_seed(0))
    result = score(Ridge(), case, representation=case.representation(row.expand(120, 400).contiguous()))
    assert np.isnan(result.folds).all()


def test_kfold_refuses_folds_that_leave_it_nothing_to_leave_out(case):
    ids = case.block().stimulus_ids
    fixed = Split(
        folds=(Fold(train=ids[:80], test=ids[80:100]), Fold(train=ids[:80], test=ids[100:])), unit=case.split.unit
    )
    case.split = fixed
    with pytest.raises(UsageError, match="none of them are among the training stimuli of fold 1 of 2"):
        score(Ridge(select="kfold"), case)


@pytest.mark.filterwarnings("ignore")
def test_kfold_of_the_scorer_equals_himalaya_fold_by_fold(case):
    """himalaya 0.4.11 on features centred by hand, with the scorer's own inner folds and penalties."""
    from himalaya.kernel_ridge import KernelRidgeCV

    ours = score(Ridge(select="kfold"), case)
    y, x, ids = case.block().mean().astype(np.float32), case.features.numpy(), list(case.block().stimulus_ids)
    rows = [([ids.index(i) for i in f.train], [ids.index(i) for i in f.test]) for f in case.split.folds]
    for number, (train, test) in enumerate(rows):
        centred = x[train] - x[train].mean(axis=0)
        alphas = np.asarray(Ridge().grid) * float((centred.astype(float) ** 2).sum()) / len(train)
        inner = [[train.index(i) for i in out] for other, (_, out) in enumerate(rows) if other != number]
        splits = [(np.setdiff1d(np.arange(len(train)), out), np.asarray(out)) for out in inner]
        fit = KernelRidgeCV(alphas=alphas, cv=splits, kernel="linear", fit_intercept=True).fit(centred, y[train])
        predicted = fit.predict(x[test] - x[train].mean(axis=0))
        np.testing.assert_allclose(alphas[ours.extras["penalty"][number]], fit.best_alphas_, rtol=1e-4)
        expected = [np.corrcoef(predicted[:, v], y[test, v])[0, 1] for v in range(6)]
        np.testing.assert_allclose(ours.folds[number], expected, atol=1e-4)


def test_many_stimuli_are_solved_in_narrower_blocks(case, monkeypatch):
    monkeypatch.setattr("brainbench.scorers.ridge.BLOCK", 2 * 120)
    widths = []
    coordinates = ridge.coordinates
    monkeypatch.setattr(ridge, "coordinates", lambda basis, y: widths.append(y.shape[1]) or coordinates(basis, y))
    result = score(Ridge(), case)
    assert set(widths) == {2}
    monkeypatch.undo()
    np.testing.assert_allclose(result.folds, score(Ridge(), case).folds, atol=1e-6)
