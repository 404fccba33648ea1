"""Laws that hold for every input hypothesis can think of."""

import json
import math

import numpy as np
import pandas as pd
import scipy.stats
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from brainbench.core.arrays import blocks, responses_array, take
from brainbench.core.registry import Registry
from brainbench.core.specs import fingerprint
from brainbench.core.splits import check_leakage, grouped_folds
from brainbench.entry import Entry
from brainbench.errors import InputError, did_you_mean
from brainbench.numerics.correlation import midranks, pearson, weighted_pearson
from brainbench.numerics.rdm import COMPARISONS, compare, upper
from brainbench.numerics.rdm_resampling import resampled
from brainbench.numerics.resampling import multiplicities, seed_of
from brainbench.store import Store

settings.register_profile("brainbench", deadline=None, max_examples=40)
settings.load_profile("brainbench")

NUMBERS = st.floats(-1e3, 1e3, width=32)
FACTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(arrays(np.float64, st.tuples(st.integers(2, 20), st.integers(1, 3)), elements=NUMBERS))
def test_midranks_are_scipys(x):
    np.testing.assert_array_equal(midranks(torch.from_numpy(x)), scipy.stats.rankdata(x, axis=0))


@given(arrays(np.float64, (12, 2), elements=NUMBERS), st.floats(0.1, 100), st.floats(-100, 100))
def test_pearson_ignores_scale_and_offset_and_turns_with_the_sign(x, scale, offset):
    a, b = torch.from_numpy(x[:, :1]), torch.from_numpy(x[:, 1:])
    assume(min(a.std(), b.std()) > 1)
    r = pearson(a, b)
    assert -1 - 1e-9 <= float(r) <= 1 + 1e-9
    torch.testing.assert_close(pearson(a * scale + offset, b), r, atol=1e-8, rtol=0)
    torch.testing.assert_close(pearson(-a, b), -r, atol=1e-12, rtol=0)


@given(arrays(np.float64, (10, 2), elements=NUMBERS), arrays(np.int64, (3, 10), elements=st.integers(0, 3)))
def test_multiplicities_are_repeated_rows(x, counts):
    a, b = torch.from_numpy(x[:, :1].copy()), torch.from_numpy(x[:, 1:].copy())
    weights = torch.from_numpy(counts).double()
    assume((weights.sum(dim=1) > 1).all())
    for row, r in zip(counts, weighted_pearson(a, b, weights)):
        rows = np.repeat(np.arange(10), row)
        assume(min(a[rows].std(), b[rows].std()) > 1e-2)
        torch.testing.assert_close(r, pearson(a[rows], b[rows]), atol=1e-7, rtol=0)


@given(st.integers(4, 9), st.sampled_from(COMPARISONS), st.integers(0, 2**20))
def test_a_comparison_is_symmetric_bounded_and_blind_to_the_order_of_stimuli(n, how, seed):
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.rand(n, n, dtype=torch.float64, generator=generator) for _ in range(2))
    x, y = x + x.T, y + y.T
    r = compare(upper(x), upper(y)[:, None], how)
    assert -1 - 1e-9 <= float(r) <= 1 + 1e-9
    torch.testing.assert_close(r, compare(upper(y), upper(x)[:, None], how))
    order = torch.randperm(n, generator=generator)
    moved = compare(upper(x[order][:, order]), upper(y[order][:, order])[:, None], how)
    torch.testing.assert_close(r, moved)
    once = torch.ones(1, n, dtype=torch.float64)
    torch.testing.assert_close(resampled(x[None], y[None], once, how)[0, 0], r)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8), st.integers(0, 2)), min_size=6, max_size=40),
    st.integers(2, 4),
    st.integers(1, 2),
    st.integers(0, 1000),
)
def test_folds_are_a_partition_that_never_leaks(rows, n_folds, n_repeats, seed):
    table = pd.DataFrame(
        {
            "group": [f"g{g}" for g, _, _ in rows],
            "sha256": [f"h{h}" for _, h, _ in rows],
            "stratum": [f"s{s}" for _, _, s in rows],
        },
        index=pd.Index([f"i{n}" for n in range(len(rows))], name="stimulus_id"),
    )
    try:
        split = grouped_folds(table, n_folds=n_folds, n_repeats=n_repeats, seed=seed)
    except InputError:
        return  # fewer units than folds: said, not papered over
    check_leakage(split, table)
    assert len(split.folds) == n_folds * n_repeats
    for repeat in range(n_repeats):
        folds = split.folds[repeat * n_folds : (repeat + 1) * n_folds]
        tested = [name for fold in folds for name in fold.test]
        assert sorted(tested) == sorted(table.index)
        assert all(sorted(fold.train + fold.test) == sorted(table.index) for fold in folds)


@given(st.permutations(list("abcdefg")), st.lists(st.sampled_from("abcdefg"), unique=True))
def test_take_finds_what_was_asked_for(ids, wanted):
    assert [ids[at] for at in take(ids, wanted, what="x")] == wanted


@given(st.integers(1, 6), st.integers(1, 3), st.integers(1, 4), st.randoms(use_true_random=False))
def test_blocks_average_each_stimulus_whatever_the_order_of_presentations(n, repetitions, neuroids, random):
    rng = np.random.default_rng(random.randint(0, 2**30))
    values = rng.normal(size=(n, repetitions, neuroids)).astype(np.float32)
    order = rng.permutation(n * repetitions)
    (block,) = blocks(
        responses_array(
            values.reshape(n * repetitions, neuroids)[order],
            stimulus_id=[f"s{i // repetitions}" for i in order],
            repetition=[int(i % repetitions) for i in order],
            session=["a"] * len(order),
            neuroid_id=[f"n{i}" for i in range(neuroids)],
            region=["V1"] * neuroids,
        )
    )
    np.testing.assert_allclose(block.mean(), values.mean(axis=1), atol=1e-5)


@given(FACTS)
def test_a_fingerprint_survives_json_and_ignores_the_order_of_keys(facts):
    assert fingerprint(json.loads(json.dumps(facts))) == fingerprint(facts)
    if isinstance(facts, dict):
        assert fingerprint(dict(reversed(facts.items()))) == fingerprint(facts)


@given(FACTS, FACTS)
def test_different_facts_have_different_fingerprints(a, b):
    assume(json.dumps(a, sort_keys=True) != json.dumps(b, sort_keys=True))
    assert fingerprint(a) != fingerprint(b)


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3), min_size=1), st.sampled_from("abcd"))
def test_every_field_of_a_store_key_counts(tmp_path_factory, key, field):
    store = Store(tmp_path_factory.mktemp("store"))
    store.put(key, {"x": np.zeros(1)}, {})
    assert store.get(dict(reversed(key.items()))) is not None
    assert store.get(key | {field: key.get(field, 0) + 1}) is None


@given(st.text(max_size=20), st.sets(st.text(min_size=1, max_size=8), max_size=5))
def test_did_you_mean_never_fails_and_names_only_what_is_known(name, known):
    text = did_you_mean(name, known)
    assert bool(text) == bool(known)


@given(st.dictionaries(st.text(min_size=1, max_size=6), st.just("json:loads"), max_size=4))
def test_a_registry_lists_what_it_gives(own):
    registry = Registry(kind="thing", own=own, group="brainbench.nothing")
    assert list(registry) == sorted(own)
    assert all(registry[name] is json.loads for name in registry)


@given(
    st.lists(st.sampled_from("abcde"), min_size=2, max_size=12),
    st.integers(1, 30),
    st.text("0123456789abcdef", min_size=64, max_size=64),
)
def test_replicates_draw_as_many_units_as_there_are(units, n, identity):
    drawn = multiplicities(units, n, seed_of(identity, "stimuli"))
    names, first = np.unique(units, return_index=True)
    assert (drawn[:, first].sum(axis=1) == len(names)).all()
    assert all((drawn[:, i] == drawn[:, units.index(unit)]).all() for i, unit in enumerate(units))


@given(
    st.floats() | st.none(),
    st.lists(st.floats(-1, 1) | st.just(math.nan), max_size=5),
    st.text(max_size=30),
)
def test_an_entry_survives_its_file(raw, replicates, reason):
    assume(raw is None or not math.isinf(raw))
    entry = Entry(
        benchmark="a.b-c",
        benchmark_fingerprint="0",
        synthetic=True,
        model="m",
        model_fingerprint="1",
        status="ok",
        reason=reason,
        scorer="ridge 1",
        scale="r",
        raw=raw,
        replicates=replicates,
    )
    text = json.dumps(entry.as_json(), allow_nan=False)
    assert Entry.model_validate_json(text) == entry
    assert (entry.raw is None) == (raw is None or math.isnan(raw))
