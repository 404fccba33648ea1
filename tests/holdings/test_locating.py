"""`brainbench data list` and `locate`: what is here, part by part, and what is left to do (D12)."""

import json
from pathlib import Path

import pytest

from brainbench.datasets import DATASETS


def row(run, *arguments):
    code, printed, _ = run("list", "--json", *arguments)
    assert code == 0
    return next(row for row in json.loads(printed) if row["dataset"] == "made2000")


def test_the_list_has_every_dataset_with_state_licence_and_access(run):
    code, printed, _ = run("list")
    assert code == 0
    lines = {line.split()[0]: line for line in printed.splitlines()[1:]}
    assert lines.keys() == set(DATASETS)
    assert "missing" in lines["allen2021"] and "agreement, to accept" in lines["allen2021"]
    assert "NSD terms" in lines["allen2021"] and "made" in lines["insilico"]


@pytest.mark.parametrize(
    ("names", "state", "parts"),
    [
        ([], "missing", "0 of 3"),
        (["one/a.npy"], "partial", "0 of 3"),
        (["table.csv", "two/c.npy"], "present", "2 of 3"),
        (["table.csv", "one/a.npy", "one/b #1.npy"], "present", "2 of 3"),
        (["two/c.npy"], "partial", "1 of 3"),
    ],
)
def test_one_part_with_the_core_is_present_and_less_is_partial(run, put, tmp_path, names, state, parts):
    (tmp_path / "all").mkdir()
    root = put("all/made2000", names)
    found = row(run, "--data-root", tmp_path / "all")
    assert (found["state"], found["parts"]) == (state, parts)
    assert found["folder"] == (str(root) if names else "")


def test_places_are_shown_in_order_with_what_names_them(run, put, monkeypatch, tmp_path):
    put("a/made2000", ["table.csv"])
    own, second = put("own", ["one/a.npy"]), put("b/made2000")
    monkeypatch.setenv("BRAINBENCH_DATA", str(tmp_path / "b"))
    monkeypatch.setenv("BRAINBENCH_DATA_MADE2000", str(own))
    code, printed, err = run("locate", "made2000", "--json", "--data-root", tmp_path / "a")
    found = json.loads(printed)
    assert code == 0 and found["state"] == "present" and found["what_to_do"] == [] and err == ""
    assert [(p["named by"], p["holds"], p["used"]) for p in found["places"]] == [
        ("--data-root", "lacks 1 files", ""),
        ("BRAINBENCH_DATA_MADE2000", "lacks 2 files", ""),
        ("BRAINBENCH_DATA", "whole", "yes"),
        ("the user's data folder", "does not exist", ""),
    ]
    assert found["places"][2]["folder"] == str(second)
    code, printed, _ = run("locate", "made2000", "--json", "--data-root", f"made2000={own}")
    assert code == 4 and [p["named by"] for p in json.loads(printed)["places"]] == ["--data-root"]


def test_what_each_part_lacks_is_told_and_what_to_do(run, put):
    root = put("here", ["table.csv", "one/a.npy"])
    code, printed, err = run("locate", "made2000", "--data-root", f"made2000={root}")
    assert code == 4 and printed.startswith("made2000: partial\n")
    lines = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line}
    assert lines["one"] == ["1", "2", "no", "one/b", "#1.npy"]
    assert lines["two"] == ["0", "1", "no", "two/c.npy"]
    assert lines["table"] == ["1", "1", "yes"]
    assert "`brainbench data fetch made2000`" in err and "--data-root made2000=PATH" in err
    assert "One part is enough, beside table: one, two." in err


def test_terms_come_first_and_what_is_not_open_is_not_fetched(run, made):
    made(access="agreement", head='terms_url = "https://example.org/terms"\nterms_version = "2"')
    code, _, err = run("locate", "made2000")
    assert code == 4 and "Read https://example.org/terms and say `brainbench data accept made2000`" in err
    assert "data fetch" not in err


def test_no_permission_is_told_and_the_next_place_looked_at(run, put, monkeypatch, tmp_path):
    put("a/made2000")
    put("b/made2000")
    monkeypatch.setenv("BRAINBENCH_DATA", str(tmp_path / "b"))
    lstat = Path.lstat

    def refuse(path):
        if path.is_relative_to(tmp_path / "a"):
            raise PermissionError(13, "Permission denied", str(path))
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", refuse)
    code, printed, _ = run("locate", "made2000", "--data-root", tmp_path / "a")
    assert code == 0 and "no permission to look" in printed and "whole" in printed


def test_made_datasets_have_no_files_and_unknown_ones_the_nearest_name(run):
    assert run("locate", "insilico")[:2] == (0, "insilico: made by code: it has no files\n")
    code, _, err = run("locate", "made200")
    assert code == 2 and "Did you mean 'made2000'" in err
