"""File > Open and drag and drop: image time series, models and maps of the engine, and labels of the open scene."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Reader = Callable[[str], list[Any]]

IMAGES = {".tif", ".tiff", ".vrt", ".jp2"}
OTHERS = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".npy", ".csv", ".svg", ".czi", ".lif", ".nd2", ".mp4", ".avi"}
PARCELS = {".gpkg", ".geojson", ".shp", ".fgb", ".geoparquet"}
NOTHING = [(None,)]  # npe2: understood, but no layer comes of it


def get_reader(path: str | list[str]) -> Reader | None:
    """Return a reader if the path looks like one of ours, or like a format that the engine reads."""
    if isinstance(path, list):
        return None
    place, kind = Path(path), Path(path).suffix.lower()
    if (place / "prediction.json").is_file() or _is_exported(place):
        return _told(read_prediction)
    if (place / "card.json").is_file():
        return _told(read_model)
    if (place.is_dir() and _holds_images(place)) or (kind in IMAGES and place.with_suffix(".json").is_file()):
        return _told(read_season)
    if kind in PARCELS or (kind in IMAGES and _scene_is_open()):
        return _told(read_labels)
    return _told(read_season) if kind not in {*OTHERS, *IMAGES} and _engine_knows(place) else None


def read_season(path: str) -> list[Any]:
    """Open a cube as a colour time series."""
    from cscl.data.readers import open_cube

    from .bridge import season_layer

    return [season_layer(open_cube(path))]


def read_prediction(path: str) -> list[Any]:
    """Open a predicted crop map."""
    from cscl.data.maps import open_map

    from .bridge import prediction_layer

    return [prediction_layer(open_map(path))]


def read_model(path: str) -> list[Any]:
    """Hand a model folder to the panel."""
    from ._panel import open_panel

    panel = open_panel()
    if panel is not None:
        panel.act(lambda: panel.session.open_model(path))
        panel.pages.turn_to(panel.model)
    return NOTHING


def read_labels(path: str) -> list[Any]:
    """Hand parcels or a label raster to the panel, which puts them onto the open images."""
    from cscl.errors import InputError

    from ._panel import open_panel

    panel = open_panel()
    if panel is None or panel.session.cube is None:
        raise InputError(f"Open images before the parcels {Path(path).name}: parcels are shown on their pixels.")
    panel.act(lambda: panel.data.open_labels(path))
    return NOTHING


def _is_exported(place: Path) -> bool:
    """Whether it is an exported crop map, or the folder of one: only these have a side-car with names."""
    if not any(Path(f"{file}.aux.xml").is_file() for file in (place, place / "crop_map.tif")):
        return False
    from cscl.data.maps import exported_map

    return exported_map(place) is not None


def _scene_is_open() -> bool:
    """Whether images are open for a label raster to lie on; without them a raster is anybody's image."""
    from ._panel import panel_of_current_viewer

    panel = panel_of_current_viewer()
    return panel is not None and panel.session.cube is not None


def _holds_images(folder: Path) -> bool:
    """Whether a folder is a season: images, or nothing at all, which is worth a sentence."""
    inner = folder / "images"
    files = list((inner if inner.is_dir() else folder).iterdir())
    return not files or any(file.suffix.lower() in IMAGES for file in files)


def _engine_knows(path: Path) -> bool:
    """Whether one of the engine's readers opens it; the first question takes a second, as they are loaded for it."""
    from .opening import opens

    return opens(path)


def _told(reader: Reader) -> Reader:
    """Open the panel beside what is read, and turn a user's mistake into a message: nothing is half open then."""

    def read(path: str) -> list[Any]:
        from napari.utils.notifications import show_error

        from cscl.errors import CSCLError

        from ._panel import open_panel

        try:
            layers = reader(path)
        except (CSCLError, OSError) as error:
            show_error(str(error))
            return NOTHING
        open_panel()
        return layers

    return read
