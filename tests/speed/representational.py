"""Scorers of geometries, labels and units against ridge, one layer: `python tests/speed/representational.py [--small]`.

Synthetic. Each gets a fresh representation, so that no scorer profits from what another has computed, as in a run it
would. Seconds of `score` alone. Beside them stands the ridge regression of a peer on the same folds, himalaya's by
k-fold; the last row is kernel analysis of 2014 on the paper's 1,960 stimuli.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

import numpy as np
import pandas as pd
import torch
from _table import machine, table, timed

from brainbench import scorers
from brainbench.core.arrays import Block, Labels, RDMs
from brainbench.core.splits import grouped_folds
from brainbench.numerics.kernel_analysis import precision_curve
from brainbench.numerics.representation import Representation

CASES = (
    ("rsa", {}),
    ("ssm", {}),
    ("cka", {}),
    ("cca", {"variance": 0.8}),
    ("shape", {}),
    ("whitened", {"distances": "squared_euclidean"}),
    ("kernel_analysis", {"protocol": "2013"}),
    ("kernel_analysis", {"protocol": "2014"}),
    ("svm", {}),
    ("matching", {"partners": "semi"}),
    ("matching", {"partners": "bipartite"}),
    ("matching", {"partners": "soft"}),
    ("matching", {"partners": "sparse"}),
)


def himalaya(x: torch.Tensor, y: torch.Tensor, folds: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Ridge of himalaya 0.4.11 as its users run it: ten penalties, four inner folds, features centred."""
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import KernelRidgeCV

    set_backend("torch", on_error="raise")
    for train, test in folds:
        mean = x[train].mean(dim=0)
        fit = KernelRidgeCV(alphas=np.logspace(-1, 8, 10), cv=4, fit_intercept=True).fit(x[train] - mean, y[train])
        fit.predict(x[test] - mean)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="few stimuli, to see that it runs")
    small = parser.parse_args().small
    n, p, v = (100, 40, 8) if small else (1000, 2048, 200)
    rng = np.random.default_rng(0)
    ids = tuple(f"s{i:04d}" for i in range(n))
    x = torch.as_tensor(rng.normal(size=(n, p)).astype("f4"))
    y = (x.numpy()[:, :20] @ rng.normal(size=(20, v)) + 4 * rng.normal(size=(n, v))).astype("f4")
    categories = np.asarray([f"c{i % 8}" for i in range(n)], dtype=object)
    block = Block(stimulus_ids=ids, neuroid_ids=tuple(map(str, range(v))), regions=("V4",) * v, values=y[:, None])
    brain = Representation.from_features(torch.as_tensor(y), ids)
    stimuli = pd.DataFrame({"sha256": ids, "stratum": categories}, index=pd.Index(ids, name="stimulus_id"))
    fifths = grouped_folds(stimuli, n_folds=5, seed=1)
    print(f"machine: {machine()}")
    print(f"{n} stimuli, 5 folds, {p} units, {v} neuroids")

    def seconds(name: str, params: dict) -> float:
        scorer = scorers.load(name, params)
        targets = {
            "responses": lambda: block,
            "labels": lambda: Labels(stimulus_ids=ids, values=categories),
            "rdms": lambda: RDMs(
                stimulus_ids=ids,
                subjects=("a",),
                values=brain.rdm(getattr(scorer, "rdm", "correlation")).numpy()[None],
            ),
        }
        target = targets[scorer.spec.requires]()

        def run() -> object:
            return scorer.score(Representation.from_features(x, ids), target, fifths, seed=0, device="cpu")

        return timed(run, repeats=1)[0]

    seconds("rsa", {})  # imports and warm-up are no scorer's
    ridge = seconds("ridge", {})
    folds = [tuple(np.asarray([int(name[1:]) for name in side]) for side in (f.train, f.test)) for f in fifths.folds]
    peer = timed(lambda: himalaya(x, torch.as_tensor(y), folds), repeats=1)[0]
    rows = [("ridge", f"{ridge:.2f}", "1"), ("ridge by himalaya", f"{peer:.2f}", f"{peer / ridge:.2f}")]
    for name, params in CASES:
        took = seconds(name, params)
        told = ", ".join(str(value) for value in params.values())
        rows.append((f"{name} ({told})" if told else name, f"{took:.2f}", f"{took / ridge:.2f}"))
        print(*rows[-1], file=sys.stderr, flush=True)  # the table comes at the end
    table("One layer: seconds", ("scorer", "seconds", "of ridge"), rows)
    n = 140 if small else 1960
    labels = torch.arange(n) % 7
    x = torch.randn(n, 500, dtype=torch.float64)
    took, _ = timed(partial(precision_curve, x @ x.T, labels), repeats=1)
    table("Kernel analysis of 2014, 32 x 56 grid, 7 categories", ("stimuli", "seconds"), [(str(n), f"{took:.1f}")])


if __name__ == "__main__":
    main()
