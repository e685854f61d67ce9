"""From what is open in a viewer to work that can be kept, and back again. napari's layers, no Qt."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.cube import SITSCube
from cscl.data.readers import ReadOptions
from cscl.errors import InputError, MissingError
from cscl.events import Job, Progress
from cscl.grid import GeoBox
from cscl.legend import Legend
from cscl.products import Prediction
from cscl.recipe import build

from .aligning import WAYS, open_aligned
from .autosave import Painted, Slot, Work, painted_since, read_work
from .bridge import KEY, LayerData, labels_layer
from .notes import CaseNote
from .opening import Images, Labels, open_images, open_labels
from .region import corrected_layer, is_region, region_layer
from .session import Session

__all__ = ["Restored", "notes_of", "painted_on", "restore", "work_of"]


@dataclass(frozen=True, eq=False)
class Restored:
    """Work that was opened again: what is open, layers of what was done with it, and what could not be had again."""

    images: Images
    labels: Labels | None
    layers: tuple[LayerData, ...]
    model: Path | None
    prediction: Prediction | None
    lacking: tuple[str, ...] = field(default=())
    notes: tuple[CaseNote, ...] = ()


def work_of(session: Session, layers: Iterable[Any], scratch: Path) -> Work:
    """Describe what is open, the regions that are drawn, and the notes; empty while no images are open."""
    cube, labels, parcels = session.cube, session.labels, session.parcels
    if cube is None:
        return Work(scratch=str(scratch))
    corner = [cube.grid.transform.c, cube.grid.transform.f, str(cube.grid.crs)]
    shapes = [shape for layer in layers if is_region(layer) for shape in _shapes(layer)]
    return Work(
        cube.name, _path(cube), _path(labels), (parcels.class_column if parcels is not None else None) or "",
        str(session.model.folder.absolute()) if session.model is not None else "", _path(session.prediction),
        labels.legend.to_dict() if labels is not None else {}, shapes, corner, str(scratch),
        notes=[note.to_dict() for note in session.notes], align=parcels.aligned if parcels is not None else "no",
        reading=dict(cube.reading),
    )  # fmt: skip


def painted_on(layers: Iterable[Any], plain: dict[int, NDArray[Any]]) -> Painted | None:
    """Find the pixels of the known crops that were painted; None if there are none.

    Parameters
    ----------
    layers : iterable of napari layers
        The first one that shows known crops and differs from them counts.
    plain : dict
        Known crops as a layer shows them, by the identity of the labels: filled here, as making them takes a while.
    """
    for layer in layers:
        held = layer.metadata.get(KEY, {}) if type(layer).__name__ == "Labels" else {}
        labels = held.get("corrects", held.get("labels"))
        if labels is None:
            continue
        if id(labels) not in plain:
            plain.clear()
            plain[id(labels)] = np.array(labels_layer(labels)[0])
        found = painted_since(np.asarray(layer.data), plain[id(labels)])
        if len(found.where):
            return found
    return None


def restore(slot: Slot, scratch: Path) -> Job[Restored]:
    """Open again what a folder of unfinished work holds.

    Parameters
    ----------
    slot : Slot
        The folder, taken over already.
    scratch : Path
        Folder of the viewer for what is made in passing: a map that was made so goes there.

    Raises
    ------
    MissingError
        If the images are where they were no more, or were never in a file.
    CSCLError
        If they cannot be opened.
    """
    yield Progress("opening", 0, 3, "part")
    work, painted = read_work(slot.folder)
    if not work.images or not Path(work.images).exists():
        raise MissingError(
            f"The images {work.images or work.name} are not there any more. Put them back and start again: the "
            "unfinished work is kept."
        )
    images = yield from open_images(work.images, reading=build(ReadOptions, work.reading, "the unfinished work"))
    grid, lacking = images.cube.grid, []
    labels = None
    if work.labels and Path(work.labels).exists():
        legend = Legend.from_dict(work.legend) if work.legend else None
        labels = yield from _labels(work, images.cube, legend)
    elif work.labels:
        lacking.append(f"the labels {work.labels}")
    model = _model(work, slot)
    if work.model and model is None:
        lacking.append(f"the model {work.model}")
    layers = [*_region(work, grid, lacking), *_corrected(painted, labels, lacking)]
    notes = notes_of(work)
    if len(notes) < len(work.notes):
        lacking.append(f"{len(work.notes) - len(notes)} damaged notes")
    return Restored(images, labels, tuple(layers), model, _prediction(work, grid, scratch), tuple(lacking), notes)


def _labels(work: Work, cube: SITSCube, legend: Legend | None) -> Job[Labels]:
    for by in WAYS.values():
        if work.align == by:
            return (yield from open_aligned(work.labels, cube, work.column or None, legend, by))
    return (yield from open_labels(work.labels, cube.grid, work.column or None, legend, warp=True))


def notes_of(work: Work) -> tuple[CaseNote, ...]:
    """Return the notes of unfinished work that can be read."""
    found = []
    for plain in work.notes:
        with suppress(InputError):
            found.append(CaseNote.from_dict(plain))
    return tuple(found)


def _region(work: Work, grid: GeoBox, lacking: list[str]) -> list[LayerData]:
    if not work.shapes:
        return []
    right, top, crs = work.corner
    if crs != str(grid.crs):
        lacking.append(f"the region, which was drawn in {crs}")
        return []
    shift = np.array([grid.transform.f - top, right - grid.transform.c])
    _, look, kind = region_layer(grid)
    corners = [np.array(shape["corners"]) + shift for shape in work.shapes]
    return [(corners, {**look, "shape_type": [shape["kind"] for shape in work.shapes]}, kind)]


def _corrected(painted: Painted | None, labels: Labels | None, lacking: list[str]) -> list[LayerData]:
    if painted is None:
        return []
    if labels is None or labels.labels.ids.shape != painted.shape:
        lacking.append("the corrected crops, as their labels do not lie as they did")
        return []
    plain, look, kind = corrected_layer(labels.labels)
    return [(painted.onto(plain), look, kind)]


def _model(work: Work, slot: Slot) -> Path | None:
    """Model folder: where it was, or else the copy of one that was made in passing."""
    copies = {path.name: path for path in slot.models()}
    model = Path(work.model) if work.model else None
    if model is not None and model.name in copies:
        return copies[model.name]
    return model if model is not None and (model / "card.json").is_file() else None


def _prediction(work: Work, grid: GeoBox, scratch: Path) -> Prediction | None:
    """Find the map, if it is still there; one that was made in passing moves on to this viewer's own folder."""
    place = Path(work.prediction)
    if not work.prediction or not (place / "prediction.json").is_file():
        return None
    if work.scratch and place.is_relative_to(work.scratch):
        to = scratch / f"{place.name}-restored"
        shutil.move(place, to)
        place = to
    found = Prediction.open(place)
    return replace(found, name="prediction") if found.grid == grid else None


def _shapes(layer: Any) -> list[dict[str, Any]]:
    """Shapes of a layer, with their corners in metres down and right of the scene's corner."""
    return [
        {"kind": str(kind), "corners": [list(map(float, layer.data_to_world(tuple(v))[-2:])) for v in corners]}
        for corners, kind in zip(layer.data, layer.shape_type, strict=True)
    ]


def _path(thing: Any) -> str:
    path = getattr(thing, "path", None)
    return str(Path(path).absolute()) if path is not None else ""
