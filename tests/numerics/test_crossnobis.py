import itertools
import math

import numpy as np
import pytest
import rsatoolbox
import scipy.linalg
import sklearn.covariance
import torch

from brainbench.errors import InputError
from brainbench.numerics.alignment import cka
from brainbench.numerics.crossnobis import (
    crossnobis,
    fold_precisions,
    noise_covariance,
    resampled_whitened,
    whitened_cosine,
    whitened_pearson,
)
from brainbench.numerics.rdm import upper


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def recording(n=7, r=4, v=9, seed=0):
    return normal(n, 1, v, seed=seed) + normal(n, r, v, seed=seed + 1) + 5


def precision(v=9):
    return torch.linalg.inv(torch.cov(normal(v, 60, seed=3)))


def theirs(values, noise):
    n, r, v = values.shape
    data = rsatoolbox.data.Dataset(
        values.reshape(n * r, v).numpy(),
        obs_descriptors={"stimulus": np.repeat(np.arange(float(n)), r), "run": np.tile(np.arange(float(r)), n)},
    )
    rdms = rsatoolbox.rdm.calc_rdm(data, "crossnobis", descriptor="stimulus", cv_descriptor="run", noise=noise)
    return rdms.get_matrices()[0]


@pytest.mark.parametrize("whitened", [False, True])
def test_crossnobis_equals_rsatoolbox(whitened):
    """rsatoolbox 0.3.2, which leaves one repetition out in turn."""
    values, p = recording(), precision() if whitened else None
    ours = crossnobis(values, precision=p)
    np.testing.assert_allclose(ours, theirs(values, p.numpy() if whitened else None), atol=1e-12)
    repeated = None if p is None else p.expand(4, 9, 9)
    np.testing.assert_allclose(crossnobis(values, precision=repeated), ours, atol=1e-12)


def spelled_out(values, precisions):
    n, r, v = values.shape
    out = np.full((n, n), np.nan)
    for i, j in itertools.product(range(n), range(n)):
        difference = (values[i] - values[j]).numpy()
        shared = [s for s in range(r) if np.isfinite(difference[s]).all()]
        folds = [(a, b) for a, b in itertools.permutations(shared, 2)]
        if folds:
            out[i, j] = np.mean([difference[a] @ precisions[a].numpy() @ difference[b] for a, b in folds]) / v
    np.fill_diagonal(out, 0)
    return out


def test_missing_presentations_leave_the_repetitions_that_both_stimuli_have():
    values = recording(n=9, r=5)
    gone = torch.rand(9, 5, generator=torch.Generator().manual_seed(1)) < 0.4
    values[gone] = torch.nan
    values[0, 1:] = torch.nan  # one repetition: no distance to anything
    values[1, 2, 4] = torch.nan  # one neuroid: the presentation is missing
    precisions = torch.stack([precision() * (s + 1) for s in range(5)])
    ours = crossnobis(values, precision=precisions)
    np.testing.assert_allclose(ours, spelled_out(values, precisions), atol=1e-12)
    assert torch.isnan(ours[0, 1:]).all() and torch.isfinite(upper(ours)).any()
    np.testing.assert_allclose(ours, ours.T, atol=1e-12)


def test_distances_of_noise_are_zero_on_average_and_of_signal_the_truth():
    """Plain squared distances of the means are 2 σ² / r too long."""
    truth = normal(6, 12, seed=5)
    exact = upper(torch.cdist(truth, truth).square() / 12)
    noise, signal, plain = [], [], []
    for seed in range(300):
        values = 2 * normal(6, 3, 12, seed=seed + 100)
        noise.append(upper(crossnobis(values)))
        signal.append(upper(crossnobis(values + truth[:, None])))
        plain.append(upper(torch.cdist(values.mean(dim=1), values.mean(dim=1)).square() / 12))
    for draws, expected in ((noise, 0.0), (signal, exact)):
        draws = torch.stack(draws)
        assert ((draws.mean(dim=0) - expected).abs() < 4 * draws.std(dim=0) / math.sqrt(300)).all()
    assert (torch.stack(noise) < 0).any()  # signs are kept
    np.testing.assert_allclose(torch.stack(plain).mean(), 2 * 4 / 3, rtol=0.03)


def test_an_offset_or_noise_that_a_repetition_gives_all_stimuli_cancels():
    values = recording()
    shifted = values + 10 * normal(1, 4, 9, seed=8)
    np.testing.assert_allclose(crossnobis(shifted), crossnobis(values), atol=1e-10)


def test_noise_covariance_is_ledoit_wolf_of_independent_contrasts():
    values = recording(n=8, r=3)
    values[0, 1:], values[1, 1] = torch.nan, torch.nan
    contrasts = [scipy.linalg.helmert(2) @ values[1, [0, 2]].numpy()]
    contrasts = np.concatenate(contrasts + [scipy.linalg.helmert(3) @ values[i].numpy() for i in range(2, 8)])
    scale = np.sqrt((contrasts**2).mean(axis=0))
    shrunk = sklearn.covariance.ledoit_wolf(contrasts / scale, assume_centered=True)[0]
    np.testing.assert_allclose(noise_covariance(values), shrunk * np.outer(scale, scale), atol=1e-12)
    with pytest.raises(InputError, match="two repetitions"):
        noise_covariance(values[:1])
    values[..., 3] = 1.0
    with pytest.raises(InputError, match="1 neuroids never vary"):
        noise_covariance(values)


def test_two_repetitions_are_one_sample_of_noise_and_shrunk_as_such():
    """Residuals from the mean of two are one number and its opposite: as two samples they seemed twice as sure."""
    correlated = torch.linalg.cholesky(0.5 ** (torch.arange(40)[:, None] - torch.arange(40)).abs().double())
    noise = normal(30, 2, 40) @ correlated.T
    found = noise_covariance(noise)
    one_each = (noise[:, 0] - noise[:, 1]).numpy() / np.sqrt(2)
    sure = sklearn.covariance.ledoit_wolf(one_each / one_each.std(axis=0), assume_centered=True)[1]
    raw = torch.as_tensor(one_each.T @ one_each / 30)
    off = ~torch.eye(40, dtype=bool)
    np.testing.assert_allclose((found[off] / raw[off]).median(), 1 - sure, atol=0.02)


def test_noise_covariance_is_as_large_as_the_noise():
    values = 3 * normal(2000, 2, 4) + normal(2000, 1, 4, seed=1)
    np.testing.assert_allclose(noise_covariance(values), 9 * np.eye(4), atol=0.6)


def correlated_noise(n, r, v, seed):
    return normal(n, r, v, seed=seed) * torch.linspace(0.2, 3, v, dtype=torch.float64)


def test_precisions_that_know_the_noise_lengthen_it_and_those_of_other_repetitions_do_not():
    folded, knowing = [], []
    for seed in range(150):
        values = correlated_noise(8, 4, 20, seed + 500)
        folded.append(upper(crossnobis(values, precision=fold_precisions(values))).mean())
        knowing.append(upper(crossnobis(values, precision=torch.linalg.inv(noise_covariance(values)))).mean())
    folded, knowing = torch.stack(folded), torch.stack(knowing)
    assert folded.mean().abs() < 3 * folded.std() / math.sqrt(150)
    assert knowing.mean() > 6 * knowing.std() / math.sqrt(150)  # 7.7; what is shrunk more knows less


def test_fold_precisions_leave_their_repetition_out():
    values = recording()
    expected = torch.linalg.inv(noise_covariance(values[:, [0, 2, 3]]))
    np.testing.assert_allclose(fold_precisions(values)[1], expected, atol=1e-12)
    with pytest.raises(InputError, match="two repetitions"):
        fold_precisions(values[:, :2])
    with pytest.raises(InputError, match="3 precisions for 4"):
        crossnobis(values, precision=torch.stack([precision()] * 3))


def test_whitening_neuroids_finds_the_quiet_one():
    """A difference in one quiet neuroid, drowned in a loud one unless noise is weighed."""
    values = normal(10, 8, 2) * torch.tensor([0.1, 30.0], dtype=torch.float64)
    values[5:, :, 0] += 1
    groups = upper(((torch.arange(10)[:, None] < 5) != (torch.arange(10)[None] < 5)).double())
    plain = np.corrcoef(upper(crossnobis(values)), groups)[0, 1]
    weighed = np.corrcoef(upper(crossnobis(values, precision=fold_precisions(values))), groups)[0, 1]
    assert plain < 0.3 and weighed > 0.95


def test_whitened_distances_do_not_care_for_the_units_of_neuroids():
    values = recording()
    scale = torch.logspace(-3, 3, 9, dtype=torch.float64)
    ours = crossnobis(values * scale, precision=fold_precisions(values * scale))
    np.testing.assert_allclose(ours, crossnobis(values, precision=fold_precisions(values)), atol=1e-10)


def test_crossnobis_distances_feed_cka_without_the_noise_that_stimuli_of_one_repetition_share():
    """-1/2 crossnobis stands in for the Gram matrix: of drifts within repetitions and no signal, nothing is left."""
    drift = normal(30, 3, seed=1)
    ours, means = [], []
    for seed in range(40):
        values = torch.einsum("nk,krv->nrv", drift, normal(3, 4, 50, seed=seed + 10)) + normal(
            30, 4, 50, seed=seed + 90
        )
        ours.append(cka(-crossnobis(values) / 2, drift @ drift.T))
        means.append(cka(values.mean(dim=1) @ values.mean(dim=1).T, drift @ drift.T))
    ours, means = torch.stack(ours), torch.stack(means)
    assert ours.mean().abs() < 3 * ours.std() / math.sqrt(40)
    assert means.min() > 0.8


# whitened comparisons


def rdms(n=8, count=3, seed=0):
    return torch.stack([torch.cdist(x, x).square() for x in normal(count, n, 5, seed=seed)])


def rsatoolbox_compare(x, y, method):
    return rsatoolbox.rdm.compare(upper(x).numpy(), upper(y).numpy(), method=method)


@pytest.mark.parametrize("ours, method", [(whitened_cosine, "cosine_cov"), (whitened_pearson, "corr_cov")])
def test_whitened_comparisons_equal_rsatoolbox(ours, method):
    """rsatoolbox 0.3.2, also for distances below 0; n = 120 is where it turns to sparse matrices."""
    for n in (8, 120):
        x, y = rdms(n), rdms(n, seed=1)
        noise = normal(3, n, n, seed=4)
        y = y - 3 + (noise + noise.mT)
        y = y * (1 - torch.eye(n, dtype=torch.float64))
        np.testing.assert_allclose(ours(x, y), rsatoolbox_compare(x, y, method), atol=1e-10)


@pytest.mark.parametrize("ours, centred", [(whitened_cosine, False), (whitened_pearson, True)])
def test_whitened_comparisons_equal_the_inverse_covariance(ours, centred):
    """V = (C Cᵀ)², C the contrasts of pairs: the covariance of squared distances of independent noise."""
    n = 6
    i, j = np.triu_indices(n, 1)
    contrasts = np.eye(n)[i] - np.eye(n)[j]
    inverse = np.linalg.inv((contrasts @ contrasts.T) ** 2)
    x, y = rdms(n, 1)[0], rdms(n, 1, seed=1)[0]
    a, b = (upper(d).numpy() - centred * float(upper(d).mean()) for d in (x, y))
    expected = a @ inverse @ b / np.sqrt((a @ inverse @ a) * (b @ inverse @ b))
    np.testing.assert_allclose(ours(x, y), expected, atol=1e-12)


def test_whitened_pearson_ignores_a_constant_and_whitened_cosine_does_not():
    x, y = rdms(count=1)[0], rdms(count=1, seed=1)[0]
    more = y + 4 * (1 - torch.eye(8, dtype=torch.float64))
    np.testing.assert_allclose(whitened_pearson(x, more), whitened_pearson(x, y), atol=1e-12)
    assert abs(float(whitened_cosine(x, more) - whitened_cosine(x, y))) > 0.01
    for measure in (whitened_pearson, whitened_cosine):
        np.testing.assert_allclose(measure(x, 3 * x), 1, atol=1e-12)


def test_rdms_without_variance_or_with_gaps_are_nan():
    flat = 1.7 * (1 - torch.eye(8, dtype=torch.float64))
    gap = rdms(count=1)[0]
    gap[2, 3] = gap[3, 2] = torch.nan
    assert torch.isnan(whitened_pearson(flat, rdms())).all() and torch.isfinite(whitened_cosine(flat, rdms())).all()
    assert torch.isnan(whitened_cosine(torch.zeros(8, 8, dtype=torch.float64), rdms())).all()
    assert torch.isnan(whitened_cosine(gap, rdms())).all()


# resamples


def distances(n=14, p=8, seed=0):
    x = normal(n, p, seed=seed)
    return torch.cdist(x, x).square().fill_diagonal_(0)


def expanded(x, y, weights):
    """Brute force: rows repeated, pairs of copies struck out, the rest and the diagonal regressed on a_i + a_j."""
    rows = np.repeat(np.arange(len(x)), weights.astype(int))
    i, j = (axis.ravel() for axis in np.indices((len(rows), len(rows))))
    different = rows[i] != rows[j]
    i, j, different = (values[different | (i == j)] for values in (i, j, different))
    design = np.zeros((len(i), len(rows)))
    design[np.arange(len(i)), i] += 1
    design[np.arange(len(i)), j] += 1
    residuals = []
    for rdm in (x, y):
        values = rdm[rows][:, rows][i, j]
        values[different] -= values[different].mean()
        residuals.append(values - design @ np.linalg.lstsq(design, values, rcond=None)[0])
    a, b = residuals
    return a @ b / np.sqrt((a @ a) * (b @ b))


def test_resampled_whitened_equals_the_sample_written_out_without_pairs_of_copies():
    x = distances()
    ys = torch.stack([distances(seed=1), x + 0.5 * distances(p=3, seed=2)])
    weights = torch.randint(0, 4, (12, 14), generator=torch.Generator().manual_seed(0)).double()
    weights[-1] = torch.tensor([8.0, 3, 1, 1, 1] + [0] * 9)  # of which one stimulus has no equation of its own
    weights[-2] = torch.tensor([9.0, 3, 2, 1, 1] + [0] * 9)
    ours = resampled_whitened(x, ys, weights)
    for b in range(len(weights)):
        for s in range(2):
            wanted = expanded(x.numpy(), ys[s].numpy(), weights[b].numpy())
            np.testing.assert_allclose(ours[b, s], wanted, atol=1e-12)


def test_resampled_whitened_of_a_subset_is_the_comparison_of_the_subset():
    x, ys = distances(), torch.stack([distances(seed=1), distances(seed=2)])
    some = torch.tensor([0, 2, 3, 7, 8, 9, 13])
    weights = torch.zeros(2, 14)
    weights[0, some], weights[1] = 1, 1
    ours = resampled_whitened(x, ys, weights)
    np.testing.assert_allclose(ours[0], whitened_pearson(x[some][:, some], ys[:, some][:, :, some]), atol=1e-13)
    np.testing.assert_allclose(ours[1], whitened_pearson(x, ys), atol=1e-13)
    far = resampled_whitened(1e-3 * x + 1e3 * (1 - torch.eye(14)), ys, weights)  # a constant, and a scale
    np.testing.assert_allclose(far, ours, atol=1e-6)


def test_samples_and_rdms_of_which_nothing_is_left_are_nan():
    weights = torch.zeros(3, 14)
    weights[0, 0], weights[1, :2], weights[2, :3] = 14, 7, 5
    gaps = distances(seed=1)
    gaps[12, 13] = gaps[13, 12] = torch.nan
    rounded = 0.6 * (1 - torch.eye(14, dtype=torch.float64))
    rounded[2, 5] = rounded[5, 2] = 0.6 + 1e-16
    ys = torch.stack([distances(seed=1), gaps, 1 - torch.eye(14, dtype=torch.float64), rounded])
    ours = resampled_whitened(distances(), ys, torch.cat([weights, torch.ones(1, 14)]))
    assert ours.isfinite().tolist() == [[n > 1, False, False, False] for n in range(4)]
    assert ours[3].isnan().tolist() == whitened_pearson(distances(), ys).isnan().tolist()


def test_replicates_are_centred_on_the_score_of_noise_and_of_signal():
    """A sample's copies lift what counts the diagonal; a correlation of distances does not."""
    n = 60
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), 300)
    found = []
    for seed in range(20):
        x, noise = distances(n, 200, seed), distances(n, 200, seed + 50)
        ys = torch.stack([noise, x + 0.3 * noise])
        drawn = resampled_whitened(x, ys, torch.as_tensor(counts).double())
        found.append((drawn.mean(dim=0) - whitened_pearson(x, ys)).tolist())
    shift = np.asarray(found)
    assert (abs(shift.mean(axis=0)) < 4 * shift.std(axis=0) / np.sqrt(20) + 0.003).all()
