"""Kernel analysis, stimulus by stimulus: the squared error on each at every kernel width and complexity.

The curves of `kernel_analysis` are envelopes of these errors' means. Kept apart, they can be weighed by how often a
resample holds each stimulus, without fitting anything again: e(d) = min over widths of Σ w_i e_i(width, d) / Σ w_i.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from brainbench.errors import InputError
from brainbench.numerics._shapes import Float, Int

QUANTILES = (0.1, 0.5, 0.9)  # of all squared distances, those of a stimulus to itself among them
SCALES = tuple(10 ** (-1 + 2 * i / 31) for i in range(32))  # of the Gaussian, in median distances
PENALTIES = tuple(10 ** (-4 + 7 * i / 55) for i in range(56))  # beside a kernel whose diagonal is 1
COLUMNS = 4096  # (penalty, category) pairs solved at a time


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
    return coded(labels, labels)


def component_errors(
    gram: Float[Tensor, "n n"], labels: Int[Tensor, " n"], *, quantiles: Sequence[float] = QUANTILES
) -> Float[Tensor, "q d n"]:
    """Each stimulus' squared error, averaged over categories, with d = 0..n components: `error_curve` before its means.

    The first axis has the quantiles at which the distance is above 0, in order. Raises as `error_curve` does.
    """
    distances, targets = squared_distances(gram), one_vs_all(labels)
    out = []
    for sigma in sigmas(distances, quantiles).values():
        vectors = principal(torch.exp(-distances / sigma))[1]
        errors = gram.new_zeros(len(gram), len(gram) + 1, dtype=torch.float64)
        # a category at a time: (n, n) numbers, not (n, n, c)
        for y, weights in zip(targets.T, (vectors.T @ targets).T):
            errors += (y[:, None] - torch.nn.functional.pad((vectors * weights).cumsum(dim=1), (1, 0))).square()
        out.append(errors.T / targets.shape[1])
    return torch.stack(out)


def loo_errors(
    gram: Float[Tensor, "n n"],
    labels: Int[Tensor, " n"],
    *,
    units: Int[Tensor, " n"] | None = None,
    scales: Sequence[float] = SCALES,
    penalties: Sequence[float] = PENALTIES,
) -> Float[Tensor, "s a n"]:
    """Each stimulus' squared leave-one-out error, averaged over categories: `precision_curve` before its means.

    With `units`, all stimuli of one unit are left out together: e_u = [(K⁻¹)_uu]⁻¹ Θ_u, so no version of a stimulus
    tells its category. Raises as `precision_curve` does.
    """
    distances, targets = squared_distances(gram), one_vs_all(labels)
    spread = _median_distance(distances)
    grid = torch.as_tensor(list(penalties), dtype=torch.float64, device=gram.device)
    shared = [] if units is None else [(units == u).nonzero()[:, 0] for u in units.unique() if (units == u).sum() > 1]
    return torch.stack([_loo(torch.exp(-distances / (2 * (a * spread) ** 2)), targets, grid, shared) for a in scales])


def coded(labels: Int[Tensor, " m"], like: Int[Tensor, " n"]) -> Float[Tensor, "m c"]:
    """+1 and -1 for the categories of `like`, with its means and its one SD."""
    classes = like.unique()
    if len(classes) < 2:
        raise InputError(f"{len(classes)} category among {len(like)} stimuli; there must be two or more")
    reference = (like[:, None] == classes).double() * 2 - 1
    mean = reference.mean(dim=0)
    return ((labels[:, None] == classes).double() * 2 - 1 - mean) / (reference - mean).square().mean().sqrt()


def sigmas(distances: Float[Tensor, "n n"], quantiles: Sequence[float]) -> dict[int, Float[Tensor, ""]]:
    """The positive squared-distance quantiles, by their place in `quantiles`."""
    entries = distances.flatten()
    ranks = [min(int(q * len(entries)), len(entries) - 1) for q in quantiles]
    found = {i: entries.kthvalue(rank + 1).values for i, rank in enumerate(ranks)}
    positive = {i: sigma for i, sigma in found.items() if sigma > 0}
    if not positive:
        raise InputError(f"squared distances are 0 at all quantiles {tuple(quantiles)}: most stimuli share features")
    return positive


def principal(kernel: Float[Tensor, "n n"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n n"]]:
    """Eigenvalues of the centred kernel by falling size, and eigenvectors, zero where the eigenvalue is rounding."""
    mean = kernel.mean(dim=0)
    values, vectors = torch.linalg.eigh(kernel - mean[:, None] - mean + mean.mean())
    order = values.abs().argsort(descending=True)
    values, vectors = values[order], vectors[:, order]
    power = values.square().cumsum(dim=0)
    last = (power == power.max()).nonzero()[0, 0]  # from here on the sum of squares grows no more
    return values, vectors * (torch.arange(len(values), device=values.device) <= last)


def _median_distance(distances: Float[Tensor, "n n"]) -> float:
    n = len(distances)
    i, j = torch.triu_indices(n, n, offset=1, device=distances.device)
    pairs = distances[i, j].sqrt()
    middle = [float(pairs.kthvalue(rank).values) for rank in ((len(pairs) + 1) // 2, len(pairs) // 2 + 1)]
    if middle[1] == 0:
        raise InputError("the median distance is 0: most stimuli share their features")
    return sum(middle) / 2


def _loo(
    kernel: Float[Tensor, "n n"],
    y: Float[Tensor, "n c"],
    penalties: Float[Tensor, " a"],
    shared: Sequence[Int[Tensor, " _m"]],
) -> Float[Tensor, "a n"]:
    """Squared leave-one-out errors at each penalty, by one eigendecomposition; rows that are `shared` go together.

    In float64: float32 eigenvalues of a kernel of n stimuli are off by about 1e-7 n, more than the least penalties.
    """
    values, vectors = torch.linalg.eigh(kernel)
    power, z = vectors.square(), vectors.T @ y
    errors = []
    for some in penalties.split(max(1, COLUMNS // y.shape[1])):
        shrink = 1 / (values.clamp_min(0)[:, None] + some)  # (n, a)
        theta = (vectors @ (shrink[:, :, None] * z[:, None]).flatten(1)).view(len(y), len(some), -1)
        left_out = theta / (power @ shrink)[:, :, None]
        for rows in shared:
            block = torch.einsum("ik,ka,jk->aij", vectors[rows], shrink, vectors[rows])
            left_out[rows] = torch.linalg.solve(block, theta[rows].movedim(0, 1)).movedim(1, 0)
        errors.append(left_out.square().mean(dim=2).T)
    return torch.cat(errors)
