"""Recomputation and submission: what a badge rests on (FAULTS L3), and a run's way into the board."""

import json
from pathlib import Path

import numpy as np
import pytest

from brainbench import api, cli, models, runner, settings
from brainbench.benchmarks import known
from brainbench.datasets.insilico import Insilico
from brainbench.entry import read
from brainbench.errors import UsageError, VerificationError
from brainbench.leaderboard import recompute
from brainbench.leaderboard.board import read_board
from brainbench.leaderboard.schema import SCHEMAS, schema
from brainbench.leaderboard.submit import missing, submit
from brainbench.leaderboard.validate import validate
from brainbench.models.features_file import write_features

ENTRY = "insilico.V4-ridge.json"
REPOSITORY = Path(__file__).parents[2]


def trust(root):
    return {row.entry.benchmark: row.trust for row in read_board(root).rows}


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A file of features and a run of it on one synthetic benchmark, with the store that the run filled."""
    top = tmp_path_factory.mktemp("scored")
    ids = Insilico().stimuli().ids
    pixels = np.stack([np.asarray(Insilico().stimuli().image(i).resize((6, 6))).ravel() for i in ids])
    write_features(top / "f.safetensors", {"a": pixels.astype(np.float32)}, ids, model="mine")
    bare = {name: b.model_copy(update={"baselines": ()}) for name, b in known().items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRAINBENCH_CACHE", str(top / "cache"))
        patch.setattr("brainbench.benchmarks.known", lambda: bare)
        api.score(f"features:{top / 'f.safetensors'}", "insilico.V1-ridge", out=top / "run")
        yield top


@pytest.fixture
def run_of_features(tmp_path, scored):
    """That run, submitted with the features."""
    facts = {
        "title": "Mine",
        "family": "other",
        "supervision": "none",
        "training_data": [],
        "trained_on_brain_data": False,
        "trained_on_benchmark_stimuli": False,
        "submitter": "tests",
    }
    (folder,) = submit(scored / "run", tmp_path / "L", facts=facts, features=scored / "f.safetensors")
    assert missing(folder) == [] and validate(tmp_path / "L").problems == []
    return folder


def test_what_a_card_declares_stays_when_more_is_submitted(run_of_features, scored):
    card = run_of_features / "model.toml"
    card.write_text(card.read_text() + 'description = "Written by hand"\n')
    before = card.read_text()
    submit(scored / "run", run_of_features.parents[1], facts={}, features=scored / "f.safetensors")
    assert missing(run_of_features) == [] and card.read_text() == before
    submit(scored / "run", run_of_features.parents[1], facts={"title": "Renamed"}, features=scored / "f.safetensors")
    assert card.read_text() == before.replace('title = "Mine"', 'title = "Renamed"')


def command(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["brainbench", *map(str, words)])
    with pytest.raises(SystemExit) as exit:
        cli.main()
    return exit.value.code or 0


def test_features_are_recomputed_and_a_forged_region_is_named(run_of_features, monkeypatch, capsys, key, made):
    folder, root = run_of_features, run_of_features.parents[1]
    pen = key(root)
    assert command(monkeypatch, "leaderboard", "verify", folder, "--attest", pen, "--signer", "host@lab") == 0
    assert "insilico.V1-ridge (synthetic): agrees" in capsys.readouterr().out
    assert trust(root) == {"insilico.V1-ridge": "reproduced"}
    path = folder / "insilico.V1-ridge.json"
    assert command(monkeypatch, "leaderboard", "reproduce", path) == 0
    assert "0 fields differ" in capsys.readouterr().out
    # everything of the region up by .02, and consistently so: only a recomputation can tell
    forged = json.loads(path.read_text())
    for name in ("raw", "low", "high"):
        forged[name] += 0.02
    for subject in forged["per_subject"].values():
        subject["raw"] += 0.02
    forged["replicates"] = [round(r + 0.02, 6) for r in forged["replicates"]]
    forged["optimistic"]["gap"] -= 0.02
    made.edited(path, **forged)
    assert [p for p in validate(folder).problems if p.field != "low"] == []
    assert command(monkeypatch, "leaderboard", "verify", folder, "--sample", 2, "--seed", 1) == 5
    assert "insilico.V1-ridge: raw: claimed" in " ".join(capsys.readouterr().err.split())
    assert trust(root) == {"insilico.V1-ridge": "self-reported"}


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"benchmark_fingerprint": "0" * 64}, "benchmark_fingerprint: the benchmark is another one now"),
        ({"per_subject": {"s9": {"raw": 0.4, "ceiling": None, "normalized": None, "n_neuroids": 150}}}, "per_subject"),
        ({"raw": 0.42}, "raw: is 0.42; the entry's own parts make it 0.4"),
    ],
)
def test_what_cannot_be_right_fails_verification_by_name(folder, made, monkeypatch, capsys, fields, names):
    made.edited(folder / ENTRY, **fields)
    for what in ("verify", "reproduce"):
        assert command(monkeypatch, "leaderboard", what, folder if what == "verify" else folder / ENTRY) == 5
        assert names in " ".join(capsys.readouterr().err.split())


def test_other_weights_are_another_model(run_of_features, made):
    (entry,) = read(run_of_features / "insilico.V1-ridge.json")
    card = validate(run_of_features).submissions[0].card
    forged = entry.model_copy(update={"model_identity": entry.model_identity | {"weights": "0" * 64}})
    with pytest.raises(VerificationError, match=r"model_identity\.weights: "):
        recompute.rebuilt(run_of_features, card, forged, {})


def test_a_control_finds_nothing(tmp_path):
    setting, model = settings.make_setting(cache_folder=tmp_path), models.load("insilico:cascade")
    bare = [known()["insilico.V1-ridge"].model_copy(update={"baselines": ()})]
    (entry,) = runner.run(model, bare, setting)
    null = recompute.control(model, [entry], setting, seed=0)["insilico.V1-ridge"]
    assert abs(null.raw) < 0.05 < entry.low and not recompute.control_fails(entry, null)
    leaky = null.model_copy(update={"raw": entry.raw, "low": entry.low})
    assert recompute.control_fails(entry, leaky)


@pytest.mark.parametrize(("lucky", "fails"), [(1, False), (2, False), (3, True)])
def test_a_control_that_is_lucky_is_drawn_again(made, monkeypatch, lucky, fails):
    weak, strong = made.entry(raw=0.1), made.entry(raw=0.4, benchmark="insilico.V1-ridge")
    drawn = []

    def exchanged(model, benchmarks, setting, *, seed):
        drawn.append(([b.id for b in benchmarks], seed))
        found = {weak.benchmark: 0.1 if len(drawn) <= lucky else 0.0, strong.benchmark: 0.05}
        return {b.id: weak.model_copy(update={"raw": found[b.id], "low": found[b.id] - 0.03}) for b in benchmarks}

    monkeypatch.setattr(runner, "control", exchanged)
    null = recompute.control(None, [weak, strong], None, seed=7)[weak.benchmark]
    assert recompute.control_fails(weak, null) == fails
    again = min(lucky, recompute.DRAWS - 1)  # the weak one's alone
    assert [d for d in drawn if d[0]] == [([weak.benchmark, strong.benchmark], 7)] + [
        ([weak.benchmark], 8 + n) for n in range(again)
    ]


def test_scores_alone_cannot_be_verified_and_are_not_ranked_with_the_others(root, made):
    made.submitted(root, made.entry("timm:other", raw=0.7), submission="scores")
    rows = {row.entry.model: row for row in read_board(root).rows if row.entry.benchmark == "insilico.V4-ridge"}
    assert [(row.best, row.worst) for row in rows.values()] == [(1, 1), (1, 1)]
    with pytest.raises(UsageError, match="scores alone"):
        recompute.rebuilt(root, rows["timm:other"].card, rows["timm:other"].entry, {})


def read_board_of(folder):
    """The rows of a submission with a whole card; the card is put back."""
    text = (folder / "model.toml").read_text()
    given = {"title": "x", "family": "cnn", "supervision": "supervised", "training_data": ["x"], "submitter": "x"}
    given |= {"trained_on_brain_data": False, "trained_on_benchmark_stimuli": False}
    (folder / "model.toml").write_text("\n".join(f"{k} = {json.dumps(v)}" for k, v in given.items()) + "\n" + text)
    rows = read_board(folder.parents[1]).rows
    (folder / "model.toml").write_text(text)
    return rows


def test_a_submission_replaces_nothing_in_silence(tmp_path, made):
    run, to = tmp_path / "run", tmp_path / "L"
    api.save(made.entry(), run)
    submit(run, to, facts={})
    submit(run, to, facts={})  # the same again
    api.save(made.entry(raw=0.45), run)
    with pytest.raises(UsageError, match="--supersede REASON"):
        submit(run, to, facts={})
    (folder,) = submit(run, to, facts={}, reason="better")
    (row,) = read_board_of(folder)
    assert row.unranked == "" and row.entry.raw == pytest.approx(0.45)  # what was replaced is superseded, not this
    assert 'reason = "better"' in (folder / "model.toml").read_text()
    left = "title family supervision training_data trained_on_brain_data trained_on_benchmark_stimuli submitter"
    assert missing(folder) == left.split()


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schemas_in_the_repository_are_those_of_the_code(name):
    assert json.loads((REPOSITORY / "leaderboard" / "schema" / f"{name}.json").read_text()) == schema(name)
