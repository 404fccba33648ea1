"""How well any model could do, estimated from the recording alone."""

from __future__ import annotations

import torch
from torch import Tensor

from brainbench.numerics._shapes import Bool, Float
from brainbench.numerics.correlation import pearson
from brainbench.numerics.rdm import compare, pooled

_AT_A_TIME = 64  # neuroids: float64 copies of all of a large region would be several times its own size


def spearman_brown(rho: Float[Tensor, "*v"], k: int | float | Float[Tensor, "*v"]) -> Float[Tensor, "*v"]:
    """Reliability of the mean of k measurements of reliability rho: k rho / (1 + (k - 1) rho).

    Below 0, where the formula has a pole beyond which it turns positive, its tangent at 0: k rho.
    """
    return torch.where(rho > 0, k * rho / (1 + (k - 1) * rho.clamp_min(0)), k * rho)


def split_half(values: Float[Tensor, "n r v"], *, n_splits: int, generator: torch.Generator) -> Float[Tensor, " v"]:
    """Reliability of each neuroid's mean over its repetitions: on the r² scale, the ceiling for that mean.

    Repetitions (NaN where there is none) are halved at random for every stimulus, the halves' means correlated over
    stimuli, the correlations averaged over `n_splits` halvings, and Spearman-Brown brings the half back to the
    whole. A half's noise is that of 1/a repetitions, the whole's that of 1/m, so the step is by the ratio of their
    means over stimuli: 2 where all m are even, 9/4 for halves of 1 and 2. Stimuli with one repetition have no halves;
    NaN where fewer than 3 others remain, or where a half is constant.
    """
    present = torch.isfinite(values)
    count = present.sum(dim=1)
    filled = torch.where(present, values, 0.0)
    total = filled.sum(dim=1)
    usable = count >= 2
    sums = torch.zeros(values.shape[2], dtype=values.dtype, device=values.device)
    for seed in torch.randint(2**62, (n_splits,), generator=generator).tolist():
        # repetition by repetition, so that slots padded for other neuroids change no halving
        drawn = torch.Generator().manual_seed(seed)
        coin, *columns = [torch.rand(len(values), generator=drawn) for _ in range(1 + values.shape[1])]
        keys = torch.stack(columns, dim=1).to(values.device)
        order = keys.argsort(dim=1)[..., None].expand_as(values)
        shuffled = present.gather(1, order)
        # the first half of the repetitions that exist, in shuffled order; an odd one out goes to either side in turn
        half = (count + (coin[:, None].to(values.device) < 0.5)) // 2
        first = shuffled & (shuffled.cumsum(dim=1) <= half[:, None])
        total_first = (filled.gather(1, order) * first).sum(dim=1)
        mean_first = total_first / half.clamp_min(1)
        mean_second = (total - total_first) / (count - half).clamp_min(1)
        sums += _masked_pearson(mean_first, mean_second, usable)
    m = count.double()  # 1 / an integer would be float32
    small = (m // 2).clamp_min(1)
    noise_of_half = _mean_where((1 / small + 1 / (m - small).clamp_min(1)) / 2, usable)
    noise_of_whole = _mean_where(1 / m.clamp_min(1), count > 0)
    return spearman_brown(sums / n_splits, (noise_of_half / noise_of_whole).to(values.dtype))


def _mean_where(values: Float[Tensor, "n v"], rows: Bool[Tensor, "n v"]) -> Float[Tensor, " v"]:
    return torch.where(rows, values, 0.0).sum(dim=0) / rows.sum(dim=0)


def _masked_pearson(x: Tensor, y: Tensor, usable: Tensor) -> Tensor:
    if usable.all():
        return pearson(x, y)
    out = torch.full((x.shape[1],), torch.nan, dtype=x.dtype, device=x.device)
    for column in range(x.shape[1]):
        rows = usable[:, column]
        if rows.sum() >= 3:
            out[column] = pearson(x[rows, column, None], y[rows, column, None])[0]
    return out


def noise_ceiling(values: Float[Tensor, "n r v"]) -> tuple[Float[Tensor, " v"], Float[Tensor, " v"]]:
    """Signal-to-noise ratio of each neuroid's single presentations, and the ceiling for the mean of its repetitions.

    Noise variance is that over repetitions (NaN where there is none), averaged over the stimuli with two or more;
    signal variance is what is left of the whole, to which each stimulus adds the mean over its presentations, at least
    0. With s the ratio of their standard deviations, s² / (s² + mean of 1/m) is the share of the variance of means of m
    repetitions that is signal, on the r² scale (Allen et al. 2022). NaN without repeated stimuli, or where a neuroid is
    constant.
    """
    some = [_noise_ceiling(part) for part in values.split(_AT_A_TIME, dim=2)]
    return torch.cat([ratio for ratio, _ in some]), torch.cat([share for _, share in some])


def _noise_ceiling(values: Tensor) -> tuple[Tensor, Tensor]:
    present = torch.isfinite(values)
    filled = torch.where(present, values, 0.0).double()
    count = present.sum(dim=1)
    mean = filled.sum(dim=1) / count.clamp_min(1)
    within = (torch.where(present, filled - mean[:, None], 0.0) ** 2).sum(dim=1) / (count - 1).clamp_min(1)
    noise = _mean_where(within, count >= 2)
    seen = count > 0
    around = torch.where(present, filled - _mean_where(mean, seen), 0.0)
    # stimulus by stimulus, as scores are: one that was shown a hundred times has no hundredfold say in what is signal
    whole = _mean_where(around.square().sum(dim=1) / count.clamp_min(1), seen)
    signal = (whole - noise).clamp_min(0)
    of_means = noise * _mean_where(1 / count.clamp_min(1).double(), seen)
    return (signal / noise).sqrt().to(values.dtype), (signal / (signal + of_means)).to(values.dtype)


def leave_one_out(rdms: Float[Tensor, "q s"], how: str) -> tuple[Float[Tensor, " s"], Float[Tensor, " s"]]:
    """For each subject's condensed RDM, its agreement with the others' pooled RDM (lower) and with everybody's (upper).

    Their means over subjects bracket what the true RDM would reach (Nili et al. 2014). NaN for a single subject.
    """
    s = rdms.shape[1]
    if s < 2:
        return torch.full((s,), torch.nan, dtype=torch.float64), torch.full((s,), torch.nan, dtype=torch.float64)
    others = [pooled(rdms[:, [j for j in range(s) if j != i]], how) for i in range(s)]
    lower = torch.stack([compare(others[i], rdms[:, i, None], how)[0] for i in range(s)])
    return lower, compare(pooled(rdms, how), rdms, how)
