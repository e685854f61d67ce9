"""Maps of this package, as they were predicted or as they were exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from cscl.errors import InputError
from cscl.export.geotiff import CROPS
from cscl.legend import CropClass, Legend
from cscl.products import Prediction
from cscl.raster import RasterFacts, facts, lazy_bands

from .attributes import read_attributes

__all__ = ["exported_map", "open_map"]

CROP_MAP = "crop_map.tif"


def open_map(path: str | Path) -> Prediction:
    """Open a map: the folder of ``cscl predict``, that of ``cscl export``, or the crop map in it.

    An exported map has the grid, ids, names and colours of the predicted one, and its confidence, margin and
    probabilities where these were exported; what it does not hold is where it comes from.

    Raises
    ------
    MissingError, InputError
        If there is no map, or it is not whole.
    """
    crop_map = exported_map(path)
    if crop_map is None:
        return Prediction.open(path)
    raster, folder = facts(crop_map), crop_map.parent
    if raster.count != 1:
        raise InputError(f"{crop_map} has {raster.count} bands, not one of class ids. Give a map of cscl export.")
    legend, ids = _legend(raster), lazy_bands(crop_map)[0]
    confidence = _beside(raster, folder / "confidence.tif")
    return Prediction(
        ids, _nothing(raster) if confidence is None else confidence[0], raster.grid(), legend,
        _beside(raster, folder / "probabilities.tif", len(legend)), {}, folder.name, folder,
        None if (margin := _beside(raster, folder / "margin.tif")) is None else margin[0],
    )  # fmt: skip


def exported_map(path: str | Path) -> Path | None:
    """Return the crop map of an export: the file itself, or that in the folder; None if it is no such thing."""
    path = Path(path)
    if (path / "prediction.json").is_file():
        return None
    found = path / CROP_MAP if path.is_dir() else path
    if read_attributes(found) is None:  # other maps of classes have one, too
        return None
    return found if found.is_file() and facts(found).descriptions == (CROPS,) else None


def _legend(raster: RasterFacts) -> Legend:
    try:
        classes = tuple(
            CropClass(
                int(row["Value"]), row["Code"], row["Name"],
                "#" + "".join(f"{int(row[colour]):02x}" for colour in ("Red", "Green", "Blue")), row.get("Group", ""),
            )
            for row in read_attributes(raster.path) or ()
        )  # fmt: skip
        return Legend(classes, int(raster.nodata if raster.nodata is not None else 255))
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{raster.path} has an attribute table, but not one of cscl export ({error}): it needs Value, Code, Name, "
            "Red, Green and Blue. Export the map again."
        ) from error


def _beside(raster: RasterFacts, path: Path, count: int = 1) -> xr.DataArray | None:
    """Open another raster of the same pixels; what lies elsewhere is of another export."""
    if not path.is_file():
        return None
    other = facts(path)
    if (other.shape, other.transform, other.count) != (raster.shape, raster.transform, count):
        raise InputError(f"{path} is not of the same map as {raster.path}. Export them again.")
    return lazy_bands(path)


def _nothing(raster: RasterFacts) -> xr.DataArray:
    """Confidence of a map that was exported without: no data everywhere, and no memory."""
    return xr.DataArray(np.broadcast_to(np.uint8(255), raster.shape), dims=("y", "x"))
