"""open_clip: its image towers, or both towers as a joint space; trained, from the user's cache or file, or twins."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from brainbench.core.specs import Preprocessing
from brainbench.errors import UnknownNameError, UsageError, listed
from brainbench.models._torchvision import prepare
from brainbench.models._weights import in_cache, loading, not_here, split_twin, untrained
from brainbench.models.joint import Joint
from brainbench.models.module import Network, network


def load(name: str, *, layers: Sequence[str] | None = None, weights: Path | None = None) -> Network:
    """The image tower of open_clip's "ARCH/TAG", seen as open_clip would show it.

    The tag may be left out for an untrained twin or with `weights`. Raises UnknownNameError for an architecture or tag
    that open_clip does not have, AccessError where the trained weights are not on this machine, InputError where
    `weights` does not fit, UsageError for a tag that is missing or what cannot be built without a download.
    """
    whole, training_data = _whole(name, weights)
    tower = whole.visual.eval()
    return network(
        tower,
        id=f"open_clip:{name}",
        source="open_clip",
        preprocess=_preprocessing(tower),
        layers=layers,
        training_data=training_data,
    )


def joint(name: str, *, weights: Path | None = None) -> Joint:
    """Both towers of open_clip's "ARCH/TAG": pictures and prompts as points of length 1 in one space.

    Raises as `load` does, and UsageError where open_clip would fetch the words' tokens from the Hugging Face hub.
    """
    architecture = split_twin(name)[0].partition("/")[0]
    whole, training_data = _whole(name, weights)
    import open_clip

    if "hf_tokenizer_name" in open_clip.get_model_config(architecture)["text_cfg"]:
        raise UsageError(
            f"open_clip takes the tokens of {architecture!r} from the Hugging Face hub, and brainbench does not "
            "download any: take an architecture with open_clip's own, such as ViT-B-32"
        )
    tokenizer = open_clip.get_tokenizer(architecture)
    module = _Embedded(whole).eval()

    @torch.no_grad()
    def texts(prompts: Sequence[str]) -> Tensor:
        _refuse_long(prompts, tokenizer)
        device = next(whole.parameters()).device
        found: Tensor = whole.encode_text(tokenizer(list(prompts)).to(device), normalize=True)
        return found.float().cpu()

    model = network(
        module,
        id=f"open_clip:{name}",
        source="open_clip, joint space",
        preprocess=_preprocessing(whole.visual),
        layers=["embedding:flatten"],
        training_data=training_data,
    )
    return Joint(model=model, texts=texts)


class _Embedded(nn.Module):
    """Pictures to their points in the joint space; the text tower is held, so it is part of the weights' hash."""

    def __init__(self, whole: Any):
        super().__init__()
        self.whole = whole
        self.embedding = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.embedding(self.whole.encode_image(x, normalize=True))
        return found


def _refuse_long(prompts: Sequence[str], tokenizer: Any) -> None:
    """Raises UsageError for a prompt whose end open_clip would cut off in silence."""
    for prompt in prompts:
        n = len(tokenizer.encode(prompt))
        if n > tokenizer.context_length - 2:  # it begins and ends with a token of its own
            raise UsageError(
                f"the prompt {prompt[:40]!r}... has {n} tokens, and the text tower reads "
                f"{tokenizer.context_length - 2}: shorten it"
            )


def _whole(name: str, weights: Path | None) -> tuple[Any, str]:
    """Both towers, and what they were trained on. Raises as `load` does."""
    prepare()
    import open_clip

    base, seed = split_twin(name)
    architecture, _, tag = base.partition("/")
    if architecture not in open_clip.list_models():
        raise UnknownNameError("open_clip network", architecture, open_clip.list_models())
    if "hf_model_name" in open_clip.get_model_config(architecture)["text_cfg"]:
        raise UsageError(
            f"open_clip builds the text tower of {architecture!r} from the Hugging Face hub: wrap it yourself"
        )
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if not tag and seed is None and weights is None:
        full = f"open_clip:{architecture}"
        there_is = f"Name a tag: '{full}/TAG', such as {listed(tags)}" if tags else "It has no trained version"
        raise UsageError(
            f"{full!r} does not say which trained weights. {there_is}. Or give a file "
            f"(--weights FILE, of `score` and `query`), or take its untrained twin: '{full}@untrained'"
        )
    if tag and tag not in tags:
        raise UnknownNameError(f"trained version of open_clip's {architecture}", tag, tags)
    config = open_clip.get_pretrained_cfg(architecture, tag)

    def build(pretrained: str | None = None) -> Any:
        with _quiet():
            return open_clip.create_model(
                architecture,
                pretrained=pretrained,
                pretrained_text=False,
                force_quick_gelu=config.get("quick_gelu", False),
                force_preprocess_cfg={key: config[key] for key in _SEEN_AS if key in config},
            )

    if seed is not None:
        return untrained(build, seed), "none"
    path = weights or cached(config)
    if path is None:
        raise not_here(f"open_clip:{base}", config.get("hf_hub") or config.get("url", ""))
    with loading(path, f"open_clip:{base}"):
        return build(str(path)), "unknown" if weights else f"open_clip tag {tag!r}"


_SEEN_AS = ("mean", "std", "interpolation", "resize_mode")


def cached(config: dict[str, Any]) -> Path | None:
    """The weights file of a pretrained config in the Hugging Face or CLIP cache; None where it is in neither."""
    repository, filename = os.path.split(config.get("hf_hub", ""))
    filenames = ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
    if filename:
        filenames = [filename.rpartition(".")[0] + ".safetensors", filename]
    url = config.get("url", "")
    return in_cache(repository, filenames, [Path("~/.cache/clip").expanduser() / Path(url).name] if url else ())


def counts() -> tuple[int, int, int]:
    """How many networks open_clip has, how many sets of trained weights, and how many are on this machine."""
    prepare()
    import open_clip

    trained = open_clip.list_pretrained()
    here = sum(cached(open_clip.get_pretrained_cfg(*pair)) is not None for pair in trained)
    return len(open_clip.list_models()), len(trained), here


def _preprocessing(tower: nn.Module) -> Preprocessing:
    facts: dict[str, Any] = tower.preprocess_cfg  # type: ignore[assignment]
    size = facts["size"]
    height, width = (size, size) if isinstance(size, int) else size
    if height != width or facts["resize_mode"] not in ("shortest", "squash"):
        raise UsageError(
            f"open_clip shows this network {height} x {width} px, {facts['resize_mode']!r}: wrap it yourself"
        )
    return Preprocessing(
        resize_px=height,
        crop_px=height,
        interpolation="bilinear" if facts["interpolation"] == "bilinear" else "bicubic",
        squash=facts["resize_mode"] == "squash",
        mean=tuple(facts["mean"]),
        std=tuple(facts["std"]),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without open_clip's log, which warns of weights that are missing on purpose."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
