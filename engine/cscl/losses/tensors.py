"""Frozen bundles of tensors that move between devices as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Tensors"]


class Tensors:
    """Base of dataclasses whose fields are tensors, or such dataclasses again."""

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Apply a function, such as a move to a device, to every tensor."""
        values: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]
        changed = {k: v.map(change) if isinstance(v, Tensors) else change(v) for k, v in values.items()}
        return type(self)(**changed)
