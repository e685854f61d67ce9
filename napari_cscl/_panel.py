"""The panel comes along with what it is for: opening images in a viewer opens the panel beside them."""

from __future__ import annotations

from typing import Any

__all__ = ["open_panel", "panel_of_current_viewer"]


def open_panel() -> Any:
    """Give the viewer that is on top the CSCL panel, unless it has it; return the panel, None without a window."""
    from napari import current_viewer

    viewer = current_viewer()
    if getattr(viewer, "window", None) is None:
        return None
    return panel_of_current_viewer() or _dock(viewer)


def panel_of_current_viewer() -> Any:
    """Return the CSCL panel of the viewer that is on top; None where it has none."""
    from napari import current_viewer

    window = getattr(current_viewer(), "window", None)
    docks = window.dock_widgets.values() if window is not None else ()
    return next((widget for widget in docks if type(widget).__name__ == "CSCLDock"), None)


def _dock(viewer: Any) -> Any:
    """Dock the panel under the name that the menu gives it, so that the menu finds it and opens no second one."""
    from npe2 import PluginManager

    plugins = PluginManager.instance()
    panel = plugins.commands.execute("napari-cscl.dock", (viewer,))
    viewer.window.add_dock_widget(panel, name=f"CSCL ({plugins.get_manifest('napari-cscl').display_name})")
    return panel
