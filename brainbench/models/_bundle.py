"""What is said of one network whose trained weights ship inside a package."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from brainbench.core.specs import Preprocessing

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """One carrier package: the file in it, how to install it, and how its numbers become a state dict."""

    description: str
    package: str
    file: str
    install: str
    licence: str
    training_data: str
    build: Callable[[], nn.Module]
    state: Callable[[Path, nn.Module], State]
    preprocessing: Callable[[nn.Module], Preprocessing]
    layers: tuple[str, ...] | None = None

    def path(self) -> Path | None:
        """The weights file; None where the package is not installed."""
        found = importlib.util.find_spec(self.package)
        folders = list(found.submodule_search_locations or ()) if found else []
        return next((path for folder in folders if (path := Path(folder, self.file)).is_file()), None)
