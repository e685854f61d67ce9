"""Fine-tune panel."""

from __future__ import annotations

from .panel import Panel

__all__ = ["FinetunePanel"]


class FinetunePanel(Panel):
    """Improve the model in a region that you draw."""

    title = "Fine-tune"
    purpose = "Improve the model in a region that you draw"
