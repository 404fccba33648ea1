"""The image towers of open_clip: trained, from the user's own cache or file, or their untrained twins."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from brainbench.core.specs import Preprocessing
from brainbench.errors import UnknownNameError, UsageError, listed
from brainbench.models._torchvision import prepare
from brainbench.models._weights import in_cache, loading, not_here, split_twin, untrained
from brainbench.models.module import Network, network


def load(name: str, *, layers: Sequence[str] | None = None, weights: Path | None = None) -> Network:
    """The image tower of open_clip's "ARCH/TAG", seen as open_clip would show it.

    The tag may be left out for an untrained twin or with `weights`. Raises UnknownNameError for an architecture or tag
    that open_clip does not have, AccessError where the trained weights are not on this machine, InputError where
    `weights` does not fit, UsageError for a tag that is missing or what cannot be built without a download.
    """
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
            f"{full!r} does not say which trained weights. {there_is}. Or give a file (--weights FILE), or take its "
            f"untrained twin: '{full}@untrained'"
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
            ).visual

    if seed is not None:
        tower = untrained(build, seed)
    else:
        path = weights or cached(config)
        if path is None:
            raise not_here(f"open_clip:{base}", config.get("hf_hub") or config.get("url", ""))
        with loading(path, f"open_clip:{base}"):
            tower = build(str(path))
    return network(
        tower.eval(),
        id=f"open_clip:{name}",
        source="open_clip",
        preprocess=_preprocessing(tower),
        layers=layers,
        training_data="none" if seed is not None else "unknown" if weights else f"open_clip tag {tag!r}",
    )


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
