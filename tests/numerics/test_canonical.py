import math

import numpy as np
import pytest
import rsatoolbox
import scipy.linalg
import scipy.stats
import torch

from brainbench.errors import InputError, UsageError
from brainbench.numerics.canonical import (
    angular_distance,
    canonical_correlations,
    cca,
    cca_corrected,
    components,
    principal,
    procrustes_distance,
    root,
    shape_similarity,
    shuffled_similarity,
)
from brainbench.numerics.representation import Representation


def features(n=40, p=6, seed=0):
    return torch.randn(n, p, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 0.7


def basis(x):
    return Representation.from_features(x, [str(i) for i in range(len(x))]).eigh(torch.arange(len(x)))


def centred(x):
    return x - x.mean(dim=0)


def rotation(p, seed=9):
    return torch.linalg.qr(features(p, p, seed) - 0.7)[0]


def test_canonical_correlations_equal_the_generalised_eigenproblem():
    x, y = features(), features(p=4, seed=1) + features(p=4)
    joint = np.cov(torch.cat([x, y], dim=1).numpy(), rowvar=False)
    xx, xy, yy = joint[:6, :6], joint[:6, 6:], joint[6:, 6:]
    squares = scipy.linalg.eigh(xy.T @ np.linalg.solve(xx, xy), yy, eigvals_only=True)[::-1]
    np.testing.assert_allclose(canonical_correlations(basis(x), basis(y), variance=1.0), squares**0.5, atol=1e-12)


def test_one_unit_a_side_is_pearson():
    x, y = features(p=1), features(p=1, seed=1)
    r = canonical_correlations(basis(x), basis(y))
    np.testing.assert_allclose(r, [abs(scipy.stats.pearsonr(x[:, 0], y[:, 0])[0])], atol=1e-13)


def test_independent_subspaces_reach_the_null_and_are_corrected_to_zero():
    """METHODS 2.6: n = 118, p = q = 40: mean square .342, mean .515."""
    found = [cca(basis(features(118, 40, s)), basis(features(118, 40, s + 99)), variance=1.0) for s in range(20)]
    assert found[0].components == (40, 40)
    np.testing.assert_allclose(found[0].null, 40 / 117, rtol=1e-14)
    np.testing.assert_allclose(np.mean([f.mean_square for f in found]), 0.342, atol=0.004)
    np.testing.assert_allclose(np.mean([f.mean for f in found]), 0.515, atol=0.004)
    assert abs(np.mean([f.corrected for f in found])) < 0.006
    uneven = [cca(basis(features(118, 60, s)), basis(features(118, 10, s + 99)), variance=1.0) for s in range(20)]
    np.testing.assert_allclose(np.mean([f.mean_square for f in uneven]), 60 / 117, atol=0.015)


def test_one_subspace_within_the_other_is_one():
    x = features()
    inside = cca(basis(x), basis(x @ features(6, 3, 5)), variance=1.0)
    np.testing.assert_allclose([inside.mean, inside.mean_square, inside.corrected], 1, atol=1e-12)


def test_as_many_components_as_stimuli_say_nothing():
    """Any two layers of 100 units agree perfectly on 30 stimuli: the corrected value is undefined, not 1."""
    full = cca(basis(features(30, 100)), basis(features(30, 5, 1)), variance=1.0)
    np.testing.assert_allclose([full.mean_square, full.null], 1, atol=1e-12)
    assert math.isnan(full.corrected)


def test_svcca_keeps_the_fewest_components_with_that_share_of_variance():
    spread = torch.tensor([90, 9, 0.9, 0.1], dtype=torch.float64).sqrt()
    x = torch.linalg.qr(features(40, 4) - features(40, 4).mean(dim=0))[0] * spread
    kept = [components(basis(x), share) for share in (0.5, 0.9, 0.95, 0.99, 0.995, 0.9995, 1.0)]
    assert kept == [1, 1, 2, 2, 3, 4, 4]
    with pytest.raises(UsageError, match="99"):
        components(basis(x), 99.0)


def test_cca_ignores_every_invertible_map_and_a_permutation_of_stimuli_on_both_sides():
    x, y = features(), features(p=4, seed=1) + features(p=4)
    base = canonical_correlations(basis(x), basis(y), variance=1.0)
    mapped = canonical_correlations(basis(x @ features(6, 6, 3) + 5), basis(y), variance=1.0)
    np.testing.assert_allclose(mapped, base, atol=1e-12)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    both = canonical_correlations(basis(x[order]), basis(y[order]), variance=1.0)
    np.testing.assert_allclose(both, base, atol=1e-12)  # which is why it is no null


def test_shape_distances_equal_an_explicit_rotation():
    x, y = features(p=6), features(p=4, seed=1) + features(p=4)
    a, b = (f - f.mean(dim=0) for f in (x, torch.nn.functional.pad(y, (0, 2))))
    a, b = a / a.norm(), b / b.norm()
    turn, _ = scipy.linalg.orthogonal_procrustes(b.numpy(), a.numpy())
    expected = np.linalg.norm(a.numpy() - b.numpy() @ turn)
    np.testing.assert_allclose(procrustes_distance(x, y), expected, atol=1e-13)
    cosine = float((a.numpy() * (b.numpy() @ turn)).sum())
    np.testing.assert_allclose(angular_distance(x, y), math.acos(cosine), atol=1e-12)


def test_shape_similarity_equals_rsatoolbox():
    """rsatoolbox 0.3.2 `bures` of Euclidean RDMs."""
    x, y = features(12, 30), features(12, 20, 1)
    theirs = [rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(f.numpy()), method="euclidean") for f in (x, y)]
    expected = rsatoolbox.rdm.compare(*theirs, method="bures")[0, 0]
    np.testing.assert_allclose(shape_similarity(x, y), expected, rtol=1e-7)  # theirs takes roots twice


def test_both_forms_of_a_layer_have_one_shape():
    x, y = features(20, 50), features(20, 8, 1)
    np.testing.assert_allclose(shape_similarity(root(x @ x.T), y), shape_similarity(x, y), atol=1e-13)
    wide, narrow = principal(x @ x.T), principal(y @ y.T)
    np.testing.assert_allclose(cca(wide, narrow).mean_square, cca(basis(x), basis(y)).mean_square, atol=1e-12)


def test_shapes_ignore_rotation_scale_and_translation_but_no_stretch():
    x = features()
    moved = 3 * x @ rotation(6) + 2
    np.testing.assert_allclose(shape_similarity(x, moved), 1, atol=1e-13)
    assert procrustes_distance(x, moved) < 1e-6
    stretch = torch.tensor([5.0, 1, 1, 1, 1, 1], dtype=torch.float64)
    assert procrustes_distance(x, x * stretch) > 0.1
    np.testing.assert_allclose(cca(basis(x), basis(x * stretch), variance=1.0).mean, 1, atol=1e-12)


def test_shape_similarity_of_strengths():
    """[a e, b h] beside e: |XᵀY|_* = a / √(a² + b²); orthogonal features are at √2 and π/2."""
    e = torch.tensor([1.0, 1, -1, -1], dtype=torch.float64)[:, None] / 2
    h = torch.tensor([1.0, -1, 1, -1], dtype=torch.float64)[:, None] / 2
    mixed = torch.cat([math.sqrt(55) * e, math.sqrt(5) * h], dim=1)
    np.testing.assert_allclose(shape_similarity(mixed, e), math.sqrt(55 / 60), rtol=1e-12)
    np.testing.assert_allclose(procrustes_distance(e, h), math.sqrt(2), rtol=1e-12)
    np.testing.assert_allclose(angular_distance(e, h), math.pi / 2, rtol=1e-12)


@pytest.mark.parametrize("distance", [procrustes_distance, angular_distance])
def test_shape_distances_obey_the_triangle_inequality(distance):
    sides = [features(15, p, s) for s, p in enumerate((2, 5, 9, 30))]
    d = np.array([[float(distance(a, b)) for b in sides] for a in sides])
    np.testing.assert_allclose(d, d.T, atol=1e-12)
    assert (d[:, None] <= d[:, :, None] + d[None] + 1e-7).all()


def test_noise_of_many_dimensions_looks_alike():
    """The trap of the docs: 118 stimuli, 1,000 independent units a side."""
    similarity = float(shape_similarity(features(118, 1000), features(118, 1000, 1)))
    np.testing.assert_allclose(similarity, 0.969, atol=0.003)


def test_constant_features_are_nan_and_unequal_stimuli_raise():
    same = torch.full((40, 3), 0.1, dtype=torch.float64)
    for flat in (same, root(same @ same.T)):
        for measure in (shape_similarity, procrustes_distance):
            assert torch.isnan(measure(flat, features()))
        assert torch.isnan(shuffled_similarity(flat, features(), torch.arange(40)[None]))
    none = cca(basis(same), basis(features()))
    assert all(math.isnan(v) for v in (none.mean, none.mean_square, none.null, none.corrected))
    assert math.isnan(cca_corrected(basis(same), basis(features())))
    with pytest.raises(InputError, match="40 and 30"):
        shape_similarity(features(), features(30))
    for measure in (canonical_correlations, cca_corrected):
        with pytest.raises(InputError, match="40 and 30"):
            measure(basis(features()), basis(features(30)))


def test_chance_is_the_mean_over_shuffles_of_one_side():
    draw = torch.Generator().manual_seed(0)
    x, y = features(20, 6), features(20, 30, 1)
    orders = torch.stack([torch.randperm(20, generator=draw) for _ in range(5)])
    for a, b in ((x, y), (y, x)):
        expected = np.mean([float(shape_similarity(a[order], b)) for order in orders])
        assert float(shuffled_similarity(a, b, orders)) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("p", [5, 25, 60])
def test_a_root_has_the_centred_gram_matrix_and_its_rank(p):
    x = features(30, p) + 10
    centred = x - x.mean(dim=0)
    for gram in (x @ x.T, -torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").square() / 2):
        narrow = root(gram)
        assert narrow.shape == (30, min(p, 29))
        torch.testing.assert_close(narrow @ narrow.T, centred @ centred.T, rtol=0, atol=1e-8)
        found, expected = principal(gram), basis(x)
        torch.testing.assert_close(found.values, expected.values, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(found.vectors.abs(), expected.vectors.abs(), rtol=0, atol=1e-5)


def test_the_root_of_contradicting_distances_is_their_positive_part():
    squared = 1 - torch.cdist(features(20, 3), features(20, 3)).square().fill_diagonal_(1)
    gram = -squared / 2
    values, vectors = torch.linalg.eigh(gram - gram.mean(dim=0) - gram.mean(dim=1, keepdim=True) + gram.mean())
    assert values[0] < -1
    positive = (vectors * values.clamp_min(0)) @ vectors.T
    torch.testing.assert_close(root(gram) @ root(gram).T, positive, rtol=0, atol=1e-9)
    swapped = torch.tensor([[0.0, 1, -1, 0], [1, 0, 0, -1], [-1, 0, 0, 1], [0, -1, 1, 0]], dtype=torch.float64)
    assert root(swapped).shape == (4, 1)  # no diagonal to begin with


def test_the_corrected_mean_square_needs_no_correlations():
    x, y = features(40, 12), features(40, 5, 1) + features(40, 5)
    for variance in (0.8, 1.0):
        sides = basis(x), basis(y)
        expected = cca(*sides, variance=variance).corrected
        assert cca_corrected(*sides, variance=variance) == pytest.approx(expected, abs=1e-12)


def test_what_is_the_same_for_all_stimuli_has_no_root_and_no_components():
    one = features(1, 7) * 100
    for gram in (torch.zeros(17, 17), (one @ one.T).expand(17, 17), torch.full((17, 17), 0.3**2)):
        assert root(gram).shape == (17, 0) and principal(gram).vectors.shape == (17, 0)
    with pytest.raises(InputError, match="NaN"):
        root(torch.full((4, 4), torch.nan))
    far = features(30, 3) + 1e8  # nine digits of sixteen
    assert float(shape_similarity(far, features(30, 3))) == pytest.approx(1, abs=1e-6)
