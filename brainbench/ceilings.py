"""Ceilings by the rule that a benchmark names: what any model could reach, estimated from the recording alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from brainbench.core.arrays import Block, RDMs
from brainbench.core.mapped import release, spans
from brainbench.core.score import Ceiling
from brainbench.core.splits import Split
from brainbench.errors import InputError
from brainbench.numerics.ceilings import leave_one_out, noise_ceiling, split_half
from brainbench.numerics.rdm import upper
from brainbench.numerics.resampling import seed_of

N_HALVINGS = 50


def of_labels(rule: str) -> Ceiling:
    """What categories are is known exactly, so nothing bounds how well they can be told but 1."""
    if rule != "none":
        raise InputError(f"ceiling rule {rule!r} is for recordings; labels have none")
    return Ceiling(value=np.full(1, np.nan), scale="share", method="none", reason=("no ceiling",))


def of_neuroids(rule: str, block: Block, seed: str) -> Ceiling:
    """Reliability of the mean over repetitions, by halves or by variances; halvings belong to the dataset and split."""
    n = len(block.neuroid_ids)
    if rule == "none":
        return Ceiling(value=np.full(n, np.nan), scale="r2", method="none", reason=("no ceiling by rule",) * n)
    if rule not in ("split_half", "ncsnr"):
        raise InputError(f"ceiling rule {rule!r} is for RDMs; responses have split_half, ncsnr or none")

    def reliability(values: torch.Tensor) -> np.ndarray:
        if rule == "ncsnr":
            return noise_ceiling(values)[1].double().numpy()
        generator = torch.Generator().manual_seed(int(seed_of(seed, "halves").generate_state(1)[0]))
        return split_half(values, n_splits=N_HALVINGS, generator=generator).double().numpy()

    value, single = np.empty(n), np.empty(n, dtype=bool)
    for some in spans(block.values.shape, axis=2):  # the halvings are the same for all columns
        values = torch.tensor(block.values[:, :, some])
        value[some] = reliability(values)
        single[some] = (values.isfinite().sum(dim=1) < 2).all(dim=0).numpy()
        release(block.values)
    method = "ncsnr" if rule == "ncsnr" else "split-half, Spearman-Brown"
    reason = ["single-repetition" if s else "unreliable" if not v > 0 else "" for s, v in zip(single, value)]
    return Ceiling(value=value, scale="r2", method=method, reason=tuple(reason))


def of_rdms(rule: str, rdms: RDMs, split: Split, scorer: Any) -> Ceiling:
    """Leave-one-subject-out bounds over the same pairs that are scored: those of each fold's test stimuli.

    A scorer that has `agree` compares each subject with the mean matrix of the others; else RDMs are pooled as its
    `comparison` asks.
    """
    s, n_subjects = len(rdms.subjects), len(set(rdms.subjects))
    if rule in ("split_half", "ncsnr"):
        raise InputError(f"ceiling rule {rule!r} is for responses; RDMs have leave_one_subject_out or none")
    if rule == "none" or n_subjects < 2:
        why = "no ceiling by rule" if rule == "none" else "one subject"
        return Ceiling(value=np.full(s, np.nan), scale=scorer.spec.scale, method=rule, reason=(why,) * s)
    agree, bounds = getattr(scorer, "agree", None), []
    bins = [torch.arange(start, s, s // n_subjects) for start in range(s // n_subjects)]  # the columns of each
    for fold, (_, rows) in enumerate(split.rows(rdms.stimulus_ids)):
        some = torch.as_tensor(rdms.of_fold(fold)[:, rows][:, :, rows], dtype=torch.float64)
        low, high = torch.full((2, s), torch.nan, dtype=torch.float64)
        for at in bins:
            if agree is not None:
                low[at], high[at] = _with_the_others(some[at], agree)
            else:
                low[at], high[at] = leave_one_out(upper(some[at]).T, getattr(scorer, "comparison", "spearman"))
        bounds.append((low, high))
    lower = torch.stack([low for low, _ in bounds]).mean(dim=0).numpy()
    above = torch.stack([high for _, high in bounds]).mean(dim=0).numpy()
    reason = tuple("" if v > 0 else "unreliable" for v in lower)
    return Ceiling(
        value=lower, scale=scorer.spec.scale, method="leave-one-subject-out (lower)", upper=above, reason=reason
    )


def _with_the_others(matrices: torch.Tensor, agree: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Each subject's matrix (s, n, n) against the mean of the others', and of everybody's.

    Matrices have a mean distance of 1 first; without regard to sign, as unbiased distances are around 0 where there is
    no signal. One that is not finite, or 0 everywhere, is left out, and has no bound.
    """
    size = upper(matrices).abs().mean(dim=1)
    whole = torch.nonzero(size.isfinite() & (size > 0)).flatten()
    lower, above = torch.full((2, len(matrices)), torch.nan, dtype=matrices.dtype)
    if len(whole) > 1:
        scaled = matrices[whole] / size[whole, None, None]
        pooled = [torch.cat([scaled[:i], scaled[i + 1 :]]).mean(dim=0) for i in range(len(scaled))]
        lower[whole] = torch.cat([agree(others, own[None]) for others, own in zip(pooled, scaled)])
        above[whole] = agree(scaled.mean(dim=0), scaled)
    return lower, above
