"""Writes golden.json: what other people's code says of fixed inputs. Run it by hand when a library is raised:

    python tests/golden/make.py

Inputs are drawn here and stored with the outputs, so a later change of a random generator moves nothing.
"""

import json
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np


def entry(library: str, inputs: dict, output: np.ndarray) -> dict:
    return {
        "library": library,
        "version": version(library),
        "inputs": {name: np.asarray(value).tolist() for name, value in inputs.items()},
        "output": np.asarray(output).tolist(),
    }


def main() -> None:
    warnings.simplefilter("ignore")
    import rsatoolbox
    import scipy.stats
    from himalaya.kernel_ridge import KernelRidgeCV
    from sklearn.linear_model import Ridge, RidgeCV

    rng = np.random.default_rng(20_261_121)
    x, more = rng.normal(size=(24, 40)) + 1, rng.normal(size=(6, 40)) + 1
    y = x[:, :3] @ rng.normal(size=(3, 5)) + rng.normal(size=(24, 5))
    alphas = np.logspace(-1, 3, 5)
    folds = [(np.flatnonzero(np.arange(24) % 4 != k), np.flatnonzero(np.arange(24) % 4 == k)) for k in range(4)]
    centred = x - x.mean(axis=0)
    kernel = KernelRidgeCV(alphas=alphas, cv=folds, kernel="linear", fit_intercept=True)
    kernel.fit(centred, y - y.mean(axis=0))
    patterns = [rng.normal(size=(9, 30)) + 0.5 for _ in range(4)]
    rdms = [rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(p), method="correlation") for p in patterns]
    condensed = np.stack([r.dissimilarities[0] for r in rdms])
    names = {"spearman": "spearman", "pearson": "corr", "cosine": "cosine", "kendall": "tau-a"}
    ties = rng.integers(0, 5, 30).astype(float)
    golden = {
        "ridge": entry(
            "scikit-learn", {"x": x, "y": y, "new": more, "alphas": alphas}, Ridge(alpha=alphas).fit(x, y).predict(more)
        ),
        "ridge_loo": entry(
            "scikit-learn", {"x": x, "y": y, "alphas": alphas}, RidgeCV(alphas, alpha_per_target=True).fit(x, y).alpha_
        ),
        "ridge_kfold": entry(
            "himalaya",
            {"x": centred, "y": y - y.mean(axis=0), "alphas": alphas, "fold": np.arange(24) % 4},
            kernel.best_alphas_,
        ),
        "rdm_correlation": entry("rsatoolbox", {"x": patterns[0]}, condensed[0]),
        "midranks": entry("scipy", {"x": ties}, scipy.stats.rankdata(ties)),
    }
    for ours, theirs in names.items():
        golden[f"compare_{ours}"] = entry(
            "rsatoolbox",
            {"x": condensed[0], "y": condensed[1:]},
            [rsatoolbox.rdm.compare(rdms[0], r, method=theirs)[0, 0] for r in rdms[1:]],
        )
        golden[f"ceiling_{ours}"] = entry(
            "rsatoolbox",
            {"rdms": condensed},
            rsatoolbox.inference.boot_noise_ceiling(rsatoolbox.rdm.concat(rdms), method=theirs),
        )
    Path(__file__).with_name("golden.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
