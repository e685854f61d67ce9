"""Arrays that know their grid: the truth (LabelMap), the guess (Prediction), and what the network sees (Embedding)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cscl.errors import GridError, InputError, MissingError
from cscl.grid import GeoBox, Window, require_same, times_finer
from cscl.legend import Legend
from cscl.pixelstore import OVERVIEW, open_pixels
from cscl.raster import facts, lazy_bands, stack
from cscl.shares import PixelShares

__all__ = ["AffinityMap", "Embedding", "LabelMap", "Prediction", "Scene"]


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Known classes of a grid, and the parcels they come from.

    Parameters
    ----------
    ids : ndarray
        Class ids, axes (y, x), unsigned integers; the legend's ignore id where unknown.
    grid : GeoBox
        Where the pixels lie.
    legend : Legend
        What the ids mean.
    parcel_ids : ndarray or None
        Axes (y, x), int32, 0 outside all parcels; None when the labels did not come from parcels.
    name : str
        What the user calls it.
    path : Path or None
        File that they come from: parcels or a raster.
    notes : tuple of str
        What was decided about the parcels that they come from: geometries repaired, outlines moved.
    shares : PixelShares or None
        What parcels share of single pixels, where the labels come from polygons and lie where these do.
    """

    ids: NDArray[Any] = field(repr=False)
    grid: GeoBox
    legend: Legend
    parcel_ids: NDArray[np.int32] | None = field(default=None, repr=False)
    name: str = "labels"
    path: Path | None = None
    notes: tuple[str, ...] = ()
    shares: PixelShares | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for array in (self.ids, self.parcel_ids):
            if array is not None and array.shape != tuple(self.grid.shape):
                raise GridError(f"{self.name}: {array.shape} pixels do not fit a grid of {tuple(self.grid.shape)}.")

    @classmethod
    def open(cls, path: str | Path, grid: GeoBox, legend: Legend | None = None, nodata: int | None = None) -> LabelMap:
        """Read a label raster that lies on `grid`.

        Parameters
        ----------
        path : path
            Single-band integer raster of class ids.
        grid : GeoBox
            Grid of the images.
        legend : Legend, optional
            Classes to keep; ids that are not in it become unknown. By default all ids that occur are classes.
        nodata : int, optional
            Id that means unknown; by default what the file declares. If it declares nothing, 0 may be a class.

        Raises
        ------
        GridError, InputError, MissingError
            The raster lies elsewhere; it is not of integers; there is none.
        """
        raster = facts(path)
        if raster.count != 1:
            raise InputError(f"{path} has {raster.count} bands, not one of labels. Pick it with gdal_translate -b.")
        stored = stack([[(Path(path), 1)]], raster.shape, raster.dtype)[0, 0]
        unknown = int(raster.nodata) if nodata is None and raster.nodata is not None else nodata
        return cls.of(stored, raster.grid(str(grid.crs)), grid, legend, unknown, Path(path))

    @classmethod
    def of(
        cls, stored: Any, own: GeoBox, grid: GeoBox, legend: Legend | None, nodata: int | None, path: Path
    ) -> LabelMap:
        """Make a label map of class ids as a file holds them, read when they are known to fit.

        Parameters
        ----------
        stored : ndarray or Variable
            Class ids, axes (y, x).
        own : GeoBox
            Grid that they lie on.
        grid, legend, nodata, path
            As for `open`; a `nodata` of None means that every id is a class.

        Raises
        ------
        GridError, InputError
            They lie elsewhere, are not whole numbers from 0 to 65535, or none is known.
        """
        _require_there(own, grid, f"The labels {path}")
        if stored.dtype.kind not in "iu":
            raise InputError(
                f"{path} holds {stored.dtype} values, not whole class ids. Convert it with gdal_translate -ot Byte."
            )
        ids = np.asarray(stored)
        known = np.ones(ids.shape, bool) if nodata is None else ids != nodata
        low, high = (int(f(ids, where=known, initial=0)) for f in (np.min, np.max))
        if low < 0 or high > 65535:
            raise InputError(
                f"{path} holds class ids from {low} to {high}; they must lie in 0..65535. Renumber them, or say with "
                "--label-nodata which value means unknown."
            )
        if not known.any():
            raise InputError(
                f"{path} holds no class: all its pixels are {nodata}, which means unknown there. Say with "
                "--label-nodata if it does not."
            )
        if legend is None:
            legend = Legend.from_codes(np.unique(ids[known]))
        index = legend.to_index(np.where(known, ids, 0))
        index[~known] = -1
        return cls(legend.to_ids(index), grid, legend, None, path.name, path)

    def index(self, window: Window | None = None) -> NDArray[np.int64]:
        """Contiguous class indices, axes (y, x), negative where unknown."""
        ids = self.ids if window is None else self.ids[window.slices]
        return self.legend.to_index(ids).astype(np.int64)

    def counts(self, where_YX: NDArray[np.bool_] | None = None) -> dict[int, int]:
        """Pixels of each class id of the legend, zero included; all of them, or those where a mask (y, x) is True."""
        counts = np.zeros(65536, np.int64)
        for row in range(0, len(self.ids), 512):  # NumPy counts 8 bytes a pixel: a part at a time
            part = self.ids[row : row + 512]
            part = part.ravel() if where_YX is None else part[where_YX[row : row + 512]]
            counts += np.bincount(part, minlength=65536)
        return {i: int(counts[i]) for i in self.legend.ids}


@dataclass(frozen=True, eq=False)
class Scene:
    """A cube and its labels: what a model learns from. Both lie on one grid, or the labels on a finer one.

    Raises
    ------
    GridError
        If the pixels of the images are not whole pixels of the labels, or whole blocks of them.
    """

    cube: Any
    labels: LabelMap

    def __post_init__(self) -> None:
        images, labels = self.cube.grid, self.labels.grid
        if times_finer(labels, images) is None:
            require_same(images, labels, f"The images {self.cube.name} and the labels {self.labels.name}")

    @property
    def finer(self) -> int:
        """How many pixels of the labels lie along a side of one of the images."""
        return int(self.labels.grid.shape[0] // self.cube.grid.shape[0])


@dataclass(frozen=True, eq=False)
class Prediction:
    """A predicted crop map. Arrays may be lazy; index them by window.

    Parameters
    ----------
    ids : DataArray
        Predicted class ids, axes (y, x); the legend's ignore id where nothing could be said (no valid date).
    confidence : DataArray
        Probability of the predicted class, axes (y, x), uint8: 0..250 for 0..1, 255 for no data.
    grid, legend
        Where and what.
    probabilities : DataArray or None
        Axes (class, y, x), uint8 as `confidence`, classes in the order of the legend.
    facts : dict
        Where it comes from: cube, model, dates, version.
    path : Path or None
        Folder that it was opened from.
    margin : DataArray or None
        Probability of the predicted class less that of the runner-up, axes (y, x), uint8 as `confidence`.
    """

    ids: xr.DataArray = field(repr=False)
    confidence: xr.DataArray = field(repr=False)
    grid: GeoBox
    legend: Legend
    probabilities: xr.DataArray | None = field(default=None, repr=False)
    facts: dict[str, Any] = field(default_factory=dict)
    name: str = "prediction"
    path: Path | None = None
    margin: xr.DataArray | None = field(default=None, repr=False)

    @classmethod
    def open(cls, folder: str | Path) -> Prediction:
        """Open a folder that `cscl predict` wrote; pixels are read when asked for.

        Raises
        ------
        MissingError, InputError
            If the folder is not there or is not a whole prediction.
        """
        folder = Path(folder)
        if not (folder / "prediction.json").is_file():
            raise MissingError(f"{folder} is not a prediction: it has no prediction.json. Make one with cscl predict.")
        try:
            plain = json.loads((folder / "prediction.json").read_text(encoding="utf-8"))
            legend = Legend.from_dict(plain["legend"])
            told = dict(plain.get("facts", {}))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"{folder / 'prediction.json'} is damaged ({error}). Predict again.") from error
        margin, many = folder / "margin.tif", folder / "probabilities.tif"
        raster = facts(folder / "classes.tif")
        grid = raster.grid()
        for path, count in ((folder / "confidence.tif", 1), (margin, 1), (many, len(legend))):
            other = facts(path) if path not in (margin, many) or path.exists() else None
            if other is not None and (other.shape != raster.shape or other.count != count):
                raise InputError(f"{path} is not of the same map as {folder / 'classes.tif'}. Predict again.")
        return cls(
            lazy_bands(folder / "classes.tif")[0],
            lazy_bands(folder / "confidence.tif")[0],
            grid,
            legend,
            lazy_bands(many) if many.exists() else None,
            told,
            folder.name,
            folder,
            lazy_bands(margin)[0] if margin.exists() else None,
        )

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Class ids (y, x) and confidence (y, x), float32 0..1 and NaN where there is none, of a window."""
        stored = self.confidence[window.slices].values
        confidence = np.where(stored == 255, np.float32(np.nan), stored.astype(np.float32) / 250)
        return self.ids[window.slices].values, confidence


@dataclass(frozen=True, eq=False)
class Embedding:
    """What the network makes of each pixel, usually lazy on a Zarr store.

    Parameters
    ----------
    values : DataArray
        Axes (feature, y, x), float16 or float32, NaN where no date is valid. Stores hold them pixel by pixel: `read`
        gives them as they lie there.
    grid : GeoBox
        Where the pixels lie.
    facts : dict
        Where it comes from: model, stage, images.
    coarser : Embedding or None
        Of a large scene that was written so: every n-th of its pixels, to see it as a whole.
    """

    values: xr.DataArray = field(repr=False)
    grid: GeoBox
    facts: dict[str, Any] = field(default_factory=dict)
    coarser: Embedding | None = field(default=None, repr=False)

    @classmethod
    def open(cls, path: str | Path) -> Embedding:
        """Open a Zarr store that `cscl embed` wrote.

        Raises
        ------
        MissingError, InputError
            If it is not there or is not one, or is damaged; damage inside shows when it is read.
        """
        path = Path(path)
        if not any((path / name).is_file() for name in ("zarr.json", ".zgroup")):
            raise MissingError(f"{path} is not an embedding: make one with cscl embed.")
        return cls(*open_pixels(path), cls.open(path / OVERVIEW) if (path / OVERVIEW).is_dir() else None)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.grid.shape[0]), int(self.grid.shape[1])

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window, axes (y, x, feature), in memory in that order."""
        return np.ascontiguousarray(np.moveaxis(self.values[:, *window.slices].values, 0, -1))


@dataclass(frozen=True, eq=False)
class AffinityMap:
    """Similarity of each pixel to its window as the contrastive loss saw it: axes (k, k, y, x), in [-1, 1]."""

    values: NDArray[np.float32] = field(repr=False)
    grid: GeoBox

    def edge_strength(self) -> NDArray[np.float32]:
        """One minus the mean similarity to the window without its centre, axes (y, x), in [0, 2]."""
        k = self.values.shape[0]
        off_centre = np.ones((k, k), bool)
        off_centre[k // 2, k // 2] = False
        return np.asarray(1 - self.values[off_centre].mean(axis=0), np.float32)


def _require_there(labels: GeoBox, wanted: GeoBox, what: str) -> None:
    """Refuse a label raster that is not on the grid where labels are wanted, and say what to do where it would fit."""
    pixels = "{} times {} pixels than those wanted here"
    if (times := times_finer(labels, wanted) or 1) > 1:
        raise GridError(
            f"{what} have {pixels.format(times, 'finer')}. Train with --set data.finer={times}, map with --finer "
            f"{times}, or resample them, e.g. with gdalwarp -r mode."
        )
    if (times := times_finer(wanted, labels) or 1) > 1:
        raise GridError(
            f"{what} have {pixels.format(times, 'coarser')}. Give parcels as polygons or finer labels, bring a map to "
            f"their pixels with cscl coarsen, or train with --set data.finer=1."
        )
    require_same(wanted, labels, f"The images and {what[0].lower()}{what[1:]}")
