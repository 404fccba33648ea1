"""Peak memory of reading and scoring a subject of NSD, in made files: `python tests/speed/nsd.py 40x1600 2x99200`.

A size is sessions x voxels: 40 sessions are a subject's 30,000 presentations. Files have the release's names, types and
axes (81 x 104 x 83 voxels, int16 of 300 x percent signal change); only voxels of the region are written, what HDF5 was
never given takes no room. Responses are a readout of random features and noise, all synthetic. Each size is scored in a
process of its own, whose peak memory is read from the kernel.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pandas as pd
import scipy.io
from _table import machine, table
from big import peak_gb

SHAPE = (81, 104, 83)
SIDE = 40  # of the square that the region fills in each plane
N_PICTURES, UNITS, READ = 10_000, 256, 8
MAX_MEMORY = 3.0  # GB
BETAS = "nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR"


def design() -> tuple[np.ndarray, np.ndarray]:
    """`subjectim` and `masterordering`, from 1: all subjects see the first 10,000 pictures three times."""
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(1, N_PICTURES + 1), 3))
    return np.tile(np.arange(1, N_PICTURES + 1), (8, 1)), order[None]


def made(root: Path, n_sessions: int, n_voxels: int) -> None:
    """The files of subj01 that its region `nsdgeneral`, of `n_voxels`, is read from."""
    experiment = root / "nsddata/experiments/nsd"
    roi = root / "nsddata/ppdata/subj01/func1pt8mm/roi"
    for folder in (experiment, roi, root / BETAS):
        folder.mkdir(parents=True)
    subjectim, order = design()
    scipy.io.savemat(
        experiment / "nsd_expdesign.mat", {"subjectim": subjectim, "masterordering": order, "sharedix": order[:, :1000]}
    )
    info = pd.DataFrame({"cocoId": range(73_000), "cocoSplit": "train2017", "cropBox": "()", "nsdId": range(73_000)})
    info["shared1000"] = info["nsdId"] < 1000
    trials = np.argsort(order[0], kind="stable").reshape(N_PICTURES, 3) + 1  # of each picture
    for subject in range(1, 9):
        for repetition in range(3):
            info[f"subject{subject}_rep{repetition}"] = np.pad(trials[:, repetition], (0, 63_000))
    info.to_csv(experiment / "nsd_stim_info_merged.csv")
    n_planes, rest = divmod(n_voxels, SIDE**2)
    assert not rest and n_planes <= SHAPE[2], f"{n_voxels} voxels are no whole planes of {SIDE**2}"
    mask = np.zeros(SHAPE, dtype=np.int16)
    mask[20 : 20 + SIDE, 30 : 30 + SIDE, :n_planes] = 1
    nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), roi / "nsdgeneral.nii.gz")
    nibabel.save(nibabel.Nifti1Image(mask.astype(np.float32), np.eye(4)), root / BETAS / "ncsnr.nii.gz")
    seen = features()[order[0] - 1, :READ]
    for session in range(n_sessions):
        rows = seen[750 * session : 750 * (session + 1)]
        with h5py.File(root / BETAS / f"betas_session{session + 1:02d}.hdf5", "w") as file:
            stored = file.create_dataset("betas", (750, *SHAPE[::-1]), "i2", chunks=(750, 1, SIDE // 2, SIDE // 2))
            for plane in range(n_planes):
                weights = np.random.default_rng(plane).standard_normal((READ, SIDE**2), dtype=np.float32)
                noise = np.random.default_rng([session, plane]).standard_normal((750, SIDE**2), dtype=np.float32)
                betas = 300 * (rows @ weights + 4 * noise)
                stored[:, plane, 30 : 30 + SIDE, 20 : 20 + SIDE] = betas.astype(np.int16).reshape(750, SIDE, SIDE)


def features() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((N_PICTURES, UNITS), dtype=np.float32)


def scored(root: Path, n_sessions: int, whole: bool) -> dict[str, float]:
    """Seconds and peak memory (GB) up to the end of each stage, and, if `whole`, the score; in a process of its own."""
    from brainbench import runner, settings
    from brainbench.benchmarks import known
    from brainbench.datasets.allen2021 import Allen2021
    from brainbench.models.features_file import FeatureTable
    from brainbench.scorers import load

    sessions = tuple(f"session{number + 1:02d}" for number in range(n_sessions))
    asked = {"region": "nsdgeneral", "subjects": ("subj01",), "sessions": sessions, "baselines": ()}
    benchmark = known()["allen2021.V1-ridge"].model_copy(update=asked)
    recording = Allen2021(root)
    result, started = {"before": peak_gb()}, time.perf_counter()

    def told(stage: str, of: Callable[..., Any]) -> Callable[..., Any]:
        def same(*args: Any, **options: Any) -> Any:
            found = of(*args, **options)
            result.update({stage: peak_gb(), f"{stage}_s": time.perf_counter() - started})
            return found

        return same

    recording.responses = told("read", recording.responses)
    runner.targets = told("cut", runner.targets)
    if not whole:
        runner.targets(recording, [benchmark], load("ridge", benchmark.params))
        return result
    runner.datasets.load = lambda name, roots: recording  # no terms are asked for, no pictures looked for
    model = FeatureTable.from_arrays({"layer": features()}, [f"nsd{n:05d}" for n in range(N_PICTURES)], "random")
    with tempfile.TemporaryDirectory() as cache:
        setting = settings.make_setting(device="cpu", cache_folder=Path(cache), max_memory=MAX_MEMORY)
        (entry,) = runner.run(model, [benchmark], setting)
    assert entry.raw is not None, entry.reason
    return result | {"scored": peak_gb(), "scored_s": time.perf_counter() - started, "raw": entry.raw}


def main() -> None:
    """Print the table, or one size's numbers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", default=["2x1600"], help="sessions x voxels (a multiple of 1,600)")
    parser.add_argument("--unscored", action="store_true", help="only read, make folds and ceilings")
    parser.add_argument("--one", nargs=2, metavar=("ROOT", "SESSIONS"), help="files that are there, as JSON")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(scored(Path(given.one[0]), int(given.one[1]), not given.unscored)))
        return
    print(f"machine: {machine()}")
    rows = []
    for size in given.sizes:
        n_sessions, n_voxels = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            made(Path(folder), n_sessions, n_voxels)
            command = [sys.executable, __file__, "--one", folder, str(n_sessions)]
            command += ["--unscored"] if given.unscored else []
            got = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        numbers = ("before", "read", "cut", "scored", "read_s", "cut_s", "scored_s", "raw")
        shown = (f"{750 * n_sessions:,} x {n_voxels:,}", f"{4e-9 * 750 * n_sessions * n_voxels:.2f}")
        rows.append((*shown, *(f"{got[n]:.2f}" if n in got else "–" for n in numbers)))
    memory = ("responses, float32, GB", "before, GB", "peak, read", "with folds and ceiling", "scored")
    seconds = ("seconds, read", "with folds and ceiling", "scored")
    title = f"A subject of NSD, ridge on {UNITS} units, --max-memory {MAX_MEMORY:g}"
    table(title, ("presentations x voxels", *memory, *seconds, "score"), rows)


if __name__ == "__main__":
    main()
