import numpy as np
import pytest

from brainbench.analysis.models import _letters, compare
from brainbench.core.specs import fingerprint
from brainbench.entry import Entry
from brainbench.errors import InputError, UsageError

B = 1000
SHARED = np.random.default_rng(0).normal(size=B)


def entry(model, raw, noise=0.0, shared=0.05, seed=1, **changes):
    own = np.random.default_rng(seed).normal(size=B)
    identity = changes.get("benchmark_identity", {"version": 1, "region": "V4"})
    fields = {
        "benchmark": "d.V4-ridge",
        "benchmark_fingerprint": fingerprint(identity),
        "benchmark_identity": identity,
        "synthetic": True,
        "model": model,
        "model_fingerprint": model,
        "status": "ok",
        "scorer": "ridge 1",
        "scale": "r",
        "raw": raw,
        "replicates": (raw + shared * SHARED + noise * own).tolist(),
    }
    return Entry(**fields | changes)


def test_shared_noise_cancels_in_the_difference():
    """Two models .02 apart, each with an interval of +-.1: unpaired they overlap, paired they do not."""
    standings, (difference,) = compare([entry("a", 0.50, 0.002), entry("b", 0.48, 0.002, seed=2)])
    assert (difference.model, difference.other) == ("a", "b")
    assert difference.difference == pytest.approx(0.02)
    assert 0.01 < difference.low < difference.high < 0.03
    assert [s.ties for s in standings] == ["a", "b"]
    assert [(s.best, s.worst) for s in standings] == [(1, 1), (2, 2)]


def test_models_that_cannot_be_told_apart_tie():
    standings, differences = compare(
        [entry(m, r, 0.02, seed=i) for i, (m, r) in enumerate(zip("abc", (0.5, 0.495, 0.3)))]
    )
    assert [s.model for s in standings] == ["a", "b", "c"]
    assert standings[0].ties == standings[1].ties == "a" and standings[2].ties == "b"
    assert [(s.best, s.worst) for s in standings] == [(1, 2), (1, 2), (3, 3)]
    assert all(d.q >= d.p for d in differences)
    shares = np.asarray([s.rank_shares for s in standings])
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert shares[2, 2] == 1 and 0.5 < shares[0, 0] < 0.7


def test_the_smallest_p_is_what_the_replicates_can_tell():
    _, (difference,) = compare([entry("a", 0.9), entry("b", 0.1)])
    assert difference.p == pytest.approx(2 / (B + 1))


def test_identical_models_are_not_told_apart():
    _, (difference,) = compare([entry("a", 0.5), entry("b", 0.5)])
    assert difference.p == 1 and difference.difference == 0


def test_other_benchmarks_refuse_to_pair_and_say_what_differs():
    other = entry("b", 0.4, benchmark_identity={"version": 2, "region": "V4"})
    with pytest.raises(UsageError, match=r"differ in version \(1 against 2\)"):
        compare([entry("a", 0.5), other])


def test_broken_sets_of_entries_are_refused():
    with pytest.raises(InputError, match="two entries"):
        compare([entry("a", 0.5), entry("a", 0.4)])
    with pytest.raises(InputError, match="replicates"):
        compare([entry("a", 0.5), entry("b", 0.4, replicates=[0.1])])
    with pytest.raises(InputError, match="has another fingerprint"):
        compare([entry("a", 0.5), entry("b", 0.4, benchmark_fingerprint="g")])
    with pytest.raises(InputError, match=r"raw is 0\.9, all its replicates lie between"):
        compare([entry("a", 0.5), entry("b", 0.4).model_copy(update={"raw": 0.9})])
    with pytest.raises(InputError, match="has the status ok, but no raw"):
        compare([entry("a", 0.5), entry("b", 0.4).model_copy(update={"raw": None})])
    with pytest.raises(InputError, match="has the status ok, but no replicates"):
        compare([entry("a", 0.5), entry("b", 0.4, replicates=[None] * B)])
    with pytest.raises(InputError, match=r"whether d\.V4-ridge is synthetic"):
        compare([entry("a", 0.5), entry("b", 0.4, synthetic=False)])
    with pytest.raises(UsageError, match="1 of 2"):
        compare([entry("a", 0.5), entry("b", 0.4, status="failed")])


def failed(model, **changes):
    """An entry as a failed run leaves it: no numbers."""
    whole = entry(model, 0.0, status="failed", replicates=[], **changes)
    return whole.model_copy(update={"raw": None})


def test_failed_entries_have_no_say_wherever_they_stand():
    rest = [entry(model, raw, 0.01, low=0.3, high=0.6) for model, raw in (("b", 0.5), ("c", 0.4))]
    alone = compare(rest)
    assert compare([failed("a"), *rest]) == alone
    assert compare([*rest, failed("d", benchmark_identity={"version": 0})]) == alone
    assert compare([*rest, failed("c")]) == alone  # a run that failed, and the one that did not


def test_models_of_one_name_are_told_apart_by_their_fingerprints():
    entries = [entry("module", raw, 0.01, seed=i, model_fingerprint=f"{i}" * 64) for i, raw in ((1, 0.5), (2, 0.4))]
    standings, (difference,) = compare([*entries, entry("x", 0.3)])[0], compare(entries)[1]
    assert [s.model for s in standings] == ["module-11111111", "module-22222222", "x"]
    assert (difference.model, difference.other) == ("module-11111111", "module-22222222")


@pytest.mark.parametrize("seed", range(5))
def test_models_share_a_letter_exactly_where_they_are_not_told_apart(seed):
    """Also where that does not follow their order, as for pairs of unequal noise."""
    apart = np.triu(np.random.default_rng(seed).random((9, 9)) < 0.5, k=1)
    apart |= apart.T
    letters = _letters(apart)
    for i in range(9):
        for j in range(9):
            assert bool(set(letters[i]) & set(letters[j])) == (not apart[i, j])


def test_few_letters_are_needed():
    chain = np.abs(np.subtract.outer(np.arange(4), np.arange(4))) > 1
    assert _letters(chain) == ["a", "ab", "bc", "c"]
    assert _letters(np.zeros((3, 3), dtype=bool)) == ["a", "a", "a"]
    two = np.zeros((4, 4), dtype=bool)
    two[1, 2] = two[2, 1] = True
    assert _letters(two) == ["ab", "a", "b", "ab"]


def test_models_that_differ_from_their_near_copies_alone_are_not_lettered():
    """Two groups for each of 20 pairs, in every combination: a million letters, and hours to find them."""
    apart = np.kron(np.eye(20, dtype=int), [[0, 1], [1, 0]]).astype(bool)
    assert _letters(apart) == [""] * 40
    assert len(set("".join(_letters(apart[:10, :10])))) > 26  # 32 groups, still told


def test_ties_share_a_rank_and_a_missing_replicate_takes_nothing_from_others():
    twin = entry("b", 0.5)
    broken = twin.model_copy(update={"replicates": [None, *twin.replicates[1:]]})
    standings, _ = compare([entry("a", 0.5), broken, entry("c", 0.1, shared=0.001)])
    np.testing.assert_allclose([s.rank_shares for s in standings], [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]])


def test_q_is_p_after_benjamini_and_hochberg():
    from scipy.stats import false_discovery_control

    _, differences = compare(
        [entry(m, r, 0.02, seed=i) for i, (m, r) in enumerate(zip("abcd", (0.5, 0.47, 0.46, 0.3)))]
    )
    p = [d.p for d in differences]
    np.testing.assert_allclose([d.q for d in differences], false_discovery_control(p))
    assert any(d.q > d.p for d in differences)


def test_what_is_undefined_is_null_in_json():
    import json

    standings, differences = compare([entry("a", 0.5), entry("b", 0.4)])
    for fact in (*standings, *differences):
        json.dumps(fact.as_json(), allow_nan=False)
    assert standings[0].as_json()["low"] is None
