"""Joint spaces of pictures and text: a network with two towers, which queries in words need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from brainbench.core.protocols import Model
from brainbench.errors import UsageError
from brainbench.models import SOURCES
from brainbench.models.features_file import FeatureTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """`model` has one layer, the points (n, e) of pictures; `texts` gives the points (t, e) of prompts."""

    model: Model | FeatureTable
    texts: Callable[[Sequence[str]], Tensor]


def load(name: str, *, weights: Path | None = None) -> Joint:
    """Both towers of `open_clip:ARCH/TAG`, or of its untrained twin.

    Raises UsageError for a model of another source, which has no text tower, and as `open_clip_zoo.joint` does.
    """
    source, colon, rest = name.partition(":")
    if colon:
        SOURCES[source]  # a name that is not known is told as such
    if source != "open_clip" or not rest:
        raise UsageError(
            f"{name!r} has no text tower, so no prompt can be placed among its features: a query needs a network with "
            "one, such as open_clip:ViT-B-32/openai"
        )
    from brainbench.models import open_clip_zoo

    return open_clip_zoo.joint(rest, weights=weights)
