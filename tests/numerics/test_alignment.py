import itertools
import math

import numpy as np
import pytest
import rsatoolbox
import scipy.stats
import torch

from brainbench.errors import InputError
from brainbench.numerics.alignment import (
    cka,
    cka_biased,
    double_centred,
    pair_influence,
    resampled_cka,
    ssm,
    u_centred,
)
from brainbench.numerics.crossnobis import around_mean, whitened_cosine, whitened_pearson
from brainbench.numerics.representation import Representation


def features(n=14, p=30, seed=0):
    return torch.randn(n, p, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 0.7


def gram(x):
    return x @ x.T


def rsm(x):
    return 1 - Representation.from_features(x, [str(i) for i in range(len(x))]).rdm("correlation")


def rotation(p, seed=9):
    return torch.linalg.qr(features(p, p, seed) - 0.7)[0]


def hsic_over_quadruples(k, m):
    """The U-statistic spelled out: mean over 4 different stimuli of K_ij (L_ij + L_qr - 2 L_iq)."""
    quadruples = itertools.permutations(range(len(k)), 4)
    return np.mean([k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in quadruples])


def test_debiased_cka_is_the_ratio_of_unbiased_hsics():
    k, m = gram(features(8)).numpy(), gram(features(8, seed=1) + features(8)).numpy()
    expected = hsic_over_quadruples(k, m) / math.sqrt(hsic_over_quadruples(k, k) * hsic_over_quadruples(m, m))
    np.testing.assert_allclose(cka(torch.as_tensor(k), torch.as_tensor(m)), expected, rtol=1e-12)


def test_plain_cka_of_noise_is_near_one_and_debiased_cka_near_zero():
    """METHODS section 10: n = 118, p = q = 1000: .895 against .007."""
    pairs = [(gram(features(118, 1000, s)), gram(features(118, 1000, s + 50))) for s in range(20)]
    plain = torch.stack([cka_biased(*pair) for pair in pairs])
    debiased = torch.stack([cka(*pair) for pair in pairs])
    np.testing.assert_allclose(plain.mean(), 0.895, atol=2e-3)
    assert abs(float(debiased.mean())) < 3 * 0.012 / math.sqrt(20)  # E = 0; the spread of one draw is .012
    assert debiased.abs().mean() < 0.02 and debiased.min() < 0 < debiased.max()


def test_features_of_unequal_strength():
    """METHODS section 9, closed forms of plain CKA for [a e, b h] with orthonormal centred e, h."""
    e = torch.tensor([1.0, 1, -1, -1], dtype=torch.float64)[:, None] / 2
    h = torch.tensor([1.0, -1, 1, -1], dtype=torch.float64)[:, None] / 2
    mixed = torch.cat([math.sqrt(55) * e, math.sqrt(5) * h], dim=1)
    np.testing.assert_allclose(cka_biased(gram(mixed), gram(e)), 55 / math.hypot(55, 5), rtol=1e-14)
    np.testing.assert_allclose(cka_biased(gram(mixed), gram(e)), 0.995893, atol=5e-7)
    np.testing.assert_allclose(cka_biased(gram(mixed), gram(h)), 0.090536, atol=5e-7)
    np.testing.assert_allclose(cka_biased(gram(torch.cat([e, h], dim=1)), gram(e)), 1 / math.sqrt(2), rtol=1e-14)
    x, y = features(20, 1), features(20, 1, seed=1)
    squared = scipy.stats.pearsonr(x[:, 0], y[:, 0])[0] ** 2
    np.testing.assert_allclose(cka_biased(gram(x), gram(y)), squared, rtol=1e-12)


def test_whitened_subspaces_share_dimensions_over_the_root_of_their_product():
    """METHODS section 9: 2 shared dimensions of 3 and 5."""
    basis = torch.linalg.qr(features(40, 7) - features(40, 7).mean(dim=0))[0]
    np.testing.assert_allclose(cka_biased(gram(basis[:, :3]), gram(basis[:, 1:6])), 2 / math.sqrt(15), rtol=1e-12)


@pytest.mark.parametrize("measure", [cka, cka_biased])
def test_cka_ignores_rotation_scale_and_translation_but_not_the_scale_of_one_unit(measure):
    x, y = features(), features(seed=1) + features()
    base = measure(gram(x), gram(y))
    moved = 3 * x @ rotation(30) + torch.arange(30, dtype=torch.float64)
    np.testing.assert_allclose(measure(gram(moved), gram(y)), base, atol=1e-12)
    np.testing.assert_allclose(measure(gram(x), gram(moved)), 1, atol=1e-12)
    stretched = torch.cat([10 * x[:, :1], x[:, 1:]], dim=1)
    assert abs(float(measure(gram(stretched), gram(y)) - base)) > 0.05


def test_debiased_cka_needs_distances_alone():
    """So -1/2 squared distances do for a Gram matrix, whatever estimated them."""
    x, y = features(), features(seed=1)
    np.testing.assert_allclose(cka(-torch.cdist(x, x).square() / 2, gram(y)), cka(gram(x), gram(y)), atol=1e-12)


def test_plain_cka_equals_the_whitened_cosine_of_euclidean_rdms():
    """rsatoolbox 0.3.2 `cosine_cov`, to 15 digits (PEERS)."""
    x, y = features(), features(seed=1) + features()
    theirs = [rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(f.numpy()), method="euclidean") for f in (x, y)]
    expected = rsatoolbox.rdm.compare(*theirs, method="cosine_cov")[0, 0]
    np.testing.assert_allclose(cka_biased(gram(x), gram(y)), expected, rtol=3e-15)
    squares = [torch.cdist(f, f).square() for f in (x, y)]
    np.testing.assert_allclose(whitened_cosine(*squares), expected, rtol=1e-13)


@pytest.mark.parametrize("measure", [cka, cka_biased])
def test_many_meet_many_as_one_meets_one(measure):
    xs = torch.stack([gram(features(seed=s)) for s in range(6)]).reshape(2, 3, 14, 14)
    ys = torch.stack([gram(features(seed=s)) for s in range(4, 8)])
    ours = measure(xs, ys)
    assert ours.shape == (2, 3, 4)
    for a, b, c in itertools.product(range(2), range(3), range(4)):
        np.testing.assert_allclose(ours[a, b, c], measure(xs[a, b], ys[c]), atol=1e-14)


def test_constant_or_missing_features_are_nan_and_leave_the_others_alone():
    grams = torch.stack([gram(features()), torch.full((14, 14), 3.3, dtype=torch.float64), gram(features(seed=1))])
    grams[0, 2, 2] = torch.nan
    for measure in (cka, cka_biased):
        assert torch.isnan(measure(grams, gram(features(seed=2)))).tolist() == [True, True, False]
    some = resampled_cka(gram(features(seed=2)), grams, torch.ones(1, 14))
    assert torch.isnan(some[0]).tolist() == [True, True, False]
    assert torch.isnan(resampled_cka(grams[1], grams, torch.ones(1, 14))).all()


def test_too_few_stimuli_raise():
    with pytest.raises(InputError, match="4 stimuli or more; there are 3"):
        cka(gram(features(3)), gram(features(3)))


# resamples


def expanded_cka(k, m, weights):
    """Brute force: rows repeated, pairs of copies struck out, the rest regressed on a_i + a_j over copies, cosine."""
    rows = np.repeat(np.arange(len(k)), weights.astype(int))
    i, j = np.triu_indices(len(rows), 1)
    different = rows[i] != rows[j]
    i, j = i[different], j[different]
    design = np.zeros((len(i), len(rows)))
    design[np.arange(len(i)), i] = design[np.arange(len(i)), j] = 1
    residuals = []
    for matrix in (k, m):
        values = matrix[rows][:, rows][i, j]
        residuals.append(values - design @ np.linalg.lstsq(design, values, rcond=None)[0])
    a, b = residuals
    return a @ b / np.sqrt((a @ a) * (b @ b))


def test_resampled_cka_equals_the_sample_written_out_without_pairs_of_copies():
    x = features()
    k, ms = gram(x), torch.stack([gram(x + features(seed=s)) for s in (1, 2)])
    weights = torch.randint(0, 4, (12, 14), generator=torch.Generator().manual_seed(0)).double()
    weights[-1] = torch.tensor([7.0, 3, 2, 1, 1] + [0] * 9)  # one stimulus is exactly half of the sample
    weights[-2] = torch.tensor([9.0, 3, 2, 1, 1] + [0] * 9)  # and more than half
    ours = resampled_cka(k, ms, weights)
    for b in range(len(weights)):
        for s in range(2):
            np.testing.assert_allclose(
                ours[b, s], expanded_cka(k.numpy(), ms[s].numpy(), weights[b].numpy()), atol=1e-12
            )


def test_resampled_cka_of_a_subset_is_cka_of_the_subset():
    k, m = gram(features()), gram(features(seed=1))
    some = torch.tensor([0, 2, 3, 7, 8, 9, 13])
    weights = torch.zeros(2, 14)
    weights[0, some], weights[1] = 1, 5
    ours = resampled_cka(k, m[None], weights)[:, 0]
    np.testing.assert_allclose(ours[0], cka(k[some][:, some], m[some][:, some]), atol=1e-13)
    np.testing.assert_allclose(ours[1], cka(k, m), atol=1e-13)


def test_resampled_cka_does_not_care_for_a_large_mean():
    k, m = gram(features()), gram(features(seed=1))
    weights = torch.randint(0, 3, (5, 14), generator=torch.Generator().manual_seed(0)).double()
    far = gram(features() + 1e4)  # whose own entries, near 3e9, are rounded to 5e-7
    np.testing.assert_allclose(resampled_cka(far, m[None], weights), resampled_cka(k, m[None], weights), atol=1e-6)


def test_samples_of_fewer_than_four_stimuli_are_nan():
    weights = torch.zeros(7, 14)
    weights[0, :4], weights[1, :3], weights[2, 0], weights[2, 1], weights[3, 5] = 2, 2, 9, 5, 14
    weights[4, 3:5] = 7
    weights[5, 3], weights[5, 4] = 5, 8  # rounding alone would give 1.36 or the like
    ours = resampled_cka(gram(features()), gram(features(seed=1))[None], weights)
    assert torch.isnan(ours[:, 0]).tolist() == [False] + 6 * [True]


def test_replicates_of_noise_centre_on_zero_and_copies_would_lift_them():
    """Each pair of copies is a pair at distance 0 on both sides: counted, they would make noise agree."""
    n = 40
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), 100)
    weights = torch.as_tensor(counts, dtype=torch.float64)
    means, naive = [], []
    for seed in range(10):
        k, m = gram(features(n, 300, seed)), gram(features(n, 300, seed + 99))
        means.append(float(resampled_cka(k, m[None], weights).mean()))
        rows = torch.as_tensor(np.repeat(np.arange(n), counts[0]))
        naive.append(float(cka(k[rows][:, rows], m[rows][:, rows])))
    assert abs(np.mean(means)) < 3 * np.std(means) / math.sqrt(10) < 0.05
    assert np.mean(naive) > 0.5


def test_replicates_of_signal_centre_on_the_estimate():
    x = features(60, 20)
    k, m = gram(x), gram(x + features(60, 20, 1))
    counts = np.random.default_rng(0).multinomial(60, np.full(60, 1 / 60), 2000)
    replicates = resampled_cka(k, m[None], torch.as_tensor(counts, dtype=torch.float64))[:, 0]
    np.testing.assert_allclose(replicates.mean(), cka(k, m), atol=0.01)


# SSM


def test_ssm_is_spearman_over_the_strictly_upper_triangle_and_paper_over_everything():
    x, y = rsm(features()), rsm(features(seed=1) + features())
    i, j = np.triu_indices(14, 1)
    np.testing.assert_allclose(ssm(x, y), scipy.stats.spearmanr(x[i, j], y[i, j])[0], atol=1e-14)
    np.testing.assert_allclose(ssm(x, y, paper=True), scipy.stats.spearmanr(x.flatten(), y.flatten())[0], atol=1e-14)
    np.testing.assert_allclose(ssm(1 - x, 1 - y), ssm(x, y), atol=1e-14)
    np.testing.assert_allclose(
        ssm(rsm(features()), rsatoolbox_rsm(features(seed=1) + features())), ssm(x, y), atol=1e-14
    )


def rsatoolbox_rsm(x):
    rdms = rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(x.numpy()), method="correlation")
    return 1 - torch.as_tensor(rdms.get_matrices()[0])


def test_the_diagonal_lifts_independent_data_by_three_over_n():
    """METHODS 2.6: n = 118: .0254, and about 0 without the diagonal."""
    xs = torch.stack([rsm(features(118, 300, s)) for s in range(10)])
    ys = torch.stack([rsm(features(118, 300, s + 50)) for s in range(10)])
    assert abs(float(ssm(xs, ys, paper=True).mean()) - 3 / 118) < 0.003
    assert abs(float(ssm(xs, ys).mean())) < 0.003


def test_ssm_ignores_unit_order_and_each_stimulus_scale_and_offset_but_not_rotation():
    x = features(60, 10) + 0.8
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    scale = torch.rand(60, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5
    np.testing.assert_allclose(ssm(rsm(x), rsm(x[:, order] * scale + 3 * scale)), 1, atol=1e-12)
    np.testing.assert_allclose(ssm(rsm(x), torch.exp(2 * rsm(x))), 1, atol=1e-12)
    away = features(118, 10) + 0.8  # mean 1.5; METHODS 2.6 gives .57 for one draw
    turned = torch.stack([ssm(rsm(away), rsm(away @ rotation(10, s))) for s in range(10)])
    assert turned.min() > 0.5 and turned.max() < 0.75
    ones = torch.full((10, 1), 1 / math.sqrt(10), dtype=torch.float64)
    rest = torch.linalg.qr(torch.cat([ones, features(10, 9, 5)], dim=1))[0]
    fixes_ones = rest @ torch.block_diag(torch.ones(1, 1, dtype=torch.float64), rotation(9)) @ rest.T
    np.testing.assert_allclose(ssm(rsm(x), rsm(x @ fixes_ones)), 1, atol=1e-12)


def test_a_stimulus_without_variance_is_nan():
    x = features()
    x[3] = 2.0
    assert torch.isnan(ssm(rsm(x), rsm(features(seed=1)))) and torch.isnan(ssm(rsm(x), rsm(x), paper=True))


@pytest.mark.parametrize("measure", [cka, cka_biased, ssm])
def test_shuffling_both_sides_alike_is_no_null(measure):
    """METHODS section 20, trap 19: the same order on both sides changes nothing; one side must be shuffled alone."""
    x = features(60, 200)
    k, m = rsm(x), rsm(x + 0.5 * features(60, 200, 1))
    base = measure(k, m)
    orders = [torch.randperm(60, generator=torch.Generator().manual_seed(s)) for s in range(50)]
    for order in orders[:3]:
        np.testing.assert_allclose(measure(k[order][:, order], m[order][:, order]), base, atol=1e-12)
    null = torch.stack([measure(k[order][:, order], m) for order in orders])
    assert base > null.max() + 0.1
    if measure is not cka_biased:
        assert abs(float(null.mean())) < 0.01


def related(n, seed=0):
    """Gram matrices of two systems that share a part."""
    x = features(n, 6, seed)
    return gram(x), gram(x[:, :3] @ features(3, 8, seed + 1) + 2 * features(n, 8, seed + 2))


def test_influence_on_cka_is_its_derivative_by_the_weight_of_each_stimulus():
    x, y = related(12)
    moved = pair_influence(x, y[None], u_centred)[0]
    torch.testing.assert_close(moved, moved.T)
    step = 1e-5
    up, down = (
        resampled_cka(x, y[None], torch.ones(12, 12) + s * torch.eye(12, dtype=torch.float64)) for s in (step, -step)
    )
    np.testing.assert_allclose((up - down)[:, 0] / (2 * step), 2 * moved.sum(dim=1), atol=1e-7)


@pytest.mark.parametrize(
    "measure, centring", [(whitened_cosine, double_centred), (whitened_pearson, around_mean), (cka, u_centred)]
)
def test_influences_are_those_of_leaving_stimuli_out(measure, centring):
    """(n - 1) (θ - θ without i) is twice the row's sum, up to 1/n."""
    n = 150
    x, y = related(n)
    if centring is not u_centred:
        x, y = (g.diagonal()[:, None] + g.diagonal() - 2 * g for g in (x, y))
    moved = 2 * n * pair_influence(x, y[None], centring)[0].sum(dim=1)
    every = torch.arange(n)
    without = torch.stack([measure(x[every != i][:, every != i], y[every != i][:, every != i]) for i in every])
    left = (n - 1) * (measure(x, y) - without)
    left = left - left.mean()
    assert float(torch.corrcoef(torch.stack([moved, left]))[0, 1]) > 0.999
    assert float(moved.std() / left.std()) == pytest.approx(1, abs=0.05)


def test_ssm_is_one_for_any_rising_function_of_the_similarities():
    """Ranks are all it sees."""
    a = rsm(features())
    assert float(ssm(a, torch.exp(3 * a))) == pytest.approx(1, abs=1e-12)
    assert float(ssm(a, -a)) == pytest.approx(-1, abs=1e-12)
