"""Jobs that open images and labels for the viewer: what they find, and the layers that show it. No Qt."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.cube import SITSCube
from cscl.data.readers import ReadOptions, open_cube, readers
from cscl.data.scenes import LabelOptions, is_vector, labelling, reading_parcels
from cscl.data.warp import warped_labels
from cscl.events import Job, Progress
from cscl.grid import GeoBox, make_grid, same
from cscl.legend import Legend
from cscl.parcels import Parcels, columns_in
from cscl.products import LabelMap
from cscl.raster import facts

from .bridge import LayerData, labels_layer, parcels_layer, season_layer
from .composite import Composite

__all__ = [
    "Images", "Labels", "count_usable", "elsewhere", "facts_of", "files_that_open", "is_small", "labels_at_hand",
    "labels_facts_of", "likely_crop_column", "open_images", "open_labels", "opens", "place_in_words", "presented",
    "show_images", "usable_share",
]  # fmt: skip

SMALL_BYTES, SMALL_FILES = 20_000_000, 100
SAMPLES, SAMPLED_PX = 4, 100
SLOW_S = 0.5
SLOW = (
    "a date takes some {:.0f} s to appear as a whole: the files hold no smaller copies of it. "
    "For GeoTIFFs, <i>gdaladdo -r average FILE 2 4 8</i> adds them."
)


@dataclass(frozen=True, eq=False)
class Images:
    """Images that were opened.

    Parameters
    ----------
    cube : SITSCube
        The images.
    layer : LayerData or None
        How they are shown; None where they lie elsewhere than the open scene.
    usable : ndarray or None
        Share of usable pixels of each date, 0..1; None where it was not counted, because it would take seconds.
    """

    cube: SITSCube
    layer: LayerData | None = field(default=None, repr=False)
    usable: NDArray[np.float64] | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels that were opened, the columns of their parcels, the layers that show them, and what there is to say."""

    labels: LabelMap
    parcels: Parcels | None
    columns: tuple[str, ...]
    layers: tuple[LayerData, ...] = field(repr=False)
    facts: tuple[tuple[str, str], ...] = ()


def is_small(what: str | Path | SITSCube) -> bool:
    """Whether opening or showing this surely takes less than a fifth of a second, so that it need not be a job."""
    if isinstance(what, SITSCube):
        return what.nbytes < 5 * SMALL_BYTES
    place = Path(what)
    if not place.is_dir():
        remote = place.suffix.lower() == ".json"  # what it lists may lie anywhere
        return not place.exists() or (place.stat().st_size < SMALL_BYTES / 10 and not remote)
    inner = place / "images"
    left = SMALL_BYTES
    for number, path in enumerate((inner if inner.is_dir() else place).rglob("*")):
        left -= path.stat().st_size if path.is_file() else 0
        if number >= SMALL_FILES or left < 0:
            return False
    return True


def files_that_open() -> str:
    """Patterns of files that hold images, for a dialog: whatever the readers say of themselves."""
    patterns = dict.fromkeys(p for name in readers.names() for p in readers.get(name).files)
    return f"Images ({' '.join(patterns)});;All files (*)"


def opens(path: Path) -> bool:
    """Whether a reader knows a file or folder by its look; readers that take anything of a kind are not asked."""
    try:
        known = [readers.get(name) for name in readers.names()]
        return any(reader.matches(path) for reader in known if not reader.loosely)
    except OSError:
        return False


def open_images(path: str | Path, scene: GeoBox | None = None, reading: ReadOptions | None = None) -> Job[Images]:
    """Open a cube, and get it ready to be shown if it lies on the grid of the open scene, or if none is open."""
    yield Progress("opening", 0, 3, "part")
    cube = open_cube(path, reading or ReadOptions())
    if scene is not None and not same(scene, cube.grid):
        return Images(cube)
    return (yield from show_images(cube))


def show_images(cube: SITSCube, composite: str | Composite = "true colour", masked: bool = True) -> Job[Images]:
    """Get a cube ready to be shown: its stretch and, of a small one, how much of each date is usable."""
    yield Progress("opening", 1, 3, "part")
    layer = season_layer(cube, composite, masked=masked)
    yield Progress("opening", 2, 3, "part")
    usable = usable_share(cube) if is_small(cube) else None
    yield Progress("opening", 3, 3, "part")
    return Images(cube, layer, usable)


def usable_share(cube: SITSCube) -> NDArray[np.float64]:
    """Share of usable pixels of each date, 0..1: of a small cube from afar, of a large one from a few windows."""
    if is_small(cube):
        return np.asarray(cube.coarser(max(cube.shape) // SAMPLED_PX).read()[1].mean(axis=(1, 2)))
    return cube.select(bands=cube.bands[:1]).valid_share(SAMPLES)


def count_usable(cube: SITSCube) -> Job[Images]:
    """Find out how much of each date is usable."""
    yield Progress("looking at all dates", 0, 1, "part")
    return Images(cube, None, usable_share(cube))


def open_labels(
    path: str | Path, grid: GeoBox, column: str | None = None, known: Legend | None = None, warp: bool = False
) -> Job[Labels]:
    """Open parcels or a label raster on the grid of the scene, and get them ready to be shown.

    Parameters
    ----------
    path : path
        Polygons of any CRS, or a raster of class ids.
    grid : GeoBox
        Of the scene.
    column : str, optional
        Column of the parcels that holds the crop; by default the one that most likely does.
    known : Legend, optional
        Legend of the model: crops that it holds keep their ids.
    warp : bool
        Whether a raster on another grid is put onto this one, or refused.

    Raises
    ------
    CSCLError
        If they cannot be read or lie elsewhere.
    """
    yield Progress("opening labels", 0, 3, "part")
    parcels, columns = None, ()
    if is_vector(path):
        columns = tuple(columns_in(path))
        options = LabelOptions(class_column=column or likely_crop_column(columns))
        parcels = yield from reading_parcels(path, options)
        yield Progress("opening labels", 1, 3, "part")
        labels = yield from labelling(parcels, grid, _with_legend(options, Path(path), parcels), known)
    else:
        labels = _label_raster(Path(path), grid, warp)
    yield Progress("opening labels", 2, 3, "part")
    opened = presented(labels, parcels, columns)
    yield Progress("opening labels", 3, 3, "part")
    return opened


def presented(labels: LabelMap, parcels: Parcels | None, columns: tuple[str, ...]) -> Labels:
    """Get labels on the grid of the scene ready to be shown; reads every pixel."""
    layers = [labels_layer(labels, labels.grid, parcels)] if len(labels.legend) else []
    if labels.parcel_ids is not None:
        layers.append(parcels_layer(labels, labels.grid, parcels))
    return Labels(labels, parcels, columns, tuple(layers), labels_facts_of(labels, parcels))


def labels_at_hand(labels: LabelMap, parcels: Parcels | None) -> Labels:
    """Describe labels that were opened elsewhere; their parcels can be opened again if their file is still there."""
    file = parcels.path if parcels is not None else None
    columns = tuple(columns_in(file)) if file is not None and file.exists() else ()
    small = labels.ids.nbytes < SMALL_BYTES / 10
    return Labels(labels, parcels, columns, (), labels_facts_of(labels, parcels) if small else ())


def _with_legend(options: LabelOptions, path: Path, parcels: Parcels) -> LabelOptions:
    """Take names and colours from a legend.csv beside the parcels, if it knows most of their crops."""
    near = path.with_name("legend.csv")
    if not near.is_file() or not parcels.codes:
        return options
    codes = Legend.from_csv(near).id_by_code()
    known = sum(code in codes for code in parcels.codes)
    return replace(options, legend=str(near)) if known > len(parcels.codes) / 2 else options


def _label_raster(path: Path, grid: GeoBox, warp: bool) -> LabelMap:
    if not warp:
        return LabelMap.open(path, grid)
    raster = facts(path)
    own = make_grid(raster.shape, raster.transform, raster.crs, str(path))
    return warped_labels(LabelMap.open(path, own), grid)


def likely_crop_column(columns: Any) -> str | None:
    """Column that most likely holds the crop, by its name; the first one if none does, None if there is none."""
    words = ("crop", "code_cultu", "class", "code", "lulc")
    found = [c for word in words for c in columns if word in c.lower() and "name" not in c.lower()]
    return next(iter((*found, *(c for c in columns if c != "parcel_id"))), None)


def elsewhere(path: str | Path, grid: GeoBox) -> GeoBox | None:
    """Grid of a label raster that does not lie on the grid of the scene; None if it does, and for polygons."""
    if is_vector(path):
        return None
    raster = facts(path)
    own = make_grid(raster.shape, raster.transform, raster.crs, str(path))
    return None if same(own, grid) else own


def place_in_words(grid: GeoBox) -> str:
    """Say where a grid lies: its reference system, size and pixel."""
    unit = "°" if grid.crs is not None and grid.crs.geographic else "m"
    rows, cols = grid.shape
    return f"{grid.crs}, {rows} x {cols} pixels of {abs(grid.resolution.x):.5g} {unit}"


def facts_of(images: Images) -> list[tuple[str, str]]:
    """Describe open images: pairs of a word and what there is to say."""
    cube, days = images.cube, images.cube.dates.astype("datetime64[D]")
    span = f"{days[0]}" if len(days) == 1 else f"{days[0]} to {days[-1]}"
    told = [
        ("Dates", f"{len(days)}, {span}"),
        ("Bands", " ".join(cube.bands)),
        ("Grid", place_in_words(cube.grid)),
        ("Mask", "clouds and the like are known" if cube.clear is not None else "none; only missing data are known"),
    ]
    if images.usable is not None:
        empty = int((images.usable == 0).sum())
        none = f"; nothing on {empty} {'date' if empty == 1 else 'dates'}" if empty else ""
        told.insert(1, ("Usable", f"{images.usable.mean():.0%} of the pixels of a date, on average{none}"))
    if (
        images.layer is not None
        and isinstance(images.layer[0], list)
        and (seconds := images.layer[0][-1].seconds) > SLOW_S
    ):
        told.append(("Speed", SLOW.format(seconds)))
    return told


def labels_facts_of(labels: LabelMap, parcels: Parcels | None) -> tuple[tuple[str, str], ...]:
    """Describe open labels, as `facts_of` describes images; counts every pixel."""
    known = sum(labels.counts().values()) / labels.ids.size if len(labels.legend) else 0.0
    crops = f"{len(labels.legend)} crops, known for {known:.0%} of the pixels" if len(labels.legend) else "none"
    told = [("Crops", crops)]
    if labels.parcel_ids is not None and parcels is not None:
        table, codes = parcels.table, labels.legend.id_by_code()
        here = table["parcel_id"].isin(np.unique(labels.parcel_ids))
        bare = int((here & ~table["code"].isin(codes)).sum()) if codes else 0
        without = f" ({bare} without a crop)" if bare else ""
        told.insert(0, ("Parcels", f"{int(here.sum())} on the images{without}, {len(parcels)} in the file"))
    return tuple(told)
