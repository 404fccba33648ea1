"""Very sparse random projections: many units brought down to few numbers that keep the distances between stimuli.

Each entry of P (k, p) is 0 but with probability 1/√p, then ±√(√p / k) with random sign (Li, Hastie & Church 2006), so
E |P x|² = |x|² and P costs k √p numbers instead of k p. By the lemma of Johnson & Lindenstrauss (1984) in the form of
Dasgupta & Gupta (2003), k >= 4 ln n / (ε²/2 - ε³/3) keeps all squared distances among n points within 1 ± ε with high
probability; for sparse P that holds as p grows, for features that no few units dominate.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from brainbench.errors import UsageError
from brainbench.numerics._shapes import Float


def dimensions_for(n: int, distortion: float) -> int:
    """How many numbers keep all squared distances among n points within 1 ± `distortion`.

    Raises UsageError for a distortion that is not between 0 and 1, or fewer than 2 points.
    """
    if not 0 < distortion < 1 or n < 2:
        raise UsageError(f"2 points and a distortion between 0 and 1 are needed, got {n} and {distortion}")
    return math.ceil(4 * math.log(n) / (distortion**2 / 2 - distortion**3 / 3))


def projected(features: Float[Tensor, "b p"], k: int) -> Float[Tensor, "b k"]:
    """`features` through the projection that belongs to p and k: the same on every machine, for every model."""
    p = features.shape[1]
    matrix = _projection(p, k).to(features.device, features.dtype)
    return torch.sparse.mm(matrix, features.T).T


@lru_cache(maxsize=16)
def _projection(p: int, k: int) -> Tensor:
    """P as a sparse tensor (k, p). Gaps between entries that are not 0 are geometric, so no other entry is visited."""
    random = np.random.default_rng([p, k])
    often = math.sqrt(p)
    at = np.empty(0, dtype=np.int64)
    while not len(at) or at[-1] < k * p:
        gaps = random.geometric(1 / often, size=math.ceil(k * often / 2) + 16)
        at = np.concatenate([at, (at[-1] if len(at) else -1) + gaps.cumsum()])
    at = at[at < k * p]
    values = random.choice((-1.0, 1.0), size=len(at)) * math.sqrt(often / k)
    places = torch.from_numpy(np.stack([at // p, at % p]))
    return torch.sparse_coo_tensor(
        places, torch.from_numpy(values).float(), (k, p), is_coalesced=True, check_invariants=False
    )
