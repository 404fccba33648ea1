"""Where and how a run computes: store, device, memory, progress; none of it is part of a result."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from numbers import Real
from pathlib import Path
from typing import Any, Protocol

import platformdirs
import psutil
import torch

from brainbench.errors import UsageError
from brainbench.store import Store


class Progress(Protocol):
    """What a run tells while it works: a new stage with its size, then steps within it."""

    def stage(self, name: str, total: int) -> None:
        """A stage begins."""

    def step(self, n: int = 1) -> None:
        """`n` more of it are done."""


class Silent:
    """No progress."""

    def stage(self, name: str, total: int) -> None:
        """Nothing is shown."""

    def step(self, n: int = 1) -> None:
        """Nothing is shown."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where and how a run computes; none of it may change a number beyond rounding."""

    roots: dict[str, Path]
    store: Store
    device: str
    progress: Progress
    max_bytes: int  # what a run may hold in memory beside the recording and the network


def default_cache() -> Path:
    """BRAINBENCH_CACHE, or the user's cache folder."""
    return Path(os.environ.get("BRAINBENCH_CACHE") or platformdirs.user_cache_dir("brainbench"))


def pick_device(name: str) -> str:
    """`auto` is cuda where there is one, else cpu. Raises UsageError for a device that is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        why = re.split(r"\.\s|\n", str(error))[0]  # a table of all backends may follow
        raise UsageError(f"device {name!r} is not usable here: {why}. Use --device auto or cpu.") from None
    return name


@contextmanager
def workers(device: str, n: int) -> Iterator[ThreadPoolExecutor]:
    """Up to `n` threads that share the cores: an eigendecomposition keeps one core busy, but not several."""
    cores = torch.get_num_threads()
    n = 1 if device.startswith("cuda") else min(n, cores)
    torch.set_num_threads(cores // n)
    workers = ThreadPoolExecutor(n)
    try:
        yield workers
    finally:
        workers.shutdown(cancel_futures=True)
        torch.set_num_threads(cores)


@cache
def environment(device: str) -> dict[str, Any]:
    """What a number may depend on beyond its inputs, for provenance: versions, machine, device."""
    packages = ("torch", "timm", "numpy", "scipy")
    return {
        "brainbench": version("brainbench"),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "platform": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "threads": torch.get_num_threads(),
    }


def make_setting(
    *,
    roots: dict[str, Path] | None = None,
    device: str = "auto",
    cache_folder: Path | None = None,
    progress: Callable[[], Progress] = Silent,
    max_memory: float | None = None,
) -> Setting:
    """The setting of a run from what a user gives; everything has a default: of memory (in GB), half of what is free.

    Raises UsageError for a device that is not there and for memory that is none or no number.
    """
    if max_memory is not None and not (isinstance(max_memory, Real) and max_memory > 0):
        raise UsageError(
            f"max_memory is a number of gigabytes above 0, got {max_memory!r}: a run needs some memory. Leave it out "
            "to use half of what is free"
        )
    return Setting(
        roots=roots or {},
        store=Store((cache_folder or default_cache()).expanduser()),
        device=pick_device(device),
        progress=progress(),
        max_bytes=int((max_memory or 0) * 1e9) or psutil.virtual_memory().available // 2,
    )
