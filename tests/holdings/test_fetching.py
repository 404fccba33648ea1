"""`brainbench data fetch` against a real server on this machine: whole and right under the name, or not there."""

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock

from brainbench.datasets import _fetch
from brainbench.holdings import fetching

NAMES = ["one/a.npy", "one/b #1.npy", "table.csv", "two/c.npy"]


@pytest.fixture
def fetch(run, made, server, tmp_path):
    """Fetches made2000 from the server into here/: exit code, stdout, stderr."""
    made(base_url=server.url)
    (tmp_path / "here").mkdir()
    return lambda *more: run("fetch", "made2000", "--data-root", f"made2000={tmp_path}/here", "--timeout", 0.5, *more)


@pytest.fixture
def here(tmp_path):
    """The names of all files in here/, hidden ones too, but for the lock."""

    def names():
        root = tmp_path / "here"
        found = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
        return sorted(name for name in found if name != ".brainbench-fetch.lock")

    return names


def test_all_files_come_and_a_second_run_asks_for_none(fetch, here, server, tmp_path):
    code, printed, err = fetch()
    assert code == 0 and printed == f"{tmp_path}/here\n" and "4 files fetched, 0 were here, 0 failed" in err
    assert here() == NAMES and len(server.asked) == 4
    assert all(_fetch.verified(tmp_path / "here", "made2000", name) for name in NAMES)
    assert "0 files fetched, 4 were here" in fetch()[2] and len(server.asked) == 4


def test_a_group_or_part_alone(fetch, here, server):
    assert fetch("--group", "two", "--group", "table")[0] == 0
    assert here() == ["table.csv", "two/c.npy"]
    code, _, err = fetch("--group", "tow")
    assert code == 2 and "unknown group of made2000 'tow'. Did you mean 'two'" in err


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        ("wrong", 5, "another content: expected sha256"),
        ("longer", 5, "is not the file of this name: expected 3000 bytes, found 3004"),
        (404, 4, "the server answered 404"),
        (403, 4, "the server answered 403"),
    ],
)
def test_a_fault_of_one_file_leaves_it_out_and_the_others_come(fetch, here, server, fault, code, said):
    server.faults["one/a.npy"] = fault
    found, _, err = fetch()
    assert found == code and said in err and "one/a.npy" in err and "3 files fetched, 0 were here, 1 failed" in err
    assert here() == NAMES[1:]
    server.faults.clear()
    assert fetch()[0] == 0 and here() == NAMES and len(server.asked) == 5


@pytest.mark.parametrize(
    ("fault", "said"), [("cut", "IncompleteRead"), ("slow", "timed out"), (503, "the server answered 503")]
)
def test_a_fault_of_the_line_stops_and_what_came_is_whole(fetch, here, server, fault, said):
    server.faults["one/b #1.npy"] = fault
    code, _, err = fetch()
    assert code == 4 and said in err and "2 of 4 files came and are whole" in err and "run again to go on" in err
    assert here() == ["one/a.npy", "table.csv"] and len(server.asked) == 3
    server.faults.clear()
    assert fetch()[0] == 0 and here() == NAMES


def test_nobody_listens(run, made, tmp_path):
    made(base_url="http://127.0.0.1:9/")
    (tmp_path / "here").mkdir()
    code, _, err = run("fetch", "made2000", "--data-root", f"made2000={tmp_path}/here")
    assert code == 4 and "0 of 4 files came" in err


def test_what_differs_is_replaced_only_by_what_is_right(fetch, here, put, server, tmp_path):
    root = put("here")
    (root / "one/a.npy").write_bytes(b"cut short")
    (root / "two/c.npy").unlink()
    (root / "two/c.npy").symlink_to("annex/nowhere")
    server.faults["one/a.npy"] = "wrong"
    assert fetch()[0] == 5
    assert (root / "one/a.npy").read_bytes() == b"cut short" and not (root / "two/c.npy").is_symlink()
    server.faults.clear()
    assert fetch()[0] == 0 and _fetch.verified(root, "made2000", "one/a.npy")


def test_unpinned_files_are_kept_but_no_page_stub_or_nothing(fetch, here, made, server):
    made(base_url=server.url, unpinned=["one/a.npy"])
    server.faults["one/a.npy"] = "page"
    code, _, err = fetch()
    assert code == 5 and "is a web page" in err and "one/a.npy" not in here()
    server.faults.clear()
    assert fetch()[0] == 0 and here() == NAMES


def test_unpinned_files_are_held_against_the_lock(fetch, run, made, server, tmp_path):
    made(base_url=server.url, unpinned=["one/a.npy"])
    fetch()
    assert run("verify", "made2000", "--pin", "--data-root", f"made2000={tmp_path}/here")[0] == 0
    (tmp_path / "here/one/a.npy").unlink()
    server.faults["one/a.npy"] = "wrong"
    code, _, err = fetch()
    assert code == 5 and "another content" in err


def test_what_is_not_open_or_has_no_addresses_is_not_asked_for(fetch, made, server, run):
    terms = 'terms_url = "https://example.org/terms"\nterms_version = "2"'
    made(base_url=server.url, access="agreement", head=terms)
    run("accept", "made2000", "--yes")
    code, _, err = fetch()
    assert code == 4 and "is not open: agreement" in err
    made(base_url=server.url, head="direct = false")
    code, _, err = fetch()
    assert code == 4 and "has no address a file" in err and server.asked == []


def test_folders_that_are_not_here_are_told_as_what_cannot_be_fetched(fetch, made, server, tmp_path):
    made(base_url=server.url, more='[[folder]]\npath = "masks"\npattern = "*.nii"\ngroup = "two"')
    code, _, err = fetch()
    assert code == 4 and "4 files fetched" in err and "Without an address of their own: masks/*.nii" in err
    assert fetch("--group", "one")[0] == 0
    (tmp_path / "here/masks").mkdir()
    (tmp_path / "here/masks/V1.nii").write_bytes(b"mask")
    assert fetch()[0] == 0


def test_too_little_room_is_told_before_anything_comes(fetch, here, monkeypatch):
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    code, _, err = fetch()
    assert code == 6 and "room for 100 bytes" in err and here() == []


def test_a_full_disk_is_exit_code_6(fetch, here, monkeypatch):
    def full(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetching.os, "fsync", full)
    code, _, err = fetch()
    assert code == 6 and "the disk is full" in err and here() == []


def test_a_folder_that_cannot_be_written_is_exit_code_4(run, made, server, monkeypatch, tmp_path):
    made(base_url=server.url)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BRAINBENCH_DATA", str(tmp_path / "file"))
    code, _, err = run("fetch", "made2000")
    assert code == 4 and "cannot be written" in err and "--data-root" in err


def test_two_at_once_in_one_folder_is_refused(fetch, here, tmp_path):
    with FileLock(tmp_path / "here" / ".brainbench-fetch.lock"):
        code, _, err = fetch()
    assert code == 2 and "another fetch is at work" in err and here() == []
    assert fetch()[0] == 0


def test_it_goes_where_it_is_already_or_to_the_first_place(run, made, put, server, monkeypatch, tmp_path):
    made(base_url=server.url)
    monkeypatch.setenv("BRAINBENCH_DATA", str(tmp_path / "lab"))
    assert run("fetch", "made2000", "--group", "one")[1] == f"{tmp_path}/lab/made2000\n"
    shutil.rmtree(tmp_path / "lab")
    user = put("data/brainbench/made2000", ["table.csv"])
    assert run("fetch", "made2000", "--group", "one")[1] == f"{user}\n"
    (tmp_path / "given").mkdir()
    assert run("fetch", "made2000", "--data-root", tmp_path / "given")[1] == f"{tmp_path}/given/made2000\n"


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_a_run_that_is_ended_leaves_nothing_under_the_name(made, server, here, fetch, tmp_path, how):
    server.faults["one/a.npy"] = "slow"
    code = (
        "from pathlib import Path; from brainbench.datasets import DATASETS, _fetch;"
        f"_fetch.tomls = lambda name: [Path({str(tmp_path / 'data_manifests' / 'made2000.toml')!r})];"
        "DATASETS.own['made2000'] = DATASETS.own['zhang2011']; from brainbench.cli import main; main()"
    )
    arguments = ["data", "fetch", "made2000", "--data-root", f"made2000={tmp_path}/here"]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], env={**os.environ, "HOME": str(tmp_path)})
    end = time.monotonic() + 60
    while "one/a.npy" not in server.asked and time.monotonic() < end:
        time.sleep(0.02)
    getattr(process, how)()
    assert process.wait(30) in (-9, 143)
    assert [name for name in here() if not Path(name).name.startswith(".")] == ["table.csv"]
    assert how == "kill" or here() == ["table.csv"]
    server.faults.clear()
    assert fetch()[0] == 0 and here() == NAMES


def test_the_bar_counts_files_and_bytes_on_stderr_where_it_is_a_terminal(fetch, monkeypatch):
    from io import StringIO

    from rich.console import Console

    from brainbench import terminal

    screen = Console(file=StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(terminal, "err", screen)
    code, printed, _ = fetch()
    shown = screen.file.getvalue()
    assert code == 0 and printed.count("\n") == 1
    assert "/4 " in shown and "c.npy" in shown and "3.0/3.0 kB" in shown
