"""Representation: the features of one layer, and what every scorer needs of them, each computed once.

Ridge in its dual form, RSA, CKA, kernel analysis and spectra need no more of n x p features than their Gram matrix
G = X Xᵀ and the mean over units of each row. So a layer with many units may be kept as its Gram matrix,
and is scored exactly, whatever p is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from brainbench.errors import InputError, UsageError
from brainbench.numerics._shapes import Float, Int

GRAM_COLUMNS = 4096  # units multiplied in the features' own precision before they are summed in float64


@dataclass(frozen=True, slots=True, kw_only=True)
class Eigenbasis:
    """Eigenvectors (n, k) and eigenvalues (k, descending) of a centred training Gram matrix, float64.

    `axes` (p, k) are the same components as directions among the units, where the features gave them.
    """

    rows: Int[Tensor, " n"]
    vectors: Float[Tensor, "n k"]
    values: Float[Tensor, " k"]
    axes: Float[Tensor, "p k"] | None = None

    @property
    def n(self) -> int:
        """How many training stimuli there are."""
        return len(self.rows)


@dataclass(frozen=True, kw_only=True)
class Representation:
    """One layer's features for n stimuli: G (n, n), the unit means (n,) and p; the features themselves where kept.

    Build it with `from_features` or `from_gram`. Rows are named by `stimulus_ids`; callers find theirs with
    `core.arrays.take`.
    """

    stimulus_ids: tuple[str, ...]
    n_units: int
    features: Float[Tensor, "n p"] | None = None
    # without features: deviations, offsets and unit means
    _stored: tuple[Float[Tensor, "n n"], Float[Tensor, " n"], Float[Tensor, " n"]] | None = None
    _bases: dict[bytes, Eigenbasis] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_features(cls, features: Float[Tensor, "n p"], stimulus_ids: Sequence[str]) -> Representation:
        """From the features (n, p) themselves, which are kept. Raises InputError where a feature is not finite."""
        if len(features) != len(stimulus_ids):
            raise InputError(f"{len(features)} rows of features for {len(stimulus_ids)} stimulus ids")
        if not torch.isfinite(features).all():
            raise InputError("features hold NaN or infinity")
        return cls(stimulus_ids=tuple(stimulus_ids), n_units=features.shape[1], features=features)

    @classmethod
    def from_gram(
        cls,
        gram: Float[Tensor, "n n"],
        unit_mean: Float[Tensor, " n"],
        n_units: int,
        stimulus_ids: Sequence[str],
        *,
        offset: Float[Tensor, " n"] | None = None,
    ) -> Representation:
        """From G and the mean over units of each row; with `offset`, G is `gram` + offset_i + offset_j at i, j.

        Raises InputError where they are not finite.
        """
        offset = torch.zeros_like(unit_mean) if offset is None else offset
        if not all(torch.isfinite(part).all() for part in (gram, unit_mean, offset)):
            raise InputError("the Gram matrix holds NaN or infinity")
        stored = (gram.double(), offset.double(), unit_mean.double())
        return cls(stimulus_ids=tuple(stimulus_ids), n_units=n_units, _stored=stored)

    @classmethod
    def from_blocks(cls, blocks: Iterable[Float[Tensor, "n b"]], stimulus_ids: Sequence[str]) -> Representation:
        """From features that come some units at a time, of which no more than one block is held: see `cross_gram`."""
        n, n_units = len(stimulus_ids), 0
        gram, (offset, total) = torch.zeros(n, n, dtype=torch.float64), torch.zeros(2, n, dtype=torch.float64)
        for x in blocks:
            reference = x.float().mean(dim=0)
            gram += cross_gram(x, x, reference)
            offset += offsets(x, reference)
            total += x.sum(dim=1, dtype=torch.float64)
            n_units += x.shape[1]
        return cls.from_gram(gram, total / n_units, n_units, stimulus_ids, offset=offset)

    @cached_property
    def gram(self) -> Float[Tensor, "n n"]:
        """X Xᵀ, float64."""
        return self.deviations + self._offset[:, None] + self._offset

    @cached_property
    def deviations(self) -> Float[Tensor, "n n"]:
        """X Xᵀ without what it owes to a typical row, float64: centred it is the same, and no digit goes to the row."""
        if self._stored is not None:
            return self._stored[0]
        # In float64: there are few units, and the smallest penalties ask for components that float32 would drown.
        return cross_gram(self._kept, self._kept, self._kept.mean(dim=0), precision=torch.float64)

    @cached_property
    def _offset(self) -> Float[Tensor, " n"]:
        return offsets(self._kept, self._kept.mean(dim=0)) if self._stored is None else self._stored[1]

    @cached_property
    def unit_mean(self) -> Float[Tensor, " n"]:
        """The mean over units of each row, float64."""
        return self._kept.mean(dim=1, dtype=torch.float64) if self._stored is None else self._stored[2]

    @property
    def units(self) -> Float[Tensor, "n p"]:
        """The features themselves. Raises UsageError where only the Gram matrix was kept."""
        return self._kept

    @property
    def _kept(self) -> Float[Tensor, "n p"]:
        if self.features is None:
            raise UsageError(
                "this needs the features themselves; of a layer with more than 4,096 units, and more than stimuli, "
                "only the Gram matrix is kept. Pool it to fewer units: LAYER:mean, or LAYER:sparse1000 for a random "
                "projection."
            )
        return self.features

    def to(self, device: str | torch.device) -> Representation:
        """The same on `device`; itself, with all it has computed so far, where it is there already."""
        here = self._kept.device if self._stored is None else self._stored[0].device
        wanted = torch.device(device)
        if here.type == wanted.type and wanted.index in (None, here.index):
            return self
        if self._stored is None:
            return replace(self, features=self._kept.to(device), _bases={})
        deviations, offset, unit_mean = (part.to(device) for part in self._stored)
        return replace(self, _stored=(deviations, offset, unit_mean), _bases={})

    def select(self, rows: Int[Tensor, " m"]) -> Representation:
        """The same for some of the stimuli, in that order, with nothing computed yet."""
        names = tuple(self.stimulus_ids[row] for row in rows.tolist())
        if self._stored is None:
            return replace(self, stimulus_ids=names, features=self._kept[rows], _bases={})
        deviations, offset, unit_mean = self._stored
        some = (deviations[rows][:, rows], offset[rows], unit_mean[rows])
        return replace(self, stimulus_ids=names, _stored=some, _bases={})

    def standardized(self, rows: Int[Tensor, " m"]) -> Representation:
        """The same with each unit centred and scaled to a standard deviation of 1 over `rows`, the training stimuli.

        Units that are constant there are 0 everywhere. Raises UsageError where the features were not kept.
        """
        x = self._kept
        mean, scale = x[rows].mean(dim=0), x[rows].std(dim=0, correction=0)
        varies = scale > 1e-6 * x[rows].abs().amax(dim=0)
        return replace(self, features=torch.where(varies, (x - mean) / scale, 0.0), _bases={})

    def eigh(self, rows: Int[Tensor, " m"]) -> Eigenbasis:
        """The eigenbasis of the Gram matrix of `rows`, centred on their mean; decomposed once per set of rows.

        Primal (p x p) where the features are kept and have fewer units than rows, else dual (m x m): the same basis.
        Components beyond the rank, or below 1e-10 of the largest eigenvalue, are rounding and left out; so are all of
        them where the largest is below 1e-12 of the largest row's squared length, which is a layer that says the same
        of every stimulus.
        """
        key = rows.cpu().numpy().tobytes()
        if key not in self._bases:
            rank = min(self.n_units, len(rows) - 1)  # what centred features can have; the rest is rounding
            if self.features is not None and self.n_units < len(rows):
                x = self.features[rows].double()
                longest = x.square().sum(dim=1).max()
                x = x - x.mean(dim=0)
                values, axes = _leading(x.T @ x, rank, longest)
                self._bases[key] = Eigenbasis(rows=rows, vectors=x @ axes / values.sqrt(), values=values, axes=axes)
            else:
                longest = (self.deviations.diagonal() + 2 * self._offset)[rows].max()
                values, vectors = _leading(_centre(self.deviations[rows][:, rows]), rank, longest)
                self._bases[key] = Eigenbasis(rows=rows, vectors=vectors, values=values)
        return self._bases[key]

    def cross(self, basis: Eigenbasis, rows: Int[Tensor, " m"]) -> Float[Tensor, "m k"]:
        """Products of `rows`, centred on the mean of the training rows, with the training rows, in their eigenbasis."""
        if basis.axes is not None:
            x = self._kept.double()
            return (x[rows] - x[basis.rows].mean(dim=0)) @ (basis.axes * basis.values.sqrt())
        block = self.deviations[rows][:, basis.rows]
        block = block - self.deviations[basis.rows][:, basis.rows].mean(dim=0)
        # eigenvectors sum to 0, but those of the least eigenvalues only nearly
        return (block - block.mean(dim=1, keepdim=True)) @ basis.vectors

    def rdm(self, kind: str, rows: Int[Tensor, " m"] | None = None) -> Float[Tensor, "m m"]:
        """Dissimilarity of every two stimuli, float64 with a zero diagonal.

        `correlation`: 1 - Pearson correlation over units; NaN for a stimulus to which all units respond alike.
        `euclidean`: the distance; `squared_euclidean`: its square, which with the mean is all of a Gram matrix.
        Where the features are kept, equal dissimilarities are the same number, as ranks ask for; a Gram matrix that was
        made in float32 has no such digits.
        """
        gram = self.gram if rows is None else self.gram[rows][:, rows]
        if kind in ("euclidean", "squared_euclidean"):
            norms = gram.diagonal()[:, None] + gram.diagonal()[None]
            square = norms - 2 * gram
            square = torch.where(square > 1e-14 * norms, square, 0.0)  # what is left of equal rows is rounding
            distances = square if kind == "squared_euclidean" else square.sqrt()
        elif kind == "correlation":
            mean = self.unit_mean if rows is None else self.unit_mean[rows]
            cov = gram - self.n_units * mean[:, None] * mean[None]
            own, size = cov.diagonal(), gram.diagonal()
            # what is left of a row that is 0, or the same in all units, is rounding beside the longest row
            rounding = 2.0**-40 if self._stored is None else 2.0**-20  # products that are stored were made in float32
            varies = (own > 1e-14 * size) & (own > rounding * size.max())
            scale = torch.where(varies, own, torch.nan).sqrt()
            distances = 1 - cov / (scale[:, None] * scale[None])
        else:
            raise UsageError(f"no RDM kind {kind!r}; there are 'correlation', 'euclidean' and 'squared_euclidean'")
        distances = distances.clone() if self._stored is not None else _tied(distances)
        return distances.fill_diagonal_(0.0)


def cross_gram(
    x: Float[Tensor, "n p"],
    y: Float[Tensor, "m p"],
    reference: Float[Tensor, " p"],
    *,
    precision: torch.dtype = torch.float32,
) -> Float[Tensor, "n m"]:
    """(x - reference) (y - reference)ᵀ in float64, multiplied in `precision` over blocks of units.

    float32 has its speed with an error near 1e-7 of what varies between stimuli, where `reference` is any typical
    row: what all stimuli share would otherwise take the digits. xyᵀ itself is this plus `offsets` of both sides.
    """
    out = torch.zeros(len(x), len(y), dtype=torch.float64, device=x.device)
    for start in range(0, x.shape[1], GRAM_COLUMNS):
        units = slice(start, start + GRAM_COLUMNS)
        typical = reference[units].to(precision)
        left = x[:, units].to(precision) - typical
        out += left @ (left if y is x else y[:, units].to(precision) - typical).T
    return out


def offsets(x: Float[Tensor, "n p"], reference: Float[Tensor, " p"]) -> Float[Tensor, " n"]:
    """What each row adds to its row and column of `cross_gram` to make it x xᵀ, float64."""
    out = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for start in range(0, x.shape[1], GRAM_COLUMNS):
        units = slice(start, start + GRAM_COLUMNS)
        typical = reference[units].double()
        out += (x[:, units].double() - typical) @ typical + typical.square().sum() / 2
    return out


def _tied(distances: Float[Tensor, "m m"]) -> Float[Tensor, "m m"]:
    """Rounded to 2⁻³⁶ of the largest: many times what rounding has made of them, and far below what ranks could see."""
    largest = distances.nan_to_num().max()
    unit = torch.exp2(torch.floor(torch.log2(torch.where(largest > 0, largest, 1.0))) - 36)
    return (distances / unit).round() * unit


def _leading(
    matrix: Float[Tensor, "n n"], rank: int, longest: Float[Tensor, ""]
) -> tuple[Float[Tensor, " k"], Float[Tensor, "n k"]]:
    values, vectors = torch.linalg.eigh(matrix)
    values, vectors = values.flip(0)[:rank], vectors.flip(1)[:, :rank]
    keep = (values > 1e-10 * values[:1]) & (values[:1] > 1e-12 * longest)
    return values[keep], vectors[:, keep]


def _centre(gram: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    mean = gram.mean(dim=0)
    centred = gram - mean[:, None] - mean[None] + mean.mean()
    return (centred + centred.T) / 2
