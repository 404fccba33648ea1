"""One panel from features or from their Gram matrix, for any width; what is undefined is NaN."""

import math

import numpy as np
import pytest
import torch

from brainbench.errors import InputError
from brainbench.numerics.diagnostics import diagnostics
from brainbench.numerics.feature_strength import dominance, dominant_share, easy_and_hard
from brainbench.numerics.representation import Representation
from brainbench.numerics.spectrum import eigenvalues, eigenvalues_of_features

SPARSE = ("population_sparseness", "lifetime_sparseness")


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def ids(x):
    return [str(i) for i in range(len(x))]


def of(x):
    return diagnostics(Representation.from_features(x, ids(x)))


def of_gram(x):
    return diagnostics(Representation.from_gram(x @ x.T, x.mean(dim=1), x.shape[1], ids(x)))


@pytest.mark.parametrize("p", [7, 60, 200])
def test_features_and_their_gram_matrix_say_the_same(p):
    x = randn(60, p, seed=p) * 0.9 ** torch.arange(p) + 3
    kept, stored = of(x), of_gram(x)
    assert kept.keys() == stored.keys()
    for name in kept.keys() - set(SPARSE):
        assert kept[name] == pytest.approx(stored[name], rel=1e-6, nan_ok=True), name
    assert all(math.isnan(stored[name]) for name in SPARSE)


@pytest.mark.parametrize("p", [3, 40, 90])
def test_the_eigenvalues_of_features_are_those_of_their_gram_matrix(p):
    x = randn(40, p, seed=1) + 5
    expected = np.linalg.eigvalsh(np.cov(x.T.numpy(), bias=True).reshape(p, p))[::-1][: min(39, p)]
    np.testing.assert_allclose(eigenvalues_of_features(x), expected, rtol=1e-10)
    np.testing.assert_allclose(eigenvalues(x @ x.T, n_units=p), expected, rtol=1e-7)


def test_features_that_are_not_finite_have_no_eigenvalues():
    with pytest.raises(InputError, match="NaN or infinity"):
        eigenvalues_of_features(torch.tensor([[1.0, torch.nan], [0.0, 1.0]]))


def test_known_spectra():
    """Four features of variances 55, 20, 10, 5 on orthonormal directions: shares 11/18, 4/18, 2/18, 1/18."""
    got = of(easy_and_hard(easy=55, hard=5, nuisances=[20, 10]).features)
    v = np.array([55.0, 20, 10, 5])
    p, root = v / v.sum(), np.sqrt(v) / np.sqrt(v).sum()
    assert got["participation_ratio"] == pytest.approx(1 / (p**2).sum())
    assert got["rankme_covariance"] == pytest.approx(np.exp(-(p * np.log(p)).sum()))
    assert got["rankme_singular"] == pytest.approx(np.exp(-(root * np.log(root)).sum()))
    assert got["dominant_share"] == pytest.approx(55**2 / (v**2).sum())
    assert (got["dominant_components"], got["n_units"], got["n_stimuli"]) == (2, 50, 32)
    assert math.isnan(got["alpha_req"]) and math.isnan(got["population_sparseness"])  # rank 4; negative features


def test_a_power_law_and_a_bent_one():
    x = torch.linalg.qr(randn(401, 300) - randn(401, 300).mean(dim=0))[0]
    x = x - x.mean(dim=0)
    x = torch.linalg.qr(x)[0] * torch.arange(1, 301) ** -0.65
    got = of(x)
    assert got["alpha_req"] == pytest.approx(1.3, abs=1e-3) and got["alpha_req_r2"] == pytest.approx(1, abs=1e-4)
    assert abs(got["alpha_req_bend"]) < 1e-2
    places = torch.arange(1, 301, dtype=torch.float64)
    bent = torch.linalg.qr(x)[0] * torch.where(places < 40, places**-0.25, 40**0.75 * places**-1.0)
    assert of(bent)["alpha_req_bend"] == pytest.approx(1.5, abs=0.3)  # exponents .5, then 2


def test_correlation_sees_stimuli_after_scaling_over_units():
    """A stimulus ten times as strong rules the plain spectrum and is one of forty in that of correlations."""
    x = randn(40, 500, seed=2)
    x[0] *= 10
    got = of(x)
    assert got["dominant_share"] > 0.5 and got["dominant_share_correlation"] < 0.1
    z = x - x.mean(dim=1, keepdim=True)
    z = z / z.norm(dim=1, keepdim=True)
    assert got["dominant_share_correlation"] == pytest.approx(dominant_share(z @ z.T).share(1))
    narrow = randn(40, 9, seed=3) + 2
    z = narrow - narrow.mean(dim=1, keepdim=True)
    z = z / z.norm(dim=1, keepdim=True)
    assert of(narrow)["dominant_components_correlation"] == dominant_share(z @ z.T).n_components


def test_sparseness_of_features_that_are_not_negative():
    one_hot = torch.eye(12, dtype=torch.float64)
    assert of(one_hot)["population_sparseness"] == of(one_hot)["lifetime_sparseness"] == 1
    x = torch.rand(20, 6, generator=torch.Generator().manual_seed(4))
    assert 0 < of(x)["population_sparseness"] < 1
    x[:, 2] = 0  # never driven: out of the mean over units
    assert of(x)["lifetime_sparseness"] == pytest.approx(of(x[:, [0, 1, 3, 4, 5]])["lifetime_sparseness"])
    x[0, 0] = -1e-9
    assert all(math.isnan(of(x)[name]) for name in SPARSE)


def test_a_constant_layer_has_no_dimensions():
    got = of(torch.full((30, 8), 1e4 / 3, dtype=torch.float64))
    undefined = got.keys() - {"n_stimuli", "n_units", *SPARSE}
    assert all(math.isnan(got[name]) for name in undefined)
    assert (got["n_units"], got["population_sparseness"]) == (8, pytest.approx(0, abs=1e-12))


def test_a_stimulus_that_drives_all_units_alike_leaves_correlations_undefined():
    x = randn(30, 8)
    x[4] = 1.5
    got = of(x)
    assert math.isnan(got["dominant_share_correlation"]) and got["dominant_share"] > 0


def test_dominance_of_beyond_the_last_component_is_one():
    found = dominance(torch.tensor([3.0, 1.0]))
    assert (found.share(1), found.share(2), found.share(9)) == (pytest.approx(0.9), 1, 1)
    assert found.n_components == 1 and math.isnan(dominance(torch.tensor([])).share(1))
