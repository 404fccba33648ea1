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

QUANTILES = (0.1, 0.5, 0.9)  # of all squared distances, those of a stimulus to itself among them
SCALES = tuple(10 ** (-1 + 2 * i / 31) for i in range(32))  # of the Gaussian, in median distances
PENALTIES = tuple(10 ** (-4 + 7 * i / 55) for i in range(56))  # beside a kernel whose diagonal is 1
COLUMNS = 4096  # (penalty, category) pairs solved at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A curve, the area under it as a share of its axis, and the index of the kernel width that won at each point."""

    values: Float[Tensor, " d"]
    auc: float
    width: Int[Tensor, " d"]


def squared_distances(gram: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    """Squared Euclidean distances of every two stimuli, float64, symmetric, zero on the diagonal.

    Entries below 1e-12 of the squared norms they are the difference of are rounding, and exactly 0: stimuli with the
    same features are at no distance. Raises InputError where G is not finite.
    """
    if not torch.isfinite(gram).all():
        raise InputError("the Gram matrix holds NaN or infinity")
    gram = gram.double()
    norms = gram.diagonal()[:, None] + gram.diagonal()[None]
    square = norms - gram - gram.T
    return torch.where(square > 1e-12 * norms, square, 0.0).fill_diagonal_(0.0)


def one_vs_all(labels: Int[Tensor, " n"]) -> Float[Tensor, "n c"]:
    """+1 for a stimulus's category and -1 for the others, less each category's mean, over one SD of all entries.

    Their mean square is 1, so a reader that says 0 has error 1 and precision 0. One SD, not one a category: a rare
    category weighs what it varies. Categories are in order of their labels. Raises InputError for fewer than two.
    """
    return _coded(labels, labels)


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
    sigmas = _sigmas(distances, quantiles)
    errors = [_residual(_principal(torch.exp(-distances / sigma))[1].T @ targets) for sigma in sigmas.values()]
    values, index = torch.stack(errors).min(dim=0)
    width = torch.tensor(list(sigmas), device=index.device)[index]
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
    targets, wanted = one_vs_all(labels[train]), _coded(labels[test], labels[train])
    fitted, heldout = [], []
    for sigma in _sigmas(within, quantiles).values():
        kernel, cross = torch.exp(-within / sigma), torch.exp(-across / sigma)
        values, vectors = _principal(kernel)
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
    distances, targets = squared_distances(gram), one_vs_all(labels)
    spread = _median_distance(distances)
    grid = torch.as_tensor(list(penalties), dtype=torch.float64, device=gram.device)
    errors = torch.stack([_loo(torch.exp(-distances / (2 * (a * spread) ** 2)), targets, grid) for a in scales])
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


def _coded(labels: Int[Tensor, " m"], like: Int[Tensor, " n"]) -> Float[Tensor, "m c"]:
    """+1 and -1 for the categories of `like`, with its means and its one SD."""
    classes = like.unique()
    if len(classes) < 2:
        raise InputError(f"{len(classes)} category among {len(like)} stimuli; there must be two or more")
    reference = (like[:, None] == classes).double() * 2 - 1
    mean = reference.mean(dim=0)
    return ((labels[:, None] == classes).double() * 2 - 1 - mean) / (reference - mean).square().mean().sqrt()


def _sigmas(distances: Float[Tensor, "n n"], quantiles: Sequence[float]) -> dict[int, Float[Tensor, ""]]:
    """The positive squared-distance quantiles, by their place in `quantiles`."""
    entries = distances.flatten()
    ranks = [min(int(q * len(entries)), len(entries) - 1) for q in quantiles]
    sigmas = {i: entries.kthvalue(rank + 1).values for i, rank in enumerate(ranks)}
    positive = {i: sigma for i, sigma in sigmas.items() if sigma > 0}
    if not positive:
        raise InputError(f"squared distances are 0 at all quantiles {tuple(quantiles)}: most stimuli share features")
    return positive


def _principal(kernel: Float[Tensor, "n n"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n n"]]:
    """Eigenvalues of the centred kernel by falling size, and eigenvectors, zero where the eigenvalue is rounding."""
    mean = kernel.mean(dim=0)
    values, vectors = torch.linalg.eigh(kernel - mean[:, None] - mean + mean.mean())
    order = values.abs().argsort(descending=True)
    values, vectors = values[order], vectors[:, order]
    power = values.square().cumsum(dim=0)
    last = (power == power.max()).nonzero()[0, 0]  # from here on the sum of squares grows no more
    return values, vectors * (torch.arange(len(values), device=values.device) <= last)


def _residual(theta: Float[Tensor, "n c"]) -> Float[Tensor, " d"]:
    """Mean square that d = 0..n orthonormal components leave of targets whose own mean square is 1."""
    explained = theta.square().sum(dim=1).cumsum(dim=0) / theta.numel()
    return torch.cat([torch.ones_like(explained[:1]), (1 - explained).clamp_min(0)])


def _median_distance(distances: Float[Tensor, "n n"]) -> float:
    n = len(distances)
    i, j = torch.triu_indices(n, n, offset=1, device=distances.device)
    pairs = distances[i, j].sqrt()
    middle = [float(pairs.kthvalue(rank).values) for rank in ((len(pairs) + 1) // 2, len(pairs) // 2 + 1)]
    if middle[1] == 0:
        raise InputError("the median distance is 0: most stimuli share their features")
    return sum(middle) / 2


def _loo(kernel: Float[Tensor, "n n"], y: Float[Tensor, "n c"], penalties: Float[Tensor, " a"]) -> Float[Tensor, " a"]:
    """Mean squared leave-one-out error at each penalty, by one eigendecomposition.

    In float64: float32 eigenvalues of a kernel of n stimuli are off by about 1e-7 n, more than the least penalties.
    """
    values, vectors = torch.linalg.eigh(kernel)
    power, z = vectors.square(), vectors.T @ y
    errors = []
    for some in penalties.split(max(1, COLUMNS // y.shape[1])):
        shrink = 1 / (values.clamp_min(0)[:, None] + some)  # (n, a)
        theta = vectors @ (shrink[:, :, None] * z[:, None]).flatten(1)
        left_out = theta.view(len(y), len(some), -1) / (power @ shrink)[:, :, None]
        errors.append(left_out.square().mean(dim=(0, 2)))
    return torch.cat(errors)
