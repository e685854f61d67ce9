"""What tests of the real window do again and again: wait for the job, press, name the layers."""

from __future__ import annotations

from typing import Any


def finish(dock: Any, qtbot: Any) -> None:
    """Wait until no job runs."""
    qtbot.waitUntil(lambda: not dock.runner.busy, timeout=60_000)


def press(dock: Any, qtbot: Any, button: Any) -> None:
    """Press a button, and wait for the job that it starts."""
    button.click()
    finish(dock, qtbot)


def names(dock: Any) -> list[str]:
    """Names of the layers, the lowest first."""
    return [layer.name for layer in dock.viewer.layers]
