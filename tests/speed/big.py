"""A recording of the size of the Natural Scenes Dataset, all synthetic: `python tests/speed/big.py [--small]`.

Responses lie on disk as one mean response a stimulus and voxel; each size scores the first voxels of them, in a process
of its own, whose peak memory is read from the kernel. Time should be linear in voxels.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from _table import gemm_rate, machine, table

N, P = 9000, 2048
MAX_MEMORY = 3.0  # GB


def made(path: Path, n: int, p: int, t: int) -> None:
    """A file of responses, voxel by voxel, so that a block of voxels is one stretch of it."""
    rng = np.random.default_rng(0)
    features = _features(n, p)[:, :32].T
    with path.open("wb") as file:
        for start in range(0, t, 1000):
            count = min(1000, t - start)
            signal = rng.standard_normal((count, 32), dtype=np.float32) @ features
            file.write((signal + 20 * rng.standard_normal((count, n), dtype=np.float32)).tobytes())


def _features(n: int, p: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((n, p), dtype=np.float32)


def scored(path: str, n: int, p: int, t: int, max_memory: float) -> dict[str, float]:
    """Seconds, the score, and the memory (GB) of one layer of p units on t voxels; run it in a process of its own."""
    import pandas as pd

    from brainbench import runner, settings
    from brainbench.benchmarks import known
    from brainbench.core.arrays import Block
    from brainbench.core.score import Ceiling
    from brainbench.core.splits import grouped_folds
    from brainbench.core.stimuli import StimulusSet
    from brainbench.models.features_file import FeatureTable
    from brainbench.scorers.ridge import Ridge
    from brainbench.targets import Target

    ids = tuple(f"s{i:05d}" for i in range(n))
    features = _features(n, p)
    with tempfile.TemporaryDirectory() as folder:
        values = np.memmap(path, dtype=np.float32, mode="r", shape=(t, n)).T[:, None]
        names = tuple(f"v{i}" for i in range(t))
        table_ = pd.DataFrame({"sha256": ids}, index=pd.Index(ids, name="stimulus_id"))
        target = Target(
            data=Block(stimulus_ids=ids, neuroid_ids=names, regions=("V1",) * t, values=values),
            stimuli=StimulusSet(name="big", table=table_, open=lambda name: None),
            split=grouped_folds(table_, n_folds=5, seed=0),
            subjects=("s1",) * t,
            regions=("V1",) * t,
            names=names,
            ceilings={"none": Ceiling(value=np.full(t, np.nan), scale="r2", method="none", reason=("none",) * t)},
        )
        benchmark = known()["insilico.V1-ridge"].model_copy(update={"ceiling": "none"})
        group = SimpleNamespace(
            dataset=None, asked=[target], scorer=Ridge(), shown="big (synthetic)", benchmarks=[benchmark]
        )
        model = FeatureTable.from_arrays({"layer": features}, ids, "random")
        setting = settings.make_setting(device="cpu", cache_folder=Path(folder) / "cache", max_memory=max_memory)
        before = peak_gb()
        started = time.perf_counter()
        (columns,) = runner._columns(model, group, setting, False).values()
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "raw": columns.raw, "before_gb": before, "peak_gb": peak_gb()}


def peak_gb() -> float:
    """The most memory that this program has held; what it was started from does not count, as it would in getrusage."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e6


def apart(path: Path, n: int, p: int, t: int, max_memory: float) -> dict[str, float]:
    """`scored` in a new process."""
    command = [sys.executable, __file__, "--one", *map(str, (path, n, p, t, max_memory))]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print the table, or one run's numbers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a hundredth of the work, to see that it runs")
    parser.add_argument("--one", nargs=5, metavar=("PATH", "N", "P", "T", "GB"), help="one size, as JSON")
    given = parser.parse_args()
    if given.one:
        path, n, p, t, max_memory = given.one
        print(json.dumps(scored(path, int(n), int(p), int(t), float(max_memory))))
        return
    print(f"machine: {machine()}")
    n, p = (900, 256) if given.small else (N, P)
    sizes = (1000, 2000, 4000) if given.small else (12_500, 25_000, 50_000, 100_000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "responses"
        made(path, n, p, max(sizes))
        rate, got = gemm_rate(), [(t, apart(path, n, p, t, MAX_MEMORY)) for t in sizes]
    rows = []
    for t, one in got:
        flops = 2 * t * p * n * 5  # coordinates of four fifths of the stimuli and predictions of one, in each fold
        rows.append(
            (
                f"{t:,}",
                f"{one['seconds']:.1f}",
                f"{1e3 * one['seconds'] / t:.2f}",
                f"{one['seconds'] / (flops / rate):.1f}x",
                f"{one['peak_gb']:.2f}",
                f"{one['raw']:.3f}",
            )
        )
    table(
        f"One layer, n = {n:,}, p = {p:,}, 5 folds, 1,000 replicates, --max-memory {MAX_MEMORY:g}",
        ("voxels", "seconds", "ms a voxel", "of the products of the fits", "peak RSS, GB", "score"),
        rows,
    )


if __name__ == "__main__":
    main()
