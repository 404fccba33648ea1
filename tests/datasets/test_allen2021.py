"""The Natural Scenes Dataset in its own files, small: what public code and the manual say of names, types and axes."""

import io
import os
import tracemalloc

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io

from brainbench.checks import run_checks
from brainbench.datasets import _fetch, _slabs
from brainbench.datasets.allen2021 import ATLASES, SUBJECTS, Allen2021, Allen2021Fsaverage
from brainbench.errors import AccessError, InputError, UnknownNameError

SHAPE = (5, 6, 4)
SHARED, OWN = 100, 400
N = SHARED + 8 * OWN
BETAS = "betas_fithrf_GLMdenoise_RR"
EXPERIMENT = "nsddata/experiments/nsd"
PICTURES = "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"
CTABS = {
    name: "".join(f"{n} {region}\n" for n, region in enumerate(("Unknown", *regions)))
    for name, regions in ATLASES.items()
}


def hdf5(name, values, **options):
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.create_dataset(name, data=values, **options)
    return stream.getvalue()


def mat(**content):
    stream = io.BytesIO()
    scipy.io.savemat(stream, content)
    return stream.getvalue()


def design():
    """Who saw what: (subjectim, masterordering), counted from 1; the first 100 pictures are everybody's."""
    rng = np.random.default_rng(0)
    own = SHARED + rng.permutation(8 * OWN).reshape(8, OWN)
    subjectim = np.concatenate([np.tile(np.arange(SHARED), (8, 1)), own], axis=1) + 1
    order = rng.permutation(np.repeat(np.arange(1, SHARED + OWN + 1), 3))
    return subjectim, order[None]


def info(subjectim, order):
    rng = np.random.default_rng(1)
    shown = subjectim[:, order.ravel() - 1] - 1
    table = pd.DataFrame(
        {
            "cocoId": rng.permutation(500000)[:N],
            "cocoSplit": np.where(np.arange(N) % 10, "train2017", "val2017"),
            "cropBox": ["(0, 0, 0, 0.25)"] * N,
            "loss": rng.random(N),
            "nsdId": np.arange(N),
            "flagged": False,
            "BOLD5000": False,
            "shared1000": np.arange(N) < SHARED,
        }
    )
    for who in range(8):
        table[f"subject{who + 1}"] = np.isin(np.arange(N), subjectim[who] - 1)
    for who in range(8):
        trials = np.zeros((N, 3), dtype=int)
        seen = np.zeros(N, dtype=int)
        for trial, picture in enumerate(shown[who]):
            trials[picture, seen[picture]] = trial + 1
            seen[picture] += 1
        for repetition in range(3):
            table[f"subject{who + 1}_rep{repetition}"] = trials[:, repetition]
    return table


def betas(subject, session, shape=SHAPE):
    """int16 of 300 x percent (x, y, z, trial)."""
    seed = [SUBJECTS.index(subject), session]
    return np.random.default_rng(seed).integers(-2000, 2000, (*shape, 750), dtype=np.int16)


def atlas(name, subject):
    values = np.random.default_rng([7, len(name), SUBJECTS.index(subject)]).integers(-1, len(ATLASES[name]) + 1, SHAPE)
    return values.astype(np.int16)


def ncsnr(subject, shape=SHAPE):
    return np.random.default_rng([8, SUBJECTS.index(subject)]).random(shape).astype(np.float32)


@pytest.fixture(scope="module")
def shared_files():
    subjectim, order = design()
    pictures = np.random.default_rng(2).integers(0, 256, (N, 12, 12, 3), dtype=np.uint8)
    return {
        f"{EXPERIMENT}/nsd_expdesign.mat": mat(
            subjectim=subjectim.astype(np.float64), masterordering=order, sharedix=np.arange(1, SHARED + 1)[None]
        ),
        f"{EXPERIMENT}/nsd_stim_info_merged.csv": info(subjectim, order).to_csv().encode(),
        PICTURES: hdf5("imgBrick", pictures, chunks=(1, 12, 12, 3)),
    }


@pytest.fixture(scope="module")
def volumes(shared_files, formats):
    """Two sessions a subject, one of subj03, in HDF5."""
    files = dict(shared_files)
    for subject in SUBJECTS:
        for name in ATLASES:
            files[f"nsddata/ppdata/{subject}/func1pt8mm/roi/{name}.nii.gz"] = formats.nifti(atlas(name, subject))
            if name != "nsdgeneral":
                files[f"nsddata/freesurfer/{subject}/label/{name}.mgz.ctab"] = CTABS[name].encode()
        folder = f"nsddata_betas/ppdata/{subject}/func1pt8mm/{BETAS}"
        files[f"{folder}/ncsnr.nii.gz"] = formats.nifti(ncsnr(subject))
        for session in (1, 2)[: 1 if subject == "subj03" else 2]:
            stored = np.ascontiguousarray(betas(subject, session).T)  # MATLAB's axes come out reversed
            files[f"{folder}/betas_session{session:02d}.hdf5"] = hdf5("betas", stored, chunks=(750, 2, 3, 2))
    return files


@pytest.fixture
def recording(release, volumes):
    return Allen2021(release("allen2021", volumes))


def made(release, volumes, **changes):
    """The recording with files replaced, or removed where None; keys are ends of paths."""
    files = dict(volumes)
    for end, content in changes.items():
        (path,) = [path for path in files if path.endswith(end)]
        if content is None:
            del files[path]
        else:
            files[path] = content
    return Allen2021(release("allen2021", files))


def test_eight_subjects_keep_the_contract(recording):
    assert [(o.check, o.message) for o in run_checks(recording) if o.status == "failed"] == []


def test_a_beta_is_that_of_its_voxel_trial_and_session(recording):
    responses = recording.responses("subj02", regions=("hV4",))
    whole = np.concatenate([betas("subj02", 1), betas("subj02", 2)], axis=3)
    places = np.argwhere(atlas("prf-visualrois", "subj02") == 7)
    assert list(responses["neuroid_id"].values) == [f"hV4-{i:03d}-{j:03d}-{k:03d}" for i, j, k in places]
    expected = np.stack([whole[i, j, k] for i, j, k in places], axis=1) / 300
    np.testing.assert_allclose(responses.values, expected, rtol=1e-6)
    np.testing.assert_array_equal(responses["ncsnr"].values, ncsnr("subj02")[tuple(places.T)])
    assert set(responses["session"].values[:750]) == {"session01"}


def test_ids_count_from_0_though_the_design_counts_from_1(recording):
    subjectim, order = design()
    responses = recording.responses("subj05", regions=("EBA",), sessions=("session02",))
    trial = 750 + 31
    picture = subjectim[4, order[0, trial] - 1]  # from 1
    assert responses["stimulus_id"].values[31] == f"nsd{picture - 1:05d}"
    stored = _pixels(recording, picture - 1)
    np.testing.assert_array_equal(np.asarray(recording.stimuli().image(f"nsd{picture - 1:05d}")), stored)
    table = recording.stimuli().table
    assert list(table.index[table["shared1000"]]) == [f"nsd{n:05d}" for n in range(SHARED)]


def _pixels(recording, number):
    with h5py.File(recording.root / PICTURES) as file:
        return file["imgBrick"][number]


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_design_that_is_off_by_one_is_refused(release, volumes, shift):
    subjectim, order = design()
    moved = mat(subjectim=np.clip(subjectim + shift, 1, N), masterordering=order, sharedix=np.ones((1, 1)))
    with pytest.raises(InputError, match=r"disagree on what subj01 saw in .* counts pictures and trials from 1"):
        made(release, volumes, **{"nsd_expdesign.mat": moved}).responses("subj01", regions=("EBA",))
    from_0 = mat(subjectim=subjectim, masterordering=order - 1, sharedix=np.ones((1, 1)))
    with pytest.raises(InputError, match="must count from 1"):
        made(release, volumes, **{"nsd_expdesign.mat": from_0}).responses("subj01", regions=("EBA",))


def test_a_table_whose_ids_count_from_1_is_refused(release, volumes):
    table = info(*design())
    table["nsdId"] += 1
    recording = made(release, volumes, **{"merged.csv": table.to_csv().encode()})
    with pytest.raises(InputError, match=r"nsdId of .* must count from 0"):
        recording.stimuli()


def test_pictures_are_told_apart_by_what_the_release_says_they_are(release, volumes):
    before = made(release, volumes).stimuli().table["sha256"]
    table = info(*design())
    table.loc[7, "cropBox"] = "(0, 0, 0.1, 0)"
    after = made(release, volumes, **{"merged.csv": table.to_csv().encode()}).stimuli().table["sha256"]
    assert list(np.flatnonzero(before.to_numpy() != after.to_numpy())) == [7]


def test_features_are_those_of_the_pictures_as_they_are_now(release, volumes):
    """Their names stand for 40 GB that nobody hashes, so a file of pictures that is replaced must be seen otherwise."""
    recording = made(release, volumes)
    before = recording.stimuli().select(("nsd00003", "nsd00001"))
    assert before.fingerprint == recording.stimuli().select(before.ids).fingerprint
    file = recording.root / PICTURES
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    after = recording.stimuli().select(before.ids)
    assert after.fingerprint != before.fingerprint
    assert (after.table["sha256"] == before.table["sha256"]).all()  # still the same pictures to whoever looks for leaks


def test_nifti_is_read_where_there_is_no_hdf5_and_gives_the_same(release, volumes, formats):
    one = made(release, volumes).responses("subj01", regions=("nsdgeneral", "V1"))
    files = {path: content for path, content in volumes.items() if not path.endswith("hdf5") or "stimuli" in path}
    for session in (1, 2):
        path = f"nsddata_betas/ppdata/subj01/func1pt8mm/{BETAS}/betas_session{session:02d}.nii.gz"
        files[path] = formats.nifti(betas("subj01", session))
    other = Allen2021(release("allen2021", files)).responses("subj01", regions=("nsdgeneral", "V1"))
    assert one.identical(other)


def test_a_voxel_that_was_not_measured_in_a_session_is_missing_not_0(release, volumes):
    inside = np.argwhere(np.isin(atlas("prf-visualrois", "subj01"), (1, 2)))
    stored = betas("subj01", 2)
    stored[tuple(inside[0])] = 0
    stored[tuple(inside[1])][:749] = 0  # one trial is enough to know that it was
    path = "subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR/betas_session02.hdf5"
    recording = made(release, volumes, **{path: hdf5("betas", np.ascontiguousarray(stored.T))})
    responses = recording.responses("subj01", regions=("V1",))
    assert list(np.flatnonzero(np.isnan(responses.values).all(axis=0))) == [0]
    assert np.isnan(responses.values).sum() == 1500
    assert np.isfinite(recording.responses("subj01", regions=("V1",), sessions=("session01",)).values).all()


def test_v1_is_its_two_halves(recording):
    v1 = recording.responses("subj01", regions=("V1",))
    halves = recording.responses("subj01", regions=("V1v", "V1d"))
    bare = {name.split("-", 1)[1] for name in v1["neuroid_id"].values}
    assert bare == {name.split("-", 1)[1] for name in halves["neuroid_id"].values}
    assert v1.sizes["neuroid"] == halves.sizes["neuroid"] == (np.isin(atlas("prf-visualrois", "subj01"), (1, 2))).sum()


def test_a_missing_session_is_told_subject_by_subject(release, volumes):
    """D12: nothing is scored on what happens to be there."""
    recording = made(release, volumes)
    manifest = _fetch.manifest("allen2021")
    parts = {subject: [subject] for subject in SUBJECTS}
    listed = [file.model_copy(update={"group": _subject(file.path)}) for file in manifest.files]
    split = manifest.model_copy(update={"listed": listed, "parts": parts, "core": ["none"]})
    split.__dict__.pop("files", None)
    _fetch.shipped.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_fetch, "manifest", lambda id: split)
        next(recording.root.rglob("subj02/func1pt8mm/*/betas_session02.hdf5")).unlink()
        with pytest.raises(AccessError) as refused:
            recording.responses("subj02", regions=("EBA",))
    message = str(refused.value)
    assert "betas_session02.hdf5 and" in message and "https://example.org" in message
    assert "subj01: complete" in message and "subj02: lacks 1 files" in message


def _subject(path):
    return next((subject for subject in SUBJECTS if subject in path), "none")


def test_broken_betas_are_refused_for_what_they_are(release, volumes):
    """D10: truncated, a pointer, another shape or type; big-endian numbers are read as the numbers they are."""
    path = "subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR/betas_session01.hdf5"
    right = betas("subj01", 1).T
    cases = {
        hdf5("betas", right)[:-4000]: r"betas_session01\.hdf5 is truncated or corrupt",
        b"\x89HDF\r\n\x1a\n" + b"\0" * 5000: "is truncated or corrupt",
        b"a,b\n1,2\n": "is no HDF5 file",
        hdf5("beta", right): "has no array 'betas'; it holds beta",
        hdf5("betas", right[:749]): r"has shape \(749, 4, 6, 5\); expected 750 x any x any x any",
        hdf5("betas", right.astype(np.float32)): "holds float32, not int16",
        hdf5("betas", right.T.copy()): r"has shape \(5, 6, 4, 750\)",
        hdf5("betas", right[:, :, :, :3]): "masks of this subject belong to another one",
    }
    for content, said in cases.items():
        with pytest.raises(InputError, match=said) as refused:
            made(release, volumes, **{path: content}).responses("subj01", regions=("nsdgeneral",))
        assert "subj01" in str(refused.value)
    swapped = made(release, volumes, **{path: hdf5("betas", right.astype(">i2"))})
    found = swapped.responses("subj01", regions=("EBA",))
    assert found.identical(made(release, volumes).responses("subj01", regions=("EBA",)))


def test_an_unpinned_pointer_is_no_recording(release, volumes):
    recording = made(release, volumes)
    (full,) = recording.root.rglob("subj01/func1pt8mm/*/betas_session01.hdf5")
    full.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 10\n")
    manifest = _fetch.manifest("allen2021")
    listed = [file.model_copy(update={"bytes": None, "sha256": "unpinned"}) for file in manifest.files]
    unpinned = manifest.model_copy(update={"listed": listed})
    unpinned.__dict__.pop("files", None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_fetch, "manifest", lambda id: unpinned)
        with pytest.raises(InputError, match=r"betas_session01\.hdf5 is a git-LFS pointer"):
            recording.responses("subj01", regions=("EBA",))
        full.write_bytes(b"")
        with pytest.raises(InputError, match=r"truncated: expected the file itself, found 0 bytes"):
            recording.responses("subj01", regions=("EBA",))


def test_a_region_that_a_subject_lacks_is_told(release, volumes):
    path = "nsddata/freesurfer/subj01/label/floc-words.mgz.ctab"
    short = CTABS["floc-words"].replace("5 mTL-words\n", "").encode()
    with pytest.raises(InputError, match="no voxel of subj01 is in mTL-words"):
        made(release, volumes, **{path: short}).responses("subj01", regions=("mTL-words",))
    with pytest.raises(InputError, match="is no table of labels"):
        made(release, volumes, **{path: b"mTL-words\n"}).responses("subj01", regions=("mTL-words",))
    with pytest.raises(UnknownNameError, match="Did you mean 'hV4'"):
        made(release, volumes).responses("subj01", regions=("V4",))
    with pytest.raises(UnknownNameError, match="session of subj03"):
        made(release, volumes).responses("subj03", sessions=("session02",))


def test_one_region_of_a_session_of_true_size_needs_little_memory(tmp_path):
    """81 x 104 x 83 voxels x 750 trials are 1 GB of int16; 1,500 voxels of V1 are 2 MB of them."""
    shape = (81, 104, 83)
    with h5py.File(tmp_path / "betas.hdf5", "w") as file:  # chunks that were never written take no room on disk
        file.create_dataset("betas", (750, *shape[::-1]), "i2", chunks=(750, 1, 26, 27))
    at = tuple(np.sort(axis) for axis in np.random.default_rng(0).integers(20, 45, (3, 1500)))
    tracemalloc.start()
    found = _slabs.voxels(tmp_path / "betas.hdf5", "betas", at, n_volumes=750, dtype="int16")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.shape == (750, 1500)
    assert peak < 20e6


def test_pictures_of_true_size_open_one_by_one(release, volumes):
    """`imgBrick` of 73,000 pictures is 40 GB: one is 542 kB."""
    recording = made(release, volumes)
    with h5py.File(recording.root / PICTURES, "w") as file:
        brick = file.create_dataset("imgBrick", (N, 425, 425, 3), "u1", chunks=(1, 425, 425, 3))
        brick[41] = 7
    tracemalloc.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recording, "_verified", lambda path: recording.root / path)
        picture = recording.stimuli().image("nsd00041")
        assert tracemalloc.get_traced_memory()[1] < 30e6
    tracemalloc.stop()
    assert picture.size == (425, 425) and np.asarray(picture).mean() == 7


@pytest.fixture
def surface(release, shared_files, formats):
    """40 vertices a hemisphere."""
    files = dict(shared_files)
    rng = np.random.default_rng(5)
    for name in ("streams", "nsdgeneral"):
        for side in ("lh", "rh"):
            labels = rng.integers(0, len(ATLASES[name]) + 1, (40, 1, 1)).astype(np.int32)
            files[f"nsddata/freesurfer/fsaverage/label/{side}.{name}.mgz"] = formats.mgh(labels, packed=True)
    files["nsddata/freesurfer/fsaverage/label/streams.mgz.ctab"] = CTABS["streams"].encode()
    for subject in SUBJECTS:
        folder = f"nsddata_betas/ppdata/{subject}/fsaverage/{BETAS}"
        for side in ("lh", "rh"):
            values = rng.normal(size=(40, 1, 1, 750)).astype(np.float32)
            files[f"{folder}/{side}.betas_session01.mgh"] = formats.mgh(values)
            files[f"{folder}/{side}.ncsnr.mgh"] = formats.mgh(rng.random((40, 1, 1)).astype(np.float32))
    return Allen2021Fsaverage(release("allen2021_fsaverage", files))


def test_the_surface_keeps_the_contract(surface):
    assert [(o.check, o.message) for o in run_checks(surface) if o.status == "failed"] == []


def test_a_vertex_is_of_its_hemisphere(surface):
    folder = f"nsddata_betas/ppdata/subj04/fsaverage/{BETAS}"
    stored = []
    for side in ("lh", "rh"):  # 284 bytes of header, then big-endian numbers, the vertex running fastest
        content = (surface.root / folder / f"{side}.betas_session01.mgh").read_bytes()
        stored.append(np.frombuffer(content, ">f4", count=40 * 750, offset=284).reshape(750, 40))
    responses = surface.responses("subj04", regions=("ventral",))
    for column, name in enumerate(responses["neuroid_id"].values):
        vertex, side = (int(part) for part in name.split("-")[1:3])
        np.testing.assert_allclose(responses.values[:, column], stored[side][:, vertex], rtol=1e-6)
    assert {name.split("-")[2] for name in responses["neuroid_id"].values} == {"000", "001"}


def test_what_its_benchmarks_ask_for_is_there(recording):
    """The shared pictures for geometries, all for ridge with the ceiling by variances; nothing else is read."""
    from brainbench.benchmarks import known
    from brainbench.scorers import load
    from brainbench.targets import targets

    who = {"subjects": ("subj01", "subj02")}
    rsa = known()["allen2021.V1-rsa"].model_copy(update=who)
    (target,) = targets(recording, [rsa], load(rsa.scorer, rsa.params))
    assert target.data.values.shape == (2, SHARED, SHARED)
    ridge = known()["allen2021.V1-ridge"].model_copy(update=who)
    first, second = targets(recording, [ridge], load(ridge.scorer, ridge.params))
    assert first.data.values.shape[:2] == (SHARED + OWN, 3)
    responses = recording.responses("subj01", regions=("V1",))
    trials = pd.DataFrame(responses.values).groupby(responses["stimulus_id"].values)
    noise = trials.var(ddof=1).mean().to_numpy()
    signal = np.clip(responses.values.var(axis=0, dtype=np.float64) - noise, 0, None)
    np.testing.assert_allclose(first.ceilings["ncsnr"].value, signal / (signal + noise / 3), atol=1e-5)
    assert set(second.subjects) == {"subj02"}


def test_few_shot_readouts_are_scored_on_the_shared_pictures(release, volumes, monkeypatch, tmp_path):
    """As shipped but for fewer subjects and stimuli: 100 pictures are shared here, 80 of them in training."""
    from brainbench import models, runner, settings
    from brainbench.benchmarks import known
    from brainbench.datasets import _terms

    recording = made(release, volumes)
    monkeypatch.setattr(_terms, "demand", lambda manifest: None)
    fewer = {"support": 20, "sizes": [10, 40, 100]}
    asked = [
        known()[f"allen2021.hV4-fewshot-{how}"].model_copy(
            update={"subjects": ("subj01",), "params": known()[f"allen2021.hV4-fewshot-{how}"].params | fewer}
        )
        for how in ("ridge", "in_context")
    ]
    setting = settings.make_setting(roots={"allen2021": recording.root}, device="cpu", cache_folder=tmp_path)
    for entry in runner.run(models.load("in_context:small"), asked, setting):
        assert entry.status == "ok", entry.reason
        assert entry.n_stimuli == SHARED and abs(entry.raw) < 0.2  # responses are noise
        assert [value is None for value in entry.extras["support"]] == [False, False, True]  # of 80, no draw of 100
