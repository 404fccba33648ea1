"""C1, C4: killed, or told of a full or a broken disk, at any one operation on the store's files, a run goes on.

Python tells audit hooks of every file that it opens, moves or removes, before it does so; a hook that raises makes the
operation fail, and one that kills leaves what is on the disk as it is.
"""

import errno
import os
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from brainbench import extraction
from brainbench.errors import ResourceError
from brainbench.store import Store
from tests.test_extraction import extract, pictures, wrapped

OPERATIONS = {"open", "os.fsync", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.scandir", "os.listdir"}
FAULTS = ("kill", "ENOSPC", "EIO")
NO_SUCH_OPERATION, LOUD, DONE = 99, 6, 0
SHARD = 6


def in_a_process(root: Path, fault: str, at: int) -> tuple[int, int]:
    """Extract in a fork that `fault` hits at its operation number `at`: its exit code and how many pictures it saw."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        code = 70
        try:
            code = _hit(root, fault, at, writing)
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as seen:
        pictures_seen = len(seen.read())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), pictures_seen


def _hit(root: Path, fault: str, at: int, writing: int) -> int:
    done, sync = 0, os.fsync

    def hook(event: str, args: tuple) -> None:
        nonlocal done
        if event in OPERATIONS and str(args[0]).startswith(str(root)):
            done += 1
            if done == at and fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if done == at:
                raise OSError(getattr(errno, fault), os.strerror(getattr(errno, fault)), str(args[0]))

    def told(descriptor: int) -> None:
        sys.audit("os.fsync", str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        sync(descriptor)

    sys.addaudithook(hook)
    os.fsync = told
    model = wrapped()
    see = model.see
    object.__setattr__(model, "see", lambda picture: os.write(writing, b".") and see(picture))
    try:
        extract(model, pictures(), Store(root))
    except ResourceError:
        return LOUD
    return DONE if done >= at else NO_SUCH_OPERATION


def kept(root: Path) -> dict[str, dict[str, np.ndarray]]:
    """What a reader finds of every layer."""
    model = wrapped()
    keys = {layer.name: extraction._key(model, layer, pictures()) for layer in model.spec.layers}
    return {name: arrays for name, key in keys.items() if (arrays := Store(root).get(key)) is not None}


def same(found: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    return found.keys() == right.keys() and all(found[key].tobytes() == right[key].tobytes() for key in right)


def every_operation(folder: Path, fault: str) -> int:
    """Hit one operation after the other, each in a new store, and run again; how many there are."""
    extraction.SHARD, extraction.FEW_UNITS = SHARD, 0
    code, all_pictures = in_a_process(folder / "whole", fault, 0)
    right = kept(folder / "whole")
    assert code == DONE and set(right) == {"wide", "narrow"}
    for at in count(1):
        root = folder / str(at)
        code, first = in_a_process(root, fault, at)
        assert code in ({-signal.SIGKILL, NO_SUCH_OPERATION} if fault == "kill" else {LOUD, DONE, NO_SUCH_OPERATION}), (
            at
        )
        assert all(same(arrays, right[name]) for name, arrays in kept(root).items()), at
        again, second = in_a_process(root, fault, 0)
        assert again == DONE and first + second <= all_pictures + 2 + SHARD, (at, again, first, second)
        assert all(same(kept(root)[name], right[name]) for name in right), at
        assert len(list(root.glob("??/*/entry.json"))) == len(list(root.glob("??/*"))) == 3, at
        if code == NO_SUCH_OPERATION:
            return at - 1
    raise AssertionError("operations do not end")


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_operation_costs_a_shard_at_most(tmp_path, fault):
    """In a process with one thread, from which it is safe to fork."""
    script = (
        "import pathlib, tests.faults.test_every_operation as t\n"
        f"print(t.every_operation(pathlib.Path({str(tmp_path)!r}), {fault!r}))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 60
