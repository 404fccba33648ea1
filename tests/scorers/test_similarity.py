"""Scorers of whole geometries: what numerics say of each fold's stimuli, with chance at 0."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from brainbench.benchmarks import known
from brainbench.core.arrays import RDMs
from brainbench.core.splits import Fold, Split
from brainbench.datasets.insilico import Insilico
from brainbench.errors import InputError, UsageError
from brainbench.numerics import alignment, canonical, crossnobis
from brainbench.numerics.rdm import upper
from brainbench.numerics.representation import Representation
from brainbench.scorers.rsa import RSA
from brainbench.scorers.similarity import CCA, CKA, SSM, Shape, Whitened, jackknifed
from brainbench.targets import targets

N = 60
IDS = tuple(f"s{i:02d}" for i in range(N))


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(N, 5))
    x, *ys = (torch.tensor(np.hstack([shared, rng.normal(size=(N, 3))]) @ rng.normal(size=(8, 12))) for _ in range(3))
    parts = np.array_split(rng.permutation(N), 3)
    named = [tuple(IDS[i] for i in part) for part in parts]
    folds = tuple(Fold(train=tuple(i for i in IDS if i not in test), test=test) for test in named)
    return SimpleNamespace(
        x=x, ys=ys, parts=parts, split=Split(folds=folds, unit={i: i for i in IDS}), layer=represented(x)
    )


def represented(x):
    return Representation.from_features(x, IDS)


def brain(ys, kind):
    values = torch.stack([represented(y).rdm(kind) for y in ys]).numpy()
    return RDMs(stimulus_ids=IDS, subjects=tuple("ab"[: len(ys)]), values=values)


def score(scorer, case, ys=None):
    target = brain(case.ys if ys is None else ys, scorer.rdm)
    return scorer.score(case.layer, target, case.split, seed=0, device="cpu")


def basis(x, rows):
    return represented(x).eigh(torch.as_tensor(rows))


MEASURES = {
    "cka": (CKA(), lambda x, y, rows: alignment.cka(x[rows] @ x[rows].T, y[rows] @ y[rows].T)),
    "plain": (
        CKA(estimator="plain"),
        lambda x, y, rows: alignment.cka_biased(x[rows] @ x[rows].T, y[rows] @ y[rows].T),
    ),
    "ssm": (SSM(), lambda x, y, rows: alignment.ssm(*(represented(z).rdm("correlation", rows) for z in (x, y)))),
    "paper": (
        SSM(paper=True),
        lambda x, y, rows: alignment.ssm(*(represented(z).rdm("correlation", rows) for z in (x, y)), paper=True),
    ),
    "cca": (
        CCA(variance=0.9),
        lambda x, y, rows: canonical.cca(basis(x, rows), basis(y, rows), variance=0.9).corrected,
    ),
}


@pytest.mark.parametrize("name", MEASURES)
def test_folds_are_what_numerics_say_of_their_stimuli(case, name):
    scorer, measure = MEASURES[name]
    got = score(scorer, case)
    rows = [torch.as_tensor(np.sort(part)) for part in case.parts]
    np.testing.assert_allclose(got.folds, [[float(measure(case.x, y, r)) for y in case.ys] for r in rows], atol=1e-8)
    others = [torch.as_tensor([i for i in range(N) if i not in part]) for part in case.parts]
    np.testing.assert_allclose(got.train, [[float(measure(case.x, y, r)) for y in case.ys] for r in others], atol=1e-8)


def test_ssm_is_rsa_with_correlation_distances(case):
    rsa = RSA().score(case.layer, brain(case.ys, "correlation"), case.split, seed=0, device="cpu")
    got = score(SSM(), case)
    np.testing.assert_allclose(got.folds, rsa.folds, atol=1e-12)
    weights = np.random.default_rng(1).multinomial(N, np.full(N, 1 / N), 5).astype(np.float32)
    both = (s.resample(weights, [2, 0], np.array([1])) for s in (got, rsa))
    np.testing.assert_allclose(*both, atol=1e-6)


def test_the_paper_lifts_noise_by_the_diagonal():
    rng = np.random.default_rng(2)
    x, y = (torch.tensor(rng.normal(size=(118, 50))) for _ in range(2))
    a, b = (Representation.from_features(z, [str(i) for i in range(118)]).rdm("correlation") for z in (x, y))
    lift = SSM(paper=True).agree(a, b[None]) - SSM().agree(a, b[None])
    assert float(lift) == pytest.approx(3 / 118, abs=0.006)


def test_one_shape_is_one_and_noise_is_zero(case):
    turn = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    np.testing.assert_allclose(score(Shape(), case, ys=[3 * case.x @ turn + 2]).folds, 1, atol=1e-6)
    noise = torch.randn(20, N, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    scores = [score(Shape(), case, ys=[y]).raw[0] for y in noise]
    assert abs(np.mean(scores)) < 3 * np.std(scores) / np.sqrt(20)
    plain = canonical.shape_similarity(case.x[:20], noise[0][:20])
    assert plain > 0.5  # what the subtraction is for


def test_chance_permutes_one_side_and_belongs_to_the_stimuli(case):
    x, y = (canonical.root(-represented(z).rdm("squared_euclidean") / 2) for z in (case.x, case.ys[0]))
    chance = Shape()._chance(x, [y])
    assert float(chance) < float(canonical.shape_similarity(case.x, case.ys[0])) - 0.1
    assert torch.equal(chance, Shape()._chance(x, [y]))


def test_the_jackknife_of_a_mean_is_the_weighted_mean(case):
    x = represented(case.x).rdm("squared_euclidean")
    values = torch.arange(N, dtype=torch.float64)
    tagged = torch.diag(values)  # leaves with its stimulus
    weights = torch.tensor(np.random.default_rng(0).multinomial(N, np.full(N, 1 / N), 4), dtype=torch.float64)
    got = jackknifed(lambda a, b: b.diagonal(dim1=1, dim2=2).mean(dim=1), x, tagged[None], weights)
    torch.testing.assert_close(got[:, 0], weights @ values / N)


def test_replicates_do_not_move_with_how_many_stimuli_a_fold_happens_to_have(case):
    """The mean influence is bias, not luck: with it every stimulus more would lift or lower a replicate."""
    x, y = represented(case.x).rdm("squared_euclidean"), represented(case.ys[0]).rdm("squared_euclidean")
    twice = torch.stack([torch.full((N,), times, dtype=torch.float64) for times in (1.0, 2.0)])
    got = jackknifed(CCA(variance=0.9).agree, x, y[None], twice)
    torch.testing.assert_close(got[0], got[1])


@pytest.mark.parametrize("scorer", [CKA(), CKA(estimator="plain"), SSM(), Whitened(distances="squared_euclidean")])
def test_replicates_of_unrelated_geometries_are_narrowed(case, scorer):
    noise = torch.randn(N, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    luck = score(scorer, case, ys=[noise]).luck
    assert (luck == luck[0, 0]).all() and -0.8 < luck[0, 0] < -0.25


def test_equal_distances_and_gaps_have_reasons(case):
    target = brain(case.ys, "squared_euclidean")
    values = target.values.copy()
    values[0] = 1 - np.eye(N)
    values[1, 3, 4] = values[1, 4, 3] = np.nan
    spoiled = RDMs(stimulus_ids=IDS, subjects=target.subjects, values=values)
    for scorer in (CKA(), CCA(), Shape()):
        got = scorer.score(case.layer, spoiled, case.split, seed=0, device="cpu")
        assert got.reason == ("zero-variance", "missing-stimuli") and np.isnan(got.folds).all()


@pytest.mark.parametrize("scorer", [CKA(), CCA(), Shape(), Whitened(distances="squared_euclidean")])
def test_a_constant_layer_and_a_silent_subject_have_reasons(case, scorer):
    flat = represented(torch.full((N, 12), 0.1, dtype=torch.float64))
    in_one_fold = case.x.clone()
    in_one_fold[case.parts[0]] = 0.1
    target = brain(case.ys, scorer.rdm)
    for layer in (flat, represented(in_one_fold)):
        got = scorer.score(layer, target, case.split, seed=0, device="cpu")
        assert got.reason == ("constant-features",) * 2 and np.isnan(got.folds[0]).all()
    silent = RDMs(stimulus_ids=IDS, subjects=("a", "b"), values=target.values * np.array([0, 1])[:, None, None])
    got = scorer.score(case.layer, silent, case.split, seed=0, device="cpu")
    assert got.reason == ("zero-variance", "") and np.isfinite(got.folds[:, 1]).all()


@pytest.mark.parametrize("wrong", [lambda: CKA(estimator="best"), lambda: CCA(variance=0.0), lambda: CCA(variance=1.5)])
def test_parameters_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UsageError):
        wrong()


@pytest.mark.data
def test_released_dissimilarities_have_no_geometry_of_responses(data_root):
    from brainbench import datasets
    from brainbench.benchmarks import known
    from brainbench.targets import targets

    dataset = datasets.load("kriegeskorte2008", {"": data_root})
    benchmark = known()["kriegeskorte2008.humanIT-rsa"]
    with pytest.raises(InputError, match="released as dissimilarities, not as responses, and cka needs"):
        targets(dataset, [benchmark], CKA())


def test_whitened_needs_repetitions_and_is_free_of_their_noise():
    """Responses of pure noise: distances of means are all alike and long, crossnobis distances are 0 on average."""
    (asked,) = [known()["insilico.V4-cka"].model_copy(update={"scorer": "whitened", "ceiling": "none"})]
    rng = np.random.default_rng(0)

    class Noise(Insilico):
        def responses(self, subject, **asked):
            array = super().responses(subject, **asked)
            return array.copy(data=rng.normal(size=array.shape).astype(np.float32))

    (target,) = targets(Noise(), [asked], Whitened())
    pairs = upper(torch.as_tensor(target.data.values))
    assert abs(pairs.mean()) < 0.01 and (pairs < 0).float().mean() == pytest.approx(0.5, abs=0.05)
    (target,) = targets(Noise(), [asked], Whitened(distances="squared_euclidean"))
    assert upper(torch.as_tensor(target.data.values)).min() > 0

    class Once(Insilico):
        def responses(self, subject, **asked):
            return super().responses(subject, **asked)[:400]

    with pytest.raises(InputError, match=r"fewer than two repetitions.*squared_euclidean"):
        targets(Once(), [asked], Whitened())


@pytest.mark.parametrize("comparison", ["cosine", "pearson"])
def test_whitened_is_the_numerics_over_each_folds_stimuli(case, comparison):
    data = brain(case.ys, "squared_euclidean")
    at = np.sort(case.parts[0])
    x = case.layer.rdm("squared_euclidean")[at][:, at]
    y = torch.as_tensor(data.values[:, at][:, :, at])
    of = crossnobis.whitened_cosine if comparison == "cosine" else crossnobis.whitened_pearson
    found = Whitened(comparison=comparison).score(case.layer, data, case.split, seed=0, device="cpu")
    np.testing.assert_allclose(found.folds[0], of(x, y), atol=1e-12)


def test_whitened_options_are_checked():
    for wrong in ({"comparison": "spearman"}, {"distances": "euclidean"}):
        with pytest.raises(UsageError, match="whitened scorer takes"):
            Whitened(**wrong)


def test_cca_is_undefined_with_its_reason_where_its_replicates_would_be(case):
    """Of 20 test stimuli 18 components leave one stimulus to spare for the score, and none for the jackknife."""
    rng = np.random.default_rng(1)
    for n_units, defined in ((17, True), (18, False)):
        noise = torch.tensor(rng.normal(size=(N, n_units)))
        result = score(CCA(variance=1.0), case, [noise])
        assert set(result.reason) == ({""} if defined else {"too-few-stimuli"})
        drawn = result.resample(rng.integers(0, 3, size=(4, N)).astype(float), range(3), np.arange(1))
        assert np.isfinite(result.folds).all() == np.isfinite(drawn).all() == defined
