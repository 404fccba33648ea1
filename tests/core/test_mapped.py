"""Arrays in files of their own are what they would be in memory."""

import errno
import os

import numpy as np
import pytest

from brainbench.ceilings import of_neuroids
from brainbench.core import mapped
from brainbench.core.arrays import blocks, presentations, responses_array
from brainbench.errors import ResourceError


@pytest.fixture
def in_files(monkeypatch, tmp_path):
    """Every array goes to a file, and a span has few numbers."""
    monkeypatch.setattr(mapped.tempfile, "tempdir", str(tmp_path))

    def start():
        monkeypatch.setattr(mapped, "HELD", 0)
        monkeypatch.setattr(mapped, "AT_A_TIME", 40)

    return start


def recording(*bins):
    """Three sessions; one neuroid lacks the last of them and another the first, which showed the same stimuli."""
    values = np.random.default_rng(0).normal(size=(60, 9, *bins)).astype(np.float32)
    values[40:, 2] = values[:20, 5] = values[7, 3] = np.nan
    return responses_array(
        values,
        stimulus_id=[f"s{i % 10}" for i in range(40)] + [f"s{i % 12}" for i in range(20)],
        repetition=np.zeros(60, int),
        session=np.repeat(["a", "b", "c"], 20),
        neuroid_id=[f"v{i}" for i in range(9)],
        region=["V1"] * 9,
        time_s=np.arange(bins[0]) if bins else None,
    )


@pytest.mark.parametrize("bins", [(), (3,)])
def test_blocks_ceilings_and_means_are_the_same_in_files(in_files, bins):
    def found():
        some = [b.unrolled(np.arange(3)) if bins else b for b in blocks(recording(*bins))]
        rules = [of_neuroids(rule, b, "ab" * 16).value for b in some for rule in ("ncsnr", "split_half")]
        return some, rules, [b.stimuli(np.array([3, 1])) for b in some]

    here, bounds, picked = found()
    in_files()
    there, same, again = found()
    assert len(there) == len(here) > 1
    for one, other in zip(here + picked, there + again):
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(one.mean(), other.mean())
        assert (one.stimulus_ids, one.neuroid_ids, one.times) == (other.stimulus_ids, other.neuroid_ids, other.times)
    for value, other in zip(bounds, same):
        np.testing.assert_allclose(value, other, rtol=1e-6)


def test_what_was_written_outlives_the_memory_that_is_given_back(in_files, tmp_path):
    in_files()
    values = mapped.room((4, 3, 5000), axis=2)
    values[...] = 7
    mapped.release(values)
    assert (values == 7).all()
    assert values.strides == (12, 4, 48)  # a neuroid is one stretch
    assert not list(tmp_path.iterdir())


def test_spans_are_the_whole_axis_in_order(in_files):
    in_files()
    spans = list(mapped.spans((10, 2, 7), axis=2))
    assert [n for some in spans for n in range(7)[some]] == list(range(7))
    assert max(some.stop - some.start for some in spans) == 2
    assert list(mapped.spans((10, 2, 0), axis=2)) == [slice(0, 0)]


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system reserves no room")
def test_a_full_disk_is_told_before_anything_is_written(in_files, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    in_files()
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ResourceError, match=r"no room for 4\.0 GB .* No space left on device\. Set TMPDIR"):
        mapped.room((1000, 10**6), axis=1)


def test_no_folder_for_files_at_all_is_told(in_files, monkeypatch):
    def none():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    in_files()
    monkeypatch.setattr(mapped.tempfile, "tempdir", None)
    monkeypatch.setattr(mapped.tempfile, "_get_default_tempdir", none)
    with pytest.raises(ResourceError, match=r"No usable temporary directory .* Set TMPDIR to a folder"):
        mapped.room((3, 3), axis=1)


def test_what_was_changed_in_a_private_copy_of_a_file_stays(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2000, 50), dtype=np.float32))
    values = np.load(tmp_path / "a.npy", mmap_mode="c")
    values[:] = 5
    values.flags.writeable = False
    mapped.release(values, values.view(np.ndarray)[3:])
    assert (values == 5).all()


def test_some_presentations_of_a_recording_lie_in_a_file_where_they_are_large(in_files):
    rows = np.arange(0, 60, 3)
    here = recording(3)[rows]
    in_files()
    there = presentations(recording(3), rows)
    assert there.identical(here)
    assert there.values.strides[0] == 4  # a file's: presentations are innermost
