"""What other people's code said of fixed inputs (golden.json: library, version, inputs, output) is what ours says."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from brainbench.numerics import ridge
from brainbench.numerics.ceilings import leave_one_out, spearman_brown
from brainbench.numerics.correlation import midranks, pearson
from brainbench.numerics.rdm import COMPARISONS, compare, upper
from brainbench.numerics.representation import Representation

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text())


def case(name):
    stored = GOLDEN[name]
    assert stored["library"] and stored["version"]
    inputs = {key: torch.tensor(value, dtype=torch.float64) for key, value in stored["inputs"].items()}
    return inputs, np.asarray(stored["output"])


def representation(x):
    return Representation.from_features(x, [str(i) for i in range(len(x))])


def test_ridge_with_a_penalty_per_neuroid():
    inputs, expected = case("ridge")
    both = representation(torch.cat([inputs["x"], inputs["new"]]))
    basis = both.eigh(torch.arange(24))
    predicted = ridge.predict(
        ridge.coordinates(basis, inputs["y"]), inputs["alphas"], both.cross(basis, torch.arange(24, 30))
    )
    np.testing.assert_allclose(predicted, expected, atol=1e-10)


def test_leave_one_out_choice():
    inputs, expected = case("ridge_loo")
    basis = representation(inputs["x"]).eigh(torch.arange(24))
    chosen = inputs["alphas"][ridge.select_loo(ridge.coordinates(basis, inputs["y"]), inputs["alphas"]).index]
    np.testing.assert_allclose(chosen, expected)


def test_kfold_choice():
    inputs, expected = case("ridge_kfold")
    whole, inner = representation(inputs["x"]), []
    for fold in range(4):
        fit, out = ((inputs["fold"] == fold).logical_not().nonzero()[:, 0], (inputs["fold"] == fold).nonzero()[:, 0])
        basis = whole.eigh(fit)
        coordinates = ridge.coordinates(basis, inputs["y"][fit])
        inner.append(ridge.held_out_errors(coordinates, whole.cross(basis, out), inputs["y"][out], inputs["alphas"]))
    chosen = ridge.choose(sum(errors for errors, _ in inner), sum(mean_only for _, mean_only in inner))
    np.testing.assert_allclose(inputs["alphas"][chosen.index], expected)


def test_correlation_rdm():
    inputs, expected = case("rdm_correlation")
    np.testing.assert_allclose(upper(representation(inputs["x"]).rdm("correlation")), expected, atol=1e-13)


def test_midranks_with_ties():
    inputs, expected = case("midranks")
    np.testing.assert_array_equal(midranks(inputs["x"][:, None])[:, 0], expected)


@pytest.mark.parametrize("how", COMPARISONS)
def test_comparisons_of_rdms(how):
    inputs, expected = case(f"compare_{how}")
    np.testing.assert_allclose(compare(inputs["x"], inputs["y"].T, how), expected, atol=1e-12)


@pytest.mark.parametrize("how", COMPARISONS)
def test_noise_ceilings_of_rdms(how):
    inputs, expected = case(f"ceiling_{how}")
    lower, above = leave_one_out(inputs["rdms"].T, how)
    np.testing.assert_allclose([lower.mean(), above.mean()], np.ravel(expected), atol=1e-12)


# Closed forms, checked by hand and by Monte Carlo


@pytest.mark.parametrize(("rho", "k", "expected"), [(0.5, 2, 2 / 3), (0.2, 5, 5 / 9), (0.3, 1, 0.3)])
def test_spearman_brown(rho, k, expected):
    assert float(spearman_brown(torch.tensor(rho, dtype=torch.float64), k)) == pytest.approx(expected)


def test_a_diagonal_left_in_would_add_3_over_n_to_a_null():
    """Why only the strictly upper triangle is compared: E = 3/n with the diagonal, 0 without (n = 118: .0254)."""
    n, with_diagonal, without = 118, [], []
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        a, b = (
            representation(torch.randn(n, 60, dtype=torch.float64, generator=generator)).rdm("correlation")
            for _ in range(2)
        )
        without.append(float(compare(upper(a), upper(b)[:, None], "spearman")[0]))
        with_diagonal.append(float(compare(a.flatten(), b.flatten()[:, None], "spearman")[0]))
    assert np.mean(without) == pytest.approx(0, abs=0.004)
    assert np.mean(with_diagonal) == pytest.approx(3 / n, abs=0.004)


def test_the_best_of_20_null_layers_reads_017():
    """Why a layer is chosen on training stimuli: E[max of 20 null r] at n = 118 is .172."""
    generator = torch.Generator().manual_seed(0)
    layers, neuroids = torch.randn(118, 500, 20, generator=generator), torch.randn(118, 500, 1, generator=generator)
    r = pearson(layers.flatten(1), neuroids.expand(-1, -1, 20).flatten(1)).view(500, 20)
    assert float(r.max(dim=1).values.mean()) == pytest.approx(0.172, abs=0.005)
