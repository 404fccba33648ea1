"""Laws of scorers, on synthetic recordings of which the answers are known.

A scorer is given the responses of neuroids (or the RDMs of subjects) that read out one stage of a cascade, and the code
of that stage as its representation; then one of the two is changed, and what the score may do is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import torch

from brainbench.checks._check import Violation, check
from brainbench.checks._recording import (
    Recording,
    columns_taken,
    inverted,
    n_columns,
    noisier,
    overwritten,
    recording,
    represented,
    rows_taken,
    scored,
    shuffled,
    with_column,
)
from brainbench.core.arrays import Block, take
from brainbench.core.score import normalized
from brainbench.core.specs import Invariance
from brainbench.core.splits import Fold
from brainbench.errors import AlignmentError
from brainbench.numerics.representation import Representation

SAME = 1e-3  # scores that agree to float32 are the same
N_NULL = 20  # shuffles
N_SE = 4  # standard errors that a mean of nulls may lie from 0: one correct scorer in 16,000 would
REACHED = (0.9, 1.1)  # of the ceiling: 320 stimuli leave a readout short of it by some 2 %

TRANSFORMS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "scale": lambda x, rng: 3 * x,
    "rotation": lambda x, rng: x @ np.linalg.qr(rng.normal(size=(x.shape[1], x.shape[1])))[0],
    "translation": lambda x, rng: x + 2 * x.std() * rng.normal(size=x.shape[1]),
    "unit-permutation": lambda x, rng: x[:, rng.permutation(x.shape[1])],
    "stimulus-scale": lambda x, rng: x * rng.uniform(0.2, 5, size=(len(x), 1)),
    "stimulus-offset": lambda x, rng: x + 10 * x.std() * rng.normal(size=(len(x), 1)),
}


def takes_responses(scorer: Any) -> bool:
    """True for scorers of neuroids, False for those of RDMs."""
    return bool(scorer.spec.requires == "responses")


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _test_rows(case: Recording, fold: int = 0) -> np.ndarray:
    return take(case.data.stimulus_ids, case.split.folds[fold].test, what="the recording")


def _same(got: np.ndarray, expected: np.ndarray, law: str, *, within: float = SAME) -> None:
    """Raises Violation, with the largest difference, unless all entries agree; NaN agrees with NaN."""
    if got.shape != expected.shape:
        raise Violation(f"{law}: shape {got.shape} instead of {expected.shape}")
    if not np.array_equal(np.isnan(got), np.isnan(expected)):
        raise Violation(
            f"{law}: {np.isnan(got).sum()} of {got.size} scores are NaN instead of {np.isnan(expected).sum()}"
        )
    apart = np.nan_to_num(np.abs(got - expected)).max(initial=0.0)
    if apart > within:
        raise Violation(f"{law}: scores move by up to {apart:.3g}; {within:g} is allowed")


@check("scorer", mend="give every array of the Score the shape that its docstring states")
def check_score_has_its_shape(scorer: Any) -> None:
    """`folds` and `train` are (F, V), `resample` gives (B, folds asked for, V), each column has a reason or ""."""
    case = recording(scorer)
    score = scored(scorer, case)
    shape = (len(case.split.folds), n_columns(case.data))
    weights = np.ones((3, len(case.data.stimulus_ids)), dtype=np.float32)
    got = (score.folds.shape, score.train.shape, score.resample(weights, [1, 0]).shape, len(score.reason), score.scale)
    expected = (shape, shape, (3, 2, shape[1]), shape[1], scorer.spec.scale)
    if got != expected:
        raise Violation(f"shapes of folds, train and resample, reasons and scale are {got} instead of {expected}")


@check("scorer", mend="draw random numbers from a generator made of the `seed` argument, and from nothing else")
def check_deterministic(scorer: Any) -> None:
    """Two calls give the same numbers to the last bit."""
    case = recording(scorer)
    first, second = scored(scorer, case), scored(scorer, case)
    for name in ("folds", "train"):
        _same(getattr(second, name), getattr(first, name), f"`{name}` of a second call", within=0.0)
    for name, value in first.extras.items():
        _same(second.extras[name].astype(float), value.astype(float), f"extra {name!r} of a second call", within=0.0)


@check("scorer", mend="work on copies: representations and targets are shared with other scorers")
def check_inputs_untouched(scorer: Any) -> None:
    """Features, Gram matrix, responses and split are after the call what they were before it."""
    case = recording(scorer)
    representation = represented(case)
    data = replace(case.data, values=case.data.values.copy())
    split = replace(case.split, unit=dict(case.split.unit))
    before = represented(case)
    scorer.score(representation, data, split, seed=0, device="cpu")
    untouched = {
        "features": np.array_equal(np.asarray(representation.features), case.features),
        "gram": torch.equal(representation.gram, before.gram),
        "unit_mean": torch.equal(representation.unit_mean, before.unit_mean),
        "target": np.array_equal(data.values, case.data.values, equal_nan=True),
        "split": split == case.split,
    }
    changed = [name for name, same in untouched.items() if not same]
    if changed:
        raise Violation(f"the scorer writes into its arguments: {', '.join(changed)}")


@check("scorer", mend="find rows with core.arrays.take, by stimulus id")
def check_rows_are_joined_by_id(scorer: Any) -> None:
    """The order of the representation's rows means nothing."""
    case = recording(scorer)
    order = _rng().permutation(len(case.features))
    ids = tuple(case.data.stimulus_ids[i] for i in order)
    got = scored(scorer, case, features=case.features[order], ids=ids)
    _same(got.folds, scored(scorer, case).folds, "rows of the representation in another order")


@check("scorer", mend="take the target's stimuli out of the representation with core.arrays.take")
def check_further_stimuli_are_ignored(scorer: Any) -> None:
    """A representation may hold stimuli that the target does not: they have no say."""
    case = recording(scorer)
    further = 10 * _rng().normal(size=(20, case.features.shape[1]))
    ids = case.data.stimulus_ids + tuple(f"{name}~" for name in case.data.stimulus_ids[::-1][:20])
    got = scored(scorer, case, features=np.concatenate([case.features, further]), ids=ids)
    _same(got.folds, scored(scorer, case).folds, "20 further stimuli in the representation")


@check("scorer", mend="raise AlignmentError (core.arrays.take does); never score the stimuli that happen to be there")
def check_missing_stimulus_raises(scorer: Any) -> None:
    """A representation that lacks one of the target's stimuli is refused."""
    case = recording(scorer)
    try:
        scored(scorer, case, features=case.features[:-1], ids=case.data.stimulus_ids[:-1])
    except AlignmentError:
        return
    except Exception as error:
        raise Violation(
            f"a stimulus that the representation lacks raises {type(error).__name__} instead of AlignmentError: {error}"
        ) from error
    raise Violation("a stimulus that the representation lacks is left out in silence instead of raising AlignmentError")


@check("scorer", mend="use the Gram matrix: wide layers come without features (see numerics.representation)")
def check_gram_is_enough(scorer: Any) -> None:
    """A layer that is kept as its Gram matrix has the score of its features."""
    case = recording(scorer)
    full = represented(case)
    gram = Representation.from_gram(full.gram, full.unit_mean, full.n_units, full.stimulus_ids)
    got = scored(scorer, case, representation=gram)
    _same(got.folds, scored(scorer, case).folds, "the Gram matrix in place of the features")


@check("scorer", mend="find rows by stimulus id, and sum over stimuli in a way that their order does not change")
def check_order_of_stimuli(scorer: Any) -> None:
    """The order of stimuli in both target and representation means nothing."""
    case = recording(scorer)
    order = _rng().permutation(len(case.features))
    ids = tuple(case.data.stimulus_ids[i] for i in order)
    got = scored(scorer, case, data=rows_taken(case.data, order, ids), features=case.features[order], ids=ids)
    _same(got.folds, scored(scorer, case).folds, "stimuli in another order")


@check("scorer", mend="score every column on its own")
def check_order_of_columns(scorer: Any) -> None:
    """Neuroids (or subjects) in another order have the same scores in that order."""
    case = recording(scorer)
    order = _rng().permutation(n_columns(case.data))
    got = scored(scorer, case, data=columns_taken(case.data, order))
    _same(got.folds, scored(scorer, case).folds[:, order], "columns in another order")


@check("scorer", mend="compare the score with the ceiling of what is scored: the mean over repetitions, on its scale")
def check_oracle_reaches_the_ceiling(scorer: Any) -> None:
    """The code that generated the recording scores what can be scored: a normalized 1, or between an RDM's bounds."""
    case = recording(scorer)
    raw = scored(scorer, case).raw
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
    """Recordings whose stimuli were shuffled, in each column in its own way, score 0 on average (R²: not above)."""
    case = recording(scorer)
    rng = _rng()
    nulls = np.concatenate([scored(scorer, case, data=shuffled(case.data, rng)).raw for _ in range(N_NULL)])
    mean, bound = nulls.mean(), N_SE * nulls.std(ddof=1) / np.sqrt(len(nulls))
    if not (mean if scorer.spec.scale == "r2" else abs(mean)) <= bound:
        raise Violation(
            f"{len(nulls)} shuffled columns score {mean:.4f} on average; {N_SE} standard errors are {bound:.4f}"
        )


@check("scorer", mend="keep the sign: no absolute value, no square of a correlation")
def check_inverted_recording_is_negative(scorer: Any) -> None:
    """Test responses of the opposite sign (RDMs: near for far) score below 0."""
    case = recording(scorer)
    got = scored(scorer, case, data=inverted(case.data, _test_rows(case))).folds[0]
    if not got.mean() < 0:
        raise Violation(f"an inverted recording scores {got.mean():.3f} instead of below 0")


@check("scorer", mend="fit penalties, choose layers and compute `train` on the training stimuli of the fold alone")
def check_test_stimuli_choose_nothing(scorer: Any) -> None:
    """Scrambled test responses leave the fold's `train` and the penalty it chose as they were."""
    case = recording(scorer)
    before = scored(scorer, case)
    after = scored(scorer, case, data=overwritten(case.data, _test_rows(case), _rng()))
    _same(after.train[0], before.train[0], "`train` of a fold whose test responses were scrambled")
    if "penalty" in before.extras:
        moved = after.extras["penalty"][0] != before.extras["penalty"][0]
        if moved.any():
            raise Violation(f"test responses have a say in the penalty of {moved.sum()} of {moved.size} columns")


@check("scorer", mend="compute means, scales and everything else that is fitted from the fold's training rows")
def check_outsiders_have_no_say(scorer: Any) -> None:
    """A stimulus that stands on neither side of a fold changes nothing of its score, whatever its numbers are."""
    case = recording(scorer)
    first, *others = case.split.folds
    half = Fold(train=first.train, test=first.test[::2])
    split = replace(case.split, folds=(half, *others))
    outside = _test_rows(case)[1::2]
    features = case.features.copy()
    features[outside] = 50 * _rng().normal(size=features[outside].shape) + 100
    got = scored(scorer, case, split=split, features=features, data=overwritten(case.data, outside, _rng()))
    _same(got.folds[0], scored(scorer, case, split=split).folds[0], "outliers in stimuli outside the fold")


@check(
    "scorer",
    mend="correlate within each fold, then average over folds: pooled folds differ in their means",
    applies=lambda scorer: takes_responses(scorer) and scorer.spec.scale == "r",
)
def check_offset_of_a_fold(scorer: Any) -> None:
    """A constant added to all test responses of a fold leaves its correlation as it is."""
    case = recording(scorer)
    values = case.data.values.copy()
    values[_test_rows(case)] += 3 * np.nanstd(values)
    got = scored(scorer, case, data=replace(case.data, values=values))
    _same(got.folds[0], scored(scorer, case).folds[0], "an offset of a fold's test responses")


def _left_out(scorer: Any, value: float, rows: np.ndarray | None, what: str) -> None:
    case = recording(scorer)
    spoilt = n_columns(case.data) // 2
    score = scored(scorer, case, data=with_column(case.data, spoilt, value, rows))
    plain = scored(scorer, case)
    if score.folds.shape != plain.folds.shape:
        raise Violation(f"{what} changes the shape of the scores from {plain.folds.shape} to {score.folds.shape}")
    if np.isfinite(score.raw[spoilt]):
        raise Violation(f"{what} scores {score.raw[spoilt]:.3f} instead of NaN")
    if not score.reason[spoilt]:
        raise Violation(f"{what} is NaN without a reason")
    others = np.arange(n_columns(case.data)) != spoilt
    _same(score.folds[:, others], plain.folds[:, others], f"columns beside {what}")
    named = [reason for column, reason in enumerate(score.reason) if reason and column != spoilt]
    if named:
        raise Violation(f"columns beside {what} have a reason to be NaN: {named[0]}")


@check("scorer", mend="leave the column in its place, NaN, with a `reason`; 0 would be a score")
def check_constant_column(scorer: Any) -> None:
    """A neuroid that gives one response (a subject with one distance) to all stimuli is NaN with a reason."""
    _left_out(scorer, 0.25, None, "a constant column")


@check("scorer", mend="leave the column in its place, NaN, with a `reason`; never fill gaps or score the rest")
def check_incomplete_column(scorer: Any) -> None:
    """A neuroid (or subject) without a number for one stimulus is NaN with a reason."""
    _left_out(scorer, np.nan, np.array([7]), "a column without a number for one stimulus")


@check("scorer", mend="check what the scorer measures: it should be agreement")
def check_noise_lowers_the_score(scorer: Any) -> None:
    """Recordings under more noise score less."""
    case = recording(scorer)
    levels = (0.0, 1.0, 4.0)
    means = [float(scored(scorer, case, data=noisier(case.data, sd, _rng())).raw.mean()) for sd in levels]
    if not means[0] > means[1] > means[2]:
        raise Violation(f"under noise of {levels} standard deviations scores are {np.round(means, 3)}, not descending")


@check(
    "scorer", mend="do not divide by a ceiling inside a scorer: normalisation is done once, by `core.score.normalized`"
)
def check_scores_are_on_their_scale(scorer: Any) -> None:
    """Correlations lie in [-1, 1], R² is not above 1: for recordings as they are, shuffled and inverted."""
    case = recording(scorer)
    for data in (case.data, shuffled(case.data, _rng()), inverted(case.data, _test_rows(case))):
        folds = scored(scorer, case, data=data).folds
        low = -1.0 if scorer.spec.scale == "r" else -np.inf
        if folds.min() < low - 1e-6 or folds.max() > 1 + 1e-6:
            raise Violation(f"scores on scale {scorer.spec.scale!r} run from {folds.min():.3f} to {folds.max():.3f}")


def _moved(scorer: Any, transform: str) -> float:
    case = recording(scorer)
    features = TRANSFORMS[transform](case.features, _rng())
    apart = np.abs(scored(scorer, case, features=features).folds - scored(scorer, case).folds)
    return float(np.where(np.isnan(apart), np.inf, apart).max())


@check("scorer", mend="take the invariance off `spec.invariances`, or mend the scorer")
def check_declared_invariances_hold(scorer: Any) -> None:
    """What `spec.invariances` names may be done to features without moving a score."""
    for name in scorer.spec.invariances:
        if name not in TRANSFORMS:
            raise Violation(f"no invariance {name!r}; there are {', '.join(get_args(Invariance))}")
        moved = _moved(scorer, name)
        if moved > SAME:
            raise Violation(f"declared invariant to {name}, but scores move by up to {moved:.3g}")


@check("scorer", mend="add the invariance to `spec.invariances`")
def check_other_invariances_do_not_hold(scorer: Any) -> None:
    """What `spec.invariances` does not name moves scores: the list is complete."""
    for name in sorted(TRANSFORMS.keys() - set(scorer.spec.invariances)):
        moved = _moved(scorer, name)
        if moved <= SAME:
            raise Violation(f"not declared invariant to {name}, yet scores move by {moved:.3g} only")


@check("scorer", mend="multiply in float32 at least and sum in float64: squares of features overflow float16")
def check_precision(scorer: Any) -> None:
    """Large features (thousands, as some layers have) in float32 score what they score in float64."""
    case = recording(scorer)
    features = 2000 * case.features / np.abs(case.features).max()
    got = scored(scorer, case, features=features.astype(np.float32)).folds
    if not np.isfinite(got).all():
        raise Violation(f"features of up to 2000 give {np.isnan(got).sum()} of {got.size} scores NaN")
    _same(got, scored(scorer, case, features=features).folds, "features in float32 instead of float64")
    _same(got, scored(scorer, case, features=features / 2000).folds, "features of 2000 instead of 1")


@check("scorer", mend="`resample` scores the predictions of the folds it is asked for, as `folds` does")
def check_replicate_of_ones_is_the_score(scorer: Any) -> None:
    """With every stimulus once, `resample` gives `folds`, for the folds asked for and in that order."""
    case = recording(scorer)
    score = scored(scorer, case)
    wanted = list(range(len(case.split.folds)))[::-1]
    got = score.resample(np.ones((2, len(case.features)), dtype=np.float32), wanted)
    _same(got[1], score.folds[wanted], "a replicate with every stimulus once")


@check(
    "scorer", mend="weigh the fold's test stimuli; columns of `weights` are in the order of the target's stimulus ids"
)
def check_replicates_repeat_stimuli(scorer: Any) -> None:
    """A multiplicity is how often a test stimulus is there: of RDMs, whose copies make no pair, 0 or 1."""
    case = recording(scorer)
    first, *others = case.split.folds
    times = np.ones(len(case.features), dtype=int)
    times[_test_rows(case)] = _rng().integers(0, 4 if isinstance(case.data, Block) else 2, size=len(first.test))
    copies = [(row, copy) for row, count in enumerate(times) for copy in range(1, count)]
    rows = np.asarray([*range(len(times)), *(row for row, _ in copies)])
    names = case.data.stimulus_ids
    further = {f"{names[row]}~{copy}": case.split.unit[names[row]] for row, copy in copies}
    test = tuple(name for name in first.test if times[names.index(name)]) + tuple(further)
    ids = (*names, *further)
    repeated = scored(
        scorer,
        case,
        data=rows_taken(case.data, rows, ids),
        features=case.features[rows],
        ids=ids,
        split=replace(case.split, folds=(Fold(train=first.train, test=test), *others), unit=case.split.unit | further),
    )
    got = scored(scorer, case).resample(times[None].astype(np.float32), [0])[0]
    _same(got, repeated.folds[:1], "a replicate against stimuli repeated as often")


@check("scorer", mend="bring tensors to the device that is asked for", applies=lambda scorer: torch.cuda.is_available())
def check_devices_agree(scorer: Any) -> None:
    """CUDA gives the scores of the CPU, for a representation that lies on either."""
    case = recording(scorer)
    mixed = scored(scorer, case, device="cuda")
    _same(mixed.folds, scored(scorer, case).folds, "scored on CUDA instead of the CPU")
    there = scored(scorer, case, representation=represented(case, device="cuda"), device="cuda")
    _same(there.folds, mixed.folds, "with the representation on CUDA too")
