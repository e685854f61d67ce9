"""Classes and values as STAC catalogues write them: machine names, colours, bands, and what kind of file a name is."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any

from cscl.legend import Legend

__all__ = ["class_list", "known_file", "machine_name", "media_type"]

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_MEDIA = {
    ".tif": "image/tiff; application=geotiff", ".gpkg": "application/geopackage+sqlite3",
    ".parquet": "application/vnd.apache.parquet", ".png": "image/png", ".pdf": "application/pdf", ".csv": "text/csv",
    ".md": "text/markdown", ".html": "text/html", ".json": "application/json", ".geojson": "application/geo+json",
    ".toml": "application/toml", ".xml": "application/xml", ".qml": "application/xml",
    ".sld": "application/vnd.ogc.sld+xml", ".txt": "text/plain", ".onnx": "application/octet-stream; framework=onnx",
    ".safetensors": "application/octet-stream; framework=safetensors",
}  # fmt: skip

# Pattern of the name, what it is, roles. The first that fits counts.
_FILES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("crop_map.tif", "Crop map: class ids", ("data",)),
    ("confidence.tif", "Probability of the mapped class", ("data", "confidence")),
    ("probabilities.tif", "Probability of each class", ("data",)),
    ("margin.tif", "Margin between the two most probable classes", ("data", "confidence")),
    ("entropy.tif", "Entropy of the probabilities", ("data", "confidence")),
    ("edge_strength.tif", "Edge strength of the embedding", ("data",)),
    ("report/index.html", "Accuracy of the map, and its errors at boundaries", ("metadata",)),
    ("report/errors.*", "Errors of the map", ("data",)),
    ("report/*", "Part of the report on accuracy and boundary errors", ("metadata",)),
    ("parcels.*", "Parcels with their mapped crop", ("data",)),
    ("fields.*", "Fields: connected regions of one class", ("data",)),
    ("map.*", "The map as a page", ("overview",)),
    ("legend.csv", "Legend: ids, codes, names and colours", ("metadata",)),
    ("MODEL.md", "Model card", ("metadata",)),
    ("model.json", "The model as a STAC Item", ("metadata",)),
    ("recipe.toml", "Recipe of the training", ("metadata",)),
    ("*.onnx", "Network as ONNX", ("model",)),
    ("model/network.safetensors", "Weights of the network", ("model",)),
    ("model/*", "Part of the model", ("metadata",)),
)
_BESIDE = {
    ".qml": ("style", "QGIS style of "), ".sld": ("style", "SLD style of "),
    ".xml": ("metadata", "Names and colours for "),
}  # fmt: skip
_DATA = (".tif", ".gpkg", ".parquet", ".geojson")


def machine_name(text: str, taken: Iterable[str] = (), fallback: str = "class") -> str:
    """Return a name of ASCII letters, digits, ``-``, ``_`` that is not taken: ``Blé d'hiver`` is ``ble_d_hiver``."""
    spelt = text.replace("ß", "ss").replace("ø", "o").replace("Ø", "O").replace("æ", "ae").replace("ł", "l")
    plain = unicodedata.normalize("NFKD", spelt).encode("ascii", "ignore").decode()
    first = re.sub(r"[^a-z0-9-]+", "_", plain.lower()).strip("_-")[:64] or fallback
    taken = set(taken)
    return next(n for n in (first, *(f"{first}_{i}" for i in range(2, len(taken) + 3))) if n not in taken)


def class_list(legend: Legend, unknown: str = "no prediction") -> list[dict[str, Any]]:
    """Return the classes of a legend, and the id without one, for ``classification:classes`` (version 2.0.0)."""
    names: list[str] = []
    for c in legend.classes:
        names.append(machine_name(c.name, [*names, "no_data"], f"class_{c.id}"))
    classes = [
        {
            "value": c.id, "name": name, "title": c.name or c.code,
            "description": f"{c.name}, code {c.code}" + (f", of the group {c.group}" if c.group else ""),
            "color_hint": c.colour[1:].upper(),
        }
        for c, name in zip(legend.classes, names, strict=True)
    ]  # fmt: skip
    nothing = {"value": legend.ignore, "name": "no_data", "title": unknown, "description": unknown, "nodata": True}
    return [*classes, nothing]


def media_type(name: str, *, cloud_optimised: bool = False) -> str:
    """Media type of a file by its name."""
    if cloud_optimised:
        return COG
    return _MEDIA.get(PurePosixPath(name).suffix.lower(), "application/octet-stream")


def known_file(name: str) -> tuple[str, list[str]]:
    """Return what a file of an export is, in words (empty if not known), and its roles."""
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    if suffix in _BESIDE:
        role, words = _BESIDE[suffix]
        return words + path.name.removesuffix(".aux.xml").removesuffix(path.suffix), [role]
    for pattern, title, roles in _FILES:
        if fnmatch(name, pattern):
            return title, list(roles)
    return "", ["data" if suffix in _DATA else "graphic" if suffix == ".png" else "metadata"]
