import gzip

import numpy as np
import pandas as pd
import pytest

from brainbench.datasets._rda import data_frame
from brainbench.errors import InputError, UnknownNameError

COLUMNS = {
    "site": [3, 1, 2],
    "rate": [0.25, -1e300, 0.0],
    "object": ["kiwi", "car", "kiwi"],
    "place": ["upper", None, "löwer"],
}


@pytest.mark.parametrize("version", [2, 3])
def test_columns_come_back_as_they_were_saved(rda, version):
    frame = data_frame(rda({"other": {"x": [1]}, "trials": COLUMNS}, version=version), "trials")
    assert {name: [None if pd.isna(value) else value for value in frame[name]] for name in frame} == COLUMNS
    assert frame["site"].dtype == np.int32 and frame["rate"].dtype == np.float64


def test_a_missing_integer_is_no_number(rda):
    frame = data_frame(rda({"trials": {"site": [1, -(2**31)]}}), "trials")
    assert frame["site"][0] == 1 and np.isnan(frame["site"][1])


def test_an_object_that_is_not_there_is_told_with_those_that_are(rda):
    with pytest.raises(UnknownNameError, match=r"'trial'\. Did you mean 'trials'"):
        data_frame(rda({"trials": COLUMNS}), "trial")


def test_what_is_no_data_frame_is_refused(rda):
    with pytest.raises(InputError, match="'trials' of the R workspace is no data frame"):
        data_frame(rda({"trials": COLUMNS}, data_frame_class=("list",)), "trials")


def test_a_file_that_is_cut_off_is_refused(rda):
    whole = rda({"trials": COLUMNS})
    with pytest.raises(InputError, match="not a whole R workspace"):
        data_frame(whole[:-20], "trials")
    inside = gzip.compress(gzip.decompress(whole)[:-10])
    with pytest.raises(InputError, match=r"not a whole R workspace: it ends after \d+ bytes"):
        data_frame(inside, "trials")


@pytest.mark.parametrize(("content", "said"), [(b"RDA3\nA\n3\n", "XDR format"), (b"hello", "ends after 5 bytes")])
def test_other_formats_are_refused(content, said):
    with pytest.raises(InputError, match=said):
        data_frame(gzip.compress(content), "trials")
    with pytest.raises(InputError, match="not a whole R workspace"):
        data_frame(content, "trials")


def test_items_that_data_frames_do_not_hold_are_refused(rda):
    content = gzip.decompress(rda({"trials": {"site": [1, 2]}}))
    at = content.index(bytes.fromhex("0000000d 00000002 00000001 00000002"))
    closure = content[:at] + bytes.fromhex("00000003") + content[at + 4 :]
    with pytest.raises(InputError, match="item of type 3"):
        data_frame(gzip.compress(closure), "trials")
