import numpy as np
import pytest

from brainbench.core.arrays import blocks
from brainbench.core.splits import grouped_folds
from brainbench.datasets.zhang2011 import BIN_MS, STARTS_MS, Zhang2011
from brainbench.errors import InputError, UnknownNameError, UsageError

OBJECTS = ["car", "couch", "face", "flower", "guitar", "hand", "kiwi"]
TIMES = [f"time.{start}_{start + 150}" for start in range(-500, 351, 50)]


@pytest.fixture(scope="module")
def recording(data_root):
    return Zhang2011(data_root / "zhang2011")


@pytest.fixture(scope="module")
def responses(recording):
    return recording.responses("monkey")


@pytest.fixture(scope="module")
def block(responses):
    (block,) = blocks(responses)
    return block


@pytest.mark.data
def test_seven_objects_at_three_places(recording):
    table = recording.stimuli().table
    assert len(table) == 21
    assert table["category"].value_counts().to_dict() == dict.fromkeys(OBJECTS, 3)
    assert table["position"].value_counts().to_dict() == dict.fromkeys(["lower", "middle", "upper"], 7)
    assert table["sha256"].isna().all()
    for fold in grouped_folds(table, n_folds=7, seed=0).folds:  # one object a fold, at all its places
        assert len({name.split("_")[0] for name in fold.test}) == 1


@pytest.mark.data
def test_every_unit_has_numbers_in_its_own_session_alone(responses):
    assert responses.shape == (8819, 132, 18)  # 21 sessions of 420 trials, one trial lost in 1006
    owner = np.array([name.split("-")[0] for name in responses["neuroid_id"].values])
    there = np.isfinite(responses.values)
    assert np.array_equal(there.all(axis=2), responses["session"].values[:, None] == owner)
    assert np.array_equal(there.all(axis=2), there.any(axis=2))
    _, trials = np.unique(responses["session"].values, return_counts=True)
    assert sorted(trials) == [419] + [420] * 20
    _, units = np.unique(owner, return_counts=True)
    assert (len(units), units.min(), units.max()) == (21, 4, 11)


@pytest.mark.data
def test_every_stimulus_was_shown_twenty_times_but_one(responses, block):
    assert block.values.shape == (21, 20, 132, 18)
    lost = ~np.isfinite(block.values).all(axis=(2, 3))
    assert [block.stimulus_ids[row] for row in np.flatnonzero(lost.any(axis=1))] == ["flower_middle"]
    assert responses["repetition"].values.max() == 19


@pytest.mark.data
def test_counts_are_whole_spikes_in_the_bins_released(responses):
    values = responses.values[np.isfinite(responses.values)]
    assert np.array_equal(values, np.rint(values)) and (values.min(), values.max()) == (0, 49)
    assert responses["time_s"].values[[0, 12, 17]] == pytest.approx([-0.425, 0.175, 0.425])


@pytest.mark.data
def test_units_of_a_session_share_their_trials(responses):
    """The noise of simultaneous units correlates; shuffled within stimuli, the same numbers do not."""
    rng = np.random.default_rng(0)
    matched, shuffled = [], []
    for session in np.unique(responses["session"].values):
        own = responses[responses["session"].values == session]
        units = [n for n, name in enumerate(own["neuroid_id"].values) if name.startswith(session)]
        noise = own.values[:, units, 0].astype(np.float64)  # long before onset
        other = noise.copy()
        for stimulus in np.unique(own["stimulus_id"].values):
            rows = np.flatnonzero(own["stimulus_id"].values == stimulus)
            noise[rows] -= noise[rows].mean(axis=0)
            other[rows] = noise[rng.permutation(rows)]
        pairs = [(a, b) for a in range(len(units)) for b in range(a) if noise[:, a].any() and noise[:, b].any()]
        matched += [np.corrcoef(noise[:, a], noise[:, b])[0, 1] for a, b in pairs]
        shuffled += [np.corrcoef(noise[:, a], other[:, b])[0, 1] for a, b in pairs]
    assert np.mean(matched) == pytest.approx(0.185, abs=0.01)
    assert abs(np.mean(shuffled)) < 0.01


@pytest.mark.data
def test_objects_are_decoded_after_onset_and_not_before(block):
    """Nearest centroid over pooled single trials, one left out: the known .88 in 100 to 250 ms, chance 1/7 before."""
    category = np.array([name.split("_")[0] for name in block.stimulus_ids])

    def accuracy(start_ms):
        values = block.values[:, :19, :, STARTS_MS.index(start_ms)].astype(np.float64)
        right = []
        for left_out in range(19):
            train = np.delete(values, left_out, axis=1)
            scale = train.std(axis=(0, 1)) + 1e-9
            means = train.mean(axis=1)
            centroids = np.stack([means[category == name].mean(axis=0) for name in OBJECTS])
            distance = (((values[:, left_out, None] - centroids) / scale) ** 2).sum(axis=-1)
            right.append(np.array(OBJECTS)[distance.argmin(axis=1)] == category)
        return np.mean(right)

    assert accuracy(100) == pytest.approx(0.88, abs=0.02)
    assert accuracy(-500) == pytest.approx(1 / 7, abs=0.04)


@pytest.mark.data
def test_callers_cannot_change_what_the_next_one_gets(recording):
    table = recording.stimuli().table
    table["category"] = "spoilt"
    recording.responses("monkey", sessions=("1001",)).values[:] = -1
    assert recording.stimuli().table["category"].nunique() == 7
    assert np.nanmin(recording.responses("monkey", sessions=("1001",)).values) == 0


@pytest.fixture
def made(release, rda):
    """A release in upstream's format: two units of session 1001, one of 1002; all shown the same four trials.

    The count of a unit in a trial and bin is `10 * site + trial`, one more in the last bin.
    """

    def write(change=lambda frame: None):
        stimuli = ["kiwi_upper", "car_lower", "kiwi_upper", "kiwi_lower"]
        frame = {
            "siteID": [site for site in (1, 2, 3) for _ in stimuli],
            "site_info.session_ID": [session for session in (1001.0, 1001.0, 1002.0) for _ in stimuli],
            "site_info.recording_channel": [channel for channel in (1.0, 2.0, 2.0) for _ in stimuli],
            "site_info.unit": [unit for unit in "AAB" for _ in stimuli],
            "labels.combined_ID_position": stimuli * 3,
        }
        for time in TIMES:
            more = time == TIMES[-1]
            frame[time] = [(10 * site + trial + more) / BIN_MS for site in (1, 2, 3) for trial in range(4)]
        change(frame)
        return Zhang2011(release("zhang2011", {"inst/extdata/ZD_150bins_50sampled.Rda": rda({"binned_data": frame})}))

    return write


def test_a_presentation_is_a_trial_of_a_session(made):
    responses = made().responses("monkey")
    assert responses["neuroid_id"].values.tolist() == ["1001-01A", "1001-02A", "1002-02B"]
    assert responses["session"].values.tolist() == ["1001"] * 4 + ["1002"] * 4
    assert responses["stimulus_id"].values.tolist() == ["kiwi_upper", "car_lower", "kiwi_upper", "kiwi_lower"] * 2
    assert responses["repetition"].values.tolist() == [0, 0, 1, 0] * 2
    nan = np.nan
    expected = [[10 + n, 20 + n, nan] for n in range(4)] + [[nan, nan, 30 + n] for n in range(4)]
    np.testing.assert_array_equal(responses.values[..., 0], expected)
    np.testing.assert_array_equal(responses.values[..., -1], np.array(expected) + 1)


def test_a_session_is_its_own_trials_and_units(made):
    responses = made().responses("monkey", sessions=("1002",))
    assert responses["neuroid_id"].values.tolist() == ["1002-02B"]
    assert responses.values[:, 0, 0].tolist() == [30, 31, 32, 33]


def test_a_picture_is_refused_with_what_to_do(made):
    with pytest.raises(InputError, match=r"without the picture of 'kiwi_upper'.*features:FILE"):
        made().stimuli().image("kiwi_upper")


def another_trial(frame):
    frame["labels.combined_ID_position"][5] = "kiwi_lower"


def half_a_spike(frame):
    frame[TIMES[3]][0] += 0.5 / BIN_MS


def a_bin_less(frame):
    del frame[TIMES[3]]


def a_trial_less(frame):
    for values in frame.values():
        del values[7]  # the last trial of the second unit


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (another_trial, "units of session 1001 of .* were not shown the same trials"),
        (a_trial_less, "units of session 1001 of .* were not shown the same trials"),
        (half_a_spike, "no counts of spikes in 150 ms"),
        (a_bin_less, "has the bins"),
    ],
)
def test_files_of_another_kind_are_refused(made, change, said):
    with pytest.raises(InputError, match=said):
        made(change).responses("monkey")


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (("monkeys", None, None), UnknownNameError, "Did you mean 'monkey'"),
        (("monkey", ("V4",), None), UnknownNameError, "unknown region of zhang2011 'V4'. Known: IT"),
        (("monkey", None, ("1003",)), UnknownNameError, "unknown session of zhang2011 '1003'. Did you mean '100"),
        (("monkey", None, ()), UsageError, "no session of zhang2011"),
    ],
)
def test_unknown_names_are_told_with_their_neighbours(made, call, error, said):
    subject, regions, sessions = call
    with pytest.raises(error) as refused:
        made().responses(subject, regions=regions, sessions=sessions)
    assert said in str(refused.value)
