"""Entries, submissions and boards of any size for tests: valid ones, from one real benchmark's facts."""

import functools
import json

import numpy as np

from brainbench.benchmarks import known
from brainbench.core.specs import LayerSpec, ModelSpec, Preprocessing, fingerprint, plain
from brainbench.datasets import DATASETS
from brainbench.entry import Entry, Layer, Optimistic, Subject
from brainbench.leaderboard.board import Row
from brainbench.leaderboard.cards import as_toml, card_of
from brainbench.leaderboard.submit import text_of
from brainbench.numerics.resampling import interval
from brainbench.scorers import SCORERS
from brainbench.time_course import time_course

LAYERS = tuple(LayerSpec(name=f"blocks.{n}", depth=(n + 1) / 9, pooling="flatten") for n in range(9))
PROVENANCE = {
    "brainbench": "0.1.0",
    "python": "3.11.7",
    "packages": {"torch": "2.13.0"},
    "platform": "Linux x86_64",
    "device": "cpu",
    "threads": 1,
    "created": "2026-01-01T00:00:00+00:00",
}


def spec(name="timm:made", weights="0" * 64):
    source = name.partition(":")[0]
    return ModelSpec(id=name, source=source, weights=weights, preprocessing=Preprocessing(), layers=LAYERS)


def entry(name="timm:made", benchmark="insilico.V4-ridge", *, raw=0.4, seed=0, weights=None, **other):
    """A valid entry: every number hangs together, replicates of one benchmark share most of their noise."""
    b, of_data = known()[benchmark], DATASETS[known()[benchmark].dataset].spec
    model = spec(name, weights or fingerprint(name))
    own, shared = np.random.default_rng([seed, 1]), np.random.default_rng(int(identity(b.id)[1][:8], 16))
    replicates = [round(float(r), 6) for r in raw + 0.03 * shared.normal(size=1000) + 0.01 * own.normal(size=1000)]
    low, high = interval(np.asarray(replicates))
    subjects = () if not b.region else b.subjects or of_data.subjects
    parts = [Subject(raw=raw, ceiling=0.64, normalized=raw**2 / 0.64, n_neuroids=50) for _ in subjects]
    has = b.ceiling != "none"
    parts = [p if has else p.model_copy(update={"ceiling": None, "normalized": None}) for p in parts]
    curve = [raw - 0.02 * abs(n - 5) for n in range(9)]
    n_folds = b.split.n_folds * b.split.n_repeats
    facts = {
        "benchmark": b.id,
        "benchmark_fingerprint": identity(b.id)[1],
        "benchmark_identity": identity(b.id)[0],
        "synthetic": of_data.synthetic,
        "model": name,
        "model_fingerprint": fingerprint(model),
        "model_identity": plain(model),
        "status": "ok",
        "scorer": f"{b.scorer} {SCORERS[b.scorer].spec.version}",
        "scale": SCORERS[b.scorer].spec.scale,
        "raw": sum(p.raw for p in parts) / len(parts) if parts else raw,
        "ceiling": 0.64 if has and parts else None,
        "ceiling_scale": "r2",
        "ceiling_method": "split-half",
        "normalized": sum(p.normalized for p in parts) / len(parts) if has and parts else None,
        "low": low,
        "high": high,
        "resampled": "400 stimuli, 3 subjects",
        "layer": "blocks.5",
        "layer_by_fold": ["blocks.5"] * n_folds,
        "layers": [
            Layer(layer=s.name, pooling=s.pooling, depth=s.depth, train=value, raw=value)
            for s, value in zip(LAYERS, curve)
        ],
        "optimistic": Optimistic(layer="blocks.5", raw=raw, gap=0.0),
        "per_subject": dict(zip(subjects, parts)),
        "n_stimuli": 400,
        "n_neuroids": max(1, 50 * len(parts)),
        "replicates": replicates,
        "provenance": PROVENANCE,
        "time_course": None if b.window_s is None else over_time(b.window_s),
    }
    return Entry(**{**facts, **other})


def over_time(window_s):
    """A course of 9 layers that rises at 0.1 s and is highest at 0.2 s."""
    rng, raw = np.random.default_rng(0), np.array([0, 0, 0.2, 0.3, 0.4, 0.1, 0])
    replicates = raw + 0.02 * rng.normal(size=(1000, 7))
    return time_course(
        np.arange(7) / 20, raw, replicates, ceiling=np.full(7, 0.5), layer_raw=np.tile(raw, (9, 1)), window_s=window_s
    )


def card(of, **other):
    facts = {
        "schema_version": 1,
        "model": of.model,
        "model_fingerprint": of.model_fingerprint,
        "submission": "rebuildable",
        "weights_sha256": of.model_identity["weights"],
        "title": of.model.partition(":")[2] or "made",
        "family": "cnn",
        "supervision": "supervised",
        "training_data": ["ImageNet-1k"],
        "trained_on_brain_data": False,
        "trained_on_benchmark_stimuli": False,
        "licence": "MIT",
        "submitter": "tests",
    }
    return facts | other


def submitted(root, *entries, **facts):
    """Writes a submission into `root/results`; gives its folder."""
    folder = root / "results" / entries[0].path.parts[0]
    folder.mkdir(parents=True, exist_ok=True)
    for e in entries:
        (folder / e.path.name).write_text(text_of(e))
    (folder / "model.toml").write_text(as_toml(card(entries[0], **facts)))
    return folder


def edited(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields, indent=1) + "\n")


@functools.cache
def identity(benchmark):
    return known()[benchmark].identity, known()[benchmark].fingerprint


def rows(n_models, benchmarks=None, **facts):
    """Rows of a board without files."""
    found = []
    for m in range(n_models):
        for b in benchmarks or sorted(known()):
            of = entry(f"timm:made{m}", b, raw=0.2 + 0.4 * m / n_models + 0.01 * (len(b) % 7), seed=m)
            one = card_of(card(of, family=("cnn", "transformer")[m % 2], **facts))
            found.append(Row(entry=of, card=one, folder=str(of.path.parts[0])))
    return found
