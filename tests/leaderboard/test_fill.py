"""`leaderboard fill`: one list, one command; interrupted it goes on; what cannot be scored is told. And `--merge`."""

import hashlib
import shutil
from pathlib import Path

import pytest

from brainbench import cli
from brainbench.benchmarks import known, select
from brainbench.entry import read
from brainbench.errors import InputError, UnknownNameError
from brainbench.leaderboard import fill as filling
from brainbench.leaderboard.board import read_board
from brainbench.leaderboard.cards import read_card
from brainbench.leaderboard.fill import fill, read_plan
from brainbench.leaderboard.schema import write_schemas
from brainbench.leaderboard.validate import validate
from brainbench.models.bundled import BUNDLES

REPOSITORY = Path(__file__).parents[2]
HEAD = 'submitter = "tests"\nbenchmarks = ["insilico.V1-rsa"]\n'
ROW = '\n[[model]]\nmodel = "{}"\ntitle = "{}"\nfamily = "cnn"\nsupervision = "supervised"\ntraining_data = ["x"]\n'


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def planned(tmp_path, monkeypatch, cache):
    """Makes a leaderboard with this list; benchmarks have no baselines, which cost as much as the model."""
    monkeypatch.setenv("BRAINBENCH_CACHE", str(cache))
    bare = {name: b.model_copy(update={"baselines": ()}) for name, b in known().items()}
    for place in ("brainbench.benchmarks.known", "brainbench.leaderboard.rules.known"):
        monkeypatch.setattr(place, lambda: bare)
    monkeypatch.setattr(filling, "known", lambda: bare)

    def make(*rows):
        root = tmp_path / "L"
        (root / "results").mkdir(parents=True)
        (root / "models.toml").write_text(HEAD + "".join(rows))
        return root

    return make


def command(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["brainbench", *map(str, words)])
    with pytest.raises(SystemExit) as exit:
        cli.main()
    return exit.value.code or 0


def test_one_command_scores_submits_and_builds(planned, monkeypatch, capsys):
    root = planned(ROW.format("baseline:pixels", "Pixels"), ROW.format("timm:resnet18.a1_in1k", "ResNet-18"))
    assert command(monkeypatch, "leaderboard", "fill", root) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "timm:resnet18.a1_in1k was left out: the weights of" in told and "HF_HOME" in told
    (submission,) = validate(root).submissions
    assert validate(root).problems == [] and list(submission.entries) == ["insilico.V1-rsa.json"]
    assert (submission.card.title, submission.card.submitter) == ("Pixels", "tests")
    assert "Pixels" in (root / "site" / "index.html").read_text()
    before = contents(root)
    assert command(monkeypatch, "leaderboard", "fill", root) == 0
    assert "baseline:pixels has all its entries" in " ".join(capsys.readouterr().err.split())
    assert contents(root) == before


def test_a_fill_that_was_interrupted_goes_on(planned, monkeypatch):
    root = planned(ROW.format("baseline:pixels", "Pixels"), ROW.format("insilico:cascade", "Cascade"))
    score, scored = filling.api.score, []

    def stopped_at_the_second(name, *args, **options):
        if scored:
            raise KeyboardInterrupt
        scored.append(name)
        return score(name, *args, **options)

    monkeypatch.setattr(filling.api, "score", stopped_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        list(fill(root))
    first = contents(root)
    assert len(first) == 3  # the list, an entry, its card

    def never_the_first(name, *args, **options):
        assert name != "baseline:pixels"
        return score(name, *args, **options)

    monkeypatch.setattr(filling.api, "score", never_the_first)
    done = dict(fill(root))
    assert done["baseline:pixels"] == [] and len(done["insilico:cascade"]) == 1
    assert {name: text for name, text in contents(root).items() if name in first} == first


def test_a_twin_is_scored_as_untrained_and_what_a_row_says_is_in_its_card(planned):
    flags = "trained_on_brain_data = true\nbenchmarks = ['insilico.V4-rsa']\ntwin = true\n"
    root = planned(ROW.format("timm:test_efficientnet.r160_in1k", "Small") + flags)
    given = dict(fill(root))
    assert "are not on this machine" in given["timm:test_efficientnet.r160_in1k"]
    (folder,) = given["timm:test_efficientnet.r160_in1k@untrained"]
    card = read_card(folder / "model.toml")
    assert (card.title, card.supervision, card.training_data) == ("Small, untrained", "none", [])
    assert not card.trained_on_brain_data
    assert [entry.benchmark for entry in read(folder)] == ["insilico.V4-rsa"]


def test_a_changed_benchmark_is_scored_again_for_a_reason(planned, monkeypatch, made):
    root = planned(ROW.format("baseline:pixels", "Pixels"))
    ((_, (folder,)),) = fill(root)
    path = folder / "insilico.V1-rsa.json"
    made.edited(path, benchmark_fingerprint="0" * 64)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    ((_, told),) = fill(root)
    assert "--supersede REASON" in told
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    list(fill(root, reason="a new version"))
    (old,) = read_card(folder / "model.toml").supersedes
    assert (old.sha256, old.reason) == (digest, "a new version")
    assert validate(root).problems == []


def test_a_model_whose_recordings_are_not_here_is_told_with_what_says_how_they_are_had(planned, monkeypatch):
    root = planned(ROW.format("baseline:pixels", "Pixels") + "benchmarks = ['allen2021.V1-ridge']\n")
    monkeypatch.setattr(filling, "present", lambda name, roots: "not here")
    assert "`brainbench data locate ID` says how to get it" in dict(fill(root))["baseline:pixels"]


def test_lists_that_are_wrong_are_refused_by_name(planned, tmp_path):
    root = planned(ROW.format("baseline:pixels", "Pixels") + "colour = 'red'\n")
    with pytest.raises(InputError, match=r"model\.0\.colour: Extra inputs"):
        read_plan(root / "models.toml")
    with pytest.raises(InputError, match="cannot read"):
        list(fill(tmp_path / "nowhere"))
    (root / "models.toml").write_text(HEAD + ROW.format("baseline:pixels", "Pixels"))
    with pytest.raises(UnknownNameError, match="Did you mean 'baseline:pixels'"):
        list(fill(root, only=["baseline:pixel"]))
    assert dict(fill(root, benchmarks=["cowley2023.*"])) == {"baseline:pixels": []}  # none of them is in the list


def test_the_projects_own_list_names_what_there_is():
    plan = read_plan(REPOSITORY / "leaderboard" / "models.toml")
    real = [b for pattern in plan.benchmarks for b in select((pattern,)) if not b.id.startswith("insilico.")]
    assert {b.scorer for b in real} >= {"ridge", "rsa", "cka", "kernel_analysis"}
    assert plan.benchmarks[-1] == "insilico.*"
    named = [listed.model for listed in plan.models]
    assert {f"bundled:{name}" for name in BUNDLES} <= {*named}
    assert len(named) == len({*named})
    assert all(listed.twin for listed in plan.models if listed.model.startswith("bundled:"))
    for listed in plan.models:
        assert listed.supervision == "none" or listed.training_data, listed.model
        select(tuple(listed.benchmarks) or None)


# a laboratory's own board


def contents(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_unpublished_entries_stand_beside_the_public_ones_and_nowhere_else(root, made, tmp_path, monkeypatch, capsys):
    mine = made.submitted(tmp_path / "mine", made.entry("timm:secret", raw=0.6))
    before = contents(root)
    assert command(monkeypatch, "leaderboard", "build", root, "--merge", tmp_path / "mine") == 2
    assert "--to FILE" in " ".join(capsys.readouterr().err.split())
    page = tmp_path / "mine.html"
    assert command(monkeypatch, "leaderboard", "build", root, "--merge", tmp_path / "mine", "--to", page) == 0
    assert "secret" in page.read_text()
    assert contents(root) == before
    assert command(monkeypatch, "leaderboard", "build", root) == 0
    assert "secret" not in (root / "site" / "index.html").read_text()
    rows = {row.entry.model: row for row in read_board(root, [mine]).rows if row.entry.benchmark == "insilico.V4-ridge"}
    assert (rows["timm:secret"].trust, rows["timm:made"].trust) == ("unpublished", "self-reported")
    assert rows["timm:secret"].best == 1 and rows["timm:made"].best == 2  # ranked beside the others, on this page alone


def test_a_page_or_schema_that_cannot_be_written_is_told_and_leaves_nothing(root, tmp_path, monkeypatch, capsys):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    before = {*tmp_path.iterdir()}
    for to, says in (("folder", "Is a directory"), ("file/page.html", "File exists")):
        assert command(monkeypatch, "leaderboard", "build", root, "--to", tmp_path / to) == 6
        told = " ".join(capsys.readouterr().err.split())
        assert "cannot write the page" in told and f"{says}. Name another file with --to" in told
    assert {*tmp_path.iterdir()} == before
    (root / "schema").write_text("")
    assert command(monkeypatch, "leaderboard", "schema", root) == 6
    assert "cannot write the schemas" in capsys.readouterr().err


def test_a_page_with_unpublished_entries_is_not_written_where_the_public_one_lies(root, made, tmp_path, monkeypatch):
    made.submitted(tmp_path / "mine", made.entry("timm:secret", raw=0.6))
    (tmp_path / "link").symlink_to(root)
    monkeypatch.chdir(root)
    merged = ("leaderboard", "build", root, "--merge", tmp_path / "mine", "--to")
    for public in ("site/index.html", tmp_path / "link" / "site" / "mine.html", root / "results" / ".." / "site" / "x"):
        assert command(monkeypatch, *merged, public) == 2
    assert not (root / "site").exists()


def test_a_laboratorys_own_leaderboard_is_merged_whole(root, made, tmp_path):
    made.submitted(tmp_path / "lab", made.entry("timm:secret", raw=0.6), title="Secret")
    write_schemas(tmp_path / "lab" / "schema")
    (row,) = (row for row in read_board(root, [tmp_path / "lab"]).rows if not row.published)
    assert (row.card.title, row.best) == ("Secret", 1)


def test_what_a_laboratory_superseded_is_not_merged(root, made, tmp_path):
    old = made.submitted(tmp_path / "lab", made.entry("timm:secret", raw=0.6))
    path = old / "insilico.V4-ridge.json"
    named = {"path": f"{old.name}/{path.name}", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    later = made.entry("timm:secret", raw=0.55, weights="1" * 64)
    made.submitted(tmp_path / "lab", later, supersedes=[named | {"reason": "mended"}])
    (row,) = (row for row in read_board(root, [tmp_path / "lab"]).rows if not row.published)
    assert row.entry == later


def test_a_run_without_a_card_can_be_looked_at_too(root, made, tmp_path):
    folder = made.submitted(tmp_path / "mine", made.entry("module:mine", raw=0.6))
    (folder / "model.toml").unlink()
    run = tmp_path / "run"
    shutil.move(folder, run)
    (row,) = (row for row in read_board(root, [run]).rows if not row.published)
    assert (row.card.title, row.card.submitter) == ("module:mine", "this machine")


def test_a_model_is_scored_on_the_list_less_what_it_goes_without(tmp_path):
    without = 'without = ["insilico.V1-[!r]*"]\n'
    rows = ROW.format("baseline:pixels", "a"), ROW.format("baseline:gabor", "b") + "without = []\n"
    (tmp_path / "models.toml").write_text(HEAD.replace("V1-rsa", "V1-*") + without + "".join(rows))
    plan = read_plan(tmp_path / "models.toml")
    less, all_of_it = (filling.of_model(plan, listed) for listed in plan.models)
    assert less == {"insilico.V1-ridge", "insilico.V1-rsa"}
    assert all_of_it == {b.id for b in select(("insilico.V1-*",))} > less


@pytest.fixture(scope="module")
def ours():
    """The entries of the repository's own leaderboard, but history."""
    return [row.entry for row in read_board(REPOSITORY / "leaderboard").rows if not row.past]


def test_the_leaderboard_has_an_entry_for_all_that_its_list_asks(ours):
    plan = read_plan(REPOSITORY / "leaderboard" / "models.toml")
    asked = {
        (f"{listed.model}{twin}", benchmark)
        for listed in plan.models
        for twin in ("", *["@untrained"] * listed.twin)
        for benchmark in filling.of_model(plan, listed)
    }
    there = {(entry.model, entry.benchmark) for entry in ours}
    assert sorted(asked - there) == []


def test_readme_counts_what_is_there(ours):
    of = {entry.benchmark.partition(".")[0]: set() for entry in ours}
    for entry in ours:
        of[entry.benchmark.partition(".")[0]].add(entry.benchmark)
    n = {name: len(found) for name, found in of.items()}
    outlines, synthetic = n.pop("geirhos2019"), n.pop("insilico")
    said = " ".join((REPOSITORY / "README.md").read_text(encoding="utf-8").split())
    models = len({entry.model for entry in ours})
    assert len(n) == 3
    assert f"{models} models on {sum(n.values())} benchmarks of three recordings, {outlines} of outlines" in said
    assert f"and {synthetic} of a synthetic recording ({len(ours)} scores)" in said
