import numpy as np
import pandas as pd
import pytest

from brainbench.core.arrays import rdms_array, responses_array
from brainbench.core.shown import shown
from brainbench.core.stimuli import StimulusSet
from brainbench.errors import InputError, UnknownNameError

IDS = ["a", "b", "c", "d"]


class Toy:
    class spec:
        id = "toy"

    def stimuli(self):
        columns = {"sha256": None, "shared": [True, False, True, False], "kind": ["x", "x", "y", None]}
        return StimulusSet(name="toy", table=pd.DataFrame(columns, index=pd.Index(IDS, name="stimulus_id")))

    def responses(self, subject, *, regions=None, sessions=None):
        ids = IDS[::-1] * 2 if subject == "one" else ["b", "d"]
        return responses_array(
            np.arange(len(ids))[:, None],
            stimulus_id=ids,
            repetition=np.arange(len(ids)) // 4,
            session=["1"] * len(ids),
            neuroid_id=["n"],
            region=["V1"],
        )

    def rdms(self, region):
        values = np.abs(np.subtract.outer(np.arange(4), np.arange(4)))[None, None]
        return rdms_array(values, subject=["one"], session=["1"], stimulus_id=IDS)


def test_presentations_and_rows_of_the_asked_stimuli_are_left():
    some = shown(Toy(), {"shared": True})
    assert some.stimuli().ids == ("a", "c")
    responses = some.responses("one", regions=("V1",))
    assert list(responses["stimulus_id"].values) == ["c", "a", "c", "a"]
    np.testing.assert_array_equal(responses.values[:, 0], [1, 3, 5, 7])
    np.testing.assert_array_equal(some.rdms("V1").values[0, 0], [[0, 2], [2, 0]])


def test_several_columns_must_all_agree_and_what_is_missing_does_not():
    assert shown(Toy(), {"shared": True, "kind": "y"}).stimuli().ids == ("c",)
    assert shown(Toy(), {"kind": "x"}).stimuli().ids == ("a", "b")
    toy = Toy()
    assert shown(toy, None) is toy


def test_a_choice_that_leaves_nothing_is_refused():
    with pytest.raises(UnknownNameError, match=r"column of the stimuli of toy 'share'\. Did you mean 'shared'"):
        shown(Toy(), {"share": True}).stimuli()
    with pytest.raises(InputError, match="no stimulus of toy has kind = z"):
        shown(Toy(), {"kind": "z"}).stimuli()
    with pytest.raises(InputError, match="two of toy was shown none of the 2 stimuli asked for"):
        shown(Toy(), {"shared": True}).responses("two")


@pytest.mark.parametrize(
    ("cells", "value"),
    [(["1", "0", "1", None], 1), (["true", "false", "True", None], True), (["0.5", "1", "0.5", "2"], "0.5")],
)
def test_what_a_table_holds_as_text_is_compared_as_text(cells, value):
    class Text(Toy):
        def stimuli(self):
            found = super().stimuli()
            return StimulusSet(name="toy", table=found.table.assign(test=pd.Series(cells, index=IDS, dtype=object)))

    assert shown(Text(), {"test": value}).stimuli().ids == ("a", "c")
