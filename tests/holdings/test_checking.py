"""`brainbench data verify`: every byte, sizes alone, and the local lock of what no manifest pins."""

import json

import pytest

from brainbench.datasets import _fetch
from brainbench.holdings import pins


@pytest.fixture
def outcomes(run, tmp_path):
    """`outcomes(...)` verifies made2000 in here/: exit code, outcome by path, stderr."""

    def call(*arguments):
        code, printed, err = run("verify", "made2000", "--json", *arguments, "--data-root", f"made2000={tmp_path}/here")
        return code, {file["path"]: file["outcome"] for file in json.loads(printed)}, err

    return call


def test_right_files_are_right_and_missing_parts_are_no_fault(outcomes, put):
    put("here")
    assert outcomes()[:2] == (0, dict.fromkeys(["table.csv", "one/a.npy", "one/b #1.npy", "two/c.npy"], "right"))
    assert set(outcomes("--quick")[1].values()) == {"size right"}
    (put("here") / "two/c.npy").unlink()
    code, found, _ = outcomes()
    assert code == 0 and found["two/c.npy"] == "missing"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda full: full.write_bytes(full.read_bytes()[::-1]), "the right size but another content: expected sha256"),
        (lambda full: full.write_bytes(full.read_bytes()[:-1]), "is truncated: expected 3000 bytes, found 2999"),
        (lambda full: full.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "git-LFS pointer"),
        (lambda full: (full.unlink(), full.symlink_to("nowhere")), "is a link to nowhere"),
        (lambda full: (full.unlink(), full.mkdir()), "cannot be read|is not the file of this name"),
    ],
)
def test_a_file_that_differs_is_named_with_exit_code_5(run, put, spoil, said):
    root = put("here")
    spoil(root / "one/a.npy")
    code, printed, err = run("verify", "made2000", "--data-root", f"made2000={root}")
    assert code == 5 and "1 files of made2000 are not what they should be" in err
    line = next(line for line in printed.splitlines() if line.startswith("differs: one/a.npy "))
    assert any(part in line for part in said.split("|")), line


def test_sizes_alone_do_not_see_another_content_but_a_cut(outcomes, put):
    root = put("here")
    (root / "one/a.npy").write_bytes(b"x" * 3000)
    assert outcomes("--quick")[0] == 0 and outcomes()[0] == 5
    (root / "one/a.npy").write_bytes(b"x")
    assert outcomes("--quick")[0] == 5


def test_a_large_file_is_hashed_though_loading_it_does_not(outcomes, put, monkeypatch):
    monkeypatch.setattr(_fetch, "_HASHED_BELOW_BYTES", 10)
    root = put("here")
    (root / "one/a.npy").write_bytes(b"x" * 3000)
    assert _fetch.verified(root, "made2000", "one/a.npy") == root / "one/a.npy"
    assert outcomes()[1]["one/a.npy"] == "differs"


def test_pin_locks_what_is_unpinned_and_later_changes_are_seen(outcomes, put, made, user):
    more = '[[folder]]\npath = "masks"\npattern = "*.nii"\ngroup = "two"'
    made(unpinned=["one/a.npy", "two/c.npy"], more=more)
    root = put("here")
    (root / "masks").mkdir()
    (root / "masks/V1.nii").write_bytes(b"mask")
    free = {"one/a.npy", "two/c.npy", "masks/V1.nii"}
    code, found, err = outcomes()
    assert code == 0 and {path for path, outcome in found.items() if outcome == "unpinned"} == free
    assert "`brainbench data verify made2000 --pin`" in err and not (user / "pins").exists()
    code, found, err = outcomes("--pin")
    lock = user / "pins" / "made2000.json"
    assert code == 0 and set(found.values()) == {"right"} and f"Locked: {lock}" in err
    assert json.loads(lock.read_text())["files"].keys() == free
    (root / "masks/V1.nii").write_bytes(b"ksam")
    before = lock.read_bytes()
    code, found, _ = outcomes("--pin")
    assert code == 5 and {path for path, outcome in found.items() if outcome != "right"} == {"masks/V1.nii"}
    assert lock.read_bytes() == before
    made(unpinned=["one/a.npy", "two/c.npy"], more=more, version=2)
    assert outcomes()[0] == 0  # the lock is of another version


def test_the_manifests_hash_goes_before_the_lock(outcomes, put, made):
    made(unpinned=["one/a.npy"])
    root = put("here")
    (root / "one/a.npy").write_bytes(b"another file")
    assert outcomes("--pin")[0] == 0 and outcomes()[1]["one/a.npy"] == "right"
    made()
    assert outcomes()[1]["one/a.npy"] == "differs"


def test_a_lock_that_is_damaged_or_cannot_be_written_is_told(outcomes, run, put, made, user):
    made(unpinned=["one/a.npy"])
    root = put("here")
    user.mkdir(parents=True)
    (user / "pins").write_text("a file")
    code, _, err = run("verify", "made2000", "--pin", "--data-root", f"made2000={root}")
    assert code == 4 and "made2000.json cannot be written" in err
    (user / "pins").unlink()
    outcomes("--pin")
    pins.lock_file("made2000").write_text('{"version": 1}')
    code, _, err = run("verify", "made2000", "--data-root", f"made2000={root}")
    assert code == 3 and "Delete it and pin again" in err


def test_too_few_files_or_none_or_none_that_may_be_read_is_exit_code_4(outcomes, run, put, monkeypatch):
    root = put("here", ["one/a.npy"])
    code, found, err = outcomes()
    assert code == 4 and found["table.csv"] == "missing" and "`brainbench data locate made2000`" in err
    put("here")
    right = _fetch.difference

    def refuse(full, expected, **options):
        if full.name == "a.npy":
            raise PermissionError(13, "Permission denied")
        return right(full, expected, **options)

    monkeypatch.setattr(_fetch, "difference", refuse)
    code, found, _ = outcomes()
    assert code == 4 and found["one/a.npy"] == "unreadable"
    assert run("verify", "made2000")[0] == 4
    assert run("verify", "made2000", "--data-root", f"made2000={root.parent / 'config'}")[0] == 2


def test_what_cannot_be_asked_for_is_a_usage_error(run):
    assert run("verify", "made2000", "--quick", "--pin")[0] == 2
    assert run("verify", "made200")[0] == 2
    code, _, err = run("verify", "insilico")
    assert code == 3 and "made by code" in err


def test_what_is_missing_or_a_stub_is_never_locked(outcomes, put, made, user):
    made(unpinned=["one/a.npy", "one/b #1.npy", "two/c.npy"])
    root = put("here")
    (root / "one/a.npy").unlink()
    (root / "one/b #1.npy").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    code, found, _ = outcomes("--pin")
    assert code == 5 and [found[name] for name in ("one/a.npy", "one/b #1.npy")] == ["missing", "differs"]
    assert json.loads((user / "pins/made2000.json").read_text())["files"].keys() == {"two/c.npy"}
