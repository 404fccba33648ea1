"""Recomputation and submission: what a badge rests on (FAULTS L3), and a run's way into the board."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from brainbench import api, cli, models, runner, settings
from brainbench.benchmarks import known
from brainbench.core.whole import write_whole
from brainbench.datasets.insilico import Insilico
from brainbench.entry import Baseline, Entry, read
from brainbench.errors import InputError, UsageError, VerificationError
from brainbench.leaderboard import recompute
from brainbench.leaderboard.board import read_board
from brainbench.leaderboard.cards import read_card
from brainbench.leaderboard.schema import SCHEMAS, schema
from brainbench.leaderboard.submit import missing, submit, text_of
from brainbench.leaderboard.validate import validate
from brainbench.models.features_file import load, write_features

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


def test_a_later_version_supersedes_the_earlier_by_one_command(tmp_path, root, folder, made, monkeypatch, capsys):
    """Other weights have another folder, so nothing lies there under the new entries' names."""
    before = shutil.copytree(root, tmp_path / "before")
    later = made.entry(raw=0.42, weights="1" * 64)
    path = tmp_path / "run" / later.path
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(later.as_json()))
    facts = ("--submitter", "tests", "--title", "Made")
    assert command(monkeypatch, "submit", tmp_path / "run", "--to", root, *facts) == 0
    assert "This model is there already" in " ".join(capsys.readouterr().err.split())
    for _ in range(2):
        assert command(monkeypatch, "submit", tmp_path / "run", "--to", root, *facts, "--supersede", "mended") == 0
        assert "is there already" not in " ".join(capsys.readouterr().err.split())
    new = root / "results" / later.path.parts[0]
    facts = {"family": "cnn", "supervision": "none", "training_data": [], "licence": "MIT"}
    facts |= {"trained_on_brain_data": False, "trained_on_benchmark_stimuli": False}
    submit(tmp_path / "run", root, facts=facts, reason="mended")
    (old,) = read_card(new / "model.toml").supersedes
    assert (old.path, old.reason) == (f"{folder.name}/{ENTRY}", "mended")
    assert validate(root, against=before).problems == []
    found = {(r.folder, r.entry.benchmark): r.unranked for r in read_board(root).rows}
    assert found == {
        (folder.name, "insilico.V4-ridge"): "superseded",
        (folder.name, "cowley2023.V4-ridge"): "",
        (new.name, "insilico.V4-ridge"): "",
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"features": 2.0}, r"model_identity\.weights: .* is not what features:mine was scored from"),
        ({"layer": "b"}, "unknown layer 'a'"),
        ({"licence": "MIT"}, r"model_identity\.licence: .* the run has 'unknown', the file 'MIT'"),
    ],
)
def test_only_the_features_that_were_scored_are_submitted(tmp_path, scored, change, says):
    table = load(str(scored / "f.safetensors"))
    features = {change.get("layer", "a"): table.tensors["a"] * change.get("features", 1.0)}
    facts = {"licence": change["licence"]} if "licence" in change else {}
    write_features(tmp_path / "g.safetensors", features, table.stimulus_ids, model="mine", **facts)
    with pytest.raises((InputError, UsageError), match=says):
        submit(scored / "run", tmp_path / "L", facts={}, features=tmp_path / "g.safetensors")
    assert not (tmp_path / "L").exists()


def test_the_scored_features_may_have_another_name(tmp_path, scored, run_of_features):
    same = run_of_features / "features.safetensors"  # which is where they will lie
    (folder,) = submit(scored / "run", run_of_features.parents[1], facts={}, features=same)
    assert folder == run_of_features and validate(folder).problems == []


def test_the_page_on_features_runs_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "submitting.md").read_text(), re.DOTALL)
    exec(block, {})
    table = load("MINE.safetensors")
    assert table.stimulus_ids == Insilico().stimuli().ids and table.spec.id == "features:mine"
    assert [layer.name for layer in table.spec.layers] == ["pixels", "colour"]


def test_features_that_are_no_file_are_a_users_mistake(tmp_path, scored, monkeypatch, capsys):
    for wrong in (tmp_path / "nowhere.safetensors", tmp_path):
        assert command(monkeypatch, "submit", scored / "run", "--to", tmp_path / "L", "--features", wrong) == 2
        assert f"{wrong} is no file" in capsys.readouterr().err.replace("\n", "")
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    torn = tmp_path / "torn.safetensors"
    assert command(monkeypatch, "submit", scored / "run", "--to", tmp_path / "L", "--features", torn) == 3


def test_scores_only_leaves_no_features(scored, run_of_features):
    root, features = run_of_features.parents[1], scored / "f.safetensors"
    with pytest.raises(UsageError, match="--scores-only submits no features"):
        submit(scored / "run", root, facts={}, features=features, scores_only=True)
    assert submit(scored / "run", root, facts={}, scores_only=True, reason="too large") == [run_of_features]
    report = validate(run_of_features)
    assert report.problems == [] and report.submissions[0].card.submission == "scores"
    assert not (run_of_features / "features.safetensors").exists()


def test_what_stands_firm_in_a_card_is_superseded_with_the_reason(tmp_path, scored, run_of_features):
    root = run_of_features.parents[1]
    before = shutil.copytree(root, tmp_path / "before")
    submit(scored / "run", root, facts={"submitter": "Doe lab"}, features=scored / "f.safetensors")
    assert "submitter: was tests, is Doe lab: name it" in str(validate(root, against=before).problems[0])
    shutil.copytree(before, root, dirs_exist_ok=True)
    features = scored / "f.safetensors"
    submit(scored / "run", root, facts={"submitter": "Doe lab"}, features=features, reason="we moved")
    report = validate(root, against=before)
    assert report.problems == [] and "we moved" in str(report.notes[1])
    # the same features, other bytes
    table, renamed = load(str(features)), tmp_path / "renamed.safetensors"
    write_features(renamed, table.tensors, table.stimulus_ids, model="renamed")
    shutil.copytree(before, root, dirs_exist_ok=True)
    submit(scored / "run", root, facts={}, features=renamed, reason="renamed")
    report = validate(root, against=before)
    assert report.problems == [] and [note.field for note in report.notes] == ["features_sha256", *["supersedes"] * 2]


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
    assert "0 beyond" in capsys.readouterr().out  # what differs are baselines, of which the entry says nothing
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


def test_what_changed_while_it_was_recomputed_gets_no_badge(run_of_features, monkeypatch, capsys, key, made):
    folder, root = run_of_features, run_of_features.parents[1]
    pen, control = key(root), recompute.control

    def meanwhile(*args, **options):
        path = folder / "insilico.V1-ridge.json"
        made.edited(path, n_without_ceiling=json.loads(path.read_text())["n_without_ceiling"] + 1)
        return control(*args, **options)

    monkeypatch.setattr(recompute, "control", meanwhile)
    assert command(monkeypatch, "leaderboard", "verify", folder, "--attest", pen, "--signer", "host@lab") == 5
    assert "its file was changed since it was read to be recomputed" in " ".join(capsys.readouterr().err.split())
    assert trust(root) == {"insilico.V1-ridge": "self-reported"} and not (root / "attestations").exists()


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"per_subject": {"s9": {"raw": 0.4, "ceiling": None, "normalized": None, "n_neuroids": 150}}}, "per_subject"),
        ({"raw": 0.42}, "raw: is 0.42; the entry's own parts make it 0.4"),
    ],
)
def test_what_cannot_be_right_fails_verification_by_name(folder, made, monkeypatch, capsys, fields, names):
    made.edited(folder / ENTRY, **fields)
    for what in ("verify", "reproduce"):
        assert command(monkeypatch, "leaderboard", what, folder if what == "verify" else folder / ENTRY) == 5
        assert names in " ".join(capsys.readouterr().err.split())


def test_published_features_give_way_to_scores_alone_by_one_command(tmp_path, scored, run_of_features):
    root = run_of_features.parents[1]
    shutil.copytree(root, before := tmp_path / "before")
    submit(scored / "run", root, facts={}, scores_only=True, reason="the features may not be shown")
    assert not (run_of_features / "features.safetensors").exists()
    assert validate(root, against=before).problems == []


def test_features_are_not_taken_away_without_a_word(scored, run_of_features):
    files = {path: path.read_bytes() for path in run_of_features.iterdir()}
    with pytest.raises(UsageError, match=r"features\.safetensors would go: say why .*--supersede REASON"):
        submit(scored / "run", run_of_features.parents[1], facts={}, scores_only=True)
    assert {path: path.read_bytes() for path in run_of_features.iterdir()} == files


@pytest.mark.parametrize("at", range(3))
def test_an_interrupted_submission_is_whole_when_it_is_made_again(tmp_path, scored, run_of_features, monkeypatch, at):
    """Whether it stops at the card, the features or an entry: what it was to supersede is named once, and is true."""
    root, run = run_of_features.parents[1], shutil.copytree(scored / "run", tmp_path / "run")
    (of,) = read(run)
    of = of.model_copy(update={"provenance": of.provenance | {"threads": 7}})
    (run / of.path).write_text(text_of(of))
    shutil.copytree(root, before := tmp_path / "before")

    def again():
        submit(run, root, facts={}, features=scored / "f.safetensors", reason="another machine")
        return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    writes = []

    def stopped(path, content):
        writes.append(path.name)
        if len(writes) > at:
            raise KeyboardInterrupt
        write_whole(path, content)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("brainbench.leaderboard.submit.write_whole", stopped)
        again()
    assert writes == ["model.toml", "features.safetensors", "insilico.V1-ridge.json"][: at + 1]
    found = again()
    assert validate(root, against=before).problems == []
    assert (run_of_features / "model.toml").read_text().count("[[supersedes]]") == 1
    assert found == again()


def test_an_entry_of_an_earlier_benchmark_stands_in_nobodys_way(run_of_features, made, monkeypatch, capsys):
    good = run_of_features / "insilico.V1-ridge.json"
    old = run_of_features / "insilico.V4-ridge.json"
    facts = json.loads(good.read_text()) | {"benchmark": "insilico.V4-ridge", "benchmark_fingerprint": "0" * 64}
    old.write_text(json.dumps(facts))
    assert command(monkeypatch, "leaderboard", "reproduce", good) == 0
    assert command(monkeypatch, "leaderboard", "verify", run_of_features) == 0
    assert "Recomputed 1 of 2 entries" in " ".join(capsys.readouterr().err.split())
    assert command(monkeypatch, "leaderboard", "reproduce", old) == 3
    assert "no entry here is of a benchmark as it is now" in " ".join(capsys.readouterr().err.split())


def test_features_of_other_layers_are_another_model(run_of_features, monkeypatch, capsys):
    ids = load(str(run_of_features / "features.safetensors")).stimulus_ids
    write_features(run_of_features / "features.safetensors", {"b": np.ones((len(ids), 3))}, ids, model="mine")
    card = run_of_features / "model.toml"
    digest = hashlib.sha256((run_of_features / "features.safetensors").read_bytes()).hexdigest()
    card.write_text(re.sub('features_sha256 = ".*"', f'features_sha256 = "{digest}"', card.read_text()))
    assert command(monkeypatch, "leaderboard", "verify", run_of_features) == 5
    assert "model_identity.layers: features.safetensors is another model's" in " ".join(capsys.readouterr().err.split())


def test_what_is_verified_is_one_submission(root, folder, monkeypatch, capsys):
    for wrong in (root, root / "results"):
        assert command(monkeypatch, "leaderboard", "verify", wrong) == 2
        assert "is no submission, it has no model.toml: name one folder" in " ".join(capsys.readouterr().err.split())


def test_a_card_that_is_broken_or_a_reason_that_is_long_stops_a_submission(scored, run_of_features):
    files = {path: path.read_bytes() for path in run_of_features.iterdir()}
    to, card = run_of_features.parents[1], run_of_features / "model.toml"
    for text, says in (("x = [", "is not TOML"), ("supersedes = 3", "supersedes is no list")):
        card.write_text(text)
        with pytest.raises(InputError, match=says):
            submit(scored / "run", to, facts={}, features=scored / "f.safetensors")
    card.write_bytes(files[card])
    with pytest.raises(UsageError, match="the reason is one line of 1 to 100 characters"):
        submit(scored / "run", to, facts={}, features=scored / "f.safetensors", reason="x" * 101)
    assert {path: path.read_bytes() for path in run_of_features.iterdir()} == files


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


def test_a_model_that_tells_no_category_is_not_called_a_leak(made):
    """The accuracy of nothing is chance, with an interval above 0, whichever stimuli are exchanged."""
    entry = made.entry(benchmark="insilico.category-svm", raw=0.13)
    null = entry.model_copy(update={"low": 0.09, "raw": 0.12, "extras": {"chance": 0.125}})
    claim = entry.model_copy(update={"low": 0.08})
    assert not recompute.control_fails(claim, null)
    assert recompute.control_fails(
        claim.model_copy(update={"low": 0.2}), null.model_copy(update={"low": 0.2, "raw": 0.3})
    )


BEYOND = {  # fields of an entry, and a difference from what is computed that is just beyond a tolerance of 1e-4
    "baselines.pixels.raw": 1.2e-4,
    "baselines.pixels.normalized": 1.2e-4,
    "baselines.pixels.difference_high": 3.2e-4,
    "extras.noise": 3.2e-3,
    "layers.3.geometry.rank": 0.16,
    "layers.3.depth": 1.2e-4,
    "optimistic.gap": 1.2e-4,
    "ceiling_upper": 1.2e-4,
    "replicates.7": 3.2e-4,
    "low": 3.2e-4,
    "per_subject.s2.normalized": 1.2e-4,
}


def whole(made):
    entry = made.entry()
    layers = [layer.model_copy(update={"geometry": {"rank": 50.0}}) for layer in entry.layers]
    beside = Baseline(raw=0.3, normalized=0.1, layer="all", difference=0.1, difference_low=0.05, difference_high=0.15)
    extras = {"baselines": {"pixels": beside}, "extras": {"noise": 0.5}, "layers": layers, "ceiling_upper": 0.7}
    return entry.model_copy(update=extras)


def shifted(entry, field, by):
    tree = entry.model_dump()
    *path, last = [int(name) if name.isdigit() else name for name in field.split(".")]
    at = tree
    for name in path:
        at = at[name]
    at[last] += by
    return Entry.model_validate(tree)


@pytest.mark.parametrize(("field", "beyond"), BEYOND.items())
def test_every_number_is_compared(made, field, beyond):
    entry = whole(made)
    for by, fails in ((beyond, True), (beyond * 0.8, False)):
        (found,) = recompute.differences(shifted(entry, field, by), entry, 1e-4)
        assert (found.field, found.fails) == (field, fails)


def test_replicates_may_not_all_be_shifted_by_what_one_may(made):
    """Ranks are made of them: three times the tolerance would tell models apart that nothing tells apart."""
    entry = made.entry()
    shifted = entry.model_copy(update={"replicates": [r + 2.5e-4 for r in entry.replicates]})
    assert [d.field for d in recompute.differences(shifted, entry, 1e-4) if d.fails] == ["replicates, their mean"]
    one_way_and_the_other = [r + (-1) ** n * 2.5e-4 for n, r in enumerate(entry.replicates)]
    noisy = entry.model_copy(update={"replicates": one_way_and_the_other})
    assert not any(d.fails for d in recompute.differences(noisy, entry, 1e-4))


def test_a_run_of_which_one_model_cannot_be_submitted_leaves_nothing(tmp_path, made):
    for of in (made.entry("bundled:made"), made.entry("module:lab:net")):
        path = tmp_path / "run" / of.path
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(of.as_json()))
    with pytest.raises(UsageError, match="nobody can rebuild module:lab:net by its name"):
        submit(tmp_path / "run", tmp_path / "L", facts={})
    assert not (tmp_path / "L").exists()


@pytest.mark.parametrize("option", ["--title", "--submitter"])
@pytest.mark.parametrize("text", ["", "caf\udce9", "a\u202eb", "x" * 101])
def test_a_title_that_no_card_takes_is_refused_before_anything_is_written(
    tmp_path, scored, monkeypatch, capsys, option, text
):
    words = ("submit", scored / "run", "--to", tmp_path / "L", "--scores-only")
    assert command(monkeypatch, *words, option, text) == 2
    assert f"the {option[2:]} is one line of 1 to 100 characters" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "L").exists()


def test_what_an_entry_invents_or_leaves_out_differs(made):
    entry = whole(made)
    named = entry.model_copy(update={"extras": entry.extras | {"peak_s": 9.0, "reason": 1.0}})
    assert {d.field for d in recompute.differences(named, entry, 1e-4) if d.fails} == {"extras.peak_s", "extras.reason"}
    bare = Baseline(raw=0.3, normalized=0.1)
    hiding = recompute.differences(entry.model_copy(update={"baselines": {"pixels": bare}}), entry, 1e-4)
    assert "baselines.pixels.difference_low" in {d.field for d in hiding if d.fails}
    assert any(d.fails for d in recompute.differences(entry, entry.model_copy(update={"baselines": {}}), 1e-4))
    inventing = entry.model_copy(update={"extras": entry.extras | {"iq": 1.0}})
    assert [d.field for d in recompute.differences(inventing, entry, 1e-4) if d.fails] == ["extras.iq"]
    other = entry.optimistic.model_copy(update={"layer": "blocks.0"})
    assert any(d.fails for d in recompute.differences(entry.model_copy(update={"optimistic": other}), entry, 1e-4))
    lacking = [layer.model_copy(update={"geometry": {}}) for layer in entry.layers]
    lacking = entry.model_copy(update={"layers": lacking, "baselines": {}})
    assert not any(d.fails for d in recompute.differences(lacking, entry, 1e-4))


def test_what_was_computed_before_is_no_evidence(run_of_features, monkeypatch, capsys):
    """A store of the verifier's own machine that holds other results changes nothing."""
    path = run_of_features / "insilico.V1-ridge.json"
    computed = []
    columns = runner._columns
    monkeypatch.setattr(runner, "_columns", lambda *of: computed.append(1) or columns(*of))
    assert command(monkeypatch, "leaderboard", "reproduce", path) == 0
    assert len(computed) == 3 and "0 beyond" in capsys.readouterr().out  # the features and two baselines


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
