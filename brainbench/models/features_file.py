"""Features that someone computed elsewhere, as a safetensors file: the model that needs no code.

The file holds one tensor (stimulus, feature) a layer, and in its metadata `stimulus_ids`, a JSON list of strings, one
a row. Optional metadata: `layers`, a JSON list of the tensor names from shallow to deep (without it, names sort with
their numbers read as numbers); `model`, `training_data`, `licence`, `note`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from brainbench.core.arrays import take
from brainbench.core.modes import mode_of_umask
from brainbench.core.specs import LayerSpec, ModelSpec, Preprocessing, fingerprint
from brainbench.errors import InputError, UnknownNameError, UsageError, listed
from brainbench.models._weights import sha256_of
from brainbench.numerics._shapes import Float

_FACTS = ("training_data", "licence", "note")
UNITS = 4096  # units of a layer that are read at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureTable:
    """Features of every layer for the stimuli `stimulus_ids`, rows joined by id, never by position.

    `spec.weights` is the hash of ids, layers and numbers: a file written twice may differ in its bytes. Layers of a
    file stay on disk, and are read a block of units at a time.
    """

    spec: ModelSpec
    stimulus_ids: tuple[str, ...]
    tensors: Mapping[str, Float[Tensor, "n p"]]

    def n_units(self, layer: str) -> int:
        """How many units the layer has. Raises UnknownNameError for a layer that is not there."""
        if layer not in self.tensors:
            raise UnknownNameError("layer", layer, self.tensors)
        return self.tensors[layer].shape[1]

    def features(self, layer: str, stimulus_ids: Sequence[str]) -> Float[Tensor, "m p"]:
        """Rows of `layer` for these stimuli, in their order, float32.

        Raises UnknownNameError for a layer that is not there, AlignmentError for a stimulus that is not.
        """
        return torch.cat(list(self.blocks(layer, stimulus_ids)), dim=1)

    def blocks(self, layer: str, stimulus_ids: Sequence[str]) -> Iterator[Float[Tensor, "m b"]]:
        """The same some units at a time, so that a layer may be larger than memory. Raises as `features` does."""
        n_units = self.n_units(layer)
        rows = torch.from_numpy(take(self.stimulus_ids, stimulus_ids, what=f"the features of {self.spec.id}"))
        for start in range(0, n_units, UNITS):
            yield self.tensors[layer][:, start : start + UNITS][rows].float()

    @classmethod
    def from_arrays(
        cls,
        features: Mapping[str, np.ndarray | Tensor],
        stimulus_ids: Sequence[str],
        name: str,
        *,
        layers: Sequence[str] | Mapping[str, str] | None = None,
    ) -> FeatureTable:
        """The table of arrays in memory, layers (all or only `layers`) in the order given.

        Raises as `load` does, InputError where values are masked or rows are labelled otherwise than in `stimulus_ids`,
        and UsageError for a dict of poolings: each layer is one vector a stimulus already.
        """
        if isinstance(layers, Mapping):
            raise UsageError(f"features have no pooling to choose: give `layers` as a list of names, {list(layers)}")
        return _table(*_packed(features, stimulus_ids, {"model": name}), name, f"the features of {name!r}", layers)


def load(file: str, *, layers: Sequence[str] | None = None) -> FeatureTable:
    """The features in a file, of all its layers or only of `layers`.

    Raises InputError where the file is not as the module's docstring says: a header that does not parse, tensors that
    are not finite floating-point matrices with one row an id, ids that are not unique strings. Nothing is repaired.
    """
    path = Path(file)
    try:
        with path.open("rb"), safe_open(path, "pt") as content:  # the former says why a file cannot be read
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 (not a dict)
            metadata = content.metadata() or {}
    except OSError as error:
        raise InputError(f"the features file {path} cannot be read: {error.strerror}") from error
    except (SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path} is not a whole safetensors file: {error}") from error
    return _table(tensors, metadata, path.stem, str(path), layers)


def write_features(
    path: Path, features: Mapping[str, np.ndarray | Tensor], stimulus_ids: Sequence[str], **facts: str
) -> None:
    """Writes such a file, layers from shallow to deep; `facts` are the optional metadata.

    Raises InputError, before anything is written, for what `load` would refuse.
    """
    tensors, metadata = _packed(features, stimulus_ids, facts)
    _table(tensors, metadata, path.stem, f"what was to be written to {path}")
    with mode_of_umask(path):
        save_file(tensors, path, metadata)


def _packed(
    features: Mapping[str, np.ndarray | Tensor], stimulus_ids: Sequence[str], facts: Mapping[str, str]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of such a file."""
    unknown = facts.keys() - {"model", *_FACTS}
    if unknown:
        raise UsageError(f"unknown facts {sorted(unknown)}; there are model, {', '.join(_FACTS)}")
    ids = list(stimulus_ids)
    tensors = {name: _copied(name, values, ids) for name, values in features.items()}
    try:
        written = json.dumps(ids)
    except TypeError as error:
        raise InputError(f"stimulus ids must be strings: {error}") from None
    return tensors, {"stimulus_ids": written, "layers": json.dumps(list(tensors)), **facts}


def _copied(name: str, values: np.ndarray | Tensor, ids: Sequence[str]) -> Tensor:
    """A contiguous copy: safetensors takes no views and no two tensors that share their memory."""
    if not isinstance(name, str):
        raise InputError(f"names of layers must be strings, got {name!r} ({type(name).__name__})")
    for labels in _labels(values):
        apart = [(label, given) for label, given in zip(labels, ids) if isinstance(label, str) and label != given]
        if apart:
            raise InputError(
                f"a row of layer {name!r} is labelled {apart[0][0]!r}, and its place in stimulus_ids holds "
                f"{apart[0][1]!r}: bring both into one order, or give an array without labels"
            )
    n_masked = np.count_nonzero(values.mask) if isinstance(values, np.ma.MaskedArray) else 0
    if n_masked:
        raise InputError(f"layer {name!r} has {n_masked} masked values: features must be there for every stimulus")
    try:
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
        return torch.from_numpy(np.array(array, order="C"))
    except (TypeError, ValueError) as error:
        raise InputError(f"layer {name!r} is no array of numbers: {error}") from None


def _labels(values: Any) -> list[list[Any]]:
    """What a table of pandas or an array of xarray calls its rows; nothing for an array without labels."""
    if isinstance(values, pd.DataFrame | pd.Series):
        return [values.index.tolist()]
    if isinstance(values, xr.DataArray) and values.dims:
        rows = values.dims[:1]
        return [
            at.values.tolist()
            for name, at in values.coords.items()
            if at.dims == rows and name in (*rows, "stimulus_id")
        ]
    return []


def _table(
    tensors: dict[str, Tensor], metadata: dict[str, str], name: str, what: str, wanted: Sequence[str] | None = None
) -> FeatureTable:
    ids = _strings(metadata, "stimulus_ids", what)
    if not tensors or not ids:
        raise InputError(f"{what} holds {len(tensors)} layers for {len(ids)} stimuli: nothing to score")
    if "layers" in metadata:
        names = _strings(metadata, "layers", what)
        if sorted(names) != sorted(tensors):
            raise InputError(f"{what} lists the layers {listed(names)}, but holds {listed(sorted(tensors))}")
    else:
        names = sorted(tensors, key=_by_number)
    if wanted is not None:
        wanted = list(wanted)
        for layer in wanted:
            if layer not in tensors:
                raise UnknownNameError("layer", layer, tensors)
        if not wanted or len(set(wanted)) < len(wanted):
            raise UsageError(f"layers must be named, each once; got {wanted}")
    chosen = names if wanted is None else wanted
    spec = ModelSpec(
        id=f"features:{metadata.get('model', name)}",
        source="features",
        weights=fingerprint([ids, names, sha256_of(tensors)]),
        preprocessing=Preprocessing(code="features"),
        layers=tuple(
            LayerSpec(name=layer, depth=(names.index(layer) + 1) / len(names), pooling="flatten") for layer in chosen
        ),
        **{fact: metadata[fact] for fact in _FACTS if fact in metadata},
    )
    for layer in chosen:
        _check(tensors[layer], layer, len(ids), what)
    return FeatureTable(spec=spec, stimulus_ids=tuple(ids), tensors={layer: tensors[layer] for layer in chosen})


def _check(tensor: Tensor, layer: str, n: int, what: str) -> None:
    if not tensor.is_floating_point() or tensor.ndim != 2 or len(tensor) != n or not tensor.shape[1]:
        raise InputError(
            f"layer {layer!r} of {what} is {tensor.dtype} {tuple(tensor.shape)}; with {n} stimulus ids it must be "
            f"floating point of shape ({n}, features)"
        )
    broken = torch.stack([row.float().isfinite().all() for row in tensor]).logical_not()
    if broken.any():
        raise InputError(
            f"layer {layer!r} of {what} holds NaN, infinity or numbers beyond float32 in {int(broken.sum())} rows, "
            f"first in row {int(broken.nonzero()[0])}"
        )


def _strings(metadata: Mapping[str, str], key: str, what: str) -> list[str]:
    """The JSON list of unique strings that the metadata holds under `key`."""
    if key not in metadata:
        raise InputError(f"{what} has no metadata {key!r}: a JSON list of strings, see brainbench's write_features")
    try:
        values: Any = json.loads(metadata[key])
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InputError(f"{key!r} of {what} must be a JSON list of strings, it begins {metadata[key][:60]!r}")
    if len(set(values)) < len(values):
        twice = sorted(value for value, count in Counter(values).items() if count > 1)
        raise InputError(f"{key!r} of {what} holds names more than once: {listed(twice)}")
    return values


def _by_number(name: str) -> list[tuple[int, str]]:
    """A sort key by which "blocks.2" comes before "blocks.10"."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
