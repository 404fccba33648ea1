"""Bad input, row by row (D1 to D13): what whoever scores a recording is told, and that no number is made up.

`ELSEWHERE` names the tests that hold the rest of a row; one test sees to it that they exist.
"""

import ast
import io
import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
from PIL import Image

from brainbench import benchmarks, cli, extraction, models, runner, terminal
from brainbench.core.splits import Fold, Split, check_leakage
from brainbench.datasets import _fetch, _slabs, _terms, _volumes
from brainbench.datasets.insilico import Insilico
from brainbench.errors import InputError, LeakageError
from brainbench.models.features_file import write_features

ELSEWHERE = {
    "D1": [
        "test_runner.py::test_neuroids_that_cannot_be_scored_are_counted_by_reason",
        "test_targets.py::test_unequal_and_infinite_presentations_leave_the_other_columns_alone",
    ],
    "D2": [
        "test_runner.py::test_a_region_without_a_number_fails_with_a_reason_and_null_scores",
        "test_targets.py::test_a_region_without_a_number_is_kept_to_be_counted",
    ],
    "D3": ["test_runner.py::test_constant_features_have_no_score"],
    "D4": [
        "core/test_splits.py::test_a_planted_duplicate_across_the_split_raises",
        "core/test_splits.py::test_groups_and_identical_pictures_never_straddle",
        "test_targets.py::test_a_picture_under_two_names_stays_in_one_fold",
        "contracts/test_datasets.py::test_near_duplicates_are_slight_changes_and_no_others",
    ],
    "D5": [
        "core/test_arrays.py::test_take_joins_by_id_not_by_position",
        "core/test_arrays.py::test_take_refuses_missing_repeated_and_non_string_ids",
        "test_runner.py::test_the_order_of_rows_in_a_features_file_means_nothing",
    ],
    "D6": [
        "datasets/test_allen2021.py::test_a_design_that_is_off_by_one_is_refused",
        "datasets/test_allen2021.py::test_a_table_whose_ids_count_from_1_is_refused",
        "datasets/test_allen2021.py::test_ids_count_from_0_though_the_design_counts_from_1",
    ],
    "D7": [
        "core/test_splits.py::test_too_few_units_raise",
        "test_targets.py::test_too_few_stimuli_are_refused_before_any_scoring",
        "datasets/test_allen2021.py::test_a_region_that_a_subject_lacks_is_told",
    ],
    "D8": [
        "test_runner.py::test_single_presentations_have_a_score_without_a_ceiling",
        "test_targets.py::test_a_single_repetition_has_no_ceiling_and_says_so",
        "test_targets.py::test_the_ceiling_by_variances_is_what_a_hand_computes",
    ],
    "D9": ["datasets/test_haxby2001.py::test_volumes_are_compared_with_their_header_before_they_are_read"],
    "D10": [
        "datasets/test_allen2021.py::test_broken_betas_are_refused_for_what_they_are",
        "datasets/test_allen2021.py::test_an_unpinned_pointer_is_no_recording",
        "datasets/test_fetch.py::test_a_file_that_is_not_the_right_one_is_named_for_what_it_is",
        "datasets/test_fetch.py::test_a_broken_link_is_present_but_a_stub",
        "datasets/test_haxby2001.py::test_voxels_are_read_in_order_from_either_byte_order",
    ],
    "D11": [
        "models/test_preprocess.py::test_every_mode_becomes_three_channels",
        "models/test_preprocess.py::test_transparent_lies_on_white",
        "models/test_preprocess.py::test_sixteen_bits_are_scaled_not_clipped",
        "models/test_preprocess.py::test_exif_orientation_is_obeyed",
        "models/test_preprocess.py::test_broken_files_are_refused_and_never_half_read",
        "models/test_preprocess.py::test_pixel_limits_hold_before_and_after_resizing",
    ],
    "D12": [
        "datasets/test_allen2021.py::test_a_missing_session_is_told_subject_by_subject",
        "datasets/test_fetch.py::test_no_permission_is_not_called_missing",
        "datasets/test_fetch.py::test_absent_files_are_counted_named_and_their_source_told",
    ],
    "D13": [
        "datasets/test_terms.py::test_terms_come_first_and_both_ways_to_accept_them_are_told",
        "holdings/test_terms_and_croissant.py::test_where_nobody_sits_both_ways_are_told",
    ],
}
V1, V2 = "insilico.V1-ridge", "insilico.V2-ridge"
IDS = Insilico().stimuli().ids


def missing(tests):
    """Those of `tests`, each "file::function", that are not there."""

    def functions(path):
        tree = ast.parse((Path(__file__).parents[1] / path).read_text(encoding="utf-8"))
        return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}

    return [name for name in tests if name.partition("::")[2] not in functions(name.partition("::")[0])]


@pytest.mark.parametrize("row", [f"D{n}" for n in range(1, 14)])
def test_the_tests_that_hold_a_row_exist(row):
    assert missing(ELSEWHERE[row]) == []
    assert any(name.startswith(f"test_{row}_") for name in globals()), row


@pytest.fixture
def score(monkeypatch, capsys, tmp_path):
    """`score(*ids, ids_of_features, spoil)`: exit code, entries and stderr of `brainbench score` on `insilico`.

    `spoil(values, stimulus ids, regions)` changes each subject's presentations in place.
    """
    monkeypatch.setenv("BRAINBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BRAINBENCH_DEBUG", "")
    monkeypatch.setattr(terminal.err, "width", 500)
    bare = {name: b.model_copy(update={"baselines": ()}) for name, b in benchmarks.known().items()}
    monkeypatch.setattr(benchmarks, "known", lambda: bare)

    class Spoilt(Insilico):
        spoil = staticmethod(lambda values, stimulus, regions: None)

        def responses(self, subject, **asked):
            responses = super().responses(subject, **asked)
            self.spoil(responses.values, responses["stimulus_id"].values, responses["region"].values)
            return responses

    def call(*asked, rows=IDS, spoil=None, options=()):
        if spoil is not None:
            Spoilt.spoil = staticmethod(spoil)
            monkeypatch.setattr(runner.datasets, "load", lambda name, roots: Spoilt())
        path = tmp_path / "mine.safetensors"
        write_features(path, {"a": np.random.default_rng(0).normal(size=(len(rows), 6))}, list(rows))
        command = ["brainbench", "score", f"features:{path}", "-b", *asked, "--json", "--device", "cpu", *options]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as exit:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return exit.value.code or 0, json.loads(out) if out else [], " ".join(err.split())

    return call


def test_D1_some_voxels_without_a_number_are_left_out_counted_and_told(score, caplog):
    def spoil(values, stimulus, regions):
        values[stimulus == IDS[3], 0] = np.nan
        values[stimulus == IDS[5], 1] = np.inf

    code, (entry,), _ = score(V1, spoil=spoil)
    assert (code, entry["status"], entry["excluded"], entry["n_neuroids"]) == (0, "ok", {"missing-stimuli": 6}, 144)
    assert "6 of 150 neuroids are not in the score: 6 missing-stimuli" in caplog.text


def test_D2_an_area_without_a_number_stands_in_the_table_as_null_with_its_reason(score):
    def spoil(values, stimulus, regions):
        values[:, regions == "V2"] = np.nan

    code, (good, bad), _ = score(V1, V2, spoil=spoil)
    assert (code, good["status"], bad["benchmark"], bad["status"]) == (3, "ok", V2, "failed")
    assert bad["raw"] is bad["normalized"] is None and "150" in bad["reason"] and "missing-stimuli" in bad["reason"]


def test_D3_constant_voxels_have_a_reason_and_no_warning_of_a_library_leaks(score):
    def spoil(values, stimulus, regions):
        values[:, 0] = 7.0
        values[np.isin(stimulus, IDS[:1]), 1] += 1e-30

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        code, (entry,), err = score(V1, spoil=spoil)
    assert (code, entry["excluded"]) == (0, {"zero-variance": 3})
    assert "RuntimeWarning" not in err


def test_D4_a_leak_is_refused_with_the_pairs_and_the_way_out():
    table = Insilico().stimuli().table.iloc[:4].copy()
    table["sha256"] = ["a" * 64, "b" * 64, "c" * 64, "a" * 64]
    split = Split(folds=(Fold(train=tuple(table.index[:2]), test=tuple(table.index[2:])),), unit={})
    with pytest.raises(LeakageError, match=rf"{table.index[0]} ~ {table.index[3]}\. .*one `group`") as refused:
        check_leakage(split, table)
    assert refused.value.exit_code == 3


def test_D5_a_stimulus_that_the_features_lack_is_named_and_more_rows_do_no_harm(score):
    code, (entry,), _ = score(V1, rows=IDS[:-1])
    assert (code, entry["raw"]) == (3, None) and IDS[-1] in entry["reason"]
    code, (entry,), _ = score(V1, rows=("another", *IDS))
    assert (code, entry["n_stimuli"]) == (0, len(IDS))


def test_D6_ids_of_another_kind_are_shown_beside_those_that_were_expected(score):
    code, (entry,), _ = score(V1, rows=[str(n) for n in range(len(IDS))])
    assert code == 3 and entry["raw"] is None and "'insilico/0001'" in entry["reason"] and "'0'" in entry["reason"]


def test_D7_one_fold_is_refused_by_the_benchmarks_own_rule_and_nothing_is_computed(score, monkeypatch):
    with pytest.raises(ValueError, match="greater than or equal to 2"):
        benchmarks.SplitRule(n_folds=1)
    few = benchmarks.known()[V1].model_copy(update={"split": benchmarks.SplitRule(n_folds=300)})
    monkeypatch.setattr(benchmarks, "known", lambda: {V1: few})
    monkeypatch.setattr(runner, "_columns", None)
    code, (entry,), _ = score(V1)
    assert (code, entry["raw"]) == (3, None) and "both need 3 at least" in entry["reason"]


def test_D8_unequal_repetitions_keep_a_ceiling_and_single_ones_the_raw_score(score):
    def unequal(values, stimulus, regions):
        values[0] = np.nan

    def single(values, stimulus, regions):
        repeated = np.array([name in set(stimulus[:at]) for at, name in enumerate(stimulus)])
        values[repeated] = np.nan

    assert score(V1, spoil=unequal)[1][0]["ceiling"] > 0
    code, (entry,), _ = score(V2, spoil=single)
    assert (code, entry["status"], entry["ceiling"]) == (0, "ok", None)
    assert entry["raw"] is not None and entry["ceiling_reason"] == "single-repetition: 150"


@pytest.mark.parametrize("name", ["betas_session07.nii", "betas_session07.nii.gz"])
def test_D9_a_cut_volume_is_told_with_subject_and_session(tmp_path, name):
    path = tmp_path / "subj02" / name
    path.parent.mkdir()
    values = np.random.default_rng(0).integers(-99, 99, (4, 4, 4, 80), dtype=np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=rf"subj02/{name} .*truncated.* Get it anew"):
        _volumes.voxels(path, np.nonzero(np.ones((4, 4, 4))))


def test_D10_a_cut_hdf5_says_so_and_other_byte_orders_are_read(tmp_path):
    path = tmp_path / "subj02_betas_session07.hdf5"
    values = np.random.default_rng(0).integers(-99, 99, (750, 3, 3, 3)).astype(">i2")
    at = np.nonzero(np.ones((3, 3, 3)))
    with h5py.File(path, "w") as file:
        file["betas"] = values
    read = _slabs.voxels(path, "betas", at, n_volumes=750, dtype="int16")
    np.testing.assert_array_equal(read, values.transpose(0, 3, 2, 1).reshape(750, 27))
    path.write_bytes(path.read_bytes()[:-9000])
    with pytest.raises(InputError, match=r"session07\.hdf5 is truncated or corrupt: .* Get it anew"):
        _slabs.voxels(path, "betas", at, n_volumes=750, dtype="int16")


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0 no picture"])
def test_D11_a_file_that_is_no_picture_ends_the_extraction_by_its_name(content):
    model = models.load("baseline:pixels")
    stimuli = replace(Insilico().stimuli(), open=lambda name: Image.open(io.BytesIO(content)))
    with pytest.raises(InputError, match=r"stimulus 'insilico/0001' of insilico cannot be read as a picture"):
        extraction._seen(model, stimuli, IDS[0])


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    for kind in ("data", "config"):
        monkeypatch.setattr(_fetch.platformdirs, f"user_{kind}_path", lambda app, kind=kind: tmp_path / kind / app)
    for name in ("BRAINBENCH_DATA", _terms.VARIABLE):
        monkeypatch.delenv(name, raising=False)


def test_D12_what_is_missing_is_told_part_by_part(score, nobody, tmp_path):
    root = tmp_path / "nsd"
    folder = root / "nsddata_betas/ppdata/subj02/func1pt8mm/betas_fithrf_GLMdenoise_RR"
    folder.mkdir(parents=True)
    for session in range(1, 40):
        (folder / f"betas_session{session:02d}.hdf5").touch()
    asked = ("allen2021.V1-ridge",)
    code, _, err = score(*asked, options=("--data-root", f"allen2021={root}"))
    assert code == 4 and "subj02 in HDF5: lacks 15 of 54 files" in err and "subj01" not in err, err
    code, _, err = score(*asked, options=("--data-root", f"allen2021={tmp_path / 'nowhere'}"))
    assert code == 2 and "nowhere', which is not a folder" in err, err
    code, _, err = score(*asked)
    assert code == 4 and "does not exist" in err and "s3://natural-scenes-dataset" in err, err


def test_D13_without_agreement_nothing_is_opened_and_both_ways_are_told(score, nobody, monkeypatch, tmp_path):
    monkeypatch.setattr(_fetch, "root", lambda name, roots: tmp_path)
    code, _, err = score("allen2021.V1-ridge")
    assert code == 4 and "brainbench data accept allen2021" in err and "BRAINBENCH_ACCEPT_TERMS=allen2021" in err, err
