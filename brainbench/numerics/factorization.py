"""Linear factorisation: how much of a layer is a sum of one vector a level of each concept, and nothing else.

Z_i = c + Σ_k u_{k, y_ki} + residual; R² = 1 - Σ |residual|² / Σ |Z - mean|². The additive model is fitted by least
squares on dummy-coded levels, which is right for any design: where the cells are unequally filled or missing, sums of
marginal means count what concepts share twice (additive data then read below 1). Also of the fitted vectors: how many
dimensions each concept spans, and whether different concepts use different axes. Uselis, Dittadi & Oh 2026.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from brainbench.errors import InputError
from brainbench.numerics._shapes import Float, Int

VARIANCE_SHARE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Factorization:
    """R² of the additive model, R² expected of shuffled labels, and the geometry of each concept's level vectors.

    `chance` is (number of free parameters) / (n - 1), the exact mean of R² over shuffles of the rows; `adjusted` is
    (r2 - chance) / (1 - chance), 0 for shuffled labels and 1 for additive features. `k95` (k,): components for 95 % of
    the variance of a concept's vectors, each level counted once. `cos_within`, `cos_across`: mean |cosine| of the
    vectors of two levels of one concept, and of two concepts. The last three are NaN where the design does not
    identify the vectors (concepts nested in each other); a concept that moves nothing has no `k95` and no say in means.
    """

    r2: float
    chance: float
    adjusted: float
    k95: Float[Tensor, " k"]
    cos_within: float
    cos_across: float


def factorization(features: Float[Tensor, "n p"], labels: Int[Tensor, "n k"]) -> Factorization:
    """Additive fit of features by k concepts, given by the level of each in every stimulus.

    Use the raw features, not unit-length ones: normalising mixes the concepts. Where a layer is kept as its Gram
    matrix, `geometry.coordinates(gram)` stands in exactly. Features without variance give NaN. R² is in-sample: as
    many free parameters as stimuli fit anything, so look at `chance`. Raises InputError for a concept with one level.
    """
    z = _centred(features)
    design, widths = _effects(labels)
    effects = design - design.mean(dim=0)
    left, scale, right = torch.linalg.svd(effects, full_matrices=False)
    live = scale > 1e-10 * scale[0]
    total = z.square().sum()
    nothing = float("nan")
    fitted = left[:, live].T @ z
    df, n = int(live.sum()), len(z)
    r2 = float(fitted.square().sum() / total) if bool(total > 0) else nothing
    chance = df / (n - 1)
    adjusted = (r2 - chance) / (1 - chance) if df < n - 1 else nothing
    k95 = torch.full((len(widths),), nothing, dtype=torch.float64)
    within = across = nothing
    if df == effects.shape[1] and bool(total > 0):
        coefficients = right.T @ (fitted / scale[:, None])
        vectors = [torch.cat([b, -b.sum(dim=0, keepdim=True)]) for b in coefficients.split(widths)]
        smallest = 1e-10 * (total / n).sqrt()  # a shorter vector is rounding and has no direction
        k95 = torch.tensor([_components(v, smallest) for v in vectors], dtype=torch.float64)
        within, across = _cosines(vectors, smallest)
    return Factorization(r2=r2, chance=chance, adjusted=adjusted, k95=k95, cos_within=within, cos_across=across)


def marginal_r2(features: Float[Tensor, "n p"], labels: Int[Tensor, "n k"]) -> float:
    """R² of the sum of marginal means: equal to `factorization` for balanced designs, wrong for all others.

    Here to reproduce published numbers and to show the difference; NaN for features without variance.
    """
    z = _centred(features)
    rebuilt = torch.zeros_like(z)
    for concept in labels.T:
        _, level = concept.unique(return_inverse=True)
        member = torch.nn.functional.one_hot(level).double()
        rebuilt = rebuilt + member @ (member.T @ z / member.sum(dim=0)[:, None])
    total = z.square().sum()
    return float(1 - (z - rebuilt).square().sum() / total) if bool(total > 0) else float("nan")


def within_span(features: Float[Tensor, "n p"], directions: Float[Tensor, "d p"]) -> Float[Tensor, "n k"]:
    """Features in an orthonormal basis of the span of `directions`, such as the weights of linear probes.

    Factorisation of these alone asks how the readable part of a layer is organised. Directions below 1e-6 of the
    strongest are rounding.
    """
    _, scale, right = torch.linalg.svd(directions.double(), full_matrices=False)
    return features.double() @ right[scale > 1e-6 * scale[0]].T


def _centred(features: Float[Tensor, "n p"]) -> Float[Tensor, "n p"]:
    z = features.double()
    z = z - z.mean(dim=0)
    flat = z.norm() <= 1e-13 * features.double().norm()  # what centring leaves of constant features
    return torch.zeros_like(z) if bool(flat) else z


def _effects(labels: Int[Tensor, "n k"]) -> tuple[Float[Tensor, "n d"], list[int]]:
    """Effect coding, levels - 1 columns a concept: the vector of its last level is minus the sum of the others."""
    columns, widths = [], []
    for k, concept in enumerate(labels.T):
        levels, level = concept.unique(return_inverse=True)
        if len(levels) < 2:
            raise InputError(f"concept {k} has one level: it explains nothing")
        member = torch.nn.functional.one_hot(level).double()
        columns.append(member[:, :-1] - member[:, -1:])
        widths.append(len(levels) - 1)
    return torch.cat(columns, dim=1), widths


def _components(vectors: Float[Tensor, "l p"], smallest: Float[Tensor, ""]) -> float:
    variance = torch.linalg.svdvals(vectors).square()
    if not bool(variance[0] > smallest.square()):
        return float("nan")
    share = variance.cumsum(dim=0) / variance.sum()
    return float((share < VARIANCE_SHARE - 1e-12).sum() + 1)


def _cosines(vectors: list[Tensor], smallest: Tensor) -> tuple[float, float]:
    norms = [v.norm(dim=1, keepdim=True) for v in vectors]
    unit = torch.cat([torch.where(m > smallest, v / m, torch.nan) for v, m in zip(vectors, norms)])
    concept = torch.repeat_interleave(torch.tensor([len(v) for v in vectors])).to(unit.device)
    cosine = (unit @ unit.T).abs()
    same = concept[:, None] == concept[None]
    pairs = torch.ones_like(same).triu(diagonal=1)
    return float(cosine[same & pairs].nanmean()), float(cosine[~same & pairs].nanmean())
