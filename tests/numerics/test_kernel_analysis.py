import numpy as np
import pytest
import scipy.linalg
import torch
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import KernelCenterer

from brainbench.errors import InputError, LeakageError, UsageError
from brainbench.numerics import kernel_analysis as ka
from brainbench.numerics import kernel_errors


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def gram(x):
    return x @ x.T


def planted(n=60, p=12, n_classes=4, strength=1.0, seed=0):
    """Features with some of the category in them, and categories of unlike sizes: 0, 1, 1, 2, 2, 2, ..."""
    labels = torch.cat([torch.full((c + 1,), c) for c in range(n_classes)]).repeat(n)[:n]
    return strength * normal(n_classes, p, seed=seed)[labels] + normal(n, p, seed=seed + 1), labels


def one_hot(n, n_classes):
    labels = torch.arange(n) % n_classes
    return torch.eye(n_classes, dtype=torch.float64)[labels], labels


def reference_targets(labels, like):
    classes = np.unique(like)
    signs, of_like = (np.where(side[:, None] == classes, 1.0, -1.0) for side in (labels, like))
    return (signs - of_like.mean(axis=0)) / (of_like - of_like.mean(axis=0)).std()


def reference_2013(x, labels, train, test, quantiles):
    """In-sample and held-out errors, (quantile, d), with scikit-learn's kernels and each projection written out."""
    x, labels = x.numpy(), labels.numpy()
    fit, out = x[train], x[test]
    squares = ((fit[:, None] - fit[None]) ** 2).sum(axis=2)
    t, wanted = reference_targets(labels[train], labels[train]), reference_targets(labels[test], labels[train])
    inside, outside = [], []
    for q in quantiles:
        sigma = np.sort(squares.flatten())[int(q * len(fit) ** 2)]
        kernel = rbf_kernel(fit, gamma=1 / sigma)
        centerer = KernelCenterer().fit(kernel)
        values, vectors = scipy.linalg.eigh(centerer.transform(kernel))
        order = np.argsort(-np.abs(values))
        values, vectors = values[order], vectors[:, order]
        power = np.cumsum(values**2)
        vectors[:, np.argmax(power) + 1 :] = 0
        cross = centerer.transform(rbf_kernel(out, fit, gamma=1 / sigma))
        first = range(len(fit) + 1)
        inside.append([((vectors[:, :d] @ vectors[:, :d].T @ t - t) ** 2).mean() for d in first])
        read = [cross @ vectors[:, :d] @ np.diag(1 / (values[:d] + 1e-7)) @ vectors[:, :d].T @ t for d in first]
        outside.append([((r - wanted) ** 2).mean() for r in read])
    return np.array(inside), np.array(outside)


def test_distances_equal_those_of_the_features_and_copies_are_at_none():
    x = normal(12, 5) + 100
    x = torch.cat([x, x[:4]])
    out = ka.squared_distances(gram(x))
    np.testing.assert_allclose(out, torch.cdist(x, x).square(), atol=1e-8)
    assert (out[torch.arange(4), torch.arange(12, 16)] == 0).all()
    assert torch.equal(out, out.T) and (out.diagonal() == 0).all() and (out >= 0).all()
    rounded = gram(x) * (1 + 1e-14 * torch.eye(16, dtype=torch.float64))  # as another order of summation may have it
    assert (ka.squared_distances(rounded)[torch.arange(4), torch.arange(12, 16)] == 0).all()


def test_targets_are_centred_over_one_spread_for_all_categories():
    labels = torch.tensor([5, 5, 5, 5, 5, 5, 9, 2])
    np.testing.assert_allclose(ka.one_vs_all(labels), reference_targets(labels.numpy(), labels.numpy()), atol=1e-14)
    targets = ka.one_vs_all(labels)
    assert targets.square().mean() == pytest.approx(1, abs=1e-14)
    assert targets[:, 0].var() == pytest.approx(float(targets[:, 2].var()))  # 2 and 9, once each
    assert targets[:, 1].var() > 1.5 * targets[:, 0].var()  # 5, six times in eight


@pytest.mark.parametrize("quantiles", [ka.QUANTILES, (0.05, 0.3)])
def test_2013_curves_equal_projections_written_out_with_scikit_learn(quantiles):
    x, labels = planted(70)
    train, test = torch.arange(0, 47), torch.arange(47, 70)
    inside, outside = reference_2013(x, labels, train.numpy(), test.numpy(), quantiles)
    curve = ka.error_curve(gram(x[train]), labels[train], quantiles=quantiles)
    np.testing.assert_allclose(curve.values, inside.min(axis=0), atol=1e-10)
    assert curve.auc == pytest.approx(1 - inside.min(axis=0).mean(), abs=1e-10)
    chosen = inside[curve.width.numpy(), np.arange(48)]
    np.testing.assert_allclose(chosen, inside.min(axis=0), atol=1e-10)
    errors = ka.heldout_errors(gram(x), labels, train, test, quantiles=quantiles)
    ours = outside[curve.width.numpy(), np.arange(48)]
    decided = np.sort(inside, axis=0)[1] - inside.min(axis=0) > 1e-9  # where widths tie in training, either will do
    assert decided.sum() >= 42
    np.testing.assert_allclose(errors[decided], ours[decided], rtol=1e-7)


@pytest.mark.parametrize("n, n_classes", [(70, 7), (40, 4), (24, 2)])
def test_perfect_balanced_categories_fall_in_a_straight_line(n, n_classes):
    x, labels = one_hot(n, n_classes)
    line = torch.arange(n + 1).div(n_classes - 1).neg().add(1).clamp_min(0)
    curve = ka.error_curve(gram(10 * x), labels)
    np.testing.assert_allclose(curve.values, line, atol=1e-7)
    assert curve.auc == pytest.approx(1 - n_classes / (2 * (n + 1)), abs=1e-8)
    if n == 70:
        assert curve.auc == pytest.approx(0.950704, abs=1e-6)
    half = torch.arange(n // 2)
    errors = ka.heldout_errors(gram(x), labels, half, half + n // 2)
    np.testing.assert_allclose(errors, line[: n // 2 + 1], atol=1e-6)


def test_random_features_cover_half_the_area():
    """1/2 + 1/(2 (n + 1)) for one width, exactly in the mean over labellings; the envelope of three is above it.

    METHODS section 1.6 has .514 and .516 as means of eight draws, whose standard error is .005.
    """
    labels, single, envelope = torch.arange(70) % 7, [], []
    for seed in range(150):
        g = gram(normal(70, 30, seed=seed))
        single.append(ka.error_curve(g, labels, quantiles=(0.5,)).auc)
        envelope.append(ka.error_curve(g, labels).auc)
    assert np.mean(single) == pytest.approx(0.5 + 0.5 / 71, abs=4 * np.std(single) / 150**0.5)
    assert np.std(single) < 0.03
    assert np.mean(np.subtract(envelope, single)) == pytest.approx(0.0025, abs=2e-4)
    assert np.mean(single[:8]) == pytest.approx(0.514, abs=5e-4)
    assert np.mean(envelope[:8]) == pytest.approx(0.516, abs=5e-4)


def test_in_sample_error_is_nothing_at_full_dimension_and_held_out_is_chance():
    g, labels = gram(normal(80, 200)), torch.arange(80) % 4
    assert ka.error_curve(g, labels).values[79] < 1e-12
    rows = torch.arange(80)
    splits = [(rows[rows % 5 != k], rows[rows % 5 == k]) for k in range(5)]
    errors = torch.stack([ka.heldout_errors(g, labels, *split) for split in splits])
    assert errors.mean(dim=0)[-1] > 0.95
    assert 0 <= ka.generalisation_accuracy(errors) < 0.1
    assert ka.generalisation_accuracy(torch.tensor([[1.0, 0.2, 0.9], [1.0, 0.8, 0.1]])) == pytest.approx(0.5)


def test_stimuli_shown_under_both_labels_tell_nothing():
    """The differences between copies span the null space of the kernel: unless it is left out, they explain all."""
    x = normal(15, 6)
    x, labels = torch.cat([x, x]), torch.arange(30) // 15
    curve = ka.error_curve(gram(x), labels)
    np.testing.assert_allclose(curve.values, np.ones(31), atol=1e-12)
    assert curve.auc == pytest.approx(0, abs=1e-12)


def test_quantiles_at_distance_nothing_are_passed_over():
    x, labels = one_hot(70, 7)
    assert set(ka.error_curve(gram(x), labels).width.tolist()) <= {1, 2}  # a seventh of the distances are 0
    only = ka.error_curve(gram(x), labels, quantiles=(0.5, 0.9))
    np.testing.assert_array_equal(ka.error_curve(gram(x), labels).values, only.values)
    with pytest.raises(InputError, match="quantiles"):
        ka.error_curve(gram(x), labels, quantiles=(0.1,))
    with pytest.raises(InputError, match="median distance"):
        ka.precision_curve(gram(torch.ones(8, 3, dtype=torch.float64)), torch.arange(8) % 2)


def test_leave_one_out_equals_refits_by_scikit_learn():
    x, labels = planted(24)
    targets = reference_targets(labels.numpy(), labels.numpy())
    scales, penalties = (0.3, 1.0, 2.0, 6.0), (1e-4, 1e-2, 1.0, 30.0)
    distances = torch.cdist(x, x)
    upper = distances[tuple(torch.triu_indices(24, 24, offset=1))].numpy()
    errors = np.empty((len(scales), len(penalties), targets.shape[1]))
    for i, scale in enumerate(scales):
        kernel = rbf_kernel(x.numpy(), gamma=1 / (2 * (scale * np.median(upper)) ** 2))
        for j, penalty in enumerate(penalties):
            residuals = []
            for out in range(24):
                rest = np.delete(np.arange(24), out)
                model = KernelRidge(alpha=penalty, kernel="precomputed").fit(kernel[np.ix_(rest, rest)], targets[rest])
                residuals.append(targets[out] - model.predict(kernel[[out]][:, rest])[0])
            errors[i, j] = np.square(residuals).mean(axis=0)
    curve = ka.precision_curve(gram(x), labels, scales=scales, penalties=penalties)
    np.testing.assert_allclose(curve.values, 1 - errors.mean(axis=2).min(axis=0), atol=1e-10)
    np.testing.assert_array_equal(curve.width, errors.mean(axis=2).argmin(axis=0))
    assert curve.auc == pytest.approx(float(curve.values.mean()), abs=1e-14)
    by_category = 1 - errors.min(axis=0).mean(axis=1)  # the wrong order: a width of its own for every category
    assert np.abs(by_category - curve.values.numpy()).max() > 1e-3


def test_each_stimulus_left_out_has_the_error_of_the_reader_that_never_saw_it():
    """METHODS section 1.6: Θ_i / (K⁻¹)_ii equals the refit to 1e-14, where K is not close to singular."""
    x, labels = planted(24)
    distances, targets = ka.squared_distances(gram(x)), ka.one_vs_all(labels)
    median = np.median(distances[tuple(torch.triu_indices(24, 24, offset=1))].sqrt())
    scales, penalties = (0.3, 1.0), (1.0, 30.0)
    errors = kernel_errors.loo_errors(gram(x), labels, scales=scales, penalties=penalties)
    assert errors.shape == (2, 2, 24)
    for s, scale in enumerate(scales):
        kernel = torch.exp(-distances / (2 * (scale * median) ** 2))
        for a, penalty in enumerate(penalties):
            for out in range(24):
                rest = torch.arange(24) != out
                ridge = kernel[rest][:, rest] + penalty * torch.eye(23, dtype=torch.float64)
                predicted = kernel[out, rest] @ torch.linalg.solve(ridge, targets[rest])
                expected = (targets[out] - predicted).square().mean()
                np.testing.assert_allclose(errors[s, a, out], expected, rtol=0, atol=1e-14)


def test_penalties_solved_in_parts_are_those_solved_together(monkeypatch):
    x, labels = planted(30)
    whole = ka.precision_curve(gram(x), labels)
    monkeypatch.setattr(kernel_errors, "COLUMNS", 9)
    np.testing.assert_allclose(ka.precision_curve(gram(x), labels).values, whole.values, atol=1e-12)


@pytest.mark.parametrize("m, expected", [(10, (0.999879, 0.99, 0.722992)), (3, None)])
def test_block_kernel_predicts_each_stimulus_from_its_category(m, expected):
    """Precision 1 - (λ / (m - 1 + λ))² with m stimuli a category, alike within and unlike across."""
    x, labels = one_hot(7 * m, 7)
    penalties = (0.1, 1.0, 10.0)
    curve = ka.precision_curve(gram(x), labels, scales=(0.1,), penalties=penalties)
    np.testing.assert_allclose(curve.values, [1 - (a / (m - 1 + a)) ** 2 for a in penalties], atol=1e-12)
    if expected:
        np.testing.assert_allclose(curve.values, expected, atol=5e-7)


def test_precision_is_nothing_without_likeness_and_under_the_heaviest_penalty():
    x, labels = planted(40, strength=3.0)
    alone = ka.precision_curve(gram(x), labels, scales=(1e-3,))
    np.testing.assert_allclose(alone.values, np.zeros(56), atol=1e-12)
    heavy = ka.precision_curve(gram(x), labels, penalties=(1e12,))
    assert heavy.values[0] == pytest.approx(0, abs=1e-9)
    assert ka.precision_curve(gram(x), labels, penalties=(0.1,)).values[0] > 0.5


def test_the_grid_is_the_papers():
    assert len(ka.SCALES) == 32 and len(ka.PENALTIES) == 56
    np.testing.assert_allclose(ka.SCALES, np.logspace(-1, 1, 32))
    np.testing.assert_allclose(ka.PENALTIES, np.logspace(-4, 3, 56))


@pytest.mark.parametrize("protocol", [ka.error_curve, ka.precision_curve])
def test_rotation_translation_scaling_order_and_names_change_nothing(protocol):
    x, labels = planted(50, p=9)
    rotation = torch.linalg.qr(normal(9, 9, seed=7))[0]
    order = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    before = protocol(gram(x), labels)
    names = torch.tensor([40, -3, 7, 12])
    changes = {
        "rotation": (x @ rotation, labels),
        "translation": (x + 20 * normal(1, 9, seed=3), labels),
        "scaling": (x * 1e4, labels),
        "order": (x[order], labels[order]),
        "names": (x, names[labels]),
    }
    for what, (features, categories) in changes.items():
        after = protocol(gram(features), categories)
        np.testing.assert_allclose(after.values, before.values, atol=1e-9, err_msg=what)
        assert after.auc == pytest.approx(before.auc, abs=1e-10)


def test_float32_features_give_the_float64_curves_to_five_digits():
    x, labels = planted(50, p=40)
    for protocol in (ka.error_curve, ka.precision_curve):
        exact, single = protocol(gram(x), labels), protocol(gram(x.float()), labels)
        np.testing.assert_allclose(single.values, exact.values, atol=1e-5)


def test_more_of_the_category_gives_more_area():
    areas = [
        [protocol(gram(x), labels).auc for x, labels in (planted(strength=s) for s in (0.0, 0.5, 1.0, 2.0))]
        for protocol in (ka.error_curve, ka.precision_curve)
    ]
    assert all(np.all(np.diff(area) > 0.02) for area in areas)


def test_resamples_are_balanced_fixed_and_without_repeats():
    labels = torch.cat([torch.zeros(20), torch.ones(30), torch.full((25,), 4)]).long()
    rows = ka.balanced_resamples(labels, seed=3)
    assert rows.shape == (10, 48)
    assert all(labels[row].unique(return_counts=True)[1].tolist() == [16, 16, 16] for row in rows)
    assert all(len(row.unique()) == 48 for row in rows)
    assert len({tuple(sorted(row.tolist())) for row in rows}) == 10
    assert torch.equal(rows, ka.balanced_resamples(labels, seed=3))
    assert not torch.equal(rows, ka.balanced_resamples(labels, seed=4))
    assert len(rows.unique()) == 75  # every stimulus is somewhere
    with pytest.raises(UsageError, match="share"):
        ka.balanced_resamples(labels, share=1.2, seed=0)


def test_drawing_with_replacement_lets_copies_answer_for_one_another():
    """Noise features know no category, yet are precise once leave-one-out leaves copies in."""
    g, labels = gram(normal(105, 300)), torch.arange(105) % 7
    without, copies = (ka.balanced_resamples(labels, n_resamples=2, replace=r, seed=0) for r in (False, True))
    assert copies.shape == without.shape
    assert all(labels[row].unique(return_counts=True)[1].tolist() == [12] * 7 for row in copies)
    honest = [ka.precision_curve(g[r][:, r], labels[r]).values.max() for r in without]
    inflated = [ka.precision_curve(g[r][:, r], labels[r]).values.max() for r in copies]
    assert max(honest) < 0.05 and min(inflated) > 0.3


@pytest.mark.data
def test_macaque_v4_knows_what_is_in_the_picture(data_root):
    """Eight kinds of object, 80 pictures each, 50 units: the numbers of the recording, and those of shuffled kinds."""
    from brainbench.datasets.cowley2023 import Cowley2023

    dataset = Cowley2023(data_root / "cowley2023")
    table = dataset.stimuli().table
    table = table[table["session"] == "210325"]
    means = dataset.responses("PE", sessions=("210325",)).groupby("stimulus_id").mean("presentation")
    x = torch.tensor(means.sel(stimulus_id=table.index.to_numpy()).values, dtype=torch.float64)
    labels = torch.tensor(table["category"].astype("category").cat.codes.to_numpy(), dtype=torch.int64)
    assert ka.error_curve(gram(x), labels).auc == pytest.approx(0.5975, abs=5e-4)
    assert ka.precision_curve(gram(x), labels).auc == pytest.approx(0.0869, abs=5e-4)
    shuffled = labels[torch.randperm(640, generator=torch.Generator().manual_seed(3))]
    assert ka.error_curve(gram(x), shuffled).auc == pytest.approx(0.5, abs=0.01)
    assert ka.precision_curve(gram(x), shuffled).auc == pytest.approx(0, abs=0.005)


def test_unfit_input_is_refused():
    x, labels = planted(20)
    g, rows = gram(x), torch.arange(20)
    with pytest.raises(InputError, match="two or more"):
        ka.error_curve(g, torch.zeros(20, dtype=torch.int64))
    with pytest.raises(InputError, match="NaN"):
        ka.precision_curve(torch.full_like(g, torch.nan), labels)
    with pytest.raises(LeakageError):
        ka.heldout_errors(g, labels, rows[:12], rows[11:])
    with pytest.raises(InputError, match="lack"):
        ka.heldout_errors(g, labels, rows[labels < 3], rows[labels == 3])
