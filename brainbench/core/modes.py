"""Who may read a file is for the umask to say: safetensors makes files for their owner alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def mode_of_umask(path: Path) -> Iterator[None]:
    """What writes to `path` keeps its mode; a new file has that of any new file, and is gone if writing fails."""
    new = not path.exists()
    path.touch()
    mode = path.stat().st_mode
    try:
        yield
    except BaseException:
        if new:
            path.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # not every file system has them
        path.chmod(mode)
