"""Timings side by side: what each contender took, as a ratio to ours and to the floor of the machine."""

from __future__ import annotations

import datetime
import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch


def machine() -> str:
    """The machine's shape, as the tables name it."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    cpu = f"{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    memory = f"{psutil.virtual_memory().total / 1e9:.0f} GB"
    return f"{cpu}, {memory}, {device}, torch {torch.__version__}, {datetime.date.today().isoformat()}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    return names[0] if names else platform.machine()


def gemm_rate() -> float:
    """Float32 multiply-adds a second of this machine at this moment, times 2: the floor's unit, FLOP/s."""
    x = torch.randn(2048, 2048)
    return 2 * 2048**3 / timed(lambda: x @ x, repeats=5)[0]


def timed(run: Callable[[], Any], *, repeats: int = 3) -> tuple[float, Any]:
    """The least seconds of `repeats` runs, and what the last one gave; call once before for libraries that warm up."""
    best, result = float("inf"), None
    for _ in range(repeats):
        start = time.perf_counter()
        result = run()
        best = min(best, time.perf_counter() - start)
    return best, result


def table(title: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a Markdown table under its title."""
    print(f"\n### {title}\n")
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)
