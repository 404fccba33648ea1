import numpy as np
import pytest
import torch

from brainbench.errors import InputError
from brainbench.numerics.sparseness import lifetime_sparseness, population_sparseness


def test_closed_forms():
    """One of m units: 1. All alike: 0. k of m alike: (1 - k/m) / (1 - 1/m). Silent: NaN."""
    features = torch.tensor([[5.0, 0, 0, 0], [2, 2, 2, 2], [3, 3, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(population_sparseness(features), [1, 0, 2 / 3, np.nan], atol=1e-12)
    np.testing.assert_allclose(lifetime_sparseness(features.T), [1, 0, 2 / 3, np.nan], atol=1e-12)


def test_exponential_responses_are_half_sparse():
    """mean² / mean of squares is 1/2 for an exponential distribution."""
    r = -torch.rand(3, 200_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).log()
    np.testing.assert_allclose(population_sparseness(r), 0.5, atol=0.01)
    np.testing.assert_allclose(population_sparseness(7 * r), population_sparseness(r), rtol=1e-12)


def test_negative_responses_have_no_sparseness():
    with pytest.raises(InputError, match="rectify"):
        population_sparseness(torch.tensor([[1.0, -1.0]]))
