"""Files that somebody made to get a score, or more, that is not theirs; each is refused by name.

Which tests hold which row of the list of faults is in `tests/faults/test_rows.py`.
"""

import hashlib
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import textwrap
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brainbench.core.specs import fingerprint, plain
from brainbench.entry import MIGRATIONS, Baseline, Optimistic
from brainbench.errors import InputError
from brainbench.leaderboard.board import read_board
from brainbench.leaderboard.cards import Card
from brainbench.leaderboard.rules import broken
from brainbench.leaderboard.untrusted import safetensors_problem
from brainbench.leaderboard.validate import validate
from brainbench.models.features_file import write_features
from brainbench.numerics.resampling import interval

V4 = "insilico.V4-ridge.json"


def problems(path, **options):
    return [str(problem) for problem in validate(path, **options).problems]


def test_what_the_tests_begin_with_is_valid(root, folder):
    assert problems(root) == problems(folder) == []
    assert validate(root).n_entries == 2


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"raw": 1.5}, "raw: is 1.5"),
        ({"raw": 40.0, "low": 39.0}, "raw: is 40"),
        ({"raw": 0.42}, "raw: is 0.42; the entry's own parts make it 0.4"),
        ({"low": 0.1}, "low: is 0.1; the entry's own parts make it"),
        ({"normalized": 25.0}, "normalized: is 25 of the ceiling"),
        ({"normalized_low": 0.5, "normalized_high": 40.0}, "normalized_high: is 40 of the ceiling"),
        ({"normalized_low": 0.5, "normalized_high": 0.1}, "normalized_low: is 0.5, above normalized_high, 0.1"),
        ({"normalized_low": 0.5, "normalized_high": 0.0}, "normalized_low: is 0.5, above normalized_high, 0"),
        ({"normalized_low": 0.5, "normalized_high": None}, "normalized_low: an interval has two ends"),
        ({"ceiling": 3.0}, "ceiling: is 3"),
        ({"replicates": [0.4] * 10}, "replicates: has 10 numbers"),
        ({"replicates": [None] * 1000, "low": None, "high": None}, "replicates: are null in 1000 of 1000 resamplings"),
        ({"layer_by_fold": ["blocks.5"] * 4}, "layer_by_fold: has 4 folds; the benchmark has 5"),
        ({"layer_by_fold": ["blocks.5"] * 4 + ["x"]}, "layer_by_fold: names 'x'"),
        ({"layer": "blocks.1"}, "layer: is not the layer that most folds chose"),
        ({"n_excluded": 3}, "n_excluded: is not the sum"),
        ({"synthetic": False}, "synthetic: must be True"),
        ({"benchmark_fingerprint": "0" * 64}, "benchmark_fingerprint: the benchmark is another one now"),
        ({"model_fingerprint": "0" * 64}, "model_fingerprint: is not the fingerprint of model_identity"),
        ({"scorer": "ridge 0"}, "scorer: must be ridge 3"),
        ({"provenance": {}}, "provenance: brainbench, python, packages, platform, device, threads, created: Field req"),
        ({"benchmark": "../../x"}, "there is no benchmark '../../x'"),
        ({"synthetic": 1}, "synthetic: Input should be a valid boolean"),
        ({"raw": True}, "raw: Input should be a valid number"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"reason": "a\u202eb"}, "reason: holds the character U+202E, which does not show"),
        ({"resampled": "x" * 5000}, "resampled: has 5000 characters"),
        ({"schema_version": 2}, "is of schema version 2, this brainbench reads up to 1"),
    ],
)
def test_a_forged_field_is_named(folder, made, fields, says):
    made.edited(folder / V4, **fields)
    assert any(says in problem for problem in problems(folder)), problems(folder)


def test_what_is_valid_can_be_ranked(root, made):
    """What `compare` refuses is refused before it is on a board, or one entry would keep the whole page from being."""
    forged = made.entry("timm:other", "cowley2023.V4-ridge")
    drawn = [round(r - 0.15, 6) for r in forged.replicates]
    low, high = interval(np.asarray(drawn))
    folder = made.submitted(root, forged.model_copy(update={"replicates": drawn, "low": low, "high": high}))
    (problem,) = problems(folder)
    assert "raw: is 0.4; all its replicates lie between 0.1" in problem
    assert {row.folder for row in read_board(root).rows}.isdisjoint([folder.name])


def test_an_identity_that_is_equal_in_python_alone_is_refused(root, folder, made):
    """1 == True == 1.0, but each has another fingerprint, and the page cannot be built of it."""
    made.submitted(root, made.entry("timm:other"))
    identity = json.loads((folder / V4).read_text())["benchmark_identity"]
    assert identity["split"]["n_repeats"] == 1
    for same in (True, 1.0):
        made.edited(folder / V4, benchmark_identity=identity | {"split": identity["split"] | {"n_repeats": same}})
        assert any("benchmark_identity: must be" in problem for problem in problems(folder))
        assert len({row.folder for row in read_board(root).rows}) == 1


def test_layers_are_those_of_the_model_as_the_scorer_reads_them(made):
    """One that reads units averages maps over space, so a layer kept on a grid is told as a mean."""
    maps = tuple(replace(layer, pooling="grid14") for layer in made.LAYERS)
    model = replace(made.spec("timm:made", "0" * 64), layers=maps)
    for benchmark, pooling in (("insilico.V1-semi", "mean"), ("insilico.V1-ridge", "grid14")):
        entry = made.entry("timm:made", benchmark, weights="0" * 64)
        entry = entry.model_copy(
            update={
                "model_identity": plain(model),
                "model_fingerprint": fingerprint(model),
                "layers": [layer.model_copy(update={"pooling": pooling}) for layer in entry.layers],
            }
        )
        assert list(broken(entry, Card(**made.card(entry)))) == []
        other = [layer.model_copy(update={"pooling": "flatten"}) for layer in entry.layers]
        found = list(broken(entry.model_copy(update={"layers": other}), Card(**made.card(entry))))
        assert found == [("layers", "are not those of model_identity")]


def test_the_share_of_whole_subjects_is_of_all_of_them(made):
    """A subject of whom next to nothing can be explained has an honest share of 16; the entry's is that of all."""
    entry = made.entry(benchmark="insilico.V4-rsa")
    bounds = dict(zip(entry.per_subject, (0.01, 0.64, 0.64)))
    own = {
        name: subject.model_copy(update={"ceiling": bounds[name], "normalized": 0.16 / bounds[name]})
        for name, subject in entry.per_subject.items()
    }
    entry = entry.model_copy(update={"per_subject": own, "ceiling": 1.29 / 3, "normalized": 0.48 / 1.29})
    assert list(broken(entry, Card(**made.card(entry)))) == []
    mean = sum(subject.normalized for subject in own.values()) / 3
    for forged in (mean, 0.5):
        found = dict(broken(entry.model_copy(update={"normalized": forged}), Card(**made.card(entry))))
        assert "normalized" in found


def test_a_score_above_its_ceiling_is_refused(root, made):
    too_good = made.entry("timm:good", raw=0.95)
    folder = made.submitted(root, too_good)
    assert "lies above the ceiling, 0.800" in problems(folder)[0]


def test_no_card_calls_a_trained_model_untrained(made):
    of, trained = made.entry(), replace(made.spec(), training_data="ImageNet-1k, supervised")
    facts = {"model_identity": plain(trained), "model_fingerprint": fingerprint(trained)}
    of = of.model_copy(update=facts)
    assert not list(broken(of, Card.model_validate(made.card(of))))
    untrained = Card.model_validate(made.card(of, supervision="none", training_data=[]))
    assert list(broken(of, untrained)) == [
        ("model_identity.training_data", "is 'ImageNet-1k, supervised'; the card says that nothing was trained")
    ]


def test_a_layer_lies_between_the_first_and_the_last(made):
    of, deep = made.entry(), replace(made.spec(), layers=(replace(made.LAYERS[0], depth=7.0), *made.LAYERS[1:]))
    of = of.model_copy(update={"model_identity": plain(deep), "model_fingerprint": fingerprint(deep)})
    assert "puts blocks.0 at depth 7; depths are from 0 to 1" in dict(
        broken(of, Card.model_validate(made.card(of)))
    ).get("model_identity.layers", "")


def test_a_baseline_has_the_score_of_its_own_entry(root, made):
    """A spot check does not score baselines, and a weak one flatters the model beside it."""

    def beside(raw):
        own = {"baseline:pixels": Baseline(raw=0.1, difference=0.3), "timm:made@untrained": Baseline(reason="?")}
        own["baseline:gabor"] = Baseline(reason="?") if raw is None else Baseline(raw=raw, difference=0.4 - raw)
        made.submitted(root, made.entry(baselines=own), made.entry(benchmark="cowley2023.V4-ridge"))
        return problems(root)

    assert beside(0.2) == []  # nobody knows better
    gabor = made.submitted(
        root, made.entry("baseline:gabor", raw=0.3), family="hand-made", supervision="none", training_data=[]
    )
    at = f"baseline:gabor has 0.3 in {gabor.name}/{V4}"
    assert beside(0.301) == []  # another machine
    for raw, said in ((0.2, "0.2"), (0.35, "0.35"), (None, "undefined")):
        (problem,) = beside(raw)
        assert problem.endswith(f"{V4}: baselines.baseline:gabor.raw: is {said}; {at}")


def test_a_twin_that_is_read_at_other_layers_says_nothing_of_ones_own(root, made):
    own = {"baseline:pixels": Baseline(raw=0.1, difference=0.3), "baseline:gabor": Baseline(reason="?")}
    own["timm:made@untrained"] = Baseline(raw=0.15, difference=0.25)
    made.submitted(root, made.entry(baselines=own), made.entry(benchmark="cowley2023.V4-ridge"))
    untrained = {"supervision": "none", "training_data": []}
    for layers, says in ((made.LAYERS[::2], False), (made.LAYERS, True)):
        twin = replace(made.spec("timm:made@untrained"), layers=layers, training_data="none")
        identity = {"model_identity": plain(twin), "model_fingerprint": fingerprint(twin)}
        of = made.entry("timm:made@untrained", raw=0.2, **identity)
        of = of.model_copy(update={"layers": [one for one in of.layers if one.layer in {s.name for s in layers}]})
        if not says:
            of = of.model_copy(update={"layer": "blocks.4", "layer_by_fold": ["blocks.4"] * 5})
            of = of.model_copy(update={"optimistic": Optimistic(layer="blocks.4", raw=0.18, gap=-0.02)})
        made.submitted(root, of, **untrained)
        found = [problem for problem in problems(root) if "baselines.timm:made@untrained.raw: is 0.15" in problem]
        assert bool(found) == says, problems(root)


def test_a_newcomer_that_contradicts_what_stood_is_the_one_that_is_told(tmp_path, root, folder, made):
    own = {"baseline:pixels": Baseline(raw=0.1, difference=0.3), "timm:made@untrained": Baseline(reason="?")}
    own["baseline:gabor"] = Baseline(raw=0.2, difference=0.2)
    made.submitted(root, made.entry(baselines=own), made.entry(benchmark="cowley2023.V4-ridge"))
    before = shutil.copytree(root, tmp_path / "before")
    gabor = made.submitted(
        root, made.entry("baseline:gabor", raw=0.3), family="hand-made", supervision="none", training_data=[]
    )
    (problem,) = problems(root, against=before)
    assert problem == f"{gabor.name}/{V4}: raw: is 0.3, and 0.2 beside {folder.name}/{V4}, which stood before"
    assert problems(root)[0].startswith(f"{folder.name}/{V4}: baselines.baseline:gabor.raw: ")  # who came first?


def test_extras_are_aggregates(made):
    of = made.entry(extras={f"e{n}": 1.0 for n in range(21)} | {"each": [0.1] * 201})
    assert dict(broken(of, Card.model_validate(made.card(of)))) == {
        "extras": "are 22; 20 are the most",
        "extras.each": "has 201 points; 200 are the most",
    }


def test_no_baseline_is_left_out(made):
    """Gabor energy scores higher than many networks: who leaves it out looks better."""
    of = made.entry()
    own = {"baseline:pixels": Baseline(raw=0.1, difference=of.raw - 0.1), "timm:made@untrained": Baseline(reason="?")}
    found = dict(broken(of.model_copy(update={"baselines": own}), Card.model_validate(made.card(of))))
    assert found == {
        "baselines.baseline:gabor": "is left out: the benchmark has it, and the best of some is not the best of all"
    }
    for ends, says in (
        ((0.1, None), "in order"),
        ((0.3, 0.1), "in order"),
        ((0.1, 9.0), "is 9;"),
        ((0.9, 1.0), "from 0.9"),
    ):
        facts = dict(zip(("difference_low", "difference_high"), ends))
        own["baseline:gabor"] = Baseline(raw=0.2, difference=of.raw - 0.2, **facts)
        ((_, why),) = broken(of.model_copy(update={"baselines": own}), Card.model_validate(made.card(of)))
        assert says in why
    own["baseline:gabor"] = Baseline(raw=0.2, difference=of.raw - 0.2, difference_low=0.1, difference_high=0.3)
    assert not list(broken(of.model_copy(update={"baselines": own}), Card.model_validate(made.card(of))))


def test_a_subject_may_not_be_swapped_or_left_out(folder, made):
    per_subject = json.loads((folder / V4).read_text())["per_subject"]
    made.edited(folder / V4, per_subject={("s9" if k == "s3" else k): v for k, v in per_subject.items()})
    assert "insilico has no subject 's9'" in problems(folder)[0]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b" " * 10_000_000, "has 10,000,000 bytes; 262,144 are the most"),
        (b"[" * 100_000, "the file: "),
        (b"\xef\xbb\xbf{}", "begins with a byte order mark"),
        (b'{"raw": "\xff"}', "is not UTF-8: byte 9 is 0xff"),
        (b'{"n_stimuli": ' + b"9" * 5000 + b"}", "insilico.V4-ridge.json"),
        (b"", "the file: "),
    ],
)
def test_json_that_is_a_weapon_is_refused_at_once(folder, content, says):
    (folder / V4).write_bytes(content)
    start = time.perf_counter()
    assert says in problems(folder)[0]
    assert time.perf_counter() - start < 1


def test_weapons_take_no_memory(folder):
    """In a process of its own, whose highest memory no other test has raised."""
    code = f"""
        import resource
        from pathlib import Path
        from brainbench.leaderboard.validate import validate
        def highest(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        folder = Path({str(folder)!r})
        validate(folder)
        before = highest()
        deep, digits = b"[" * 250_000, b'{{"n_stimuli": ' + b"9" * 250_000 + b"}}"
        for content in (deep, digits, b'{{"a":' * 40_000, b" " * 10_000_000):
            (folder / "{V4}").write_bytes(content)
            assert validate(folder).problems
        print(highest() - before)
    """
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 100


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"reason": ""', '"reason": "", "reason": ""', "the key 'reason' is given twice"),
        ('"threads": 1', '"threads": 1, "threads": 1', "the key 'threads' is given twice"),
        ('"threads": 1', '"threads": 1e999', "1e999 is beyond every number"),
        ('"threads": 1', f'"threads": {"9" * 400}', "provenance.threads: is 99999999999999999999…, beyond"),
        ('"ceiling_upper": null', '"ceiling_upper": NaN', "NaN is no number of JSON"),
        ('"ceiling_upper": null', '"ceiling_upper": 1e999', "ceiling_upper: Input should be a finite number"),
        ('"ceiling_upper": null', '"ceiling_upper": 1e308', "ceiling_upper: is 1e+308"),
    ],
)
def test_json_that_two_readers_would_read_differently_is_refused(folder, old, new, says):
    text = (folder / V4).read_text()
    assert old in text
    (folder / V4).write_text(text.replace(old, new, 1))
    assert says in " ".join(problems(folder))


@pytest.mark.parametrize(
    "text",
    [
        "a." * 100_000 + "a = 1",
        "[" + "a." * 60 + "a]",
        '"\u2028".' * 60 + "a = 1",
        "a = 0x" + "f" * 250_000,
        "a = " + "{a=" * 60_000,
        "a = " + "9_" * 100_000 + "9",
        "a = " + "[" * 1999,
    ],
)
def test_cards_that_are_weapons_are_refused_at_once(folder, text):
    (folder / "model.toml").write_text(text)
    start = time.process_time()
    assert "model.toml: " in problems(folder)[0]
    assert time.process_time() - start < 1


# L4: what stood there stays


def test_history_changes_only_where_the_card_says_so(tmp_path, root, folder, made):
    before = tmp_path / "before"
    shutil.copytree(root, before)
    assert problems(root, against=before) == []
    changed = made.entry(raw=0.45)
    made.submitted(root, changed)
    (problem,) = problems(root, against=before)
    assert "was changed since it was accepted: name it in [[supersedes]]" in problem
    digest = problem.split("sha256 ")[1].split(" ")[0]
    old = {"path": f"{folder.name}/{V4}", "sha256": digest, "reason": "a bug in preprocessing"}
    made.submitted(root, changed, supersedes=[old])
    assert problems(root, against=before) == []
    (folder / "cowley2023.V4-ridge.json").unlink()
    assert "was removed since it was accepted" in problems(root, against=before)[0]


def test_nobody_supersedes_what_is_anothers(tmp_path, root, folder, made):
    before = tmp_path / "before"
    shutil.copytree(root, before)
    digest = hashlib.sha256((folder / V4).read_bytes()).hexdigest()
    old = {"path": f"{folder.name}/{V4}", "sha256": digest, "reason": "mine is better"}
    made.submitted(root, made.entry("timm:rival", raw=0.3), supersedes=[old])
    assert any("supersedes: " in p and "is of another model or submitter" in p for p in problems(root))
    (folder / V4).unlink()
    assert any("was removed since it was accepted" in p for p in problems(root, against=before))
    shutil.copy(before / "results" / folder.name / V4, folder / V4)
    assert {row.unranked for row in read_board(root).rows if row.entry.model == "timm:made"} == {""}


def test_a_later_version_of_ones_own_model_supersedes_the_earlier(root, folder, made):
    digest = hashlib.sha256((folder / V4).read_bytes()).hexdigest()
    old = {"path": f"{folder.name}/{V4}", "sha256": digest, "reason": "weights mended"}
    made.submitted(root, made.entry(raw=0.42, weights="1" * 64), supersedes=[old])
    assert problems(root) == []
    rows = [row for row in read_board(root).rows if row.entry.benchmark == V4.removesuffix(".json")]
    assert sorted(row.unranked for row in rows) == ["", "superseded"]


def test_a_bad_score_is_superseded_by_another_one_and_not_by_nothing(tmp_path, root, folder, made):
    digest = hashlib.sha256((folder / V4).read_bytes()).hexdigest()
    before = shutil.copytree(root, tmp_path / "before")
    old = {"path": f"{folder.name}/{V4}", "sha256": digest, "reason": "weights mended"}
    made.submitted(root, made.entry(benchmark="cowley2023.V4-ridge", weights="1" * 64), supersedes=[old])
    for against in (None, before):
        (problem,) = problems(root, against=against)
        assert f"supersedes: puts nothing in the place of {folder.name}/{V4}: it has no {V4}" in problem


def test_what_something_took_the_place_of_may_be_of_a_benchmark_that_was(tmp_path, root, folder, made):
    """It stays, as history; what is new and stale is none, and what is wrong beside stays wrong."""
    before = shutil.copytree(root, tmp_path / "before")
    for change in ({"benchmark_fingerprint": "0" * 64}, {"reason": "\u202ex"}, {"model_identity": {}}):
        made.edited(folder / V4, **change)
        assert problems(root)
        sha256 = hashlib.sha256((folder / V4).read_bytes()).hexdigest()
        old = {"path": f"{folder.name}/{V4}", "sha256": sha256, "reason": "of now"}
        made.submitted(root, made.entry(raw=0.42, weights="1" * 64), supersedes=[old])
        report = validate(root)
        if "benchmark_fingerprint" in change:
            assert report.problems == [] and "is history: the benchmark is another one" in " ".join(
                map(str, report.notes)
            )
        else:
            assert report.problems
        assert any("another one now" in problem or "changed" in problem for problem in problems(root, against=before))


def test_entries_of_an_earlier_schema_are_read_forward(root, folder, made, monkeypatch):
    monkeypatch.setitem(MIGRATIONS, 0, lambda old: {k: v for k, v in old.items() if k != "colour"})
    made.edited(folder / V4, schema_version=0, colour="red")
    assert problems(root) == []
    assert len(read_board(root).rows) == 2


def test_the_same_model_under_another_name_is_refused(root, made):
    made.submitted(root, made.entry("timm:other", weights=json.loads(_any(root))["model_identity"]["weights"]))
    both = problems(root)
    assert "is the model of timm_other-" in both[0] and "is the model of timm_made-" in both[1]


def _any(root):
    return next(root.glob("results/*/insilico*.json")).read_text()


def test_entries_of_one_benchmark_agree_on_what_it_fixes(root, made):
    made.submitted(root, made.entry("timm:other", n_stimuli=300))
    assert "n_stimuli: is 30" in " ".join(problems(root)) or "n_stimuli: is 400" in " ".join(problems(root))


# L5, L7: names and kinds of files


@pytest.mark.parametrize(
    "name", ["a b.json", ".hidden.json", "x" * 200 + ".json", "con.json", "COM1.json", "-rf.json", "a\u202e.json"]
)
def test_names_that_are_no_names_are_refused(folder, name):
    (folder / name).write_text("{}")
    assert any("a name has 1 to 120" in p or "cannot be a file's" in p for p in problems(folder))


def test_names_that_differ_by_case_alone_are_refused(folder):
    shutil.copy(folder / V4, folder / V4.upper().replace(".JSON", ".json"))
    assert any("but for upper and lower case" in problem for problem in problems(folder))


def test_folders_in_folders_are_no_bug(tmp_path, root, monkeypatch):
    before = shutil.copytree(root, tmp_path / "before")
    monkeypatch.chdir(root / "results")
    for _ in range(1200):  # deeper than Python calls itself
        Path("a").mkdir()
        os.chdir("a")
    monkeypatch.chdir(tmp_path)
    try:
        assert problems(root, against=before)[0] == "a/a: is no plain file: a submission is one folder deep"
    finally:
        subprocess.run(["rm", "-rf", root / "results" / "a"], check=True)  # Python's own would fail as above


def test_names_of_attestations_folders_command_no_terminal(root):
    folder = root / "attestations" / "\x1b[2Jx"
    folder.mkdir(parents=True)
    (folder / "a.1.json").write_text("{}")
    (problem,) = problems(root)
    assert problem.startswith(r"attestations/\u001b[2Jx: a name has")


def test_a_model_of_a_thousand_layers_does_not_fill_the_page(made, monkeypatch):
    assert not list(broken(of := made.entry(), card := Card.model_validate(made.card(of))))
    monkeypatch.setattr("brainbench.leaderboard.rules.MOST_LAYERS", 8)
    assert ("model_identity.layers", "are 9; 8 are the most: score those that matter") in broken(of, card)
    monkeypatch.setattr("brainbench.leaderboard.rules.LONGEST_LAYER", 7)
    assert ("model_identity.layers", "names blocks.0; 7 characters are the most") in broken(of, card)


def test_links_lead_nowhere(tmp_path, root, folder):
    secret = tmp_path / "secret.json"
    shutil.move(folder / V4, secret)
    (folder / V4).symlink_to(secret)
    assert "is a link" in problems(folder)[0]
    (root / "results" / "other").symlink_to(tmp_path)
    assert any("results/other: is a link" in problem for problem in problems(root))
    os.mkfifo(folder / "pipe.json")
    assert any("is no plain file" in problem for problem in problems(folder))


class _Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("canary"),))


def test_results_is_no_link_and_a_folder_may_be_named_by_a_dot(tmp_path, root, folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert problems(Path()) == []
    monkeypatch.chdir(tmp_path)
    shutil.move(root / "results", tmp_path / "elsewhere")
    (root / "results").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is no leaderboard"):
        validate(root)


def test_what_may_not_be_there_is_not_opened_to_be_compared_either(tmp_path, root, folder, monkeypatch):
    before = tmp_path / "before"
    shutil.copytree(root, before)
    (folder / "w.pkl").write_bytes(pickle.dumps(_Bomb()))
    opened, really = [], os.open
    monkeypatch.setattr(
        os, "open", lambda path, *rest, **options: opened.append(path) or really(path, *rest, **options)
    )
    assert any("w.pkl: may not be part" in problem for problem in problems(root, against=before))
    assert opened and not [path for path in opened if str(path).endswith(".pkl")]


@pytest.mark.parametrize("name", ["w.pkl", "w.pt", "w.npy", "w.h5", "w.zip", "w.yaml", "w.py", "w.tar.gz", "w.html"])
def test_files_that_could_run_are_never_opened(folder, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    if name.endswith("zip"):
        with zipfile.ZipFile(folder / name, "w") as file:
            file.writestr("../../canary", "x")
    else:
        (folder / name).write_bytes(pickle.dumps(_Bomb()))
    (folder / name).chmod(0)
    assert "may not be part of a submission, and was not opened" in problems(folder)[0]
    assert not list(tmp_path.rglob("canary"))


# L8: safetensors


def _packed(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


ONE = {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]}


def _named(ids):
    return {"a": ONE, "__metadata__": {"stimulus_ids": ids}}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (struct.pack("<Q", 2**63) + b"{}", "its header would have"),
        (b"abc", "its header would have"),
        (_packed({"a": ONE, "b": ONE}, b"\0" * 8), "does not lie where"),
        (_packed({"a": {**ONE, "data_offsets": [0, 2**50]}}, b"\0" * 8), "does not lie where"),
        (_packed({"a": {**ONE, "shape": [2**30, 2**9], "data_offsets": [0, 2**41]}}, b"\0" * 8), "its 1 tensors take"),
        (_packed({"a": {**ONE, "shape": [8]}}, b"\0" * 8), "is no matrix"),
        (_packed({"a": {**ONE, "shape": [True, 2]}}, b"\0" * 8), "is no matrix"),
        (_packed({"a": {**ONE, "dtype": "I64"}}, b"\0" * 8), "is no matrix"),
        (_packed({"a": ONE}, b"\0" * 9), "its 1 tensors take 8 bytes, the file holds 9"),
        (_packed(b'{"a":1,"a":2}'), "is given twice"),
        (_packed(b"[" * 90_000), "its header"),
        (_packed({"a": 3}), "lacks dtype"),
        (_packed({}), "its 0 tensors"),
        (_packed({"a": ONE}, b"\0" * 8), "have no stimulus_ids"),
        (_packed(_named('["x", 2]'), b"\0" * 8), "stimulus_ids in its metadata: 1: Input should be a valid string"),
        (_packed(_named("[" * 10_000), b"\0" * 8), "stimulus_ids in its metadata"),
        (_packed(_named('["x", "x"]'), b"\0" * 8), "name a stimulus more than once"),
        (_packed(_named('["x", "y", "z"]'), b"\0" * 8), "tensor 'a' has 2 rows for 3 stimulus_ids"),
    ],
)
def test_a_features_file_is_judged_by_its_header(tmp_path, content, says):
    path = tmp_path / "features.safetensors"
    path.write_bytes(content)
    assert says in safetensors_problem(path)


def test_a_whole_features_file_is_fine(tmp_path, made):
    import numpy as np

    path = tmp_path / "features.safetensors"
    write_features(path, {"a": np.ones((3, 2)), "b": np.ones((3, 5))}, ["x", "y", "z"])
    assert safetensors_problem(path) == ""


# cards


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"training_data": []}, "training_data lists what the model was trained on"),
        ({"training_data": ["Unknown"]}, "'unknown' does not"),
        ({"training_data": ["  "]}, "training_data.0: Value error, is blank"),
        ({"title": " \u00a0 "}, "title: Value error, is blank"),
        ({"url": "javascript:alert(1)"}, "url: "),
        ({"url": 'https://x.org/"onclick='}, "url: "),
        ({"title": "a\u202eb"}, "title: "),
        ({"title": "\u3164"}, "title: Value error, holds the character U+3164, which does not show"),
        ({"title": "x" * 5000}, "title: "),
        ({"family": "magic"}, "family: "),
        ({"weights_sha256": "1" * 64}, "model_identity.weights: is not the weights_sha256"),
        ({"submission": "features", "features_sha256": "1" * 64}, "features.safetensors: is missing"),
        ({"model": "in_context:tmp/x.safetensors"}, "a checkpoint in a file cannot be rebuilt"),
        ({"model": "module:os:abort"}, "'module' models cannot be rebuilt by their name"),
    ],
)
def test_a_card_is_whole_and_shows_what_it_is(root, made, facts, says):
    folder = made.submitted(root, made.entry(), **facts)
    assert any(says in problem for problem in problems(folder)), problems(folder)


def test_fields_that_a_card_lacks_are_named_all_at_once(root, made):
    folder = made.submitted(root, made.entry())
    (folder / "model.toml").write_text('model = "bundled:vgg16_hed"\nsubmission = "rebuildable"\n')
    assert problems(folder) == [
        f"{folder.name}/model.toml: model_fingerprint, title, family, supervision, training_data, "
        "trained_on_brain_data, trained_on_benchmark_stimuli, licence, submitter: Field required"
    ]


def test_the_open_division_takes_scores_of_any_model(root, made):
    folder = made.submitted(root, made.entry("module:lab.net:mine"), submission="scores", weights_sha256="0" * 64)
    assert "weights" in problems(folder)[0]
    (folder / "model.toml").write_text((folder / "model.toml").read_text().replace("weights_sha256", "# "))
    assert problems(folder) == []


# mutated submissions: no crash, no hang, nothing outside is touched


@settings(max_examples=150, deadline=2000, suppress_health_check=list(HealthCheck))
@given(
    at=st.floats(0, 1), cut=st.integers(0, 40), put=st.binary(max_size=40), which=st.sampled_from([V4, "model.toml"])
)
def test_mutated_files_are_read_or_refused(tmp_path_factory, made, at, cut, put, which):
    root = tmp_path_factory.mktemp("fuzz")
    folder = made.submitted(root, made.entry())
    content = (folder / which).read_bytes()
    place = int(at * len(content))
    (folder / which).write_bytes(content[:place] + put + content[place + cut :])
    validate(folder)
    assert sorted(p.name for p in folder.iterdir()) == [V4, "model.toml"]
