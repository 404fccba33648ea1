"""Ridge against himalaya and scikit-learn: `python tests/speed/ridge.py [--small]`.

Features of two synthetic layers, synthetic responses that are a noisy linear readout of the first one. Every contender
gets the same float32 arrays, the same outer folds and the same penalties; what is timed is everything after that:
decompositions, penalties, predictions, and Pearson's r on the outer test stimuli. Ours scores layers side by side, one
a core, as a run does. Replicates are 1,000 resamplings of the test stimuli of one layer, which is what an entry holds,
beside the time of scoring nine layers.
"""

from __future__ import annotations

import argparse
import warnings
from types import SimpleNamespace

import numpy as np
import torch
from _table import gemm_rate, machine, table, timed

from brainbench.core.arrays import Block
from brainbench.core.splits import Fold, Split
from brainbench.numerics import ridge
from brainbench.numerics.correlation import pearson
from brainbench.numerics.representation import Representation
from brainbench.numerics.resampling import multiplicities, seed_of
from brainbench.scorers.ridge import Ridge
from brainbench.settings import workers

GRID = tuple(float(g) for g in np.logspace(-3, 3, 10))


def problem(n: int, p: int, t: int, n_layers: int, n_folds: int = 5) -> SimpleNamespace:
    """Layers (n, p), responses (n, t), and folds dealt out in turn."""
    generator = torch.Generator().manual_seed(0)
    spectrum = torch.arange(1, p + 1) ** -0.5
    layers = [torch.randn(n, p, generator=generator) * spectrum for _ in range(n_layers)]
    readout = torch.randn(p, t, generator=generator)
    signal = layers[0] @ readout
    y = signal / signal.std() + 1.5 * torch.randn(n, t, generator=generator)
    ids = tuple(f"s{i:05d}" for i in range(n))
    fold = np.arange(n) % n_folds
    rows = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(n_folds)]
    named = [Fold(train=tuple(ids[i] for i in a), test=tuple(ids[i] for i in b)) for a, b in rows]
    block = Block(
        stimulus_ids=ids,
        neuroid_ids=tuple(str(i) for i in range(t)),
        regions=("synthetic",) * t,
        values=y.numpy()[:, None],
    )
    return SimpleNamespace(
        ids=ids, layers=layers, y=y, block=block, rows=rows, split=Split(folds=tuple(named), unit={i: i for i in ids})
    )


def ours(case: SimpleNamespace, select: str) -> list:
    """A Score for each layer."""
    scorer = Ridge(select=select, grid=GRID)
    made = [Representation.from_features(x, case.ids) for x in case.layers]
    with workers("cpu", len(made)) as pool:
        return list(pool.map(lambda x: scorer.score(x, case.block, case.split, seed=0, device="cpu"), made))


def grids(case: SimpleNamespace) -> list[list[np.ndarray]]:
    """The penalties that ours tries, for each layer and outer fold."""
    made = [Representation.from_features(x, case.ids) for x in case.layers]
    return [[ridge.penalties(x.eigh(torch.as_tensor(train)), GRID).numpy() for train, _ in case.rows] for x in made]


def himalaya(case: SimpleNamespace, penalties: list[list[np.ndarray]]) -> tuple[np.ndarray, list]:
    """Mean r of each layer and fold, and the chosen penalties, by KernelRidgeCV on centred features."""
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import KernelRidgeCV

    set_backend("torch", on_error="raise")
    r, chosen = [], []
    for x, by_fold in zip(case.layers, penalties):
        for number, ((train, test), alphas) in enumerate(zip(case.rows, by_fold)):
            others = [b for f, (_, b) in enumerate(case.rows) if f != number]
            place = {row: at for at, row in enumerate(train)}
            inner = [np.asarray([place[i] for i in b]) for b in others]
            splits = [(np.setdiff1d(np.arange(len(train)), b), b) for b in inner]
            mean = x[train].mean(dim=0)
            fit = KernelRidgeCV(alphas=alphas, cv=splits, fit_intercept=True, solver_params={"n_alphas_batch": 1})
            fit.fit(x[train] - mean, case.y[train])
            predicted = fit.predict(x[test] - mean)
            r.append(pearson(torch.as_tensor(predicted), case.y[test]).numpy())
            chosen.append(np.asarray(fit.best_alphas_))
    return np.stack(r), chosen


def sklearn_loo(case: SimpleNamespace, penalties: list[list[np.ndarray]]) -> np.ndarray:
    """Mean r of each layer and fold by RidgeCV(alpha_per_target=True)."""
    from sklearn.linear_model import RidgeCV

    r = []
    for x, by_fold in zip(case.layers, penalties):
        for (train, test), alphas in zip(case.rows, by_fold):
            fit = RidgeCV(alphas=alphas, alpha_per_target=True).fit(x[train].numpy(), case.y[train].numpy())
            predicted = torch.as_tensor(fit.predict(x[test].numpy())).float()
            r.append(pearson(predicted, case.y[test]).numpy())
    return np.stack(r)


def floor_flops(case: SimpleNamespace) -> float:
    """Multiply-adds times 2 of the GCV path's own products: coordinates, residual sums, predictions."""
    t, total = case.y.shape[1], 0
    for x in case.layers:
        for train, test in case.rows:
            k = min(x.shape[1], len(train) - 1)
            total += 2 * t * k * (len(train) + len(GRID) + 1 + len(test))
    return float(total)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a tenth of the neuroids, to see that it runs")
    small = parser.parse_args().small
    warnings.simplefilter("ignore")
    print(f"machine: {machine()}; float32 GEMM {gemm_rate() / 1e9:.0f} GFLOP/s")
    case = problem(1000, 768, 2000 if small else 20_000, 2)
    penalties = grids(case)
    rate = gemm_rate()
    gcv, scores = timed(lambda: ours(case, "gcv"), repeats=2)
    floor = floor_flops(case) / max(rate, gemm_rate())
    peer, (r_peer, chosen) = timed(lambda: himalaya(case, penalties), repeats=1)
    r_gcv = np.concatenate([s.folds for s in scores])
    kfold, scores = timed(lambda: ours(case, "kfold"), repeats=1)
    r_kfold = np.concatenate([s.folds for s in scores])
    index = np.concatenate([s.extras["penalty"] for s in scores])
    flat = [alphas for layer in penalties for alphas in layer]
    agree = np.stack([np.isclose(a[i], c, rtol=1e-4) for a, i, c in zip(flat, index, chosen)])
    apart = np.nanmax(np.abs(r_kfold - r_peer)[agree])
    same = f"{100 * agree.mean():.2f} % of penalties the same; r there apart by {apart:.1e} at most"
    off = f"mean r apart by {abs(r_gcv.mean() - r_peer.mean()):.4f}"
    n, t = case.y.shape
    table(
        f"Ridge, n = {n}, p = 768, t = {t:,}, 10 penalties, 5 outer folds, 2 layers",
        ("contender", "seconds", "ours is quicker by", "mean r", "agreement"),
        [
            ("himalaya 0.4.11 KernelRidgeCV, torch, 4 inner folds", f"{peer:.1f}", "", f"{r_peer.mean():.4f}", ""),
            ("brainbench, gcv", f"{gcv:.2f}", f"{peer / gcv:.1f}x", f"{r_gcv.mean():.4f}", off),
            ("brainbench, kfold, same folds", f"{kfold:.2f}", f"{peer / kfold:.1f}x", f"{r_kfold.mean():.4f}", same),
            ("floor: the float32 products of gcv", f"{floor:.2f}", f"gcv takes {gcv / floor:.2f}x", "", ""),
        ],
    )

    case = problem(1000, 768, 2000 if small else 20_000, 9)
    nine, scores = timed(lambda: ours(case, "gcv"), repeats=1)
    weights, neuroids = multiplicities(case.ids, 1000, seed_of("0" * 32, "stimuli")), np.arange(case.y.shape[1])
    some = np.array_split(neuroids, max(1, len(neuroids) // 400))  # as many at a time as `aggregate` takes
    replicates, _ = timed(lambda: [scores[0].resample(weights, range(5), at) for at in some], repeats=1)
    table(
        f"Replicates, n = {n}, p = 768, t = {t:,}, 5 folds",
        ("part", "seconds", "of the nine layers"),
        [("nine layers", f"{nine:.1f}", ""), ("1,000 replicates", f"{replicates:.1f}", f"{replicates / nine:.0%}")],
    )

    case = problem(1000, 768, 500 if small else 5000, 1)
    penalties = grids(case)
    loo, scores = timed(lambda: ours(case, "loo"), repeats=2)
    peer, r_peer = timed(lambda: sklearn_loo(case, penalties), repeats=1)
    apart = np.quantile(np.abs(scores[0].folds - r_peer), 0.999)
    table(
        f"Leave-one-out, n = 1000, p = 768, t = {case.y.shape[1]:,}, 10 penalties, 5 outer folds, 1 layer",
        ("contender", "seconds", "ours is quicker by", "agreement"),
        [
            ("scikit-learn RidgeCV(alpha_per_target=True)", f"{peer:.1f}", "", ""),
            ("brainbench, loo", f"{loo:.2f}", f"{peer / loo:.1f}x", f"r of 99.9 % of neuroids apart by {apart:.0e}"),
        ],
    )


if __name__ == "__main__":
    main()
