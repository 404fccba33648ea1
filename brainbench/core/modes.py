"""Who may read a file is for the umask to say: safetensors makes files for their owner alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def mode_of_umask(path: Path) -> Iterator[None]:
    """`path`, which is written inside, has the mode it had before; a new file that of any new file."""
    path.touch()
    mode = path.stat().st_mode
    yield
    with contextlib.suppress(OSError):  # not every file system has them
        path.chmod(mode)
