"""Train panel."""

from __future__ import annotations

from .panel import Panel

__all__ = ["TrainPanel"]


class TrainPanel(Panel):
    """Make a model from the open images and labels."""

    title = "Train"
    purpose = "Make a model from the open images and labels"
