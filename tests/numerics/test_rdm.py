import numpy as np
import pytest
import rsatoolbox
import scipy.stats
import torch

from brainbench.errors import UsageError
from brainbench.numerics import rdm
from brainbench.numerics.ceilings import leave_one_out
from brainbench.numerics.rdm import compare, pooled, upper
from brainbench.numerics.representation import Representation

RSATOOLBOX = {"spearman": "spearman", "pearson": "corr", "cosine": "cosine", "kendall": "tau-a"}


def features(n=14, p=30, seed=0):
    return torch.randn(n, p, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 0.7


def representation(x):
    return Representation.from_features(x, [str(i) for i in range(len(x))])


def theirs(x):
    return rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(x.numpy()), method="correlation")


def test_rdms_equal_rsatoolbox():
    """rsatoolbox 0.3.2; its euclidean is the square over the number of channels."""
    x = features()
    np.testing.assert_allclose(upper(representation(x).rdm("correlation")), theirs(x).dissimilarities[0], atol=1e-13)
    squared = rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(x.numpy()), method="euclidean").dissimilarities[0]
    np.testing.assert_allclose(upper(representation(x).rdm("euclidean")) ** 2 / 30, squared, atol=1e-12)


@pytest.mark.parametrize("how", RSATOOLBOX)
def test_comparisons_equal_rsatoolbox(how):
    x, ys = features(), [features(seed=s) for s in (1, 2)]
    y = torch.stack([upper(representation(f).rdm("correlation")) for f in ys], dim=1)
    ours = compare(upper(representation(x).rdm("correlation")), y, how)
    expected = [rsatoolbox.rdm.compare(theirs(x), theirs(f), method=RSATOOLBOX[how])[0, 0] for f in ys]
    np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_spearman_is_of_the_upper_triangle_without_the_diagonal():
    x, y = representation(features()).rdm("correlation"), representation(features(seed=1)).rdm("correlation")
    i, j = np.triu_indices(14, 1)
    expected = scipy.stats.spearmanr(x[i, j], y[i, j])[0]
    np.testing.assert_allclose(compare(upper(x), upper(y)[:, None], "spearman")[0], expected, atol=1e-14)


def test_correlation_rdm_ignores_scale_and_offset_of_each_stimulus_but_not_rotation():
    x = features() + 1.5
    base = representation(x).rdm("correlation")
    scale = torch.rand(14, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(representation(x[:, order] * scale + scale).rdm("correlation"), base, atol=1e-12)
    rotation = torch.linalg.qr(features(30, 30, seed=9))[0]
    assert (representation(x @ rotation).rdm("correlation") - base).abs().max() > 0.01


def test_a_stimulus_without_variance_over_units_is_nan():
    x = features()
    x[3] = 2.0
    rdm = representation(x).rdm("correlation")
    assert torch.isnan(rdm[3, :3]).all() and torch.isfinite(rdm[0, :3]).all()
    assert torch.isnan(compare(upper(rdm), upper(rdm)[:, None], "spearman")).all()


def test_unknown_names_are_usage_errors():
    with pytest.raises(UsageError, match="tau"):
        compare(torch.rand(3), torch.rand(3, 1), "tau")
    with pytest.raises(UsageError, match="mahalanobis"):
        representation(features()).rdm("mahalanobis")


@pytest.mark.filterwarnings("ignore:Noise ceiling for tau")
@pytest.mark.parametrize("how", RSATOOLBOX)
def test_noise_ceiling_equals_rsatoolbox(how):
    """rsatoolbox 0.3.2: `boot_noise_ceiling` leaves one subject out for the lower bound and none for the upper."""
    shared = features(seed=3)
    subjects = [shared + 1.5 * features(seed=s) for s in range(4, 9)]
    rdms = torch.stack([upper(representation(f).rdm("correlation")) for f in subjects], dim=1)
    lower, above = leave_one_out(rdms, how)
    stacked = rsatoolbox.rdm.concat([theirs(f) for f in subjects])
    low, high = rsatoolbox.inference.boot_noise_ceiling(stacked, method=RSATOOLBOX[how])
    np.testing.assert_allclose(lower.mean(), low, atol=1e-10)
    np.testing.assert_allclose(above.mean(), high, atol=1e-10)


def test_the_upper_bound_pools_as_the_comparison_does():
    """A subject with huge distances would own a raw mean; pooled ranks stay the best rank predictor."""
    rdms = torch.rand(45, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rdms[:, 0] *= 1000
    raw_mean = compare(rdms.mean(dim=1), rdms, "spearman").mean()
    assert compare(pooled(rdms, "spearman"), rdms, "spearman").mean() > raw_mean


def test_one_subject_has_no_ceiling():
    lower, above = leave_one_out(torch.rand(10, 1, dtype=torch.float64), "spearman")
    assert torch.isnan(lower).all() and torch.isnan(above).all()


def test_kendall_takes_pairs_of_pairs_a_few_rows_at_a_time(monkeypatch):
    from scipy.stats import kendalltau

    from brainbench.numerics.rdm_resampling import influence

    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(66, generator=generator), torch.randn(66, 2, generator=generator)
    whole = influence(x, y, "kendall")
    monkeypatch.setattr(rdm, "CONCORDANCES", 66 * 7)
    blocks = [rows for rows, _ in rdm.concordances(x, y[:, 0])]
    assert len(blocks) == 10
    np.testing.assert_allclose(compare(x, y, "kendall"), [kendalltau(x, c).statistic for c in y.T], atol=1e-12)
    np.testing.assert_allclose(influence(x, y, "kendall"), whole, atol=1e-12)


def test_square_puts_back_what_upper_takes():
    h = torch.arange(98, dtype=torch.float64).reshape(2, 7, 7).triu(1)
    h = h + h.transpose(1, 2)
    assert torch.equal(rdm.square(rdm.upper(h)), h)


def test_tau_is_undefined_where_all_that_was_drawn_is_alike():
    x, y = torch.tensor([1, 1, 2, 3]).double(), torch.tensor([[1, 2, 3, 4]]).double().T
    drawn = torch.tensor([[2, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]]).double()
    assert rdm.tau_a(x, y, drawn)[:, 0].isnan().tolist() == [True, False, True]
