"""Sparse prediction: a unit of one system from few units of another, by the lasso (Li, Yosinski et al. 2015).

For each unit of y on its own, w minimises |y - X w|² / 2n + penalty Σ |w|, with both sides centred and scaled to unit
variance over the n stimuli that are fitted. At a penalty of 1 nothing is left: no correlation exceeds it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from brainbench.errors import UsageError
from brainbench.numerics._shapes import Bool, Float, Int
from brainbench.numerics.correlation import pearson
from brainbench.numerics.matching import dead

PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
MOST_STEPS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SparsePrediction:
    """For each penalty (descending) and unit of y: what the lasso reaches and how many units of x it takes.

    `loss`: half the mean squared error of held-out responses in units of their training variance, .5 for predicting
    nothing. `r`: correlation of predictions with held-out responses. `n_units`: predictors with a weight. NaN for dead
    units of y, where a fit did not converge, and `r` where all weights are 0. `dead_x`, `dead_y`: units left out.
    """

    penalties: tuple[float, ...]
    loss: Float[Tensor, "a q"]
    r: Float[Tensor, "a q"]
    n_units: Float[Tensor, "a q"]
    dead_x: int
    dead_y: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseReadout:
    """For each unit of y the weights of the units of x, x @ weights being the prediction less its mean.

    `penalty` is the one that predicted best within the stimuli that were fitted, `inner_r` what it reached there: 0
    where nothing was predicted, NaN without inner folds. `n_units`: predictors with a weight. `luck`: the share of the
    variance of the fitted values that noise accounts for, σ² k / Σ (x w)², with k weights, which are the degrees of
    freedom of a lasso (Zou, Hastie & Tibshirani 2007), and σ² = RSS / (n - 1 - k); 1 where there are no weights.
    """

    weights: Float[Tensor, "p q"]
    penalty: Float[Tensor, " q"]
    inner_r: Float[Tensor, " q"]
    n_units: Float[Tensor, " q"]
    luck: Float[Tensor, " q"]


def sparse_prediction(
    x: Float[Tensor, "n p"],
    y: Float[Tensor, "n q"],
    x_test: Float[Tensor, "m p"],
    y_test: Float[Tensor, "m q"],
    *,
    penalties: Sequence[int | float] = PENALTIES,
) -> SparsePrediction:
    """Each unit of y from few units of x along penalties, scored on stimuli not fitted.

    Raises UsageError for penalties that are not positive.
    """
    grid, weights, converged = _paths(x, y, penalties)
    (_, z), (_, t) = _scaled(x, x_test), _scaled(y, y_test)
    loss, r, n_units = (torch.full(converged.shape, torch.nan, dtype=torch.float64) for _ in range(3))
    for step, w in enumerate(weights):
        predicted = z @ w
        values = ((t - predicted).square().mean(dim=0) / 2, pearson(predicted, t), (w != 0).double().sum(dim=0))
        for out, value in zip((loss, r, n_units), values):
            out[step] = torch.where(converged[step], value, torch.nan).cpu()
    return SparsePrediction(
        penalties=grid, loss=loss, r=r, n_units=n_units, dead_x=int(dead(x).sum()), dead_y=int(dead(y).sum())
    )


def sparse_readout(
    x: Float[Tensor, "n p"],
    y: Float[Tensor, "n q"],
    inner: Sequence[tuple[Int[Tensor, " _a"], Int[Tensor, " _b"]]],
    *,
    penalties: Sequence[int | float] = PENALTIES,
) -> SparseReadout:
    """The lasso of each unit of y at the penalty with the least mean loss over `inner` folds, fitted to all n stimuli.

    `inner` holds rows to fit and rows to score; a fold in which a unit of y is dead among the rows to fit has no say in
    its penalty. A unit of y that no penalty predicts better than its mean has no weights if `penalties` hold 1, which
    leaves none; one that is dead, there or in every fold, or whose fit does not converge, has none either. Raises as
    `sparse_prediction` does.
    """
    grid, weights, converged = _paths(x, y, penalties)
    tried = [sparse_prediction(x[fit], y[fit], x[held], y[held], penalties=grid) for fit, held in inner]
    loss = torch.zeros(converged.shape, dtype=torch.float64)
    inner_r = torch.full_like(loss[0], torch.nan)
    if tried:
        silent = torch.stack([dead(y[fit]).cpu() for fit, _ in inner])[:, None]
        each_loss = torch.stack([found.loss.nan_to_num(nan=torch.inf) for found in tried])  # inf: no convergence
        loss = torch.where(silent, torch.nan, each_loss).nanmean(dim=0).nan_to_num(nan=torch.inf, posinf=torch.inf)
    index = torch.where(converged.cpu(), loss, torch.inf).argmin(dim=0)  # the strongest of equals
    each = torch.arange(y.shape[1])
    if tried:
        inner_r = torch.stack([found.r.nan_to_num() for found in tried]).mean(dim=0)[index, each]
    at = index.to(weights.device), each.to(weights.device)
    scale = y.double().std(dim=0, correction=0) / x.double().std(dim=0, correction=0)[:, None]
    chosen = torch.where(converged[at], weights[at[0], :, at[1]].T, 0.0)
    read = torch.where(chosen != 0, chosen * scale, 0.0)
    n_units = (chosen != 0).double().sum(dim=0)
    predicted = torch.where(dead(x), 0.0, x.double()) @ read
    centred, fitted = (side - side.mean(dim=0) for side in (y.double(), predicted))
    noise = (centred - fitted).square().sum(dim=0) / (len(y) - 1 - n_units).clamp_min(1)
    return SparseReadout(
        weights=read,
        penalty=torch.tensor(grid, dtype=torch.float64)[index],
        inner_r=inner_r,
        n_units=n_units.cpu(),
        luck=(noise * n_units / fitted.square().sum(dim=0)).clamp(0, 1).nan_to_num(1.0).cpu(),
    )


def _paths(
    x: Float[Tensor, "n p"], y: Float[Tensor, "n q"], penalties: Sequence[int | float]
) -> tuple[tuple[float, ...], Float[Tensor, "a p q"], Bool[Tensor, "a q"]]:
    """The grid, descending; weights of scaled units, 0 for dead ones; and which fits converged, never dead ones."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import lasso_path

    grid = tuple(sorted((float(a) for a in penalties), reverse=True))
    if not grid or grid[-1] <= 0:
        raise UsageError("penalties of the lasso are positive: least squares is a limit, not a member")
    live = (~dead(x)).cpu()
    z, t = (_scaled(side, side)[0].cpu() for side in (x, y))
    design = np.asfortranarray(z[:, live].numpy())
    targets = np.ascontiguousarray(t.T.numpy())
    gram, products = design.T @ design, targets @ design
    weights = torch.zeros(len(grid), x.shape[1], y.shape[1], dtype=torch.float64)
    converged = torch.zeros(len(grid), y.shape[1], dtype=torch.bool)
    for unit in torch.nonzero(~dead(y)).flatten().tolist():
        # one target at a time: for several at once scikit-learn's path is another method, which selects jointly
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # what did not converge is left out below
            _, found, gaps = lasso_path(
                design,
                targets[unit],
                alphas=grid,
                precompute=gram,
                Xy=products[unit],
                max_iter=MOST_STEPS,
                check_input=False,  # looks at every unit again for every target
            )
        weights[:, live, unit] = torch.as_tensor(found.T)
        converged[:, unit] = torch.as_tensor(gaps) <= 1e-3  # of a target's variance: ten times what the solver stops at
    return grid, weights.to(x.device), converged.to(x.device)


def _scaled(train: Float[Tensor, "n p"], test: Float[Tensor, "m p"]) -> tuple[Tensor, Tensor]:
    """Both by the mean and standard deviation of the training stimuli; units that are dead there are 0."""
    mean, sd = train.double().mean(dim=0), train.double().std(dim=0, correction=0)
    gone = dead(train)
    sides = tuple(torch.where(gone, 0.0, (side.double() - mean) / sd) for side in (train, test))
    return sides[0], sides[1]
