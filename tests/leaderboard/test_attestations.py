"""Attestations: what a badge or an objection is signed over, how long it stands, and what a signer does wrong."""

import hashlib
import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest

from brainbench import cli, cli_leaderboard
from brainbench.errors import ResourceError, UsageError
from brainbench.leaderboard import attestations, recompute
from brainbench.leaderboard.attestations import attest, check, read_all
from brainbench.leaderboard.board import read_board
from brainbench.leaderboard.validate import validate

BENCHMARK = "insilico.V4-ridge"
ENTRY = f"{BENCHMARK}.json"
WHY = {"disputed": "the weights are others", "withdrawn": "asked for", "lifted": "the weights are these"}


def signed(root, folder, key, *verdicts, **facts):
    """Attests these verdicts on the entry, one after another; gives the path of the last."""
    for verdict in verdicts or ("reproduced",):
        said = {"reason": WHY.get(verdict, ""), **facts}
        path = attest(root, f"{folder.name}/{ENTRY}", verdict, key=key(root), signer="host@lab", **said)
    return path


def shown(root, folder):
    """The entry's row on the board."""
    return next(r for r in read_board(root).rows if (r.folder, r.entry.benchmark) == (folder.name, BENCHMARK))


def history(row):
    return [a.verdict for a in row.attested.earlier], [a.verdict for a in row.attested.verdicts]


def old(folder, *earlier, reason="a bug in preprocessing"):
    """What a card says to take the place of the entry as it stands, beside what it said before."""
    digest = hashlib.sha256((folder / ENTRY).read_bytes()).hexdigest()
    return [*earlier, {"path": f"{folder.name}/{ENTRY}", "sha256": digest, "reason": reason}]


def command(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["brainbench", "leaderboard", *map(str, words)])
    with pytest.raises(SystemExit) as exit:
        cli.main()
    return exit.value.code or 0


def test_a_badge_is_a_signature_over_the_very_file(root, folder, key, made):
    path = signed(root, folder, key)
    assert shown(root, folder).trust == "reproduced" and validate(root).problems == []
    text = path.read_text()
    path.write_text(text.replace("reproduced", "spot-checked"))
    assert "signer: this is no signature of host@lab" in str(validate(root).problems[0])
    assert shown(root, folder).trust == "self-reported"
    path.write_text(text)
    made.submitted(root, made.entry(raw=0.45))
    assert "entry_sha256: " in str(validate(root).problems[0]) and shown(root, folder).trust == "self-reported"


def test_unknown_signers_and_missing_signatures_give_no_badge(tmp_path, root, folder, key):
    path = signed(root, folder, key)
    (root / "allowed_signers").write_text((root / "allowed_signers").read_text().replace("host@lab", "other@lab"))
    assert shown(root, folder).trust == "self-reported"
    path.with_name(f"{path.name}.sig").unlink()
    assert "has no signature" in str(validate(root).problems[0])
    with pytest.raises(UsageError, match="nothing was attested: signer"):
        attest(root, f"{folder.name}/{ENTRY}", "reproduced", key=tmp_path / "id", signer="nobody@lab")


def test_nobody_lets_himself_in(tmp_path, root, folder, key):
    before = tmp_path / "before"
    shutil.copytree(root, before)
    signed(root, folder, key)
    report = validate(root, against=before)
    assert "nobody's signature counts" in str(report.problems[0]) and "was added" in str(report.notes[0])


def test_disputed_and_withdrawn_entries_stay_with_their_history(root, folder, key):
    signed(root, folder, key)
    with pytest.raises(UsageError, match="for a reason"):
        signed(root, folder, key, "disputed", reason="")
    signed(root, folder, key, "disputed")
    row = shown(root, folder)
    assert (row.trust, row.unranked, row.best) == ("disputed", "disputed", None)
    assert history(row) == ([], ["reproduced", "disputed"])


# what stands


@pytest.mark.parametrize(
    ("verdicts", "stands"),
    [
        (("disputed", "reproduced"), "disputed"),
        (("withdrawn", "spot-checked"), "withdrawn"),
        (("disputed", "withdrawn"), "withdrawn"),
        (("reproduced", "spot-checked"), "reproduced"),
        (("disputed", "lifted"), "self-reported"),
        (("reproduced", "withdrawn", "lifted"), "reproduced"),
        (("disputed", "lifted", "disputed"), "disputed"),
    ],
)
def test_an_objection_stands_until_it_is_lifted_and_else_the_highest_badge(root, folder, key, verdicts, stands):
    signed(root, folder, key, *verdicts)
    assert shown(root, folder).trust == stands and validate(root).problems == []


def test_verdicts_are_in_the_order_of_their_numbers_whatever_the_day(root, folder, key, monkeypatch):
    signed(root, folder, key, *["disputed", "lifted"] * 5)  # ten: number 10 comes after number 9

    class Earlier(date):
        @classmethod
        def today(cls):
            return date(2020, 1, 1)

    monkeypatch.setattr(attestations, "date", Earlier)
    signed(root, folder, key, "disputed")
    row = shown(root, folder)
    assert row.trust == "disputed" and [a.number for a in row.attested.verdicts] == list(range(1, 12))


def test_a_verdict_cannot_be_brought_again_under_another_number(root, folder, key):
    lifted = signed(root, folder, key, "disputed", "lifted")
    signed(root, folder, key, "disputed")
    for number in ("4", "04"):
        again = lifted.with_name(f"{BENCHMARK}.{number}.json")
        shutil.copy(lifted, again)
        shutil.copy(f"{lifted}.sig", f"{again}.sig")
        assert "is number 2 about" in str(validate(root).problems[-1])
    assert shown(root, folder).trust == "disputed"


def test_a_badge_is_refused_while_an_objection_stands_and_lifting_where_none_does(root, folder, key, monkeypatch):
    said = {"key": key(root), "signer": "host@lab"}
    name = f"{folder.name}/{ENTRY}"
    with pytest.raises(UsageError, match="neither disputed nor withdrawn: there is nothing to lift"):
        check(root, [name], "lifted", reason="all is well", **said)
    signed(root, folder, key, "withdrawn")
    with pytest.raises(UsageError, match=r"is withdrawn by host@lab \(asked for\), .*--verdict lifted and a --reason"):
        check(root, [name], "reproduced", **said)
    words = ["--key", said["key"], "--signer", "host@lab", "--verdict"]
    assert command(monkeypatch, "attest", folder / ENTRY, *words, "reproduced") == 2
    assert command(monkeypatch, "attest", folder / ENTRY, *words, "lifted", "--reason", "all is well") == 0
    assert command(monkeypatch, "attest", folder / ENTRY, *words, "reproduced") == 0
    assert shown(root, folder).trust == "reproduced"


# what was superseded


@pytest.mark.parametrize("objection", ["disputed", "withdrawn"])
def test_an_objection_goes_over_to_the_file_that_supersedes_and_badges_do_not(
    tmp_path, root, folder, key, made, objection
):
    path = signed(root, folder, key, "reproduced", objection)
    shutil.copytree(root, tmp_path / "before")
    made.submitted(root, made.entry(raw=0.45), supersedes=old(folder))
    assert validate(root, against=tmp_path / "before").problems == []
    row = shown(root, folder)
    assert (row.trust, row.unranked, history(row)) == (objection, objection, (["reproduced", objection], []))
    signed(root, folder, key, "lifted")
    row = shown(root, folder)
    assert (row.trust, row.best, history(row)[1]) == ("self-reported", 1, ["lifted"])
    path.write_text(path.read_text().replace(WHY[objection], "nothing"))  # history is signed, too
    (problem,) = validate(root).problems
    assert "signer: this is no signature of host@lab" in str(problem)


def test_badges_of_a_superseded_file_are_history(root, folder, key, made):
    signed(root, folder, key)
    made.submitted(root, made.entry(raw=0.45), supersedes=old(folder))
    assert validate(root).problems == []
    row = shown(root, folder)
    assert (row.trust, row.best, history(row)) == ("self-reported", 1, (["reproduced"], []))
    signed(root, folder, key, "spot-checked")
    assert shown(root, folder).trust == "spot-checked"


def test_a_change_in_silence_sheds_no_objection(root, folder, key, made):
    signed(root, folder, key, "disputed")
    made.submitted(root, made.entry(raw=0.45))
    (problem,) = validate(root).problems
    assert "entry_sha256: " in str(problem) and "no card supersedes" in str(problem)
    assert shown(root, folder).unranked == "disputed"


def test_an_objection_follows_a_model_through_folders(root, folder, key, made):
    signed(root, folder, key, "disputed")
    second = made.submitted(root, made.entry(raw=0.42, weights="1" * 64), supersedes=old(folder))
    made.submitted(root, made.entry("timm:rival", raw=0.3))
    third = made.submitted(root, made.entry(raw=0.43, weights="2" * 64), supersedes=old(second))
    assert validate(root).problems == []
    for successor in (second, third):
        row = shown(root, successor)
        assert (row.trust, history(row)) == ("disputed", (["disputed"], []))
    assert {r.trust for r in read_board(root).rows if r.entry.model == "timm:rival"} == {"self-reported"}
    signed(root, third, key, "disputed", "lifted")  # its own: the first one's is lifted where it was signed
    assert [shown(root, f).trust for f in (second, third)] == ["disputed", "disputed"]
    with pytest.raises(UsageError, match=f"nothing to lift; what is objected to is {folder.name}/"):
        check(root, [f"{second.name}/{ENTRY}"], "lifted", key=key(root), signer="host@lab", reason="x")
    signed(root, folder, key, "lifted")
    assert [shown(root, f).trust for f in (second, third)] == ["self-reported", "self-reported"]


@pytest.mark.parametrize("first", [0, 1])
def test_a_lift_of_one_predecessor_clears_no_other(root, folder, key, made, first):
    """Whichever of the two comes first by the name of its folder."""
    other = made.submitted(root, made.entry(raw=0.42, weights="1" * 64))
    lifted, standing = sorted([folder, other])[first], sorted([folder, other])[1 - first]
    signed(root, lifted, key, "disputed", "lifted")
    signed(root, standing, key, "disputed")
    heir = made.submitted(root, made.entry(raw=0.43, weights="2" * 64), supersedes=[*old(folder), *old(other)])
    assert shown(root, heir).trust == "disputed"
    signed(root, heir, key, "disputed", "lifted")
    assert shown(root, heir).trust == "disputed"


def test_attestations_are_no_link(tmp_path, root, folder, key):
    signed(root, folder, key, "disputed")
    before = tmp_path / "before"
    shutil.copytree(root, before)
    (root / "attestations").rename(root / "docs")
    (root / "attestations").symlink_to(root / "docs")
    found = [str(problem) for problem in validate(root, against=before).problems]
    assert any("attestations: is a link or a file" in p for p in found)
    assert any("was changed or removed: attestations are only added" in p for p in found)


def test_what_nobody_objects_to_may_have_its_badge(root, folder, key, capsys):
    (submission,) = validate(root).submissions
    entries = list(submission.entries.values())
    signed(root, folder, key, "withdrawn")
    free = cli_leaderboard._may_sign(folder, entries, "reproduced", key(root), "host@lab")
    assert len(entries) == 2 and [e.path.name for e in free] == [e.path.name for e in entries if e.path.name != ENTRY]
    assert "will have no badge: it is withdrawn" in " ".join(capsys.readouterr().err.split())


def test_nobody_takes_on_what_is_anothers(root, folder, key, made):
    signed(root, folder, key, "disputed")
    rival = made.submitted(root, made.entry("timm:rival", raw=0.3), supersedes=old(folder))
    assert history_of(root, rival) == ((), ())
    made.submitted(root, made.entry(raw=0.45), supersedes=old(folder))
    assert history_of(root, rival) == ((), ())


def history_of(root, folder):
    held = read_all(root)[0].get(f"{folder.name}/{ENTRY}", attestations.Attested())
    return held.earlier, held.verdicts


# attesting


def test_an_attestation_takes_the_number_after_the_highest(root, folder, key):
    paths = [signed(root, folder, key, verdict) for verdict in ("disputed", "lifted", "reproduced")]
    for path in (paths[1], paths[1].with_name(f"{paths[1].name}.sig")):
        path.unlink()
    held = paths[2].read_bytes()
    assert signed(root, folder, key, "spot-checked").name == f"{BENCHMARK}.4.json"
    assert paths[2].read_bytes() == held and validate(root).problems == []
    with pytest.raises(UsageError, match="nothing was attested: signer"):
        attest(root, f"{folder.name}/{ENTRY}", "reproduced", key=key(root), signer="nobody@lab")
    assert paths[2].read_bytes() == held and len(list(paths[2].parent.iterdir())) == 6


def test_scores_alone_take_no_badge_and_objections_all_the_same(root, made, key, monkeypatch, capsys):
    folder = made.submitted(root, made.entry("module:lab:net"), submission="scores")
    pen = key(root)
    words = ["attest", folder / ENTRY, "--key", pen, "--signer", "host@lab", "--reason", "x", "--verdict"]
    assert command(monkeypatch, *words, "reproduced") == 2
    assert "scores alone, which nobody can recompute" in " ".join(capsys.readouterr().err.split())
    assert command(monkeypatch, *words, "disputed") == 0


def test_a_signature_of_nothing_is_a_problem(root, folder, key):
    path = signed(root, folder, key)
    path.with_name(f"{BENCHMARK}.7.json.sig").write_text("anything at all")
    (problem,) = validate(root).problems
    assert str(problem) == f"attestations/{folder.name}/{BENCHMARK}.7.json.sig: signs nothing that is here"


def test_a_failed_attestation_leaves_nothing_behind(root, folder, key, monkeypatch):
    pen, name = key(root), f"{folder.name}/{ENTRY}"
    for wrong in ({"key": pen.with_name("none")}, {"signer": "nobody@lab"}, {"reason": "two\nlines"}):
        with pytest.raises(UsageError, match="nothing was attested: "):
            attest(root, name, "reproduced", **{"key": pen, "signer": "host@lab", **wrong})
        assert not (root / "attestations").exists()

    really = Path.open

    def full(path, mode="r", *rest, **others):
        if mode == "xb" and path.name.endswith(".json"):  # what is there already is never written over
            raise OSError(28, "No space left on device")
        return really(path, mode, *rest, **others)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(ResourceError, match=r"nothing was attested: cannot write .*: No space left on device"):
        attest(root, name, "reproduced", key=pen, signer="host@lab")
    assert not (root / "attestations").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--reason", "two\nlines"], "reason: Value error, holds the character U+000A"),
        (["--reason", "x" * 1001], "a reason is one line of at most 1000 characters"),
        (["--signer", "Jane Doe"], "letters, digits and . _ + @ -, such as host@lab"),
        (["--reason", ""], "an entry is disputed for a reason, and none is given: give it with --reason"),
        (["--verdict", "liftd", "--reason", "x"], "Did you mean 'lifted'?"),
    ],
)
def test_what_a_signer_does_wrong_is_no_bug(root, folder, key, monkeypatch, capsys, words, says):
    right = ["--verdict", "disputed", "--reason", "x", "--key", key(root), "--signer", "host@lab"]
    assert command(monkeypatch, "attest", folder / ENTRY, *right, *words) == 2
    assert says in " ".join(capsys.readouterr().err.split())
    assert not (root / "attestations").exists()


def test_a_card_is_no_entry(root, folder, key, monkeypatch, capsys):
    right = ["--verdict", "disputed", "--reason", "x", "--key", key(root), "--signer", "host@lab"]
    assert command(monkeypatch, "attest", folder / ENTRY, folder / "model.toml", *right) == 2
    assert "an entry's file is results/<folder>/<benchmark>.json" in " ".join(capsys.readouterr().err.split())
    assert not (root / "attestations").exists()  # all of them, or none


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"signer": ""}, "--attest goes with --signer"),
        ({"signer": "nobody@lab"}, "this is no signature of nobody@lab"),
        ({"signer": "Jane Doe"}, "such as host@lab"),
        ({"key": "none"}, "ssh-keygen cannot sign with"),
        ({"key": "id2"}, "this is no signature of host@lab"),
        ({"verdict": "disputed"}, "is disputed by host@lab (the weights are others), which no badge changes"),
        ({"verdict": "withdrawn"}, "is withdrawn by host@lab (asked for), which no badge changes"),
        ({"place": "elsewhere"}, "does not lie in the results/ of a leaderboard"),
    ],
)
def test_what_forbids_a_signature_is_told_before_anything_is_recomputed(
    tmp_path, root, folder, key, monkeypatch, capsys, change, says
):
    def never(*_):
        raise AssertionError("recomputed")

    monkeypatch.setattr(recompute, "rebuilt", never)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "id2"], check=True)
    pen = key(root)
    if "verdict" in change:  # of every entry
        signed(root, folder, key, change["verdict"])
        for path in sorted({*folder.glob("*.json")} - {folder / ENTRY}):
            reason = {"disputed": "the weights are others", "withdrawn": "asked for"}[change["verdict"]]
            name = f"{folder.name}/{path.name}"
            attestations.attest(root, name, change["verdict"], key=pen, signer="host@lab", reason=reason)
    if "place" in change:
        shutil.move(folder, tmp_path / change["place"])
        (tmp_path / change["place"]).rename(folder := tmp_path / folder.name)
    words = ["--attest", tmp_path / change["key"] if "key" in change else pen, "--signer"]
    assert command(monkeypatch, "verify", folder, *words, change.get("signer", "host@lab")) == 2
    assert says in " ".join(capsys.readouterr().err.split())
    assert len(list(root.glob("attestations/*/*.json"))) == (2 if "verdict" in change else 0)
