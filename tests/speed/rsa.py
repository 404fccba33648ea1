"""RDM bootstraps against rsatoolbox: `python tests/speed/rsa.py [--small]`.

One RDM a layer and one a subject, all synthetic. Both score the same samples of stimuli, rsatoolbox fewer of them.
"""

from __future__ import annotations

import argparse
import io
import warnings
from contextlib import redirect_stderr
from functools import partial

import numpy as np
import pandas as pd
import torch
from _table import machine, table, timed

from brainbench.core.arrays import RDMs
from brainbench.core.splits import grouped_folds
from brainbench.numerics.rdm_resampling import resampled
from brainbench.numerics.representation import Representation
from brainbench.numerics.resampling import multiplicities
from brainbench.scorers.rsa import RSA


def rdms(n: int, count: int, seed: int) -> torch.Tensor:
    """Correlation RDMs (count, n, n) of random responses that share a part."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, 20))
    return torch.stack(
        [torch.as_tensor(1 - np.corrcoef(np.hstack([shared, rng.normal(size=(n, 20))]))) for _ in range(count)]
    )


def ours(layers: torch.Tensor, subjects: torch.Tensor, weights: torch.Tensor, how: str) -> np.ndarray:
    """(sample, layer): mean over subjects."""
    return resampled(layers, subjects, weights, how).mean(dim=2).numpy()


def peer(layers: torch.Tensor, subjects: torch.Tensor, draws: np.ndarray, how: str) -> np.ndarray:
    """The same by rsatoolbox 0.3.2, sample by sample, as its bootstraps do."""
    from rsatoolbox import rdm

    models, brains = rdm.RDMs(layers.numpy()), rdm.RDMs(subjects.numpy())
    out = []
    for draw in draws:
        a = models.subsample_pattern("index", draw)
        b = brains.subsample_pattern("index", draw)
        out.append(rdm.compare(a, b, method={"pearson": "corr", "spearman": "spearman"}[how]).mean(axis=1))
    return np.stack(out)


def peers_bootstrap(layers: torch.Tensor, subjects: torch.Tensor, n_samples: int, how: str) -> float:
    """Milliseconds a sample of the bootstrap that rsatoolbox offers: stimuli and subjects (Pearson), or stimuli."""
    from rsatoolbox import inference, model, rdm

    fixed = [model.ModelFixed(str(number), rdm.RDMs(layer.numpy()[None])) for number, layer in enumerate(layers)]
    brains = rdm.RDMs(subjects.numpy())
    if how == "pearson":
        run = partial(inference.eval_dual_bootstrap, fixed, brains, method="corr", N=n_samples)
    else:
        run = partial(inference.eval_bootstrap_pattern, fixed, brains, method="spearman", N=n_samples)
    with redirect_stderr(io.StringIO()):  # its progress bar
        return 1e3 * timed(run, repeats=1)[0] / n_samples


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="few samples, to see that it runs")
    small = parser.parse_args().small
    warnings.simplefilter("ignore")
    print(f"machine: {machine()}")
    rows = []
    for n in (92, 500):
        layers, subjects = rdms(n, 20, 0), rdms(n, 8, 1)
        for how in ("pearson", "spearman"):
            few, many = (2, 20) if small else (10 if n == 92 else 2, 1000 if how == "pearson" or n == 92 else 300)
            draws = np.random.default_rng(2).integers(n, size=(many, n))
            weights = torch.as_tensor(np.stack([np.bincount(draw, minlength=n) for draw in draws]), dtype=torch.float32)
            peer(layers, subjects, draws[:1], how)  # its imports are not its speed
            theirs, expected = timed(partial(peer, layers, subjects, draws[:few], how), repeats=3)
            mine, got = timed(partial(ours, layers, subjects, weights, how), repeats=3)
            apart = np.abs(got[:few] - expected).max()
            theirs, mine = 1e3 * theirs / few, 1e3 * mine / many
            offered = peers_bootstrap(layers, subjects, few, how)
            times = (f"{offered:.1f}", f"{theirs:.1f}", f"{mine:.3f}")
            rows.append((str(n), how, *times, f"{offered / mine:.0f}x", f"{theirs / mine:.0f}x", f"{apart:.0e}"))
    table(
        "Bootstrap over stimuli, 20 layers, 8 subjects: milliseconds a sample",
        (
            "stimuli",
            "comparison",
            "rsatoolbox 0.3.2, its bootstrap",
            "its subsampling and comparison alone",
            "brainbench",
            "quicker than the bootstrap by",
            "than the comparison alone by",
            "largest difference, same samples",
        ),
        rows,
    )
    one_layer()


def one_layer() -> None:
    """One layer against four subjects, 92 stimuli dealt into halves five times: what a benchmark asks for."""
    ids = tuple(f"s{i}" for i in range(92))
    target = RDMs(stimulus_ids=ids, subjects=tuple("abcd"), values=rdms(92, 4, 1).numpy())
    stimuli = pd.DataFrame({"sha256": ids}, index=pd.Index(ids, name="stimulus_id"))
    split = grouped_folds(stimuli, n_folds=2, n_repeats=5, seed=1)
    features = torch.as_tensor(np.random.default_rng(0).normal(size=(92, 60)))
    layer = Representation.from_features(features, ids)
    weights = multiplicities(ids, 1000, np.random.SeedSequence(0))
    rows = []
    for how in ("pearson", "spearman"):
        run = partial(RSA(comparison=how).score, layer, target, split, seed=0, device="cpu")
        seconds, score = timed(run)
        again, _ = timed(partial(score.resample, weights, range(10), np.arange(4)))
        rows.append((how, f"{1e3 * seconds:.0f}", f"{1e3 * again:.0f}"))
    table("One layer, 4 subjects, 10 folds of 46 of 92 stimuli: ms", ("comparison", "score", "1000 replicates"), rows)


if __name__ == "__main__":
    main()
