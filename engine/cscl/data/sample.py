"""Where the simulated season lies that comes with the project, and the models trained on it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from cscl.errors import MissingError

__all__ = ["sample_model", "sample_season"]


def sample_season() -> Path:
    """Folder of the simulated season that comes with the project.

    Raises
    ------
    MissingError
        If it was not installed along.
    """
    return _folder("season", "parcels.gpkg", "The sample season", "make one with cscl simulate")


def sample_model(stage: str = "trained") -> Path:
    """Folder of the model that comes with the project: small, and trained on the simulated season alone.

    Parameters
    ----------
    stage : str
        ``"trained"``, or ``"pretrained"``: as it was after the outlines and before the crops.

    Raises
    ------
    MissingError
        If it was not installed along.
    """
    name = "model" if stage == "trained" else "model-pretrained"
    return _folder(name, "card.json", "The sample model", "make one with cscl train")


def _folder(name: str, file: str, what: str, else_do: str) -> Path:
    plugin = find_spec("napari_cscl")
    installed = [Path(root) / "sample_data" for root in (plugin and plugin.submodule_search_locations) or ()]
    for place in (Path(__file__).parents[3] / "sample_data", *installed):
        if (place / name / file).is_file():
            return place / name
    raise MissingError(f"{what} is not installed. Reinstall napari-cscl, or {else_do}.")
