"""Maps as cloud-optimised GeoTIFF, with names and colours where GIS programs look for them.

A tiled GeoTIFF is written window by window and copied by GDAL's COG driver, so memory does not grow with the area.
Class maps are compressed without predictor (differences of class ids mean nothing) and their overviews take the
nearest pixel (a mean of class ids means nothing either).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree as ET
from zlib import crc32

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

from cscl.aside import side_thread, waited
from cscl.errors import InputError
from cscl.events import Job, Progress
from cscl.grid import GeoBox, Window, tile_count, tiles
from cscl.legend import Legend
from cscl.products import Prediction

from .draft import draft, refuse
from .styles import raster_style, xml_text

__all__ = ["CROPS", "SHARES", "Band", "copy_cog", "export_classes", "export_shares", "write_cog"]

CROPS = "predicted crop class"
SHARES = {
    "confidence": "probability of the predicted class",
    "margin": "probability of the predicted class less that of the runner-up",
    "probabilities": "probability of each class",
}
_REMEDIES = {
    "margin": "Predict again, or leave it out.",
    "probabilities": "Predict again with --probabilities, or leave them out.",
}
WINDOW_PX = 1024
BLOCK_PX = 512
COPY_BYTES = 2**28  # that GDAL may keep while it copies; with more it is hardly quicker


@dataclass(frozen=True)
class Band:
    """What a map says about its values.

    Parameters
    ----------
    dtype : str
        Type of the values.
    nodata : int
        Value that means no data.
    description : str
        What the values are, in a few words.
    overviews : {'nearest', 'average'}
        How pixels are merged for the smaller copies.
    colours : mapping of int to (red, green, blue)
        Colour table; empty for none. Only for uint8.
    scale : float
        Meaning of the stored numbers: ``value = stored * scale``.
    names : tuple of str
        Where the map has a first axis of several bands: what each is.
    """

    dtype: str
    nodata: int
    description: str
    overviews: Literal["nearest", "average"] = "nearest"
    colours: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)
    scale: float = 1.0
    names: tuple[str, ...] = ()


def write_cog(
    read: Callable[[Window], NDArray[Any]],
    grid: GeoBox,
    band: Band,
    path: str | Path,
    *,
    overwrite: bool = False,
    inputs: Iterable[str | Path] = (),
) -> Job[Path]:
    """Write a map as cloud-optimised GeoTIFF.

    Parameters
    ----------
    read : callable
        Gives the values of a window, axes (y, x) or (band, y, x), in the band's dtype. Called once for each window,
        row by row.
    grid : GeoBox
        Shape, transform and CRS; all are stored to full double precision.
    band : Band
        Type, nodata, colours.
    path : path
        File to make; its folder must exist.
    overwrite : bool
        Replace a former file, once the new one is whole.
    inputs : iterable of path
        Files that must not be written over.

    Raises
    ------
    OutputError
        If the file cannot or must not be written.
    """
    path = Path(path)
    refuse(path, overwrite=overwrite, inputs=inputs)
    with draft(path.parent, path.name) as folder:
        yield from _fill(folder / path.name, read, grid, band)
    return path


def export_classes(
    prediction: Prediction, path: str | Path, *, overwrite: bool = False, inputs: Iterable[str | Path] = (),
    description: str = CROPS,
) -> Job[Path]:  # fmt: skip
    """Write the crop map: class ids as COG, class names and counts in ``.aux.xml``, a QGIS style in ``.qml``.

    Any other map of classes can be written so, too, with its own `description` of what the values are.

    Raises
    ------
    OutputError
        If a file cannot or must not be written.
    """
    path, legend = Path(path), prediction.legend
    refuse(path, overwrite=overwrite, inputs=inputs)
    counts = np.zeros(65536, np.int64)

    def read(window: Window) -> NDArray[Any]:
        ids = prediction.ids[window.slices].values.astype(legend.dtype, copy=False)
        counts[:] += np.bincount(ids.ravel(), minlength=65536)
        return ids

    # Nodata is white where a program draws it all the same: black, as GDAL has it, would look like a class.
    colours = {legend.ignore: (255, 255, 255), **{c.id: c.rgb for c in legend.classes}}
    band = Band(legend.dtype.name, legend.ignore, description, "nearest", colours if legend.dtype == np.uint8 else {})
    with draft(path.parent, path.name) as folder:
        yield from _fill(folder / path.name, read, prediction.grid, band)
        _add_categories(folder / f"{path.name}.aux.xml", legend, counts)
        (folder / path.with_suffix(".qml").name).write_text(raster_style(legend), encoding="utf-8")
    return path


def export_shares(
    prediction: Prediction, what: str, path: str | Path, *, overwrite: bool = False, inputs: Iterable[str | Path] = ()
) -> Job[Path]:
    """Write how probable classes are as COG: uint8 with a scale of 1/250, 255 for no data.

    Parameters
    ----------
    prediction : Prediction
        The map.
    what : str
        Of `SHARES`: ``confidence`` and ``margin`` are of the predicted class, ``probabilities`` have a band for each
        class, in the order of the legend.
    path, overwrite, inputs
        As for `write_cog`.

    Raises
    ------
    InputError
        If the map was made without.
    OutputError
        If the file cannot or must not be written.
    """
    values = getattr(prediction, what)
    if values is None:
        raise InputError(f"The map {prediction.name} holds no {what}. {_REMEDIES[what]}")
    names = tuple(f"probability of {c.name}" for c in prediction.legend.classes) if values.ndim == 3 else ()
    band = Band("uint8", 255, SHARES[what], "average", scale=1 / 250, names=names)

    def read(window: Window) -> NDArray[Any]:
        return np.asarray(values[..., *window.slices].values, np.uint8)

    return (yield from write_cog(read, prediction.grid, band, path, overwrite=overwrite, inputs=inputs))


def _fill(path: Path, read: Callable[[Window], NDArray[Any]], grid: GeoBox, band: Band) -> Job[None]:
    shape = int(grid.shape[0]), int(grid.shape[1])
    plain = path.with_name(path.name + ".plain.tif")
    total = tile_count(shape, WINDOW_PX)
    sums = []
    with _open_plain(plain, grid, band) as dst:
        for done, window in enumerate(tiles(shape, WINDOW_PX)):
            yield Progress(f"writing {path.name}", done, total, "window")
            values = read(window)
            dst.write(values if band.names else values[None], window=_place(window))
            sums.append(crc32(values.tobytes()))
    yield Progress(f"writing {path.name}", total, total, "window")
    with side_thread() as thread:  # GDAL does not say how far it is
        copying = thread.submit(copy_cog, plain, path, band.overviews)
        yield from waited(copying, Progress(f"compressing {path.name}", 0, 1, "file"))
    plain.unlink()
    # A disk that fills while GDAL closes a file goes unreported, so only reading it again tells whether it is whole.
    with rasterio.open(path) as src:
        for done, window in enumerate(tiles(shape, WINDOW_PX)):
            yield Progress(f"checking {path.name}", done, total, "window")
            if crc32(src.read(window=_place(window)).tobytes()) != sums[done]:
                raise OSError("what is read back is not what was written")
    yield Progress(f"checking {path.name}", total, total, "window")


def _place(window: Window) -> RasterioWindow:
    return RasterioWindow(window.col, window.row, window.width, window.height)


def copy_cog(plain: Path, path: Path, overviews: Literal["nearest", "average"]) -> None:
    """Copy a GeoTIFF to a cloud-optimised one.

    Raises
    ------
    OSError
        If GDAL cannot, e.g. because the disk is full.
    """
    options = {
        "blocksize": BLOCK_PX,
        "compress": "DEFLATE",
        "predictor": "NO" if overviews == "nearest" else "YES",
        "overview_resampling": overviews.upper(),
        "bigtiff": "IF_SAFER",
        "num_threads": "ALL_CPUS",
    }
    try:
        with rasterio.Env(GDAL_CACHEMAX=COPY_BYTES):
            rasterio.shutil.copy(plain, path, driver="COG", **options)
    except Exception as error:  # GDAL's errors arrive here as private kinds, or as SystemError, with no common base
        raise OSError(f"GDAL cannot copy it: {error}") from error


def _open_plain(path: Path, grid: GeoBox, band: Band) -> Any:
    layout = {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "compress": "lzw", "bigtiff": "if_safer"}
    dst = rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=grid.shape[0],
        width=grid.shape[1],
        count=len(band.names) or 1,
        dtype=band.dtype,
        nodata=band.nodata,
        crs=str(grid.crs),
        transform=grid.transform,
        **layout,
    )
    for number, name in enumerate(band.names or (band.description,), 1):
        dst.set_band_description(number, name)
    dst.update_tags(AREA_OR_POINT="Area")
    if band.scale != 1:
        dst.scales = (band.scale,) * dst.count
    if band.colours:
        dst.write_colormap(1, {value: (*rgb, 255) for value, rgb in band.colours.items()})
    return dst


# Columns of the attribute table: name, GDAL's code of the type (0 integer, 2 text), GDAL's code of the use
# (5 value, 1 pixel count, 2 name, 0 anything, 6 7 8 red green blue).
_COLUMNS = (
    *(("Value", 0, 5), ("Count", 0, 1), ("Name", 2, 2), ("Code", 2, 0), ("Group", 2, 0)),
    *(("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8)),
)


def _add_categories(path: Path, legend: Legend, counts: NDArray[np.int64]) -> None:
    """Add class names to the side-car, keeping what GDAL may have put there (a CRS that GeoTIFF cannot hold)."""
    root = ET.parse(path).getroot() if path.exists() else ET.Element("PAMDataset")
    found = root.find("PAMRasterBand")
    band = ET.SubElement(root, "PAMRasterBand", band="1") if found is None else found
    names = {legend.ignore: "unknown", **{c.id: c.name for c in legend.classes}}
    categories = ET.SubElement(band, "CategoryNames")
    for value in range(max(legend.ids) + 1):
        # The position in the list is the value, so every gap needs an entry.
        ET.SubElement(categories, "Category").text = xml_text(names.get(value, ""))
    table = ET.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    for index, (name, kind, use) in enumerate(_COLUMNS):
        column = ET.SubElement(table, "FieldDefn", index=str(index))
        for tag, text in (("Name", name), ("Type", str(kind)), ("Usage", str(use))):
            ET.SubElement(column, tag).text = text
    for index, c in enumerate(legend.classes):
        row = ET.SubElement(table, "Row", index=str(index))
        for cell in (c.id, counts[c.id], c.name, c.code, c.group, *c.rgb):
            ET.SubElement(row, "F").text = xml_text(str(cell))
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="utf-8")
