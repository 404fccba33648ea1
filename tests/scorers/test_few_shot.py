"""Few-shot readouts: draws, the two variants of ridge, the curve, and the refusal of what a checkpoint has seen."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as Theirs

from brainbench import datasets, models
from brainbench.analysis.few_shot import few_shot
from brainbench.analysis.subsampling import subsample
from brainbench.benchmarks import known
from brainbench.checks._recording import recording, represented, scored
from brainbench.core.stimuli import StimulusSet
from brainbench.errors import InputError, LeakageError, NotApplicableError, UsageError
from brainbench.in_context import checkpoint
from brainbench.numerics.correlation import pearson
from brainbench.numerics.representation import Representation
from brainbench.runner import run
from brainbench.scorers.few_shot import GRID, FewShotRidge, InContext, _shuffled
from brainbench.settings import make_setting
from brainbench.targets import refuse_seen, shared, targets


@pytest.fixture(scope="module")
def case():
    return recording(FewShotRidge())


def test_draws_are_disjoint_slices_of_one_shuffle_and_no_more_than_asked():
    scorer = FewShotRidge(support=30, n_draws=4)
    draws = scorer._draws(torch.arange(100), 30)
    assert [d.tolist() for d in draws] == [list(range(0, 30)), list(range(30, 60)), list(range(60, 90))]
    assert len(scorer._draws(torch.arange(1000), 30)) == 4


def test_the_shuffle_hangs_on_names():
    names = ["d", "a", "c", "b"]
    again = ["a", "b", "c", "d"]
    assert [names[i] for i in _shuffled(names, 3)] == [again[i] for i in _shuffled(again, 3)]


@pytest.mark.parametrize("variant", ["refit", "fold_averaged"])
def test_predictions_are_those_of_sklearn(variant):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(40, 6)), rng.normal(size=(6, 2))
    y = x @ w + rng.normal(size=(40, 2))
    draw, rows = np.arange(25), np.arange(25, 40)
    scorer = FewShotRidge(variant=variant)
    representation = Representation.from_features(torch.tensor(x), [str(i) for i in range(40)])
    context = torch.arange(25)
    ours = scorer.predictions(representation, context, torch.tensor(y[draw]), torch.tensor(rows)).numpy()
    centred = x[draw] - x[draw].mean(axis=0)
    alphas = np.array(GRID) * np.square(centred).sum() / 25

    def errors(parts):
        total = np.zeros((len(alphas), 2))
        for out in parts:
            kept = np.setdiff1d(draw, out)
            for at, alpha in enumerate(alphas):
                total[at] += np.square(Theirs(alpha=alpha).fit(x[kept], y[kept]).predict(x[out]) - y[out]).sum(axis=0)
        return total

    parts = np.array_split(draw, 25 if variant == "refit" else 5)
    best = errors(parts).argmin(axis=0)
    for column in range(2):
        alpha = alphas[best[column]]
        fits = [draw] if variant == "refit" else [np.setdiff1d(draw, out) for out in parts]
        each = [Theirs(alpha=alpha).fit(x[kept], y[kept, column]).predict(x[rows]) for kept in fits]
        expected = np.mean(each, axis=0)
        np.testing.assert_allclose(
            ours[:, column] - ours[:, column].mean(), expected - expected.mean(), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("variant", ["refit", "fold_averaged"])
def test_predictions_of_a_neuroid_without_signal_keep_their_digits(variant):
    """The largest penalty leaves predictions that vary by a ten-thousandth of the noise, here beside a mean of 3."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(100, k, dtype=torch.float64, generator=generator) for k in (300, 20))
    representation = Representation.from_features(x, [str(i) for i in range(100)])
    scorer, context, rows = FewShotRidge(variant=variant), torch.arange(50), torch.arange(50, 100)
    exact = scorer.predictions(representation, context, y[:50] + 3, rows)
    got = scorer.predictions(representation, context, (y[:50] + 3).float(), rows)
    assert pearson(got.double(), exact).min() > 1 - 1e-6


def test_more_stimuli_are_better_and_the_curve_holds_the_score(case):
    score = scored(FewShotRidge(support=50, sizes=(10, 50, 150, 1000)), case)
    curve = score.extras["support"]
    np.testing.assert_allclose(curve[..., 1], score.folds, atol=1e-6)
    means = np.nanmean(curve[..., :3], axis=(0, 1))
    assert means[0] < means[1] < means[2] and np.isnan(curve[..., 3]).all()


def test_without_a_checkpoint_it_is_ridge_with_a_fixed_penalty(case):
    score = scored(InContext(support=60), case)
    fixed = scored(FewShotRidge(support=60), case)
    assert abs(np.nanmean(score.folds) - np.nanmean(fixed.folds)) < 0.1


def test_points_pair_with_the_reference(case):
    b = known()["insilico.V4-ridge"]
    scorer = FewShotRidge()
    target = replace(targets(datasets.load("insilico", {}), [b], scorer)[0])
    features = Representation.from_features(
        torch.randn(len(target.stimuli.ids), 5, generator=torch.Generator().manual_seed(0)), target.stimuli.ids
    )
    points = few_shot({"a": (scorer, features), "b": (scorer, features)}, target, [20], reference="a")
    assert [p.difference for p in points] == [0, 0] and points[1].low == points[1].high == 0


@pytest.mark.parametrize("what", ["subjects", "sha256", "nothing"])
def test_a_checkpoint_that_saw_the_subject_or_a_picture_is_refused(what):
    b = known()["insilico.V4-ridge"]
    dataset = datasets.load("insilico", {})
    shas = list(dataset.stimuli().table["sha256"].dropna())
    seen = {
        "dataset": "insilico",
        "subjects": [dataset.spec.subjects[0]] if what == "subjects" else [],
        "sha256": shas[:1] if what == "sha256" else [],
    }
    found = targets(dataset, [b], FewShotRidge())
    scorer = type("Trained", (), {"seen": seen})()
    if what == "nothing":
        refuse_seen(scorer, dataset, found)
    else:
        with pytest.raises(LeakageError, match="trained on"):
            refuse_seen(scorer, dataset, found)


def test_near_copies_and_other_releases_of_a_recording_count_as_seen(monkeypatch):
    b = known()["insilico.V4-ridge"]
    dataset = datasets.load("insilico", {})
    (first, *_) = targets(dataset, [b], FewShotRidge())
    table = dataset.stimuli().table
    apart = table.assign(group=[f"g{n // 10}" for n in range(len(table))])
    grouped = type("D", (), {"spec": dataset.spec, "stimuli": lambda self: StimulusSet(name="d", table=apart)})()
    assert shared(grouped, first, "other", ["s1"], [table["sha256"].iloc[0]]) == ([], 10)
    assert shared(dataset, first, "other", ["s1"], [table["sha256"].iloc[0]]) == ([], 1)
    assert shared(dataset, first, "insilico", ["s1", "s9"], []) == (["s1"], 0)
    monkeypatch.setitem(datasets.RELEASES, "insilico_meg", "insilico")  # its subjects have the same names
    assert shared(dataset, first, "insilico_meg", ["s1", "s9"], []) == (["s1"], 0)
    monkeypatch.setitem(datasets.RELEASES, "henaff2021", "insilico")  # its have others, so nobody can be told apart
    assert shared(dataset, first, "henaff2021", ["m1"], []) == (["s1"], 0)


def test_what_makes_no_sense_is_refused(case):
    for options in ({"support": 2}, {"n_draws": 0}, {"variant": "mean"}, {"sizes": (1,)}):
        with pytest.raises(UsageError):
            FewShotRidge(**options)
    for options in ({"subsets": -1}, {"subsets": 2, "share": 1.2}, {"subsets": 2, "share": 0.1, "sizes": (10,)}):
        with pytest.raises(UsageError, match="cannot be read"):
            InContext(**options)
    with pytest.raises(InputError, match="no draw of 1000"):
        scored(FewShotRidge(support=1000), case)
    assert represented(case).n_units


def test_a_benchmark_is_scored_with_the_encoder_of_the_model(tmp_path):
    """Features of two checkpoints are equally many: one read by the other's encoder would be a score of nothing."""
    scorer = InContext(support=20)
    path = str(tmp_path / "mine.safetensors")
    assert scorer.of_model("in_context:small") == InContext(support=20, checkpoint="small")
    assert scorer.of_model(f"in_context:{path}").checkpoint == path
    with pytest.raises(NotApplicableError, match="for model in_context:small, not"):
        InContext(support=20, checkpoint="small").of_model(f"in_context:{path}")
    with pytest.raises(NotApplicableError, match="train one on a layer of it"):
        scorer.of_model("bundled:efficientnet_lite0")
    for benchmark in known().values():
        assert "checkpoint" not in benchmark.params, benchmark.id


def test_another_encoder_of_the_same_features_is_another_model(tmp_path):
    path = tmp_path / "mine.safetensors"
    found = checkpoint.load("small")
    checkpoint.save(found, path)
    same = models.load(f"in_context:{path}").spec
    assert same.weights == models.load("in_context:small").spec.weights
    reader = deepcopy(found.reader)
    with torch.no_grad():
        reader.log_noise += 1
    checkpoint.save(replace(found, reader=reader), path)
    assert models.load(f"in_context:{path}").spec.weights != same.weights
    checkpoint.save(replace(found, card=found.card | {"network": found.card["network"] | {"weights": "0" * 64}}), path)
    with pytest.raises(InputError, match="was trained on the features of weights 000000000000"):
        models.load(f"in_context:{path}")


def test_what_the_models_encoder_saw_is_no_test(tmp_path):
    """Which encoder reads is known with the model only."""
    found = checkpoint.load("small")
    saw = found.card["seen"] | {"dataset": "insilico", "subjects": ["s1"], "sha256": []}
    path = tmp_path / "mine.safetensors"
    checkpoint.save(replace(found, card=found.card | {"seen": saw}), path)
    few = {"id": "insilico.V4-few", "scorer": "in_context", "params": {"support": 50}, "baselines": ()}
    benchmark = known()["insilico.V4-ridge"].model_copy(update=few)
    setting = make_setting(device="cpu", cache_folder=tmp_path / "cache")
    (entry,) = run(models.load(f"in_context:{path}"), [benchmark], setting)
    assert entry.status == "failed" and "trained on subjects ['s1']" in entry.reason
    with pytest.raises(LeakageError, match="trained on"):
        subsample([models.load(f"in_context:{path}")], benchmark, setting)
    (entry,) = run(models.load("in_context:small"), [benchmark], setting)
    assert entry.status == "ok"


@pytest.mark.parametrize("dataset", ["cowley2023", "allen2021", "chang2019"])
def test_both_readouts_of_a_region_are_asked_the_same(dataset):
    asked = {id: b for id, b in known().items() if b.dataset == dataset and "-fewshot-" in id}
    assert len(asked) >= 2 and {b.scorer for b in asked.values()} == {"few_shot_ridge", "in_context"}
    for id, benchmark in asked.items():
        other = asked[id.replace("fewshot-in_context", "fewshot-ridge")]
        assert benchmark.params == other.params
        same = {"region", "subjects", "sessions", "stimuli", "split", "ceiling"}
        assert benchmark.model_dump(include=same) == other.model_dump(include=same)


def test_features_of_another_network_are_not_applicable_to_a_checkpoint(case):
    """An entry then says so, and a run of all benchmarks is no failure."""
    with pytest.raises(NotApplicableError, match="reads the 384 features of model in_context:small"):
        scored(InContext(support=20, checkpoint="small"), case)
