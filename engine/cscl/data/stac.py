"""Which JSON files are catalogues of images (STAC) and which are polygons: told by their look, without opening them."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["is_stac", "items_at"]

_SUFFIXES = {".json", ".geojson"}
_MARK = re.compile(rb'"stac_version"\s*:')
_HEAD_BYTES = 1 << 20  # the first of many items is whole within
_SOME = 20
_IMAGES = {".tif", ".tiff", ".vrt", ".jp2", ".nc", ".zarr"}
_ZARR = {"zarr.json", ".zgroup", ".zmetadata"}  # the metadata of a store may quote those of a catalogue


def is_stac(path: str | Path) -> bool:
    """Whether a file, or a folder without images of its own, lists images: STAC items, or a catalogue of them.

    A folder of rasters with an item beside each is a folder of rasters.
    """
    path = Path(path)
    if not path.is_dir():
        return path.suffix.lower() in _SUFFIXES and path.is_file() and _marked(path)
    if any(file.suffix.lower() in _IMAGES or file.name in _ZARR for file in path.iterdir()):
        return False
    return any(_marked(file) for file in items_at(path)[:_SOME])


def items_at(folder: Path) -> list[Path]:
    """List what a folder is opened by: its ``collection.json`` or ``catalog.json``, or else all its JSON files."""
    for name in ("collection.json", "catalog.json"):
        if (folder / name).is_file():
            return [folder / name]
    files = (file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES and not file.name.startswith("."))
    return sorted(file for file in files if file.is_file())


def _marked(path: Path) -> bool:
    with path.open("rb") as file:
        return _MARK.search(file.read(_HEAD_BYTES)) is not None
