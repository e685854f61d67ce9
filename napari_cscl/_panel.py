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
    return _dock(viewer)


def _dock(viewer: Any) -> Any:
    """Dock the panel under the name that the menu gives it, so that the menu finds it and opens no second one."""
    from npe2 import PluginManager

    plugins = PluginManager.instance()
    panel = plugins.commands.execute("napari-cscl.dock", (viewer,))
    viewer.window.add_dock_widget(panel, name=f"CSCL ({plugins.get_manifest('napari-cscl').display_name})")
    return panel
