import gzip

import numpy as np
import pandas as pd
import pytest

from brainbench.checks import run_checks
from brainbench.core.arrays import blocks
from brainbench.datasets import _glm, _volumes
from brainbench.datasets.haxby2001 import CATEGORIES, Haxby2001, Haxby2001Nilearn, _runs_of
from brainbench.errors import InputError, UnknownNameError


@pytest.fixture(scope="module")
def recording(data_root):
    if not (data_root / "haxby2001").is_dir():
        pytest.skip("haxby2001 is not here")
    return Haxby2001(data_root / "haxby2001")


@pytest.mark.data
def test_a_presentation_is_a_block_of_one_of_twelve_runs(recording):
    responses = recording.responses("sub001")
    counts = pd.Series(responses["region"].values).value_counts().to_dict()
    assert counts == {"brain": 129, "gray": 28, "white": 34, "vt": 1, "slice": 530}
    assert responses.shape == (96, 722)
    shown = pd.crosstab(responses["session"].values, responses["stimulus_id"].values)
    assert shown.shape == (12, 8) and (shown.to_numpy() == 1).all()
    assert np.isfinite(responses.values).all()


@pytest.mark.data
def test_labels_of_the_scans_give_the_onsets_of_the_event_files(recording, data_root):
    """PyMVPA's table has the form of nilearn's labels.txt, without the header."""
    path = data_root / "haxby2001" / "mvpa2" / "data" / "attributes_literal.txt"
    labels = pd.read_csv(path, sep=" ", names=["labels", "chunks"])
    for chunk, rows in labels.groupby("chunks")["labels"]:
        pd.testing.assert_frame_equal(_runs_of(rows), recording._events(f"run{chunk + 1:02d}"))


@pytest.mark.data
def test_labels_name_the_scans_that_hold_the_response(recording):
    """Fitted as labelled, blocks explain more than convolved with a haemodynamic response."""
    from nilearn.glm.first_level import make_first_level_design_matrix

    at = np.nonzero(recording._mask("slice"))
    explained = {None: [], "glover": []}
    for run in ("run01", "run05", "run12"):
        series = _volumes.voxels(recording._path(run, "bold_1slice.nii.gz"), at).astype(np.float64)
        for hrf, found in explained.items():
            design = make_first_level_design_matrix(
                np.arange(len(series)) * 2.5, recording._events(run), hrf_model=hrf, high_pass=_glm.HIGH_PASS_HZ
            )
            left = []
            for columns in (design, design.drop(columns=list(CATEGORIES))):
                x = columns.to_numpy()
                left.append(((series - x @ np.linalg.lstsq(x, series, rcond=None)[0]) ** 2).sum(axis=0))
            found.append(np.sort(1 - left[0] / left[1])[-60:].mean())
    assert np.mean(explained[None]) > 0.45
    assert np.mean(explained["glover"]) < 0.35


@pytest.mark.data
def test_categories_can_be_told_from_the_slice(recording):
    """Each run from the mean of the others, nearest by correlation: .69 where chance is .125."""
    (block,) = blocks(recording.responses("sub001", regions=("slice",)))
    values = block.values / block.values.std(axis=(0, 1))
    right = []
    for run in range(values.shape[1]):
        others = np.delete(values, run, axis=1).mean(axis=1)
        own = values[:, run]
        r = np.corrcoef(own - own.mean(axis=0), others - others.mean(axis=0))[:8, 8:]
        right.append((r.argmax(axis=1) == np.arange(8)).mean())
    assert np.mean(right) > 0.6


def test_a_block_has_the_height_it_was_made_with():
    rng = np.random.default_rng(0)
    labels = ["rest"] * 6 + ["face"] * 9 + ["rest"] * 6 + ["cat"] * 9 + ["rest"] * 6
    events = _runs_of(pd.Series(labels))
    assert events.to_dict("list") == {"onset": [15.0, 52.5], "duration": [22.5, 22.5], "trial_type": ["face", "cat"]}
    height = rng.normal(2, 1, (2, 5))  # percent of what each voxel has on average
    design = np.array([[label == name for name in ("face", "cat")] for label in labels], dtype=float)
    percent = 100 + (design - design.mean(axis=0)) @ height  # so that the mean is 100
    found = _glm.block_responses(percent * 7, events, t_r=2.5)
    np.testing.assert_allclose(found, height, atol=1e-5)
    silent = _glm.block_responses(np.zeros((36, 2)), events, t_r=2.5)
    assert np.isnan(silent).all()


@pytest.fixture
def fetched(release, formats):
    """Six subjects as nilearn leaves them, small: 12 runs, 4 x 5 x 3 voxels, and a run of subj5 that has no labels."""
    rng = np.random.default_rng(1)
    files = {}
    for number in range(1, 7):
        rows = ["labels chunks"]
        for chunk in range(12):
            names = [] if (number, chunk) == (5, 7) else list(rng.permutation(CATEGORIES))
            labels = ["rest"] * 6
            for name in names:
                labels += [name] * 9 + ["rest"] * 6
            labels += ["rest"] * (126 - len(labels))
            rows += [f"{label} {chunk}" for label in labels]
        bold = rng.normal(1000, 30, (4, 5, 3, 12 * 126)).astype(np.int16)
        vt = np.zeros((4, 5, 3), dtype=np.int16)
        vt[1:3, 1:4, 1] = 1
        face, house = vt.copy(), vt.copy()
        face[2], house[1] = 0, 0
        files[f"subj{number}/bold.nii.gz"] = formats.nifti(bold, zooms=(3.5, 3.75, 3.75))
        files[f"subj{number}/labels.txt"] = "\n".join(rows).encode() + b"\n"
        files[f"subj{number}/mask4_vt.nii.gz"] = formats.nifti(vt)
        for kind in ("mask8", "mask8b"):
            files[f"subj{number}/{kind}_face_vt.nii.gz"] = formats.nifti(face)
            files[f"subj{number}/{kind}_house_vt.nii.gz"] = formats.nifti(house)
    return Haxby2001Nilearn(release("haxby2001_nilearn", files))


def test_six_subjects_keep_the_contract(fetched):
    assert [o.message for o in run_checks(fetched) if o.status == "failed"] == []


def test_a_run_without_labels_is_no_session(fetched):
    sessions = set(fetched.responses("subj5")["session"].values)
    assert sessions == {f"run{n:02d}" for n in range(1, 13)} - {"run08"}
    with pytest.raises(UnknownNameError, match="session of subj5"):
        fetched.responses("subj5", sessions=("run08",))


def test_a_voxel_of_two_masks_is_two_neuroids_with_the_same_numbers(fetched):
    responses = fetched.responses("subj1", regions=("mask4_vt", "mask8_face_vt"))
    names = list(responses["neuroid_id"].values)
    assert names[:2] == ["mask4_vt-001-001-001", "mask4_vt-001-002-001"]
    one, other = names.index("mask4_vt-001-003-001"), names.index("mask8_face_vt-001-003-001")
    np.testing.assert_array_equal(responses.values[:, one], responses.values[:, other])


def test_labels_that_are_not_the_releases_are_refused(fetched, release):
    table = fetched.root / "subj1" / "labels.txt"
    root = release("haxby2001_nilearn", {"subj1/labels.txt": table.read_bytes().replace(b"face", b"horse")})
    with pytest.raises(InputError, match=r"labels\.txt needs columns"):
        Haxby2001Nilearn(root).responses("subj1")


def test_volumes_are_compared_with_their_header_before_they_are_read(tmp_path, formats):
    """D9: whole headers on truncated files, and headers that claim what no file holds."""
    values = np.random.default_rng(2).integers(0, 1000, (6, 5, 4, 20), dtype=np.int16)
    at = np.nonzero(np.ones((6, 5, 4), dtype=bool))
    whole, packed = formats.nifti(values, packed=False), formats.nifti(values)
    cases = {
        "cut.nii": (whole[: len(whole) // 2], r"cut\.nii claims 6 x 5 x 4 x 20 values .* truncated"),
        "cut.nii.gz": (packed[: len(packed) // 2], r"cut\.nii\.gz is truncated: EOFError"),
        "head.nii": (whole[:100], r"head\.nii is broken"),
        "garbled.nii.gz": (packed[:60] + b"\x00\xff" * 200 + packed[460:], r"garbled\.nii\.gz is broken"),
        "text.nii": (b"not a volume at all", r"text\.nii is broken"),
    }
    claims = bytearray(whole)
    claims[40:56] = np.array([4, 30000, 30000, 30, 20, 1, 1, 1], dtype="<i2").tobytes()
    cases["claims.nii"] = (bytes(claims), r"claims 30000 x 30000 x 30 x 20 values")
    cases["claims.nii.gz"] = (gzip.compress(bytes(claims)), r"claims 30000 x 30000 x 30 x 20 values .* compressed")
    for name, (content, said) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=said):
            _volumes.voxels(tmp_path / name, at)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("endian", ["<", ">"])
def test_voxels_are_read_in_order_from_either_byte_order(tmp_path, formats, name, endian):
    values = np.random.default_rng(3).integers(-1000, 1000, (6, 5, 4, 70), dtype=np.int16)
    (tmp_path / name).write_bytes(formats.nifti(values, packed=name.endswith("gz"), endian=endian))
    at = (np.array([5, 0]), np.array([1, 4]), np.array([3, 0]))
    found = _volumes.voxels(tmp_path / name, at, n_volumes=70)
    np.testing.assert_array_equal(found, np.stack([values[5, 1, 3], values[0, 4, 0]], axis=1))
    assert found.dtype == np.float32
    with pytest.raises(InputError, match=r"has shape \(6, 5, 4, 70\); expected a series x 71"):
        _volumes.voxels(tmp_path / name, at, n_volumes=71)
    with pytest.raises(InputError, match="masks of this subject belong to volumes of another shape"):
        _volumes.voxels(tmp_path / name, (np.array([6]), np.array([0]), np.array([0])))


@pytest.mark.parametrize("packed", [False, True])
def test_numbers_are_scaled_as_the_header_says(tmp_path, packed):
    import nibabel

    values = np.random.default_rng(4).normal(5, 2, (4, 3, 2, 40))
    image = nibabel.Nifti1Image(values, np.eye(4))
    image.header.set_data_dtype(np.int16)  # nibabel writes the slope and intercept that this takes
    full = tmp_path / ("a.nii.gz" if packed else "a.nii")
    image.to_filename(full)
    at = np.nonzero(np.ones((4, 3, 2), dtype=bool))
    np.testing.assert_allclose(_volumes.voxels(full, at), values[at].T, atol=1e-3)
