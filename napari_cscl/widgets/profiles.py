"""Profiles panel."""

from __future__ import annotations

from .panel import Panel

__all__ = ["ProfilesPanel"]


class ProfilesPanel(Panel):
    """Curves of clicked pixels over the season."""

    title = "Profiles"
    purpose = "Curves of clicked pixels over the season"
