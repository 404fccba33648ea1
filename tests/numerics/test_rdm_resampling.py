import warnings

import numpy as np
import pytest
import rsatoolbox
import torch

from brainbench.errors import UsageError
from brainbench.numerics import rdm_resampling
from brainbench.numerics.rdm import COMPARISONS, compare, upper
from brainbench.numerics.rdm_resampling import influence, resampled, spread_over_folds, spread_ratio
from brainbench.numerics.representation import Representation

RSATOOLBOX = {"spearman": "spearman", "pearson": "corr", "cosine": "cosine", "kendall": "tau-a"}
N = 14


def rdms(count, seed, *, ties=False):
    """Correlation RDMs (count, N, N) that share a part; rounded where they are to tie."""
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(N, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    features = shared + torch.randn(count, N, 30, dtype=torch.float64, generator=generator)
    ids = [str(i) for i in range(N)]
    out = torch.stack([Representation.from_features(x, ids).rdm("correlation") for x in features])
    return (8 * out).round() / 8 if ties else out


def draws(count=6, seed=0):
    """Sorted, because RDMs are symmetric but for their last bit, which would break ties between copies."""
    return torch.randint(0, N, (count, N), generator=torch.Generator().manual_seed(seed)).sort(dim=1).values


def multiplicities(drawn, dtype=torch.float64):
    return torch.stack([torch.bincount(row, minlength=N) for row in drawn]).to(dtype)


def square(condensed):
    """(q, s) -> (s, N, N), symmetric, 0 on the diagonal."""
    out = torch.zeros(condensed.shape[1], N, N, dtype=condensed.dtype)
    i, j = torch.triu_indices(N, N, offset=1)
    out[:, i, j] = condensed.T
    return out + out.transpose(1, 2)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("how", COMPARISONS)
def test_multiplicities_equal_an_rdm_with_repeated_stimuli(how, ties):
    """A resample's copies of one stimulus are at distance 0 from each other; those pairs do not count."""
    x, y, drawn = rdms(2, 1, ties=ties), rdms(3, 2, ties=ties), draws()
    ours = resampled(x, y, multiplicities(drawn), how)
    assert ours.shape == (6, 2, 3)
    for b, rows in enumerate(drawn):
        different = upper((rows[:, None] != rows[None]).double()).bool()
        xs, ys = (upper(v[:, rows][:, :, rows])[:, different] for v in (x, y))
        for layer in range(2):
            np.testing.assert_allclose(ours[b, layer], compare(xs[layer], ys.T, how), atol=1e-12)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
@pytest.mark.parametrize("how", RSATOOLBOX)
def test_replicates_equal_those_of_rsatoolbox(how, dtype, atol):
    """rsatoolbox 0.3.2 scores the same draws. It marks pairs of copies as NaN and leaves them out."""
    x, y, drawn = rdms(2, 1), rdms(3, 2), draws()
    ours = resampled(x, y, multiplicities(drawn, dtype), how)
    models, brains = rsatoolbox.rdm.RDMs(x.numpy()), rsatoolbox.rdm.RDMs(y.numpy())
    for b, rows in enumerate(drawn.numpy()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            a, c = (rdm.subsample_pattern("index", rows) for rdm in (models, brains))
            expected = rsatoolbox.rdm.compare(a, c, method=RSATOOLBOX[how])
        np.testing.assert_allclose(ours[b], expected, atol=atol)


@pytest.mark.parametrize("how", COMPARISONS)
def test_the_size_of_blocks_changes_nothing(how, monkeypatch):
    x, y, weights = rdms(2, 1), rdms(3, 2), multiplicities(draws(20))
    whole = resampled(x, y, weights, how)
    for name, value in (("PAIRS", 7), ("SAMPLES", 3), ("RANKS", 200)):
        monkeypatch.setattr(rdm_resampling, name, value)
    np.testing.assert_allclose(resampled(x, y, weights, how), whole, atol=1e-13)


@pytest.mark.parametrize("how", COMPARISONS)
def test_an_rdm_with_a_gap_is_nan_and_no_other(how):
    x, y, weights = rdms(2, 1), rdms(3, 2), multiplicities(draws())
    expected = resampled(x, y, weights, how)
    x[1, 2, 3] = y[0, 4, 5] = torch.nan
    got = resampled(x, y, weights, how)
    assert got[:, 1].isnan().all() and got[:, :, 0].isnan().all()
    np.testing.assert_array_equal(got[:, 0, 1:], expected[:, 0, 1:])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("how", ["spearman", "pearson"])
def test_a_sample_in_which_a_side_is_constant_is_nan(how, dtype):
    x, y = rdms(1, 1), rdms(2, 2)
    y[0, :9, :9] = 0.3
    weights = torch.zeros(23, N, dtype=dtype)
    weights[:20, :9] = torch.randint(1, 5, (20, 9), generator=torch.Generator().manual_seed(0)).to(dtype)  # pairs at .3
    weights[20, 3] = N  # one stimulus: no pairs
    weights[21:] = 1
    expected = [[True, False]] * 20 + [[True, True]] + [[False, False]] * 2
    assert resampled(x, y, weights, how).isnan()[:, 0].tolist() == expected
    assert resampled(y, x, weights, how).isnan()[:, :, 0].tolist() == expected


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("how", COMPARISONS)
def test_influence_is_the_derivative_by_the_weight_of_each_stimulus(how, ties):
    """A stimulus weighs in by its pairs. tau-a divides by pairs of different pairs, so there it is off by 1 / q."""
    x, y = rdms(1, 1, ties=ties), rdms(3, 2, ties=ties)
    step = 1e-4 * torch.eye(N, dtype=torch.float64)
    measured = (resampled(x, y, 1 + step, how) - resampled(x, y, 1 - step, how))[:, 0].T / 2e-4
    condensed = influence(upper(x[0]), upper(y).T, how)
    np.testing.assert_allclose(condensed.mean(dim=0), 0, atol=1e-12)
    expected = square(condensed).sum(dim=2) / len(condensed)
    q = N * (N - 1) / 2
    np.testing.assert_allclose(
        measured, expected, atol=float(expected.abs().max()) * (2 / q if how == "kendall" else 1e-6)
    )


@pytest.mark.parametrize("how", ["spearman", "pearson", "kendall"])
def test_influence_on_what_is_not_defined_is_nan(how):
    y = upper(rdms(3, 2)).T
    y[4, 0], y[:, 2] = torch.nan, 0.3
    assert influence(upper(rdms(1, 1)[0]), y, how).isnan().all(dim=0).tolist() == [True, False, True]


def test_where_stimuli_add_up_replicates_are_right():
    """For pairs g_i + g_j sums of rows are (n - 2) g_i, and squares of pairs sum to (n - 2) Σ g²."""
    n = 50
    g = torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    g -= g.mean()
    pairs = (g[:, None] + g).fill_diagonal_(0)
    np.testing.assert_allclose(spread_ratio(pairs[None], n), (n - 1) ** 2 / (n * (n - 2)), rtol=1e-12)


def test_folds_that_are_too_small_to_tell_leave_replicates_alone():
    assert spread_ratio(noise(1, 2, 3, 0)[0], 3) == 1


def noise(count, subjects, n, seed):
    """Independent pairs, symmetric, 0 on the diagonal."""
    out = torch.randn(count, subjects, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).triu(1)
    return out + out.transpose(2, 3)


def test_where_pairs_are_independent_replicates_vary_three_times_too_much():
    """Of one subject; the floor, which keeps the variance from being below that of the pairs, adds a little."""
    ratios = [spread_ratio(h, 80) for h in noise(100, 1, 80, 0)]
    assert 1 / 3 < np.mean(ratios) < 0.4


@pytest.mark.parametrize("subjects", [1, 4])
def test_the_spread_of_replicates_is_that_of_the_score_once_it_is_scaled(subjects):
    """Means over pairs and subjects of independent noise, under both kinds of multiplicities, as entries have them.

    Scores are resampled as they are (the part that subjects add stays), stimuli are scaled by the ratio.
    """
    rng = np.random.default_rng(0)
    n, b = 40, 400
    stimuli = torch.as_tensor(rng.multinomial(n, np.full(n, 1 / n), b)).double()
    people = rng.multinomial(subjects, np.full(subjects, 1 / subjects), b)
    variances = []
    for h in noise(200, subjects, n, 1):
        counts = (stimuli.sum(dim=1).square() - stimuli.square().sum(dim=1))[:, None]
        columns = (torch.einsum("bi,sij,bj->bs", stimuli, h, stimuli) / counts).numpy()
        centre = columns.mean(axis=0)
        own_mean = h.sum(dim=(1, 2), keepdim=True) / (n * (n - 1)) * (1 - torch.eye(n))
        scaled = centre + (columns - centre) * np.sqrt(spread_ratio(h - own_mean, n))
        variances.append((scaled * people).mean(axis=1).var())
    true = 2 / (n * (n - 1)) / subjects
    assert 0.95 < np.mean(variances) / true < 1.15


def test_the_spread_of_a_jackknife_is_that_of_the_score_once_it_is_scaled():
    """Independent pairs: the jackknife's influences of their mean show twice its variance. The floor adds a fifth."""
    n, shown, ratios = 40, [], []
    for h in noise(200, 1, n, 2)[:, 0]:
        mean = h.sum() / (n * (n - 1))
        without = (h.sum() - 2 * h.sum(dim=1)) / ((n - 1) * (n - 2))
        shown.append(float(((n - 1) * (without.mean() - without)).square().sum()) / n**2)
        ratios.append(spread_ratio((h - mean).fill_diagonal_(0)[None], n, linear=True))
    true = 2 / (n * (n - 1))
    assert np.mean(shown) / true == pytest.approx(2, abs=0.2)
    assert 0.95 < np.mean(np.multiply(shown, ratios)) / true < 1.3


def test_pairs_of_folds_meet_in_the_units_that_are_drawn_together():
    h = noise(2, 3, 6, 3)
    units = [torch.tensor([0, 0, 1, 2, 3, 3]), torch.tensor([3, 2, 4, 4, 1, 5])]
    total = torch.zeros(3, 6, 6, dtype=torch.float64)
    for moved, at in zip(h, units):
        for i in range(6):
            for j in range(6):
                total[:, at[i], at[j]] += moved[:, i, j]
    assert spread_over_folds(list(h), units) == pytest.approx(spread_ratio(total, 4.5))
    h[0, 1, 2, 3] = torch.nan
    assert spread_over_folds(list(h), units) == pytest.approx(spread_ratio(total[[0, 2]], 4.5))


def test_unknown_names_are_usage_errors():
    with pytest.raises(UsageError, match="tau"):
        resampled(rdms(1, 1), rdms(1, 2), torch.ones(1, N), "tau")
    with pytest.raises(UsageError, match="tau"):
        influence(torch.rand(3), torch.rand(3, 1), "tau")
