"""Small files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Puts the file in the place of what is there, in one step; folders are made, and nothing is left of a failure.

    Text is UTF-8, and its lines end as they do in `content`. Raises OSError where that cannot be written.
    """
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
