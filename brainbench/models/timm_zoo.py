"""Every network of timm: trained, from the user's own cache or file, or its untrained twin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlparse

import torch

from brainbench.errors import AccessError, UnknownNameError
from brainbench.models import _preprocess
from brainbench.models._torchvision import prepare
from brainbench.models._weights import in_cache, loading, not_here, split_twin, untrained
from brainbench.models.module import Network, network


def load(name: str, *, layers: Sequence[str] | None = None, weights: Path | None = None) -> Network:
    """timm's network `name` ("arch" or "arch.tag", "@untrained" after it for the twin), seen as timm would show it.

    Raises UnknownNameError for a network or tag that timm does not have, AccessError where the trained weights are
    not on this machine, InputError where `weights` does not fit.
    """
    prepare()
    import timm

    base, seed = split_twin(name)
    config = _pretrained_config(base)
    if seed is not None:
        module = untrained(lambda: timm.create_model(base, pretrained=False), seed)
    else:
        path = weights or cached(config)
        if path is None and not (config.hf_hub_id or config.url):
            raise AccessError(
                f"timm has no trained weights for {base!r}: give a file (--weights FILE, of `score` and `query`), or "
                "'@untrained'"
            )
        if path is None:
            raise not_here(f"timm:{base}", config.hf_hub_id or config.url)
        overlay = {"file": str(path), "custom_load": path.suffix == ".npz"}
        with loading(path, f"timm:{base}"):
            module = timm.create_model(base, pretrained=True, pretrained_cfg_overlay=overlay)
    return network(
        module.eval(),
        id=f"timm:{name}",
        source="timm",
        preprocess=_preprocess.from_timm(config.to_dict()),
        layers=layers,
        training_data="none" if seed is not None else "unknown" if weights else f"timm tag {config.tag!r}",
        licence=config.license or "unknown",
    )


def cached(config: Any) -> Path | None:
    """The weights file of a pretrained config in the Hugging Face or torch hub cache; None where it is in neither."""
    if config.hf_hub_filename:
        filenames = [str(PurePosixPath(config.hf_hub_filename).with_suffix(".safetensors")), config.hf_hub_filename]
        filenames.insert(0, "open_clip_model.safetensors")
    else:
        filenames = ["model.safetensors", "pytorch_model.bin"]
    in_torch_hub = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(config.url or "").path).name)
    return in_cache(config.hf_hub_id or "", filenames, [in_torch_hub])


def counts() -> tuple[int, int, int]:
    """How many networks timm has, how many sets of trained weights, and how many of those are on this machine."""
    prepare()
    import timm
    from timm.models import get_pretrained_cfg

    trained = timm.list_pretrained()
    return len(timm.list_models()), len(trained), sum(cached(get_pretrained_cfg(name)) is not None for name in trained)


def _pretrained_config(name: str) -> Any:
    """timm's PretrainedCfg for "arch" or "arch.tag"."""
    import timm
    from timm.models import get_arch_pretrained_cfgs, get_pretrained_cfg

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise UnknownNameError("timm network", architecture, timm.list_models())
    tags = [known.partition(".")[2] for known in get_arch_pretrained_cfgs(architecture)]
    if tag and tag not in tags:
        raise UnknownNameError(f"trained version of timm's {architecture}", tag, filter(None, tags))
    return get_pretrained_cfg(name)
