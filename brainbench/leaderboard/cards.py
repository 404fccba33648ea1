"""The model card of a submission, `model.toml`: what a score alone does not tell, declared by whoever submits it.

`submission` says how the host can check the scores. `rebuildable`: anyone can build the model from its name and the
sha256 of its weights. `features`: the features by stimulus id lie beside the card, and scores are recomputed from them.
`scores`: neither, so they stand in the open division and are never ranked with the others.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from brainbench.errors import InputError
from brainbench.leaderboard.untrusted import content_of, first_error, text_of, unclean

CARD = "model.toml"
FEATURES = "features.safetensors"
# what a card does not change in passing: who answers, how scores can be checked, and what makes them worth less
FIRM = (
    "submission",
    "submitter",
    "weights_sha256",
    "features_sha256",
    "trained_on_brain_data",
    "trained_on_benchmark_stimuli",
)
# sources that run no one's code
REBUILT_FROM = ("baseline", "bundled", "in_context", "insilico", "open_clip", "recording", "timm")
Family = Literal["cnn", "transformer", "hybrid", "mlp", "recurrent", "hand-made", "recording", "other"]
Supervision = Literal["none", "supervised", "self-supervised", "image-text", "other"]


def _shows(text: str) -> str:
    if why := unclean(text):
        raise ValueError(why)
    return text


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("is blank")
    return text


def _address(text: str) -> str:
    if text and not re.fullmatch(r"https://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~/%+?=&#@:,-]*)?", text):
        raise ValueError("an address begins with https:// and has no spaces or quotes; or leave it empty")
    return text


Line = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(_shows), AfterValidator(_filled)]
Paragraph = Annotated[str, StringConstraints(max_length=1000), AfterValidator(_shows)]
Address = Annotated[str, StringConstraints(max_length=300), AfterValidator(_address)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Superseded(_Strict):
    """A file of an earlier submission that this one takes the place of, as it was: `<folder>/<benchmark>.json`, or this
    card itself, where fields that stand firm are corrected.
    """

    path: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+@-]{0,119}/[A-Za-z0-9._+@-]{1,120}$")]
    sha256: Sha256
    reason: Line


class Card(_Strict):
    """What `model.toml` holds. `model` and `model_fingerprint` are as in the entries beside it."""

    schema_version: Literal[1] = 1
    model: Annotated[str, StringConstraints(pattern=r"^[a-z_]+:[A-Za-z0-9][A-Za-z0-9 ._+@/:(),=-]{0,150}$")]
    model_fingerprint: Sha256
    submission: Literal["rebuildable", "features", "scores"]
    weights_sha256: Sha256 | None = None
    features_sha256: Sha256 | None = None
    title: Line
    family: Family
    supervision: Supervision
    training_data: list[Line] = Field(max_length=20)
    trained_on_brain_data: bool
    trained_on_benchmark_stimuli: bool
    licence: Line
    submitter: Line
    url: Address = ""
    description: Paragraph = ""
    supersedes: list[Superseded] = Field(default=[], max_length=500)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.supervision != "none" and not self.training_data:
            raise ValueError("training_data lists what the model was trained on; it is empty only for supervision none")
        if any(name.strip().casefold() in ("unknown", "todo", "?", "-") for name in self.training_data):
            raise ValueError("training_data says what the model was trained on, and 'unknown' does not")
        if self.submission == "rebuildable" and self.weights_sha256 is None:
            raise ValueError("a rebuildable model has weights_sha256, as `model_identity.weights` of its entries")
        if self.submission == "rebuildable" and self.model.partition(":")[0] not in REBUILT_FROM:
            raise ValueError(
                f"{self.model.partition(':')[0]!r} models cannot be rebuilt by their name: submit features, or scores"
            )
        if self.submission == "rebuildable" and self.model.endswith(".safetensors"):
            raise ValueError("a checkpoint in a file cannot be rebuilt by its name: only one that is shipped can")
        if self.submission == "features" and self.features_sha256 is None:
            raise ValueError(f"a submission of features has features_sha256, that of {FEATURES} beside the card")
        return self

    @property
    def division(self) -> str:
        """`open` for scores that nobody can check, else `main`."""
        return "open" if self.submission == "scores" else "main"


def superseded(cards: Mapping[str, Card]) -> set[tuple[str, str]]:
    """The files (path below `results/`, sha256) that the cards of these folders take the place of.

    A card speaks for its own folder, and for folders of the same model from the same submitter; for nobody else's.
    """
    found = set()
    for folder, card in cards.items():
        for old in card.supersedes:
            other = cards.get(place := old.path.partition("/")[0])
            if place == folder or (other and (other.model, other.submitter) == (card.model, card.submitter)):
                found.add((old.path, old.sha256))
    return found


def read_card(path: Path) -> Card:
    """The card of a submission. Raises InputError naming the field that is missing or wrong."""
    text = text_of(content_of(path), path.name)
    # tomllib bounds neither digits nor depth, and a dotted key takes memory by the square of its parts
    if re.search(r"\d{500}", text) or text.count("[") > 2000 or any(line.count(".") > 50 for line in text.split("\n")):
        raise InputError(f"{path.name} holds no card: no field of it is so long or so deep")
    try:
        return card_of(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise InputError(f"{path.name} is not TOML: {str(error)[:200]}") from None


def card_of(facts: dict[str, Any]) -> Card:
    """The card with these facts. Raises InputError naming the field that is missing or wrong."""
    try:
        return Card.model_validate(facts)
    except ValidationError as error:
        raise InputError(first_error(error)) from None


_COMMENTS = {
    "submission": "rebuildable, features or scores: see docs/submitting.md",
    "family": f"one of {', '.join(get_args(Family))}",
    "supervision": f"one of {', '.join(get_args(Supervision))}",
    "training_data": "every set of data, such as ImageNet-1k; empty for an untrained model alone",
    "trained_on_brain_data": "whether any recording of a brain had a say in the weights",
    "trained_on_benchmark_stimuli": "whether any stimulus of these benchmarks was among the training data",
    "submitter": "who answers for this submission, as it shall be shown",
    "url": "where to read of the model, https only; may stay empty",
}


def as_toml(facts: dict[str, Any]) -> str:
    """The text of a card; what `facts` lack is left open, with a word on what goes there."""
    lines = []
    for name, field in Card.model_fields.items():
        if name == "supersedes" or (name not in facts and not field.is_required()):
            continue
        comment = f"  # {_COMMENTS[name]}" if name in _COMMENTS else ""
        lines.append(f"{name} = {_value(facts[name])}{comment}" if name in facts else f"# {name} = ?{comment}")
    for old in facts.get("supersedes", []):
        lines += ["", "[[supersedes]]", *(f"{name} = {_value(value)}" for name, value in old.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)  # TOML reads JSON's texts, whole numbers, booleans and lists of these
