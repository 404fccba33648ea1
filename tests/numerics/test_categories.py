import math

import numpy as np
import pytest
import sklearn.metrics
import torch

from brainbench.errors import InputError
from brainbench.numerics.categories import cluster_indices, label_alignment, label_kernel
from brainbench.numerics.geometry import coordinates


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


LABELS = torch.arange(30) % 3


def test_cluster_indices_equal_scikit_learn_also_from_the_gram():
    """scikit-learn 1.9.1."""
    x = randn(30, 50) + 0.7 * randn(3, 50, seed=1)[LABELS] + 5
    for ours in (cluster_indices(x, LABELS), cluster_indices(coordinates(x @ x.T), LABELS)):
        assert ours.silhouette == pytest.approx(sklearn.metrics.silhouette_score(x, LABELS), rel=1e-9)
        assert ours.calinski_harabasz == pytest.approx(sklearn.metrics.calinski_harabasz_score(x, LABELS), rel=1e-9)
        assert ours.davies_bouldin == pytest.approx(sklearn.metrics.davies_bouldin_score(x, LABELS), rel=1e-9)


@pytest.mark.parametrize("scale", [1e-13, 1.0, 1e13])
def test_two_points_a_label_in_closed_form(scale):
    """Points -d ± 1 and d ± 1 on a line: silhouettes 1 - 2/(2d ± 1), DB (1 + 1)/2d, CH 4d²/(4/2)."""
    d = 5.0
    x = scale * torch.tensor([[-d - 1], [-d + 1], [d - 1], [d + 1]], dtype=torch.float64)
    ours = cluster_indices(x, torch.tensor([0, 0, 1, 1]))
    assert ours.silhouette == pytest.approx(1 - 1 / (2 * d + 1) - 1 / (2 * d - 1), rel=1e-12)
    assert ours.davies_bouldin == pytest.approx(1 / d, rel=1e-12)
    assert ours.calinski_harabasz == pytest.approx(2 * d**2, rel=1e-12)


def test_undefined_cluster_indices_are_nan():
    x = randn(6, 4)
    for features, labels in (
        (x, torch.zeros(6, dtype=torch.long)),
        (x, torch.arange(6)),
        (torch.full((6, 4), 0.1), torch.arange(6) % 2),
        (coordinates(torch.ones(6, 6)), torch.arange(6) % 2),  # of which there are none
    ):
        ours = cluster_indices(features, labels)
        assert np.isnan([ours.silhouette, ours.calinski_harabasz, ours.davies_bouldin]).all()


@pytest.mark.parametrize("debiased", [True, False])
def test_the_labels_own_kernel_is_aligned_and_rotation_offset_and_scale_do_not_count(debiased):
    own = label_kernel(LABELS)
    assert label_alignment(own, LABELS, debiased=debiased) == pytest.approx(1, abs=1e-12)
    assert label_alignment(7 * own + 3, LABELS, debiased=debiased) == pytest.approx(1, abs=1e-12)
    x = randn(30, 5)
    moved = 3 * x @ torch.linalg.qr(randn(5, 5, seed=1))[0] + 2
    base = label_alignment(x @ x.T, LABELS, debiased=debiased)
    assert label_alignment(moved @ moved.T, LABELS, debiased=debiased) == pytest.approx(base, abs=1e-10)


def test_one_unit_and_two_labels_align_by_their_squared_correlation():
    x = randn(40, 1)
    labels = (torch.arange(40) < 13).long()
    r = np.corrcoef(x[:, 0], labels)[0, 1]
    assert label_alignment(x @ x.T, labels, debiased=False) == pytest.approx(r**2, rel=1e-10)


def test_debiased_alignment_equals_the_sums_of_song_et_al():
    """The unbiased HSIC of Song et al. 2012, written out in traces."""
    x = randn(12, 4)
    labels = torch.arange(12) % 4

    def hsic(k, m):
        k, m, n = k - np.diag(np.diag(k)), m - np.diag(np.diag(m)), len(k)
        cross = np.trace(k @ m) + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 * (k @ m).sum() / (n - 2)
        return cross / (n * (n - 3))

    k, m = (x @ x.T).numpy(), label_kernel(labels).numpy()
    expected = hsic(k, m) / (hsic(k, k) * hsic(m, m)) ** 0.5
    assert label_alignment(x @ x.T, labels) == pytest.approx(expected, rel=1e-10)


def test_chance_is_zero_debiased_and_above_zero_plain():
    """60 stimuli, 20 labels, 500 units: a wide layer aligns with any labels if the diagonals are left in."""
    labels = torch.arange(60) % 20
    grams = [(x := randn(60, 500, seed=s)) @ x.T for s in range(30)]
    plain = np.mean([label_alignment(g, labels, debiased=False) for g in grams])
    honest = [label_alignment(g, labels) for g in grams]
    assert plain > 0.5
    assert abs(np.mean(honest)) < 3.5 * np.std(honest) / 30**0.5


def test_undefined_alignment_is_nan():
    gram = randn(6, 6) @ randn(6, 6).T
    assert np.isnan(label_alignment(torch.ones(6, 6), torch.arange(6) % 2))
    assert np.isnan(label_alignment(gram, torch.zeros(6, dtype=torch.long)))
    assert np.isnan(label_alignment(gram, torch.arange(6)))
    with pytest.raises(InputError, match="at least 4"):
        label_alignment(gram[:3, :3], torch.tensor([0, 0, 1]))


@pytest.mark.parametrize("value", [0.1, 0.3, 1 / 3, 0.7])
def test_features_that_are_alike_have_no_clusters_whatever_their_mean_rounds_to(value):
    for n in (7, 11, 13):
        found = cluster_indices(torch.full((n, 4), value, dtype=torch.float64), torch.arange(n) % 2)
        assert math.isnan(found.davies_bouldin) and math.isnan(found.calinski_harabasz)
