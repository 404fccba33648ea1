"""Laws of what scorers measure: the truth where there is one, nothing where there is none, test stimuli once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from brainbench.checks._check import Violation, check
from brainbench.checks._recording import (
    garbled,
    inverted,
    noisier,
    recording,
    rng,
    same,
    scored,
    shuffled,
    signals,
    test_rows,
)
from brainbench.core.score import normalized
from brainbench.core.splits import Fold

N_NULL = 16  # shuffles
N_SE = 4  # standard errors that a mean of nulls may lie from 0: one correct scorer in 16,000 would
REACHED = (0.9, 1.1)  # of the ceiling: 256 training stimuli leave a readout short of it by some 3 %


@check(
    "scorer",
    mend="compare the score with the ceiling of what is scored: the mean over repetitions, on its scale",
    applies=lambda scorer: scorer.spec.requires != "labels",  # which have none
)
def check_oracle_reaches_the_ceiling(scorer: Any) -> None:
    """The code that generated the recording scores what can be scored: a normalized 1, or between an RDM's bounds.

    For a scorer that reads units that code is the neuroids' own signals.
    """
    case = recording(scorer)
    raw = scored(scorer, case, features=signals(case) if scorer.spec.reads == "units" else None).raw
    if case.ceiling.upper is None:
        share = np.median(normalized(raw, scorer.spec.scale, case.ceiling))
        low, high = REACHED
        what = "a normalized score"
    else:
        share, low, high = raw.mean(), case.ceiling.value.mean(), case.ceiling.upper.mean()
        what = "agreement with the subjects"
    if not low <= share <= high:
        raise Violation(f"the code that generated the recording has {what} of {share:.3f}, not {low:.3f} to {high:.3f}")


@check("scorer", mend="make sure that train and folds measure the same agreement, and that both see the features")
def check_own_stage_wins(scorer: Any) -> None:
    """Of the four stages that one generated the recording scores best, in training and in test, whichever it was."""
    for region in recording(scorer).codes:
        case = recording(scorer, region)
        scores = {stage: scored(scorer, case, features=code) for stage, code in case.codes.items()}
        for what in ("folds", "train"):
            means = {stage: float(getattr(score, what).mean()) for stage, score in scores.items()}
            best = max(means, key=means.__getitem__)
            if best != region:
                raise Violation(f"recorded from {region}, but {best} is best in `{what}`: {means}")


@check("scorer", mend="keep the sign of a correlation; leave diagonals out; choose and centre within training stimuli")
def check_null_is_zero(scorer: Any) -> None:
    """Recordings whose stimuli were shuffled, in each column in its own way, score 0 on average (R²: not above).

    Where categories are told, that is the `chance` of the scorer's extras, 0 if it has none.
    """
    case = recording(scorer)
    random = rng()
    shuffles = [scored(scorer, case, data=shuffled(case.data, random)) for _ in range(N_NULL)]
    chances = [score.extras.get("chance", np.zeros((1, 1))).mean(axis=0) for score in shuffles]
    nulls = np.concatenate([score.raw - chance for score, chance in zip(shuffles, chances)])
    mean, bound = nulls.mean(), N_SE * nulls.std(ddof=1) / np.sqrt(len(nulls))
    if not (mean if scorer.spec.scale == "r2" else abs(mean)) <= bound:
        raise Violation(
            f"{len(nulls)} shuffled columns score {mean:.4f} on average; {N_SE} standard errors are {bound:.4f}"
        )


@check(
    "scorer",
    mend="keep the sign: no absolute value, no square of a correlation",
    applies=lambda scorer: scorer.spec.requires != "labels",  # which have no opposite
)
def check_inverted_recording_is_negative(scorer: Any) -> None:
    """Test responses of the opposite sign (RDMs: near for far) score below 0."""
    case = recording(scorer)
    got = scored(scorer, case, data=inverted(case.data, test_rows(case))).folds[0]
    if not got.mean() < 0:
        raise Violation(f"an inverted recording scores {got.mean():.3f} instead of below 0")


@check("scorer", mend="fit penalties, choose layers and compute `train` on the training stimuli of the fold alone")
def check_test_stimuli_choose_nothing(scorer: Any) -> None:
    """Scrambled test responses leave the fold's `train` and the penalty or cost it chose as they were."""
    case = recording(scorer)
    before = scored(scorer, case)
    after = scored(scorer, case, data=garbled(case.data, test_rows(case), rng()))
    same(after.train[0], before.train[0], "`train` of a fold whose test responses were scrambled")
    for name in {"penalty", "cost"} & before.extras.keys():
        moved = after.extras[name][0] != before.extras[name][0]
        if moved.any():
            raise Violation(f"test responses have a say in the {name} of {moved.sum()} of {moved.size} columns")


@check("scorer", mend="compute means, scales and everything else that is fitted from the fold's training rows")
def check_outsiders_have_no_say(scorer: Any) -> None:
    """A stimulus that stands on neither side of a fold changes nothing of its score, whatever its numbers are."""
    case = recording(scorer)
    first, *others = case.split.folds
    half = Fold(train=first.train, test=first.test[::2])
    split = replace(case.split, folds=(half, *others))
    outside = test_rows(case)[1::2]
    features = case.features.copy()
    features[outside] = (rng().normal(size=features[outside].shape) + 1) * np.geomspace(1, 100, features.shape[1])
    got = scored(scorer, case, split=split, features=features, data=garbled(case.data, outside, rng()))
    same(got.folds[0], scored(scorer, case, split=split).folds[0], "outliers in stimuli outside the fold")


@check(
    "scorer",
    mend="correlate within each fold, then average over folds: pooled folds differ in their means",
    applies=lambda scorer: scorer.spec.requires == "responses" and scorer.spec.scale == "r",
)
def check_offset_of_a_fold(scorer: Any) -> None:
    """A constant added to all test responses of a fold leaves its correlation as it is."""
    case = recording(scorer)
    values = case.data.values.copy()
    values[test_rows(case)] += 3 * np.nanstd(values)
    got = scored(scorer, case, data=replace(case.data, values=values))
    same(got.folds[0], scored(scorer, case).folds[0], "an offset of a fold's test responses")


@check("scorer", mend="check what the scorer measures: it should be agreement")
def check_noise_lowers_the_score(scorer: Any) -> None:
    """Recordings under more noise score less."""
    case = recording(scorer)
    levels = (0.0, 1.0, 4.0)
    means = [float(scored(scorer, case, data=noisier(case.data, sd, rng())).raw.mean()) for sd in levels]
    if not means[0] > means[1] > means[2]:
        raise Violation(f"under noise of {levels} standard deviations scores are {np.round(means, 3)}, not descending")


@check(
    "scorer", mend="do not divide by a ceiling inside a scorer: normalisation is done once, by `core.score.normalized`"
)
def check_scores_are_on_their_scale(scorer: Any) -> None:
    """Correlations lie in [-1, 1], R² is not above 1: for recordings as they are, shuffled and inverted."""
    case = recording(scorer)
    for data in (case.data, shuffled(case.data, rng()), inverted(case.data, test_rows(case))):
        folds = scored(scorer, case, data=data).folds
        low = -1.0 if scorer.spec.scale == "r" else -np.inf
        if folds.min() < low - 1e-6 or folds.max() > 1 + 1e-6:
            raise Violation(f"scores on scale {scorer.spec.scale!r} run from {folds.min():.3f} to {folds.max():.3f}")
