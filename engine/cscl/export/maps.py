"""Pictures of places: the season, the crop map, its errors, and the edges that a network sees.

Large rasters are thinned for display: they are read window by window and every n-th pixel is kept, so that a picture of
a whole tile costs no more memory than one of a field. Maps are drawn in pixel coordinates of the whole raster.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import shapely
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from cscl.cube import SITSCube
from cscl.errors import InputError
from cscl.grid import GeoBox, Window, pixel_size_m, tiles
from cscl.parcels import Parcels
from cscl.products import LabelMap, Prediction
from cscl.report.kinds import Kind

from .colours import TRUE_COLOUR, coloured, first_bands, limits
from .paper import INK, LABEL_PT, MISSING, TITLE_PT, label_text, sheet

__all__ = ["class_map", "edge_strength_map", "error_map", "season_strip"]

MAP_PX = 1000
WINDOW_PX = 1024


def season_strip(cube: SITSCube, count: int = 6, title: str | None = None) -> Figure:
    """Show a season in true colour at several dates, one stretch for all; what is missing is grey.

    Parameters
    ----------
    cube : SITSCube
        Without red, green and blue bands its first band is shown in grey, and what is missing in orange.
    count : int
        How many dates: the season is cut into as many parts, and of each the clearest date is shown.
    title : str, optional
        Instead of the cube's name.
    """
    found = first_bands(cube, TRUE_COLOUR)
    bands = found or cube.bands[:1]
    share = cube.valid_share()
    chosen = _clearest(share, count)
    shown = cube.select(bands=bands, times=chosen)
    step = _step(cube.shape, MAP_PX // 2)
    pixels_TCYX, valid_TYX = _read_thinned(shown, step)
    what, missing = (f"true colour ({', '.join(bands)})", MISSING) if found else (f"band {bands[0]}", "#f5c58a")
    colours_TYXC = _stretch(pixels_TCYX, valid_TYX, missing)
    gaps = "" if valid_TYX.all() else f", {'grey' if found else 'orange'} where missing"
    columns = min(len(chosen), 3)
    rows = -(-len(chosen) // columns)
    aspect = _aspect(cube.grid)
    high = 3 * cube.shape[0] / cube.shape[1] * aspect
    figure = sheet(3 * columns, rows * (high + 0.3) + 0.5, f"{title or cube.name}: {what}{gaps}")
    all_axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for axes in all_axes[len(chosen) :]:
        axes.set_axis_off()
    for axes, time, picture in zip(all_axes, chosen, colours_TYXC, strict=False):
        _draw(axes, picture, cube.grid, step)
        day = str(cube.dates[time].astype("datetime64[D]"))
        part = f"  ({share[time]:.0%} valid)" if share[time] < 1 else ""
        axes.set_title(f"{day}{part}", fontsize=LABEL_PT, color=INK)
    _scale_bar(all_axes[0], cube.grid)
    return figure


def class_map(classes: Prediction | LabelMap, title: str | None = None) -> Figure:
    """Show a crop map, or known crops, in the colours of their legend; the classes that occur are named beside it."""
    predicted = isinstance(classes, Prediction)
    legend = classes.legend
    step = _step(_shape(classes.grid), MAP_PX)
    ids = _thin(lambda w: np.asarray(classes.ids[w.slices]), _shape(classes.grid), step)
    palette = np.full((65536, 3), to_rgb(MISSING))
    palette[list(legend.ids)] = [to_rgb(c.colour) for c in legend.classes]
    present = set(np.unique(ids).tolist())
    names = [(c.name, c.colour) for c in legend.classes if c.id in present]
    if present - set(legend.ids):
        names.append(("no prediction" if predicted else "unknown", MISSING))
    default = f"Predicted crops: {classes.name}" if predicted else f"Known crops: {classes.name}"
    return _map_with_names(palette[ids], classes.grid, step, names, title or default)


def error_map(error_YX: NDArray[Any], grid: GeoBox, title: str = "Where the crop map is wrong") -> Figure:
    """Show right and wrong pixels, the wrong ones by kind.

    Parameters
    ----------
    error_YX : ndarray of int
        Axes (y, x), values of `cscl.report.kinds.Kind`.
    grid : GeoBox
        Where the pixels lie.
    title : str
        Heading.

    Raises
    ------
    InputError
        If there are other codes, or the shape is not that of the grid.
    """
    _require_shape(error_YX, grid, "The error map")
    counts = np.bincount(np.asarray(error_YX).ravel().astype(np.int64), minlength=len(Kind))
    if len(counts) > len(Kind):
        raise InputError(f"An error map holds the codes 0 to {len(Kind) - 1}, this one holds {len(counts) - 1}.")
    known = max(1, counts[1:].sum())
    step = _step(_shape(grid), MAP_PX)
    palette = np.array([to_rgb(kind.colour) for kind in Kind])
    shares = [f" ({counts[kind] / known:.1%})" if kind else "" for kind in Kind]
    names = [(kind.title + shares[kind], kind.colour) for kind in Kind if counts[kind]]
    return _map_with_names(palette[error_YX[::step, ::step]], grid, step, names, title)


def edge_strength_map(
    edge_YX: NDArray[Any],
    grid: GeoBox,
    parcels: Parcels | None = None,
    title: str = "Edges that the network sees",
) -> Figure:
    """Show edge strength, with the outlines of parcels over it if there are any.

    Parameters
    ----------
    edge_YX : ndarray of float
        Axes (y, x): one minus the mean cosine similarity with the neighbours, 0..2; NaN where missing.
    grid : GeoBox
        Where the pixels lie.
    parcels : Parcels, optional
        In any CRS.
    title : str
        Heading.

    Raises
    ------
    InputError
        If the shape is not that of the grid.
    """
    _require_shape(edge_YX, grid, "The edge strength")
    step = _step(_shape(grid), MAP_PX)
    shown = np.ma.masked_invalid(np.asarray(edge_YX[::step, ::step], np.float32))
    high = float(np.percentile(shown.compressed(), 99)) if shown.count() else 1.0
    figure, axes = _map_sheet(grid, title, beside_in=0.9)
    colours = colormaps["cividis"].with_extremes(bad=MISSING)
    image = _draw(axes, shown, grid, step, cmap=colours, vmin=0, vmax=max(high, 1e-6))
    bar = figure.colorbar(image, ax=axes, shrink=0.8, extend="max")
    bar.set_label("edge strength: 1 - mean cosine with the neighbours", fontsize=LABEL_PT, color=INK)
    bar.ax.tick_params(labelsize=LABEL_PT - 1, colors=INK)
    if parcels is not None:
        axes.add_collection(LineCollection(_outlines(parcels, grid), colors="white", linewidths=0.5, alpha=0.8))
    _scale_bar(axes, grid)
    return figure


# --- reading -----------------------------------------------------------------------------------------------------


def _shape(grid: GeoBox) -> tuple[int, int]:
    return int(grid.shape[0]), int(grid.shape[1])


def _require_shape(array: NDArray[Any], grid: GeoBox, what: str) -> None:
    if array.shape != _shape(grid):
        raise InputError(f"{what} has {array.shape} pixels, the grid {_shape(grid)}. Give the grid it was made on.")


def _step(shape: tuple[int, int], most_px: int) -> int:
    return max(1, -(-max(shape) // most_px))


def _thin(read: Callable[[Window], NDArray[Any]], shape: tuple[int, int], step: int) -> NDArray[Any]:
    """Keep every `step`-th pixel of the last two axes (y, x) of what `read` gives window by window."""
    size = max(step, WINDOW_PX // step * step)
    out: NDArray[Any] | None = None
    for window in tiles(shape, size):
        part = read(window)[..., ::step, ::step]
        if out is None:
            out = np.empty((*part.shape[:-2], -(-shape[0] // step), -(-shape[1] // step)), part.dtype)
        row, col = window.row // step, window.col // step
        out[..., row : row + part.shape[-2], col : col + part.shape[-1]] = part
    assert out is not None, "a raster has at least one window"
    return out


def _read_thinned(cube: SITSCube, step: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    def read(window: Window) -> NDArray[np.float32]:
        reflectance, valid = cube.read(window)
        return np.where(valid[:, None], reflectance, np.float32(np.nan))

    pixels = _thin(read, cube.shape, step)
    return np.nan_to_num(pixels), np.isfinite(pixels).all(axis=1)


def _clearest(share: NDArray[np.float64], count: int) -> list[int]:
    seen = np.flatnonzero(share > 0) if (share > 0).any() else np.arange(len(share))
    return [int(part[share[part].argmax()]) for part in np.array_split(seen, min(count, len(seen)))]


def _stretch(pixels_TCYX: NDArray[np.float32], valid_TYX: NDArray[np.bool_], missing: str) -> NDArray[np.float64]:
    """Colours 0..1, axes (time, y, x, channel), between limits that all dates share."""
    pixels_TYXC = pixels_TCYX.transpose(0, 2, 3, 1)
    return coloured(pixels_TYXC, valid_TYX, *limits(pixels_TYXC[valid_TYX]), missing)


# --- drawing -----------------------------------------------------------------------------------------------------


def _aspect(grid: GeoBox) -> float:
    return abs(grid.resolution.y) / abs(grid.resolution.x)


def _map_sheet(grid: GeoBox, title: str, beside_in: float) -> tuple[Figure, Axes]:
    """Make a sheet whose map is about 6 inches along its longer side, with room for what stands beside it."""
    high, wide = grid.shape[0] * _aspect(grid), float(grid.shape[1])
    scale = 6 / max(high, wide)
    figure = sheet(max(wide * scale, 2.5) + beside_in, max(high * scale, 1.5) + 0.8)
    axes = figure.subplots()
    axes.set_title(label_text(title, 90), fontsize=TITLE_PT, color=INK, loc="left", pad=10)
    return figure, axes


def _draw(axes: Axes, picture: Any, grid: GeoBox, step: int, **look: Any) -> Any:
    rows, cols = picture.shape[:2]
    extent = (0, cols * step, rows * step, 0)
    image = axes.imshow(picture, extent=extent, interpolation="nearest", aspect=_aspect(grid), **look)
    axes.set(xlim=(0, grid.shape[1]), ylim=(grid.shape[0], 0), xticks=[], yticks=[])
    axes.spines[:].set(color="#999999", linewidth=0.6)
    return image


def _map_with_names(
    picture: NDArray[Any], grid: GeoBox, step: int, names: Sequence[tuple[str, str]], title: str
) -> Figure:
    columns = -(-len(names) // 24)
    figure, axes = _map_sheet(grid, title, beside_in=2.4 * columns)
    _draw(axes, picture, grid, step)
    keys = [
        Patch(facecolor=to_rgba(colour), edgecolor="#666666", linewidth=0.5, label=label_text(name, 40))
        for name, colour in names
    ]
    axes.legend(
        handles=keys,
        loc="upper left",
        bbox_to_anchor=(1.02, 1),
        borderaxespad=0,
        fontsize=LABEL_PT,
        frameon=False,
        ncols=columns,
    )
    _scale_bar(axes, grid)
    return figure


def _scale_bar(axes: Axes, grid: GeoBox) -> None:
    """Draw a bar of a round length below the map; none where the grid counts degrees."""
    if grid.crs is None or grid.crs.geographic:
        return
    pixel_m = pixel_size_m(grid)[1]
    longest_m = 0.3 * grid.shape[1] * pixel_m
    decade = 10.0 ** math.floor(math.log10(longest_m))
    length_m = max(f * decade for f in (1, 2, 5) if f * decade <= longest_m)
    label = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    end = length_m / pixel_m
    below = ScaledTranslation(0, -8 / 72, axes.figure.dpi_scale_trans)
    place = axes.get_xaxis_transform() + below
    axes.plot([0, end], [0, 0], transform=place, color=INK, linewidth=3, clip_on=False, solid_capstyle="butt")
    gap = 0.015 * grid.shape[1]
    axes.text(end + gap, 0, label, transform=place, va="center", fontsize=LABEL_PT, color=INK)
    axes.set(xlim=(0, grid.shape[1]), ylim=(grid.shape[0], 0))


def _outlines(parcels: Parcels, grid: GeoBox) -> list[NDArray[np.float64]]:
    """Outlines of the parcels on the grid, in pixel coordinates (x, y)."""
    here = parcels.table.geometry.to_crs(str(grid.crs))
    here = here[here.intersects(shapely.box(*grid.boundingbox.bbox))]
    back = ~grid.transform
    rings = here.affine_transform([back.a, back.b, back.d, back.e, back.c, back.f]).boundary.explode()
    return [shapely.get_coordinates(ring) for ring in rings]
