"""Where the simulated season lies that comes with the project."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from cscl.errors import MissingError

__all__ = ["sample_season"]


def sample_season() -> Path:
    """Folder of the simulated season that comes with the project.

    Raises
    ------
    MissingError
        If it was not installed along.
    """
    plugin = find_spec("napari_cscl")
    installed = [Path(root) / "sample_data" for root in (plugin and plugin.submodule_search_locations) or ()]
    for place in (Path(__file__).parents[3] / "sample_data", *installed):
        if (place / "season" / "parcels.gpkg").is_file():
            return place / "season"
    raise MissingError("The sample season is not installed. Reinstall napari-cscl, or make one with cscl simulate.")
