"""Soft matching: how well single units of one layer pair up with single neuroids (Khosla & Williams 2024).

Every unit has mass 1/p, every neuroid 1/q, and the plan T that moves one onto the other (rows sum to 1/p, columns to
1/q) is chosen to make Σ T_ij r_ij largest, r being Pearson's correlation over stimuli. For p = q the best plan is a
one-to-one assignment (Birkhoff); for p ≠ q units split. Unlike CKA, CCA and Procrustes it sees the axes: a rotation of
the units lowers it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from brainbench.errors import InputError
from brainbench.numerics._shapes import Float

COPIES = 3000  # up to this many copies a side, splitting every unit into equal parts and assigning them is faster


def correlations(x: Float[Tensor, "n p"], y: Float[Tensor, "n q"]) -> Float[Tensor, "p q"]:
    """Pearson correlation of every column of x with every column of y, float64; NaN where one is constant."""
    sides = []
    for side in (x.double(), y.double()):
        centred = side - side.mean(dim=0)
        constant = side.amax(dim=0) == side.amin(dim=0)
        sides.append(torch.where(constant, torch.nan, centred / centred.norm(dim=0)))
    return sides[0].T @ sides[1]


def transport_plan(similarity: Float[Tensor, "p q"]) -> Float[Tensor, "p q"]:
    """The plan (rows sum to 1/p, columns to 1/q) with the largest Σ T * similarity, exact, float64.

    An assignment for p = q or where few copies make it one, else a linear programme of p q variables. Negative
    similarities count as they are. Raises InputError where one is not finite: leave constant units out before.
    """
    if not torch.isfinite(similarity).all():
        raise InputError("similarities hold NaN or infinity: leave out units that are constant")
    p, q = similarity.shape
    parts = math.lcm(p, q)
    solve = _assignment if parts <= COPIES or p == q else _programme
    plan = solve(similarity.double().cpu(), parts)
    return plan.to(similarity.device)


def soft_matching(x: Float[Tensor, "n p"], y: Float[Tensor, "n q"]) -> Float[Tensor, ""]:
    """The largest mean correlation of units matched one with another, Σ T_ij r_ij: -1 to 1, 1 for permuted units.

    The plan is chosen on the stimuli that it is scored on, which lifts noise far above 0. For a held-out score take
    `transport_plan(correlations(train))` and sum its product with `correlations(test)`.
    """
    r = correlations(x, y)
    return (transport_plan(r) * r).sum()


def soft_matching_distance(x: Float[Tensor, "n p"], y: Float[Tensor, "n q"]) -> Float[Tensor, ""]:
    """√(min over plans of Σ T_ij |x_i - y_j|²), units centred and of norm 1: √(2 - 2 `soft_matching`), a metric."""
    return (2 - 2 * soft_matching(x, y)).clamp_min(0).sqrt()


def _assignment(similarity: Tensor, parts: int) -> Float[Tensor, "p q"]:
    from scipy.optimize import linear_sum_assignment

    p, q = similarity.shape
    copies = similarity.repeat_interleave(parts // p, dim=0).repeat_interleave(parts // q, dim=1)
    rows, columns = linear_sum_assignment(copies.numpy(), maximize=True)
    whole = torch.zeros(parts, parts, dtype=torch.float64)
    whole[torch.as_tensor(rows), torch.as_tensor(columns)] = 1 / parts
    return whole.reshape(p, parts // p, q, parts // q).sum(dim=(1, 3))


def _programme(similarity: Tensor, parts: int) -> Float[Tensor, "p q"]:
    """As a sparse linear programme with integer masses parts / p and parts / q; one of its p + q equations is spare."""
    import numpy as np
    from scipy.optimize import linprog
    from scipy.sparse import eye_array, kron, vstack

    p, q = similarity.shape
    rows = kron(eye_array(p), np.ones((1, q)))
    columns = kron(np.ones((1, p)), eye_array(q)).tocsr()[:-1]
    masses = np.concatenate([np.full(p, parts / p), np.full(q - 1, parts / q)])
    found = linprog(
        -similarity.numpy().ravel(), A_eq=vstack([rows, columns]).tocsr(), b_eq=masses, method="highs", bounds=(0, None)
    )
    if found.x is None:
        raise InputError(f"no transport plan was found: {found.message}")
    return torch.as_tensor(found.x / parts, dtype=torch.float64).reshape(p, q)
