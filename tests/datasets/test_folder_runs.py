"""Runs on folders with a `dataset.toml`: what one of them lacks is no fault of the others, and nothing is lost."""

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import brainbench as bb
from brainbench import benchmarks, datasets
from brainbench.datasets import _declared, _fetch
from brainbench.errors import AccessError, InputError, UnknownNameError, UsageError

N = 30
IDS = [f"{number:03d}" for number in range(N)]


def write(root, *, n=N, units=("V4", "V4", "V4", "IT", "IT"), subjects=("ana",), time_s=None, pictures=True, more=""):
    """A folder of `n` stimuli that were shown twice; arrays by subject, to be changed and saved again."""
    (root / "stimuli").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in IDS[:n] if pictures else []:
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(root / "stimuli" / f"{name}.png")
    rows = "".join(f"{name},{f'stimuli/{name}.png' if pictures else ''}\n" for name in IDS[:n])
    (root / "stimuli.csv").write_text("stimulus_id,file\n" + rows)
    (root / "shown.csv").write_text("stimulus_id\n" + "".join(f"{name}\n" for name in IDS[:n] * 2))
    (root / "units.csv").write_text(
        "neuroid_id,region\n" + "".join(f"{number},{region}\n" for number, region in enumerate(units)),
        encoding="utf-8",
    )
    toml = f'id = "{root.name}"\ntitle = "t"\ncitation = "c"\nlicence = "l"\nspecies = "s"\nmodality = "m"\n'
    toml += f"time_s = {list(time_s)}\n" if time_s is not None else ""
    arrays = {}
    for name in subjects:
        toml += f'[subjects.{name}]\nresponses = "{name}.npy"\npresentations = "shown.csv"\nneuroids = "units.csv"\n'
        arrays[name] = rng.normal(size=(2 * n, len(units)) + (() if time_s is None else (len(time_s),)))
        np.save(root / f"{name}.npy", arrays[name])
    (root / "dataset.toml").write_text(toml + more)
    return arrays


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """Where recordings are looked for: nowhere else."""
    monkeypatch.delenv("BRAINBENCH_DATA", raising=False)
    yield tmp_path / "recordings"
    datasets.look_in({})


def features(n=N):
    return {"layer": np.random.default_rng(1).normal(size=(n, 6)).astype(np.float32)}


def scored(recordings, asked, tmp_path, model=None, **options):
    """Entries by benchmark."""
    options = {"cache": tmp_path / "cache", "data_root": recordings, "device": "cpu"} | options
    ids = {} if model else {"stimulus_ids": IDS}
    run = bb.score(model or features(), asked, **ids, **options)
    return {entry.benchmark: entry for entry in run.entries}


def denied(full):
    raise PermissionError(13, "Permission denied", str(full))


@pytest.mark.parametrize("trouble", ["empty", "link", "denied"])
def test_a_broken_file_of_one_dataset_takes_nothing_from_another(recordings, tmp_path, trouble, monkeypatch):
    write(recordings / "a2026")
    write(recordings / "z2026")
    picture = recordings / "a2026" / "stimuli" / "005.png"
    if trouble == "empty":
        picture.write_bytes(b"")
    if trouble == "link":
        picture.rename(tmp_path / "005.png")
        picture.symlink_to(tmp_path / "005.png")
    if trouble == "denied":
        monkeypatch.setattr(_declared, "difference", lambda full, *a: denied(full) if full == picture else "")
    found = scored(recordings, ("a2026.V4-*", "z2026.V4-rsa"), tmp_path, "baseline:gabor", out=tmp_path / "out")
    assert {name: entry.status for name, entry in found.items()} == {
        "a2026.V4-ridge": "failed",
        "a2026.V4-rsa": "failed",
        "z2026.V4-rsa": "ok",
    }
    bad = found["a2026.V4-rsa"]
    assert "005.png" in bad.reason and bad.benchmark_identity["dataset_content"] == "unreadable"
    assert len(list((tmp_path / "out").rglob("*.json"))) == 3
    if trouble == "denied":
        with pytest.raises(AccessError, match="no permission to read"):
            scored(recordings, "a2026.V4-*", tmp_path, "baseline:gabor")


def test_what_one_region_lacks_is_no_other_regions_fault(recordings, tmp_path):
    """Of one subject, all but one neuroid of IT were not measured for a stimulus: no dissimilarities of IT."""
    arrays = write(recordings / "x2026", subjects=("ana", "bo"))
    arrays["bo"][[0, N], 4] = np.nan
    np.save(recordings / "x2026" / "bo.npy", arrays["bo"])
    found = scored(recordings, "x2026.*-rsa", tmp_path)
    assert {name: entry.status for name, entry in found.items()} == {"x2026.IT-rsa": "failed", "x2026.V4-rsa": "ok"}
    assert "need 2" in found["x2026.IT-rsa"].reason


@pytest.mark.parametrize(("n", "n_folds"), [(8, 2), (10, 2), (17, 3), (25, 5), (30, 5)])
def test_few_stimuli_have_fewer_folds(recordings, tmp_path, n, n_folds):
    write(recordings / "x2026", n=n, units=("V4",))
    datasets.look_in({"": recordings})
    (made,) = benchmarks.select(("x2026.*",))
    assert (made.id, made.split.n_folds) == ("x2026.V4-ridge", n_folds)


def test_no_two_regions_share_an_id_whatever_they_are_called(recordings):
    write(recordings / "x2026", units=("α", "β", "V4 (l)", "V4 [l]", "a" * 90), pictures=False)
    datasets.look_in({"": recordings})
    made = {b.id: b.region for b in benchmarks.select(("x2026.*",))}
    ids = ("region", "region-2", "V4-l-", "V4-l--2", "a" * 40)
    assert made == dict(zip((f"x2026.{name}-ridge" for name in ids), ("α", "β", "V4 (l)", "V4 [l]", "a" * 90)))


@pytest.mark.parametrize("time_s", [(-0.1, 0.0, 0.1, 0.2), (0.0, 0.1), (-0.1, 0.05, 0.2)])
def test_benchmarks_that_are_made_score_what_comes_after_the_onset(recordings, time_s):
    write(recordings / "x2026", time_s=time_s)
    datasets.look_in({"": recordings})
    for made in benchmarks.select(("x2026.*",)):
        start, end = made.window_s
        assert [t for t in time_s if start <= t <= end] == [t for t in time_s if t > 0]


def test_no_benchmark_is_made_where_time_ends_with_the_onset(recordings, caplog):
    write(recordings / "x2026", time_s=(-0.2, -0.1, 0.0))
    datasets.look_in({"": recordings})
    with caplog.at_level("WARNING"):
        assert not [name for name in benchmarks.known() if name.startswith("x2026")]
    assert "benchmarks of x2026 are left out" in caplog.text and "time_s ends at 0 s" in caplog.text
    with pytest.raises(InputError, match="time_s ends at 0 s"):
        benchmarks.select(("x2026.*",))


@pytest.mark.parametrize("trouble", ["capitals", "dash", "itself", "absent", "list", "denied", "denied all"])
def test_why_a_folder_is_not_found_is_said(recordings, tmp_path, monkeypatch, caplog, trouble):
    name = {"capitals": "MyLab", "dash": "my-lab"}.get(trouble, "x2026")
    write(recordings / name, pictures=False)
    places = {"itself": recordings / name, "absent": tmp_path / "gone", "list": f"{tmp_path}:{recordings}"}
    monkeypatch.setenv("BRAINBENCH_DATA", str(places.get(trouble, recordings)))
    access = os.access
    if trouble == "denied":
        monkeypatch.setattr(os, "access", lambda path, mode: path != recordings / name and access(path, mode))
        monkeypatch.setattr(_fetch, "holds_dataset", lambda folder: False, raising=False)
    if trouble == "denied all":
        look = Path.iterdir
        monkeypatch.setattr(Path, "iterdir", lambda path: denied(path) if path == recordings else look(path))
    with caplog.at_level("WARNING"), contextlib.suppress(UnknownNameError):
        benchmarks.select((f"{name}.*",))
    says = {
        "capitals": "MyLab is left out: the id of a dataset, and the name of its folder, have lower-case letters",
        "dash": "my-lab is left out",
        "itself": "x2026 is the folder of a dataset itself: BRAINBENCH_DATA is the folder above it",
        "absent": "gone, which is no folder",
        "list": "which is no folder (it is one folder, not a list)",
        "denied": f"no permission to look into {recordings / name}",
        "denied all": f"no permission to look into {recordings} (BRAINBENCH_DATA)",
    }
    assert says[trouble] in caplog.text


def test_a_data_root_that_is_a_dataset_itself_or_has_no_id_is_refused(recordings, tmp_path):
    write(recordings / "x2026", pictures=False)
    with pytest.raises(UsageError, match=r"folder of a dataset itself.*--data-root x2026="):
        scored(recordings / "x2026", "x2026.*", tmp_path)
    with pytest.raises(UsageError, match=r"'X-2026' cannot be the id of .*lower-case"):
        scored({"X-2026": recordings / "x2026"}, "x2026.*", tmp_path)


def test_neuroids_that_an_rdm_lacks_are_not_counted_among_subjects(recordings, tmp_path, caplog):
    arrays = write(recordings / "x2026", subjects=("ana", "bo"))
    arrays["bo"][[0, N], 0] = np.nan
    np.save(recordings / "x2026" / "bo.npy", arrays["bo"])
    with caplog.at_level("WARNING"):
        scored(recordings, "x2026.V4-*", tmp_path)
    assert "x2026.V4-rsa: not in the score: 1 incomplete-neuroid" in caplog.text
    assert "x2026.V4-ridge: 1 of 6 neuroids are not in the score: 1 missing-stimuli" in caplog.text


def test_no_rsa_is_made_of_neuroids_that_were_shown_different_stimuli(recordings, caplog):
    arrays = write(recordings / "x2026", subjects=("ana", "bo"), pictures=False)
    shown = "".join(f"{name},{day}\n" for day, names in (("mon", IDS), ("tue", IDS[:20] + IDS[:10])) for name in names)
    (recordings / "x2026" / "shown.csv").write_text("stimulus_id,session\n" + shown)
    arrays["bo"][:N, :2] = np.nan  # V4: two neuroids on Tuesday, one on both days
    np.save(recordings / "x2026" / "bo.npy", arrays["bo"])
    datasets.look_in({"": recordings})
    with caplog.at_level("WARNING"):
        made = {b.id: b.subjects for _ in range(2) for b in benchmarks.select(("x2026.*",))}
    assert made == {
        "x2026.V4-ridge": ("ana", "bo"),
        "x2026.V4-rsa": ("ana",),
        "x2026.IT-ridge": ("ana", "bo"),
        "x2026.IT-rsa": ("ana", "bo"),
    }
    assert caplog.text.count("no RSA is made of V4 of bo in x2026") == 1
