"""Levels of matching: known relations give known numbers, groups are those that were put in, draws are the same."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from brainbench.analysis.unit_matching import LEVELS, matched
from brainbench.core.splits import grouped_folds
from brainbench.errors import InputError
from brainbench.numerics.representation import Representation
from brainbench.scorers.ridge import Ridge

N = 300
IDS = tuple(f"s{i:03d}" for i in range(N))
TABLE = pd.DataFrame({"sha256": IDS}, index=pd.Index(IDS, name="stimulus_id"))
SPLIT = grouped_folds(TABLE, n_folds=5, seed=0)


def layer(x):
    return Representation.from_features(torch.as_tensor(x), IDS)


def found(x, y, **options):
    return matched(layer(x), layer(y), SPLIT, **({"names": ("a", "b"), "n_units": 256, "n_groups": 3} | options))


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(N, 12))


def r_of(pair):
    return {level.name: level.r for level in pair.levels}


def test_the_same_units_in_another_order_are_told_at_once(x):
    """With noise of sd .5 all levels are 1/√1.25 = .894, and no difference is above 0."""
    rng = np.random.default_rng(1)
    pair = found(x, x[:, rng.permutation(12)] + 0.5 * rng.normal(size=(N, 12)))
    assert list(r_of(pair)) == list(LEVELS) and list(r_of(pair).values()) == pytest.approx([0.894] * 4, abs=0.02)
    assert math.isnan(pair.levels[0].difference)
    for before, level in pairwise(pair.levels):
        assert level.difference == pytest.approx(level.r - before.r) and level.difference < 0.01
        assert level.difference_low <= level.difference <= level.difference_high
    assert all(level.low < level.r < level.high for level in pair.levels)
    assert [level.n_partners for level in pair.levels[:2]] == [1, 1] and pair.levels[3].n_partners == 12
    assert 1 <= pair.levels[2].n_partners < 8


def test_intervals_hold_what_other_training_stimuli_would_have_changed():
    """Of noise all is luck, so scores vary by twice what test stimuli alone show (docs/methods.md)."""
    held = {name: [] for name in LEVELS}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        pair = found(rng.normal(size=(N, 12)), rng.normal(size=(N, 1)))
        for level in pair.levels:
            held[level.name].append((level.r, (level.high - level.low) / 3.92))
    for name in ("one-to-one", "best partner", "all"):
        r, sd = np.asarray(held[name]).T
        assert sd.mean() == pytest.approx(2**0.5 / N**0.5, rel=0.15)  # 1 / sqrt(N) is that of r on all stimuli
        assert (abs(r) < 1.96 * sd).mean() >= 0.85


def test_a_rotation_is_found_by_all_together_and_not_by_one(x):
    turned = x @ np.linalg.qr(np.random.default_rng(2).normal(size=(12, 12)))[0]
    pair = found(x, turned)
    r = r_of(pair)
    assert r["one-to-one"] <= r["best partner"] < 0.75 and r["all"] > 0.99
    assert pair.levels[2].difference_low > 0 and pair.levels[2].n_partners > 6


def test_more_asked_than_there_are_leaves_some_without(x):
    """24 units that are copies of 12: half of them get nobody."""
    pair = found(x, np.concatenate([x, x], axis=1))
    r = r_of(pair)
    assert r["one-to-one"] == pytest.approx(0.5) and r["best partner"] == pytest.approx(1)
    assert pair.levels[1].difference == pytest.approx(0.5)


class LacksTheFifth(Ridge):
    def score(self, *args, **asked):
        score = super().score(*args, **asked)
        five = score.folds.shape[1] == 5
        return replace(score, folds=np.where(five & (np.arange(score.folds.shape[1]) == 4), np.nan, score.folds))


def test_a_unit_without_a_score_at_one_level_counts_at_none(x, monkeypatch):
    monkeypatch.setitem(LEVELS, "all", LacksTheFifth())
    y = x[:, :4] + np.random.default_rng(1).normal(size=(N, 4))
    with_it, without = found(x, np.concatenate([y, x[:, 5:6]], axis=1)), found(x, y)
    assert (with_it.n_second, without.n_second) == (5, 4)
    for level, expected in zip(with_it.levels[1:], without.levels[1:]):
        assert level.r == pytest.approx(expected.r) and level.n_partners == pytest.approx(expected.n_partners)
        assert (level.low, level.high) == pytest.approx((expected.low, expected.high))


def test_the_path_reaches_from_nothing_to_many(x):
    turned = x @ np.linalg.qr(np.random.default_rng(2).normal(size=(12, 12)))[0]
    path = found(x, turned).path
    assert path[0].r == 0 and path[0].n_partners == 0 and path[-1].r > 0.98 and path[-1].n_partners > 9
    assert all(a.penalty > b.penalty and a.n_partners <= b.n_partners for a, b in pairwise(path))


def test_groups_are_those_that_were_put_in():
    rng = np.random.default_rng(3)
    latent = rng.normal(size=(N, 3))
    x, y = (latent[:, at] + 0.7 * rng.normal(size=(N, len(at))) for at in ([0, 0, 1, 1, 1, 2, 2], [2, 0, 0, 1, 2, 2]))
    pair = found(x, y)
    assert sorted((g.n_first, g.n_second) for g in pair.groups) == [(2, 2), (2, 3), (3, 1)]
    for g in pair.groups:  # r of two units of one latent is 1 / 1.49
        assert g.within == pytest.approx(0.67, abs=0.12) and abs(g.outside) < 0.15
    c = np.asarray(pair.correlations)
    assert c.shape == (7, 6) and pair.borders[0][0] == pair.borders[1][0] == 0
    blocks = np.zeros_like(c)
    for top, left, g in zip(*pair.borders, pair.groups):
        blocks[top : top + g.n_first, left : left + g.n_second] = 1
    assert c[blocks == 1].min() > c[blocks == 0].max()


def test_units_that_do_not_vary_are_left_out_and_more_are_drawn_alike(x):
    dead = np.concatenate([x, np.ones((N, 2))], axis=1)
    pair = found(dead, dead)
    assert (pair.n_first, pair.of_first) == (12, 14) and r_of(pair)["one-to-one"] == pytest.approx(1)
    drawn = found(x, x, n_units=5)
    assert (drawn.n_first, drawn.n_second, drawn.of_second) == (5, 5, 12)
    assert r_of(drawn)["one-to-one"] == pytest.approx(1)
    with pytest.raises(InputError, match="no unit of b varies"):
        found(x, np.ones((N, 2)))
