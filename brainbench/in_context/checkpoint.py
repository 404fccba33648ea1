"""A trained reader as one safetensors file: half-precision tensors, and a card of all it was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from brainbench.core.modes import mode_of_umask
from brainbench.errors import InputError, UnknownNameError, UsageError
from brainbench.in_context.fields import between_axes
from brainbench.in_context.material import Projection
from brainbench.in_context.network import Architecture
from brainbench.in_context.readout import Reader

SHIPPED = Path(__file__).parent / "checkpoints"
CARD = ("model", "layer", "side", "architecture", "seen", "network")  # what a card must tell; others are for the reader
SEEN = ("dataset", "subjects", "neuroids", "sha256")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A reader with the projection that its features go through; `card` says what was seen in training.

    The card has `model`, `layer`, `side`, `architecture`, `seen` (`dataset`, `subjects`, `neuroids`, `sha256` of the
    stimuli), the `network` with the hash of its `weights`, `seed`, `plan` and `command`, the dataset's content, and the
    explained variance of held-out neuroids with their names and how many contexts it is the mean over.
    """

    reader: Reader
    projection: Projection
    card: dict[str, Any]

    def keep_network(self, now: Mapping[str, Any]) -> None:
        """Raises InputError where `now`, the facts of a network, are not of the one that the encoder was trained on."""
        then = self.card["network"]
        changed = [fact for fact in ("weights", "source", "preprocessing") if now[fact] != then.get(fact)]
        if changed:
            raise InputError(
                f"the encoder was trained on another {self.card['model']} than the one here ({' and '.join(changed)} "
                "differ): install what it was then (the checkpoint's card says), or train it again"
            )


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write the file, whole or not at all. Tensors lose all but 11 bits of precision, where those can hold them."""
    state = {f"reader.{name}": tensor for name, tensor in checkpoint.reader.state_dict().items()}
    state |= {"projection.mean": checkpoint.projection.mean, "projection.axes": checkpoint.projection.axes}
    card = checkpoint.card | {"architecture": asdict(checkpoint.reader.encoder.architecture)}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    stored = {name: _halved(tensor.detach().cpu()).contiguous() for name, tensor in state.items()}
    with mode_of_umask(temporary):
        save_file(stored, temporary, metadata={"card": json.dumps(card, sort_keys=True)})
    temporary.replace(path)


def _halved(tensor: Tensor) -> Tensor:
    """Half precision, or the tensor itself where its values are too large or too small for that."""
    half = tensor.half()
    off = (half.float() - tensor).norm()
    return half if bool(off <= 2**-10 * tensor.norm()) else tensor


def _path(name: str) -> Path:
    shipped = {file.stem: file for file in SHIPPED.glob("*.safetensors")}  # a name with a path in it is none of them
    path = Path(name) if name.endswith(".safetensors") else shipped.get(name)
    if path is None or not path.is_file():
        raise UnknownNameError("checkpoint", name, shipped)
    return path


def load(name: str) -> Checkpoint:
    """The shipped checkpoint of this name, or that in the file `name`, in evaluation mode and float32.

    Raises UnknownNameError for a name that is neither, InputError for a file that holds no checkpoint.
    """
    path = _path(name)
    told = path.stat()
    return _load(path, (told.st_mtime_ns, told.st_size, told.st_ino))


@lru_cache(maxsize=4)
def _load(path: Path, _version: tuple[int, ...]) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            card = json.loads((file.metadata() or {})["card"])
            state = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
        lacking = [key for key in CARD if key not in card] + [key for key in SEEN if key not in card["seen"]]
        lacking += [] if "weights" in card.get("network", {}) else ["network.weights"]
        if lacking:
            raise ValueError(f"its card lacks {', '.join(lacking)}")
        projection = Projection(mean=state.pop("projection.mean"), axes=state.pop("projection.axes"))
        fields = between_axes(projection.axes, card["side"])
        architecture = Architecture(**card["architecture"])
        if architecture.n_layers > len(state):  # every layer has tensors of its own
            raise ValueError(f"{len(state)} tensors are not {architecture.n_layers} layers")
        with torch.device("meta"):  # sizes that the card tells take no memory before the tensors are seen to have them
            reader = Reader(architecture, projection.axes.shape[1], fields=fields)
        reader.load_state_dict({key.removeprefix("reader."): tensor for key, tensor in state.items()}, assign=True)
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError, RuntimeError, UsageError) as error:
        raise InputError(f"{path} is no checkpoint of an in-context encoder: {error}") from None
    return Checkpoint(reader=reader.eval(), projection=projection, card=card)
