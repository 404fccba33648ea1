"""Manifests of what cannot be had here, and terms that come before the first look (D12, D13)."""

import hashlib

import pytest

from brainbench import api, benchmarks, datasets
from brainbench.datasets import DATASETS, _fetch, _settings, _terms
from brainbench.errors import AccessError, InputError

NEW = [name for name in DATASETS.own if _fetch.has_manifest(name)]


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    """A user who has accepted nothing."""
    monkeypatch.delenv(_terms.VARIABLE, raising=False)
    monkeypatch.setattr(_settings.platformdirs, "user_config_path", lambda app: tmp_path / "config" / app)
    return tmp_path / "config" / "brainbench" / "accepted_terms.toml"


@pytest.mark.parametrize("id", NEW)
def test_a_dataset_says_what_its_manifest_says(id):
    spec, manifest = DATASETS[id].spec, _fetch.manifest(id)
    assert (spec.id, spec.title, spec.citation, spec.licence) == (
        manifest.id,
        manifest.title,
        manifest.citation,
        manifest.licence,
    )
    assert manifest.first_url.startswith(("https://", "http://"))


def test_what_nobody_could_check_is_unpinned_and_never_made_up():
    nsd = _fetch.manifest("allen2021")
    assert {file.sha256 for file in nsd.files} == {"unpinned"} and {file.bytes for file in nsd.files} == {None}
    hvm = {file.path: file.sha1 for file in _fetch.manifest("majajhong2015").files}
    assert all(len(sha1) == 40 for sha1 in hvm.values())
    assert {file.sha256 == "unpinned" for file in _fetch.manifest("haxby2001").files} == {False}


@pytest.mark.parametrize("id", ["allen2021", "algonauts2023"])
def test_terms_come_first_and_both_ways_to_accept_them_are_told(id, nobody, monkeypatch, tmp_path):
    monkeypatch.setattr(_fetch, "root", lambda name, roots: tmp_path)
    with pytest.raises(AccessError) as refused:
        datasets.load(id)
    message = str(refused.value)
    assert refused.value.exit_code == 4
    assert f"brainbench data accept {id}" in message and f"BRAINBENCH_ACCEPT_TERMS={id}" in message
    assert "https://" in message
    monkeypatch.setenv(_terms.VARIABLE, f"other, {id}")
    assert datasets.load(id).root == tmp_path
    monkeypatch.delenv(_terms.VARIABLE)
    assert _terms.accept(_fetch.manifest(id)) == nobody
    assert datasets.load(id).root == tmp_path
    assert nobody.read_text() == f'{id} = "unversioned"\n'


def test_a_recording_whose_terms_nobody_accepted_ends_no_run_over_others(nobody, monkeypatch, tmp_path):
    root = _fetch.root
    monkeypatch.setattr(_fetch, "root", lambda name, roots: tmp_path if name == "allen2021" else root(name, roots))
    asked = benchmarks.select(["allen2021.V1-ridge", "insilico.V1-ridge"])
    here, skipped = api.available(asked, {}, required=())
    assert [b.id for b in here] == ["insilico.V1-ridge"]
    assert "brainbench data accept allen2021" in skipped["allen2021.V1-ridge"]
    with pytest.raises(AccessError, match="brainbench data accept"):
        api.available(asked, {}, required=["allen2021.V1-ridge"])
    monkeypatch.setenv(_terms.VARIABLE, "allen2021")
    assert api.available(asked, {}, required=()) == (asked, {})


def test_new_terms_are_accepted_anew_and_others_stay_accepted(nobody):
    nsd, challenge = _fetch.manifest("allen2021"), _fetch.manifest("algonauts2023")
    _terms.accept(nsd)
    _terms.accept(challenge)
    assert _terms.accepted(nsd) and _terms.accepted(challenge)
    assert not _terms.accepted(nsd.model_copy(update={"terms_version": "2"}))
    assert _terms.accepted(_fetch.manifest("haxby2001"))


def test_a_record_that_cannot_be_read_or_written_is_told(nobody, monkeypatch):
    nobody.parent.mkdir(parents=True)
    nobody.write_text("not toml [")
    with pytest.raises(InputError, match=r"accepted_terms\.toml cannot be read"):
        _terms.accepted(_fetch.manifest("allen2021"))
    nobody.unlink()
    nobody.mkdir()
    with pytest.raises((InputError, AccessError), match=r"accepted_terms\.toml cannot be"):
        _terms.accept(_fetch.manifest("allen2021"))


def manifest_of(tmp_path, monkeypatch, text):
    head = [f'{fact} = "made"' for fact in ("title", "citation", "doi", "licence", "source")]
    head += ['id = "made2000"', "version = 1", 'base_url = "https://example.org/"']
    path = tmp_path / "data_manifests" / "made2000.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([*head, text]))
    monkeypatch.setattr(_fetch, "tomls", lambda name: [path])
    _fetch.shipped.cache_clear()


SERIES = """access = "open"
core = ["table"]
[parts]
one = ["one"]
two = ["two", "both"]
[[file]]
path = "table.csv"
sha256 = "unpinned"
group = "table"
[[series]]
path = "one/s{n:02d}.h5"
group = "one"
last = 3
[[series]]
path = "two/s{n}.h5"
group = "two"
first = 2
last = 3
[[folder]]
path = "masks"
pattern = "*/*.nii.gz"
group = "both"
"""


@pytest.fixture(autouse=True)
def forget():
    yield
    _fetch.shipped.cache_clear()


def test_series_and_folders_hold_the_files_they_describe(tmp_path, monkeypatch):
    manifest_of(tmp_path, monkeypatch, SERIES)
    manifest = _fetch.manifest("made2000")
    assert [file.path for file in manifest.files][1:] == [
        *(f"one/s0{n}.h5" for n in (1, 2, 3)),
        *(f"two/s{n}.h5" for n in (2, 3)),
    ]
    assert manifest.file("masks/lh/V1.nii.gz").group == "both"
    for path in ("masks/V1.nii.gz", "masks/lh/V1.nii", "other/lh/V1.nii.gz"):
        with pytest.raises(Exception, match="unknown file of made2000"):
            manifest.file(path)


def test_one_whole_part_is_enough_and_what_others_lack_is_told(tmp_path, monkeypatch):
    manifest_of(tmp_path, monkeypatch, SERIES)
    root = tmp_path / "here"
    for path in ("table.csv", "one/s01.h5", "one/s03.h5", "two/s2.h5"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    assert _fetch.missing("made2000", root) == ["one/s02.h5"]
    with pytest.raises(AccessError) as refused:
        _fetch.root("made2000", {"made2000": root})
    message = str(refused.value)
    assert "lacks 1 of 4 files, such as one/s02.h5" in message
    assert "one: lacks 1 of 3 files, such as one/s02.h5" in message
    assert "two: lacks 2 of 3 files" in message
    (root / "masks/lh").mkdir(parents=True)
    (root / "masks/lh/V1.nii.gz").write_bytes(b"x")
    (root / "two/s3.h5").write_bytes(b"x")
    assert _fetch.root("made2000", {"made2000": root}) == root
    (root / "table.csv").unlink()
    assert _fetch.missing("made2000", root) == ["table.csv"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('access = "open"', "no file, series or folder"),
        (SERIES.replace('"both"]', '"nobody"]'), "no file is in group"),
        (SERIES.replace('"open"', '"agreement"'), "needs terms_url and terms_version"),
        (SERIES.replace("one/s{n:02d}.h5", "../s{n:02d}.h5"), "without .."),
        (SERIES.replace("one/s{n:02d}.h5", "one/s.h5"), "a path is listed twice"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(tmp_path, monkeypatch, text, said):
    manifest_of(tmp_path, monkeypatch, text)
    with pytest.raises(InputError, match=said):
        _fetch.manifest("made2000")


def test_a_sha1_is_checked_where_there_is_no_sha256(tmp_path, monkeypatch):
    content = b"first file"
    digest = hashlib.sha1(content).hexdigest()
    text = f'access = "open"\n[[file]]\npath = "a.nc"\nsha256 = "unpinned"\nsha1 = "{digest}"\ngroup = "all"\n'
    manifest_of(tmp_path, monkeypatch, text)
    (tmp_path / "a.nc").write_bytes(content)
    assert _fetch.verified(tmp_path, "made2000", "a.nc") == tmp_path / "a.nc"
    (tmp_path / "a.nc").write_bytes(b"another file")
    with pytest.raises(InputError, match=f"another content: expected sha1 {digest}, found"):
        _fetch.verified(tmp_path, "made2000", "a.nc")
    assert _fetch.manifest("made2000").digest != ""


def test_pages_that_manifests_name_by_their_doi_are_named_as_doi_org_knows_them():
    """A slash at its end makes it another DOI, one that nobody registered."""
    addresses = [_fetch.manifest(path.stem).first_url for path in _fetch.tomls("data_manifests")]
    pages = [address for address in addresses if "//doi.org/" in address]
    assert pages and not [page for page in pages if page.endswith("/")]
