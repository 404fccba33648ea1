"""Matching as a scorer: known partners are found, by training stimuli alone, and channels are the units."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from brainbench import models, reading, runner, settings
from brainbench.benchmarks import known
from brainbench.checks._recording import recording, represented, scored, signals
from brainbench.core.arrays import Block
from brainbench.core.splits import Fold, Split
from brainbench.errors import UsageError
from brainbench.numerics.representation import Representation
from brainbench.scorers.matching import PARTNERS, PENALTIES, Matching

N = 120
IDS = tuple(f"s{i:03d}" for i in range(N))
SPLIT = Split(
    folds=tuple(Fold(train=tuple(i for i in IDS if i not in IDS[k::4]), test=IDS[k::4]) for k in range(4)),
    unit={i: i for i in IDS},
)


def score(x, y, partners):
    names = tuple(f"n{k}" for k in range(y.shape[1]))
    block = Block(stimulus_ids=IDS, neuroid_ids=names, regions=("V4",) * len(names), values=y[:, None].astype("f4"))
    layer = Representation.from_features(torch.as_tensor(x), IDS)
    return Matching(partners=partners).score(layer, block, SPLIT, seed=0, device="cpu")


@pytest.mark.parametrize("partners", PARTNERS)
def test_noisy_copies_of_permuted_units_are_found(partners):
    """y = x in another order + noise of sd .5: mean r is 1 / sqrt(1 + .25) (METHODS.md 8), here of 30 test stimuli."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 12))
    found = score(x, x[:, rng.permutation(12)] + 0.5 * rng.normal(size=(N, 12)), partners)
    assert found.raw.mean() == pytest.approx(0.8944, abs=0.02)
    assert found.train.mean() == pytest.approx(0.8944, abs=0.02)


@pytest.mark.parametrize(("partners", "expected"), [("semi", (1, 1, 1)), ("bipartite", (1, 1, 0)), ("soft", None)])
def test_one_unit_may_serve_one_neuroid_or_many(partners, expected):
    """Three neuroids that are copies of two units: one to one, a copy is left with nobody and scores 0."""
    x = np.random.default_rng(1).normal(size=(N, 2))
    raw = score(x, x[:, [0, 1, 1]], partners).raw
    if partners == "soft":  # each unit has mass for one and a half neuroids
        assert raw.sum() == pytest.approx(2.5, abs=0.2) and raw.max() == pytest.approx(1)
    else:
        assert sorted(raw) == pytest.approx(sorted(expected))


@pytest.mark.parametrize("partners", PARTNERS)
def test_noise_has_no_partner(partners):
    """The best of 200 units is far above 0 where it was chosen, and at 0 on other stimuli."""
    rng = np.random.default_rng(2)
    found = score(rng.normal(size=(N, 200)), rng.normal(size=(N, 60)), partners)
    # where a penalty is chosen, the score inside is that of the best of eight
    for values in (found.folds, found.train) if partners != "sparse" else (found.folds,):
        assert abs(values.mean()) < 4 * values.mean(axis=0).std() / 60**0.5


def test_few_partners_together_do_what_one_cannot():
    """A neuroid that is the sum of three units: each alone correlates at 1/√3 at best, the three at 1."""
    x = np.random.default_rng(6).normal(size=(N, 30))
    y = np.stack([x[:, :3].sum(axis=1), x[:, 5]], axis=1)
    found, one = score(x, y, "sparse"), score(x, y, "semi")
    assert found.raw == pytest.approx([1, 1], abs=0.01) and one.raw[0] < 0.75
    partners = found.extras["n_partners"]
    assert partners.shape == (4, 2) and (partners[:, 0] >= 3).all() and partners[:, 1].max() < partners[:, 0].min()
    assert set(found.extras["penalty"].ravel()) <= set(PENALTIES) and one.extras == {}
    times = np.random.default_rng(7).integers(0, 3, size=(2, N)).astype(np.float32)
    assert found.resample(times, [3, 0], np.array([0])) == pytest.approx(1, abs=0.02)


def test_no_test_stimulus_has_a_say_in_the_penalty():
    rng = np.random.default_rng(8)
    x = rng.normal(size=(N, 20))
    y = x[:, :4] @ rng.normal(size=(4, 5)) + 2 * rng.normal(size=(N, 5))
    spoiled = y.copy()
    spoiled[0::4] = rng.normal(size=(N // 4, 5))  # the first fold's test stimuli
    ours, theirs = (score(x, responses, "sparse") for responses in (y, spoiled))
    for name in ("penalty", "n_partners"):
        assert (ours.extras[name][0] == theirs.extras[name][0]).all()
    assert (ours.train[0] == theirs.train[0]).all() and (ours.train[1] != theirs.train[1]).any()


def test_what_belongs_together_is_in_one_half(monkeypatch):
    """Pairs of twins: if a half could hold one of two, the inner score of noise would be that of a copy."""
    rng = np.random.default_rng(3)
    x, y = (np.repeat(rng.normal(size=(N // 2, k)), 2, axis=0) for k in (40, 20))
    groups = Split(
        folds=tuple(
            Fold(
                train=tuple(i for n, i in enumerate(IDS) if n // 2 % 4 != k),
                test=tuple(IDS[n] for n in range(N) if n // 2 % 4 == k),
            )
            for k in range(4)
        ),
        unit={i: f"g{n // 2:03d}" for n, i in enumerate(IDS)},
    )
    monkeypatch.setattr(f"{__name__}.SPLIT", groups)
    train = score(x, y, "semi").train
    assert abs(train.mean()) < 4 * train.mean(axis=0).std() / 20**0.5


def test_a_unit_that_is_constant_in_the_test_is_no_partner():
    x = np.random.default_rng(4).normal(size=(N, 1))
    x[0::4] = 1.0  # the first fold's test stimuli
    y = x.copy()
    y[0::4] = np.random.default_rng(5).normal(size=(N // 4, 1))
    folds = score(x, y, "semi").folds[:, 0]
    assert folds[0] == 0 and folds[1:] == pytest.approx(1)


def test_only_features_can_be_matched():
    case = recording(Matching())
    full = represented(case)
    gram = Representation.from_gram(full.gram, full.unit_mean, full.n_units, full.stimulus_ids)
    with pytest.raises(UsageError, match=r"LAYER:mean"):
        scored(Matching(), case, representation=gram)
    with pytest.raises(UsageError, match="semi, bipartite, soft, sparse"):
        Matching(partners="best")


def test_a_network_is_read_at_its_channels(tmp_path):
    """An entry says that maps were averaged over space; the model is the same model."""
    setting = settings.make_setting(device="cpu", cache_folder=tmp_path)
    model = models.load("insilico:cascade")
    read = reading.as_read(model, Matching())
    assert read.spec == replace(model.spec, layers=read.spec.layers)
    pooled = {layer.pooling for layer in read.spec.layers}
    assert not any(name.startswith("grid") for name in pooled)
    benchmark = known()["insilico.V1-semi"].model_copy(update={"baselines": (), "subjects": ("s1",)})
    (entry,) = runner.run(model, [benchmark], setting)
    assert entry.status == "ok" and {layer.pooling for layer in entry.layers} == pooled
    assert 0 < entry.raw < 1 and entry.low < entry.raw < entry.high


def test_maps_of_a_bundled_network_are_averaged_over_space():
    model = models.load("bundled:efficientnet_lite0")
    assert "grid14" in {layer.pooling for layer in model.spec.layers}
    read = reading.as_read(model, Matching())
    assert [layer.name for layer in read.spec.layers] == [layer.name for layer in model.spec.layers]
    assert {layer.pooling for layer in read.spec.layers} == {"mean", "flatten"}


def test_soft_matching_knows_signals_of_their_own():
    case = recording(Matching())
    raw = scored(Matching(partners="soft"), case, features=signals(case)).raw
    assert np.median(raw**2 / case.ceiling.value) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("partners", PARTNERS)
@pytest.mark.parametrize("beside", ["region", "bin", "incomplete", "silent in a test"])
def test_what_stands_beside_a_region_takes_none_of_its_partners(partners, beside):
    """Copies of the units that would match better than the neuroids do, elsewhere or without a score of their own."""
    rng = np.random.default_rng(9)
    x = rng.normal(size=(N, 4))
    y, better = x + 0.5 * rng.normal(size=(N, 4)), x + 0.1 * rng.normal(size=(N, 4))
    if beside == "incomplete":
        better[0] = np.nan
    if beside == "silent in a test":
        better[0::4] = 0  # the first fold's
    both = Block(
        stimulus_ids=IDS,
        neuroid_ids=tuple(f"n{k}" for k in range(8)),
        regions=("V4",) * 4 + ("IT" if beside == "region" else "V4",) * 4,
        values=np.concatenate([y, better], axis=1)[:, None].astype("f4"),
        times=(0.0,) * 4 + (0.1,) * 4 if beside == "bin" else (),
    )
    layer, scorer = Representation.from_features(torch.as_tensor(x), IDS), Matching(partners=partners)
    alone, found = (scorer.score(layer, b, SPLIT, seed=0, device="cpu") for b in (both.columns(slice(4)), both))
    for name in ("folds", "train", "luck"):
        np.testing.assert_allclose(getattr(found, name)[:, :4], getattr(alone, name), atol=1e-9)
    if partners in ("bipartite", "soft"):
        assert scorer.joint and alone.raw.min() > 0.8
    if beside in ("incomplete", "silent in a test"):
        assert np.isnan(found.raw[4:]).all() and all(found.reason[4:])


def test_memory_parts_no_region_of_neuroids_that_share_partners(tmp_path):
    benchmark = known()["insilico.V4-ridge"].model_copy(
        update={
            "id": "insilico.V4-bipartite",
            "scorer": "matching",
            "params": {"partners": "bipartite"},
            "baselines": (),
        }
    )
    model = models.load("baseline:pixels", roots={})
    raw = []
    for number, memory in enumerate((None, 0.0012)):
        setting = settings.make_setting(device="cpu", cache_folder=tmp_path / str(number), max_memory=memory)
        raw.append(runner.run(model, [benchmark], setting)[0].raw)
    assert raw[0] == raw[1]


def test_each_folds_own_training_stimuli_are_halved():
    """Four groups in two folds: halves of all four might leave both of a fold's on one side, and no layer chosen."""
    rng = np.random.default_rng(10)
    x = rng.normal(size=(N, 5))
    for others in ((0, 1), (0, 2), (0, 3)):
        group = {i: f"g{n % 4}" for n, i in enumerate(IDS)}
        sides = [tuple(i for i in IDS if (int(group[i][1]) in others) == side) for side in (True, False)]
        folds = (Fold(train=sides[0], test=sides[1]), Fold(train=sides[1], test=sides[0]))
        layer = Representation.from_features(torch.as_tensor(x), IDS)
        block = Block(stimulus_ids=IDS, neuroid_ids=("n",), regions=("V4",), values=x[:, None, :1].astype("f4"))
        found = Matching().score(layer, block, Split(folds=folds, unit=group), seed=0, device="cpu")
        assert found.train == pytest.approx(1)


@pytest.mark.parametrize("partners", PARTNERS)
def test_a_sample_without_the_neuroid_has_no_score_and_one_without_the_unit_has_0(partners):
    rng = np.random.default_rng(11)
    y = rng.normal(size=(N, 2))
    y[0::8, 0] = 1.0  # the neuroid says the same of half of the first fold's test stimuli,
    x = y.copy()
    x[4::8, 1] = 2.0  # and the other's unit of the other half
    found = score(x, y, partners)
    weights = np.zeros((2, N), dtype=np.float32)
    weights[0, 0::8], weights[1, 4::8] = 1, 1
    drawn = found.resample(weights, [0], np.arange(2))[:, 0]
    assert np.isnan(drawn[0, 0]) and np.isfinite(drawn[1]).all()
    if partners == "semi":
        assert drawn[1] == pytest.approx([1, 0])


def test_luck_is_what_other_training_stimuli_would_have_chosen():
    """None where there is one unit, next to none where the partner is plain, and nearly all in noise."""
    rng = np.random.default_rng(12)
    x, noise = rng.normal(size=(N, 30)), rng.normal(size=(N, 20))
    assert score(x[:, :1], noise, "semi").luck == pytest.approx(0)
    assert score(x, x[:, :20], "semi").luck == pytest.approx(0) and score(x, x[:, :20], "sparse").luck.max() < 0.02
    assert score(x, noise, "semi").luck.mean() > 0.7 and score(x, noise, "sparse").luck.mean() > 0.7
