import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brainbench.core.splits import check_leakage, grouped_folds, leakage_units
from brainbench.core.stimuli import StimulusSet
from brainbench.errors import AlignmentError, InputError


def table(digests, **columns):
    index = pd.Index([f"s{n}" for n in range(len(digests))], name="stimulus_id")
    return pd.DataFrame({"sha256": digests, **columns}, index=index)


def shown(name):
    return Image.new("RGB", (2, 2), "red")


def test_a_picture_that_was_not_released_is_refused_and_the_others_are_not():
    stimuli = StimulusSet(name="half", table=table(["aa", None]), open=shown)
    assert stimuli.image("s0").size == (2, 2)
    with pytest.raises(InputError, match="half was released without the picture of 's1'"):
        stimuli.image("s1")
    with pytest.raises(InputError, match="without the picture of 's0'"):
        StimulusSet(name="none", table=table(["aa"])).image("s0")
    with pytest.raises(AlignmentError, match="s2"):
        stimuli.image("s2")


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_the_fingerprint_is_the_same_however_a_picture_is_missing(missing):
    stimuli = StimulusSet(name="half", table=table(np.array(["aa", missing], dtype=object)))
    assert stimuli.fingerprint == StimulusSet(name="half", table=table(["aa", None])).fingerprint
    assert stimuli.select(("s0",)).fingerprint == StimulusSet(name="whole", table=table(["aa"])).fingerprint


def test_stimuli_without_a_picture_share_their_content_with_none():
    stimuli = table([None] * 4 + ["aa", "aa"])
    units = leakage_units(stimuli)
    assert units.nunique() == 5 and units["s4"] == units["s5"]
    split = grouped_folds(stimuli, n_folds=5, seed=0)
    check_leakage(split, stimuli)
    assert sorted(len(fold.test) for fold in split.folds) == [1, 1, 1, 1, 2]


def test_a_group_joins_stimuli_without_a_picture():
    units = leakage_units(table([None] * 4, group=["a", "a", "b", None]))
    assert units.nunique() == 3 and units["s0"] == units["s1"]
