"""Labels at the pixels of finer maps, made of their polygons when a run or a map asks for them. No Qt, no napari.

The session keeps the labels at the pixels of the images: these are what the scene shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cscl.cube import SITSCube
from cscl.data.scenes import require_room
from cscl.errors import InputError
from cscl.events import Job, Note
from cscl.grid import GeoBox, pixel_size_m, same
from cscl.parcels import Parcels, rasterising
from cscl.products import Embedding, LabelMap, Prediction

__all__ = ["deliver_map", "labels_at", "require_polygons"]


def labels_at(labels: LabelMap, parcels: Parcels | None, grid: GeoBox) -> Job[LabelMap]:
    """Return labels at the pixels of a grid of the same place: as they are, or else of their polygons.

    Raises
    ------
    InputError, MemoryLimitError
        If they have other pixels and no polygons; if the memory does not hold so many pixels.
    """
    if same(labels.grid, grid):
        return labels
    known = require_polygons(labels, parcels, grid)
    require_room(grid, f"The labels {labels.name}")
    return (yield from rasterising(known, grid, labels.legend))


def require_polygons(labels: LabelMap, parcels: Parcels | None, grid: GeoBox) -> Parcels:
    """Return the polygons behind labels, which can be had at the pixels of any grid.

    Raises
    ------
    InputError
        If there are none.
    """
    if parcels is None:
        have, want = (f"{pixel_size_m(each)[0]:.4g} m" for each in (labels.grid, grid))
        raise InputError(
            f"The labels {labels.name} are a raster with pixels of {have}, and {want} are wanted. Open the parcels as "
            "polygons; or learn with data.finer=1, or bring the map to the labels' pixels with cscl coarsen."
        )
    return parcels


def deliver_map(
    prediction: Prediction, out: Path, parts: Sequence[str], labels: LabelMap | None, parcels: Parcels | None,
    model: Path | None, *, cube: SITSCube | None = None, embedding: Embedding | None = None,
) -> Job[list[Path]]:  # fmt: skip
    """Export parts of a map, which is judged by labels at its own pixels, as `cscl.inference.deliver` does.

    Where labels cannot be had at these, the figures show the map alone, there is no report, and a warning says so.
    """
    from cscl.inference.deliver import deliver

    if labels is not None and {"figures", "report"} & set(parts):
        try:
            labels = yield from labels_at(labels, parcels, prediction.grid)
        except InputError as error:
            yield Note(f"The figures show the map alone, and there is no report. {error}", warning=True)
            labels = None
    job = deliver(
        prediction, out, parts, parcels=parcels, labels=labels, model=model, cube=cube, embedding=embedding,
        overwrite=True,
    )  # fmt: skip
    return (yield from job)
