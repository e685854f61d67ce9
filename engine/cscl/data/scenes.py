"""From a file of labels to a label map: polygons are rasterised, rasters must lie on the grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import psutil

from cscl.errors import InputError, MemoryLimitError, MissingError
from cscl.events import Job, run
from cscl.grid import GeoBox
from cscl.legend import Legend
from cscl.mapping import CodeMapping
from cscl.parcels import Parcels, rasterising
from cscl.products import LabelMap

from .readers.eopatch import timeless
from .stac import is_stac

__all__ = [
    "LabelOptions", "is_vector", "label_bytes", "label_map", "labelling", "open_labels", "open_parcels",
    "reading_labels", "reading_parcels", "require_room", "with_crops",
]  # fmt: skip

BYTES_A_PIXEL = 12  # class, parcel and side, and what comes and goes while they are made
VECTOR = {".gpkg", ".geojson", ".json", ".shp", ".fgb", ".parquet", ".geoparquet"}


@dataclass(frozen=True)
class LabelOptions:
    """How labels are read."""

    class_column: Annotated[str | None, {"tooltip": "Column of the parcels that holds the crop code"}] = None
    name_column: Annotated[str | None, {"tooltip": "Column that holds readable crop names"}] = None
    id_column: Annotated[str | None, {"tooltip": "Column of the parcels' ids, numbers or text"}] = None
    layer: Annotated[str | None, {"tooltip": "Layer of a file that holds several"}] = None
    parcels_crs: Annotated[
        str | None, {"tooltip": "CRS of parcels that come without one, or with a wrong one, e.g. EPSG:2154"}
    ] = None
    legend: Annotated[str | None, {"tooltip": "CSV with columns code,name,colour,group: classes to keep"}] = None
    label_nodata: Annotated[int | None, {"tooltip": "Value of a label raster that means unknown"}] = None
    align: Annotated[
        Literal["no", "scene", "tiles", "parcels"],
        {
            "tooltip": "Move outlines back onto the edges in the images before they are rasterised, if their offset is "
            "clear: no, scene (all alike), tiles, or parcels (each by itself)"
        },
    ] = "no"
    mapping: Annotated[
        str | None, {"tooltip": "CSV with columns code,class[,name,colour,group], or of EuroCrops: codes to classes"}
    ] = None
    hcat_level: Annotated[
        int | None, {"min": 1, "max": 5, "tooltip": "Merge HCAT codes by so many pairs of digits, e.g. 3 for cereals"}
    ] = None


def is_vector(path: str | Path) -> bool:
    """Whether a file is taken for polygons by its name."""
    return Path(path).suffix.lower() in VECTOR


def open_parcels(path: str | Path, options: LabelOptions) -> Parcels:
    """Read parcels, as `reading_parcels` does, without a word on the way."""
    return run(reading_parcels(path, options))


def reading_parcels(path: str | Path, options: LabelOptions) -> Job[Parcels]:
    """Read parcels as the options say, with classes for codes where they name a mapping or an HCAT level.

    Raises
    ------
    CSCLError
        If the file cannot be read, or lists images; if the mapping cannot, or no class column is named for it.
    """
    if is_vector(path) and is_stac(path):
        raise InputError(f"{path} lists images (STAC items), not parcels. Give it as the images.")
    mapping = CodeMapping.from_csv(options.mapping, options.hcat_level) if options.mapping else None
    parcels = yield from Parcels.opening(
        path, options.class_column, id_column=options.id_column, layer=options.layer, crs=options.parcels_crs
    )
    if mapping is None and options.hcat_level is not None:
        names = with_crops(parcels).legend(options.name_column).classes
        known = {c.code: c.name.replace("_", " ") for c in names}
        mapping = CodeMapping({code: code for code in known}, known).merged(options.hcat_level)
    return parcels if mapping is None else with_crops(parcels).mapped(mapping)


def open_labels(
    path: str | Path, grid: GeoBox, options: LabelOptions, *, classes: bool = True, known: Legend | None = None
) -> LabelMap:
    """Read labels onto a grid, as `reading_labels` does, without a word on the way."""
    return run(reading_labels(path, grid, options, classes=classes, known=known))


def reading_labels(
    path: str | Path, grid: GeoBox, options: LabelOptions, *, classes: bool = True, known: Legend | None = None
) -> Job[LabelMap]:
    """Read labels onto a grid.

    Parameters
    ----------
    path : path
        Parcels as polygons, or a label raster on the grid, which may be a timeless mask of an EOPatch.
    grid : GeoBox
        Grid of the images, or a finer one for finer maps: `cscl.grid.refined`.
    options : LabelOptions
        Columns, legend and the like.
    classes : bool
        Whether crop classes are wanted; without, outlines are enough.
    known : Legend, optional
        Legend of a model or of another scene: crop codes that it holds get its ids, further codes get free ones, so
        that an id means one crop everywhere. A legend file in the options goes before it.

    Raises
    ------
    CSCLError
        Unreadable, elsewhere on earth, or no class column named where classes are wanted; or outlines are to be moved
        onto images, which `cscl.inference.align_labels.read_labels` does.
    """
    if options.align != "no":
        raise InputError(
            "Outlines are moved onto images only where these are at hand, as in training. Move them first, with "
            f"cscl align IMAGES PARCELS OUT --by {options.align}, and give the file that it writes."
        )
    if not Path(path).exists():
        raise MissingError(f"There is no label file {path}.")
    require_room(grid, f"The labels {path}")
    if not is_vector(path):
        legend = Legend.from_csv(options.legend) if options.legend else None
        patch = timeless(Path(path))
        if patch is None:
            return LabelMap.open(path, grid, legend, options.label_nodata)
        return LabelMap.of(*patch, grid, legend, options.label_nodata, Path(path))
    parcels = yield from reading_parcels(path, options)
    return (yield from labelling(with_crops(parcels) if classes else parcels, grid, options, known))


def with_crops(parcels: Parcels) -> Parcels:
    """Return the parcels if their crops are known.

    Raises
    ------
    InputError
        If no column of their file was named.
    """
    if parcels.class_column is None:
        columns = list(parcels.columns)
        raise InputError(
            f"Say which column of {parcels.path} holds the crop with --class-column. It has: "
            f"{', '.join(columns) or 'none'}."
        )
    return parcels


def label_map(parcels: Parcels, grid: GeoBox, options: LabelOptions, known: Legend | None = None) -> LabelMap:
    """Rasterise parcels, as `labelling` does, without a word on the way."""
    return run(labelling(parcels, grid, options, known))


def labelling(parcels: Parcels, grid: GeoBox, options: LabelOptions, known: Legend | None = None) -> Job[LabelMap]:
    """Rasterise parcels with the legend of the options, or of what is `known`, or of the parcels themselves.

    Raises
    ------
    CSCLError
        If the legend file cannot be read, no parcel lies on the grid, or the memory does not hold its pixels.
    """
    require_room(grid, f"The labels {parcels.name}")
    if options.legend:
        return (yield from rasterising(parcels, grid, Legend.from_csv(options.legend)))
    own = parcels.legend(options.name_column) if options.class_column else Legend(())
    names = {c.code: c.name for c in own.classes}
    legend = own if known is None else known.extended(parcels.codes, names)
    return (yield from rasterising(parcels, grid, legend))


def label_bytes(grid: GeoBox) -> int:
    """Memory that labels take on a grid, and what learns from them holds beside them."""
    rows, cols = grid.shape
    return int(BYTES_A_PIXEL * rows * cols)


def require_room(grid: GeoBox, what: str, bytes_a_pixel: int = BYTES_A_PIXEL) -> None:
    """Refuse more pixels than the memory holds: at 2.5 m a scene has 16 times those of its images.

    Raises
    ------
    MemoryLimitError
        The message names `what`, a plural, and what they take.
    """
    (rows, cols), free = grid.shape, psutil.virtual_memory().available
    needed = bytes_a_pixel * rows * cols
    if needed > free:
        raise MemoryLimitError(
            f"{what} take about {needed / 1e9:.0f} GB of memory at {rows} x {cols} pixels, and "
            f"{free / 1e9:.0f} GB are free. Cut the images to the part that matters, e.g. with gdal_translate -srcwin, "
            "or take coarser pixels (data.finer, or finer of a map)."
        )
