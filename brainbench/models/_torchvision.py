"""Lets torchvision be imported beside a torch that its compiled extension was not built for."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_stand_in = None  # torch.library.Library; its operators vanish when it is collected


def prepare() -> None:
    """Call before the first import of torchvision, timm or open_clip; does nothing where the extension loads.

    The packaged torchvision is a CUDA build. Beside a CPU torch its extension cannot load, and torchvision then dies
    as it describes two operators that nobody defined. None of our networks uses them: naming them is enough.
    """
    global _stand_in
    if _stand_in is not None or "torchvision" in sys.modules:
        return
    import torch

    package = importlib.util.find_spec("torchvision")  # finds it without running it
    if package is None or not package.submodule_search_locations:
        return
    folder = Path(package.submodule_search_locations[0])
    for extension in (path for suffix in ("so", "pyd", "dylib") for path in folder.glob(f"_C*.{suffix}")):
        try:
            torch.ops.load_library(str(extension))  # type: ignore[no-untyped-call]
            return
        except OSError:
            continue
    _stand_in = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    # A fragment, because somebody else may have done the same.
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            schema = f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            _stand_in.define(schema)  # type: ignore[no-untyped-call]
