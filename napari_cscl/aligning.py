"""Outlines against images: jobs that find how far they lie off, and move them back as labels to look at. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cscl.cube import SITSCube
from cscl.events import Job, Progress
from cscl.grid import GeoBox
from cscl.inference.align import estimate_offset
from cscl.inference.align_labels import aligned, moved_back
from cscl.inference.offset import By, Offset
from cscl.legend import Legend
from cscl.parcels import rasterise

from .bridge import KEY, LayerData, parcels_layer
from .opening import Labels, open_labels, presented

__all__ = ["WAYS", "Checked", "check", "move", "open_aligned", "preview_layer"]

WAYS: Mapping[str, By] = {"all alike": "scene", "by tile": "tiles", "each parcel by itself": "parcels"}
PREVIEW = "moved outlines (not in use)"
COLOUR = "#ffb000"


@dataclass(frozen=True, eq=False)
class Checked:
    """How far outlines lie off, and the labels that they would make when moved; None where that is not clear."""

    offset: Offset
    moved: Labels | None


def check(opened: Labels, cube: SITSCube, by: By) -> Job[Checked]:
    """Find how far the outlines of open labels lie off images, and move a copy of them back.

    Raises
    ------
    GridError
        If the images count in degrees.
    """
    assert opened.parcels is not None
    offset = yield from estimate_offset(cube, opened.parcels, each=True)
    return Checked(offset, (yield from move(opened, offset, by)) if offset.clear else None)


def move(opened: Labels, offset: Offset, by: By) -> Job[Labels]:
    """Make labels of outlines that are moved back, with the classes of the open ones."""
    assert opened.parcels is not None
    yield Progress("moving outlines", 0, 3, "part")
    parcels = moved_back(opened.parcels, offset, by)
    yield Progress("moving outlines", 1, 3, "part")
    labels = rasterise(parcels, opened.labels.grid, opened.labels.legend)
    yield Progress("moving outlines", 2, 3, "part")
    return presented(labels, parcels, opened.columns)


def open_aligned(path: str | Path, cube: SITSCube, column: str | None, known: Legend | None, by: By) -> Job[Labels]:
    """Open parcels as `open_labels` does, and move them back onto the images as they were before.

    Raises
    ------
    CSCLError
        As `open_labels` does.
    """
    opened = yield from open_labels(path, cube.grid, column, known, warp=True)
    if opened.parcels is None:
        return opened
    parcels = yield from aligned(opened.parcels, cube, by)
    return presented(rasterise(parcels, cube.grid, opened.labels.legend), parcels, opened.columns)


def preview_layer(moved: Labels, origin: GeoBox | None = None) -> LayerData:
    """Show outlines as they would lie, above those in use."""
    data, look, kind = parcels_layer(moved.labels, origin, moved.parcels, COLOUR)
    return data, {**look, "name": PREVIEW, "metadata": {KEY: {"role": "moved", "grid": moved.labels.grid}}}, kind
