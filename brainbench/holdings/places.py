"""The folders that recordings are looked for in, and those of them that the user set once and for all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import platformdirs

from brainbench.datasets import _settings
from brainbench.datasets._fetch import EVERY, ROOTS
from brainbench.errors import UnknownNameError


def change(add: Mapping[str, Path], forget: Iterable[str]) -> Path:
    """The file of settings, with these folders by id ("" is the one of all) added and these ids forgotten.

    Raises UnknownNameError for an id that was not set, AccessError where the file cannot be written.
    """
    now = _settings.kept(ROOTS)
    for name in forget:
        if name not in now:
            raise UnknownNameError("folder that was set", name, now)
        del now[name]
    now |= {name or EVERY: str(path.absolute()) for name, path in add.items()}
    return _settings.keep(ROOTS, now, otherwise="set BRAINBENCH_DATA instead")


def shown() -> list[dict[str, Any]]:
    """One row a folder, in the order in which they are looked at: of what, what names it, whether it is there."""
    kept = _settings.kept(ROOTS)
    own = {name: value for name, value in sorted(os.environ.items()) if name.startswith("BRAINBENCH_DATA_") and value}
    rows = [(name.removeprefix("BRAINBENCH_DATA_").lower(), name, Path(value)) for name, value in own.items()]
    if parent := os.environ.get("BRAINBENCH_DATA"):
        rows.append((EVERY, "BRAINBENCH_DATA", Path(parent)))
    rows += [(id, "data where", Path(path)) for id, path in kept.items() if id != EVERY]
    rows += [(EVERY, "data where", Path(kept[EVERY]))] if EVERY in kept else []
    rows.append((EVERY, "the user's data folder", platformdirs.user_data_path("brainbench")))
    return [
        {"of": of, "folder": str(path.expanduser()), "named by": by, "here": path.expanduser().is_dir()}
        for of, by, path in rows
    ]
