"""Queries in words: a joint space where the answer is known, open_clip's own towers, and what cannot be asked."""

import json
import sys

import numpy as np
import pytest
import torch

import brainbench as bb
from brainbench import cli, datasets
from brainbench.analysis import queries
from brainbench.benchmarks import known
from brainbench.core.arrays import blocks
from brainbench.errors import UnknownNameError, UsageError
from brainbench.models import joint
from brainbench.models._torchvision import prepare
from brainbench.models.features_file import FeatureTable
from brainbench.models.joint import Joint
from brainbench.numerics.selectivity import readouts

PROMPTS = ("towards", "across", "away")


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("BRAINBENCH_CACHE", str(tmp_path / "cache"))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["brainbench", *arguments])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return exit.value.code or 0, printed.out, " ".join(printed.err.split())

    return call


def standardized(region):
    """Mean responses of the synthetic V1's or IT's neuroids to its stimuli, each of variance 1, and the stimuli."""
    dataset = datasets.load("insilico", {})
    parts = [b for subject in dataset.spec.subjects for b in blocks(dataset.responses(subject, regions=(region,)))]
    assert len({b.stimulus_ids for b in parts}) == 1
    y = np.concatenate([b.mean() for b in parts], axis=1)
    return (y - y.mean(axis=0)) / y.std(axis=0), parts[0].stimulus_ids


def space(x, ids, directions):
    """Pictures at x, and a text tower that knows three prompts."""
    return Joint(
        model=FeatureTable.from_arrays({"embedding": x.astype(np.float32)}, ids, "known"),
        texts=lambda prompts: torch.stack([torch.tensor(directions[prompt]) for prompt in prompts]),
    )


@pytest.fixture(scope="module")
def planted():
    """Pictures on 3 axes: what IT's neuroids do on average, the first component of V1's responses, and noise."""
    it, ids = standardized("IT")
    rng = np.random.default_rng(0)
    axes = np.stack([it.mean(axis=1), rng.normal(size=len(ids)), rng.normal(size=len(ids))], axis=1)
    x = (axes - axes.mean(axis=0)) / axes.std(axis=0)
    directions = {"towards": [5.0, 0, 0], "across": [0, 0.1, 0], "away": [-1.0, 0, 0]}
    return x, ids, it, directions


def test_in_a_known_space_prompts_have_the_order_the_numbers_and_the_label_that_they_must(planted, tmp_path):
    x, ids, it, directions = planted
    found = bb.query(space(x, ids, directions), PROMPTS[::-1], "insilico.IT-ridge", cache=tmp_path)
    (region,) = found
    assert [p.prompt for p in region.prompts] == list(PROMPTS) and region.label == "towards"
    assert (region.region, region.n_neuroids, region.left_out, region.synthetic) == ("IT", it.shape[1], 0, True)
    slopes = np.linalg.lstsq(x, it)[0].mean(axis=1)  # with 3 features and many stimuli ridge is least squares
    expected = [slopes[0], slopes[1], -slopes[0]]
    np.testing.assert_allclose([p.selectivity for p in region.prompts], expected, atol=0.02)
    towards, across, away = region.prompts
    assert towards.low > 0 and away.high < 0 and across.low < 0 < across.high
    assert towards.low < towards.selectivity < towards.high and towards.first == 1.0
    assert sum(p.share for p in region.prompts) == pytest.approx(1)
    assert towards.share_low <= towards.share <= towards.share_high and towards.share > 0.5


def test_the_same_question_has_the_same_answer_and_regions_are_chosen(planted, tmp_path):
    x, ids, _, directions = planted
    known_space = space(x, ids, directions)
    first = bb.query(known_space, PROMPTS, "insilico.*", regions=["IT"], cache=tmp_path)
    again = bb.query(known_space, PROMPTS, regions=["IT"], benchmarks=["insilico.IT-*"], cache=tmp_path)
    assert len(first) == 1 and first == again  # benchmarks of other scorers have the same neuroids


def test_what_several_subjects_saw_is_drawn_for_all_of_them():
    """Noise that belongs to stimuli, and that both subjects share: it does not average out if one lacks a stimulus."""
    rng = np.random.default_rng(0)
    x, names = torch.tensor(rng.normal(size=(200, 4))), [f"s{n:03d}" for n in range(200)]
    y = torch.tensor(2 * rng.normal(size=(200, 1)) + 0.01 * rng.normal(size=(200, 30)))
    spread = []
    for n in (200, 199):
        fits = [readouts(x, y), readouts(x[:n], y[:n])]
        means, _ = queries._replicates(fits, [names, names[:n]], torch.eye(4, dtype=torch.float64), "ab" * 32)
        spread.append(means.std(axis=0))
    np.testing.assert_allclose(spread[1], spread[0], rtol=0.1)  # .71 times as large with draws of their own


def test_a_space_that_says_nothing_is_told_as_such(planted, tmp_path, capsys):
    from brainbench.printing_studies import print_queried
    from brainbench.terminal import out

    _, ids, _, directions = planted
    noise = np.random.default_rng(5).normal(size=(len(ids), 3))
    (region,) = bb.query(space(noise, ids, directions), PROMPTS, "insilico.IT-ridge", cache=tmp_path)
    assert all(p.low < 0 < p.high for p in region.prompts)
    print_queried(out, [type(region)(**{f: getattr(region, f) for f in region.__slots__} | {"r2": -0.001})])
    assert "explains nothing" in capsys.readouterr().out
    blank = [type(region)(**{f: getattr(region, f) for f in region.__slots__} | {"r2": float("nan")})]
    assert blank[0].as_json()["r2"] is None


@pytest.fixture
def small_clip(monkeypatch):
    """open_clip's ViT-B-32, made very small; no weights."""
    prepare()
    import open_clip

    config = open_clip.get_model_config("ViT-S-32")
    config["vision_cfg"] |= {"layers": 1, "width": 32, "head_width": 16, "image_size": 32}
    config["text_cfg"] |= {"layers": 1, "width": 32, "heads": 2}
    config["embed_dim"] = 12
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-32", config)
    return "open_clip:ViT-B-32/openai@untrained3"


def test_both_towers_are_open_clips_own(small_clip):
    import open_clip

    found = joint.load(small_clip)
    torch.manual_seed(3)
    whole = open_clip.create_model("ViT-B-32", force_quick_gelu=True).eval()
    tokens = open_clip.get_tokenizer("ViT-B-32")(["a face", "a red car"])
    dataset = datasets.load("insilico", {})
    pictures = torch.stack([found.model.preprocess(dataset.stimuli().image(n)) for n in dataset.stimuli().ids[:3]])
    with torch.no_grad():
        torch.testing.assert_close(found.texts(["a face", "a red car"]), whole.encode_text(tokens, normalize=True))
        torch.testing.assert_close(found.model.build()(pictures), whole.encode_image(pictures, normalize=True))
    assert [f"{at.name}:{at.pooling}" for at in found.model.spec.layers] == ["embedding:flatten"]
    with pytest.raises(UsageError, match="reads 75: shorten it"):
        found.texts(["a face", "word " * 100])


def test_the_command_asks_open_clip(small_clip, run):
    code, out, _ = run("query", small_clip, "a face", "a place", "-b", "insilico.IT-ridge", "--json", "--device", "cpu")
    assert code == 0
    (region,) = json.loads(out)
    found = joint.load(small_clip)
    dataset = datasets.load("insilico", {})
    it, ids = standardized("IT")
    with torch.no_grad():
        build = found.model.build()
        x = torch.cat([build(found.model.preprocess(dataset.stimuli().image(name))[None]) for name in ids]).double()
    from brainbench.numerics.selectivity import readouts, selectivity

    texts = found.texts(["a face", "a place"]).double()
    expected = selectivity(readouts(x, torch.tensor(it)), texts).mean(dim=1)
    told = {p["prompt"]: p["selectivity"] for p in region["prompts"]}
    np.testing.assert_allclose([told["a face"], told["a place"]], expected, rtol=0.05, atol=0.02)
    assert region["model"] == small_clip and region["synthetic"]
    code, out, _ = run(
        "query", small_clip, "a face", "a place", "-b", "insilico.*", "--region", "IT", "--device", "cpu"
    )
    assert code == 0 and "insilico.IT-ridge (synthetic)" in out and "a face" in out and "Most neuroids prefer" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["baseline:pixels", "a", "b", "-b", "insilico.IT-ridge"], "has no text tower"),
        (["resnet18", "a", "b", "-b", "insilico.IT-ridge"], "has no text tower"),
        (["opne_clip:ViT-B-32", "a", "b", "-b", "insilico.IT-ridge"], "open_clip"),
        (["open_clip:ViT-B-32@untrained", "a", "-b", "insilico.IT-ridge"], "two or more"),
        (["open_clip:ViT-B-32@untrained", "a", "a", "-b", "insilico.IT-ridge"], "none twice"),
        (["open_clip:ViT-B-32@untrained", "a", " ", "-b", "insilico.IT-ridge"], "none of them empty"),
        (["open_clip:ViT-B-32@untrained", "a", "b"], "--benchmarks"),
        (["open_clip:ViT-B-32@untrained", "a", "b", "-b", "insilico.IT-rsa"], "responses of single neuroids"),
        (["open_clip:ViT-B-32@untrained", "a", "-b", "insilico.IT-ridge", "insilico.V1-ridge"], "is a benchmark"),
        (["open_clip:ViT-B-32@untrained", "a", "b", "-b", "insilico.*", "--region", "TI"], "Known: IT, V1, V2, V4"),
        (["open_clip:mt5-base-ViT-B-32@untrained", "a", "b", "-b", "insilico.IT-ridge"], "Hugging Face hub"),
        (["open_clip:ViT-B-16-SigLIP@untrained", "a", "b", "-b", "insilico.IT-ridge"], "Hugging Face hub"),
    ],
)
def test_what_cannot_be_asked_is_refused(run, arguments, message):
    code, _, err = run("query", *arguments)
    assert code == 2 and message in err, err


def test_a_region_that_is_not_there_is_helped():
    with pytest.raises(UnknownNameError):
        bb.query("open_clip:ViT-B-32@untrained", PROMPTS, regions=["V44"])
    assert "insilico.IT-rsa" in known()
