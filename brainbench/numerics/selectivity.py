"""What a neuroid's readout says of a direction: fitted weights w projected on unit vectors t/‖t‖, and replicates of it.

With features X (n, e) centred over the n stimuli and a neuroid's standardised responses y, ridge gives
w = (XᵀX + αI)⁻¹ Xᵀy, and w·t/‖t‖ is by how many standard deviations the response rises per unit of length along t.
Where features are embeddings in a joint space of images and text, t may be the embedding of a sentence (BraInCoRL, Yu
et al. 2025). With XᵀX = Q Λ Qᵀ all neuroids share one decomposition, each with a penalty of its own:
w·t = Σ_k (Qᵀt)_k (QᵀXᵀy)_k / (λ_k + α).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from brainbench.errors import InputError
from brainbench.numerics import ridge
from brainbench.numerics._shapes import Float, Int
from brainbench.numerics.correlation import constant
from brainbench.numerics.representation import Representation

GRID = tuple(10.0**power for power in range(-6, 5))  # times the mean eigenvalue of the Gram matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class Readouts:
    """Features (n, e) and standardised responses (n, v), each neuroid's penalty, and its leave-one-out R².

    R² is that of the best penalty, so it is above 0 by luck for about every second neuroid that features say
    nothing of.
    """

    x: Float[Tensor, "n e"]
    y: Float[Tensor, "n v"]
    penalty: Float[Tensor, " v"]
    cv_r2: Float[Tensor, " v"]


def readouts(x: Float[Tensor, "n e"], y: Float[Tensor, "n v"]) -> Readouts:
    """Penalties chosen for each neuroid by exact leave-one-out; computed and held in float64.

    Raises InputError for fewer than 3 stimuli, features that are the same for all, and neuroids that do not vary.
    """
    x, y = x.double(), y.double()
    if len(x) < 3 or not bool((x != x[0]).any()) or bool(constant(y).any()):
        raise InputError("readouts need 3 or more stimuli, and features and responses that vary over them")
    y = (y - y.mean(dim=0)) / y.std(dim=0, correction=0)
    rows = torch.arange(len(x), device=x.device)
    basis = Representation.from_features(x, [str(row) for row in range(len(x))]).eigh(rows)
    alphas = ridge.penalties(basis, GRID)
    chosen = ridge.select_loo(ridge.coordinates(basis, y), alphas)
    return Readouts(x=x, y=y, penalty=alphas[chosen.index], cv_r2=chosen.cv_r2)


def selectivity(
    fitted: Readouts, directions: Float[Tensor, "t e"], weights: Float[Tensor, " n"] | None = None
) -> Float[Tensor, "t v"]:
    """w·t/‖t‖ of every direction and neuroid; `weights` says how often each stimulus counts (once where None).

    Penalties stay those of all stimuli. A direction of length 0 has NaN.
    """
    x, y = fitted.x, fitted.y
    count = torch.ones(len(x), dtype=x.dtype, device=x.device) if weights is None else weights.to(x)
    share = (count / count.sum())[:, None]
    x, y = x - (share * x).sum(dim=0), y - (share * y).sum(dim=0)
    weighted = count[:, None] * x
    values, vectors = torch.linalg.eigh(weighted.T @ x)
    along = (directions.to(x) / directions.to(x).norm(dim=1, keepdim=True)) @ vectors
    z = vectors.T @ (weighted.T @ y)
    return along @ (z / (values.clamp_min(0)[:, None] + fitted.penalty))


def preferred(found: Float[Tensor, "t v"]) -> Int[Tensor, " v"]:
    """The direction that each neuroid is most selective for; of equal ones the first, never one that is undefined."""
    return found.nan_to_num(nan=-torch.inf).argmax(dim=0)
