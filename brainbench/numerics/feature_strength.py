"""How strongly a feature stands in a layer, and how that strength, not the computation, decides RSA and CKA.

A network may compute an easy (linear) and a hard (XOR-like) feature equally well and still spend 55 % of its variance
on the one and 5 % on the other (Lampinen et al. 2024). Comparisons of Gram matrices weigh features by the square of
their variance: with orthonormal features of variances a² and b², CKA([a e, b h], e) = a² / √(a⁴ + b⁴). This module
generates such layers with dialled variances, measures the variance that a feature has, says how few components a
comparison rests on, and whitens, which gives every dimension one vote.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from brainbench.errors import InputError, UsageError
from brainbench.numerics._shapes import Float, Int
from brainbench.numerics.alignment import double_centred
from brainbench.numerics.spectrum import eigenvalues, rounding

SHARE = 0.9  # of a comparison's squared norm: `Dominance.n_components` reach it


@dataclass(frozen=True, slots=True, kw_only=True)
class EasyAndHard:
    """A layer that codes an easy feature, a hard one and nuisances, over all combinations of their binary inputs.

    `inputs` (n, bits) are ±1: the easy feature's bit, the hard one's two, one a nuisance. `easy` is its bit, `hard` the
    product of its two (XOR). All of these features have mean 0, variance 1 and no correlation with each other.
    """

    inputs: Float[Tensor, "n d"]
    easy: Float[Tensor, " n"]
    hard: Float[Tensor, " n"]
    nuisances: Float[Tensor, "n k"]
    features: Float[Tensor, "n p"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dominance:
    """How the squared norm of a centred Gram matrix, Σ λ², spreads over its principal components.

    `cumulative` (k,): share of the leading 1, 2, ... components. `n_components`: how many reach 90 %. NaN and empty for
    a constant layer.
    """

    cumulative: Float[Tensor, " k"]
    n_components: float

    def share(self, k: int) -> float:
        """Share of the leading k >= 1 components, 1 beyond the last; NaN for a constant layer."""
        return float(self.cumulative[min(k, len(self.cumulative)) - 1]) if len(self.cumulative) else float("nan")


def factorial(n_factors: int) -> Float[Tensor, "n d"]:
    """All 2^d combinations of d factors ±1, each of mean 0 and variance 1, uncorrelated with all products of others."""
    if not 1 <= n_factors <= 16:
        raise UsageError(f"a full factorial of {n_factors} factors: from 1 to 16 are made")
    return torch.tensor(list(itertools.product([-1.0, 1.0], repeat=n_factors)), dtype=torch.float64)


def easy_and_hard(
    *, easy: int | float, hard: int | float, nuisances: Sequence[int | float] = (), n_units: int = 50, seed: int = 0
) -> EasyAndHard:
    """A layer of `n_units` in which each feature has the total variance asked for, each on a random direction.

    Directions are orthonormal and drawn from the seed, so the features' variances are those of the layer's components
    and no unit is a feature. Variances of 0 are allowed: a system may ignore what another codes. Stimuli are all
    2^(3 + nuisances) combinations. Raises UsageError for negative variances or fewer units than features.
    """
    variances = torch.tensor([easy, hard, *nuisances], dtype=torch.float64)
    if bool((variances < 0).any()) or n_units < len(variances):
        raise UsageError(f"{len(variances)} features of variances {variances.tolist()} in {n_units} units")
    inputs = factorial(3 + len(nuisances))
    xor = inputs[:, 1] * inputs[:, 2]
    coded = torch.cat([inputs[:, :1], xor[:, None], inputs[:, 3:]], dim=1)
    generator = torch.Generator().manual_seed(seed)
    directions = torch.linalg.qr(torch.randn(n_units, len(variances), generator=generator, dtype=torch.float64))[0]
    return EasyAndHard(
        inputs=inputs,
        easy=inputs[:, 0],
        hard=xor,
        nuisances=inputs[:, 3:],
        features=(coded * variances.sqrt()) @ directions.T,
    )


def variance_explained(
    features: Float[Tensor, "n p"],
    feature: Float[Tensor, "n k"],
    *,
    train: Int[Tensor, " a"],
    test: Int[Tensor, " b"],
) -> float:
    """Share of a layer's variance on the test stimuli that a least-squares fit from a feature, on `train`, explains.

    1 - Σ |φ - φ̂|² / Σ |φ - mean|² over stimuli and units, with the mean of the test stimuli; below 0 where the fit is
    worse than that mean. `feature` has one column for a number, several for a one-hot level or a vector. Strong units
    count most, as they do in RSA. NaN where the test features are constant. Raises InputError where `train` does not
    determine the fit.
    """
    predictors = torch.cat([torch.ones(len(feature), 1, device=feature.device), feature], dim=1).double()
    x, phi = predictors[train], features.double()
    if len(train) <= feature.shape[1] or int(torch.linalg.matrix_rank(x)) < x.shape[1]:
        raise InputError(f"{len(train)} training stimuli do not determine a fit of {feature.shape[1]} columns")
    weights = torch.linalg.lstsq(x, phi[train]).solution
    left = (phi[test] - predictors[test] @ weights).square().sum()
    total = (phi[test] - phi[test].mean(dim=0)).square().sum()
    return float(1 - left / total) if bool(total > 1e-24 * phi[test].square().sum()) else float("nan")


def dominant_share(gram: Float[Tensor, "n n"]) -> Dominance:
    """How many principal components carry a comparison with this Gram matrix, such as CKA or Pearson RSA.

    Plain linear CKA is a cosine of centred Gram matrices, in which component i has the share λ_i² / Σ λ². So a layer
    cut down to k components has CKA √cumulative[k-1] with the whole, and what lies beyond can move no CKA by more than
    √(1 - cumulative[k-1]). Pearson RSA on squared Euclidean distances and debiased CKA see the same components less
    their diagonal: for those this is close, not exact. The Gram needs no centring.
    """
    return dominance(eigenvalues(gram))


def dominance(values: Float[Tensor, " k"]) -> Dominance:
    """The same from the eigenvalues (descending, none of them rounding) of the centred Gram matrix or covariance."""
    squared = values.double().square()
    cumulative = squared.cumsum(dim=0) / squared.sum()
    reached = (cumulative < SHARE - 1e-12).sum() + 1
    return Dominance(cumulative=cumulative, n_components=float(reached) if len(values) else float("nan"))


def whitened(gram: Float[Tensor, "n n"], *, rank: int | None = None) -> Float[Tensor, "n n"]:
    """Gram matrix of the features with unit variance along every component, or along the leading `rank`.

    The CKA of two of these is (dimensions shared) / √(d₁ d₂) where dimensions are shared in full or not at all:
    no feature is strong. That makes the trap of this measure: with as many units as stimuli all layers whiten to the
    same matrix, so give a `rank` well below n, and expect its last components to be noise. Raises UsageError for a
    rank below 1 or above that of the features.
    """
    values, vectors = torch.linalg.eigh(double_centred(gram))
    live = int((values > rounding(gram, values)).sum())
    k = live if rank is None else rank
    if not 1 <= k <= live:
        raise UsageError(f"rank {k} of features of rank {live}")
    kept = vectors[:, -k:]
    return kept @ kept.T * len(gram)
