"""The command line: stdout is the result, stderr the rest, the exit code says what kind of trouble it was."""

import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer
from rich.console import Console

from brainbench import __version__, api, benchmarks, cli, cli_compare, extraction, terminal
from brainbench.core.specs import fingerprint
from brainbench.datasets.insilico import Insilico
from brainbench.entry import Entry, read
from brainbench.errors import UsageError
from brainbench.in_context.network import PRESETS
from brainbench.models.features_file import write_features
from brainbench.printing import titled

V1 = "insilico.V1-ridge"
IDS = Insilico().stimuli().ids


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs `brainbench ARGUMENTS`: exit code, stdout, stderr."""
    monkeypatch.setenv("BRAINBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BRAINBENCH_DEBUG", "")  # so that --debug ends with its test
    monkeypatch.chdir(tmp_path)
    bare = {name: b.model_copy(update={"baselines": ()}) for name, b in benchmarks.known().items()}
    monkeypatch.setattr(benchmarks, "known", lambda: bare)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["brainbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return exit.value.code or 0, printed.out, " ".join(printed.err.split())

    return call


@pytest.fixture
def features(tmp_path):
    """Writes a features file of these ids; gives the model's name."""

    def write(ids=IDS, name="mine", values=None):
        path = tmp_path / f"{name}.safetensors"
        values = np.random.default_rng(0).normal(size=(len(ids), 6)) if values is None else values
        write_features(path, {"a": values}, ids)
        return f"features:{path}"

    return write


def test_json_on_stdout_is_entries_and_nothing_else(run, features):
    code, out, err = run("score", features(), "--benchmarks", V1, "insilico.V4-ridge", "--json")
    assert (code, err) == (0, "")
    entries = [Entry.model_validate_json(json.dumps(entry)) for entry in json.loads(out)]
    assert [entry.benchmark for entry in entries] == [V1, "insilico.V4-ridge"]
    keys = "benchmark model status reason raw ceiling normalized low high layer layers optimistic per_subject"
    keys += " n_stimuli n_neuroids n_excluded baselines provenance"
    assert set(keys.split()) <= set(json.loads(out)[0])
    assert set(json.loads(out)[0]["layers"][0]) == {"layer", "pooling", "depth", "train", "raw", "geometry"}


def test_a_table_on_stdout_and_files_in_out(run, features, tmp_path):
    code, out, err = run("score", features(), "-b", V1, "--out", tmp_path / "results")
    assert code == 0 and err == ""
    assert f"{V1} (synthetic)" in out and "150 (0)" in out
    assert len(list((tmp_path / "results").glob(f"features_mine-????????/{V1}.json"))) == 1


@pytest.mark.parametrize(
    ("scorers", "says"),
    [(("rsa", "ridge"), "ceiling: r² scale for ridge, r for rsa."), (("rsa",), "ceiling: r for rsa.")],
)
def test_the_caption_names_the_scales_of_the_ceilings_shown(run, features, scorers, says):
    code, out, _ = run("score", features(), "-b", *(f"insilico.V1-{scorer}" for scorer in scorers))
    assert code == 0 and says in " ".join(out.split())


@pytest.mark.parametrize("name", ["[red]mine", "d[/x]", "[/]"])
def test_names_are_no_markup(run, features, tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    model = features(name=name).replace(f"{tmp_path}/", "")
    code, out, err = run("score", model, "-b", V1)
    assert (code, err) == (0, "") and out.splitlines()[0].strip() == f"features:{name}.safetensors"
    for other in ("a", "b"):
        stored(tmp_path / "runs", other, benchmark=name)
    code, out, err = run("compare", tmp_path / "runs")
    assert (code, err) == (0, "") and out.splitlines()[0].strip() == f"{name} (synthetic)"


def test_names_are_no_markup_in_bars(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(terminal, "err", Console(file=screen, force_terminal=True, width=200))
    with cli.ProgressBars() as bars:
        bars.stage("insilico: features of d[blue]mine", 3)
        bars.step(3)
    assert "features of d[blue]mine" in screen.getvalue()


def test_every_line_about_a_synthetic_recording_says_so(run, features, tmp_path, monkeypatch, caplog):
    screen = io.StringIO()
    for module in (cli, cli_compare, terminal):
        monkeypatch.setattr(module, "err", Console(file=screen, force_terminal=True, width=200))
    out = run("score", features(), "-b", V1, "--out", tmp_path / "runs")[1]
    (entry,) = read(tmp_path / "runs")
    api.save(entry.model_copy(update={"status": "failed"}), tmp_path / "runs")
    assert run("score", features(IDS[:-1]), "-b", V1)[0] == 3
    for model in ("a", "b"):
        stored(tmp_path / "others", model)
    stored(tmp_path / "others", "a", "insilico.V4-ridge")
    out += run("compare", tmp_path / "others")[1]
    lines = (out + screen.getvalue() + caplog.text).splitlines()
    about = [line for line in lines if re.search("insilico(?!/)|a – b", line)]  # stimuli are called insilico/0001
    assert [line for line in about if "synthetic" not in line] == []
    for what in ("features of", "ridge of", "a – b", "Not compared", "lacks 1 of", "was not written"):
        assert any(what in line for line in about), what


def test_a_failed_entry_is_printed_and_is_the_exit_code(run, features, caplog):
    code, out, _ = run("score", features(IDS[:-1]), "-b", V1, "--json")
    (entry,) = json.loads(out)
    assert (code, entry["status"], entry["raw"]) == (3, "failed", None)
    assert "insilico/0400" in entry["reason"] and "insilico/0400" in caplog.text
    assert run("score", features(IDS[:-1]), "-b", V1)[0] == 3


def test_a_run_that_could_score_nothing_is_no_success(run, features):
    code, out, _ = run("score", features([str(n) for n in range(400)]), "-b", V1, "--json")
    assert code == 3 and json.loads(out)[0]["status"] == "not_applicable"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["score"], 2, "Missing argument"),
        (["scroe", "x"], 2, "No such command 'scroe'"),
        (["list"], 2, "Missing argument 'datasets|models|scorers|benchmarks'"),
        (["list", "model"], 2, "Did you mean 'models'?"),
        (["score", "baseline:pixels", "--jsn"], 2, "--jsn"),
        (["score", "baseline:pixel"], 2, "Did you mean 'pixels'?"),
        (["score", "baselines:pixels"], 2, "unknown source of models 'baselines'"),
        (["score", "timm:resnt18"], 2, "'resnet18'"),
        (["score", "bundled:efficientnet_lite"], 2, "'efficientnet_lite0'"),
        (["score", "timm:resnet18.a1_in1k@trained"], 2, "the only endings are"),
        (["score", "baseline:pixels", "-b", "insilico.V1"], 2, "'insilico.V1-rsa'"),
        (["score", "baseline:pixels", "-b", V1, "--layers", "pixel"], 2, "Did you mean 'pixels'"),
        (["score", "baseline:pixels", "-b", V1, "--layers", ""], 2, "unknown layer"),
        (["score", "baseline:pixels", "-b", V1, "--weights", "w.pt"], 2, "bring their own weights"),
        (["score", "baseline:pixels", "-b", V1, "--device", "cuda:99"], 2, "--device auto or cpu"),
        (["score", "baseline:pixels", "-b", V1, "--data-root", "nowhere"], 2, "'nowhere', which is not a folder"),
        (["score", "baseline:pixels", "-b", V1, "--data-root", "cowly2023=."], 2, "Did you mean 'cowley2023'"),
        (["score", "baseline:pixels", "--data-root", ".", "--data-root", "."], 2, "given twice for all datasets"),
        (["score", "baseline:pixels", "baseline:gabor"], 2, "score takes one model"),
        (["score", "module:os:nothing", "-b", V1], 2, "module 'os' has no 'nothing'"),
        (["score", "features:gone.safetensors", "-b", V1], 3, "gone.safetensors cannot be read"),
        (["score", "module:broken:net", "-b", V1], 3, "'broken:net' raised ValueError: my own mistake"),
        (["score", "module:unparsable:net", "-b", V1], 3, "raised SyntaxError"),
        (["score", "baseline:pixels", "-b", "cowley2023.V4-ridge", "--data-root", "cowley2023=."], 4, "lacks 22 of 22"),
        (["score", "timm:resnet18.a1_in1k", "-b", V1], 4, "--weights FILE, of `score` and `query`"),
        (["score", "baseline:pixels", "-b", V1, "--out", "broken.py/results"], 6, "Give another --out folder"),
    ],
)
def test_mistakes_are_one_message_and_an_exit_code(run, tmp_path, monkeypatch, arguments, code, says):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    (tmp_path / "broken.py").write_text("def net():\n    raise ValueError('my own mistake')\n")
    (tmp_path / "unparsable.py").write_text("def net(:\n")
    got, out, err = run(*arguments)
    assert (got, out) == (code, "")
    assert err.startswith("brainbench: ") and says in err


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["scroe", "x"], "brainbench"),
        (["score", "baseline:pixels", "--jsn"], "brainbench score"),
        (["score"], "brainbench score"),
        (["leaderboard", "verify", "x", "--nope"], "brainbench leaderboard verify"),
        (["data", "loct"], "brainbench data"),
    ],
)
def test_a_wrong_call_is_told_whose_help_to_ask(run, arguments, command):
    err = run(*arguments)[2]
    assert err.endswith(f" `{command} --help` lists what there is.") and "?." not in err


def every_command(command, path="brainbench"):
    yield path, command
    for name, sub in getattr(command, "commands", {}).items():
        yield from every_command(sub, f"{path} {name}")


@pytest.mark.parametrize(("path", "command"), [*every_command(typer.main.get_command(cli.app))])
def test_help_shows_every_word_of_its_texts(path, command, capsys):
    """rich takes [half of it] for a style and shows nothing of it."""
    command.get_help(command.make_context(path, [], resilient_parsing=True))
    shown = re.sub(r"[\s│]+", "", capsys.readouterr().out)
    texts = [command.help, *(getattr(parameter, "help", None) for parameter in command.params)]
    for text in filter(None, texts):
        for word in text.split():
            assert word in shown, f"{path}: {text}"


def test_help_names_every_preset():
    gaussian = dict(every_command(typer.main.get_command(cli.app)))["brainbench train gaussian"]
    (told,) = [parameter.help for parameter in gaussian.params if parameter.name == "preset"]
    assert [name for name in PRESETS if not re.search(rf"\b{name}\b", told)] == []


def test_a_cache_that_cannot_be_written_is_exit_6(run, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BRAINBENCH_CACHE", str(tmp_path / "file"))
    code, out, err = run("score", "baseline:pixels", "-b", V1, "--json")
    assert (code, out) == (6, "") and "BRAINBENCH_CACHE" in err


def test_what_is_not_here_is_named_on_stderr_and_the_rest_runs(run, features, monkeypatch, tmp_path):
    monkeypatch.delenv("BRAINBENCH_DATA", raising=False)
    monkeypatch.delenv("BRAINBENCH_DATA_COWLEY2023", raising=False)
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: tmp_path / "nowhere")
    code, out, err = run("score", features(), "-b", "cowley*", V1, "--json")
    assert code == 0 and len(json.loads(out)) == 1
    skipped = ", ".join(sorted(name for name in benchmarks.known() if name.startswith("cowley2023.")))
    assert f"Not run, recording not here: {skipped}." in err


ALONE = [sys.executable, "-c", "from brainbench import cli; cli.main()"]


def test_what_the_terminal_cannot_encode_ends_no_command(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1"))
    monkeypatch.setattr(sys, "argv", ["brainbench", "version"])
    monkeypatch.setattr(cli, "__version__", "0.40\u20130.60")
    with pytest.raises(SystemExit) as exit:
        cli.main()
    assert (exit.value.code, written.getvalue()) == (None, b"0.40?0.60\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk_under_stdout_is_exit_6(tmp_path, options, unbuffered):
    env = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with (tmp_path / "out").open("wb") as file:
        done = subprocess.run(
            [*ALONE, "list", "benchmarks", *options],
            env=env,
            stdout=file,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
        )
    assert done.returncode == 6, done.stderr
    assert b"cannot write: File too large" in done.stderr and b"Exception ignored" not in done.stderr


def test_a_bug_is_one_line_and_a_traceback_only_on_request(run, monkeypatch):
    def bug(*arguments):
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr("brainbench.runner.run", bug)
    code, out, err = run("score", "baseline:pixels", "-b", V1)
    assert (code, out) == (70, "") and "a bug: ZeroDivisionError: of ours" in err
    for arguments in (["--debug", "score", "baseline:pixels"], ["score", "--debug", "baseline:pixels"]):
        monkeypatch.setenv("BRAINBENCH_DEBUG", "")
        monkeypatch.setattr(sys, "argv", ["brainbench", *arguments, "-b", V1])
        with pytest.raises(ZeroDivisionError):
            cli.main()


def test_ctrl_c_is_130(run, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("brainbench.runner.run", stop)
    code, out, err = run("score", "baseline:pixels", "-b", V1)
    assert (code, out) == (130, "") and "run again to go on" in err


SLOW = """
import time, torch
from torch import nn

class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 2, 8, stride=8), nn.ReLU()

    def forward(self, x):
        with open("seen", "a") as file:
            file.write("x" * len(x))
        time.sleep(0.02)
        return self.second(self.first(x))

def net():
    from brainbench.core.specs import Preprocessing
    return Slow(), Preprocessing(resize_px=16, crop_px=16)
"""


def _shards(folder):
    return list(folder.glob("cache/??/*/??/*/entry.json"))


def test_sigint_in_mid_run_stops_soon_and_the_next_run_goes_on(run, tmp_path, monkeypatch):
    (tmp_path / "slow.py").write_text(SLOW)
    environment = os.environ | {"BRAINBENCH_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    script = (  # a process started in the background may have been told to ignore SIGINT
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from brainbench import cli, extraction; extraction.SHARD = 128; cli.main()"
    )
    command = [sys.executable, "-c", script]
    command += ["score", "module:slow:net", "-b", V1, "--json"]
    how = {"cwd": tmp_path, "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **how) as first:
        deadline = time.monotonic() + 120
        while not _shards(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.02)  # until the first shard is stored
        first.send_signal(signal.SIGINT)
        start = time.monotonic()
        out, err = first.communicate(timeout=60)
    assert (first.returncode, out) == (130, "") and "run again to go on" in err and "Traceback" not in err
    assert time.monotonic() - start < 5
    seen = tmp_path / "seen"
    before = len(seen.read_text())
    assert 128 <= before < 256
    monkeypatch.setattr(extraction, "SHARD", 128)
    code, out, _ = run("score", "module:slow:net", "-b", V1, "--json")
    assert code == 0 and json.loads(out)[0]["status"] == "ok"
    assert 272 <= len(seen.read_text()) - before < 310  # the other shards, and a few to try the network out


def test_a_table_is_wider_than_the_terminal_rather_than_cut():
    """Of p 0.012 a narrow one would leave 0.…; what may break, breaks as before."""
    table = titled("a title")
    for name in ("pair", "p", "q"):
        table.add_column(name, no_wrap=True)
    table.add_column("reason")
    table.add_row("henaff2021.V1-ridge – insilico.V1-ridge", "0.012", "0.034", "many words that may be broken")
    written = io.StringIO()
    Console(file=written, width=50, soft_wrap=True).print(table)
    rows = written.getvalue().splitlines()
    assert "…" not in written.getvalue()
    assert any(row.startswith("henaff2021.V1-ridge – insilico.V1-ridge  0.012  0.034") for row in rows)
    assert len(rows) > 3 and max(map(len, rows)) < 70


# compare


def stored(folder, model, benchmark=V1, **changes):
    """Writes an entry as a run would leave it, with made-up replicates."""
    raw = changes.get("raw") or 0.5
    noise = np.random.default_rng(len(model)).normal(size=1000)
    fields = {
        "benchmark": benchmark,
        "benchmark_fingerprint": fingerprint({"id": benchmark}),
        "benchmark_identity": {"id": benchmark},
        "synthetic": True,
        "model": model,
        "model_fingerprint": model,
        "status": "ok",
        "scorer": "ridge 1",
        "scale": "r",
        "raw": raw,
        "low": raw - 0.1,
        "high": raw + 0.1,
        "replicates": (raw + 0.01 * noise).tolist(),
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{len(list(folder.iterdir()))}.json"
    path.write_text(json.dumps(Entry(**fields | changes).as_json()))


FAILED = {"status": "failed", "raw": None, "low": None, "high": None, "replicates": []}


def test_compare_goes_on_past_failed_entries_and_says_what_it_left_out(run, tmp_path):
    runs = tmp_path / "runs"
    stored(runs, "a", **FAILED)
    for model, raw in (("b", 0.5), ("cc", 0.3)):
        stored(runs, model, raw=raw)
    stored(runs, "a", "insilico.V4-ridge")
    stored(runs, "b", "insilico.V4-ridge", **FAILED)
    stored(runs, "b", model_fingerprint="b", **FAILED)  # an earlier run of one that has a score
    code, out, err = run("compare", runs, "--json")
    assert code == 0 and "Not compared, fewer than two models have a score: insilico.V4-ridge" in err
    assert err.endswith("Without a score, so left out of insilico.V1-ridge (synthetic): a (failed)")
    assert [s["model"] for s in json.loads(out)[V1]["standings"]] == ["b", "cc"]
    code, out, _ = run("compare", runs)
    assert code == 0 and "b – cc" in out


def test_compare_shows_what_pairs_and_tells_what_does_not(run, tmp_path):
    runs = tmp_path / "runs"
    for model, raw in (("b", 0.5), ("cc", 0.3)):
        stored(runs, model, raw=raw)
    stored(runs, "b", "insilico.V4-ridge")
    stored(runs, "cc", "insilico.V4-ridge", benchmark_identity={"id": "older"}, benchmark_fingerprint="older")
    (runs / "notes.json").write_text('{"a": 1}')
    shutil.copytree(runs, tmp_path / "again")  # the same entries once more are no second entries
    code, out, err = run("compare", runs, tmp_path / "again", "--json")
    assert code == 3 and list(json.loads(out)) == [V1]
    assert "notes.json is not an entry" in err and "has another fingerprint" in err


def test_compare_says_that_models_were_scored_on_other_neuroids(run, tmp_path):
    for model, n in (("b", 150), ("cc", 20)):
        stored(tmp_path / "runs", model, n_neuroids=n)
    assert "Not of the same neuroids, so differences are not of models alone: b of 150, cc of 20." in run(
        "compare", tmp_path / "runs"
    )[1].replace("\n", " ")
    stored(tmp_path / "alike", "b", n_neuroids=150)
    stored(tmp_path / "alike", "cc", n_neuroids=150)
    assert "neuroids" not in run("compare", tmp_path / "alike")[1]


def test_compare_takes_the_version_that_most_were_scored_on(run, tmp_path):
    """One entry that was left from before a new version of the benchmark does not cost the others their table."""
    runs, older = tmp_path / "runs", {"id": "older"}
    for model in ("b", "cc"):
        stored(runs, model)
    stored(tmp_path / "old", "b", benchmark_identity=older, benchmark_fingerprint=fingerprint(older))
    code, out, err = run("compare", runs, tmp_path / "old", "--json")
    assert code == 0 and [row["model"] for row in json.loads(out)[V1]["standings"]] == ["b", "cc"]
    assert f"Scored on another version of it, so left out of {V1} (synthetic): b" in err.replace("\n", " ")
    stored(tmp_path / "old", "cc", benchmark_identity=older, benchmark_fingerprint=fingerprint(older))
    assert run("compare", runs, tmp_path / "old")[0] == 2  # two against two: which is right is not for us to say


def test_confounds_shows_what_it_can_and_tells_the_rest(run, tmp_path):
    """As compare does: the same file twice is one entry, a broken file and another version cost their own panel."""
    runs = tmp_path / "runs"
    stored(runs, "b")
    stored(runs, "a", **FAILED)
    stored(runs, "b", "insilico.V4-ridge")
    older = {"id": "older"}
    stored(runs, "cc", "insilico.V4-ridge", benchmark_identity=older, benchmark_fingerprint=fingerprint(older))
    (runs / "notes.json").write_text('{"a": 1}')
    shutil.copytree(runs, tmp_path / "again")
    code, out, err = run("confounds", runs, tmp_path / "again", "--json")
    assert code == 3 and [panel["benchmark"] for panel in json.loads(out)] == [V1]
    assert "notes.json is not an entry" in err and "were not scored on the same benchmark" in err
    assert "left out of insilico.V1-ridge (synthetic): a (failed)" in err


def test_a_misspelt_model_is_found_before_the_first_is_scored(run, monkeypatch):
    monkeypatch.setattr(api, "compare_regions", lambda *a, **k: pytest.fail("scored"))
    code, out, err = run("compare", "insilico:cascade", "bundled:resnet18", "--regions", "V1", "IT", "-b", "insilico.*")
    assert (code, out) == (2, "") and "resnet18" in err


def test_confounds_sets_scores_beside_what_their_layers_are_like(run, features, tmp_path):
    runs = tmp_path / "runs"
    assert run("score", features(), "-b", V1, "insilico.V1-rsa", "--out", runs)[0] == 0
    stored(runs, "old", "insilico.V4-ridge")
    code, out, err = run("confounds", runs, "--json")
    assert (code, err) == (0, "")
    ridge, rsa, _ = json.loads(out)
    assert (rsa["benchmark"], ridge["benchmark"]) == ("insilico.V1-rsa", V1)
    assert rsa["models"][0]["geometry"]["n_units"] == 6 and rsa["over_models"][0]["rho"] is None
    code, out, err = run("confounds", runs)
    assert code == 0 and "Nothing is known of the layers of old: score them again." in err
    (line,) = [line for line in out.splitlines() if re.match(r"features:.*mine", line)][:1]
    assert "synthetic" in line and re.search(r"\b6\b +5\.\d\d +5\.\d\d / 5\.\d\d +– \(–\)", line)
    assert "Over models nothing is said: there are 1, and 5 are needed." in out


def test_confounds_of_no_score_are_refused(run, tmp_path):
    stored(tmp_path / "runs", "a", status="failed", raw=None)
    code, out, err = run("confounds", tmp_path / "runs")
    assert (code, out) == (2, "") and "no entry here has a score" in err


def test_a_note_tells_of_penalties_at_the_edge_of_the_grid(run, features):
    code, out, _ = run("score", features(values=np.random.default_rng(0).normal(size=(400, 6))), "-b", V1)
    assert code == 0 and f"Note, {V1} (synthetic): " in out
    assert re.search(r"\d\d% of the neuroids' penalties lie at the edge of the grid", " ".join(out.split()))


def test_a_note_under_the_table_tells_a_score_that_few_components_carry(run, features):
    rng = np.random.default_rng(0)
    strong = rng.normal(size=(400, 1)) * rng.normal(size=60) * 30 + rng.normal(size=(400, 60))
    code, out, _ = run("score", features(values=strong), "-b", V1, "insilico.V1-rsa")
    (note,) = [line for line in out.splitlines() if line.startswith("Note") and "geometry" in line]
    assert (
        code == 0
        and "insilico.V1-rsa (synthetic): 1 component carries 90 % of the geometry of a (the first 100%)" in note
    )
    assert "Note" not in run("score", features(name="even"), "-b", "insilico.V1-rsa")[1]


def test_describe_says_how_much_of_a_recording_is_signal(run):
    code, out, err = run("describe", "insilico.V4-ridge", "--json")
    rows = json.loads(out)
    assert (code, err) == (0, "") and [row["subject"] for row in rows] == ["s1", "s2", "s3"]
    code, out, err = run("describe", "insilico.V4-ridge")
    assert (code, err) == (0, "") and out.count("insilico.V4-ridge (synthetic)") == 3
    code, out, err = run("describe", "insilico.category-svm")
    assert (code, out) == (2, "") and "rests on no responses" in err


def test_describe_of_a_glob_leaves_out_what_rests_on_no_responses(run, caplog):
    code, out, err = run("describe", "insilico.[Vc]4*-r*", "insilico.cat*", "--json")
    assert code == 0 and [row["benchmark"] for row in json.loads(out)] == ["insilico.V4-ridge"] * 3  # not V4-rsa too
    rows = json.loads(run("describe", "insilico.V4-r*", "insilico.V4-rsa", "--json")[1])
    assert {row["benchmark"] for row in rows} == {"insilico.V4-ridge", "insilico.V4-rsa"}
    assert "insilico.category-svm rests on no responses" in caplog.text
    code, out, err = run("describe", "insilico.cat*")
    assert (code, out) == (2, "") and "rests on no responses" in err


def test_subsample_is_a_table_json_and_a_figure(run, features, tmp_path):
    few = ("--draws", 2, "--fractions", "0.5,0.25", "-b", "insilico.V1-rsa")
    code, out, err = run("subsample", features(), *few, "--json", "--figure", tmp_path / "new" / "x.svg")
    assert code == 0 and f"Written: {tmp_path}/new/x.svg" in err and (tmp_path / "new" / "x.svg").stat().st_size > 1000
    (found,) = json.loads(out)
    assert (found["benchmark"], found["n_stimuli"], found["n_neuroids"]) == ("insilico.V1-rsa", 400, 150)
    assert [one["n"] for one in found["models"][0]["levels"]] == [200, 100, 75, 36]
    other = features(name="other", values=np.random.default_rng(1).normal(size=(400, 6)))
    code, out, err = run("subsample", features(), other, *few)
    assert (code, err) == (0, "")
    assert "insilico.V1-rsa (synthetic): 400 stimuli, 150 neuroids, 3 subjects" in out
    assert "ranking of 2 models (synthetic)" in out
    rows = [line for line in out.splitlines() if re.match("features:.*(mine|other)", line)]
    assert len(rows) == 10 and all("(synthetic)" in row for row in rows)


def test_subsample_says_why_subsets_have_no_score(run, features):
    one, other = features(), features(name="other", values=np.random.default_rng(1).normal(size=(400, 6)))
    code, out, _ = run("subsample", one, other, "--draws", 2, "--fractions", "0.01", "-b", V1)
    (line,) = re.findall(r"^(.*) have no score: (.*)$", out, flags=re.MULTILINE)
    assert code == 0 and line[0] == "2 of 2 subsets of 0.01 of the stimuli"  # of both models
    assert "both need 3 at least" in line[1] and "Use fewer folds, or more stimuli." in line[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing", "-b", V1], "no model was named"),
        (["baseline:pixels"], "Missing option"),
        (["baseline:pixels", "-b", V1, "--draws", "1"], "2 draws or more"),
        (["baseline:pixels", "-b", V1, "--fractions", "half"], "numbers with commas"),
        (["baseline:pixels", "-b", V1, "--fractions", "2"], "between 0 and 1"),
        (["baseline:pixels", "baseline:pixels", "-b", V1], "named twice"),
        (["baseline:pixels", "-b", V1, "--figure", "a.pdf"], ".png or .svg"),
        (["baseline:pixels", "-b", "insilico.V9"], "unknown benchmark"),
    ],
)
def test_subsample_refuses_in_a_line(run, arguments, says):
    code, out, err = run("subsample", *arguments)
    assert (code, out) == (2, "") and says in err


def test_compare_without_two_scores_is_refused(run, tmp_path):
    stored(tmp_path / "runs", "a")
    stored(tmp_path / "runs", "b", **FAILED)
    code, out, err = run("compare", tmp_path / "runs")
    assert (code, out) == (2, "") and f"only one or none of {V1}" in err


# list


@pytest.mark.parametrize("kind", cli.KINDS)
def test_lists_are_tables_or_json(run, kind):
    code, out, _ = run("list", kind, "--json")
    rows = json.loads(out)
    assert code == 0 and rows and all(row.keys() == rows[0].keys() for row in rows)
    code, table, _ = run("list", kind)
    assert code == 0 and all(str(next(iter(row.values()))) in table for row in rows)


@pytest.mark.parametrize("folder", ["a=b", "x=1/y", "~/a=b"])
def test_a_data_root_may_have_an_equals_sign(monkeypatch, tmp_path, folder):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    path = Path(folder).expanduser()
    path.mkdir(parents=True)
    assert cli.roots([folder]) == {"": path}
    assert cli.roots([str(path.resolve())]) == {"": path.resolve()}
    assert cli.roots([f"cowley2023={folder}", "."]) == {"cowley2023": path, "": Path()}


def test_a_data_root_with_an_equals_sign_that_is_not_there_is_named_whole():
    with pytest.raises(UsageError, match="'/nowhere/a=b', which is not a folder"):
        cli.roots(["/nowhere/a=b"])


def test_every_scorer_is_described_in_a_whole_sentence(run):
    for row in json.loads(run("list", "scorers", "--json")[1]):
        text = row["description"]
        assert text.endswith(".") and text.count("(") == text.count(")") and text.count("`") % 2 == 0, row["scorer"]


def test_lists_say_what_is_missing_and_how_to_get_it(run, tmp_path):
    for kind, name in (("datasets", "cowley2023"), ("benchmarks", "cowley2023.V4-ridge")):
        code, out, _ = run("list", kind, "--data-root", "cowley2023=.", "--json")
        row = next(row for row in json.loads(out) if next(iter(row.values())) == name)
        assert code == 0 and row["here"] is False
        assert "lacks 22 of 22 files" in row["how_to_get"] and "--data-root cowley2023=PATH" in row["how_to_get"]
        assert "--data-root cowley2023=PATH" in run("list", kind, "--data-root", "cowley2023=.")[2]


def test_the_version_and_help(run):
    assert run("version") == run("--version") == (0, f"{__version__}\n", "")
    for option in ("--help", "-h"):
        code, out, _ = run("score", option)
        assert code == 0 and "--data-root" in out
        assert run("data", "list", option)[0] == run(option)[0] == 0
    done = subprocess.run([sys.executable, "-m", "brainbench", "version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{__version__}\n")
    assert run()[0] == 2


# benchmark files


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dataset = ", "bad.toml is not TOML"),
        ('dataset = "insilico"', "bad.toml has no [[benchmark]] tables"),
        ('dataset = "insilico"\nbenchmark = 3', "bad.toml has no [[benchmark]] tables"),
        ('{dataset = "insilic"}', "unknown dataset 'insilic'. Did you mean 'insilico'"),
        ('{scorer = "rigde"}', "unknown scorer 'rigde'. Did you mean 'ridge'"),
        ('{ceiling = "split-half"}', "bad.toml, benchmark 'x.V1-ridge'"),
        ('{colour = "red"}', "colour"),
        ('{id = "../x"}', "should match pattern"),
        ("{split = { n_folds = 1 }}", "greater than or equal to 2"),
    ],
)
def test_a_wrong_benchmark_file_is_named(tmp_path, monkeypatch, text, says):
    if text.startswith("{"):
        fields = {"id": '"x.V1-ridge"', "version": "1", "title": '"t"', "dataset": '"insilico"', "region": '"V1"'}
        fields |= {"scorer": '"ridge"', "split": "{ n_folds = 5 }", "ceiling": '"split_half"'}
        name, _, value = text[1:-1].partition(" = ")
        text = "[[benchmark]]\n" + "\n".join(f"{k} = {v}" for k, v in (fields | {name: value}).items())
    (tmp_path / "bad.toml").write_text(text)
    monkeypatch.setattr(benchmarks._resources, "tomls", lambda kind: [tmp_path / "bad.toml"])
    with pytest.raises(benchmarks.InputError) as error:
        benchmarks._shipped.__wrapped__()
    assert says in str(error.value)


def test_every_shipped_benchmark_could_run():
    from brainbench import datasets, scorers

    for benchmark in benchmarks.known().values():
        spec = datasets.DATASETS[benchmark.dataset].spec
        requires = scorers.load(benchmark.scorer, benchmark.params).spec.requires
        assert benchmark.region in (("",) if requires == "labels" else spec.regions)
        assert set(benchmark.subjects or ()) <= set(spec.subjects)
        bounds = {"responses": ("split_half", "ncsnr"), "rdms": ("leave_one_subject_out",), "labels": ()}
        assert benchmark.ceiling in (*bounds[requires], "none")
        assert len(benchmark.fingerprint) == 64


def test_the_caption_says_what_a_share_is_and_categories_have_no_neuroids(run, features):
    code, out, _ = run("score", features(), "-b", "insilico.category-svm", "insilico.V1-ridge")
    said = " ".join(out.split())
    assert (
        code == 0
        and "correlation r (for svm the share of stimuli put into their category, by chance 0.125), layer" in said
    )
    (row,) = [line for line in out.splitlines() if line.startswith("insilico.category-svm")]
    assert row.count("–") == 3  # ceiling, normalized and neuroids
    _, out, _ = run("score", features(), "-b", "insilico.V1-ridge")
    assert "share of what" not in out
