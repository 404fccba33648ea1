import itertools

import numpy as np
import pytest
import torch

from brainbench.errors import InputError, UsageError
from brainbench.numerics.alignment import cka_biased, double_centred
from brainbench.numerics.feature_strength import (
    dominant_share,
    easy_and_hard,
    factorial,
    variance_explained,
    whitened,
)
from brainbench.numerics.rdm import compare, upper
from brainbench.numerics.representation import Representation


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def gram(x):
    x = x if x.ndim == 2 else x[:, None]
    return x @ x.T


def cka(x, y):
    return float(cka_biased(gram(x), gram(y)))


def rsa(x, y):
    """Pearson correlation of squared Euclidean distances over the upper triangle."""
    condensed = [
        upper(
            Representation.from_features(f.reshape(len(f), -1), [str(i) for i in range(len(f))]).rdm("euclidean") ** 2
        )
        for f in (x, y)
    ]
    return float(compare(condensed[0], condensed[1][:, None], "pearson"))


def coded(factors, *variances):
    return factors * torch.tensor(variances, dtype=torch.float64).sqrt()


@pytest.mark.parametrize("n_factors", [1, 3, 5])
def test_a_full_factorial_is_orthonormal_with_all_products(n_factors):
    f = factorial(n_factors)
    assert f.shape == (2**n_factors, n_factors) and len({tuple(r) for r in f.tolist()}) == len(f)
    subsets = itertools.chain.from_iterable(itertools.combinations(range(n_factors), k) for k in range(n_factors + 1))
    products = torch.stack([f[:, list(s)].prod(dim=1) for s in subsets], dim=1)
    np.testing.assert_allclose(products.T @ products / len(f), np.eye(len(f)), atol=1e-12)


def test_the_generator_gives_each_feature_the_variance_asked_for():
    made = easy_and_hard(easy=0.55, hard=0.05, nuisances=[0.3, 0.1], n_units=20, seed=3)
    assert made.inputs.shape == (32, 5)
    np.testing.assert_array_equal(made.hard, made.inputs[:, 1] * made.inputs[:, 2])
    np.testing.assert_allclose(made.features.mean(dim=0), 0, atol=1e-12)
    values = torch.linalg.eigvalsh(made.features.T @ made.features / 32).flip(0)
    np.testing.assert_allclose(values[:4], [0.55, 0.3, 0.1, 0.05], rtol=1e-10)
    rows = torch.arange(32)
    for feature, variance in ((made.easy, 0.55), (made.hard, 0.05), (made.nuisances[:, 0], 0.3)):
        got = variance_explained(made.features, feature[:, None], train=rows, test=rows)
        assert got == pytest.approx(variance, rel=1e-10)
    both = torch.stack([made.easy, made.hard], dim=1)
    assert variance_explained(made.features, both, train=rows, test=rows) == pytest.approx(0.6, rel=1e-10)
    # hard means hard: no linear function of the inputs has any of it
    assert float((made.inputs.T @ made.hard).abs().max()) == 0


def test_the_generator_depends_on_its_seed_alone_and_no_unit_is_a_feature():
    first, again, other = (easy_and_hard(easy=0.55, hard=0.05, seed=s).features for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    np.testing.assert_allclose(gram(first), gram(other), atol=1e-12)  # the seed turns the axes, nothing else
    assert float(first.var(dim=0).max() / first.var(dim=0).sum()) < 0.5
    with pytest.raises(UsageError, match="3 features"):
        easy_and_hard(easy=1, hard=1, nuisances=[1], n_units=2)
    with pytest.raises(UsageError, match="variances"):
        easy_and_hard(easy=-1, hard=1)
    with pytest.raises(UsageError, match="17 factors"):
        factorial(17)


def test_cka_goes_with_the_square_of_variance():
    """a²/√(a⁴+b⁴) and b²/√(a⁴+b⁴): .995893 and .090536 at 55:5; two equal features against one 1/√2."""
    made = easy_and_hard(easy=55, hard=5)
    assert cka(made.features, made.easy) == pytest.approx(0.995893, abs=5e-7)
    assert cka(made.features, made.hard) == pytest.approx(0.090536, abs=5e-7)
    assert cka(made.features, made.easy) == pytest.approx(55 / (55**2 + 5**2) ** 0.5, rel=1e-12)
    equal = easy_and_hard(easy=1, hard=1)
    assert cka(equal.features, equal.easy) == pytest.approx(2**-0.5, rel=1e-12)


def test_rdms_of_different_factors_are_anticorrelated_in_small_factorials():
    """-1 / (n - 2) for n points: -1/6 for 8."""
    for n_factors in (3, 4, 5):
        f = factorial(n_factors)
        assert rsa(f[:, 0], f[:, 1]) == pytest.approx(-1 / (len(f) - 2), rel=1e-9)
        assert rsa(f[:, 0], f[:, 1] * f[:, 2]) == pytest.approx(-1 / (len(f) - 2), rel=1e-9)


def test_the_canonical_warning_in_rsa():
    """8 stimuli. The mix is .9959 like its easy half and -.077 like its hard one; two systems that share the hard
    feature and differ in a dominant nuisance -.193, though each is .996 like the simple system of its nuisance."""
    made = easy_and_hard(easy=55, hard=5)
    assert rsa(made.features, made.easy) == pytest.approx(0.9959, abs=5e-5)
    assert rsa(made.features, made.hard) == pytest.approx(-0.077, abs=5e-4)
    f = factorial(3)
    first, second = coded(f, 55, 0, 5), coded(f, 0, 55, 5)
    assert rsa(first, second) == pytest.approx(-0.193, abs=5e-4)
    assert rsa(first, f[:, 0]) == pytest.approx(0.996, abs=5e-4)
    assert rsa(second, f[:, 1]) == pytest.approx(0.996, abs=5e-4)


def test_two_systems_with_the_same_hard_feature_are_less_alike_than_either_is_to_a_simple_one():
    first = easy_and_hard(easy=0, hard=5, nuisances=[55, 0], seed=0)
    second = easy_and_hard(easy=0, hard=5, nuisances=[0, 55], seed=1)
    simple = easy_and_hard(easy=0, hard=0, nuisances=[55, 0], seed=2)
    assert cka(first.features, second.features) == pytest.approx(25 / 3050, rel=1e-10)
    assert cka(first.features, simple.features) == pytest.approx(0.995893, abs=5e-7)
    c, v = -1 / 30, 1  # correlation of two factors' RDMs at 32 points, and of one with itself
    expected = (55 * 55 * c + 2 * 55 * 5 * c + 25 * v) / (55**2 + 25 + 2 * 55 * 5 * c)
    assert rsa(first.features, second.features) == pytest.approx(expected, rel=1e-9)
    assert rsa(first.features, simple.features) > 0.99


def test_whitened_cka_counts_shared_dimensions():
    """Shared dimensions / √(d₁ d₂): the strength of a feature has no say."""
    f = factorial(5)
    first, second = coded(f, 55, 5, 1, 0, 0), coded(f, 0, 1, 90, 0.1, 0)
    a, b = (whitened(gram(x @ torch.linalg.qr(randn(5, 5))[0])) for x in (first, second))
    assert float(cka_biased(a, b)) == pytest.approx(2 / 3, rel=1e-9)
    assert float(cka_biased(a, whitened(gram(f[:, 1])))) == pytest.approx(1 / 3**0.5, rel=1e-9)
    np.testing.assert_allclose(whitened(gram(first), rank=1), gram(f[:, 0]), atol=1e-9)
    with pytest.raises(UsageError, match="rank 4 of features of rank 3"):
        whitened(gram(first), rank=4)
    with pytest.raises(UsageError, match="of rank 0"):
        whitened(torch.ones(8, 8, dtype=torch.float64))


def test_whitening_wide_layers_makes_them_all_the_same():
    """The trap: 20 stimuli, 30 units of noise a layer."""
    a, b = whitened(gram(randn(20, 30))), whitened(gram(randn(20, 30, seed=1)))
    np.testing.assert_allclose(a, b, atol=1e-8)


def test_variance_explained_on_held_out_stimuli():
    """Equal to numpy's least squares; noise explains less than nothing on new stimuli, though not on its own."""
    phi, feature = randn(40, 6) + 2, randn(40, 3, seed=1)
    train, test = torch.arange(25), torch.arange(25, 40)
    design = np.column_stack([np.ones(40), feature.numpy()])
    weights = np.linalg.lstsq(design[:25], phi[:25].numpy(), rcond=None)[0]
    left = ((phi[25:].numpy() - design[25:] @ weights) ** 2).sum()
    expected = 1 - left / ((phi[25:] - phi[25:].mean(dim=0)) ** 2).sum()
    assert variance_explained(phi, feature, train=train, test=test) == pytest.approx(float(expected), rel=1e-10)
    assert float(expected) < 0 < variance_explained(phi, feature, train=train, test=train)
    moved = 3 * phi @ torch.linalg.qr(randn(6, 6, seed=5))[0] + 8
    assert variance_explained(moved, feature * 2 - 1, train=train, test=test) == pytest.approx(float(expected))
    assert np.isnan(variance_explained(torch.full((40, 2), 0.3), feature, train=train, test=test))
    with pytest.raises(InputError, match="do not determine"):
        variance_explained(phi, feature * 0, train=train, test=test)
    with pytest.raises(InputError, match="3 training stimuli"):
        variance_explained(phi, feature, train=train[:3], test=test)


def test_dominant_share_closed_form_and_cka_of_a_truncated_layer():
    made = easy_and_hard(easy=55, hard=5, nuisances=[20, 10])
    got = dominant_share(gram(made.features + 100))
    squares = np.array([55.0, 20, 10, 5]) ** 2
    np.testing.assert_allclose(got.cumulative, squares.cumsum() / squares.sum(), rtol=1e-8)
    assert got.n_components == 2
    x = randn(30, 12) * 0.7 ** torch.arange(12)
    u, s, v = torch.linalg.svd(x - x.mean(dim=0), full_matrices=False)
    share = dominant_share(gram(x)).cumulative
    for k in (1, 3, 8):
        cut = u[:, :k] * s[:k] @ v[:k]
        assert cka(cut, x) == pytest.approx(float(share[k - 1]) ** 0.5, rel=1e-9)
        other = randn(30, 4, seed=k)
        both = [double_centred(gram(f)) for f in (x, cut, other)]
        moved = float(((both[0] - both[1]) * both[2]).sum() / (both[0].norm() * both[2].norm()))
        assert abs(moved) <= (1 - float(share[k - 1])) ** 0.5


def test_dominant_share_at_its_ends():
    """Equal components: ten of ten are not needed for 90 %, nine are. One component: one. None: undefined."""
    basis = torch.linalg.qr(randn(40, 10) - randn(40, 10).mean(dim=0))[0]
    np.testing.assert_allclose(dominant_share(gram(basis)).cumulative, np.arange(1, 11) / 10, rtol=1e-9)
    assert dominant_share(gram(basis)).n_components == 9
    assert dominant_share(gram(randn(10, 1))).n_components == 1
    nothing = dominant_share(torch.full((10, 10), 1e4 / 3, dtype=torch.float64))
    assert np.isnan(nothing.n_components) and len(nothing.cumulative) == 0
