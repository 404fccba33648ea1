"""Every scorer keeps every law, and every law is broken by defects that were seen in real code."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from brainbench.checks import checks_for, parametrize_with_checks, run_checks
from brainbench.checks._known import KNOWN_FAILURES
from brainbench.checks._recording import recording, scored
from brainbench.checks.scorers import check_devices_agree
from brainbench.core.arrays import take
from brainbench.core.score import Score
from brainbench.numerics import ridge
from brainbench.numerics.correlation import weighted_pearson
from brainbench.numerics.representation import Representation
from brainbench.scorers import SCORERS
from brainbench.scorers.ridge import Ridge
from brainbench.scorers.rsa import RSA
from brainbench.scorers.similarity import CKA, Shape


@parametrize_with_checks([SCORERS[name]() for name in SCORERS], known_failures=KNOWN_FAILURES)
def test_contract(thing, check):
    check.run(thing)


@pytest.mark.parametrize(
    "scorer", [Ridge(select="loo"), Ridge(select="kfold"), RSA(comparison="pearson")], ids=["loo", "kfold", "pearson"]
)
def test_parameters_that_benchmarks_use_keep_the_contract_too(scorer):
    assert failures(scorer) == {}


@pytest.mark.parametrize("name", list(SCORERS))
def test_a_default_dtype_of_the_users_changes_nothing(name):
    scorer = SCORERS[name]()
    case = recording(scorer)
    ones = np.ones((1, len(case.data.stimulus_ids)), np.float32)

    def found():
        score = scored(scorer, case)
        return score.raw, score.resample(ones, [0], np.array([0]))

    expected = found()
    torch.set_default_dtype(torch.float64)
    try:
        got = found()
    finally:
        torch.set_default_dtype(torch.float32)
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_cosine_of_distances_has_no_zero():
    """Distances are positive, so unrelated RDMs have a cosine near 1."""
    assert failures(RSA(comparison="cosine")).keys() >= {"null_is_zero", "inverted_recording_is_negative"}


def test_invariances_are_those_of_the_default_parameters():
    lacks = {"declared_invariances_hold", "other_invariances_do_not_hold"}
    assert failures(RSA(rdm="euclidean")).keys() == lacks


def test_plain_cka_sees_a_geometry_in_noise():
    assert "null_is_zero" in failures(CKA(estimator="plain"))


class InfluencesOutOfOrder(Shape):
    def score(self, *args, **asked):
        score = super().score(*args, **asked)
        return replace(score, resample=lambda weights, *rest: score.resample(weights[:, ::-1].copy(), *rest))


class InfluencesTwiceAsLarge(Shape):
    def score(self, *args, **asked):
        score = super().score(*args, **asked)
        return replace(score, resample=lambda weights, *rest: score.resample(2 * weights - 1, *rest))


@pytest.mark.slow
@pytest.mark.parametrize("defect", [InfluencesOutOfOrder, InfluencesTwiceAsLarge])
def test_first_order_replicates_follow_each_stimulus(defect):
    assert failures(defect()).keys() == {"replicates_follow_single_stimuli"}


@pytest.mark.gpu
@pytest.mark.parametrize("scorer", [Ridge(), RSA(), CKA(), Shape()], ids=["ridge", "rsa", "cka", "shape"])
def test_devices_agree(scorer):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    check_devices_agree(scorer)


def failures(scorer):
    return {outcome.check: outcome.message for outcome in run_checks(scorer) if outcome.status != "passed"}


class Linear:
    """A ridge readout in steps, each of which a defect replaces; without one, it keeps every law."""

    spec = replace(Ridge.spec, name="linear")
    grid = (0.01, 1.0, 100.0)

    def score(self, representation, target, split, *, seed, device):
        representation, target = self.joined(representation, target)
        y = torch.as_tensor(self.responses(target))
        complete = torch.isfinite(y).all(dim=0)
        y = y.nan_to_num()
        parts = [
            [torch.as_tensor(take(target.stimulus_ids, ids, what="y")) for ids in (f.train, f.test)]
            for f in split.folds
        ]
        tests, predicted, picks = [test for _, test in parts], [], []
        for train, test in parts:
            basis = representation.eigh(train)
            cross = representation.cross(basis, test)
            alphas = ridge.penalties(basis, self.grid)
            picks.append(self.choose(basis, cross, y[train], y[test], alphas))
            predicted.append(ridge.predict(ridge.coordinates(basis, y[train]), alphas[picks[-1].index], cross))
        folds = torch.stack(self.agreements(predicted, [y[test] for test in tests]))
        valid = complete & torch.isfinite(folds).all(dim=0)

        def resample(weights, wanted, columns):
            w = torch.as_tensor(weights).double()
            rows = [self.agreement(predicted[f], y[tests[f]], w[:, tests[f]]) for f in wanted]
            return torch.where(valid, torch.stack(rows, dim=1), torch.nan).numpy()[:, :, columns]

        return self.reported(
            Score(
                scale="r",
                folds=torch.where(valid, folds, torch.nan).numpy(),
                train=torch.where(valid, torch.stack([pick.cv_r2 for pick in picks]), torch.nan).numpy(),
                resample=resample,
                reason=tuple("" if ok else "not usable" for ok in valid),
                extras={"penalty": torch.stack([pick.index for pick in picks]).numpy()},
            )
        )

    def joined(self, representation, target):
        return picked(representation, take(representation.stimulus_ids, target.stimulus_ids, what="x"), target), target

    def responses(self, target):
        return target.mean()

    def choose(self, basis, cross, y, y_test, alphas):
        return ridge.select_gcv(ridge.coordinates(basis, y), alphas)

    def agreements(self, predicted, truth):
        return [self.agreement(p, y, torch.ones(1, len(p)).double())[0] for p, y in zip(predicted, truth)]

    def agreement(self, predicted, truth, weights):
        return weighted_pearson(predicted, truth, weights)

    def reported(self, score):
        return score


def picked(representation, rows, target):
    """The representation's `rows` under the target's names."""
    if representation.features is not None:
        return Representation.from_features(representation.features[rows], target.stimulus_ids)
    gram = representation.gram[rows][:, rows]
    return Representation.from_gram(gram, representation.unit_mean[rows], representation.n_units, target.stimulus_ids)


DEFECTS = {}


def breaks(*laws):
    """The very laws that a defect has to be caught by, no fewer and no more."""

    def register(defect):
        DEFECTS[defect] = set(laws)
        return defect

    return register


@breaks("rows_are_joined_by_id", "missing_stimulus_raises")
class PairedByPosition(Linear):
    def joined(self, representation, target):
        return picked(representation, np.arange(len(target.stimulus_ids)), target), target


@breaks("further_stimuli_are_ignored", "missing_stimulus_raises")
class SortedByName(Linear):
    def joined(self, representation, target):
        order = np.argsort(np.asarray(target.stimulus_ids))
        target = replace(target, stimulus_ids=tuple(target.stimulus_ids[i] for i in order), values=target.values[order])
        return picked(representation, np.argsort(np.asarray(representation.stimulus_ids))[: len(order)], target), target


@breaks("missing_stimulus_raises")
class InnerJoin(Linear):
    def score(self, representation, target, split, *, seed, device):
        rows = np.flatnonzero(np.isin(target.stimulus_ids, representation.stimulus_ids))
        ids = tuple(target.stimulus_ids[i] for i in rows)
        target = replace(target, stimulus_ids=ids, values=target.values[rows])
        return super().score(representation, target, split.restrict(ids), seed=seed, device=device)


@breaks("gram_is_enough")
class NeedsFeatures(Linear):
    def joined(self, representation, target):
        representation.features.shape  # noqa: B018
        return super().joined(representation, target)


@breaks("inputs_untouched")
class CentredInPlace(Linear):
    def joined(self, representation, target):
        target.values[...] -= np.nanmean(target.values)
        return super().joined(representation, target)


@breaks("precision")
class HalfPrecision(Linear):
    def joined(self, representation, target):
        x, target = super().joined(representation, target)
        gram = x.gram.half().double().clamp(-65504, 65504)
        return Representation.from_gram(gram, x.unit_mean, x.n_units, x.stimulus_ids), target


@breaks("outsiders_have_no_say", "gram_is_enough")
class StandardisedOnAllRows(Linear):
    spec = replace(Linear.spec, invariances=("scale", "translation", "unit-permutation"))

    def joined(self, representation, target):
        representation, target = super().joined(representation, target)
        x = representation.features
        return Representation.from_features((x - x.mean(dim=0)) / x.std(dim=0), target.stimulus_ids), target


@breaks("incomplete_column")
class GapsFilled(Linear):
    def responses(self, target):
        mean = target.mean()
        return np.where(np.isnan(mean), np.nanmean(mean, axis=0), mean)


@breaks("unit_of_responses")
class VariancesMultipliedInFloat32(Linear):
    """As `ridge` once did: a variance of fields in tesla, times another, is 0 there."""

    def agreement(self, predicted, truth, weights):
        p, t = predicted - predicted.mean(dim=0), truth - truth.mean(dim=0)
        pp, tt = weights @ p.square(), weights @ t.square()
        product = pp.float() * tt.float()
        return super().agreement(predicted, truth, weights) / torch.where(product.isfinite(), product, 0.0).sign()


@breaks("null_is_zero", "test_stimuli_choose_nothing", "replicates_repeat_stimuli")
class PenaltyChosenOnTest(Linear):
    grid = tuple(np.logspace(-4, 4, 17))

    def choose(self, basis, cross, y, y_test, alphas):
        fits = [ridge.predict(ridge.coordinates(basis, y), alpha.expand(y.shape[1]), cross) for alpha in alphas]
        on_test = torch.stack(self.agreements(fits, [y_test] * len(fits))).nan_to_num()
        return replace(super().choose(basis, cross, y, y_test, alphas), index=on_test.argmax(dim=0))


@breaks("order_of_stimuli")
class PenaltyChosenByPlace(Linear):
    """The last stimuli of the training set are held out to choose the penalty on."""

    grid = tuple(np.logspace(-4, 4, 17))

    def choose(self, basis, cross, y, y_test, alphas):
        last = torch.arange(len(y)) >= len(y) - 10
        fits = torch.stack(
            [
                ridge.predict(ridge.coordinates(basis, y), a.expand(y.shape[1]), basis.vectors * basis.values)
                for a in alphas
            ]
        )
        error = (fits - y).square()[:, last].sum(dim=1)
        return replace(super().choose(basis, cross, y, y_test, alphas), index=error.argmin(dim=0))


@breaks("null_is_zero", "inverted_recording_is_negative")
class SignDropped(Linear):
    def agreement(self, predicted, truth, weights):
        return super().agreement(predicted, truth, weights).abs()


@breaks("oracle_reaches_the_ceiling", "null_is_zero", "inverted_recording_is_negative")
class Squared(Linear):
    def agreement(self, predicted, truth, weights):
        return super().agreement(predicted, truth, weights).square()


@breaks("oracle_reaches_the_ceiling", "scores_are_on_their_scale")
class CeilingTakenOff(Linear):
    def agreement(self, predicted, truth, weights):
        return super().agreement(predicted, truth, weights) / 0.8


@breaks(
    "oracle_reaches_the_ceiling",
    "own_stage_wins",
    "inverted_recording_is_negative",
    "noise_lowers_the_score",
    "scores_are_on_their_scale",
    "constant_column",
    "time_bins_are_columns",
)
class RelativeToOtherColumns(Linear):
    def agreement(self, predicted, truth, weights):
        r = super().agreement(predicted, truth, weights)
        return r / r.nanmean(dim=1, keepdim=True)

    def choose(self, basis, cross, y, y_test, alphas):
        pick = super().choose(basis, cross, y, y_test, alphas)
        return replace(pick, cv_r2=pick.cv_r2 / pick.cv_r2.nanmean())


@breaks(
    "null_is_zero",
    "outsiders_have_no_say",
    "offset_of_a_fold",
    "replicate_of_ones_is_the_score",
    "replicates_repeat_stimuli",
)
class FoldsPooled(Linear):
    def agreements(self, predicted, truth):
        return super().agreements([torch.cat(predicted)], [torch.cat(truth)]) * len(predicted)


@breaks("order_of_columns")
class ColumnsCoupled(Linear):
    def agreement(self, predicted, truth, weights):
        r = super().agreement(predicted, truth, weights)
        return r - 0.02 * r[:, :1]


@breaks("time_bins_are_columns")
class SmoothedOverBins(Linear):
    def responses(self, target):
        mean = target.mean()
        if not target.times:
            return mean
        of_neuroid = mean.reshape(len(mean), -1, len(set(target.times)))
        return np.repeat(of_neuroid.mean(axis=2), of_neuroid.shape[2], axis=1)


@breaks("replicates_repeat_stimuli")
class WeightsIgnored(Linear):
    def agreement(self, predicted, truth, weights):
        return super().agreement(predicted, truth, torch.ones_like(weights))


@breaks("replicates_repeat_stimuli")
class WeightsOutOfOrder(Linear):
    def agreement(self, predicted, truth, weights):
        return super().agreement(predicted, truth, weights.flip(1))


@breaks("deterministic")
class Unseeded(Linear):
    def agreements(self, predicted, truth):
        return [r + 1e-7 * torch.randn(r.shape) for r in super().agreements(predicted, truth)]


@breaks("test_stimuli_choose_nothing")
class TrainScoredOnTest(Linear):
    def reported(self, score):
        return replace(score, train=score.folds)


@breaks("own_stage_wins")
class TrainIsALoss(Linear):
    def reported(self, score):
        return replace(score, train=-score.train)


@breaks("constant_column", "incomplete_column")
class ConstantIsZero(Linear):
    def reported(self, score):
        return replace(score, folds=np.nan_to_num(score.folds), reason=("",) * len(score.reason))


@breaks("constant_column", "incomplete_column")
class ConstantIsDropped(Linear):
    def reported(self, score):
        keep = np.isfinite(score.raw)
        return replace(
            score,
            folds=score.folds[:, keep],
            train=score.train[:, keep],
            resample=lambda weights, folds, columns: score.resample(weights, folds, np.flatnonzero(keep)[columns]),
            reason=tuple(reason for reason, kept in zip(score.reason, keep) if kept),
        )


@breaks("constant_column", "incomplete_column")
class NoReasonGiven(Linear):
    def reported(self, score):
        return replace(score, reason=("",) * len(score.reason))


@breaks("score_has_its_shape", "replicate_of_ones_is_the_score", "replicates_repeat_stimuli")
class FoldsLast(Linear):
    def reported(self, score):
        return replace(score, resample=lambda *asked: np.moveaxis(score.resample(*asked), 1, 2))


@breaks("replicate_of_ones_is_the_score")
class ResamplesTheFirstColumns(Linear):
    def reported(self, score):
        return replace(
            score, resample=lambda weights, folds, columns: score.resample(weights, folds, np.arange(len(columns)))
        )


@breaks("declared_invariances_hold")
class ClaimsAnInvariance(Linear):
    spec = replace(Linear.spec, invariances=(*Linear.spec.invariances, "stimulus-offset"))


@breaks("declared_invariances_hold")
class MisspellsAnInvariance(Linear):
    spec = replace(Linear.spec, invariances=(*Linear.spec.invariances, "rotations"))


@breaks("other_invariances_do_not_hold")
class HidesAnInvariance(Linear):
    spec = replace(Linear.spec, invariances=("scale",))


def test_the_readout_without_a_defect_keeps_every_law():
    assert failures(Linear()) == {}


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_a_defect_breaks_exactly_its_laws(defect):
    assert failures(defect()).keys() == DEFECTS[defect]


def test_no_law_is_without_a_defect():
    laws = {check.name for check in checks_for(Linear())} - {"devices_agree"}  # that one needs a second device
    assert {check.name for check in checks_for(Shape())} - laws - {"devices_agree"} == {
        "replicates_follow_single_stimuli"
    }
    assert set().union(*DEFECTS.values()) == laws
