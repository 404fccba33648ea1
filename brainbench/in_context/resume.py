"""The state of a training on disk: reader and optimiser after a step, replaced whole, so a kill loses a few steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from brainbench.errors import InputError
from brainbench.in_context.readout import Reader


def store(path: Path, reader: Reader, optimizer: torch.optim.Optimizer, step: int, identity: str) -> None:
    """Write what `restore` needs to go on after `step` steps; `identity` is that of data and plan."""
    tensors = {f"reader.{name}": tensor.contiguous() for name, tensor in reader.state_dict().items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": tensor.contiguous() for name, tensor in moments.items()}
    temporary = path.with_suffix(".part")
    save_file(tensors, temporary, metadata={"state": json.dumps({"step": step, "identity": identity})})
    temporary.replace(path)


def restore(path: Path, reader: Reader, optimizer: torch.optim.Optimizer, identity: str) -> int:
    """Bring both to where they were, and give the number of steps done: 0 where there is no file.

    Raises InputError for a damaged file, and for the state of another training.
    """
    if not path.is_file():
        return 0
    try:
        with safe_open(path, framework="pt") as file:
            told = json.loads((file.metadata() or {})["state"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path} holds no state of a training ({error}): delete it to start anew") from None
    if told["identity"] != identity:
        raise InputError(
            f"{path} is the state of a training with other data or options: delete it, or name another --out"
        )
    reader.load_state_dict({k.removeprefix("reader."): t for k, t in tensors.items() if k.startswith("reader.")})
    moments: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimizer."):
            _, number, name = key.split(".")
            moments.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
    return int(told["step"])
