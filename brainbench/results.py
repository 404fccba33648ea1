"""A benchmark's numbers for a model, as the store keeps them: with the code that made them as part of their key."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from brainbench.entry import Scored


@dataclass(frozen=True, kw_only=True)
class Result:
    """One benchmark's numbers for one model, as the store keeps them.

    Replicates of two results pair up where `draws` is the same (see `aggregate.Columns`); `layer_replicates` (L, B) are
    those with one layer in every fold, None where nobody asked for them.
    """

    scored: Scored
    replicates: np.ndarray
    normalized_replicates: np.ndarray
    layer_replicates: np.ndarray | None
    draws: str


def written(result: Result) -> dict[str, np.ndarray]:
    """The result as the arrays that the store keeps."""
    arrays = {name: getattr(result, name) for name in ("replicates", "normalized_replicates", "layer_replicates")}
    text = {"scored": result.scored.model_dump_json(), "draws": result.draws}
    arrays |= {name: np.frombuffer(value.encode(), dtype=np.uint8) for name, value in text.items()}
    return {name: array for name, array in arrays.items() if array is not None}


def read(arrays: dict[str, np.ndarray] | None) -> Result | None:
    """The result of these arrays; None where the store has none."""
    if arrays is None:
        return None
    return Result(
        scored=Scored.model_validate_json(arrays["scored"].tobytes()),
        replicates=arrays["replicates"],
        normalized_replicates=arrays["normalized_replicates"],
        layer_replicates=arrays.get("layer_replicates"),
        draws=arrays["draws"].tobytes().decode(),
    )


@cache
def code(*modules: str) -> str:
    """The sha256 over the source of this package and of those of further modules: no result outlives its code."""
    files = {file for name in (__name__, *modules) for file in _sources(name)}
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in sorted(files))).hexdigest()


def _sources(name: str) -> list[Path]:
    """The .py files of the outermost package that an imported module is in, or its own where it is in none.

    Of a namespace, which packages of several people share, those of the package inside it.
    """
    parts = name.split(".")
    for n in range(1, len(parts) + 1):
        module = sys.modules.get(".".join(parts[:n]))
        own = getattr(module, "__file__", None)  # None of a namespace, and of what was made in a console
        if own is not None:
            return sorted(Path(own).parent.rglob("*.py")) if hasattr(module, "__path__") else [Path(own)]
    return []
