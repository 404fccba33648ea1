"""Representations of a model's layers for a set of stimuli: taken from the store, or extracted once and kept there.

Pictures go through the network once for all layers. Sets larger than a shard are committed shard by shard, so an
interrupted run goes on where it stopped. When a set is complete, each layer is kept in one of two sufficient forms:
features where it has no more units than stimuli, or few, else the Gram matrix (see `numerics.representation`), and the
shards are dropped, those of interrupted runs as well. Another process may do the same meanwhile: what it has stored is
not made again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import Any

import numpy as np
import torch

from brainbench.core.protocols import Model
from brainbench.core.specs import LayerSpec, fingerprint
from brainbench.core.stimuli import StimulusSet
from brainbench.errors import BrainbenchError, InputError, said_by
from brainbench.models.features_file import FeatureTable
from brainbench.numerics.representation import Representation, cross_gram, offsets
from brainbench.store import Store

FEATURE_SEMANTICS = 4  # rises when the same network and stimulus would give other features
FEW_UNITS = 4096  # layers that are kept as features whatever the number of stimuli: scorers that match units need them
# The most stimuli that are extracted before they are committed; a set of one shard never goes through the disk.
SHARD = 2048


def representation(
    model: Model | FeatureTable, layer: LayerSpec, stimuli: StimulusSet, store: Store
) -> Representation | None:
    """The stored representation of one layer, or None where it has not been extracted yet."""
    if isinstance(model, FeatureTable):
        if model.n_units(layer.name) <= max(len(stimuli.ids), FEW_UNITS):
            return Representation.from_features(model.features(layer.name, stimuli.ids), stimuli.ids)
        return Representation.from_blocks(model.blocks(layer.name, stimuli.ids), stimuli.ids)
    arrays = store.get(_key(model, layer, stimuli))
    if arrays is None:
        return None
    if "features" in arrays:
        return Representation.from_features(torch.from_numpy(arrays["features"]), stimuli.ids)
    varying, offset, unit_mean = (torch.from_numpy(arrays[name]) for name in ("varying", "offset", "unit_mean"))
    return Representation.from_gram(varying, unit_mean, int(arrays["n_units"][0]), stimuli.ids, offset=offset)


def extract(
    model: Model | FeatureTable,
    stimuli: StimulusSet,
    store: Store,
    *,
    device: str,
    provenance: dict[str, Any],
    progress: Callable[[int], None],
    max_bytes: int,
) -> None:
    """Make sure that every layer's representation of `stimuli` is stored; `progress` counts stimuli done.

    No more features are held at a time than fit into `max_bytes`, or those of 2 stimuli. Raises what the network, the
    pictures and the store raise (InputError, ResourceError).
    """
    if isinstance(model, FeatureTable):
        return progress(len(stimuli.ids))
    layers = list(model.spec.layers)  # all, so that shards keep their key while layers are combined one by one
    in_shards = _in_shards_key(model, layers, stimuli)
    sharded = store.part(in_shards)

    def kept(layer: LayerSpec) -> bool:
        return store.get(_key(model, layer, stimuli), names=["n_units"]) is not None

    if all(map(kept, layers)):
        store.drop(in_shards)
        return progress(len(stimuli.ids))

    @cache
    def network() -> Any:
        with said_by(f"build() of {model.spec.id}"):
            return model.build()

    fit_in = max_bytes // (4 * _n_features(model, network, stimuli, store, device, provenance))
    size = min(SHARD, 2 ** max(1, fit_in.bit_length() - 1))  # one size for many bounds, so that shards are kept
    shards = [stimuli.select(stimuli.ids[i : i + size]) for i in range(0, len(stimuli.ids), size)]

    def extracted(shard: StimulusSet, progress: Callable[[int], None]) -> dict[str, np.ndarray]:
        found = _features(model, network(), layers, shard, device=device, progress=progress)
        if len(shards) > 1:
            sharded.put(_shard_key(shard), found, provenance)
        return found

    held: dict[str, np.ndarray] = {}
    for shard in shards:
        if sharded.get(_shard_key(shard), names=[]) is None and not all(map(kept, layers)):
            held = extracted(shard, progress)
        else:
            progress(len(shard.ids))

    def part(layer: LayerSpec, index: int) -> torch.Tensor:
        """One layer's features of one shard, extracted again where the shard was damaged after it was written."""
        shard = shards[index]
        alone = len(shards) == 1 and held
        arrays = held if alone else sharded.get(_shard_key(shard), [layer.name])
        if arrays is None and kept(layer):
            raise _KeptMeanwhile
        if arrays is None:
            arrays = extracted(shard, lambda n: None)
        return torch.from_numpy(arrays[layer.name])

    for layer in layers:
        with suppress(_KeptMeanwhile):
            if not kept(layer):
                store.put(_key(model, layer, stimuli), _combined(partial(part, layer), shards), provenance)
    store.drop(in_shards)


class _KeptMeanwhile(Exception):
    """Another process has stored the layer that is being combined, and dropped the shards."""


def _n_features(
    model: Model,
    network: Callable[[], Any],
    stimuli: StimulusSet,
    store: Store,
    device: str,
    provenance: dict[str, Any],
) -> int:
    """How many numbers a stimulus has in all layers together, looked up in the store or counted in a forward pass."""
    from brainbench.models._extract import widths

    layers = {layer.name: layer.pooling for layer in model.spec.layers}
    key = {"kind": "widths", **_identity(model), "layers": layers}
    known = store.get(key)
    if known is None:
        found = widths(
            network(), [partial(_seen, model, stimuli, name) for name in stimuli.ids[:2]], layers, device=device
        )
        known = {"total": np.asarray([sum(found.values())])}
        store.put(key, known, provenance)
    return int(known["total"][0])


def _seen(model: Model, stimuli: StimulusSet, name: str) -> torch.Tensor:
    """A picture as the network sees it. Raises InputError, naming the stimulus, where that fails."""
    try:
        picture = stimuli.image(name)
        with said_by("preprocess"):
            return model.preprocess(picture)
    except BrainbenchError as error:
        raise type(error)(f"stimulus {name!r} of {stimuli.name}: {error}") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"stimulus {name!r} of {stimuli.name} cannot be read as a picture: {error}") from error


def _features(
    model: Model,
    module: Any,
    layers: list[LayerSpec],
    shard: StimulusSet,
    *,
    device: str,
    progress: Callable[[int], None],
) -> dict[str, np.ndarray]:
    from brainbench.models._extract import extract as run

    out = run(
        module,
        [partial(_seen, model, shard, name) for name in shard.ids],
        {layer.name: layer.pooling for layer in layers},
        device=device,
        names=shard.ids,
        progress=progress,
    )
    return {name: tensor.numpy() for name, tensor in out.items()}


def _combined(part: Callable[[int], torch.Tensor], shards: list[StimulusSet]) -> dict[str, np.ndarray]:
    """One layer put together from its shards; the Gram matrix two shards at a time, so p and n may both be large."""
    first = part(0)
    n, p = sum(len(shard.ids) for shard in shards), first.shape[1]
    if p <= max(n, FEW_UNITS):
        features = torch.cat([part(i) for i in range(len(shards))])
        arrays = {"features": features.numpy()}
    else:
        reference = first.mean(dim=0)
        varying = torch.empty(n, n, dtype=torch.float64)
        unit_mean, offset = torch.empty(2, n, dtype=torch.float64)
        starts = [len(shards[0].ids) * i for i in range(len(shards))]
        for i, row in enumerate(starts):
            x = part(i)
            unit_mean[row : row + len(x)] = x.mean(dim=1, dtype=torch.float64)
            offset[row : row + len(x)] = offsets(x, reference)
            for j, column in enumerate(starts[: i + 1]):
                y = x if j == i else part(j)
                block = cross_gram(x, y, reference)
                varying[row : row + len(x), column : column + len(y)] = block
                varying[column : column + len(y), row : row + len(x)] = block.T
        arrays = {"varying": varying.float().numpy(), "offset": offset.numpy(), "unit_mean": unit_mean.numpy()}
    arrays["n_units"] = np.asarray([p])
    return arrays


def _identity(model: Model) -> dict[str, Any]:
    spec = model.spec
    return {
        "model": spec.id,
        "source": spec.source,
        "weights": spec.weights,
        "preprocessing": fingerprint(spec.preprocessing),
        "dtype": "float32",
        "semantics": FEATURE_SEMANTICS,
    }


def _key(model: Model, layer: LayerSpec, stimuli: StimulusSet) -> dict[str, Any]:
    return {
        "kind": "representation",
        **_identity(model),
        "layer": layer.name,
        "pooling": layer.pooling,
        "stimuli": stimuli.fingerprint,
    }


def _in_shards_key(model: Model, layers: list[LayerSpec], stimuli: StimulusSet) -> dict[str, Any]:
    return {
        "kind": "features",
        **_identity(model),
        "layers": [[layer.name, layer.pooling] for layer in layers],
        "stimuli": stimuli.fingerprint,
    }


def _shard_key(shard: StimulusSet) -> dict[str, Any]:
    return {"shard": shard.fingerprint}
