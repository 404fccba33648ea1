"""Distances without the noise's share: crossnobis RDMs from repetitions, and comparisons that know RDMs' covariance.

A squared distance of noisy patterns is too long by the noise's own square. Multiplying the difference of two stimuli
in one repetition with that in another leaves noise with mean 0 (Walther et al. 2016):

    d_ij = mean over repetitions r ≠ s of (y_ir - y_jr)ᵀ P (y_is - y_js) / v.

Distances that share a stimulus share its noise. Whitening by that covariance V (Diedrichsen et al. 2021) is, for
independent stimuli, double centring: rᵀ V⁻¹ s is proportional to <H R H, H S H>, and no q x q matrix is formed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from brainbench.errors import InputError
from brainbench.numerics._shapes import Bool, Float
from brainbench.numerics.alignment import TINY, Rows, WeightedPairs, cosines, double_centred, of_unit_norm


def crossnobis(
    values: Float[Tensor, "n r v"], *, precision: Float[Tensor, "*r v v"] | None = None
) -> Float[Tensor, "n n"]:
    """Cross-validated squared distance of every two stimuli per neuroid, float64, in units of the responses squared.

    A presentation counts as missing where any neuroid is NaN; two stimuli meet in the repetitions that both have, and
    are NaN where those are fewer than two. `precision`: the inverse noise covariance P, one for all or one for each
    repetition (`fold_precisions`); none is the identity. Negative distances are noise below 0 and stay: clipping them
    would bring the bias back. Unbiased where P does not know the noise it meets. Neuroids: any number.
    """
    n, r, v = values.shape
    present = torch.isfinite(values).all(dim=2)
    z = torch.where(present[..., None], values, 0.0).double()
    if precision is None:
        left = z
    elif precision.ndim == 2:
        left = z @ precision.double()
    else:
        if len(precision) != r:
            raise InputError(f"{len(precision)} precisions for {r} repetitions")
        left = torch.einsum("nrv,rvw->nrw", z, precision.double())
    out = torch.full((n, n), torch.nan, dtype=torch.float64, device=values.device)
    patterns, which = torch.unique(present, dim=0, return_inverse=True)
    rows = [torch.nonzero(which == g)[:, 0] for g in range(len(patterns))]
    # All stimuli that have the same repetitions at once; one step where none is missing.
    for g, ours in enumerate(rows):
        for h, theirs in enumerate(rows[: g + 1]):
            shared = torch.nonzero(patterns[g] & patterns[h])[:, 0]
            if len(shared) < 2:
                continue
            block = _complete(*(side[at][:, shared] for at in (ours, theirs) for side in (left, z))) / v
            out[ours[:, None], theirs] = block
            out[theirs[:, None], ours] = block.T
    return out.fill_diagonal_(0.0)


def _complete(left_x: Tensor, x: Tensor, left_y: Tensor, y: Tensor) -> Float[Tensor, "a b"]:
    """Crossnobis of stimuli x (a, r, v) and y (b, r, v) without gaps; `left` are both times P of the repetition."""
    r = x.shape[1]
    rest_x, rest_y = x.sum(dim=1, keepdim=True) - x, y.sum(dim=1, keepdim=True) - y
    own_x, own_y = (left_x * rest_x).sum(dim=(1, 2)), (left_y * rest_y).sum(dim=(1, 2))
    cross = left_x.flatten(1) @ rest_y.flatten(1).T + rest_x.flatten(1) @ left_y.flatten(1).T
    return (own_x[:, None] + own_y - cross) / (r * (r - 1))


def noise_covariance(values: Float[Tensor, "n r v"]) -> Float[Tensor, "v v"]:
    """Covariance over neuroids of one presentation's noise, float64, shrunk towards its own diagonal.

    From the m - 1 orthonormal (Helmert) contrasts of each stimulus' m repetitions: as large as the noise, without the
    stimulus, and independent of each other, which residuals from its mean are not. The shrinkage is Ledoit & Wolf's
    (2004), of contrasts of unit variance: that of raw ones would lend loud neuroids' variance to quiet ones. Raises
    InputError where no stimulus has two repetitions (complete ones: NaN in any neuroid is missing), or a neuroid no
    noise.
    """
    present = torch.isfinite(values).all(dim=2)
    if not (present.sum(dim=1) >= 2).any():
        raise InputError("no stimulus has two repetitions without gaps: the noise cannot be told from the signal")
    return _ledoit_wolf(_contrasts(values, present))


def fold_precisions(values: Float[Tensor, "n r v"]) -> Float[Tensor, "r v v"]:
    """For each repetition, the inverse of the others' `noise_covariance`: what `crossnobis` whitens without bias.

    A covariance from all repetitions knows the noise that it is to weigh, and noise comes out at positive distances.
    r matrices of v x v are inverted. Raises InputError where the others have no two repetitions of any stimulus.
    """
    r = values.shape[1]
    others = [[s for s in range(r) if s != left_out] for left_out in range(r)]
    return torch.stack([torch.linalg.inv(noise_covariance(values[:, rest])) for rest in others])


def _contrasts(values: Tensor, present: Bool[Tensor, "n r"]) -> Float[Tensor, "m v"]:
    """Of each repetition that is there, with the mean of the stimulus' earlier ones, of the length of one alone."""
    filled = torch.where(present[..., None], values, 0.0).double()
    before = torch.zeros_like(filled[:, 0])
    count = torch.zeros(len(values), 1, dtype=torch.float64, device=values.device)
    rows = []
    for own, here in zip(filled.unbind(dim=1), present.unbind(dim=1)):
        paired = here & (count[:, 0] > 0)
        k = count[paired]
        rows.append((before[paired] - k * own[paired]) / (k * (k + 1)).sqrt())
        before, count = before + own, count + here[:, None]
    return torch.cat(rows)


def _ledoit_wolf(contrasts: Float[Tensor, "m v"]) -> Float[Tensor, "v v"]:
    from sklearn.covariance import ledoit_wolf

    scale = contrasts.square().mean(dim=0).sqrt()
    if (scale == 0).any():
        raise InputError(f"{int((scale == 0).sum())} neuroids never vary between repetitions: leave them out")
    covariance, _ = ledoit_wolf((contrasts / scale).cpu().numpy(), assume_centered=True)
    return torch.as_tensor(covariance, dtype=torch.float64, device=contrasts.device) * scale[:, None] * scale


def whitened_cosine(x: Float[Tensor, "*a n n"], y: Float[Tensor, "*b n n"]) -> Float[Tensor, "..."]:
    """Cosine of every RDM x with every RDM y in the metric V⁻¹ of their noise: (*a, *b).

    For squared distances (crossnobis, squared Euclidean), with an interpretable 0. Stimuli are taken as independent and
    equally noisy. NaN where an RDM is 0 or not finite. Diedrichsen et al. 2021.
    """
    return cosines(x, y, double_centred)


def whitened_pearson(x: Float[Tensor, "*a n n"], y: Float[Tensor, "*b n n"]) -> Float[Tensor, "..."]:
    """As `whitened_cosine`, of RDMs less their mean over pairs: indifferent to a constant added to all distances."""
    return cosines(x, y, around_mean)


def resampled_whitened(
    x: Float[Tensor, "n n"], y: Float[Tensor, "s n n"], weights: Float[Tensor, "b n"]
) -> Float[Tensor, "b s"]:
    """`whitened_pearson` of x with each y in each sample in which stimulus i occurs `weights[b, i]` times.

    Two copies of a stimulus make no pair; each has its 0 on the diagonal, as in the RDM of any sample. For weights of 0
    and 1 it is the comparison of the subset. NaN for samples in which a side has nothing left, such as of two stimuli,
    and as in `whitened_pearson`. There is none of `whitened_cosine`: a sample with copies has fewer pairs beside as
    many diagonal entries, and what noise leaves on the diagonal lifts cosines.
    """
    weights = weights.double()
    sample = WeightedPairs(weights, own=1)
    n_pairs = weights.sum(dim=1).square() - weights.square().sum(dim=1)
    identity = torch.eye(x.shape[-1], dtype=torch.float64, device=x.device)
    of_identity = sample.rows(identity)

    def left(a: Tensor, b: Tensor, of_a: Rows, of_b: Rows) -> Tensor:
        return sample.all_pairs(a, b) - sample.additive(of_a, of_b)

    ii = left(identity, identity, of_identity, of_identity)
    sides = []
    rdms = torch.cat([x[None], y])
    # centring and scaling by the unweighted sample changes nothing, but keeps sums from cancelling
    for rdm, centred in zip(_less_mean(rdms), of_unit_norm(rdms, around_mean)):
        rdm = rdm / double_centred(rdm[None]).norm()
        rows = sample.rows(centred)
        # less the sample's own mean m over pairs, and m (1 - I) is -m I and something additive
        mean = ((weights @ rdm) * weights).sum(dim=1) / n_pairs
        sides.append((centred, rows, mean, left(centred, identity, rows, of_identity)))

    def inner(one: int, other: int) -> Tensor:
        (a, rows_a, mean_a, ia), (b, rows_b, mean_b, ib) = sides[one], sides[other]
        return left(a, b, rows_a, rows_b) + mean_a * ib + mean_b * ia + mean_a * mean_b * ii

    norms = []
    for number, (centred, *_) in enumerate(sides):
        square = inner(number, number)
        norms.append(torch.where(square > TINY * sample.all_pairs(centred, centred), square.sqrt(), torch.nan))
    return torch.stack([inner(0, s) / (norms[0] * norms[s]) for s in range(1, len(sides))], dim=1)


def around_mean(rdms: Float[Tensor, "a n n"]) -> Float[Tensor, "a n n"]:
    """RDMs less their mean over pairs, centred over rows and columns, float64: what `whitened_pearson` compares."""
    return double_centred(_less_mean(rdms))


def _less_mean(rdms: Float[Tensor, "a n n"]) -> Float[Tensor, "a n n"]:
    """RDMs less their mean over pairs, 0 on the diagonal, float64."""
    n = rdms.shape[-1]
    rdms = rdms.double()
    off = 1 - torch.eye(n, dtype=rdms.dtype, device=rdms.device)
    mean = (rdms * off).sum(dim=(1, 2), keepdim=True) / (n * (n - 1))
    return (rdms - mean) * off
