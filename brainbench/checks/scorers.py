"""Laws of how scorers treat what they are given: rows, columns, gaps, precision, devices, replicates.

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
    SAME,
    columns_taken,
    n_columns,
    recording,
    represented,
    rng,
    rows_taken,
    same,
    scored,
    shuffled,
    test_rows,
    with_column,
    with_further_bin,
)
from brainbench.core.arrays import Block, RDMs
from brainbench.core.specs import Invariance
from brainbench.core.splits import Fold
from brainbench.errors import AlignmentError
from brainbench.numerics.representation import Representation

TRANSFORMS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "scale": lambda x, rng: 3 * x,
    "rotation": lambda x, rng: x @ np.linalg.qr(rng.normal(size=(x.shape[1], x.shape[1])))[0],
    "translation": lambda x, rng: x + 2 * x.std() * rng.normal(size=x.shape[1]),
    "unit-permutation": lambda x, rng: x[:, rng.permutation(x.shape[1])],
    "stimulus-scale": lambda x, rng: x * rng.uniform(0.2, 5, size=(len(x), 1)),
    "stimulus-offset": lambda x, rng: x + 10 * x.std() * rng.normal(size=(len(x), 1)),
}


@check("scorer", mend="give every array of the Score the shape that its docstring states")
def check_score_has_its_shape(scorer: Any) -> None:
    """`folds` and `train` are (F, V), `resample` gives (B, folds, columns) asked for; a column has a reason or ""."""
    case = recording(scorer)
    score = scored(scorer, case)
    shape = (len(case.split.folds), n_columns(case.data))
    weights = np.ones((3, len(case.data.stimulus_ids)), dtype=np.float32)
    drawn = score.resample(weights, [1, 0], np.arange(1)).shape
    got = (score.folds.shape, score.train.shape, drawn, len(score.reason), score.scale)
    expected = (shape, shape, (3, 2, 1), shape[1], scorer.spec.scale)
    if got != expected:
        raise Violation(f"shapes of folds, train and resample, reasons and scale are {got} instead of {expected}")


@check("scorer", mend="draw random numbers from a generator made of the `seed` argument, and from nothing else")
def check_deterministic(scorer: Any) -> None:
    """Two calls give the same numbers to the last bit."""
    case = recording(scorer)
    first, second = scored(scorer, case), scored(scorer, case)
    for name in ("folds", "train"):
        same(getattr(second, name), getattr(first, name), f"`{name}` of a second call", within=0.0)
    for name, value in first.extras.items():
        same(second.extras[name].astype(float), value.astype(float), f"extra {name!r} of a second call", within=0.0)


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
        "target": np.array_equal(data.values, case.data.values, equal_nan=data.values.dtype.kind == "f"),
        "split": split == case.split,
    }
    changed = [name for name, same in untouched.items() if not same]
    if changed:
        raise Violation(f"the scorer writes into its arguments: {', '.join(changed)}")


@check("scorer", mend="find rows with core.arrays.take, by stimulus id")
def check_rows_are_joined_by_id(scorer: Any) -> None:
    """The order of the representation's rows means nothing."""
    case = recording(scorer)
    order = rng().permutation(len(case.features))
    ids = tuple(case.data.stimulus_ids[i] for i in order)
    got = scored(scorer, case, features=case.features[order], ids=ids)
    same(got.folds, scored(scorer, case).folds, "rows of the representation in another order")


@check("scorer", mend="take the target's stimuli out of the representation with core.arrays.take")
def check_further_stimuli_are_ignored(scorer: Any) -> None:
    """A representation may hold stimuli that the target does not: they have no say."""
    case = recording(scorer)
    further = 10 * rng().normal(size=(20, case.features.shape[1]))
    ids = case.data.stimulus_ids + tuple(f"{name}~" for name in case.data.stimulus_ids[::-1][:20])
    got = scored(scorer, case, features=np.concatenate([case.features, further]), ids=ids)
    same(got.folds, scored(scorer, case).folds, "20 further stimuli in the representation")


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


@check(
    "scorer",
    mend="use the Gram matrix: wide layers come without features (see numerics.representation)",
    applies=lambda scorer: scorer.spec.reads == "geometry",
)
def check_gram_is_enough(scorer: Any) -> None:
    """A layer that is kept as its Gram matrix has the score of its features."""
    case = recording(scorer)
    full = represented(case)
    gram = Representation.from_gram(full.gram, full.unit_mean, full.n_units, full.stimulus_ids)
    got = scored(scorer, case, representation=gram)
    same(got.folds, scored(scorer, case).folds, "the Gram matrix in place of the features")


@check("scorer", mend="find rows by stimulus id; sort by it before random numbers or inner folds are dealt out")
def check_order_of_stimuli(scorer: Any) -> None:
    """The order of stimuli in target, representation and folds means nothing."""
    case = recording(scorer)
    order = rng().permutation(len(case.features))
    ids = tuple(case.data.stimulus_ids[i] for i in order)
    place = {name: at for at, name in enumerate(ids)}
    folds = tuple(
        Fold(
            train=tuple(sorted(fold.train, key=place.__getitem__)), test=tuple(sorted(fold.test, key=place.__getitem__))
        )
        for fold in case.split.folds
    )
    got = scored(
        scorer,
        case,
        data=rows_taken(case.data, order, ids),
        features=case.features[order],
        ids=ids,
        split=replace(case.split, folds=folds),
    )
    same(got.folds, scored(scorer, case).folds, "stimuli in another order")


@check("scorer", mend="score every column on its own")
def check_order_of_columns(scorer: Any) -> None:
    """Neuroids (or subjects) in another order have the same scores in that order."""
    case = recording(scorer)
    order = rng().permutation(n_columns(case.data))
    got = scored(scorer, case, data=columns_taken(case.data, order))
    same(got.folds, scored(scorer, case).folds[:, order], "columns in another order")


@check(
    "scorer",
    mend="score every column on its own; where columns are pooled, such as subjects, pool those of one of `data.times`",
    applies=lambda scorer: scorer.spec.requires != "labels",
)
def check_time_bins_are_columns(scorer: Any) -> None:
    """Recordings with time come as more columns, bin by bin: what other bins hold moves no score, and not its luck."""
    case = recording(scorer)
    assert isinstance(case.data, Block | RDMs)
    further = shuffled(case.data, rng())
    assert isinstance(further, Block | RDMs)
    plain, got = scored(scorer, case), scored(scorer, case, data=with_further_bin(case.data, further))
    for name in ("folds", "train", "luck"):
        own, both = getattr(plain, name), getattr(got, name)
        if own is not None and (both is None or both.shape[1] != 2 * own.shape[1]):
            raise Violation(f"`{name}` of two bins has not twice the columns of one")
        if own is not None:
            same(both[:, ::2], own, f"`{name}` of a bin beside another one")


@check(
    "scorer",
    mend="divide responses by their SD, or compute in float64, before float32 squares them",
    applies=lambda scorer: scorer.spec.requires == "responses",
)
def check_unit_of_responses(scorer: Any) -> None:
    """Fields in tesla, and counts of photons, have the scores and replicates of the same responses in other units."""
    case = recording(scorer)
    assert isinstance(case.data, Block)
    plain, every = scored(scorer, case), np.arange(n_columns(case.data))
    n = len(case.features)
    weights = rng().multinomial(n, np.full(n, 1 / n), 3).astype(np.float32)
    for factor in (1e-15, 1e12):
        values = (case.data.values.astype(np.float64) * factor).astype(np.float32)
        got = scored(scorer, case, data=replace(case.data, values=values))
        same(got.folds, plain.folds, f"responses times {factor:g}")
        drawn, expected = (each.resample(weights, [0], every) for each in (got, plain))
        same(drawn, expected, f"replicates of responses times {factor:g}")


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
    same(score.folds[:, others], plain.folds[:, others], f"columns beside {what}")
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


def _moved(scorer: Any, transform: str) -> float:
    case = recording(scorer)
    features = TRANSFORMS[transform](case.features, rng())
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
    same(got, scored(scorer, case, features=features).folds, "features in float32 instead of float64")
    same(got, scored(scorer, case, features=features / 2000).folds, "features of 2000 instead of 1")


@check("scorer", mend="`resample` scores the predictions of the folds and columns it is asked for, as `folds` does")
def check_replicate_of_ones_is_the_score(scorer: Any) -> None:
    """With every stimulus once, `resample` gives `folds`, for the folds and columns asked for and in that order."""
    case = recording(scorer)
    score = scored(scorer, case)
    wanted = list(range(len(case.split.folds)))[::-1]
    columns = np.arange(n_columns(case.data) - 1, -1, -1)
    got = score.resample(np.ones((2, len(case.features)), dtype=np.float32), wanted, columns)
    same(got[1], score.folds[wanted][:, columns], "a replicate with every stimulus once")


@check(
    "scorer",
    mend="weigh the fold's test stimuli; columns of `weights` are in the order of the target's stimulus ids",
    # what reads labels without training reads test stimuli from one another: a copy would be read from its twin
    applies=lambda scorer: (
        scorer.spec.replicates == "exact" and (scorer.spec.requires != "labels" or scorer.spec.trains)
    ),
)
def check_replicates_repeat_stimuli(scorer: Any) -> None:
    """A multiplicity is how often a test stimulus is there: of RDMs, whose copies make no pair, 0 or 1."""
    case = recording(scorer)
    first, *others = case.split.folds
    times = np.ones(len(case.features), dtype=int)
    times[test_rows(case)] = rng().integers(0, 2 if isinstance(case.data, RDMs) else 4, size=len(first.test))
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
    columns = np.arange(n_columns(case.data))
    got = scored(scorer, case).resample(times[None].astype(np.float32), [0], columns)[0]
    same(got, repeated.folds[:1], "a replicate against stimuli repeated as often")


@check(
    "scorer",
    mend='give `resample` the influence of each test stimulus, or no `replicates="first-order"` in the spec',
    applies=lambda scorer: scorer.spec.replicates == "first-order",
)
def check_replicates_follow_single_stimuli(scorer: Any) -> None:
    """Without one test stimulus a first-order replicate moves as the score does: on average by .7 to 1.4 of it."""
    case = recording(scorer)
    (first, *_), rows = case.split.folds, test_rows(case)
    columns = np.arange(n_columns(case.data))
    weights = np.ones((len(rows), len(case.features)), dtype=np.float32)
    weights[np.arange(len(rows)), rows] = 0
    alone = replace(case.split, folds=(first,))
    whole = scored(scorer, case, split=alone)
    shown = whole.resample(weights, [0], columns)[:, 0] - whole.folds
    names = [case.data.stimulus_ids[row] for row in rows]
    tests = [tuple(name for name in first.test if name != left_out) for left_out in names]
    splits = [replace(case.split, folds=(Fold(train=first.train, test=test),)) for test in tests]
    moved = np.concatenate([scored(scorer, case, split=split).folds for split in splits]) - whole.folds
    shown, moved = (each - each.mean(axis=0) for each in (shown, moved))
    slope = (shown * moved).sum() / (shown**2).sum()
    if not 0.7 <= slope <= 1.4:
        raise Violation(f"without one test stimulus the score moves {slope:.2f} times as much as its replicate")


@check("scorer", mend="bring tensors to the device that is asked for", applies=lambda scorer: torch.cuda.is_available())
def check_devices_agree(scorer: Any) -> None:
    """CUDA gives the scores of the CPU, for a representation that lies on either."""
    case = recording(scorer)
    mixed = scored(scorer, case, device="cuda")
    same(mixed.folds, scored(scorer, case).folds, "scored on CUDA instead of the CPU")
    there = scored(scorer, case, representation=represented(case, device="cuda"), device="cuda")
    same(there.folds, mixed.folds, "with the representation on CUDA too")
