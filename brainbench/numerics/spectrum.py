"""How many dimensions a layer or a recording uses, from the eigenvalues λ of its covariance.

The n x n Gram matrix has the same nonzero eigenvalues as the p x p covariance (times n), so a layer of any width is
exact; `Representation.eigh(rows).values` serves as well as `eigenvalues(gram)`. Every measure is blind to scale and
rotation, and 1 <= participation ratio <= RankMe <= rank. With p_i = λ_i / Σ λ: participation ratio 1 / Σ p², RankMe
exp(-Σ p ln p) (Garrido et al. 2023), α-ReQ minus the slope of ln λ_i on ln i (Agrawal et al. 2022). Fewer stimuli
than dimensions pull all of them down: compare layers at the same n. Noise lifts the tail of a recording's spectrum;
`cross_validated_spectrum` (cvPCA, Stringer et al. 2019) is free of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from brainbench.errors import InputError, UsageError
from brainbench.numerics._shapes import Bool, Float
from brainbench.numerics.alignment import double_centred

ROUNDING = 1e-10  # an eigenvalue below this share of the largest is rounding, as in Representation.eigh
FIRST, LAST = 11, 500  # range of the power law: below it single components rule, above it the finite sample does
FEWEST = 3  # a line through two points fits them whatever they are
SPECTRA = ("covariance", "singular")


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLaw:
    """Least-squares fit of ln λ_i = c - exponent ln i, its r², how many eigenvalues it used, and how stable it is.

    `head` and `tail` are the exponents of the lower and the upper half of the range in ln i: far apart, the spectrum
    bends and one exponent does not describe it. All NaN where the range holds too few eigenvalues.
    """

    exponent: float
    r2: float
    n_points: int
    head: float
    tail: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossValidatedSpectrum:
    """Signal variance along each component, in the order of the components' own variance, and the data it rests on."""

    values: Float[Tensor, " k"]
    n_stimuli: int
    n_neuroids: int


def eigenvalues(gram: Float[Tensor, "n n"], *, n_units: int | None = None) -> Float[Tensor, " k"]:
    """Eigenvalues of the covariance (divisor n) of features with this Gram matrix, descending, rounding left out.

    One stimulus has none. The Gram needs no centring. `n_units` bounds the rank where it is known. Raises InputError
    where it is not finite.
    """
    if not torch.isfinite(gram).all():
        raise InputError("the Gram matrix holds NaN or infinity")
    n = len(gram)
    if n < 2:
        return gram.new_zeros(0, dtype=torch.float64)
    values = torch.linalg.eigvalsh(double_centred(gram)).flip(0)[: min(n - 1, n_units or n)]
    return values[values > rounding(gram, values)] / n


def eigenvalues_of_features(features: Float[Tensor, "n p"]) -> Float[Tensor, " k"]:
    """The same from features, as p x p: quicker where they have fewer units than stimuli."""
    n, p = features.shape
    x = features.double()
    if not torch.isfinite(x).all():
        raise InputError("the features hold NaN or infinity")
    if n < 2:
        return x.new_zeros(0)
    xc = x - x.mean(dim=0)
    values = torch.linalg.eigvalsh(xc.T @ xc).flip(0)[: min(n - 1, p)]
    constant = 1e-13 * x.square().sum(dim=1).max()  # see `rounding`
    return values[values > torch.maximum(ROUNDING * values.max(), constant)] / n


def rounding(gram: Float[Tensor, "n n"], values: Float[Tensor, " k"]) -> Float[Tensor, ""]:
    """The bound below which an eigenvalue of the centred Gram matrix is rounding.

    1e-10 of the largest, or what centring leaves of a constant layer: 1e-13 of the diagonal before centring.
    """
    return torch.maximum(ROUNDING * values.max(), 1e-13 * gram.diagonal().double().abs().max())


def rank(values: Float[Tensor, " k"]) -> int:
    """How many eigenvalues stand above rounding, 1e-10 of the largest."""
    return int(_live(values).sum())


def participation_ratio(values: Float[Tensor, " k"]) -> float:
    """(Σ λ)² / Σ λ²: the number of equal eigenvalues that would be as spread out; NaN for none.

    Raises InputError for negative eigenvalues. Gao et al. 2017.
    """
    shares = _shares(values)
    return float(1 / shares.square().sum()) if len(shares) else float("nan")


def rankme(values: Float[Tensor, " k"], *, on: str) -> float:
    """exp of the entropy of the spectrum's shares, between 1 and the rank; NaN for an empty or zero spectrum.

    `on` has no default, for the two conventions in print are different numbers. `covariance`: shares of the
    eigenvalues (Li et al. 2025). `singular`: shares of the singular values, √λ (Garrido et al. 2023, whose 1e-7 inside
    the logarithm is left out: 0 ln 0 is 0 here); never below the former. Eigenvalues 4:1, singular values 2:1: 1.649
    and 1.890. Raises InputError for negative eigenvalues, which cross-validated spectra have.
    """
    if on not in SPECTRA:
        raise UsageError(f"no RankMe on {on!r}; there are {', '.join(SPECTRA)}")
    shares = _shares(values, root=on == "singular")
    return float(torch.special.entr(shares).sum().exp()) if len(shares) else float("nan")


def alpha_req(
    values: Float[Tensor, " k"], *, first: int = FIRST, last: int = LAST, of_rank: int | None = None
) -> PowerLaw:
    """The exponent of the eigenvalues' decay from the `first`-th to the smaller of `last` and half of the rank.

    `of_rank` is the rank where `values` do not tell it: how many of a cross-validated spectrum are above 0 is luck. NaN
    below 3 eigenvalues in that range (a rank below 26 with the default `first`) or where one of them is not positive,
    as a cross-validated one may be. Agrawal et al. 2022; the range is our choice.
    """
    if first < 1 or last < first:
        raise UsageError(f"eigenvalues are counted from 1: no range from {first} to {last}")
    end = min(last, (rank(values) if of_rank is None else of_rank) // 2, len(values))
    part = values[first - 1 : end].double()
    nothing = float("nan")
    if len(part) < FEWEST or not bool((part > 0).all()):
        return PowerLaw(exponent=nothing, r2=nothing, n_points=len(part), head=nothing, tail=nothing)
    x = torch.arange(first, end + 1, dtype=torch.float64, device=part.device).log()
    y = part.log()
    lower = x <= (x[0] + x[-1]) / 2
    slope, r2 = _line(x, y)
    return PowerLaw(
        exponent=-slope,
        r2=r2,
        n_points=len(part),
        head=-_line(x[lower], y[lower])[0],
        tail=-_line(x[~lower], y[~lower])[0],
    )


def _line(x: Float[Tensor, " k"], y: Float[Tensor, " k"]) -> tuple[float, float]:
    if len(x) < FEWEST:
        return float("nan"), float("nan")
    xc, yc = x - x.mean(), y - y.mean()
    slope = (xc @ yc) / (xc @ xc)
    total = yc @ yc
    residual = (yc - slope * xc).square().sum()
    flat = bool(y.amax() == y.amin())  # a flat spectrum is a perfect power law of exponent 0; its r² is undefined
    return float(slope), float("nan") if flat else float(1 - residual / total)


def cross_validated_spectrum(
    values: Float[Tensor, "n r v"], *, n_splits: int, generator: torch.Generator
) -> CrossValidatedSpectrum:
    """Signal variance along the components of half the repetitions, as seen again in the other half.

    Repetitions (NaN where there is none) are halved at random for every stimulus; with half-means A and B centred over
    stimuli and A = Σ_k √λ_k u_k v_kᵀ, component k has (A v_k)ᵀ (B v_k) / n = u_kᵀ A Bᵀ u_k / n, averaged over both
    directions and `n_splits` halvings. Noise that the halves do not share averages to 0, so values go below 0 where
    there is no signal and must not be clipped. Their sum is unbiased for the total signal variance (divisor n, times
    (n - 1)/n for the mean removed).

    A presentation is one draw for all neuroids: it is dealt to a half as a whole, else noise that neuroids share would
    pass for signal. So one with a gap is left out, as are stimuli with fewer than two complete presentations and
    neuroids that were never recorded; the counts say what remained. NaN below 3 stimuli. Stringer et al. 2019.
    """
    x = values.double()
    x = x[:, :, torch.isfinite(x).any(dim=1).any(dim=0)]
    present = torch.isfinite(x).all(dim=2)
    usable = present.sum(dim=1) >= 2
    x, present = x[usable], present[usable]
    n, v = len(x), x.shape[2]
    k = max(min(n - 1, v), 0)
    if n < 3 or v == 0:
        gap = torch.full((k,), torch.nan, dtype=torch.float64, device=values.device)
        return CrossValidatedSpectrum(values=gap, n_stimuli=n, n_neuroids=v)
    x = x.nan_to_num()  # gaps are in no half
    out = torch.zeros(k, dtype=torch.float64, device=x.device)
    for _ in range(n_splits):
        a, b = _halves(x, present, generator)
        cross = a @ b.T
        for own, other in ((a, cross), (b, cross.T)):
            vectors = torch.linalg.eigh(own @ own.T)[1].flip(1)[:, :k]
            out += (vectors * (other @ vectors)).sum(dim=0) / (2 * n * n_splits)
    return CrossValidatedSpectrum(values=out, n_stimuli=n, n_neuroids=v)


def _halves(
    x: Float[Tensor, "n r v"], present: Bool[Tensor, "n r"], generator: torch.Generator
) -> tuple[Float[Tensor, "n v"], Float[Tensor, "n v"]]:
    """Means over a random half of each stimulus's presentations and over the rest, each centred over stimuli."""
    count = present.sum(dim=1)
    coin = torch.rand(len(x), generator=generator).to(x.device) < 0.5
    half = (count + coin) // 2  # an odd one out goes to either side in turn
    keys = torch.rand(present.shape, generator=generator).to(x.device)
    order = torch.where(present, keys, 2.0).argsort(dim=1).argsort(dim=1)  # place of each presentation, gaps last
    first = order < half[:, None]
    parts = []
    for rows in (first, present & ~first):
        mean = (x * rows[..., None]).sum(dim=1) / rows.sum(dim=1, keepdim=True)
        parts.append(mean - mean.mean(dim=0))
    return parts[0], parts[1]


def _live(values: Float[Tensor, " k"]) -> Bool[Tensor, " k"]:
    return values > ROUNDING * values.max() if len(values) else values > 0


def _shares(values: Float[Tensor, " k"], *, root: bool = False) -> Float[Tensor, " live"]:
    """Shares of the eigenvalues above rounding, or of their roots; empty where there is none."""
    values = values.double()
    if len(values) and bool(values.min() < -ROUNDING * values.abs().max()):
        raise InputError("negative eigenvalues have no shares; a cross-validated spectrum has an exponent, no entropy")
    live = values[_live(values) & (values > 0)]
    live = live.sqrt() if root else live
    return live / live.sum()
