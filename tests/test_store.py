import errno
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError

import brainbench.store
from brainbench.errors import ResourceError
from brainbench.in_context import checkpoint
from brainbench.models.features_file import write_features
from brainbench.store import LEFT_BEHIND_S, Store

KEY = {"kind": "features", "layers": ["a"], "n": 3}


@pytest.fixture
def stored(tmp_path):
    store = Store(tmp_path)
    store.put(KEY, {"a": np.arange(1000.0), "b": np.ones(3, np.float32)}, {"host": "here"})
    (entry,) = tmp_path.glob("*/*/entry.json")
    return tmp_path, entry


def test_what_goes_in_comes_out(stored):
    root, _ = stored
    out = Store(root).get(dict(reversed(KEY.items())))
    np.testing.assert_array_equal(out["a"], np.arange(1000.0))
    assert out["b"].dtype == np.float32
    assert list(Store(root).get(KEY, names=["b"])) == ["b"]
    assert Store(root).get(KEY, names=[]) == {}
    assert Store(root).get({**KEY, "n": 4}) is None


def damage_bit(blob):
    data = bytearray(blob.read_bytes())
    data[-5] ^= 1
    blob.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        damage_bit,
        lambda blob: os.truncate(blob, blob.stat().st_size - 10),
        lambda blob: blob.write_bytes(blob.read_bytes()[:-64] + bytes(64)),
        lambda blob: blob.unlink(),
        lambda blob: (blob.parent / "entry.json").write_text("{garbage"),
        lambda blob: (blob.parent / "entry.json").write_text("[]"),
    ],
    ids=["bit-flip", "truncated", "zeroed-tail", "blob-deleted", "garbage-entry", "wrong-json"],
)
def test_damage_is_found_quarantined_and_mended(stored, damage, caplog):
    root, entry = stored
    damage(next(entry.parent.glob("*.safetensors")))
    store = Store(root)
    assert store.get(KEY) is None
    assert "quarantine" in caplog.text
    assert len(list((root / "quarantine").iterdir())) == 1
    store.put(KEY, {"a": np.arange(2)}, {})
    assert len(store.get(KEY)["a"]) == 2


def test_a_writer_killed_before_the_commit_point_leaves_nothing_to_read(tmp_path):
    script = (
        "import sys, os, numpy as np, brainbench.store as s\n"
        "real = s._commit\n"
        "def die(temporary, final):\n"
        "    if final.name == 'entry.json': os._exit(9)\n"
        "    real(temporary, final)\n"
        "s._commit = die\n"
        f"s.Store({str(tmp_path)!r}).put({KEY!r}, {{'a': np.ones(5)}}, {{}})\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    assert Store(tmp_path).get(KEY) is None


def test_files_are_on_the_disk_before_they_have_their_names_and_names_before_the_next_file(tmp_path, monkeypatch):
    """What a power cut leaves is what was synced: a name without its content would be a broken entry."""
    done = []
    sync, replace = os.fsync, Path.replace

    def recorded_sync(descriptor):
        done.append(f"sync {Path(f'/proc/self/fd/{descriptor}').resolve().name}")
        sync(descriptor)

    def recorded_replace(path, target):
        done.append(f"{path.name} becomes {'entry.json' if target.name == 'entry.json' else 'blob'}")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", recorded_sync)
    monkeypatch.setattr(Path, "replace", recorded_replace)
    Store(tmp_path).put(KEY, {"a": np.ones(5)}, {})
    (entry,) = tmp_path.glob("*/*/entry.json")
    temporary, folder = done[0].removeprefix("sync "), f"sync {entry.parent.name}"
    file = f"sync {temporary}"
    assert temporary.startswith(".tmp-")
    assert done == [file, f"{temporary} becomes blob", folder, file, f"{temporary} becomes entry.json", folder]


def test_a_full_disk_is_a_resource_error_and_keeps_what_was_there(stored):
    root, _ = stored
    script = (
        "import resource, numpy as np, signal\n"
        "from brainbench.store import Store\nfrom brainbench.errors import ResourceError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        f"store = Store({str(root)!r})\n"
        "try: store.put({'big': 1}, {'a': np.ones(10**5)}, {})\n"
        "except ResourceError as e: print('loud', e)\n"
        f"print(len(store.get({KEY!r})['a']), list(store.root.rglob('.tmp*')))\n"
    )
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert "loud cannot write" in out and "1000 []" in out


def test_an_unwritable_folder_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    assert Store(tmp_path / "file").get(KEY) is None
    with pytest.raises(ResourceError, match="BRAINBENCH_CACHE"):
        Store(tmp_path / "file").put(KEY, {"a": np.ones(1)}, {})


def test_drop_and_the_entry_names_what_it_holds(stored):
    root, entry = stored
    assert json.loads(entry.read_text())["key"] == KEY
    Store(root).drop(KEY)
    Store(root).drop(KEY)
    assert Store(root).get(KEY) is None


def test_only_a_disk_without_space_is_called_full(tmp_path, monkeypatch):
    (tmp_path / "workspace").write_text("")
    with pytest.raises(ResourceError, match="workspace") as raised:
        Store(tmp_path / "workspace").put(KEY, {"a": np.ones(1)}, {})
    assert "the disk is full" not in str(raised.value)

    def full(arrays, path):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(brainbench.store, "save_file", full)
    with pytest.raises(ResourceError, match="the disk is full"):
        Store(tmp_path).put(KEY, {"a": np.ones(1)}, {})


def failing(number):
    def fail(*_):
        raise OSError(number, os.strerror(number), "blob")

    return fail


@pytest.mark.parametrize("number", [errno.EACCES, errno.ESTALE, errno.EMFILE])
def test_an_entry_that_the_system_does_not_let_us_read_stays_where_it_is(stored, monkeypatch, number):
    root, entry = stored
    with monkeypatch.context() as patch:
        patch.setattr("hashlib.file_digest", failing(number))
        with pytest.raises(ResourceError, match=rf"{os.strerror(number)}.*run again"):
            Store(root).get(KEY)
    assert entry.exists() and not (root / "quarantine").exists()
    assert Store(root).get(KEY) is not None


def test_a_block_that_the_disk_cannot_read_is_damage(stored, monkeypatch):
    root, _ = stored
    monkeypatch.setattr("hashlib.file_digest", failing(errno.EIO))
    assert Store(root).get(KEY) is None
    assert len(list((root / "quarantine").iterdir())) == 1


def test_a_process_with_no_file_handle_left_loses_nothing_that_it_has_read_before(stored, monkeypatch):
    """safetensors calls any file that it cannot open missing."""
    root, entry = stored
    store, text = Store(root), entry.read_text()
    store.get(KEY)
    monkeypatch.setattr(Path, "read_text", lambda path: text)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    least = os.open(os.devnull, os.O_RDONLY)
    os.close(least)
    resource.setrlimit(resource.RLIMIT_NOFILE, (least, hard))
    try:
        with pytest.raises(ResourceError, match="Too many open files"):
            store.get(KEY)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert store.get(KEY) is not None


def test_who_may_read_a_file_is_for_the_umask_to_say(tmp_path):
    """A blob for its owner alone would be of no use in a folder that a lab shares."""
    before = os.umask(0o027)
    try:
        Store(tmp_path).put(KEY, {"a": np.ones(1)}, {})
        write_features(tmp_path / "features.safetensors", {"a": np.ones((2, 1))}, ["s1", "s2"])
        checkpoint.save(checkpoint.load("small"), tmp_path / "encoder.safetensors")
    finally:
        os.umask(before)
    files = [*tmp_path.glob("*/*/*"), *tmp_path.glob("*.safetensors")]
    assert len(files) == 4 and {path.stat().st_mode & 0o777 for path in files} == {0o640}


@pytest.mark.parametrize("number", range(4), ids=["before-blob", "after-blob", "before-entry", "after-entry"])
def test_an_entry_that_another_process_drops_while_it_is_written_is_written_again(tmp_path, monkeypatch, number):
    store, commit, points = Store(tmp_path), brainbench.store._commit, iter(range(100))

    def drop_at(point):
        if point == number:
            Store(tmp_path).drop(KEY)

    def dropped(temporary, final):
        drop_at(next(points))
        commit(temporary, final)
        drop_at(next(points))

    monkeypatch.setattr(brainbench.store, "_commit", dropped)
    store.put(KEY, {"a": np.ones(5)}, {})
    assert (store.get(KEY) is None) == (number == 3)
    assert not (tmp_path / "quarantine").exists() and not list(tmp_path.rglob(".tmp*"))


def left_behind(root):
    """What killed processes leave: a passing store, a temporary file of ours and one of safetensors."""
    (root / "passing-1" / "ab").mkdir(parents=True)
    paths = [root / "passing-1" / "ab" / "blob", root / ".tmp-1", root / ".tmpARn1aJ"]
    for path in paths:
        path.write_text("")
    return paths


def age(*paths):
    long_ago = time.time() - LEFT_BEHIND_S - 60
    for path in paths:
        os.utime(path, (long_ago, long_ago), follow_symlinks=False)


def test_what_a_killed_process_left_is_gone_after_a_while(stored):
    root, entry = stored
    age(*left_behind(root), root / "passing-1" / "ab", root / "passing-1", entry, entry.parent, entry.parent.parent)
    Store(root).get(KEY)
    assert (root / ".tmp-1").exists()
    Store(root).put({"other": 1}, {"a": np.ones(1)}, {})
    assert not [*root.glob("passing-*"), *root.glob(".tmp*")]
    assert Store(root).get(KEY) is not None


def test_what_somebody_may_still_need_is_left_alone(stored, tmp_path_factory):
    root, _ = stored
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "mine").write_text("")
    (root / "passing-link").symlink_to(elsewhere)
    (root / ".tmp-link").symlink_to(elsewhere / "mine")
    blob, *_ = left_behind(root)
    age(root / "passing-link", root / ".tmp-link", elsewhere / "mine", elsewhere)
    age(root / "passing-1" / "ab", root / "passing-1")  # but not the blob in it
    Store(root).put({"other": 1}, {"a": np.ones(1)}, {})
    assert (elsewhere / "mine").exists() and blob.exists()
    assert len([*root.glob("passing-*"), *root.glob(".tmp*")]) == 5


def test_what_cannot_be_cleared_away_stops_nobody(stored, monkeypatch):
    root, _ = stored
    age(*left_behind(root), root / "passing-1" / "ab", root / "passing-1")
    unlink = Path.unlink

    def refused(path, missing_ok=False):
        if path.name in (".tmp-1", ".tmpARn1aJ"):
            raise PermissionError(errno.EACCES, "not yours")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    Store(root).put({"other": 1}, {"a": np.ones(1)}, {})
    assert Store(root).get({"other": 1}) is not None and not (root / "passing-1").exists()
