"""Labels whose outlines are first moved back onto the edges that the images show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cscl.cube import SITSCube
from cscl.data.scenes import LabelOptions, is_vector, labelling, reading_labels, reading_parcels, with_crops
from cscl.errors import InputError
from cscl.events import Job, Note, Progress
from cscl.grid import GeoBox
from cscl.legend import Legend
from cscl.parcels import Parcels
from cscl.products import LabelMap

from .align import AlignOptions, estimate_offset
from .offset import MOVED, By, Offset

__all__ = ["aligned", "moved_back", "read_labels"]


def read_labels(
    path: str | Path,
    cube: SITSCube,
    options: LabelOptions,
    *,
    grid: GeoBox | None = None,
    classes: bool = True,
    known: Legend | None = None,
    looking: AlignOptions | None = None,
) -> Job[LabelMap]:
    """Read labels of images, outlines moved back onto the edges in the images first where the options ask for it.

    Parameters
    ----------
    path : path
        Parcels as polygons, or a label raster, which cannot be moved.
    cube : SITSCube
        The images.
    options : LabelOptions
        Columns, legend and the like, and how outlines are moved.
    grid : GeoBox, optional
        Where labels are wanted, if not on the grid of the images.
    classes, known
        As for `cscl.data.scenes.open_labels`.
    looking : AlignOptions, optional
        How the offset is looked for.

    Returns
    -------
    LabelMap
        Its ``notes`` say by how much outlines were moved, or why not.

    Raises
    ------
    CSCLError
        As `cscl.data.scenes.open_labels` and `cscl.inference.align.estimate_offset` do, and if a raster is to be moved.
    """
    yield Progress("reading labels", 0, 1, "part")
    grid = cube.grid if grid is None else grid
    if options.align == "no":
        return (yield from reading_labels(path, grid, options, classes=classes, known=known))
    if not is_vector(path):
        raise InputError(
            f"{path} is a raster, which cannot be moved by parts of a pixel. Give its parcels as polygons, or leave "
            "the labels where they are, with align set to no."
        )
    parcels = yield from reading_parcels(path, options)
    parcels = yield from aligned(with_crops(parcels) if classes else parcels, cube, options.align, looking)
    return (yield from labelling(parcels, grid, options, known))


def aligned(parcels: Parcels, cube: SITSCube, by: By, looking: AlignOptions | None = None) -> Job[Parcels]:
    """Move outlines back onto the edges in images if their offset is clear; a `Note` says by how much, or why not.

    Parameters
    ----------
    parcels, cube, looking
        As for `cscl.inference.align.estimate_offset`.
    by : str
        As for `cscl.inference.offset.Offset.corrected`.

    Raises
    ------
    GridError, InputError
        As `cscl.inference.align.estimate_offset` does.
    """
    offset = yield from estimate_offset(cube, parcels, looking, each=by == "parcels")
    if not offset.clear:
        yield Note(f"The outlines of {parcels.name} were left where they are. {offset.words}", warning=True)
        return replace(parcels, notes=(*parcels.notes, f"The outlines were left where they are. {offset.words}"))
    yield Progress("moving outlines", 0, 1, "part")
    moved = moved_back(parcels, offset, by)
    yield Note(f"{parcels.name}: {moved.notes[-1]}")
    return moved


def moved_back(parcels: Parcels, offset: Offset, by: By) -> Parcels:
    """Return parcels moved back by a clear offset; their notes say by how much.

    Raises
    ------
    InputError
        If the offset is not clear.
    """
    note = f"The outlines were moved back onto the edges in the images, {MOVED[by]}. Before that: {offset.words}"
    return replace(parcels, table=offset.corrected(parcels.table, by=by), notes=(*parcels.notes, note), aligned=by)
