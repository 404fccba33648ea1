"""A recording of the size of the Natural Scenes Dataset, all synthetic: `python tests/speed/big.py [--small]`.

Responses lie on disk as one mean response a stimulus and voxel; each size is scored in a process of its own, whose peak
memory is read from the kernel. Time should be linear in voxels, and memory not depend on them.
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


def scored(n: int, p: int, t: int, max_memory: float) -> dict[str, float]:
    """Seconds, the score, and the memory (GB) of one layer of p units on t voxels; run it in a process of its own."""
    import pandas as pd

    from brainbench import runner
    from brainbench.benchmarks import known
    from brainbench.core.arrays import Block
    from brainbench.core.score import Ceiling
    from brainbench.core.splits import grouped_folds
    from brainbench.core.stimuli import StimulusSet
    from brainbench.models.features_file import FeatureTable
    from brainbench.scorers.ridge import Ridge
    from brainbench.targets import Target

    ids = tuple(f"s{i:05d}" for i in range(n))
    rng = np.random.default_rng(0)
    features = rng.normal(size=(n, p)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "responses"
        with path.open("wb") as file:  # voxel by voxel on disk, so that a block of voxels is one stretch of it
            for start in range(0, t, 1000):
                count = min(1000, t - start)
                signal = rng.normal(size=(count, 32)).astype(np.float32) @ features[:, :32].T
                file.write((signal + 20 * rng.normal(size=(count, n))).astype(np.float32).tobytes())
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
        group = SimpleNamespace(asked=[target], scorer=Ridge(), shown="big (synthetic)", benchmarks=[benchmark])
        model = FeatureTable.from_arrays({"layer": features}, ids, "random")
        setting = runner.make_setting(device="cpu", cache_folder=Path(folder) / "cache", max_memory=max_memory)
        before = peak_gb()
        started = time.perf_counter()
        (columns,) = runner._columns(model, group, setting, False).values()
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "raw": columns.raw, "before_gb": before, "peak_gb": peak_gb()}


def peak_gb() -> float:
    """The most memory that this program has held; what it was started from does not count, as it would in getrusage."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e6


def apart(n: int, p: int, t: int, max_memory: float) -> dict[str, float]:
    """`scored` in a new process."""
    command = [sys.executable, __file__, "--one", *map(str, (n, p, t, max_memory))]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print the table, or one run's numbers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a hundredth of the work, to see that it runs")
    parser.add_argument("--one", nargs=4, metavar=("N", "P", "T", "GB"), help="one size, as JSON")
    given = parser.parse_args()
    if given.one:
        n, p, t, max_memory = given.one
        print(json.dumps(scored(int(n), int(p), int(t), float(max_memory))))
        return
    print(f"machine: {machine()}")
    n, p = (900, 256) if given.small else (N, P)
    rate, rows = gemm_rate(), []
    for t in (1000, 2000, 4000) if given.small else (12_500, 25_000, 50_000, 100_000):
        got = apart(n, p, t, 3.0)
        flops = 2 * t * p * n * 5  # coordinates of four fifths of the stimuli and predictions of one, in each fold
        rows.append(
            (
                f"{t:,}",
                f"{got['seconds']:.1f}",
                f"{1e3 * got['seconds'] / t:.2f}",
                f"{got['seconds'] / (flops / rate):.1f}x",
                f"{got['peak_gb']:.2f}",
                f"{got['raw']:.3f}",
            )
        )
    table(
        f"One layer, n = {n:,}, p = {p:,}, 5 folds, 1,000 replicates, --max-memory 3",
        ("voxels", "seconds", "ms a voxel", "of the products of the fits", "peak RSS, GB", "score"),
        rows,
    )


if __name__ == "__main__":
    main()
