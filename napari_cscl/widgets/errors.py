"""Errors panel."""

from __future__ import annotations

from .panel import Panel

__all__ = ["ErrorsPanel"]


class ErrorsPanel(Panel):
    """Where the map is wrong, and at which boundaries."""

    title = "Errors"
    purpose = "Where the map is wrong, and at which boundaries"
