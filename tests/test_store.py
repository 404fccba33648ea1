import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from brainbench.errors import ResourceError
from brainbench.store import Store

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
