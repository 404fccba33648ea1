"""Faults beside bad input, row by row: the tests that hold each lie where what they test is tested.

C: the store; G: networks; S: numbers; L: what strangers submit; X: the command line and the installation. Of W1, a
sweep on a Slurm cluster, there is nothing: `docs/architecture.md` says so.
"""

import os
import subprocess
import sys

import numpy as np
import pytest

from brainbench import extraction
from brainbench.store import Store
from tests.faults.test_bad_input import missing
from tests.test_extraction import extract, pictures, rows_of, wrapped

HOSTILE, TRUST, PAGE = "leaderboard/test_hostile.py", "leaderboard/test_trust.py", "web/test_page.py"
HELD = {
    "C1": [  # killed, and run again
        "test_store.py::test_a_writer_killed_before_the_commit_point_leaves_nothing_to_read",
        "test_store.py::test_files_are_on_the_disk_before_they_have_their_names_and_names_before_the_next_file",
        "faults/test_every_operation.py::test_a_fault_at_any_operation_costs_a_shard_at_most",
        "test_extraction.py::test_an_interrupted_run_goes_on_where_it_stopped",
        "in_context/test_command.py::test_a_training_killed_without_warning_ends_with_the_tensors_of_one_that_was_not",
    ],
    "C2": [  # processes on one cold key
        "faults/test_rows.py::test_C2_processes_that_fill_one_cold_key_at_once_all_end_well",
        "test_extraction.py::test_two_processes_on_one_cold_key_both_end_well",
        "test_extraction.py::test_a_process_that_another_one_overtakes_anywhere_ends_with_the_same_layers",
    ],
    "C3": [  # damaged files
        "test_store.py::test_damage_is_found_quarantined_and_mended",
        "test_store.py::test_a_block_that_the_disk_cannot_read_is_damage",
        "test_extraction.py::test_only_a_damaged_layer_is_made_again",
        "test_extraction.py::test_a_shard_that_is_damaged_after_it_was_written_is_extracted_again",
        "test_runner.py::test_a_flipped_bit_in_a_real_recording_fails_by_name",
    ],
    "C4": [  # a full disk
        "faults/test_every_operation.py::test_a_fault_at_any_operation_costs_a_shard_at_most",
        "test_store.py::test_a_full_disk_is_a_resource_error_and_keeps_what_was_there",
        "test_store.py::test_only_a_disk_without_space_is_called_full",
    ],
    "C5": [  # a store that cannot be written, or read
        "test_store.py::test_an_entry_that_the_system_does_not_let_us_read_stays_where_it_is",
        "test_store.py::test_an_unwritable_folder_says_what_to_do",
        "test_cli.py::test_a_cache_that_cannot_be_written_is_exit_6",
    ],
    "C6": [  # what is in a key
        "properties/test_laws.py::test_every_field_of_a_store_key_counts",
        "properties/test_laws.py::test_a_fingerprint_survives_json_and_ignores_the_order_of_keys",
        "test_extraction.py::test_what_changes_features_is_not_found_under_the_old_key",
        "test_extraction.py::test_what_cannot_change_features_is_not_in_the_key",
        "models/test_identity.py::test_a_network_is_the_same_in_every_process",
    ],
    "C7": [  # SIGINT, SIGTERM
        "test_cli.py::test_sigint_in_mid_run_stops_soon_and_the_next_run_goes_on",
        "holdings/test_fetching.py::test_a_run_that_is_ended_leaves_nothing_under_the_name",
    ],
    "C8": ["faults/test_rows.py::test_C8_neither_the_clock_nor_another_version_spoils_a_store"],
    "G1": [  # memory of the device
        "models/test_extract.py::test_a_batch_that_does_not_fit_is_halved",
        "models/test_extract.py::test_only_running_out_of_memory_is_retried",
        "test_extraction.py::test_memory_that_runs_out_halves_the_batch_and_changes_nothing",
    ],
    "G2": [  # batches, order, train mode
        "models/test_extract.py::test_features_are_those_of_each_input_alone_in_eval_mode",
        "models/test_extract.py::test_batch_size_and_order_change_nothing",
        "contracts/test_models.py::test_noise_in_eval_mode_is_caught_wherever_features_are_compared",
    ],
    "G3": [  # features that are not finite; networks in half precision
        "models/test_extract.py::test_nan_names_layer_and_input",
        "models/test_extract.py::test_pictures_of_two_sizes_and_half_precision_are_refused",
        "test_extraction.py::test_features_that_are_not_finite_are_refused",
    ],
    "G4": [  # layers that are missing, shared, changed in place, or no tensor
        "models/test_extract.py::test_what_cannot_be_read_is_refused",
        "models/test_extract.py::test_layers_must_exist_and_be_called",
        "models/test_extract.py::test_what_later_layers_do_in_place_is_not_read",
        "test_extraction.py::test_a_layer_that_is_not_there_is_refused_with_near_names",
    ],
    "G5": [  # devices
        "models/test_extract.py::test_cuda_gives_the_features_of_the_cpu",
        "contracts/test_scorers.py::test_devices_agree",
    ],
    "G6": [  # hooks, threads and modes after an exception
        "models/test_extract.py::test_module_and_process_are_left_as_they_were",
        "test_extraction.py::test_the_network_is_left_as_it_was_after_an_exception",
    ],
    "S1": [  # singular features, penalties at the edge
        "test_runner.py::test_more_features_than_stimuli_and_repeated_columns_give_a_finite_score",
        "scorers/test_ridge.py::test_edges_of_the_grid_are_counted",
        "test_cli.py::test_a_note_tells_of_penalties_at_the_edge_of_the_grid",
    ],
    "S2": [  # nothing to find, and all there is
        "scorers/test_ridge.py::test_shuffled_responses_read_about_zero_and_inverted_ones_below",
        "nulls/test_calibration.py::test_a_model_that_knows_nothing_scores_zero_however_many_layers_it_has",
        "nulls/test_calibration.py::test_the_model_that_generated_a_brain_reaches_its_ceiling",
    ],
    "S3": [  # other people's code
        "golden/test_golden.py::test_ridge_with_a_penalty_per_neuroid",
        "golden/test_golden.py::test_comparisons_of_rdms",
        "scorers/test_ridge.py::test_loo_equals_scikit_learn_on_the_same_folds",
        "scorers/test_ridge.py::test_kfold_of_the_scorer_equals_himalaya_fold_by_fold",
    ],
    "S4": [  # the same again
        "scorers/test_ridge.py::test_inputs_are_not_touched_and_two_runs_agree",
        "models/test_sources.py::test_twins_are_reproducible_and_differ_from_the_trained_and_by_seed",
    ],
    "L1": [  # scores out of range
        f"{HOSTILE}::test_a_forged_field_is_named",
        f"{HOSTILE}::test_a_score_above_its_ceiling_is_refused",
    ],
    "L2": [  # JSON that is a weapon
        f"{HOSTILE}::test_json_that_is_a_weapon_is_refused_at_once",
        f"{HOSTILE}::test_json_that_two_readers_would_read_differently_is_refused",
        f"{HOSTILE}::test_weapons_take_no_memory",
        f"{HOSTILE}::test_cards_that_are_weapons_are_refused_at_once",
    ],
    "L3": [  # forged scores and badges
        f"{HOSTILE}::test_a_subject_may_not_be_swapped_or_left_out",
        f"{TRUST}::test_features_are_recomputed_and_a_forged_region_is_named",
        f"{TRUST}::test_what_cannot_be_right_fails_verification_by_name",
        "leaderboard/test_attestations.py::test_a_badge_is_a_signature_over_the_very_file",
        "leaderboard/test_attestations.py::test_unknown_signers_and_missing_signatures_give_no_badge",
    ],
    "L4": [  # submitted again, changed
        f"{HOSTILE}::test_history_changes_only_where_the_card_says_so",
        f"{HOSTILE}::test_nobody_supersedes_what_is_anothers",
        f"{HOSTILE}::test_the_same_model_under_another_name_is_refused",
        "leaderboard/test_history.py::test_no_file_is_deleted_whatever_a_card_says",
    ],
    "L5": [  # names, links, case
        f"{HOSTILE}::test_names_that_are_no_names_are_refused",
        f"{HOSTILE}::test_names_that_differ_by_case_alone_are_refused",
        f"{HOSTILE}::test_links_lead_nowhere",
        f"{HOSTILE}::test_results_is_no_link_and_a_folder_may_be_named_by_a_dot",
    ],
    "L6": [  # names that would be markup or formulas
        f"{PAGE}::test_hostile_names_are_text",
        f"{PAGE}::test_the_policy_stops_what_is_not_the_pages_own",
        f"{PAGE}::test_downloads_are_what_is_shown_and_no_formulas",
    ],
    "L7": [  # files that could run
        f"{HOSTILE}::test_files_that_could_run_are_never_opened",
        f"{HOSTILE}::test_what_may_not_be_there_is_not_opened_to_be_compared_either",
    ],
    "L8": [  # safetensors that lie
        f"{HOSTILE}::test_a_features_file_is_judged_by_its_header",
        "models/test_features_file.py::test_headers_that_lie_are_refused",
    ],
    "L11": [  # 0, 1 and 2,000 rows; ties
        "leaderboard/test_board.py::test_boards_of_nothing_and_of_one_entry",
        "leaderboard/test_board.py::test_nulls_and_ties_rank_as_such",
        f"{PAGE}::test_a_board_of_nothing_or_one_entry_renders",
        f"{PAGE}::test_two_thousand_rows_are_below_a_megabyte_and_quick",
    ],
    "X1": [  # mistakes at the command line
        "test_cli.py::test_mistakes_are_one_message_and_an_exit_code",
        "test_cli.py::test_ctrl_c_is_130",
        "test_cli.py::test_a_bug_is_one_line_and_a_traceback_only_on_request",
        "test_runner.py::test_a_device_that_cannot_compute_is_refused_in_a_line",
    ],
    "X2": [  # what an installation needs
        "test_packaging.py::test_every_package_that_is_imported_is_declared",
        "models/test_sources.py::test_importing_the_package_imports_no_torch",
        "models/test_sources.py::test_torchvision_and_timm_can_be_imported_after_prepare_however_torch_was_built",
        "models/test_sources.py::test_a_bundle_that_is_not_installed_says_how",
    ],
}


@pytest.mark.parametrize("row", HELD)
def test_the_tests_that_hold_a_row_exist(row):
    assert HELD[row] and missing(HELD[row]) == []


def test_C2_processes_that_fill_one_cold_key_at_once_all_end_well(tmp_path):
    script = (
        "import sys, numpy as np\n"
        "from brainbench.store import Store\n"
        "print('ready', flush=True); sys.stdin.read()\n"
        "for n in range(50): Store(sys.argv[1]).put({'n': n}, {'a': np.full(1000, n)}, {})\n"
    )
    how = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    writers = [subprocess.Popen([sys.executable, "-c", script, tmp_path / "store"], **how) for _ in range(4)]
    assert [writer.stdout.readline() for writer in writers] == ["ready\n"] * 4
    for writer in writers:
        writer.stdin.close()
    for writer in writers:
        writer.stdin = None  # closed: `communicate` would write to it
        assert writer.communicate(timeout=60)[1] == "" and writer.returncode == 0
    for n in range(50):
        np.testing.assert_array_equal(Store(tmp_path / "store").get({"n": n})["a"], np.full(1000, n))
    assert not [*tmp_path.rglob(".tmp-*"), *tmp_path.rglob("quarantine")]


def test_C8_neither_the_clock_nor_another_version_spoils_a_store(tmp_path, monkeypatch):
    extract(wrapped(), pictures(), Store(tmp_path))
    for path in tmp_path.rglob("*"):
        os.utime(path, (0, 0))
    assert extract(wrapped(), pictures(), Store(tmp_path)) == 0
    monkeypatch.setattr(extraction, "FEATURE_SEMANTICS", extraction.FEATURE_SEMANTICS + 1)
    assert rows_of(wrapped(), "wide", pictures(), Store(tmp_path)) is None
    monkeypatch.undo()
    assert rows_of(wrapped(), "wide", pictures(), Store(tmp_path)) is not None
