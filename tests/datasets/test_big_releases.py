"""fMRI and MEG of THINGS, BOLD5000 and the Algonauts challenge, in small files of the form that public code says."""

import io

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brainbench.benchmarks import SplitRule, known
from brainbench.checks import run_checks
from brainbench.core import mapped
from brainbench.datasets import _fetch
from brainbench.datasets.algonauts2023 import _ATLASES, Algonauts2023
from brainbench.datasets.chang2019 import Chang2019
from brainbench.datasets.hebart2023_fmri import Hebart2023Fmri
from brainbench.datasets.hebart2023_meg import Hebart2023Meg
from brainbench.errors import AccessError, InputError
from brainbench.scorers import load
from brainbench.targets import targets, window


def loaded(benchmark):
    return load(benchmark.scorer, benchmark.params)


def failures(dataset):
    return [(o.check, o.message) for o in run_checks(dataset) if o.status == "failed"]


def picture(*seed, format="PNG"):
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(stream, format)
    return stream.getvalue()


def npy(values):
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


@pytest.fixture
def with_folders(release):
    """`with_folders(id, files, {folder: pattern}, parts)`: what lies in a folder is found there, not listed."""

    def write(id, files, folders, parts=()):
        inside = {path for path in files for folder in folders if path.startswith(f"{folder}/")}
        root = release(id, files)
        path = root.parents[1] / "data_manifests" / f"{id}.toml"
        head, *entries = path.read_text().split("[[file]]")
        kept = [entry for entry in entries if not any(f'path = "{name}"' in entry for name in inside)]
        kept = [entry.replace('group = "responses"', f'group = "{_part(entry, parts)}"') for entry in kept]
        parted = "[parts]\n" + "".join(f'"{part}" = ["{part}"]\n' for part in parts) if parts else ""
        extra = [
            f'[[folder]]\npath = "{f}"\npattern = "{p}"\ngroup = "{_part(f, parts)}"\n' for f, p in folders.items()
        ]
        path.write_text(head + parted + "".join("[[file]]" + entry for entry in kept) + "".join(extra))
        _fetch.shipped.cache_clear()
        return root

    return write


def _part(text, parts):
    return next((part for part in parts if part in text), "others")


# hebart2023_fmri ----------------------------------------------------------------------------------------------------

CONCEPTS = ["dog", "mango", "spatula", "panda", "ice_cream"]
TRAIN = [f"{concept}_{n:02d}s" for concept in CONCEPTS for n in (1, 2)]
TEST = [f"{concept}_14s" for concept in CONCEPTS[:3]]
N_VOXELS = 90


def things_trials(subject, n_sessions=2):
    rng = np.random.default_rng(subject)
    train, rows = rng.permutation(TRAIN), []
    for session in range(n_sessions):
        shown = [(name, "train") for name in train[session::n_sessions]] + [(name, "test") for name in TEST]
        for at in rng.permutation(len(shown)):
            rows.append((shown[at][1], session + 1, 1, subject, len(rows), f"{shown[at][0]}.jpg"))
    return pd.DataFrame(rows, columns=["trial_type", "session", "run", "subject_id", "trial_id", "stimulus"])


def things_voxels(subject):
    rng = np.random.default_rng([4, subject])
    table = pd.DataFrame({"voxel_id": np.arange(N_VOXELS), "subject_id": subject})
    table["nc_singletrial"], table["nc_testset"] = 10 * rng.random(N_VOXELS), 90 * rng.random(N_VOXELS)
    for region in Hebart2023Fmri.spec.regions:
        table[region] = (rng.random(N_VOXELS) < 0.2).astype(int)
    table["glasser-V1"] = 0
    return table


def frame(values, *, order=None):
    """A data frame as pandas' HDFStore writes one: numbers (voxel, trial) and, apart, a column of voxel ids."""
    stream = io.BytesIO()
    ids = np.arange(len(values)) if order is None else order
    with h5py.File(stream, "w") as file:
        group = file.create_group("ResponseData")
        group.attrs["pandas_type"] = np.bytes_("frame")
        group["axis0"] = np.arange(values.shape[1])
        group["axis1"] = ids
        group["block0_items"] = np.arange(values.shape[1])
        group["block0_values"] = values[ids]
        group["block1_items"] = np.arange(1)
        group["block1_values"] = ids[:, None]
    return stream.getvalue()


def things_betas(subject):
    return np.random.default_rng([5, subject]).normal(size=(N_VOXELS, len(things_trials(subject)))).astype(np.float32)


def things_files():
    files = {
        f"object_images/{name.rpartition('_')[0]}/{name}.jpg": picture(n, format="JPEG")
        for n, name in enumerate(TRAIN + TEST)
    }
    for subject in (1, 2, 3):
        stem = f"betas_csv/sub-0{subject}_"
        order = np.random.default_rng(subject).permutation(N_VOXELS) if subject == 2 else None
        files[f"{stem}ResponseData.h5"] = frame(things_betas(subject), order=order)
        files[f"{stem}StimulusMetadata.csv"] = things_trials(subject).to_csv(index=False).encode()
        files[f"{stem}VoxelMetadata.csv"] = things_voxels(subject).to_csv(index=False).encode()
    return files


SUBS = ("sub-01", "sub-02", "sub-03")
IMAGES = {"object_images": "*/*.jpg"}


def test_hebart2023_fmri_keeps_the_contract(with_folders):
    recording = Hebart2023Fmri(with_folders("hebart2023_fmri", things_files(), IMAGES, SUBS))
    assert failures(recording) == []


@pytest.mark.parametrize("subject", [1, 2])
def test_a_beta_is_that_of_its_voxel_and_trial_by_id(with_folders, subject):
    recording = Hebart2023Fmri(with_folders("hebart2023_fmri", things_files(), IMAGES, SUBS))
    responses = recording.responses(f"sub-0{subject}", regions=("hV4", "IT"), sessions=("session02",))
    trials, voxels, betas = things_trials(subject), things_voxels(subject), things_betas(subject)
    own = np.flatnonzero(trials["session"] == 2)
    assert [f"{name}.jpg" for name in responses["stimulus_id"].values] == list(trials["stimulus"][own])
    for column, name in enumerate(responses["neuroid_id"].values):
        voxel = int(name.rsplit("-", 1)[1])
        assert voxels.loc[voxel, name.rsplit("-", 1)[0]] == 1
        np.testing.assert_array_equal(responses.values[:, column], betas[voxel, own])
    assert responses.sizes["neuroid"] == voxels["hV4"].sum() + voxels["IT"].sum()


def test_one_subject_without_pictures_is_enough_to_be_read(with_folders):
    files = {path: content for path, content in things_files().items() if "sub-03" in path}
    recording = Hebart2023Fmri(with_folders("hebart2023_fmri", files, IMAGES, ("sub-03",)))
    stimuli = recording.stimuli()
    assert stimuli.table["sha256"].isna().all() and stimuli.table.loc["ice_cream_01s", "group"] == "ice_cream"
    with pytest.raises(InputError, match="released without the picture of 'dog_01s'"):
        stimuli.image("dog_01s")


def test_a_subject_that_is_not_here_is_told_beside_those_that_are(with_folders):
    root = with_folders("hebart2023_fmri", things_files(), IMAGES, SUBS)
    (root / "betas_csv/sub-02_ResponseData.h5").unlink()
    with pytest.raises(
        AccessError, match=r"sub-02_ResponseData\.h5 is missing.*sub-01: complete, sub-02: lacks 1, sub-03"
    ):
        Hebart2023Fmri(root).responses("sub-02")
    assert _fetch.missing("hebart2023_fmri", root) == []
    for path in (root / "betas_csv").glob("sub-0[13]_V*"):
        path.unlink()
    assert len(_fetch.missing("hebart2023_fmri", root)) == 1


def test_betas_of_another_shape_are_refused(with_folders):
    for content, said in {
        frame(things_betas(1)[:, :-1]): "expected one of 16 trials",
        frame(things_betas(1)[:50]): "lacks .* voxels of sub-01's table",
        frame(things_betas(1))[:9000]: r"sub-01_ResponseData\.h5 is truncated or corrupt",
    }.items():
        files = things_files() | {"betas_csv/sub-01_ResponseData.h5": content}
        with pytest.raises(InputError, match=said):
            Hebart2023Fmri(with_folders("hebart2023_fmri", files, IMAGES, SUBS)).responses("sub-01")


# hebart2023_meg -----------------------------------------------------------------------------------------------------

CHANNELS = ["MLC11-1609", "MRF22-1609", "MLO11-1609", "MRO12-1609", "MZO01-1609", "MLT31-1609", "MRP54-1609"]


def meg(tmp_path, subject, *, metadata=True, split_size="2GB", test=TEST):
    """Epochs as the authors' script saves them: 7 sensors, 29 samples at 20 Hz, two sessions with catch trials."""
    mne = pytest.importorskip("mne")
    rows = []
    for session in (1, 2):
        shown = [(f"images_meg/{name.rpartition('_')[0]}/{name}.jpg", "exp") for name in TRAIN[session - 1 :: 2]]
        shown += [(f"images_test_meg/{name}.jpg", "test") for name in test]
        shown += [(f"images_catch_meg/catch{n:03d}.jpg", "catch") for n in (1, 2)]
        for at in np.random.default_rng([subject, session]).permutation(len(shown)):
            rows.append((shown[at][1], session, 1, shown[at][0]))
    table = pd.DataFrame(rows, columns=["trial_type", "session_nr", "run_nr", "image_path"])
    values = np.random.default_rng([6, subject]).normal(size=(len(rows), 7, 29)).astype(np.float32)
    info = mne.create_info(CHANNELS, sfreq=20.0, ch_types="mag")
    events = np.stack([np.arange(len(rows)), np.zeros(len(rows)), np.ones(len(rows))], axis=1).astype(int)
    epochs = mne.EpochsArray(values, info, events, tmin=-0.1, metadata=table if metadata else None, verbose="error")
    full = tmp_path / f"preprocessed_P{subject}-epo.fif"
    epochs.save(full, overwrite=True, split_size=split_size, verbose="error")
    return full.read_bytes(), values, table


@pytest.fixture
def sensors(with_folders, tmp_path):
    files = {
        f"object_images/{n.rpartition('_')[0]}/{n}.jpg": picture(k, format="JPEG") for k, n in enumerate(TRAIN + TEST)
    }
    for subject in (1, 2, 3, 4):
        files[f"derivatives/preprocessed/preprocessed_P{subject}-epo.fif"] = meg(tmp_path, subject)[0]
    return Hebart2023Meg(with_folders("hebart2023_meg", files, IMAGES, ("P1", "P2", "P3", "P4")))


def test_hebart2023_meg_keeps_the_contract(sensors):
    assert failures(sensors) == []


def test_a_field_is_that_of_its_sensor_trial_and_time(sensors, tmp_path):
    _, values, table = meg(tmp_path, 3)
    responses = sensors.responses("P3", regions=("occipital",), sessions=("session02",))
    assert list(responses["neuroid_id"].values) == ["MLO11-1609", "MRO12-1609", "MZO01-1609"]
    own = np.flatnonzero((table["session_nr"] == 2) & (table["trial_type"] != "catch"))
    np.testing.assert_allclose(responses.values, values[own][:, 2:5], rtol=1e-5)
    np.testing.assert_allclose(responses["time_s"].values, np.arange(29) / 20 - 0.1, atol=1e-9)
    assert not any("catch" in name for name in sensors.stimuli().ids)


def test_epochs_lie_in_a_file_where_they_are_large(sensors, monkeypatch):
    here = sensors.responses("P3", regions=("occipital",))
    monkeypatch.setattr(mapped, "HELD", 0)
    there = sensors.responses("P3", regions=("occipital",))
    assert there.identical(here) and not there.values.flags.c_contiguous  # in files sensors come first


@pytest.mark.parametrize("scorer", ["ridge", "rsa"])
def test_epochs_become_a_benchmarks_columns_of_time(with_folders, tmp_path, scorer):
    """Between epochs and an entry, all but the model; six test pictures, the fewest of two folds, in two sessions."""
    files, test = {}, [f"{concept}_14s" for concept in (*CONCEPTS, "zebra")]
    for subject in (1, 2, 3, 4):
        files[f"derivatives/preprocessed/preprocessed_P{subject}-epo.fif"] = meg(tmp_path, subject, test=test)[0]
    recording = Hebart2023Meg(with_folders("hebart2023_meg", files, IMAGES, ("P1", "P2", "P3", "P4")))
    benchmark = known()[f"hebart2023_meg.occipital-{scorer}"]
    assert benchmark.stimuli == {"kind": "test"}
    asked = targets(recording, [benchmark.model_copy(update={"split": SplitRule(n_folds=2)})], loaded(benchmark))
    target = asked[0]
    assert set(target.stimuli.ids) == set(test) and target.n_bins == 29
    assert sum(window(benchmark, target)) == 10  # 0.05 to 0.5 s in steps of 0.05 s
    if scorer == "ridge":
        assert [t.subjects[0] for t in asked] == ["P1", "P2", "P3", "P4"]
        _, values, table = meg(tmp_path, 2, test=test)
        own = [row for row, path in enumerate(table["image_path"]) if path.endswith(f"{test[1]}.jpg")]
        mean = asked[1].data.mean()[asked[1].data.stimulus_ids.index(test[1])]
        np.testing.assert_allclose(mean.reshape(3, 29), values[own][:, 2:5].mean(axis=0), rtol=1e-4, atol=1e-6)
        assert asked[1].names[29] == "MRO12-1609" and asked[1].times[29] == pytest.approx(-0.1)
    else:
        assert target.data.subjects[:30] == ("P1",) * 29 + ("P2",) and target.data.values.shape == (2, 116, 6, 6)


def test_epochs_that_break_or_lack_their_table_are_refused(with_folders, tmp_path):
    whole = meg(tmp_path, 1)[0]
    for content, said in {
        whole[:2000]: "(cannot be read|breaks while it is read)",
        b"not a fif": "cannot be read",
        meg(tmp_path, 1, metadata=False)[0]: "has no table of trials with trial_type",
    }.items():
        files = {"derivatives/preprocessed/preprocessed_P1-epo.fif": content}
        recording = Hebart2023Meg(with_folders("hebart2023_meg", files, IMAGES, ("P1",)))
        with pytest.raises(InputError, match=said):
            recording.responses("P1")


# chang2019 ----------------------------------------------------------------------------------------------------------

SHOWN = [f"COCO_train2014_{n:012d}.jpg" for n in range(4)] + [f"n0193011{n}_19568.JPEG" for n in range(4)]
SHOWN += ["airport1.jpg", "kitchen2.jpg"]


def bold5000():
    files = {}
    for n, name in enumerate(SHOWN):
        folder = "COCO" if name.startswith("COCO") else "ImageNet" if name.startswith("n0") else "Scene"
        files[f"BOLD5000_Stimuli/Scene_Stimuli/Presented_Stimuli/{folder}/{name}"] = picture(n, format="JPEG")
    for number in (1, 2, 3, 4):
        who, rng = f"CSI{number}", np.random.default_rng(number)
        order = list(rng.permutation(SHOWN)) + [f"rep_{name}" if number == 1 else name for name in SHOWN[::3]]
        lists = "BOLD5000_Stimuli/Stimuli_Presentation_Lists"
        files[f"{lists}/{who}/{who}_imgnames.txt"] = "".join(f"{name}\n" for name in order).encode()
        for region in Chang2019.spec.regions:
            for side, n_voxels in (("LH", 3), ("RH", 2)):
                stem = f"{who}_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses_{side}{region}.npy"
                values = rng.normal(size=(len(order), n_voxels))
                files[f"BOLD5000_GLMsingle_ROI_betas/py/{stem}"] = npy(values.astype(">f8" if number == 2 else "<f4"))
    return files


CSI = ("CSI1", "CSI2", "CSI3", "CSI4")
PRESENTED = {"BOLD5000_Stimuli/Scene_Stimuli/Presented_Stimuli": "*/*.*"}


def test_chang2019_keeps_the_contract(with_folders):
    recording = Chang2019(with_folders("chang2019", bold5000(), PRESENTED, CSI))
    assert failures(recording) == []
    assert recording.stimuli().table["source"].value_counts().to_dict() == {"COCO": 4, "ImageNet": 4, "Scene": 2}


def test_a_repeated_picture_is_the_same_picture(with_folders):
    files = bold5000()
    recording = Chang2019(with_folders("chang2019", files, PRESENTED, CSI))
    for who in ("CSI1", "CSI2"):
        responses = recording.responses(who, regions=("PPA",))
        assert sorted(responses["stimulus_id"].values[responses["repetition"].values == 1]) == sorted(SHOWN[::3])
        path = f"BOLD5000_GLMsingle_ROI_betas/py/{who}_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses_RHPPA.npy"
        expected = np.load(io.BytesIO(files[path])).astype(np.float32)
        np.testing.assert_array_equal(responses.values[:, responses["hemisphere"].values == "RH"], expected)


def test_arrays_that_do_not_fit_the_list_are_refused(with_folders):
    path = "BOLD5000_GLMsingle_ROI_betas/py/CSI3_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses_LHLOC.npy"
    right = bold5000()[path]
    for content, said in {
        right[:-8]: r"LHLOC\.npy is truncated",
        npy(np.zeros((3, 14))): r"has shape \(3, 14\); CSI3 saw 14 pictures",
        npy(np.zeros(14)): "expected 2 axes of numbers",
        npy(np.array([["a"]])): "expected 2 axes of numbers",
        npy(np.array([{}], dtype=object)): "truncated or no array of numbers",
    }.items():
        recording = Chang2019(with_folders("chang2019", bold5000() | {path: content}, PRESENTED, CSI))
        with pytest.raises(InputError, match=said):
            recording.responses("CSI3", regions=("LOC",))


# algonauts2023 ------------------------------------------------------------------------------------------------------

SUBJ = tuple(f"subj{n:02d}" for n in range(1, 9))
TRAINING = {f"{subject}/training_split/training_images": "*.png" for subject in SUBJ}


def algonauts():
    """12 pictures a subject, 4 of them everybody's; 60 vertices left, 50 right (40 of the right of subj06)."""
    files = {}
    for number, subject in enumerate(SUBJ):
        rng = np.random.default_rng(number)
        pictures = sorted({3, 11, 200, 7000} | set(20 + 10 * number + np.arange(8)))
        for at, nsd in enumerate(pictures):
            name = f"{subject}/training_split/training_images/train-{at + 1:04d}_nsd-{nsd:05d}.png"
            files[name] = picture(nsd)
        for side, n_vertices in (("lh", 60), ("rh", 40 if subject == "subj06" else 50)):
            values = rng.normal(size=(12, n_vertices)).astype(np.float32)
            files[f"{subject}/training_split/training_fmri/{side}_training_fmri.npy"] = npy(values)
            for atlas, regions in _ATLASES.items():
                mask = rng.integers(0, len(regions) + 1, n_vertices).astype(np.float32)
                files[f"{subject}/roi_masks/{side}.{atlas}_challenge_space.npy"] = npy(mask)
    return files


def test_algonauts2023_keeps_the_contract(with_folders):
    assert failures(Algonauts2023(with_folders("algonauts2023", algonauts(), TRAINING, SUBJ))) == []


def test_a_vertex_has_its_own_hemispheres_numbers(with_folders):
    files = algonauts()
    recording = Algonauts2023(with_folders("algonauts2023", files, TRAINING, SUBJ))
    responses = recording.responses("subj06", regions=("FFA-2", "hV4"))
    assert responses["stimulus_id"].values[0] == "nsd-00003"
    n = 0
    for side, letter in enumerate(("lh", "rh")):
        stored = np.load(io.BytesIO(files[f"subj06/training_split/training_fmri/{letter}_training_fmri.npy"]))
        for region, atlas, label in (("FFA-2", "floc-faces", 3), ("hV4", "prf-visualrois", 7)):
            mask = np.load(io.BytesIO(files[f"subj06/roi_masks/{letter}.{atlas}_challenge_space.npy"]))
            for vertex in np.flatnonzero(mask == label):
                column = list(responses["neuroid_id"].values).index(f"{region}-{vertex:03d}-{side:03d}")
                np.testing.assert_array_equal(responses.values[:, column], stored[:, vertex])
                n += 1
    assert n == responses.sizes["neuroid"]


def test_a_replaced_picture_changes_what_features_are_kept_for_and_another_subjects_does_not(with_folders):
    recording = Algonauts2023(with_folders("algonauts2023", algonauts(), TRAINING, SUBJ))
    before = recording.stimuli().select(tuple(recording._pictures("subj01")))
    (only_of_2,) = [path for name, path in recording._pictures("subj02").items() if name == "nsd-00034"]
    for path, changes in ((only_of_2, False), (recording._pictures("subj01")["nsd-00020"], True)):
        (recording.root / path).write_bytes((recording.root / path).read_bytes() + b"\n")
        after = recording.stimuli().select(before.ids)
        assert (after.fingerprint != before.fingerprint) == changes


def test_pictures_and_rows_that_differ_in_number_are_refused(with_folders):
    files = algonauts()
    (gone,) = [path for path in files if "subj02" in path and "train-0012" in path]
    del files[gone]
    with pytest.raises(InputError, match=r"subj02's lh has responses \(12, 60\), 11 pictures"):
        Algonauts2023(with_folders("algonauts2023", files, TRAINING, SUBJ)).responses("subj02")


def test_epochs_in_several_files_are_one_recording_and_a_missing_file_is_told(with_folders, tmp_path):
    """mne splits files of more than 2 GB; here of 2 MB."""
    mne = pytest.importorskip("mne")
    names = [name for name in TRAIN + TEST for _ in range(2)]
    table = pd.DataFrame({"trial_type": "exp", "session_nr": 1, "image_path": [f"images_meg/x/{n}.jpg" for n in names]})
    values = np.random.default_rng(8).normal(size=(len(names), 7, 4000)).astype(np.float32)
    events = np.stack([np.arange(len(names)), np.zeros(len(names)), np.ones(len(names))], axis=1).astype(int)
    info = mne.create_info(CHANNELS, sfreq=1000.0, ch_types="mag")
    epochs = mne.EpochsArray(values, info, events, tmin=-0.1, metadata=table, verbose="error")
    epochs.save(tmp_path / "preprocessed_P1-epo.fif", split_size="2MB", verbose="error")
    written = sorted(tmp_path.glob("preprocessed_P1-epo*.fif"))
    assert len(written) > 1
    files = {f"derivatives/preprocessed/{full.name}": full.read_bytes() for full in written}
    root = with_folders("hebart2023_meg", files, IMAGES, ("P1",))
    responses = Hebart2023Meg(root).responses("P1", regions=("frontal",))
    np.testing.assert_allclose(responses.values, values[:, 1:2], rtol=1e-5)
    assert responses.sizes["presentation"] == len(names)
    next(full for full in root.rglob("*.fif") if not full.name.endswith("P1-epo.fif")).unlink()
    with pytest.raises(InputError, match=r"preprocessed_P1-epo\.fif cannot be read"):
        Hebart2023Meg(root).responses("P1", regions=("frontal",))
