"""How well categories generalise from a representation by a linear support vector machine, beside kernel analysis.

One-vs-all machines with squared hinge loss and an L2 penalty. Such a machine is a function of inner products: the
features U sqrt(λ) of the Gram matrix U λ Uᵀ are the layer's own in other axes, and give the same machine, so a layer
with more units than stimuli is read from its Gram matrix exactly. Our own solver, because costs and categories share
products: the machines of scikit-learn's `LinearSVC(C=C, dual=False)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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

    x, y, costs = features.double().cpu(), labels.cpu(), sorted(costs)
    out = []
    for train, test in splits:
        if torch.isin(test, train).any():
            raise LeakageError("a row is in both the training and the test set")
        rows = train.cpu()
        own = rows if units is None else units.cpu()[rows]
        fewest = min(len(own[y[rows] == category].unique()) for category in y[rows].unique())
        if fewest < n_folds:
            raise InputError(f"a category has {fewest} training stimuli, too few to choose C on {n_folds} folds")
        deal = StratifiedKFold if units is None else StratifiedGroupKFold
        folds = deal(n_folds, shuffle=True, random_state=seed)
        dealt = folds.split(rows.numpy(), y[rows].numpy(), None if units is None else own.numpy())
        inner = [(rows[fit], rows[held]) for fit, held in dealt]
        right = [(_predicted(x, y, fit, held, costs) == y[held]).double().mean(dim=1) for fit, held in inner]
        means = torch.stack(right).mean(dim=0)
        best = int((means == means.max()).nonzero()[0, 0])
        (predicted,) = _predicted(x, y, rows, test.cpu(), [costs[best]])
        out.append(Reading(predicted=predicted, inner=float(means[best]), cost=costs[best]))
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


def _predicted(x: Tensor, y: Tensor, fit: Tensor, held: Tensor, costs: Sequence[float]) -> Int[Tensor, "k m"]:
    """The category of each of the `held` rows by machines fitted to the rows `fit`, at each of the rising costs."""
    classes = y[fit].unique()
    mean = x[fit].mean(dim=0)
    length = (x[fit] - mean).square().sum(dim=1).mean().sqrt()
    one = x.new_ones(len(x), 1)  # the bias is a weight like the others, as in LIBLINEAR
    sides = torch.cat([(x - mean) / length, one], dim=1)
    weights = machines(sides[fit], (y[fit][:, None] == classes).to(x.dtype) * 2 - 1, costs)
    return classes[(sides[held] @ weights).argmax(dim=2)]


def machines(
    features: Float[Tensor, "n p"], signs: Float[Tensor, "n c"], costs: Sequence[float]
) -> Float[Tensor, "k p c"]:
    """Weights of least |w|²/2 + C Σ max(0, 1 - y w·x)² for each column of `signs` (+1, -1) and each cost C, float64.

    By Newton's method (Chapelle 2007, Neural Computation 19, 1155-1178): a step is ridge regression of y on the rows
    inside the margin, with penalty 1/2C, and the last one is exact, because those rows are then the same as before it.
    A cost starts from the weights of the one before it.
    """
    n, p = features.shape
    problem = _Problem(features @ features.T, dual=True) if n <= 2 * p else _Problem(features, dual=False)
    found = features.new_zeros(len(costs), problem.side.shape[1], signs.shape[1])
    for place, cost in enumerate(costs):
        problem.factor = None
        for column, y in enumerate(signs.T):
            found[place, :, column] = problem.machine(y, cost, found[max(place - 1, 0), :, column])
    return features.T @ found if problem.dual else found


@dataclass
class _Problem:
    """Machines of the same rows, in what is the cheaper to decompose.

    Their weights are sought by features, or (`dual`) as sums of the rows, w = Xᵀv: then `side` is the Gram matrix
    instead of the features, and v stands for w. `factor` is the Cholesky factor for all rows at the present cost.
    """

    side: Float[Tensor, "n q"]
    dual: bool
    factor: Tensor | None = None

    def machine(self, y: Float[Tensor, " n"], cost: float, v: Float[Tensor, " q"]) -> Float[Tensor, " q"]:
        """The weights of one machine, from any others."""
        said = self.side @ v
        while True:
            inside = y * said < 1
            goal = self._ridge(y, inside, 1 / (2 * cost))
            reached = self.side @ goal
            if torch.equal(y * reached < 1, inside):
                return goal
            step, change = goal - v, reached - said
            now = self._loss(v, said, y, cost)
            slope = float(v @ (change if self.dual else step) - 2 * cost * (y - said)[inside] @ change[inside])
            share = 1.0
            while self._loss(v + share * step, said + share * change, y, cost) > now + 1e-4 * share * slope:
                share /= 2
                if share < 1e-9:  # rows that lie on the margin are in or out of it by rounding: nothing is to be gained
                    return v
            v, said = v + share * step, said + share * change

    def _loss(self, v: Tensor, said: Tensor, y: Tensor, cost: float) -> float:
        return float(v @ (said if self.dual else v) / 2 + cost * (1 - y * said).clamp_min(0).square().sum())

    def _ridge(self, y: Tensor, inside: Tensor, penalty: float) -> Tensor:
        """Ridge regression of y on the rows inside the margin; at low costs these are all rows, for every category."""
        whole = bool(inside.all())
        rows = inside.nonzero()[:, 0]
        factor = self.factor if whole else None
        if factor is None:
            own = self.side if whole else self.side[rows]
            system = own.T @ own if not self.dual else own.clone() if whole else own[:, rows]
            system.diagonal().add_(penalty)
            factor = torch.linalg.cholesky(system)
            self.factor = factor if whole else self.factor
        if not self.dual:
            return torch.cholesky_solve((self.side[rows].T @ y[rows])[:, None], factor)[:, 0]
        solved = torch.cholesky_solve(y[rows, None], factor)[:, 0]
        return y.new_zeros(len(y)).index_copy(0, rows, solved)
