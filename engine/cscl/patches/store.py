"""The Zarr store of a dataset: a group a scene, since scenes differ in dates; a patch is one inner chunk of a shard.

Arrays of a group, whose first axis counts patches:

    image    (patch, time, band, y, x)  as stored by the images: reflectance = image * scale + offset
    valid    (patch, time, y, x)        bool: every band has data, and the mask, if any, calls the pixel clear
    class    (patch, y, x)              ids of the legend, its ignore id where unknown
    parcel   (patch, y, x)              int32, 0 outside of all parcels
    mixed    (patch, y, x)              bool: the largest parcel of the pixel does not fill it
    row, col, fold  (patch,)            upper left pixel in the images; fold from 1, 0 for a patch without any image
    time (time,), scale, offset (time, band)

and, of labels `n` times finer, class_xn, parcel_xn and mixed_xn with axes (patch, n y, n x). A shard is a file: it is
written at once, by one worker, so that nothing depends on how many there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from cscl.grid import Window
from cscl.products import LabelMap

from .ground import mixed
from .options import PatchOptions
from .plan import PlannedScene
from .tally import PatchTally

__all__ = ["STORE", "Shard", "begin", "fill", "shards"]

STORE = "patches.zarr"
STRIP_BYTES = 128e6  # of images and labels that a worker holds beside its shard
LABEL_BYTES = 16  # class, parcel and what is made of them, a pixel


_Layers = tuple[dict[str, NDArray[Any]], int]


@dataclass(frozen=True, eq=False)
class Shard:
    """Patches `first` to `end` of a scene, which one worker writes."""

    scene: int
    first: int
    end: int


def shard_patches(scene: PlannedScene, options: PatchOptions) -> int:
    """How many patches of a scene go into one file."""
    cube = scene.ground.cube
    one = cube.stored.dtype.itemsize * len(cube.dates) * len(cube.bands) * options.patch_px**2
    return max(1, min(len(scene), int(options.shard_mb * 1e6 // one)))


def shards(scenes: tuple[PlannedScene, ...], options: PatchOptions) -> list[Shard]:
    """List the files of all scenes."""
    found = []
    for number, scene in enumerate(scenes):
        size = shard_patches(scene, options) if len(scene) else 1
        found += [Shard(number, at, min(at + size, len(scene))) for at in range(0, len(scene), size)]
    return found


def begin(folder: Path, scenes: tuple[PlannedScene, ...], options: PatchOptions) -> Any:
    """Make the store with its empty arrays, and return its group."""
    store = zarr.open_group(folder / STORE, mode="w-", zarr_format=3)
    for scene in scenes:
        _begin_scene(store.create_group(scene.ground.name), scene, options)
    return store


def _begin_scene(group: Any, scene: PlannedScene, options: PatchOptions) -> None:
    cube, legend = scene.ground.cube, scene.ground.legend
    times, bands, side = len(cube.dates), len(cube.bands), options.patch_px
    layers = {
        "image": (("time", "band", "y", "x"), (times, bands, side, side), cube.stored.dtype, 0),
        "valid": (("time", "y", "x"), (times, side, side), np.dtype(bool), False),
    }
    for end, pixels in _label_sizes(options):
        axes = (("y", "x") if not end else (f"y{end}", f"x{end}")), (pixels, pixels)
        layers |= {
            f"class{end}": (*axes, legend.dtype, legend.ignore),
            f"parcel{end}": (*axes, np.dtype(np.int32), 0),
            f"mixed{end}": (*axes, np.dtype(bool), False),
        }
    size = shard_patches(scene, options) if len(scene) else 1
    compressors = [ZstdCodec(level=3)] if options.compression == "zstd" else None
    for name, (axes_of, shape, dtype, fill_value) in layers.items():
        group.create_array(
            name, shape=(len(scene), *shape), chunks=(1, *shape), shards=(size, *shape), dtype=dtype,
            compressors=compressors, fill_value=fill_value, dimension_names=("patch", *axes_of),
        )  # fmt: skip
    scale, offset = (np.broadcast_to(f, (times, bands)) for f in _factors(scene))
    small = {"row": scene.row, "col": scene.col, "fold": scene.fold}
    for name, values in small.items():
        group.create_array(name, data=np.asarray(values), dimension_names=("patch",))
    group.create_array("scale", data=np.ascontiguousarray(scale), dimension_names=("time", "band"))
    group.create_array("offset", data=np.ascontiguousarray(offset), dimension_names=("time", "band"))
    group.create_array("time", data=cube.dates.astype(np.int64), dimension_names=("time",))
    group["time"].attrs.update({"units": "nanoseconds since 1970-01-01", "calendar": "proleptic_gregorian"})
    wkt = cube.grid.crs.to_wkt() if cube.grid.crs else ""
    numbers = " ".join(repr(float(v)) for v in cube.grid.transform.to_gdal())
    group.attrs.update({"bands": list(cube.bands), "crs_wkt": wkt, "GeoTransform": numbers})


def _label_sizes(options: PatchOptions) -> list[tuple[str, int]]:
    """End of the names of labels, and their pixels along a patch."""
    sizes = [("", options.patch_px)]
    return sizes if options.finer == 1 else [*sizes, (f"_x{options.finer}", options.finer * options.patch_px)]


def _factors(scene: PlannedScene) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale and offset, axes (time, band), as exact as they were declared."""
    cube, made = scene.ground.cube, []
    for factors in (cube.radiometry.scale, cube.radiometry.offset):
        made.append(np.array([f if isinstance(f, tuple) else (f,) * len(cube.bands) for f in factors], np.float64))
    return made[0], made[1]


def fill(store: Any, scene: PlannedScene, shard: Shard, options: PatchOptions, done: list[int]) -> list[PatchTally]:
    """Read, label, count and write the patches of a shard.

    Parameters
    ----------
    store : zarr.Group
        From `begin`.
    scene, shard, options
        What to write.
    done : list
        Gets an entry for each patch that is ready, for who shows progress.

    Returns
    -------
    list of PatchTally
        One a patch, in their order.
    """
    group = store[scene.ground.name]
    layers = [n for n in group.array_keys() if group[n].ndim > 2]
    made = {n: np.full((shard.end - shard.first, *group[n].shape[1:]), group[n].fill_value) for n in layers}
    made = {n: a.astype(group[n].dtype, copy=False) for n, a in made.items()}
    tallies = []
    for numbers in _together(scene, range(shard.first, shard.end), options):
        outer = _around(scene, numbers, options)
        stored, valid = _read(scene, outer)
        sizes = {end: pixels // options.patch_px for end, pixels in _label_sizes(options)}
        labels = {end: scene.ground.labels(outer, finer) for end, finer in sizes.items()}
        for number in numbers:
            window = Window(int(scene.row[number]), int(scene.col[number]), options.patch_px, options.patch_px)
            inside, fold = window.within(outer), int(scene.fold[number])
            patch = {"image": stored[:, :, *inside.slices], "valid": valid[:, *inside.slices]}
            void = 0
            for end, finer in sizes.items():
                told, void = _told(scene, labels[end], inside.refined(finer), fold, end)
                patch |= told
            for name, values in patch.items():
                made[name][number - shard.first] = values
            tallies.append(PatchTally.of(patch, *_factors(scene), scene.ground.legend, fold, void))
            done.append(number)
    for name, values in made.items():
        group[name][shard.first : shard.end] = values
    return tallies


def _together(scene: PlannedScene, numbers: range, options: PatchOptions) -> Iterator[range]:
    """Cut a run of patches into runs whose images are read at once, so that a file's tiles are not opened anew."""
    cube = scene.ground.cube
    outer = _around(scene, numbers, options)
    one = cube.stored.dtype.itemsize * len(cube.dates) * len(cube.bands) + LABEL_BYTES * options.finer**2
    size = one * outer.height * outer.width
    wasted = outer.height * outer.width > 4 * len(numbers) * options.patch_px**2
    if len(numbers) == 1 or (size <= STRIP_BYTES and not wasted):
        yield numbers
    else:
        middle = len(numbers) // 2
        yield from _together(scene, numbers[:middle], options)
        yield from _together(scene, numbers[middle:], options)


def _around(scene: PlannedScene, numbers: range, options: PatchOptions) -> Window:
    row, col = scene.row[numbers.start : numbers.stop], scene.col[numbers.start : numbers.stop]
    first = int(row.min()), int(col.min())
    return Window(*first, int(row.max()) - first[0] + options.patch_px, int(col.max()) - first[1] + options.patch_px)


def _read(scene: PlannedScene, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read the stored numbers (time, band, y, x) of a window, and which pixels are usable, (time, y, x)."""
    cube = scene.ground.cube.select(window=window)
    stored = cube.stored.values
    valid: NDArray[np.bool_] = ~np.asarray(cube.missing(stored).any(axis=1))
    if cube.clear is not None:
        valid &= np.asarray(cube.clear.values, bool)
    return stored, valid


def _told(scene: PlannedScene, labels: LabelMap, window: Window, fold: int, end: str) -> _Layers:
    """Class, parcel and mixed pixels of a window of labels; what belongs to a parcel of another fold is void.

    The second is how many pixels of known class that voids.
    """
    assert labels.parcel_ids is not None
    parcels, ignore = labels.parcel_ids[window.slices], labels.ids.dtype.type(labels.legend.ignore)
    foreign = (parcels > 0) & (scene.folds_at(parcels) != fold)
    classes = labels.ids[window.slices]
    layers = {
        f"class{end}": np.where(foreign, ignore, classes),
        f"parcel{end}": np.where(foreign, np.int32(0), parcels),
        f"mixed{end}": mixed(labels, window),
    }
    return layers, int((foreign & (classes != ignore)).sum())
