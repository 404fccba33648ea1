"""Centred kernel alignment (CKA) and the SSM of the mouse study: agreement of whole geometries, nothing fitted.

Both are cosines of two n x n matrices after what does not count has been projected out, so any number of layers meets
any number of regions in one matrix product. Debiased CKA (Song et al. 2012; Nguyen, Raghu & Kornblith 2021) looks at
pairs of different stimuli only: with U the projection of off-diagonal entries off every a_i + a_j,

    CKA(K, L) = <U K, U L> / (|U K| |U L|).

Plain CKA (Kornblith et al. 2019) keeps the diagonal and with it the noise: it is here under the name `cka_biased`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from brainbench.errors import InputError
from brainbench.numerics._shapes import Float
from brainbench.numerics.correlation import midranks
from brainbench.numerics.rdm import upper

Rows = tuple[Tensor, Tensor, Tensor]  # of a matrix in each sample: what `WeightedPairs.additive` takes
TINY = 1e-12  # what centring leaves of a matrix, relative to it, at or below which there was nothing but rounding


def cka(x: Float[Tensor, "*a n n"], y: Float[Tensor, "*b n n"]) -> Float[Tensor, "..."]:
    """Debiased linear CKA of every Gram matrix x with every Gram matrix y: (*a, *b), at most 1, about 0 for noise.

    The Grams need no centring. They may come as -1/2 squared distances, crossnobis distances too: a constant a_i + a_j
    does not count. Invariant to rotation, isotropic scale and translation of the features, not to the scale of single
    units. NaN where a Gram is not finite or its features are constant. Raises InputError below 4 stimuli.

    Unbiased HSIC: Song, Smola, Gretton, Bedo & Borgwardt 2012 (JMLR 13), eq. 5; as a ratio: Nguyen et al. 2021.
    """
    return cosines(x, y, u_centred)


def cka_biased(x: Float[Tensor, "*a n n"], y: Float[Tensor, "*b n n"]) -> Float[Tensor, "..."]:
    """Plain linear CKA of every Gram matrix x with every Gram matrix y: (*a, *b).

    Warning: it is near 1 for noise. Independent features, 1,000 units a side, 118 stimuli: .895, where `cka` gives
    0 ± .012. Use it to reproduce published numbers, never to rank layers of different width. It equals the whitened
    cosine of the squared Euclidean RDMs (`crossnobis.whitened_cosine`). NaN as in `cka`. Kornblith et al. 2019.
    """
    return cosines(x, y, double_centred)


def ssm(x: Float[Tensor, "*a n n"], y: Float[Tensor, "*b n n"], *, paper: bool = False) -> Float[Tensor, "..."]:
    """Spearman correlation of every Pearson RSM x with every y over the strictly upper triangle: (*a, *b).

    RDMs, 1 - RSM on both sides, give the same number. `paper=True` flattens the whole matrix, diagonal included, as
    Shi, Shea-Brown & Buice 2019 do: the n shared ones lift independent data by about 3/n. NaN where a matrix is
    constant or not finite, such as for a stimulus to which all units respond alike.
    """
    return cosines(x, y, _flat_ranks if paper else _upper_ranks)


def resampled_cka(
    x: Float[Tensor, "n n"], y: Float[Tensor, "s n n"], weights: Float[Tensor, "b n"]
) -> Float[Tensor, "b s"]:
    """`cka` of Gram matrix x with each y in each sample in which stimulus i occurs `weights[b, i]` times.

    Pairs of a stimulus with its own copy are left out, like the diagonal of which they are copies. What remains is
    projected off every a_i + a_j in the sample's own inner product Σ_{i≠j} w_i w_j K_ij L_ij, which has a closed form:
    with r = K w and N = Σ w, a_i (N - 2 w_i) + Σ_j w_j a_j = r_i. So each pair costs three quadratic forms w' M w. For
    weights of 0 and 1 it is `cka` of the subset; for any weights the numerator estimates HSIC up to a factor that
    depends on the weights alone and cancels. NaN for samples with fewer than 4 different stimuli, and as in `cka`.
    """
    k, *others = of_unit_norm(torch.cat([x[None], y]), u_centred)  # changes nothing, but keeps sums from cancelling
    sample = WeightedPairs(weights.double(), own=0)
    rows_k, all_k = sample.rows(k), sample.all_pairs(k, k)
    kk = all_k - sample.additive(rows_k, rows_k)
    enough = (weights > 0).sum(dim=1) >= 4
    out = torch.empty(len(weights), len(others), dtype=torch.float64, device=x.device)
    for column, matrix in enumerate(others):
        rows_l, all_l = sample.rows(matrix), sample.all_pairs(matrix, matrix)
        ll = all_l - sample.additive(rows_l, rows_l)
        kl = sample.all_pairs(k, matrix) - sample.additive(rows_k, rows_l)
        defined = enough & (kk > TINY * all_k) & (ll > TINY * all_l)
        out[:, column] = torch.where(defined, kl / (kk.sqrt() * ll.sqrt()), torch.nan)
    return out


class WeightedPairs:
    """Inner products of symmetric n x n matrices in samples that hold stimulus i `weights[b, i]` times.

    A sample's pairs are those of different stimuli and, with `own=1`, each copy's pair with itself; never two copies of
    a stimulus, which agree on any two sides. <K, L> = Σ_{i≠j} w_i w_j K_ij L_ij + own Σ w_i K_ii L_ii. What is left of
    it once K and L are projected off every a_i + a_j is `all_pairs` less `additive`: with r_i = Σ_{j≠i} w_j K_ij + own
    K_ii and N = Σ w, the projection solves a_i (N - 2 w_i + 2 own) + Σ w_j a_j = r_i, in closed form.
    """

    def __init__(self, weights: Float[Tensor, "b n"], *, own: int) -> None:
        self.weights, self.own = weights, own
        slack = weights.sum(dim=1, keepdim=True) - 2 * weights + 2 * own
        self._ratio = torch.where(slack == 0, 0.0, weights / slack)
        self._rest = 1 / (1 + (weights / slack).sum(dim=1))  # 0 where one stimulus makes the slack 0
        self._heaviest = weights.argmax(dim=1, keepdim=True)

    def rows(self, matrix: Float[Tensor, "n n"]) -> Rows:
        """r less its value at the heaviest stimulus, whose slack may be 0; that value; Σ w r / slack of the first."""
        rows = self.weights @ matrix + (self.own - self.weights) * matrix.diagonal()
        pivot = rows.gather(1, self._heaviest)
        return rows - pivot, pivot[:, 0], (self._ratio * (rows - pivot)).sum(dim=1)

    def all_pairs(self, a: Float[Tensor, "n n"], b: Float[Tensor, "n n"]) -> Float[Tensor, " b"]:
        """<A, B> of each sample, nothing projected off."""
        product = a * b
        w = self.weights
        return ((w @ product + (self.own - w) * product.diagonal()) * w).sum(dim=1)

    def additive(self, of_a: Rows, of_b: Rows) -> Float[Tensor, " b"]:
        """The share of <A, B> that lies in every a_i + a_j."""
        (ra, pa, sa), (rb, pb, sb) = of_a, of_b
        shared = (self._ratio * ra * rb).sum(dim=1)
        return 2 * (shared + self._rest * (pa * sb + pb * sa - sa * sb) + (1 - self._rest) * pa * pb)


def u_centred(gram: Float[Tensor, "*a n n"]) -> Float[Tensor, "*a n n"]:
    """The off-diagonal entries less their projection on all a_i + a_j, diagonal 0, float64 (Szekely & Rizzo 2014).

    <U K, U L> / (n (n - 3)) is the unbiased HSIC. Raises InputError below 4 stimuli, where nothing would remain.
    """
    n = gram.shape[-1]
    if n < 4:
        raise InputError(f"debiased CKA needs 4 stimuli or more; there are {n}")
    hollow = gram.double() * (1 - torch.eye(n, dtype=torch.float64, device=gram.device))
    rows = hollow.sum(dim=-1) / (n - 2)
    rows = rows - rows.sum(dim=-1, keepdim=True) / (2 * (n - 1))
    centred = hollow - rows[..., :, None] - rows[..., None, :]
    centred.diagonal(dim1=-2, dim2=-1).zero_()
    return centred


def double_centred(gram: Float[Tensor, "*a n n"]) -> Float[Tensor, "*a n n"]:
    """H G H with H = I - 1/n, float64: the Gram matrix of features centred over stimuli."""
    gram = gram.double()
    centred = gram - gram.mean(dim=-1, keepdim=True)
    return centred - centred.mean(dim=-2, keepdim=True)


def cosines(x: Tensor, y: Tensor, centring: Callable[[Tensor], Tensor]) -> Float[Tensor, "..."]:
    """Cosine of every x (*a, n, n) with every y (*b, n, n), each put through `centring` once: (*a, *b).

    NaN where a matrix is not finite, or where centring leaves no more than rounding of it.
    """
    return (_flat_units(x, centring) @ _flat_units(y, centring).T).reshape(x.shape[:-2] + y.shape[:-2])


def pair_influence(
    x: Float[Tensor, "n n"], y: Float[Tensor, "s n n"], centring: Callable[[Tensor], Tensor]
) -> Float[Tensor, "s n n"]:
    """How each pair of stimuli moves `cosines(x, y, centring)`, up to one factor: symmetric, and sums to 0.

    With unit matrices X and Y it is X Y - r (X² + Y²) / 2, entry by entry. What a pair does to the centring itself does
    not count at first order, because X and Y are orthogonal to all that it takes off. NaN as in `cosines`.
    """
    a, b = (of_unit_norm(side, centring) for side in (x[None], y))
    r = (a * b).sum(dim=(1, 2), keepdim=True)
    return a * b - r * (a.square() + b.square()) / 2


def of_unit_norm(matrices: Float[Tensor, "a n n"], centring: Callable[[Tensor], Tensor]) -> Float[Tensor, "a n n"]:
    """Each put through `centring` and brought to norm 1; NaN where it is not finite, or that leaves only rounding."""
    return _flat_units(matrices, centring).view(matrices.shape)


def _flat_units(matrices: Tensor, centring: Callable[[Tensor], Tensor]) -> Float[Tensor, "a q"]:
    n = matrices.shape[-1]
    raw = matrices.double().reshape(-1, n, n)
    flat = centring(raw).flatten(1)
    norm = flat.norm(dim=1, keepdim=True)
    defined = norm > TINY * raw.flatten(1).norm(dim=1, keepdim=True)  # False for NaN
    return torch.where(defined, flat / norm, torch.nan)


def _upper_ranks(matrices: Tensor) -> Tensor:
    return _centred_ranks(upper(matrices))


def _flat_ranks(matrices: Tensor) -> Tensor:
    return _centred_ranks(matrices.flatten(1))


def _centred_ranks(values: Tensor) -> Tensor:
    return midranks(values.T).T - (values.shape[1] + 1) / 2
