"""How well categories generalise from a representation by a linear support vector machine, beside kernel analysis.

One-vs-all machines with squared hinge loss and an L2 penalty. Such a machine is a function of inner products: the
features U sqrt(λ) of the Gram matrix U λ Uᵀ are the layer's own in other axes, and give the same machine, so a layer
with more units than stimuli is read from its Gram matrix exactly. In the primal, where scikit-learn's solver draws no
random numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from brainbench.errors import InputError, LeakageError
from brainbench.numerics._shapes import Float, Int

COSTS = tuple(10.0**i for i in range(-3, 3))  # C, for features whose mean square length in training is 1


def gram_features(gram: Float[Tensor, "n n"]) -> Float[Tensor, "n k"]:
    """Features (n, rank) with that Gram matrix, float64; eigenvalues below 1e-12 of the largest are left out."""
    gram = gram.double()
    values, vectors = torch.linalg.eigh((gram + gram.T) / 2)
    keep = values > 1e-12 * values[-1]
    return vectors[:, keep] * values[keep].sqrt()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What machines fitted to one split's training rows say: a category for each test row, in the rows' order.

    `inner` is the accuracy inside the training rows at the C that was chosen, averaged over the inner folds.
    """

    predicted: Int[Tensor, " m"]
    inner: float
    cost: float


def svm_readings(
    features: Float[Tensor, "n p"],
    labels: Int[Tensor, " n"],
    splits: Sequence[tuple[Int[Tensor, " _t"], Int[Tensor, " _m"]]],
    *,
    units: Int[Tensor, " n"] | None = None,
    costs: Sequence[float] = COSTS,
    n_folds: int = 3,
    seed: int = 0,
) -> list[Reading]:
    """A reading of each split (train rows, test rows) by machines whose C was chosen inside the training rows.

    C is the one of `costs` with the best accuracy over `n_folds` folds of the training rows, stratified by category
    and dealt by `seed`; the least of equals. No inner fold tears one of the `units` apart. Features are centred on the
    training rows they are fitted to and divided by one number, so translation and scaling change nothing. Raises
    LeakageError where a row is on both sides, InputError where a training category has fewer rows (or units) than
    there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    x, y = features.double().cpu().numpy(), labels.cpu().numpy()
    out = []
    for train, test in splits:
        if torch.isin(test, train).any():
            raise LeakageError("a row is in both the training and the test set")
        rows = train.cpu().numpy()
        own = rows if units is None else units.cpu().numpy()[rows]
        fewest = min(len(np.unique(own[y[rows] == category])) for category in np.unique(y[rows]))
        if fewest < n_folds:
            raise InputError(f"a category has {fewest} training stimuli, too few to choose C on {n_folds} folds")
        deal = StratifiedKFold if units is None else StratifiedGroupKFold
        folds = deal(n_folds, shuffle=True, random_state=seed).split(rows, y[rows], None if units is None else own)
        inner = [(rows[fit], rows[held]) for fit, held in folds]
        means = [
            sum(float((_predicted(x, y, fit, held, cost) == y[held]).mean()) for fit, held in inner) / n_folds
            for cost in costs
        ]
        best = means.index(max(means))
        predicted = _predicted(x, y, rows, test.cpu().numpy(), costs[best])
        out.append(Reading(predicted=torch.from_numpy(predicted), inner=means[best], cost=costs[best]))
    return out


def svm_accuracy(
    features: Float[Tensor, "n p"],
    labels: Int[Tensor, " n"],
    splits: Sequence[tuple[Int[Tensor, " _t"], Int[Tensor, " _m"]]],
    *,
    costs: Sequence[float] = COSTS,
    n_folds: int = 3,
    seed: int = 0,
) -> Float[Tensor, " s"]:
    """The share of each split's test rows that is put in the right category, by `svm_readings`.

    Chance depends on the categories of the test rows and is for the caller to say.
    """
    readings = svm_readings(features, labels, splits, costs=costs, n_folds=n_folds, seed=seed)
    right = [(r.predicted == labels.cpu()[test.cpu()]).double().mean() for r, (_, test) in zip(readings, splits)]
    return torch.stack(right)


def _predicted(x: np.ndarray, y: np.ndarray, fit: np.ndarray, held: np.ndarray, cost: float) -> np.ndarray:
    from sklearn.svm import LinearSVC

    if (y[fit] == y[fit][0]).all():  # there is nothing to tell apart
        return np.full(len(held), y[fit][0])
    mean = x[fit].mean(axis=0)
    length = ((x[fit] - mean) ** 2).sum(axis=1).mean() ** 0.5
    machine = LinearSVC(C=cost, dual=False, max_iter=10_000).fit((x[fit] - mean) / length, y[fit])
    predicted: np.ndarray = machine.predict((x[held] - mean) / length)
    return predicted
