"""The panel comes along with what it is for: opening images in a viewer opens the panel beside them."""

from __future__ import annotations

from typing import Any

__all__ = ["open_panel"]


def open_panel() -> Any:
    """Give the viewer that is on top the CSCL panel, unless it has it; return the panel, None without a window."""
    from napari import current_viewer

    viewer = current_viewer()
    window = getattr(viewer, "window", None)
    if window is None:
        return None
    for widget in window.dock_widgets.values():
        if type(widget).__name__ == "CSCLDock":
            return widget
    return window.add_plugin_dock_widget("napari-cscl", "CSCL")[1]
