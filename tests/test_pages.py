"""What README and the other pages name exists: commands, options, benchmarks, datasets, models, variables, code."""

import ast
import dataclasses
import fnmatch
import inspect
import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest
import typer

import brainbench as bb
from brainbench import _resources, api, cli, entry, errors, models, printing
from brainbench.benchmarks import Benchmark, SplitRule, known
from brainbench.datasets import DATASETS
from brainbench.errors import AccessError, BrainbenchError
from brainbench.models.bundled_optional import OPTIONAL
from brainbench.scorers import SCORERS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
FENCED = re.compile(r"^```(\w*).*?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {str(page.relative_to(ROOT)): page.read_text() for page in PAGES}
MAIN = typer.main.get_command(cli.app)
COMMANDS = MAIN.commands
GROUPS = [command.commands for command in COMMANDS.values() if hasattr(command, "commands")]
PARTS = [MAIN, *COMMANDS.values(), *(command for group in GROUPS for command in group.values())]


def blocks(text, language):
    return [block for kind, block in FENCED.findall(text) if kind == language]


def lines(text):
    """Command lines of ours: whole ones in blocks, and what is named in a sentence."""
    whole = [part.strip() for block in blocks(text, "bash") for line in block.splitlines() for part in line.split("&&")]
    named = re.findall(r"`([^`\n]+)`", FENCED.sub("", text))
    return [line for line in whole if line.startswith("brainbench ")], [
        line for line in named if line.startswith("brainbench ")
    ]


def defined_on(text):
    """Names that a page which teaches extending brainbench gives to things of its own."""
    names = set()
    for table in map(tomllib.loads, blocks(text, "toml")):
        names |= {benchmark["id"] for benchmark in table.get("benchmark", [])}
        if "subjects" in table:  # a folder that declares itself, with what is made for its region
            names |= {table["id"], f"{table['id']}.V4-ridge", f"{table['id']}.V4-rsa"}
        for things in table.get("project", {}).get("entry-points", {}).values():
            names |= things.keys()
    return names


def test_the_pages_name_something():
    assert len(lines(README)[0]) == 2 and len(lines(README)[1]) >= 4
    assert defined_on(TEXTS["docs/add_a_dataset.md"]) == {
        *("mylab2026", "mylab2026.V4-ridge", "mylab2026.V4-rsa", "mylab2026.V4-cka"),
        *("doe2026", "doe2026.V4-ridge", "doe"),
    }


@pytest.mark.parametrize("page", TEXTS)
def test_command_lines_parse_and_name_what_exists(page):
    whole, named = lines(TEXTS[page])
    for line in whole + named:
        command, *words = shlex.split(line)[1:]
        assert command in COMMANDS, line
        if not words and line in named:
            continue  # the command as such
        if hasattr(COMMANDS[command], "commands"):
            name, *words = words
            of = COMMANDS[command].commands[name]
            assert words or line in named, line
            if words:
                of.make_context(name, words)
            continue
        given = COMMANDS[command].make_context(command, words).params
        assert given.get("kind", "models") in cli.KINDS, line
        for glob in [*(given.get("benchmarks") or ()), *(given.get("more") or ())]:
            assert fnmatch.filter({*known(), *defined_on(TEXTS[page])}, glob), line
        for thing in (given.get("model"), given.get("name")):
            found = {*DATASETS, *SCORERS, *models.SOURCES, *defined_on(TEXTS[page]), "MODEL", "NAME"}
            assert thing is None or thing.partition(":")[0] in found, line


@pytest.mark.parametrize("page", TEXTS)
def test_options_exist(page):
    ours = {option for part in PARTS for parameter in part.params for option in parameter.opts}
    text = re.sub(r"pip install[^`\n]*", "", TEXTS[page])
    assert {*re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)} <= ours


def anchors(text):
    """What links with a # may name on a page: its headings, lower-case, with hyphens, without punctuation."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", TEXTS)
def test_links_and_images_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", TEXTS[page])):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert target.exists() and target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target.read_text()), link


def rows_of(text):
    """Tables' lines, cell by cell."""
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:3] == "| `"]


def test_the_page_of_benchmarks_has_every_key_and_every_parameter_with_its_default():
    keys, scorers = TEXTS["docs/benchmarks.md"].split("## Parameters of scorers")
    rules = get_args(Benchmark.model_fields["ceiling"].annotation)
    told = {name for row in rows_of(keys) for name in re.findall(r"`([a-z_]+)`", row[0])}
    assert told == {*Benchmark.model_fields, *rules}
    assert [rule for rule in rules if rule != "none" and f"`{rule}`" not in TEXTS["docs/methods.md"]] == []
    assert all(name in keys for name in SplitRule.model_fields)
    found = {
        (scorer, parameter.strip("`")): default
        for names, parameter, _, default in rows_of(scorers)
        for scorer in re.findall(r"`(\w+)`", names)
    }
    fields = {(name, field.name): field.default for name in SCORERS for field in dataclasses.fields(SCORERS[name])}
    assert found.keys() == fields.keys()
    for parameter, default in found.items():
        if default.startswith("`"):
            real = fields[parameter]
            assert tomllib.loads(f"x = {default.strip('`')}")["x"] == (list(real) if real == () else real), parameter
    bare = {name for name in SCORERS if not dataclasses.fields(SCORERS[name])}
    assert bare == {*re.findall(r"`(\w+)`", re.search(r"^(.*) have none\.", scorers, re.MULTILINE)[1])}


@pytest.mark.parametrize("page", TEXTS)
def test_datasets_and_benchmarks_exist(page):
    names = re.findall(r"(?<![\w/.])((?:[a-z_]+(?:19|20)\d\d|insilico)(?:\.[\w*-]+)?)(?![\w/])", TEXTS[page])
    for name in {name for name in names if not name.endswith(".toml")}:
        found = known() if "." in name else DATASETS
        assert fnmatch.filter({*found, *defined_on(TEXTS[page])}, name), name


def test_models_exist():
    sources = "|".join(models.SOURCES.own.keys() - {"recording"})  # what those name is a recording
    named = {name for text in TEXTS.values() for name in re.findall(rf"\b(?:{sources}):[\w./@|-]+", text)}
    full = {f"{name.partition(':')[0]}:{rest}" for name in named for rest in name.partition(":")[2].split("|")}
    real = {name for name in full if not re.search(r":([A-Z]{2,}|package\.mod)", name)}
    assert {"bundled:efficientnet_lite0", "baseline:gabor", "insilico:cascade"} <= real
    for name in sorted(real):
        try:
            models.load(name)
        except AccessError:  # known, but its weights are not on this machine
            assert name.startswith(("timm:", "open_clip:")) or name.partition(":")[2] in OPTIONAL


def test_tables_in_the_readme_have_the_columns_that_are_printed():
    columns = [column.header for column in printing.scores_table("", []).columns]
    headers = [re.split(r"  +", line) for line in README.splitlines() if line.startswith("benchmark  ")]
    assert headers == [columns, columns]


def test_a_score_that_is_a_square_is_called_one_under_the_table():
    cca = entry.read(next(ROOT.glob("leaderboard/results/baseline_pixels-*/cowley2023.V4-cca.json")))
    assert "the correlation r (for cca its square, less chance), layer" in printing.scores_table("", cca).caption


def test_the_tree_of_architecture_names_every_module_once():
    tree = next(block for block in blocks(TEXTS["docs/architecture.md"], "") if "brainbench/" in block)
    named = re.findall(r"(?<![\w.])\w+\.py\b", tree)
    for folder in ("", "core", "numerics"):  # of the others one file is like the next
        modules = {path.name for path in (ROOT / "brainbench" / folder).glob("*.py")} - {"__init__.py", "__main__.py"}
        assert sorted(modules - {*named}) == []
    assert [name for name in named if not [*(ROOT / "brainbench").rglob(name)]] == []
    assert [name for name in named if named.count(name) > len([*(ROOT / "brainbench").rglob(name)])] == []


def test_variables_of_the_environment_are_in_the_readme():
    pattern = r"BRAINBENCH_[A-Z_]+"  # the variable of one dataset is BRAINBENCH_DATA_ with a name behind it
    code = "".join(path.read_text() for path in (ROOT / "brainbench").rglob("*.py"))
    table = [line.split("|")[1] for line in README.splitlines() if line.startswith("| `BRAINBENCH_")]
    assert [name for cell in table for name in re.findall(pattern, cell)] == sorted({*re.findall(pattern, code)})


def test_exit_codes_are_in_the_readme():
    (told,) = re.findall(r"^Exit codes: (.*?)\n\n", README, re.MULTILINE | re.DOTALL)
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BrainbenchError)]
    terminated = 143  # of SIGTERM, by cli.main
    codes = {0, *(kind.exit_code for kind in kinds), cli.INTERRUPTED, terminated}
    assert [int(code) for code in re.findall(r"\b\d+\b", told)] == sorted(codes)


@pytest.mark.parametrize("page", TEXTS)
def test_python_compiles_and_what_it_takes_from_us_exists(page):
    for block in blocks(TEXTS[page], "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "brainbench":
                assert all(hasattr(import_module(node.module), name.name) for name in node.names), ast.unparse(node)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("bb", "r"):
                assert hasattr(bb if node.value.id == "bb" else api.Results, node.attr), ast.unparse(node)
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "bb.score":
                inspect.signature(bb.score).bind(*node.args, **{word.arg: None for word in node.keywords})
    for name in {*re.findall(r"`(brainbench(?:\.\w+)+)`", TEXTS[page])} - {_resources.GROUP}:
        module, _, attribute = name.rpartition(".")
        assert hasattr(import_module(module), attribute) or import_module(name), name
