"""Whatever a command has found, what `--json` prints is JSON: null where a number is undefined, never NaN."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from math import inf, nan
from types import UnionType
from typing import get_args, get_origin, get_type_hints

import numpy as np
import pytest
import typer

from brainbench import api, cli, few_shots, matches, queries, studies, training_studies
from brainbench.analysis import comparison, few_shot, recording, robustness, unit_matching
from brainbench.analysis import queries as query_analysis
from brainbench.core.jsonable import jsonable
from brainbench.core.specs import fingerprint
from brainbench.entry import Entry, Layer, Optimistic, Subject, TimeCourse
from brainbench.in_context import gaussian

HOLD_NO_NUMBERS = {
    *("check", "data list", "data locate", "data verify", "data where", "leaderboard validate", "list"),
    "leaderboard reproduce",  # holds those of entries, where undefined is None
}


def undefined(kind):
    """A thing of this type in which no number is defined."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{f.name: undefined(hints[f.name]) for f in fields(kind)})
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (tuple, list):
        return origin(undefined(part) for part in parts if part is not ...)
    if origin in (dict, Mapping):
        return {"a": undefined(parts[1])}
    if origin is UnionType:
        return undefined(parts[0])
    return {np.ndarray: np.full(2, nan), float: nan, int: 1, bool: True, str: "a"}[kind]


def entry(model, replicates, **fields):
    """An entry in a file, as a failed fold or a layer without a score leave it: null is beside numbers."""
    none = {"raw": None, "ceiling": None, "normalized": None}
    return Entry(
        benchmark="insilico.V1-ridge",
        benchmark_fingerprint=fingerprint({"id": "V1"}),
        benchmark_identity={"id": "V1"},
        synthetic=True,
        model=model,
        model_fingerprint=model,
        status="ok",
        scorer="ridge 1",
        scale="r",
        raw=0.5,
        low=nan,
        high=nan,
        replicates=replicates,
        layers=[Layer(layer="a", pooling="flatten", depth=0.5, train=nan, raw=nan, geometry={"n_units": nan})],
        layer="a",
        optimistic=Optimistic(layer="a", raw=nan, gap=nan),
        per_subject={"s1": Subject(**none, n_neuroids=0)},
        extras={"alpha": nan, "curve": [nan, 1.0]},
        **fields,
    )


HALF = np.where(np.arange(1000) < 500, 0.5, nan)
ENTRIES = [entry("m", HALF.tolist()), entry("n", HALF[::-1].tolist())]  # no replicate has both
BIN = {name: [nan] for name in ("raw", "low", "high", "ceiling", "p", "threshold")}
COURSE = TimeCourse(**BIN, time_s=[0.1], window_s=[0.1], n_consecutive=2, reason="flat", layer_raw=[[nan]])
B = ("-b", "insilico.V1-ridge")
CURVES = few_shots.Curves(
    benchmark="b", model="m", synthetic=True, n_stimuli=1, n_neuroids=1, points=[undefined(few_shot.Point)], full=nan
)
MATCHES = matches.Matches(first="a", second="b", stimuli="c", synthetic=True, pairs=[undefined(unit_matching.Matched)])
EXPLAINED = [undefined(training_studies.Explained)]
TRAINING = ("--dataset", "insilico", "--subjects", "s1")
# command: where what it finds comes from, what that gives here, its arguments; entries are read from files
COMMANDS = {
    "score": ((api, "score"), api.Results(ENTRIES, {}), ("baseline:pixels",)),
    "compare": (None, None, ("runs",)),
    "compare --regions": (
        (api, "compare_regions"),
        api.Regions(undefined(comparison.Comparison)),
        ("baseline:pixels", "--regions", "V1", "IT"),
    ),
    "confounds": (None, None, ("runs",)),
    "describe": ((studies, "recordings"), [undefined(recording.Described)], B[1:]),
    "few-shot": ((few_shots, "few_shots"), CURVES, ("baseline:pixels", *B)),
    "match": ((matches, "matches"), MATCHES, ("a", "b", "--stimuli", "insilico")),
    "query": ((queries, "query"), [undefined(query_analysis.Region)], ("open_clip:a", "a", "b", *B)),
    "subsample": (
        (studies, "subsample"),
        studies.Subsampled([undefined(robustness.Robustness)]),
        ("baseline:pixels", *B),
    ),
    "time": (None, None, ("runs",)),
    "train gaussian": ((gaussian, "risk"), undefined(gaussian.Risk), ("--steps", "1", "--sizes", "2")),
    "train held-out": ((training_studies, "held_out"), EXPLAINED, ("a",)),
    "train scaling": ((training_studies, "scaling"), EXPLAINED, (*TRAINING, "--neuroids", "0")),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_prints_nan(command, monkeypatch, capsys, tmp_path):
    source, found, arguments = COMMANDS[command]
    monkeypatch.chdir(tmp_path)
    if source:
        monkeypatch.setattr(*source, lambda *args, **options: found)
    (tmp_path / "runs").mkdir()
    for one in ENTRIES:
        stored = one.model_copy(update={"time_course": COURSE if command == "time" else None})
        (tmp_path / "runs" / f"{one.model}.json").write_text(json.dumps(stored.as_json(), allow_nan=False))
    words = command.removesuffix(" --regions").split()
    monkeypatch.setattr(sys, "argv", ["brainbench", *words, *arguments, "--json"])
    with pytest.raises(SystemExit) as exit:
        cli.main()
    printed = capsys.readouterr()
    assert not exit.value.code, printed.err
    told = json.loads(printed.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert "null" in printed.out and told


def test_every_command_that_prints_json_is_held_to_it():
    def commands(command, path=()):
        for name, below in getattr(command, "commands", {}).items():
            yield from commands(below, (*path, name))
        if any("--json" in option.opts for option in command.params):
            yield " ".join(path)

    held = {name.removesuffix(" --regions") for name in COMMANDS}
    assert set(commands(typer.main.get_command(cli.app))) == held | HOLD_NO_NUMBERS


def test_undefined_is_null_however_deep_it_lies():
    @dataclass
    class Found:
        value: object

    given = {"a": (1.5, nan, [Found(inf), np.array([[1, nan]])]), "b": np.float32(nan), "c": np.int64(3), "d": True}
    assert jsonable(given) == {"a": [1.5, None, [{"value": None}, [[1.0, None]]]], "b": None, "c": 3, "d": True}
