"""Few-shot readouts: draws, the two variants of ridge, the curve, and the refusal of what a checkpoint has seen."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import Ridge as Theirs
from torch import nn

from brainbench import datasets, models
from brainbench.analysis.few_shot import few_shot
from brainbench.analysis.subsampling import subsample
from brainbench.benchmarks import known
from brainbench.checks._recording import recording, represented, scored
from brainbench.core.arrays import Block
from brainbench.core.specs import Preprocessing, plain
from brainbench.core.splits import Fold, Split, grouped_folds
from brainbench.core.stimuli import StimulusSet
from brainbench.errors import InputError, LeakageError, NotApplicableError, UsageError
from brainbench.few_shots import few_shots
from brainbench.in_context import checkpoint
from brainbench.models.module import wrap
from brainbench.numerics.correlation import pearson
from brainbench.numerics.representation import Representation
from brainbench.reading import read
from brainbench.runner import control, run
from brainbench.scorers.few_shot import GRID, FewShotRidge, InContext, _luck, _parts, _shuffled, _together
from brainbench.settings import Silent, make_setting
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


def test_points_of_few_groups_and_no_ceiling_have_all_replicates_and_no_share(case):
    """Ten groups: in half of the replicates one of five folds has lost all of its stimuli."""
    b = known()["insilico.V4-ridge"]
    whole = targets(datasets.load("insilico", {}), [b], FewShotRidge())[0]
    ids = whole.data.stimulus_ids
    unit = {name: f"group {number % 10}" for number, name in enumerate(ids)}
    folds = [tuple(name for name in ids if int(unit[name][-1]) % 5 == fold) for fold in range(5)]
    split = Split(folds=tuple(Fold(train=tuple(n for n in ids if n not in set(t)), test=t) for t in folds), unit=unit)
    bound = whole.ceilings["split_half"]
    unbounded = {"split_half": replace(bound, value=np.full_like(bound.value, np.nan))}
    target = replace(whole, split=split, ceilings=unbounded)
    features = Representation.from_features(
        torch.randn(len(ids), 5, generator=torch.Generator().manual_seed(0)), target.stimuli.ids
    )
    readouts = {"a": (FewShotRidge(), features), "b": (FewShotRidge(n_draws=1), features)}
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("brainbench.analysis.few_shot.interval", lambda drawn: seen.append(drawn) or (0.0, 0.0))
        points = few_shot(readouts, target, [100], reference="a")
    assert all(np.isnan(point.share) for point in points)
    assert np.isfinite(seen[2]).all() and np.isnan(seen[3]).all()  # b's difference, its share


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


FEW = known()["insilico.V4-ridge"].model_copy(
    update={"id": "insilico.V4-few", "scorer": "in_context", "params": {"support": 50}, "baselines": ()}
)


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return make_setting(device="cpu", cache_folder=tmp_path_factory.mktemp("cache"))


def saved(path, **card):
    """The shipped encoder in a file, with other facts on its card."""
    found = checkpoint.load("small")
    checkpoint.save(replace(found, card=found.card | card), path)
    return models.load(f"in_context:{path}")


def test_a_benchmark_is_scored_with_the_encoder_of_the_model(tmp_path, setting):
    """Features of two checkpoints are equally many: one read by the other's encoder would be a score of nothing."""
    path = tmp_path / "mine.safetensors"
    other = deepcopy(checkpoint.load("small"))
    with torch.no_grad():
        other.reader.log_noise += 4
    checkpoint.save(other, path)
    mine, shipped = models.load(f"in_context:{path}"), models.load("in_context:small")
    path.unlink()  # a model is what was loaded, whatever becomes of the file
    raw = [run(model, [FEW], setting)[0].raw for model in (shipped, mine)]
    target = targets(datasets.load("insilico", {}), [FEW], FewShotRidge())[0]
    features = read(shipped, target.stimuli, setting)[0]
    for encoder, expected in zip(("small", other), raw):
        columns = InContext(support=50, encoder=encoder).score(
            features, target.data, target.split, seed=0, device="cpu"
        )
        assert abs(np.nanmedian(columns.raw) - expected) < 0.05
    assert raw[0] - raw[1] > 0.05
    assert mine.spec != shipped.spec


def test_models_without_an_encoder_are_not_applicable(setting):
    """No pictures, and no recording of responses, is read by an encoder of something else, or by none."""
    for name in ("baseline:pixels", "recording:insilico.IT"):
        (entry,) = run(models.load(name), [FEW], setting)
        assert entry.status == "not_applicable" and "has no in-context encoder" in entry.reason
        with pytest.raises(NotApplicableError, match="has no in-context encoder"):
            control(models.load(name), [FEW], setting, seed=0)
    net, see = nn.Sequential(nn.Conv2d(3, 4, 8)), Preprocessing(resize_px=8, crop_px=8)
    impostor = wrap(net, preprocess=see, name="in_context:small")
    with pytest.raises(NotApplicableError, match="has no in-context encoder"):
        InContext().of_model(impostor)
    with pytest.raises(UsageError, match="brings its own"):
        InContext(encoder="small").of_model(models.load("in_context:small"))
    assert not any("encoder" in benchmark.params for benchmark in known().values())


def test_all_that_an_encoder_is_and_saw_is_the_models_identity(tmp_path):
    path = tmp_path / "mine.safetensors"
    shipped, card = models.load("in_context:small").spec, checkpoint.load("small").card
    assert replace(saved(path).spec, id=shipped.id) == shipped
    more = saved(path, seen=card["seen"] | {"subjects": ["WE", "PE"]}).spec
    assert more.weights == shipped.weights and more.source != shipped.source
    reader = deepcopy(checkpoint.load("small").reader)
    with torch.no_grad():
        reader.log_noise += 1
    checkpoint.save(replace(checkpoint.load("small"), reader=reader), path)
    assert models.load(f"in_context:{path}").spec.weights != shipped.weights


@pytest.mark.parametrize("fact", ["weights", "source", "preprocessing"])
def test_an_encoder_is_refused_where_its_network_is_another(tmp_path, fact):
    network = checkpoint.load("small").card["network"]
    with pytest.raises(InputError, match=f"than the one here \\({fact} differ"):
        saved(tmp_path / "mine.safetensors", network=network | {fact: "another"})


OWN = """
def net():
    from brainbench import models
    base = models.load("bundled:efficientnet_lite0")
    return base.build(), lambda picture: -base.preprocess(picture)
"""


def test_an_encoder_sees_pictures_as_its_networks_own_preprocessing_shows_them(tmp_path, monkeypatch):
    (tmp_path / "negative_net.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    layer, picture = checkpoint.load("small").card["layer"], datasets.load("insilico").stimuli().image("insilico/0001")
    network = plain(models.load("module:negative_net:net", layers=[layer]).spec)
    model = saved(tmp_path / "mine.safetensors", model="module:negative_net:net", network=network)
    shipped = models.load("in_context:small")
    torch.testing.assert_close(model.preprocess(picture), -shipped.preprocess(picture))
    assert model.spec.preprocessing.code and not shipped.spec.preprocessing.code


def test_an_encoder_reads_one_layer():
    assert models.load("in_context:small", layers=["features:flatten"]).spec == models.load("in_context:small").spec
    with pytest.raises(UsageError, match="at its layer 'features' alone"):
        models.load("in_context:small", layers=["base.blocks.4:mean"])


def test_what_the_models_encoder_saw_is_no_test(tmp_path, setting):
    """Which encoder reads is known with the model only; what was scored before it saw the subject does not count."""
    path = tmp_path / "mine.safetensors"
    (entry,) = run(saved(path), [FEW], setting)
    assert entry.status == "ok"
    model = saved(path, seen={"dataset": "insilico", "subjects": ["s1"], "neuroids": [], "sha256": []})
    (entry,) = run(model, [FEW], setting)
    assert entry.status == "failed" and "trained on subjects ['s1']" in entry.reason
    for leak in (
        lambda: subsample([model], FEW, setting),
        lambda: few_shots(model.spec.id, "insilico.V4-ridge", [20], subject="s1", roots={}, progress=Silent),
    ):
        with pytest.raises(LeakageError, match="trained on subjects"):
            leak()


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
    with pytest.raises(NotApplicableError, match="reads 384 features, those of a model in_context:NAME"):
        scored(InContext(support=20, encoder="small"), case)


def grouped(n_groups=20, size=12, *, drift=3.0):
    """Movies of near-copies: the stimuli, a layer that codes what is shown, one that codes the movie, and responses."""
    rng = np.random.default_rng(0)
    movie = np.repeat(np.arange(n_groups), size)
    shown = rng.normal(size=(len(movie), 4))
    own = rng.normal(size=(n_groups, 40))[movie] + 0.01 * rng.normal(size=(len(movie), 40))
    y = shown @ rng.normal(size=(4, 10)) + drift * rng.normal(size=(n_groups, 10))[movie]
    ids = tuple(f"s{n:03d}" for n in range(len(movie)))
    table = pd.DataFrame({"sha256": ids, "group": [f"m{m:02d}" for m in movie]}, index=list(ids))
    split = grouped_folds(table, n_folds=5, seed=0)
    names = tuple(f"n{k}" for k in range(10))
    block = Block(stimulus_ids=ids, neuroid_ids=names, regions=("V4",) * 10, values=y[:, None].astype("f4"))
    layers = {"shown": shown, "movie": own}
    return block, split, {name: Representation.from_features(torch.tensor(x), ids) for name, x in layers.items()}


def test_nothing_is_chosen_on_what_belongs_to_the_draw():
    """The layer that codes movies predicts other frames of the draw's own movies, and nothing of any other movie."""
    block, split, layers = grouped()
    found = {n: FewShotRidge(support=60).score(x, block, split, seed=0, device="cpu") for n, x in layers.items()}
    assert abs(found["movie"].train.mean()) < 0.15 and abs(found["movie"].raw.mean()) < 0.15
    assert found["shown"].train.mean() > 0.1


def test_penalties_are_chosen_by_whole_groups():
    """By single stimuli the movie's layer would have the least penalty, and predictions as large as what it copies."""
    block, _, layers = grouped(n_groups=8)
    rows, y = torch.arange(72), torch.tensor(block.mean()[:72])
    parts = _parts(torch.arange(8).repeat_interleave(12)[:72])
    assert [part.tolist() for part in parts[:2]] == [list(range(24)), list(range(24, 36))] and len(parts) == 5
    assert torch.cat(parts).tolist() == list(range(72))
    scorer = FewShotRidge(support=72)
    whole, single = (scorer.predictions(layers["movie"], rows, y, torch.arange(72, 96), p) for p in (parts, None))
    assert whole.var() < 0.5 * single.var()


def test_a_shuffle_leaves_together_what_belongs_together():
    order, units = torch.tensor([4, 0, 3, 1, 5, 2]), torch.tensor([0, 0, 1, 1, 2, 2])
    assert _together(order, units).tolist() == [4, 5, 0, 1, 3, 2]
    assert _together(order, torch.arange(6)).tolist() == order.tolist()
    assert _parts(torch.tensor([2, 0, 1])) is None


def test_a_draw_leaves_others_to_choose_a_layer_on_and_is_of_several_groups(case):
    n = min(len(fold.train) for fold in case.split.folds)
    with pytest.raises(InputError, match="leaves 3 that"):
        scored(FewShotRidge(support=n - 3), case)
    block, split, layers = grouped(n_groups=10, size=30)
    with pytest.raises(InputError, match="of one group"):
        FewShotRidge(support=20).score(layers["shown"], block, split, seed=0, device="cpu")
    curve = FewShotRidge(support=100, sizes=(20, 100)).score(layers["shown"], block, split, seed=0, device="cpu")
    assert np.isfinite(curve.extras["support"][..., 1]).all()


def test_a_sample_without_the_neuroid_has_no_score():
    block, split, layers = grouped()
    silent = replace(block, values=block.values.copy())
    tests = [block.stimulus_ids.index(i) for i in split.folds[0].test]
    silent.values[tests[:24], :, 0] = 1.0
    score = FewShotRidge(support=60).score(layers["shown"], silent, split, seed=0, device="cpu")
    weights = np.zeros((1, len(block.stimulus_ids)), dtype=np.float32)
    weights[0, tests[:24]] = 1
    drawn = score.resample(weights, [0], np.arange(10))[0, 0]
    assert np.isnan(drawn[0]) and np.isfinite(drawn[1:]).all()


def test_luck_is_what_other_draws_would_have_shown():
    """Without anything to learn it is as much as the test stimuli's, so the score's variance is twice as large."""
    rng = np.random.default_rng(0)
    y = torch.tensor(rng.normal(size=(400, 200)))
    noise = [torch.tensor(rng.normal(size=(400, 200))) for _ in range(5)]
    same = torch.tensor(rng.normal(size=(400, 200)))
    assert _luck(noise, y).mean() == pytest.approx(1, abs=0.15)
    assert _luck([same + y] * 5, y) == pytest.approx(0, abs=1e-9) and (_luck([same], y) == 1).all()
