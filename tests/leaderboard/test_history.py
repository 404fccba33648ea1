"""What stood on a leaderboard stays as it was, or a maintainer is told by whom and why it changed (FAULTS L4)."""

import hashlib
import shutil

import numpy as np
import pytest

from brainbench.entry import read
from brainbench.errors import InputError, UsageError
from brainbench.leaderboard.attestations import attest
from brainbench.leaderboard.board import read_board
from brainbench.leaderboard.validate import validate
from brainbench.models.features_file import write_features

V4 = "insilico.V4-ridge.json"


@pytest.fixture
def before(tmp_path, root):
    """The leaderboard as it was, beside the one that the tests change."""
    return shutil.copytree(root, tmp_path / "before")


def superseding(path, reason="a bug"):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"path": f"{path.parent.name}/{path.name}", "sha256": digest, "reason": reason}


def found(root, before=None):
    """Problems and notes, as they are printed."""
    report = validate(root, against=before)
    return [str(problem) for problem in report.problems], [str(note) for note in report.notes]


def test_a_maintainer_sees_who_takes_whose_place_and_why(root, folder, before, made):
    old = superseding(folder / V4)
    made.submitted(root, made.entry(raw=0.45), supersedes=[old])
    said = f"supersedes: takes the place of {folder.name}/{V4}, because: a bug"
    assert found(root, before) == ([], [f"{folder.name}/model.toml: {said}"])
    assert found(root, root) == ([], [])  # it was said once
    shutil.copytree(before, root, dirs_exist_ok=True)
    other = made.submitted(root, made.entry(raw=0.42, weights="1" * 64), supersedes=[old])
    assert found(root, before) == ([], [f"{other.name}/model.toml: {said}"])


def test_no_file_is_deleted_whatever_a_card_says(root, folder, before, made):
    old = superseding(folder / V4)
    made.submitted(root, made.entry(benchmark="cowley2023.V4-ridge"), supersedes=[old])
    (folder / V4).unlink()
    (problem,), _ = found(root, before)
    assert problem.startswith(f"results/{folder.name}/{V4}: was removed since it was accepted")
    shutil.rmtree(folder)
    assert len(found(root, before)[0]) == 3


def test_what_a_card_said_of_earlier_entries_stays(tmp_path, root, folder, made):
    again = made.entry(raw=0.45)
    old = superseding(folder / V4)
    made.submitted(root, again, supersedes=[old])
    before = shutil.copytree(root, tmp_path / "before")
    for left in ([], [old | {"reason": "none of your business"}]):
        made.submitted(root, again, supersedes=left)
        (problem,), _ = found(root, before)
        assert f"supersedes: no longer names {folder.name}/{V4}" in problem


def test_every_changed_field_of_a_card_is_noted(root, folder, before, made):
    new = {"title": "made by us", "supervision": "other", "training_data": ["x" * 100, "y" * 100]}
    made.submitted(root, made.entry(), **new, url="https://x.org")
    problems, notes = found(root, before)
    assert problems == []
    assert notes == [
        f"{folder.name}/model.toml: title: was made, is made by us",
        f"{folder.name}/model.toml: supervision: was supervised, is other",
        f"{folder.name}/model.toml: training_data: was ['ImageNet-1k'], is ['{'x' * 98}…",
        f"{folder.name}/model.toml: url: was , is https://x.org",
    ]


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"submission": "scores"}, "submission: was rebuildable, is scores"),
        ({"submitter": "a thief"}, "submitter: was tests, is a thief"),
        ({"trained_on_brain_data": True}, "trained_on_brain_data: was False, is True"),
        ({"trained_on_benchmark_stimuli": True}, "trained_on_benchmark_stimuli: was False, is True"),
        ({"features_sha256": "1" * 64}, f"features_sha256: was None, is {'1' * 64}"),
    ],
)
def test_what_stands_firm_in_a_card_changes_for_a_reason_alone(root, folder, before, made, facts, says):
    old = superseding(folder / "model.toml", "was declared wrongly")
    made.submitted(root, made.entry(), **facts)
    (problem,), _ = found(root, before)
    assert says in problem and f"name it in [[supersedes]] with path, sha256 {old['sha256']} and a reason" in problem
    made.submitted(root, made.entry(), **facts, supersedes=[old])
    problems, notes = found(root, before)
    assert problems == []
    assert says in notes[0] and "takes the place of" in notes[1] and "was declared wrongly" in notes[1]


def test_an_earlier_card_that_cannot_be_read_can_be_mended(root, folder, before):
    (before / "results" / folder.name / "model.toml").write_text("title = 3")
    problems, notes = found(root, before)
    assert problems == [] and "the earlier card cannot be read today: " in notes[0]


def test_a_copy_does_not_drive_out_the_model_that_was_there(root, folder, before, made):
    (original,) = {row.entry.model_identity["weights"] for row in read_board(root).rows}
    copy = made.submitted(root, made.entry("timm:a", weights=original))
    assert copy.name < folder.name
    says = "model: is the model of {}, with the same weights, preprocessing and layers"
    assert found(root, before)[0] == [f"{copy.name}/model.toml: {says.format(folder.name)}"]
    # without a before nobody knows whose it is
    both = [
        f"{copy.name}/model.toml: {says.format(folder.name)}",
        f"{folder.name}/model.toml: {says.format(copy.name)}",
    ]
    assert found(root)[0] == both
    assert [str(problem) for problem in read_board(root).problems] == both and read_board(root).rows == ()


def test_a_newcomer_does_not_say_what_a_benchmark_fixes(root, folder, before, made):
    newcomer = made.submitted(root, made.entry("timm:a", n_stimuli=300))
    odd = f"{newcomer.name}/{V4}: n_stimuli: is 300, and 400 in {folder.name}/{V4}: the benchmark fixes it"
    assert found(root, before)[0] == [odd]
    # one against one: nobody knows which is right
    assert [problem.split("/")[0] for problem in found(root)[0]] == [newcomer.name, folder.name]
    made.submitted(root, made.entry("timm:z"))
    assert found(root)[0] == [odd]
    made.submitted(root, made.entry("timm:b", n_stimuli=300))
    made.submitted(root, made.entry("timm:c", n_stimuli=300))
    assert {problem.split("/")[0] for problem in found(root, before)[0]} == {
        path.name for path in root.glob("results/timm_[abc]-*")
    }


def test_what_is_no_part_of_a_submission_and_changed_is_noted(root, before):
    for folder in (root, before):
        (folder / "site").mkdir()
        (folder / "site" / "index.html").write_text("the page")
        (folder / "models.toml").write_text("submitter = 'us'")
    assert found(root, before) == ([], [])
    (root / "models.toml").write_text("submitter = 'them'")
    (root / "site" / "index.html").unlink()
    (root / "site" / "x.html").symlink_to("/etc/hostname")
    (root / "site" / "deep" / "deeper").mkdir(parents=True)
    (root / "allowed_signers").write_text("")
    assert found(root, before) == (
        [],
        [
            f"{file}: was {what}: for a maintainer to decide"
            for file, what in (
                ("allowed_signers", "added"),
                ("models.toml", "changed"),
                ("site/deep", "added"),
                ("site/index.html", "removed"),
                ("site/x.html", "added"),
            )
        ],
    )


def test_what_is_compared_with_is_a_leaderboard(tmp_path, root, folder):
    for none in (tmp_path, folder, tmp_path / "nowhere"):
        with pytest.raises(InputError, match="is no leaderboard to compare with"):
            validate(root, against=none)
    with pytest.raises(UsageError, match="is one submission"):
        validate(folder, against=root)


def test_an_empty_leaderboard_can_be_committed(tmp_path, root):
    results = tmp_path / "empty" / "results"
    results.mkdir(parents=True)
    (results / ".gitkeep").touch()
    assert found(results.parent) == ([], [])
    assert found(root, results.parent) == ([], [])
    (results / ".gitkeep").write_text("#!/bin/sh")
    (problem,), _ = found(results.parent)
    assert problem.startswith("results/.gitkeep: is a link or a file")
    (results / ".gitkeep").unlink()
    (results / ".gitkeep").symlink_to(tmp_path / "nothing")
    assert len(found(results.parent)[0]) == 1


@pytest.mark.parametrize("withdrawn", [False, True])
def test_what_nobody_can_recompute_or_was_withdrawn_bars_nobody(root, folder, made, key, withdrawn):
    """The model itself under another name, and other counts of the benchmark: of scores alone, or taken back."""
    weights = read(folder / V4)[0].model_identity["weights"]
    rest = {"submission": "rebuildable" if withdrawn else "scores"}
    squatter = made.submitted(root, made.entry("timm:squatter", weights=weights, n_stimuli=300), **rest)
    if withdrawn:
        assert found(root)[0]
        attest(root, f"{squatter.name}/{V4}", "withdrawn", key=key(root), signer="host@lab", reason="no such model")
    assert found(root)[0] == []
    assert {row.folder for row in read_board(root).rows} == {folder.name, squatter.name}


def test_what_was_superseded_does_not_come_back_unranked(root, folder, made):
    first = (folder / V4).read_text()
    made.submitted(root, made.entry(raw=0.45), supersedes=[old := superseding(folder / V4)])
    again = [old, superseding(folder / V4)]
    made.submitted(root, made.entry(raw=0.4), supersedes=again)
    assert (folder / V4).read_text() == first
    (problem,) = found(root)[0]
    assert problem.startswith(f"{folder.name}/{V4}: is superseded by its own card")


def test_features_may_give_way_to_scores_alone(tmp_path, root, made):
    entry = made.entry("features:mine")
    path = root / "results" / entry.path.parts[0] / "features.safetensors"
    path.parent.mkdir()
    write_features(path, {"a": np.ones((3, 2))}, ["x", "y", "z"], model="mine")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    given = made.submitted(root, entry, submission="features", features_sha256=digest)
    before = shutil.copytree(root, tmp_path / "before")
    lines = [superseding(path), superseding(given / "model.toml")]
    path.unlink()
    made.submitted(root, entry, submission="scores")
    assert any("was removed" in problem for problem in found(root, before)[0])
    made.submitted(root, entry, submission="scores", supersedes=lines)
    assert found(root, before)[0] == []


def test_signers_that_are_no_file_are_a_problem(root, folder, before):
    (root / "allowed_signers").mkdir()
    with pytest.raises(InputError, match="allowed_signers is no plain file"):
        validate(root, against=before)


def test_a_maintainer_sees_a_version_that_comes_beside_the_one_that_was_objected_to(root, folder, made, key, tmp_path):
    attest(root, f"{folder.name}/{V4}", "disputed", key=key(root), signer="host@lab", reason="no such weights")
    before = shutil.copytree(root, tmp_path / "then")
    later = made.entry(raw=0.42, weights="1" * 64)
    new = made.submitted(root, later)
    (note,) = validate(root, against=before).notes
    assert str(note) == (
        f"{new.name}/model.toml: model: is also that of {folder.name}, by the same submitter; 1 of its entries stay "
        f"beside it, and something is objected to {folder.name}/{V4}"
    )
    digest = hashlib.sha256((folder / V4).read_bytes()).hexdigest()
    named = {"path": f"{folder.name}/{V4}", "sha256": digest, "reason": "mended"}
    made.submitted(root, later, supersedes=[named])
    (note,) = validate(root, against=before).notes
    assert "takes the place of" in str(note)


def test_a_maintainer_sees_the_title_of_somebody_else(root, folder, made, tmp_path):
    before = shutil.copytree(root, tmp_path / "then")
    new = made.submitted(root, made.entry("timm:other"), title="Made", submitter="others")
    assert [str(note) for note in validate(root, against=before).notes] == [
        f"{new.name}/model.toml: title: is also that of {folder.name}, by tests"
    ]
