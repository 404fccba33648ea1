import numpy as np
import pytest
import torch

from brainbench.errors import InputError
from brainbench.numerics.representation import Representation, cross_gram


def test_the_gram_matrix_is_exact_in_float32():
    x = torch.rand(40, 20_000, generator=torch.Generator().manual_seed(0)) + 3
    exact = x.double() @ x.double().T
    assert ((cross_gram(x, x, torch.zeros(x.shape[1])) - exact).abs().max() / exact.max()) < 1e-6


def test_bases_are_decomposed_once_and_equal_in_both_forms():
    x = torch.randn(50, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ids = [str(i) for i in range(50)]
    kept = Representation.from_features(x, ids)
    gram = Representation.from_gram(kept.gram, kept.unit_mean, 12, ids)
    rows = torch.arange(5, 45)
    assert kept.eigh(rows) is kept.eigh(rows.clone())
    a, b = kept.eigh(rows), gram.eigh(rows)
    np.testing.assert_allclose(a.values, b.values, rtol=1e-9)
    np.testing.assert_allclose(a.vectors @ a.vectors.T, b.vectors @ b.vectors.T, atol=1e-9)


def test_centring_uses_training_rows_alone():
    """Statistics of test rows must not reach the fit: moving a test row changes only its own products."""
    x = torch.randn(20, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ids, train = [str(i) for i in range(20)], torch.arange(15)
    moved = x.clone()
    moved[19] += 100
    one, two = Representation.from_features(x, ids), Representation.from_features(moved, ids)
    # not to the last bit: products are taken around the mean of all rows, and centred on the training rows after
    np.testing.assert_allclose(one.eigh(train).values, two.eigh(train).values, rtol=1e-12)
    np.testing.assert_allclose(
        one.cross(one.eigh(train), torch.arange(15, 19)), two.cross(two.eigh(train), torch.arange(15, 19)), atol=1e-9
    )


@pytest.mark.parametrize("offset", [1.0, 30.0])
def test_products_of_new_stimuli_are_exact_where_the_spectrum_is_steep_and_all_share_an_offset(offset):
    """Eigenvectors of the least components sum to 0 only nearly; what all stimuli share must not enter through that.

    An untrained network's last layer is such: without this a ridge readout of it told .22 of new stimuli where .39 was
    true, while leave-one-out was right.
    """
    generator = torch.Generator().manual_seed(0)
    left = torch.linalg.qr(torch.randn(80, 80, dtype=torch.float64, generator=generator))[0]
    right = torch.linalg.qr(torch.randn(120, 80, dtype=torch.float64, generator=generator))[0]
    x = (left * torch.logspace(0, -4.8, 80, dtype=torch.float64)) @ right.T  # eigenvalues over ten decades
    x = x * 80**0.5 + offset * torch.randn(120, dtype=torch.float64, generator=generator)
    made, train, test = (
        Representation.from_features(x, [str(i) for i in range(80)]),
        torch.arange(60),
        torch.arange(60, 80),
    )
    basis = made.eigh(train)
    centre = x[train].mean(dim=0)
    exact = (x[test] - centre) @ (x[train] - centre).T @ basis.vectors
    off = (made.cross(basis, test) - exact) / (basis.values + 1e-7 * basis.values[0])  # as a small penalty divides them
    assert off.abs().max() < 1e-5


@pytest.mark.parametrize("form", ["features", "blocks"])
def test_the_basis_is_centred_whatever_all_stimuli_share(form):
    """Of a steep spectrum the least components are as small as what rounding makes of a common offset."""
    generator = torch.Generator().manual_seed(0)
    left = torch.linalg.qr(torch.randn(30, 30, dtype=torch.float64, generator=generator))[0]
    right = torch.linalg.qr(torch.randn(300, 30, dtype=torch.float64, generator=generator))[0]
    x = (left * torch.logspace(0, -3 if form == "blocks" else -4, 30, dtype=torch.float64)) @ right.T
    x = x + 300 * torch.randn(300, dtype=torch.float64, generator=generator)
    ids = [str(i) for i in range(30)]
    make = {"features": Representation.from_features, "blocks": lambda x, ids: Representation.from_blocks([x], ids)}
    made, rows = make[form](x, ids), torch.arange(30)
    centred = x - x.mean(dim=0)
    assert made.eigh(rows).vectors.sum(dim=0).abs().max() < 1e-4
    np.testing.assert_allclose(
        made.deviations.diagonal(), centred.square().sum(dim=1), rtol=1e-3
    )  # of float32 beside 300
    np.testing.assert_allclose(made.gram, x @ x.T, rtol=1e-9)
    some = made.select(rows[5:])
    np.testing.assert_allclose(some.gram, (x @ x.T)[5:, 5:], rtol=1e-9)
    np.testing.assert_allclose(made.to("cpu").gram, made.gram)


@pytest.mark.parametrize("kind", ["correlation", "euclidean", "squared_euclidean"])
@pytest.mark.parametrize("n, categories", [(60, 12), (118, 20), (200, 10)])
def test_equal_dissimilarities_are_the_same_number(kind, n, categories):
    """A code of categories has two dissimilarities; ranks of one would be drawn by rounding if they differed."""
    labels = np.random.default_rng(categories).integers(0, categories, n)
    x = torch.eye(categories)[torch.as_tensor(labels)]
    ids = [str(i) for i in range(n)]
    assert len(Representation.from_features(x, ids).rdm(kind).unique()) == 2


@pytest.mark.parametrize("n_units", [50, 500, 3000])
@pytest.mark.parametrize("says", [0.0, 0.7])
def test_a_stimulus_that_drives_no_unit_has_no_correlation(n_units, says):
    for seed in range(10):
        x = torch.randn(40, n_units, generator=torch.Generator().manual_seed(seed)).relu()
        x[7] = says
        ids = [str(i) for i in range(40)]
        for form in (Representation.from_features(x, ids), Representation.from_blocks([x], ids)):
            distances = form.rdm("correlation")
            lacking = distances.isnan().sum(dim=1)
            assert lacking[7] == 39 and (lacking[torch.arange(40) != 7] == 1).all()


def test_features_that_are_not_finite_raise():
    with pytest.raises(InputError, match="NaN"):
        Representation.from_features(torch.tensor([[1.0, float("nan")]]), ["a"])
    with pytest.raises(InputError, match="2 rows"):
        Representation.from_features(torch.ones(2, 3), ["a"])


def test_what_all_stimuli_share_takes_no_digits():
    """Features around 1000 with a standard deviation of 1: float32 products of them would have none left."""
    x = torch.randn(60, 5000, generator=torch.Generator().manual_seed(0)) + 1000
    exact = x.double()
    made = Representation.from_features(x, [str(i) for i in range(60)])
    np.testing.assert_allclose(made.gram, exact @ exact.T, rtol=1e-9)
    np.testing.assert_allclose(made.rdm("correlation"), 1 - np.corrcoef(exact.numpy()), atol=1e-5)
    centred = exact[:50] - exact[:50].mean(dim=0)
    values = torch.linalg.eigvalsh(centred @ centred.T).flip(0)[:49]
    np.testing.assert_allclose(made.eigh(torch.arange(50)).values, values, rtol=1e-5)


@pytest.mark.parametrize("n, p", [(60, 200), (60, 20)])
@pytest.mark.parametrize("offset", [0.0, 3e4])
def test_a_layer_that_says_the_same_of_every_stimulus_has_no_component(n, p, offset):
    """Also where it is the same but for the last digit of float32; a layer that varies by 1e-5 of its size has all."""
    generator = torch.Generator().manual_seed(0)
    row = torch.randn(1, p, generator=generator) + offset
    ids = [str(i) for i in range(n)]
    dead = row.expand(n, p) * (1 + 1e-7 * torch.randint(-1, 2, (n, 1), generator=generator))
    for x in (row.expand(n, p), dead):
        kept = Representation.from_features(x.contiguous(), ids)
        stored = Representation.from_gram(kept.gram, kept.unit_mean, p, ids)
        for form in (kept, stored):
            assert form.eigh(torch.arange(n - 9)).vectors.shape == (n - 9, 0)
    alive = row.double() * (1 + 1e-5 * torch.randn(n, p, generator=generator, dtype=torch.float64))
    kept = Representation.from_features(alive, ids)
    assert kept.eigh(torch.arange(n)).vectors.shape == (n, min(p, n - 1))


def test_half_precision_features_are_multiplied_in_full():
    x = torch.randn(50, 300, generator=torch.Generator().manual_seed(0)).half() + 20
    gram = Representation.from_features(x, [str(i) for i in range(50)]).gram
    np.testing.assert_allclose(gram, x.double() @ x.double().T, rtol=1e-12)
