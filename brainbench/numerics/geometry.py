"""Geometry of conditions in a layer: are variables coded along parallel axes, and what can a plane separate?

Stimuli belong to conditions; a dichotomy puts half of the conditions on each side. Parallelism score: mean cosine
between the coding vectors of a dichotomy, one a pair of conditions. CCGP: accuracy of a plane on conditions that it
was not fitted to. Shattering dimension: mean accuracy on held-out stimuli over all balanced dichotomies (Bernardi et
al. 2020). High PS and CCGP with low shattering is a factored code; the reverse is a high-dimensional one.

Everything here is invariant to rotation, translation and isotropic scale of the features, so where a layer is kept as
its Gram matrix, `coordinates(gram)` stands in for the features, exactly.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from brainbench.errors import InputError, UsageError
from brainbench.numerics._shapes import Bool, Float, Int
from brainbench.numerics.alignment import double_centred
from brainbench.numerics.spectrum import rounding

ALL_DICHOTOMIES = 1000  # up to here all are scored: 12 conditions have 462, 14 have 1,716
MOST_PAIRINGS = 8  # conditions a side whose pairings are tried out: 8! = 40,320


@dataclass(frozen=True, slots=True, kw_only=True)
class Shattering:
    """Held-out accuracy of each dichotomy scored, and how many balanced dichotomies there are.

    `dichotomies` (d, m) is True for the conditions of one side. The shattering dimension is the mean of `accuracy`.
    """

    dichotomies: Bool[Tensor, "d m"]
    accuracy: Float[Tensor, " d"]
    n_possible: int

    @property
    def dimension(self) -> float:
        """Mean accuracy over the dichotomies scored, .5 at chance."""
        return float(self.accuracy.mean())


def coordinates(gram: Float[Tensor, "n n"]) -> Float[Tensor, "n k"]:
    """Features of k <= n - 1 units with the distances of those behind this Gram matrix, centred, float64."""
    values, vectors = torch.linalg.eigh(double_centred(gram))
    keep = values > rounding(gram, values)
    return (vectors[:, keep] * values[keep].sqrt()).flip(1)


def condition_means(features: Float[Tensor, "n p"], conditions: Int[Tensor, " n"]) -> Float[Tensor, "m p"]:
    """Mean features of conditions 0..m-1. Raises InputError where one of them has no stimulus."""
    m = _n_conditions(conditions)
    member = torch.nn.functional.one_hot(conditions.long(), m).double()
    return member.T @ features.double() / member.sum(dim=0)[:, None]


def balanced_dichotomies(m: int, *, seed: int, limit: int = ALL_DICHOTOMIES) -> Bool[Tensor, "d m"]:
    """All ways to put half of m conditions on each side, C(m, m/2) / 2; above `limit`, that many different ones.

    Condition 0 is always on the side marked True, so that none comes with its mirror image. The random ones depend on
    the seed alone. Raises UsageError for an odd m.
    """
    if m < 2 or m % 2:
        raise UsageError(f"{m} conditions have no balanced dichotomy: it takes an even number")
    half, total = m // 2, math.comb(m, m // 2) // 2
    if total <= limit:
        chosen = list(itertools.combinations(range(1, m), half - 1))
    else:
        random = np.random.default_rng(seed)
        found: dict[tuple[int, ...], None] = {}  # an ordered set
        while len(found) < limit:
            found[tuple(sorted(random.permutation(np.arange(1, m))[: half - 1].tolist()))] = None
        chosen = list(found)
    out = torch.zeros(len(chosen), m, dtype=torch.bool)
    for row, others in enumerate(chosen):
        out[row, [0, *others]] = True
    return out


def variable_pairs(levels: Int[Tensor, "m k"], variable: int) -> Int[Tensor, "h 2"]:
    """Pairs of conditions that differ in one binary variable alone, the lower level first.

    `levels` has the level of each of k variables in each condition. Raises UsageError where the variable is not
    binary, or a condition has no partner: then the design is not crossed and pairs have to be named by hand.
    """
    rows = [tuple(row) for row in levels.tolist()]
    values = sorted({row[variable] for row in rows})
    if len(values) != 2 or len(set(rows)) != len(rows):
        raise UsageError(f"variable {variable} has {len(values)} levels, or conditions repeat: no pairs to compare")
    at = {row: i for i, row in enumerate(rows)}
    pairs = []
    for row in rows:
        if row[variable] == values[0]:
            partner = (*row[:variable], values[1], *row[variable + 1 :])
            if partner not in at:
                raise UsageError(f"condition {row} has no partner that differs in variable {variable} alone")
            pairs.append((at[row], at[partner]))
    if 2 * len(pairs) != len(rows):
        raise UsageError(f"variable {variable} is not crossed with the others")
    return torch.tensor(pairs, device=levels.device)


def best_pairs(means: Float[Tensor, "m p"], dichotomy: Bool[Tensor, " m"]) -> Int[Tensor, "h 2"]:
    """The pairing across a dichotomy with the highest parallelism score, each pair from False to True.

    For dichotomies that no variable explains. The maximum over h! pairings is above 0 for noise: compare with the same
    maximum under shuffled conditions. Raises UsageError for sides of unequal size, or of more than 8 conditions.
    """
    low, high = torch.nonzero(~dichotomy).flatten(), torch.nonzero(dichotomy).flatten()
    h = len(low)
    if h != len(high) or h > MOST_PAIRINGS:
        raise UsageError(f"sides of {h} and {len(high)} conditions: pairings are tried for equal sides of at most 8")
    vectors = (means[high][None] - means[low][:, None]).double()  # (low, high, p)
    unit = (vectors / vectors.norm(dim=2, keepdim=True)).reshape(h * h, -1)
    cosines = (unit @ unit.T).cpu()
    tried = torch.tensor(list(itertools.permutations(range(h))))
    cells = torch.arange(h) * h + tried  # (h!, h): the cosine's row of each pair
    score = sum(cosines[cells[:, i], cells[:, j]] for i in range(h) for j in range(i))
    score = torch.as_tensor(score, dtype=torch.float64).nan_to_num(nan=-torch.inf)  # pairs of equal conditions
    best = tried[int(score.argmax())].to(low.device) if h > 1 else tried[0].to(low.device)
    return torch.stack([low, high[best]], dim=1)


def parallelism_score(means: Float[Tensor, "m p"], pairs: Int[Tensor, "h 2"]) -> float:
    """Mean cosine between the coding vectors means[pair[1]] - means[pair[0]] of every two pairs.

    1: one axis whatever the other variables are; 0: unrelated axes, as between vertices of a simplex. NaN for fewer
    than two pairs or where a coding vector is zero. Noise lengthens coding vectors and so pulls the score to 0. Every
    condition may be in one pair only: a shared one makes vectors alike by construction, and raises UsageError.
    """
    if len(pairs.unique()) != pairs.numel():
        raise UsageError("a condition stands in two pairs: their coding vectors would share its noise")
    vectors = (means[pairs[:, 1]] - means[pairs[:, 0]]).double()
    norms = vectors.norm(dim=1)
    h = len(vectors)
    if h < 2 or bool((norms <= 1e-12 * means.double().norm(dim=1).amax()).any()):
        return float("nan")
    unit = vectors / norms[:, None]
    return float((unit.sum(dim=0).square().sum() - h) / (h * (h - 1)))


def ccgp(
    features: Float[Tensor, "n p"],
    conditions: Int[Tensor, " n"],
    pairs: Int[Tensor, "h 2"],
    *,
    every_split: bool = False,
    cost: int | float = 1.0,
) -> float:
    """Accuracy of a linear classifier on the conditions left out of its fit, averaged over the ways to leave them out.

    Each pair (condition of one side, condition of the other) is left out in turn. `every_split` leaves out each
    condition of one side with each of the other, h² splits, which is what a dichotomy without a natural pairing asks
    for; note that a 2 x 2 square then reads .75, not 1, for two of its four splits fit a plane along the diagonal.
    Chance is .5; below it lies a code that reverses, such as XOR, at 0. Decisions on the plane itself count half.
    NaN for a single pair. Bernardi et al. 2020.
    """
    h = len(pairs)
    if h < 2:
        return float("nan")
    out = itertools.product(range(h), range(h)) if every_split else zip(range(h), range(h))
    pairs = pairs.to(conditions.device)
    side = torch.zeros(_n_conditions(conditions), dtype=torch.long, device=conditions.device)
    side[pairs[:, 0]], side[pairs[:, 1]] = -1, 1
    label = side[conditions]
    scores = []
    for i, j in out:
        left_out = torch.stack([pairs[i, 0], pairs[j, 1]])
        test = torch.isin(conditions, left_out)
        train = ~test & (label != 0)
        correct = _correct(features[train], label[train] > 0, features[test], label[test] > 0, cost)
        scores.append(_balanced(correct, label[test] > 0))
    return float(np.mean(scores))


def decodability(
    features: Float[Tensor, "n p"], labels: Bool[Tensor, " n"], folds: Int[Tensor, " n"], *, cost: int | float = 1.0
) -> float:
    """Balanced accuracy of a linear classifier on held-out stimuli, .5 at chance.

    Stimuli with fold f are predicted from those of the other folds, so presentations of one stimulus need one fold.
    Decisions are pooled over folds, then recall is averaged over both labels. A support-vector machine with hinge
    loss, whose intercept is not penalised, weights labels by their inverse frequency; `cost` is its C, for features
    scaled to a mean squared norm of 1 in training. Raises InputError where a training set holds one label only.
    """
    correct = torch.full((len(labels),), torch.nan, dtype=torch.float64)
    for fold in folds.unique().tolist():
        test = folds == fold
        correct[test.cpu()] = _correct(features[~test], labels[~test], features[test], labels[test], cost)
    return _balanced(correct, labels)


def shattering(
    features: Float[Tensor, "n p"],
    conditions: Int[Tensor, " n"],
    folds: Int[Tensor, " n"],
    *,
    seed: int,
    limit: int = ALL_DICHOTOMIES,
    cost: int | float = 1.0,
) -> Shattering:
    """`decodability` of the conditions' balanced dichotomies: of all, or of `limit` random ones if there are more.

    Every condition belongs in every training set, or this measures generalisation, not separability: raises InputError
    where the stimuli of a condition are all in one fold. Bernardi et al. 2020, Rigotti et al. 2013.
    """
    m = _n_conditions(conditions)
    for fold in folds.unique().tolist():
        if len(conditions[folds != fold].unique()) < m:
            raise InputError(f"without fold {fold} a condition has no stimulus to train on")
    sides = balanced_dichotomies(m, seed=seed, limit=limit)
    labels = sides.to(conditions.device)[:, conditions]
    accuracy = [decodability(features, label, folds, cost=cost) for label in labels]
    return Shattering(
        dichotomies=sides,
        accuracy=torch.tensor(accuracy, dtype=torch.float64),
        n_possible=math.comb(m, m // 2) // 2,
    )


def _n_conditions(conditions: Int[Tensor, " n"]) -> int:
    present = conditions.unique()
    if len(present) == 0 or int(present[0]) != 0 or int(present[-1]) != len(present) - 1:
        raise InputError("conditions are numbered 0..m-1, each with at least one stimulus")
    return len(present)


def _balanced(correct: Float[Tensor, " n"], labels: Bool[Tensor, " n"]) -> float:
    labels = labels.cpu()
    return float((correct[labels].mean() + correct[~labels].mean()) / 2)


def _correct(
    train: Float[Tensor, "n p"],
    labels: Bool[Tensor, " n"],
    test: Float[Tensor, "m p"],
    truth: Bool[Tensor, " m"],
    cost: int | float,
) -> Float[Tensor, " m"]:
    """1 where a linear support-vector machine is right, 0 where wrong, 1/2 on the plane.

    It sees Gram matrices only: the cost does not grow with p, and nothing depends on the axes.
    """
    from sklearn.svm import SVC

    if bool(labels.all()) or not bool(labels.any()):
        raise InputError("the training stimuli hold one label only: nothing to separate")
    mean = train.double().mean(dim=0)
    x, z = train.double() - mean, test.double() - mean
    gram, cross = x @ x.T, z @ x.T
    scale = gram.diagonal().mean()
    if not bool(scale > 0):
        return torch.full((len(test),), 0.5, dtype=torch.float64)
    machine = SVC(kernel="precomputed", C=cost, class_weight="balanced", tol=1e-6)
    machine.fit((gram / scale).cpu().numpy(), labels.cpu().numpy())
    distance = torch.as_tensor(machine.decision_function((cross / scale).cpu().numpy()))
    on_the_plane = distance.abs() <= 1e-5  # of a margin: what libsvm's tolerance may leave of an exact 0
    return torch.where(on_the_plane, 0.5, ((distance > 0) == truth.cpu()).double())
