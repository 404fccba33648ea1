"""Soft matching: how well single units of one layer pair up with single neuroids (Khosla & Williams 2024).

Every unit has mass 1/p, every neuroid 1/q, and the plan T that moves one onto the other (rows sum to 1/p, columns to
1/q) is chosen to make Σ T_ij r_ij largest, r being Pearson's correlation over stimuli. For p = q the best plan is a
one-to-one assignment (Birkhoff); for p ≠ q units split. Unlike CKA, CCA and Procrustes it sees the axes: a rotation of
the units lowers it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from brainbench.errors import InputError
from brainbench.numerics._shapes import Float
from brainbench.numerics.matching import unit_correlations

STEPS = 100_000_000  # more than any layer takes: POT's own limit ends large problems early, with a warning


def transport_plan(similarity: Float[Tensor, "p q"]) -> Float[Tensor, "p q"]:
    """The plan (rows sum to 1/p, columns to 1/q) with the largest Σ T * similarity, exact, float64.

    By the network simplex method of POT (Bonneel et al. 2011). Negative similarities count as they are. Raises
    InputError where one is not finite: leave constant units out before.
    """
    import numpy as np
    from ot import emd

    if not torch.isfinite(similarity).all():
        raise InputError("similarities hold NaN or infinity: leave out units that are constant")
    p, q = similarity.shape
    plan = emd(np.full(p, 1 / p), np.full(q, 1 / q), -similarity.double().cpu().numpy(), numItermax=STEPS)
    return torch.as_tensor(plan).to(similarity.device)


def soft_matching(x: Float[Tensor, "n p"], y: Float[Tensor, "n q"]) -> Float[Tensor, ""]:
    """The largest mean correlation of units matched one with another, Σ T_ij r_ij: -1 to 1, 1 for permuted units.

    The plan is chosen on the stimuli that it is scored on, which lifts noise far above 0. For a held-out score take
    `transport_plan` of the training stimuli's `matching.unit_correlations` and sum its product with the test stimuli's.
    Raises InputError below 3 stimuli, and for constant units.
    """
    r = unit_correlations(x, y)
    return (transport_plan(r) * r).sum()


def soft_matching_distance(x: Float[Tensor, "n p"], y: Float[Tensor, "n q"]) -> Float[Tensor, ""]:
    """√(min over plans of Σ T_ij |x_i - y_j|²), units centred and of norm 1: √(2 - 2 `soft_matching`), a metric."""
    return (2 - 2 * soft_matching(x, y)).clamp_min(0).sqrt()
