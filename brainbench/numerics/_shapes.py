"""Shape annotations. jaxtyping checks them under pytest; where it is absent they are plain text."""

from __future__ import annotations

try:
    from jaxtyping import Bool, Float, Int
except ModuleNotFoundError:

    class _Unchecked:
        def __class_getitem__(cls, item: object) -> type:
            return cls

    Bool = Float = Int = _Unchecked  # type: ignore[assignment]

__all__ = ["Bool", "Float", "Int"]
