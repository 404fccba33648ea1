import pandas as pd
import pytest

from brainbench.core.splits import Fold, Split, check_leakage, grouped_folds
from brainbench.errors import AlignmentError, InputError, LeakageError


def table(n=20, **columns):
    index = pd.Index([f"s{i:02d}" for i in range(n)], name="stimulus_id")
    return pd.DataFrame({"sha256": [f"h{i}" for i in range(n)], **columns}, index=index)


def test_each_stimulus_is_tested_once_a_repeat():
    split = grouped_folds(table(), n_folds=4, n_repeats=3, seed=0)
    assert len(split.folds) == 12
    for repeat in range(3):
        tested = [i for fold in split.folds[4 * repeat : 4 * repeat + 4] for i in fold.test]
        assert sorted(tested) == list(table().index)


def test_groups_and_identical_pictures_never_straddle():
    stimuli = table(group=[f"m{i // 4}" for i in range(20)])
    stimuli.loc["s00", "sha256"] = stimuli.loc["s19", "sha256"] = "same"  # joins movies 0 and 4
    split = grouped_folds(stimuli, n_folds=4, seed=1)
    for fold in split.folds:
        test = set(fold.test)
        for unit in [{f"s{i:02d}" for i in (*range(4), *range(16, 20))}, {f"s{i:02d}" for i in range(4, 8)}]:
            assert unit <= test or not unit & test
    assert split.unit["s00"] == split.unit["s19"] == split.unit["s03"]


def test_strata_are_spread_evenly():
    split = grouped_folds(table(stratum=["a", "b"] * 10), n_folds=5, seed=3)
    for fold in split.folds:
        assert [int(i[1:]) % 2 for i in fold.test].count(0) == 2


def test_the_seed_decides_and_row_order_does_not_leak_into_units():
    assert grouped_folds(table(), n_folds=4, seed=0) == grouped_folds(table(), n_folds=4, seed=0)
    assert grouped_folds(table(), n_folds=4, seed=0).folds != grouped_folds(table(), n_folds=4, seed=1).folds


@pytest.mark.parametrize("column, match", [("sha256", "same content"), ("group", "same group")])
def test_a_planted_duplicate_across_the_split_raises(column, match):
    stimuli = table(4, group=list("abcd"))
    stimuli.loc["s03", column] = stimuli.loc["s00", column]
    split = Split(folds=(Fold(train=("s00", "s01"), test=("s02", "s03")),), unit={})
    with pytest.raises(LeakageError, match=match) as error:
        check_leakage(split, stimuli)
    assert "s00 ~ s03" in str(error.value)


def test_the_same_id_on_both_sides_raises():
    split = Split(folds=(Fold(train=("s00", "s01"), test=("s01", "s02")),), unit={})
    with pytest.raises(LeakageError, match="same stimuli: s01"):
        check_leakage(split, table(4))


def test_rows_are_positions_by_id_and_no_id_may_be_missing():
    split = Split(folds=(Fold(train=("s00", "s02"), test=("s01",)), Fold(train=("s01",), test=("s02", "s00"))), unit={})
    rows = [[part.tolist() for part in fold] for fold in split.rows(("s02", "s01", "s00"))]
    assert rows == [[[2, 0], [1]], [[1], [0, 2]]]
    with pytest.raises(AlignmentError, match="lacks 1 of the 2 stimuli asked for: s02"):
        split.rows(("s00", "s01"))


def test_too_few_units_raise():
    with pytest.raises(InputError, match="cannot make"):
        grouped_folds(table(4, group=["g"] * 4), n_folds=2, seed=0)
    with pytest.raises(InputError, match="fewer folds"):
        grouped_folds(table(8), n_folds=4, seed=0).restrict(("s00", "s01", "s02"))


def test_a_fold_does_not_test_two_stimuli_which_always_correlate_by_1():
    with pytest.raises(InputError, match="train on 8 and test on 2 of the 10 stimuli: both need 3 at least"):
        grouped_folds(table(10), n_folds=5, seed=0).restrict(tuple(f"s{n:02d}" for n in range(10)))
    assert grouped_folds(table(9), n_folds=3, seed=0).restrict(tuple(f"s{n:02d}" for n in range(9)))
