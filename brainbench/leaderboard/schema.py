"""The JSON Schemas of what a leaderboard holds, for tools that are not Python: `leaderboard/schema/*.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from brainbench.entry import Entry
from brainbench.errors import ResourceError
from brainbench.leaderboard.attestations import Attestation
from brainbench.leaderboard.cards import Card

SCHEMAS: dict[str, type[BaseModel]] = {"entry": Entry, "card": Card, "attestation": Attestation}


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema of an entry, a card or an attestation."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **SCHEMAS[name].model_json_schema()}


def write_schemas(folder: Path) -> list[Path]:
    """Writes all of them; gives the paths. Raises ResourceError for a folder that cannot be written."""
    paths = [folder / f"{name}.json" for name in SCHEMAS]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            path.write_text(json.dumps(schema(path.stem), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise ResourceError(f"cannot write the schemas to {folder}: {error.strerror}") from None
    return paths
