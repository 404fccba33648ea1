import numpy as np
import pytest

from brainbench.core.arrays import Labels, behaviour_table, blocks, rdms_array, responses_array, take
from brainbench.errors import AlignmentError, InputError


def test_take_joins_by_id_not_by_position():
    assert take(["b", "a", "c"], ["a", "b"], what="x").tolist() == [1, 0]


def test_take_refuses_missing_repeated_and_non_string_ids():
    with pytest.raises(AlignmentError, match="lacks 1 of the 1"):
        take(["a"], ["b"], what="x")
    with pytest.raises(AlignmentError, match="more than once"):
        take(["a", "a"], ["a"], what="x")
    with pytest.raises(AlignmentError, match="must be strings"):
        take(["1"], [1], what="x")


def recording(values, stimulus, session):
    n, v = np.shape(values)
    return responses_array(
        values,
        stimulus_id=stimulus,
        repetition=np.zeros(n, int),
        session=session,
        neuroid_id=[f"u{i}" for i in range(v)],
        region=["V4"] * v,
    )


def test_blocks_follow_the_stimuli_a_neuroid_was_shown():
    nan = np.nan
    values = [[1, nan], [2, nan], [3, nan], [nan, 5], [nan, 6]]
    first, second = sorted(
        blocks(recording(values, ["b", "a", "a", "c", "d"], ["s1"] * 3 + ["s2"] * 2)), key=lambda b: b.neuroid_ids
    )
    assert first.stimulus_ids == ("a", "b") and first.neuroid_ids == ("u0",)
    np.testing.assert_allclose(first.mean(), [[2.5], [1.0]])
    assert second.stimulus_ids == ("c", "d")
    np.testing.assert_allclose(second.mean(), [[5.0], [6.0]])


def test_sessions_with_the_same_stimuli_share_a_block_without_empty_repetitions():
    nan = np.nan
    values = [[1, nan], [2, nan], [nan, 3], [nan, 4]]
    (block,) = blocks(recording(values, ["a", "b", "a", "b"], ["s1", "s1", "s2", "s2"]))
    assert block.values.shape == (2, 1, 2)
    np.testing.assert_allclose(block.mean(), [[1, 3], [2, 4]])


def test_a_neuroid_without_numbers_is_kept():
    (block,) = blocks(recording([[1, np.nan], [2, np.nan]], ["a", "b"], ["s", "s"]))
    assert block.neuroid_ids == ("u0", "u1")
    assert np.isnan(block.mean()[:, 1]).all()


def test_rdms_must_be_distances():
    with pytest.raises(InputError, match="diagonal"):
        rdms_array(np.ones((1, 1, 2, 2)), subject=["s"], session=["1"], stimulus_id=["a", "b"])
    with pytest.raises(InputError, match="not symmetric"):
        rdms_array(np.array([[[[0, 1], [2, 0.0]]]]), subject=["s"], session=["1"], stimulus_id=["a", "b"])


TRIALS = {"subject": ["a", "a"], "session": ["1", "1"], "trial": [1, 2], "stimulus_id": ["s", "s"]}


def test_behaviour_keeps_what_was_not_chosen_as_none():
    table = behaviour_table(**TRIALS, choice=["cat", None], rt_s=[0.5, np.nan])
    assert table["choice"].tolist() == ["cat", None]
    assert table["trial"].dtype == np.int64 and table["rt_s"].dtype == np.float64


def test_behaviour_that_does_not_fit_itself_is_refused():
    with pytest.raises(InputError, match="'choice': 1"):
        behaviour_table(**TRIALS, choice=["cat"])
    with pytest.raises(InputError, match="'a' has two trials of number 1 in session '1'"):
        behaviour_table(**TRIALS | {"trial": [1, 1]}, choice=["cat", None])
    with pytest.raises(AlignmentError, match="must be strings, got 7"):
        behaviour_table(**TRIALS | {"stimulus_id": ["s", 7]}, choice=["cat", None])


def test_labels_are_numbered_in_alphabetical_order_and_missing_ones_stay_missing():
    values = np.array(["dog", "cat", None, "dog"], dtype=object)
    assert Labels(stimulus_ids=tuple("abcd"), values=values).codes.tolist() == [1, 0, -1, 1]


@pytest.mark.parametrize("shape", [(0, 3), (4, 0)])
def test_a_recording_of_nothing_is_refused(shape):
    n = shape[0]
    with pytest.raises(InputError, match=f"{shape[0]} presentations of {shape[1]} neuroids: there is nothing to"):
        blocks(recording(np.zeros(shape), [f"s{i}" for i in range(n)], ["a"] * n))
