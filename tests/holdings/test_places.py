"""`brainbench data where`: folders that are set once, and where they stand in the search order."""

import json


def named(run, *arguments):
    code, printed, _ = run("where", "--json", *arguments)
    assert code == 0
    return [(row["of"], row["named by"], row["folder"]) for row in json.loads(printed)]


def test_folders_are_set_and_forgotten(run, user, tmp_path):
    for name in ("lab", "my recordings"):
        (tmp_path / name).mkdir()
    last = ("all", "the user's data folder", f"{tmp_path}/data/brainbench")
    assert named(run) == [last]
    own = ("made2000", "data where", f"{tmp_path}/my recordings")
    every = ("all", "data where", f"{tmp_path}/lab")
    given = ("--set", tmp_path / "lab", "--set", f"made2000={tmp_path}/my recordings")
    assert named(run, *given) == [own, every, last]
    assert (user / "roots.toml").exists()
    assert named(run, "--unset", "all") == [own, last]
    assert run("where", "--unset", "all")[0] == 2
    assert run("where", "--set", tmp_path / "nowhere")[0] == 2
    assert run("where", "--set", f"made200={tmp_path}")[0] == 2


def test_they_stand_behind_the_environment_and_before_the_users_data_folder(run, put, monkeypatch, tmp_path):
    put("lab/made2000")
    (tmp_path / "own").mkdir()
    (tmp_path / "env").mkdir()
    monkeypatch.setenv("BRAINBENCH_DATA", str(tmp_path / "env"))
    run("where", "--set", tmp_path / "lab", "--set", f"made2000={tmp_path}/own")
    code, printed, _ = run("locate", "made2000", "--json")
    assert code == 0
    assert [(p["named by"], p["folder"], p["used"]) for p in json.loads(printed)["places"]] == [
        ("BRAINBENCH_DATA", f"{tmp_path}/env/made2000", ""),
        ("data where", f"{tmp_path}/own", ""),
        ("data where", f"{tmp_path}/lab/made2000", "yes"),
        ("the user's data folder", f"{tmp_path}/data/brainbench/made2000", ""),
    ]
    run("where", "--unset", "all")
    code, printed, _ = run("locate", "made2000", "--json")
    assert code == 4 and [p["named by"] for p in json.loads(printed)["places"]][1:] == [
        "data where",
        "the user's data folder",
    ]


def test_settings_that_cannot_be_read_or_written_are_told(run, user, tmp_path):
    user.mkdir(parents=True)
    for text in ("not toml [", "all = 3"):
        (user / "roots.toml").write_text(text)
        code, _, err = run("locate", "made2000")
        assert code == 3 and "roots.toml cannot be read" in err
    (user / "roots.toml").unlink()
    user.rmdir()
    user.write_text("a file")
    code, _, err = run("where", "--set", tmp_path)
    assert code == 4 and "set BRAINBENCH_DATA instead" in err
