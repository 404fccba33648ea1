"""A submitted time course hangs together: lengths, window, and latencies that its own bins make."""

import pytest

from brainbench.leaderboard.cards import Card
from brainbench.leaderboard.recompute import differences
from brainbench.leaderboard.rules import broken
from brainbench.printing_time import latencies

BENCHMARK = "insilico_meg.sensors-ridge"


def problems(made, entry):
    return [f"{field}: {why}" for field, why in broken(entry, Card(**made.card(entry)))]


def changed(entry, **fields):
    return entry.model_copy(update={"time_course": entry.time_course.model_copy(update=fields)})


def test_a_true_one_is_fine(made):
    entry = made.entry(benchmark=BENCHMARK)
    assert problems(made, entry) == []
    assert (entry.time_course.onset_s, entry.time_course.peak_s) == (0.1, 0.2)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"window_s": [0.0, 0.1]}, "time_course.window_s: must be [0.05, 0.3]"),
        ({"raw": [0.1] * 6}, "time_course: must have a number a bin in every row"),
        ({"layer_raw": []}, "time_course: must have a number a bin in every row"),
        ({"time_s": [0.0, 0.1, 0.05, 0.15, 0.2, 0.25, 0.3]}, "time_course: must have a number a bin in every row"),
        ({"high": [0.0, 0.0, 0.2, 9.0, 0.4, 0.1, 0.0]}, "time_course.high: has numbers beyond"),
        ({"onset_s": 0.05}, "time_course.onset_s: is 0.05; its own bins make it 0.1"),
        ({"peak_s": 0.15}, "time_course.peak_s: is 0.15; its own bins make it 0.2"),
        ({"p": [1.0] * 7}, "time_course.onset_s: is 0.1; its own bins make it null"),
        ({"p": [1.0, 1.0, 0.0, 0.0, 0.0, 1.2, 1.0]}, "time_course.p: has numbers above 1"),
        ({"p": [1.0, 1.0, 0.0, 0.0, -0.1, 0.0, 1.0]}, "time_course.p: has numbers below 0"),
        ({"ceiling": [1.2] * 7}, "time_course.ceiling: has numbers above 1"),
        ({"low": [0.5] * 7, "high": [0.4] * 7}, "time_course.raw.0: is 0, with an interval from 0.5 to 0.4"),
        ({"low": [0.8] * 7, "high": [0.9] * 7}, "time_course.raw.0: is 0, with an interval from 0.8 to 0.9"),
        ({"n_consecutive": 1}, "time_course.n_consecutive: must be 2"),
        ({"onset_share": 1.5}, "time_course.onset_share: is 1.5; a share is from 0 to 1"),
        ({"onset_low_s": 0.15, "onset_high_s": 0.05}, "time_course.onset_low_s: and onset_high_s must be bins"),
        ({"peak_high_s": 0.21}, "time_course.peak_low_s: and peak_high_s must be bins, in order"),
    ],
)
def test_a_forged_one_is_named(made, fields, says):
    found = problems(made, changed(made.entry(benchmark=BENCHMARK), **fields))
    assert any(problem.startswith(says) for problem in found), found


def test_it_is_there_where_there_is_time_and_only_there(made):
    entry = made.entry(benchmark=BENCHMARK)
    bare = entry.model_copy(update={"time_course": None})
    assert problems(made, bare) == ["time_course: must be there for this benchmark"]
    flat = made.entry().model_copy(update={"time_course": entry.time_course})
    assert problems(made, flat) == ["time_course: must be null for this benchmark"]


def test_bins_are_recomputed(made):
    entry = made.entry(benchmark=BENCHMARK)
    raw = list(entry.time_course.raw)
    raw[3] += 0.01
    found = {d.field: d.fails for d in differences(changed(entry, raw=raw, peak_s=0.15), entry, 1e-4)}
    assert found == {"time_course.raw.3": True, "time_course.peak_s": False}
    gone = differences(entry.model_copy(update={"time_course": None}), entry, 1e-4)
    assert {d.field.split(".")[0] for d in gone} == {"time_course"} and any(d.fails for d in gone)


def test_the_terminal_tells_rare_onsets_and_latencies_before_the_stimulus(made):
    entry = made.entry(benchmark=BENCHMARK)
    (plain,) = latencies([entry])
    assert "onset 0.100 s" in plain and "replicates" not in plain and "before" not in plain
    (rare,) = latencies([changed(entry, onset_share=0.4)])
    assert "in 40% of replicates; the others have none" in rare
    (early,) = latencies([changed(entry, onset_s=-0.05)])
    assert "onset before the stimulus, which says that something is wrong" in early
