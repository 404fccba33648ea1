"""Kernel analysis: how well categories can be read from a representation, as a function of how simple the reader is.

Both protocols see a representation through the squared distances d²_ij = G_ii + G_jj - 2 G_ij of its Gram matrix, so
rotation, translation and scaling of the features change nothing.
- 2013 (Montavon, Braun & Müller 2011; Cadieu et al. 2013, arXiv:1301.3530): categories projected on the first d
  principal components of a centred Gaussian kernel; e(d) is what the projection leaves, on the points it is fitted to.
- 2014 (Cadieu et al. 2014, PLoS Comput Biol): kernel ridge regression with penalty λ; precision is 1 - its exact
  leave-one-out error, complexity 1/λ.
Each curve is an envelope over kernel widths, taken point by point after the mean over categories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from brainbench.errors import InputError, LeakageError, UsageError
from brainbench.numerics._shapes import Float, Int
from brainbench.numerics.kernel_errors import (
    PENALTIES,
    QUANTILES,
    SCALES,
    coded,
    loo_errors,
    one_vs_all,
    principal,
    sigmas,
    squared_distances,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A curve, the area under it as a share of its axis, and the index of the kernel width that won at each point."""

    values: Float[Tensor, " d"]
    auc: float
    width: Int[Tensor, " d"]


def error_curve(
    gram: Float[Tensor, "n n"], labels: Int[Tensor, " n"], *, quantiles: Sequence[float] = QUANTILES
) -> Curve:
    """What d = 0..n kernel principal components leave of the categories, and 1 - its mean: the KA-AUC of 2013.

    e(d) = min over q of mean (P_d - T)², P_d = Σ_{k≤d} v_k v_kᵀ T, v_k the eigenvectors of the centred kernel
    exp(-d²/σ_q), by falling |λ|; σ_q is entry ⌊q n²⌋ of all n² sorted squared distances. `width` indexes `quantiles`;
    those that fall on a distance of 0 are passed over. In-sample: every representation of distinct stimuli comes to 0
    at d = n - 1, and areas compare only at the same n. Raises InputError where all quantiles are 0, or labels unfit.
    """
    distances, targets = squared_distances(gram), one_vs_all(labels)
    widths = sigmas(distances, quantiles)
    errors = [_residual(principal(torch.exp(-distances / sigma))[1].T @ targets) for sigma in widths.values()]
    values, index = torch.stack(errors).min(dim=0)
    width = torch.tensor(list(widths), device=index.device)[index]
    return Curve(values=values, auc=1 - float(values.mean()), width=width)


def heldout_errors(
    gram: Float[Tensor, "n n"],
    labels: Int[Tensor, " n"],
    train: Int[Tensor, " t"],
    test: Int[Tensor, " m"],
    *,
    quantiles: Sequence[float] = QUANTILES,
) -> Float[Tensor, " d"]:
    """Mean squared error on the `test` rows of the readers with d = 0..t components fitted to the `train` rows.

    Kernel widths, centring, the targets' means and their SD come from the training rows; the width at each d is the
    one that wins there in training. Errors may exceed 1. Raises LeakageError where a row is on both sides, InputError
    for a category that was not trained, and as `error_curve`.
    """
    if torch.isin(test, train).any():
        raise LeakageError("a row is in both the training and the test set")
    if not torch.isin(labels[test], labels[train]).all():
        raise InputError("the test rows hold a category that the training rows lack")
    distances = squared_distances(gram)
    within, across = distances[train][:, train], distances[test][:, train]
    targets, wanted = one_vs_all(labels[train]), coded(labels[test], labels[train])
    fitted, heldout = [], []
    for sigma in sigmas(within, quantiles).values():
        kernel, cross = torch.exp(-within / sigma), torch.exp(-across / sigma)
        values, vectors = principal(kernel)
        theta = vectors.T @ targets
        centred = cross - cross.mean(dim=1, keepdim=True) - kernel.mean(dim=0) + kernel.mean()
        parts = centred @ (vectors / (values + 1e-7))  # the offset is the authors', against dividing by rounding
        errors = torch.zeros(len(train) + 1, dtype=parts.dtype, device=parts.device)
        for y, weights in zip(wanted.T, theta.T):  # a category at a time: (m, t) numbers, not (m, t, c)
            predicted = torch.nn.functional.pad((parts * weights).cumsum(dim=1), (1, 0))
            errors += (y[:, None] - predicted).square().sum(dim=0)
        fitted.append(_residual(theta))
        heldout.append(errors / wanted.numel())
    best = torch.stack(fitted).argmin(dim=0, keepdim=True)
    return torch.stack(heldout).gather(0, best)[0]


def generalisation_accuracy(errors: Float[Tensor, "s d"]) -> float:
    """The best over d of 1 - the held-out error, once that is averaged over splits (rows)."""
    return float((1 - errors.mean(dim=0)).max())


def precision_curve(
    gram: Float[Tensor, "n n"],
    labels: Int[Tensor, " n"],
    *,
    scales: Sequence[float] = SCALES,
    penalties: Sequence[float] = PENALTIES,
) -> Curve:
    """1 - the leave-one-out error of kernel ridge regression at each penalty λ, and its mean: the KA-AUC of 2014.

    K = exp(-d²/2s²) + λI, Θ = K⁻¹ T, error of stimulus i Θ_i / (K⁻¹)_ii, squared, averaged over stimuli and
    categories, least over s = scale x median distance at each λ; `width` indexes `scales`. No intercept: the targets
    are centred. Below 0 where the mean would have done better. A stimulus that is there twice is predicted from its
    copy. Raises InputError where the median distance is 0, or labels unfit.
    """
    errors = loo_errors(gram, labels, scales=scales, penalties=penalties).mean(dim=2)
    least, width = errors.min(dim=0)
    return Curve(values=1 - least, auc=1 - float(least.mean()), width=width)


def balanced_resamples(
    labels: Int[Tensor, " n"], *, n_resamples: int = 10, share: float = 0.8, replace: bool = False, seed: int
) -> Int[Tensor, "b m"]:
    """Rows of each resample: from every category the same number, `share` of the smallest category's stimuli.

    They depend on labels and seed alone, so every representation of the same stimuli, in the same order, gets the
    same. `replace=True` draws with replacement, as Cadieu et al. (2014) say they did; leave-one-out then predicts
    most stimuli from their own copies. Raises UsageError for a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise UsageError(f"share is {share}; it must be above 0 and at most 1")
    generator = torch.Generator().manual_seed(seed)
    members = [(labels.cpu() == label).nonzero()[:, 0] for label in labels.cpu().unique()]
    count = max(1, round(share * min(len(rows) for rows in members)))
    drawn = []
    for rows in members:
        if replace:
            at = torch.randint(len(rows), (n_resamples, count), generator=generator)
        else:
            at = torch.rand(n_resamples, len(rows), generator=generator).argsort(dim=1)[:, :count]
        drawn.append(rows[at])
    return torch.cat(drawn, dim=1).to(labels.device)


def _residual(theta: Float[Tensor, "n c"]) -> Float[Tensor, " d"]:
    """Mean square that d = 0..n orthonormal components leave of targets whose own mean square is 1."""
    explained = theta.square().sum(dim=1).cumsum(dim=0) / theta.numel()
    return torch.cat([torch.ones_like(explained[:1]), (1 - explained).clamp_min(0)])
