import hashlib
import os
import shutil
from pathlib import Path

import pytest

from brainbench.core.registry import load_object
from brainbench.datasets import DATASETS, _fetch
from brainbench.errors import AccessError, InputError, UnknownNameError

REAL = ("cowley2023", "henaff2021", "kriegeskorte2008")
CONTENT = {"a.npy": b"first file", "deep/b.npy": b"second file"}


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """No recording is found by accident: an empty environment and an empty user folder."""
    for name in ("BRAINBENCH_DATA", "BRAINBENCH_DATA_MADE2000"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(_fetch.platformdirs, "user_data_path", lambda app: tmp_path / "user")
    return tmp_path / "user"


@pytest.mark.parametrize("id", REAL)
def test_a_dataset_says_what_its_manifest_says(id):
    spec, manifest = load_object(DATASETS.own[id]).spec, _fetch.manifest(id)
    assert (spec.id, spec.title, spec.citation, spec.licence) == (
        manifest.id,
        manifest.title,
        manifest.citation,
        manifest.licence,
    )


def test_files_lie_below_the_base_address_unless_they_say_otherwise():
    henaff = _fetch.manifest("henaff2021")
    addresses = {file.group: henaff.url(file) for file in henaff.files}
    assert addresses["responses"].startswith("https://raw.githubusercontent.com/wongyoJung/")
    assert addresses["responses"].endswith("/V1_responses/ay5_u005_image_sequences.mat")
    assert addresses["images"].startswith(
        "https://raw.githubusercontent.com/olivierhenaff/neural-straightening/63d157d"
    )


@pytest.mark.data
@pytest.mark.parametrize("id", REAL)
def test_manifests_list_what_upstream_released(id, data_root):
    published = (line.split(maxsplit=1) for line in (data_root / f"{id}.sha256").read_text().splitlines())
    assert {file.path: file.sha256 for file in _fetch.manifest(id).files} == {
        path: digest for digest, path in published
    }
    root = _fetch.root(id, {"": data_root})
    for file in _fetch.manifest(id).files:
        assert _fetch.verified(root, id, file.path) == root / file.path


def test_the_digest_is_of_contents_not_of_their_order(release):
    release("made2000", CONTENT)
    digest = _fetch.manifest("made2000").digest
    release("made2000", dict(reversed(CONTENT.items())))
    assert _fetch.manifest("made2000").digest == digest
    release("made2000", CONTENT | {"a.npy": b"first fila"})
    assert _fetch.manifest("made2000").digest != digest


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("version = 1", 'version = "1"'),
        ("version = 1", "version = 1\nsurprise = 1"),
        ('access = "open"', 'access = "secret"'),
        ('path = "a.npy"', 'path = "../a.npy"'),
        ('path = "a.npy"', 'path = "/a.npy"'),
        ('path = "a.npy"', 'path = "deep/b.npy"'),
        (hashlib.sha256(b"first file").hexdigest(), "abc"),
        ("version = 1", "version = "),
        ('base_url = "https://example.org/abc/"', 'base_url = "https://example.org/abc"'),
    ],
)
def test_a_malformed_manifest_is_refused(release, tmp_path, was, becomes):
    release("made2000", CONTENT)
    path = tmp_path / "data_manifests" / "made2000.toml"
    text = path.read_text()
    assert was in text
    path.write_text(text.replace(was, becomes))
    with pytest.raises(InputError, match=r"made2000\.toml"):
        _fetch.manifest("made2000")


def test_an_unknown_dataset_or_file_gets_the_nearest_name(release):
    root = release("made2000", CONTENT)
    with pytest.raises(UnknownNameError, match="Did you mean 'made2000'"):
        _fetch.manifest("made200")
    with pytest.raises(UnknownNameError, match=r"Did you mean 'deep/b\.npy'"):
        _fetch.read(root, "made2000", "deep/c.npy")


def test_places_are_looked_at_in_order(release, elsewhere, monkeypatch, tmp_path):
    complete = release("made2000", CONTENT)
    copies = {name: tmp_path / name / "made2000" for name in ("given", "own", "env", "user")}
    for copy in copies.values():
        copy.parent.mkdir()
        copy.symlink_to(complete)
    monkeypatch.setenv("BRAINBENCH_DATA_MADE2000", str(copies["own"]))
    monkeypatch.setenv("BRAINBENCH_DATA", str(tmp_path / "env"))
    assert _fetch.root("made2000", {"made2000": complete, "": tmp_path / "given"}) == complete
    assert _fetch.root("made2000", {"": tmp_path / "given"}) == copies["given"]
    assert _fetch.root("made2000", {}) == copies["own"]
    copies["own"].unlink()
    assert _fetch.root("made2000", {}) == copies["env"]
    copies["env"].unlink()
    assert _fetch.root("made2000", {}) == copies["user"]


def test_a_folder_given_by_name_is_used_or_refused(release, elsewhere, monkeypatch, tmp_path):
    complete = release("made2000", CONTENT)
    monkeypatch.setenv("BRAINBENCH_DATA", str(complete.parent))
    with pytest.raises(AccessError, match="typo does not exist"):
        _fetch.root("made2000", {"made2000": tmp_path / "typo"})


def test_absent_files_are_counted_named_and_their_source_told(release, elsewhere):
    root = release("made2000", CONTENT)
    (root / "deep/b.npy").unlink()
    assert _fetch.missing("made2000", root) == ["deep/b.npy"]
    with pytest.raises(AccessError) as refused:
        _fetch.root("made2000", {"": root.parent})
    message = str(refused.value)
    for part in (
        f"{root} lacks 1 of 2 files, such as deep/b.npy",
        f"{elsewhere / 'made2000'} does not exist",
        "https://example.org/abc/a.npy",
        "--data-root made2000=PATH",
        "BRAINBENCH_DATA",
    ):
        assert part in message
    with pytest.raises(AccessError, match=r"deep/b\.npy is missing"):
        _fetch.read(root, "made2000", "deep/b.npy")


def test_a_folder_that_is_a_file_lacks_everything(release, elsewhere, tmp_path):
    release("made2000", CONTENT)
    (tmp_path / "file").write_text("")
    with pytest.raises(AccessError, match="does not exist"):
        _fetch.root("made2000", {"made2000": tmp_path / "file"})


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 10\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (LFS, f"git-LFS pointer.*expected 10 bytes, found {len(LFS)}"),
        (b"/annex/objects/SHA256E-s10--4d7a.npy\n", "git-annex stub.*expected 10 bytes, found 37"),
        (b"first", "truncated: expected 10 bytes, found 5"),
        (b"", "truncated: expected 10 bytes, found 0"),
        (b"first file and more", "not the file of this name: expected 10 bytes, found 19"),
        (b"first fila", f"expected sha256 {hashlib.sha256(b'first file').hexdigest()}, found {'[0-9a-f]' * 64}"),
    ],
)
def test_a_file_that_is_not_the_right_one_is_named_for_what_it_is(release, content, said):
    root = release("made2000", CONTENT)
    (root / "a.npy").write_bytes(content)
    with pytest.raises(InputError, match=said) as refused:
        _fetch.read(root, "made2000", "a.npy")
    assert str(root / "a.npy") in str(refused.value)


def test_a_broken_link_is_present_but_a_stub(release):
    root = release("made2000", CONTENT)
    (root / "a.npy").unlink()
    (root / "a.npy").symlink_to("../.git/annex/objects/xx/SHA256E-s10--4d7a.npy")
    assert _fetch.missing("made2000", root) == []
    with pytest.raises(InputError, match=r"git-annex stub.*git annex get a\.npy.*10 bytes"):
        _fetch.read(root, "made2000", "a.npy")


def test_a_folder_in_place_of_a_file_is_refused(release):
    root = release("made2000", CONTENT)
    (root / "a.npy").unlink()
    (root / "a.npy").mkdir()
    with pytest.raises(InputError, match=r"a\.npy cannot be read.*directory"):
        _fetch.read(root, "made2000", "a.npy")


@pytest.mark.parametrize("call", ["open", "stat", "lstat"])
def test_no_permission_is_not_called_missing(release, monkeypatch, call):
    root = release("made2000", CONTENT)  # by monkeypatch: whoever runs tests as root may read everything

    works = getattr(Path, call)

    def refuse(self, *args, **kwargs):
        if self == root / "a.npy":
            raise PermissionError(13, "Permission denied", str(self))
        return works(self, *args, **kwargs)

    monkeypatch.setattr(Path, call, refuse)
    with pytest.raises(AccessError, match=r"no permission to .*a\.npy"):
        if call == "lstat":
            _fetch.missing("made2000", root)
        else:
            _fetch.read(root, "made2000", "a.npy")


def test_a_file_is_hashed_once_and_again_when_it_changed(release, monkeypatch):
    root = release("made2000", CONTENT)
    calls = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *args: calls.append(args) or digest(*args))
    for _ in range(3):
        assert _fetch.read(root, "made2000", "a.npy") == b"first file"
    assert len(calls) == 1
    (root / "a.npy").write_bytes(b"first fila")
    with pytest.raises(InputError, match="another content"):
        _fetch.read(root, "made2000", "a.npy")


def test_what_nobody_pinned_is_told_apart_on_this_machine_alone(release, elsewhere, tmp_path):
    root = release("made2000", CONTENT)
    toml = tmp_path / "data_manifests" / "made2000.toml"
    pinned = hashlib.sha256(CONTENT["deep/b.npy"]).hexdigest()
    roots = {"made2000": root}
    assert _fetch.unpinned("made2000", roots) == ""
    toml.write_text(
        toml.read_text().replace(f'bytes = 11\nsha256 = "{pinned}"', 'sha256 = "unpinned"')
        + '[[folder]]\npath = "runs"\npattern = "*.h5"\ngroup = "extra"\n[parts]\nall = ["responses"]\n'
    )
    _fetch.shipped.cache_clear()
    digest, seen = _fetch.manifest("made2000").digest, {_fetch.unpinned("made2000", roots)}
    (root / "deep" / "b.npy").write_bytes(b"SECOND FILE")
    os.utime(root / "deep" / "b.npy", ns=(1, 1))
    seen.add(_fetch.unpinned("made2000", roots))
    (root / "runs").mkdir()
    (root / "runs" / "1.h5").write_bytes(b"1")
    seen.add(_fetch.unpinned("made2000", roots))
    assert len(seen) == 3 and "" not in seen
    assert _fetch.manifest("made2000").digest == digest
    assert _fetch.unpinned("made2000", {"made2000": shutil.copytree(root, tmp_path / "moved")}) in seen
