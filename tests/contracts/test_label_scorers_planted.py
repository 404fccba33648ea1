"""Scorers of labels keep every law that applies to them, and defects of their own kind break exactly theirs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from brainbench.checks import checks_for, run_checks
from brainbench.core.arrays import take
from brainbench.core.score import Score
from brainbench.numerics import kernel_errors
from brainbench.scorers import kernel_analysis, svm
from brainbench.scorers.kernel_analysis import KernelAnalysis
from brainbench.scorers.svm import SVM


def failures(scorer):
    return {outcome.check: outcome.message for outcome in run_checks(scorer) if outcome.status != "passed"}


class Ridged:
    """Categories told by a ridge readout of their indicators, in steps that a defect replaces; it keeps every law."""

    spec = replace(SVM.spec, name="ridged")

    def score(self, representation, target, split, *, seed, device):
        rows = self.rows(representation, target)
        gram = representation.gram[rows][:, rows].double()
        codes = target.codes
        parts = [
            (take(target.stimulus_ids, f.train, what="y"), take(target.stimulus_ids, f.test, what="y"))
            for f in split.folds
        ]
        reason = "missing-stimuli" if (codes < 0).any() else "one-category" if len(set(codes)) < 2 else ""
        folds, train, chance = np.full((3, len(parts), 1), np.nan)
        answers = []
        for number, (fit, test) in enumerate([] if reason else parts):
            said = self.said(gram, codes, fit, test)
            answers.append(said == codes[test])
            folds[number] = self.share(answers[-1], np.ones((1, len(test))))[0]
            inner = [np.array_split(fit[np.argsort(np.asarray(target.stimulus_ids)[fit])], 3)[k] for k in range(3)]
            train[number] = self.inner(gram, codes, fit, test, inner)
            chance[number] = sum((said == c).mean() * (codes[test] == c).mean() for c in set(codes))

        def resample(weights, wanted, columns):
            out = np.full((len(weights), len(wanted), 1), np.nan)
            for place, number in enumerate([] if reason else wanted):
                out[:, place, 0] = self.share(answers[number], weights[:, parts[number][1]])
            return out[:, :, columns]

        return self.reported(
            Score(
                scale="share",
                folds=folds,
                train=train,
                resample=resample,
                reason=(reason,),
                extras={"chance": chance},
            )
        )

    def rows(self, representation, target):
        return torch.as_tensor(take(representation.stimulus_ids, target.stimulus_ids, what="x"))

    def said(self, gram, codes, fit, test):
        """The category of the largest of one readout each."""
        kernel = gram[fit][:, fit]
        centre = kernel.mean(dim=0)
        centred = kernel - centre - centre[:, None] + centre.mean()
        new = gram[test][:, fit] - centre
        new = new - new.mean(dim=1, keepdim=True)
        indicators = torch.nn.functional.one_hot(torch.as_tensor(codes[fit])).double()
        penalty = 0.1 * centred.diagonal().mean() * torch.eye(len(fit))
        weights = torch.linalg.solve(centred + penalty, indicators - indicators.mean(dim=0))
        return (new @ weights + indicators.mean(dim=0)).argmax(dim=1).numpy()

    def inner(self, gram, codes, fit, test, inner):
        """Share of the training stimuli that are told from the others, a third at a time."""
        right = [self.said(gram, codes, np.setdiff1d(fit, held), held) == codes[held] for held in inner]
        return np.concatenate(right).mean()

    def share(self, right, weights):
        total = weights.sum(axis=1)
        return np.divide(weights @ right, total, out=np.full(len(weights), np.nan), where=total > 0)

    def reported(self, score):
        return score


DEFECTS = {}


def breaks(*laws):
    def register(defect):
        DEFECTS[defect] = set(laws)
        return defect

    return register


@breaks("rows_are_joined_by_id", "missing_stimulus_raises")
class PairedByPosition(Ridged):
    def rows(self, representation, target):
        return torch.arange(len(target.stimulus_ids)) % len(representation.stimulus_ids)


@breaks("null_is_zero", "replicates_repeat_stimuli")  # and a copied test stimulus is fitted twice
class FittedOnTheTestStimuli(Ridged):
    def said(self, gram, codes, fit, test):
        return super().said(gram, codes, np.concatenate([fit, test]), test)


@breaks("test_stimuli_choose_nothing")
class TrainScoredOnTest(Ridged):
    def reported(self, score):
        return replace(score, train=score.folds)


@breaks("own_stage_wins")
class TrainIsALoss(Ridged):
    def reported(self, score):
        return replace(score, train=1 - score.train)


@breaks("null_is_zero")
class ChanceIsForgotten(Ridged):
    def reported(self, score):
        return replace(score, extras={})


@breaks("replicates_repeat_stimuli")
class WeightsIgnored(Ridged):
    def share(self, right, weights):
        return super().share(right, np.ones_like(weights))


@breaks("constant_column", "incomplete_column")
class UndefinedIsZero(Ridged):
    def reported(self, score):
        return replace(score, folds=np.nan_to_num(score.folds), reason=("",))


@breaks("scores_are_on_their_scale", "null_is_zero")
class ErrorsInsteadOfShares(Ridged):
    def share(self, right, weights):
        return 1.5 * super().share(right, weights)


@breaks("declared_invariances_hold")
class Uncentred(Ridged):
    def said(self, gram, codes, fit, test):
        indicators = torch.nn.functional.one_hot(torch.as_tensor(codes[fit])).double()
        kernel = gram[fit][:, fit]
        weights = torch.linalg.solve(kernel + 0.1 * kernel.diagonal().mean() * torch.eye(len(fit)), indicators)
        return (gram[test][:, fit] @ weights).argmax(dim=1).numpy()


def test_the_readout_without_a_defect_keeps_every_law():
    assert failures(Ridged()) == {}


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_a_defect_breaks_exactly_its_laws(defect):
    assert failures(defect()).keys() == DEFECTS[defect]


def test_laws_of_columns_and_ceilings_are_not_asked_of_labels():
    of_labels, of_responses = ({c.name for c in checks_for(s)} for s in (SVM(), responses_scorer()))
    left_out = {
        "oracle_reaches_the_ceiling",
        "inverted_recording_is_negative",
        "offset_of_a_fold",
        "time_bins_are_columns",
        "unit_of_responses",
    }
    assert of_responses - of_labels == left_out
    assert of_labels - {c.name for c in checks_for(KernelAnalysis())} == {"replicates_repeat_stimuli"}


def responses_scorer():
    from brainbench.scorers.ridge import Ridge

    return Ridge()


@pytest.mark.parametrize("scorer", [KernelAnalysis(leave_out="stimulus"), KernelAnalysis(n_units=20)], ids=str)
def test_other_parameters_keep_the_contract(scorer):
    """Of a random subset of units no rotation can be undone, and of a Gram matrix none can be drawn."""
    broken = {"gram_is_enough", "declared_invariances_hold", "order_of_stimuli"} if scorer.n_units else set()
    assert failures(scorer).keys() <= broken


def test_in_sample_errors_of_the_other_protocol_have_no_zero():
    assert failures(KernelAnalysis(protocol="2013")).keys() == {"null_is_zero"}


def test_errors_that_are_not_left_out_are_caught(monkeypatch):
    """The error on the stimuli that a reader was fitted to: noise is told as well as anything."""

    def in_sample(kernel, y, penalties, shared):
        values, vectors = torch.linalg.eigh(kernel)
        z = vectors.T @ y
        kept = [((vectors * (a / (values.clamp_min(0) + a))) @ z).square().mean(dim=1) for a in penalties]
        return torch.stack(kept)

    monkeypatch.setattr(kernel_errors, "_loo", in_sample)
    assert "null_is_zero" in failures(KernelAnalysis())


def test_an_envelope_taken_stimulus_by_stimulus_is_caught(monkeypatch):
    """The width that is best for each stimulus alone is chosen on that stimulus."""
    true = kernel_analysis.loo_errors
    monkeypatch.setattr(kernel_analysis, "loo_errors", lambda *a, **k: true(*a, **k).min(dim=0, keepdim=True).values)
    assert "null_is_zero" in failures(KernelAnalysis())


def test_a_cost_chosen_on_test_stimuli_is_caught(monkeypatch):
    true = svm.svm_readings

    def peeking(features, labels, splits, **options):
        ((_, test),) = splits
        found = [true(features, labels, splits, **options, costs=[cost])[0] for cost in (1e-3, 1e-2, 0.1, 1.0, 10.0)]
        return [max(found, key=lambda reading: float((reading.predicted == labels[test]).double().mean()))]

    monkeypatch.setattr(svm, "svm_readings", peeking)
    assert "test_stimuli_choose_nothing" in failures(SVM())
