"""How few units a stimulus drives, and how few stimuli drive a unit.

S = (1 - (mean r)² / mean r²) / (1 - 1/m) over m responses r >= 0: 0 where all are alike, 1 where one alone is not 0
(Treves & Rolls 1991 as rescaled by Vinje & Gallant 2000). Unlike the measures of `spectrum` and `geometry` it depends
on the axes: a rotation of the features changes it.
"""

from __future__ import annotations

from torch import Tensor

from brainbench.errors import InputError
from brainbench.numerics._shapes import Float


def population_sparseness(features: Float[Tensor, "n p"]) -> Float[Tensor, " n"]:
    """Sparseness over units of each stimulus; NaN for one that drives no unit. Raises InputError below 0."""
    return _sparseness(features)


def lifetime_sparseness(features: Float[Tensor, "n p"]) -> Float[Tensor, " p"]:
    """Sparseness over stimuli of each unit; NaN for one that is never driven. Raises InputError below 0."""
    return _sparseness(features.T)


def _sparseness(responses: Float[Tensor, "k m"]) -> Float[Tensor, " k"]:
    if bool((responses < 0).any()):
        raise InputError("sparseness is defined for responses that are not negative: rectify them, or say how")
    r = responses.double()
    m = r.shape[1]
    return (1 - r.mean(dim=1).square() / r.square().mean(dim=1)) / (1 - 1 / m)  # 0/0, undriven, is NaN
