"""Extraction against the bare forward pass, and a whole job against both: `python tests/speed/extraction.py [--small]`.

The job is `brainbench score bundled:efficientnet_lite0 --benchmarks 'cowley2023.*'`, in new processes: with an empty
store, and once more with what the first run left there. It needs BRAINBENCH_DATA, and is left out without it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

import torch
from _table import machine, table, timed

from brainbench import models
from brainbench.models._extract import extract

MODEL = "bundled:efficientnet_lite0"
BATCH = 32  # of the bare pass: the best of 4 to 64 on two cores


@torch.no_grad()
def bare(network: torch.nn.Module, pictures: torch.Tensor) -> None:
    """Forward passes, and nothing else."""
    for batch in pictures.split(BATCH):
        network(batch.to(memory_format=torch.channels_last))


def job(cache: str) -> float:
    """Seconds of the whole command."""
    command = [sys.executable, "-c", "from brainbench.cli import main; main()", "score", MODEL, "-b", "cowley2023.*"]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"BRAINBENCH_CACHE": cache})
    return time.perf_counter() - start


def n_pictures() -> int:
    """How many different pictures the job shows the network."""
    from brainbench import datasets
    from brainbench.benchmarks import known

    dataset = datasets.load("cowley2023")
    shown = known()["cowley2023.V4avg-ridge"]
    subjects = shown.subjects or dataset.spec.subjects
    ids = {i for subject in subjects for i in dataset.responses(subject)["stimulus_id"].values}
    return int(dataset.stimuli().table.loc[sorted(ids), "sha256"].nunique())


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="few pictures and no job, to see that it runs")
    small = parser.parse_args().small
    print(f"machine: {machine()}")
    model = models.load(MODEL)
    network = model.build().to(memory_format=torch.channels_last)
    pictures = torch.randn(64 if small else 512, 3, 224, 224)
    layers = {layer.name: layer.pooling for layer in model.spec.layers}
    bare(network, pictures[:BATCH])
    plain, _ = timed(lambda: bare(network, pictures), repeats=3)
    taken, _ = timed(lambda: extract(network, [lambda x=x: x for x in pictures], layers), repeats=3)
    each = 1e3 * plain / len(pictures)
    table(
        f"{MODEL}, {len(pictures)} pictures of 224 px, already in memory",
        ("contender", "ms a picture", "of the bare pass"),
        [
            (f"bare forward pass, batches of {BATCH}", f"{each:.2f}", ""),
            (f"extraction of {len(layers)} layers", f"{1e3 * taken / len(pictures):.2f}", f"{taken / plain:.2f}x"),
        ],
    )
    if small or not os.environ.get("BRAINBENCH_DATA"):
        return
    with tempfile.TemporaryDirectory() as cache:
        first, second = job(cache), job(cache)
    n = n_pictures()
    forward = each * n / 1e3
    table(
        f"The whole job, {n:,} different pictures",
        ("run", "seconds", "of the bare pass over its pictures"),
        [
            ("bare forward pass", f"{forward:.0f}", ""),
            ("first run", f"{first:.0f}", f"{first / forward:.2f}x"),
            ("second run", f"{second:.1f}", f"{second / forward:.2f}x"),
        ],
    )


if __name__ == "__main__":
    main()
