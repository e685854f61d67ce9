"""How good a map is: overall, at boundaries, by parcel. It is read block by block, so that memory stays flat."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

import cscl
from cscl.errors import InputError
from cscl.events import Job, Note, Progress
from cscl.grid import Window, pixel_size_m, require_same, tiles
from cscl.legend import UNKNOWN
from cscl.metrics.classes import CommonLegend
from cscl.metrics.kinds import error_kinds
from cscl.metrics.tally import Tally, margin_px
from cscl.products import LabelMap, Prediction
from cscl.report import Report

__all__ = ["AssessOptions", "assess", "error_map"]

BLOCK_PX = 512
REACH_M = 20.0
NO_PARCELS = "The labels do not know their parcels: there is nothing on parcels and their edges."


@dataclass(frozen=True)
class AssessOptions:
    """How a map is assessed. Blocks change neither the figures nor, beyond their own size, the memory."""

    block_px: Annotated[
        int, {"min": 64, "max": 4096, "step": 64, "tooltip": "Side of the blocks that are read, pixels"}
    ] = BLOCK_PX
    distances_m: Annotated[
        tuple[float, ...], {"tooltip": "Upper limits of the classes of distance to an edge, metres, rising"}
    ] = (10.0, 20.0, 30.0, 50.0, 80.0)

    def __post_init__(self) -> None:
        limits = (0.0, *self.distances_m)
        if len(limits) < 2 or any(b <= a for a, b in itertools.pairwise(limits)) or math.isinf(limits[-1]):
            raise InputError(
                f"The distances {self.distances_m} must be positive, finite and rising, e.g. 10, 20, 50. "
                "What lies beyond the last one is a class of its own."
            )


def assess(
    prediction: Prediction, labels: LabelMap, options: AssessOptions | None = None, *, window: Window | None = None
) -> Job[Report]:
    """Compare a map with labels, overall, at boundaries, by distance to them and by parcel.

    Classes are matched by id. Where the labels know a class that the model does not, its pixels count as wrong and the
    report says so. Known pixels without a prediction are counted apart.

    Parameters
    ----------
    prediction : Prediction
        The map; read block by block.
    labels : LabelMap
        The truth, on the same grid. Without parcel ids the report has no part on parcels.
    options : AssessOptions, optional
        Classes of distance, size of blocks.
    window : Window, optional
        Compare these pixels only; edges are those of the whole label map, parcels are judged by their part inside.

    Raises
    ------
    GridError
        If the grids differ or count degrees.
    InputError
        If there is no known pixel in the window.
    """
    options = options or AssessOptions()
    window = window or Window(0, 0, *labels.ids.shape)
    blocks = _known_blocks(prediction, labels, window, options.block_px)
    common = CommonLegend.of(labels.legend, prediction.legend)
    for remark in common.remarks:
        yield Note(remark, warning=True)
    total = _tally(prediction, labels, common, blocks[0], options)
    for number, block in enumerate(blocks[1:], 1):
        yield Progress("assessing", number, len(blocks), "block")
        total += _tally(prediction, labels, common, block, options)
    yield Progress("assessing", len(blocks), len(blocks), "block")
    not_mapped = common.not_mapped(total.overall)
    for remark in not_mapped:
        yield Note(remark, warning=True)
    remarks = (*common.remarks, *not_mapped, *(() if total.parcels else (NO_PARCELS,)))
    boundary = total.boundary(common.legend, options.distances_m)
    return Report(total.accuracy(common.legend), boundary, _facts(prediction, labels, window), remarks)


def error_map(
    prediction: Prediction, labels: LabelMap, window: Window | None = None, reach_m: float = REACH_M
) -> Job[NDArray[np.uint8]]:
    """Find where a map is right and where it is wrong, and of what kind the errors are.

    Parameters
    ----------
    prediction : Prediction
        The map; read block by block.
    labels : LabelMap
        The truth, on the same grid.
    window : Window, optional
        These pixels only; edges are those of the whole label map.
    reach_m : float
        How far from an edge an error is still laid to it, metres.

    Returns
    -------
    ndarray of uint8
        Axes (y, x) of the window; values of `cscl.report.kinds.Kind`.

    Raises
    ------
    GridError
        If the grids differ or count degrees.
    """
    require_same(prediction.grid, labels.grid, f"The map {prediction.name} and the labels {labels.name}")
    window = window or Window(0, 0, *labels.ids.shape)
    common = CommonLegend.of(labels.legend, prediction.legend)
    errors = np.zeros((window.height, window.width), np.uint8)
    blocks = list(_blocks(window, BLOCK_PX))
    for number, block in enumerate(blocks, 1):
        errors[block.within(window).slices] = _errors(prediction, labels, common, block, reach_m)
        yield Progress("mapping errors", number, len(blocks), "block")
    return errors


def _errors(
    prediction: Prediction, labels: LabelMap, common: CommonLegend, block: Window, reach_m: float
) -> NDArray[np.uint8]:
    size_m = pixel_size_m(labels.grid)
    seen = block.grown(margin_px(size_m, (reach_m,)), labels.ids.shape)
    inner, around = block.within(seen).slices, labels.index(seen)
    guess = np.full(around.shape, UNKNOWN)
    guess[inner] = common.index(prediction.read(block)[0])
    return error_kinds(around, guess, size_m, reach_m)[inner]


def _blocks(window: Window, size_px: int) -> Iterator[Window]:
    for tile in tiles((window.height, window.width), size_px):
        yield Window(window.row + tile.row, window.col + tile.col, tile.height, tile.width)


def _known_blocks(prediction: Prediction, labels: LabelMap, window: Window, size_px: int) -> list[Window]:
    """Blocks of the window that hold a known pixel: only these need to be read."""
    require_same(prediction.grid, labels.grid, f"The map {prediction.name} and the labels {labels.name}")
    pixel_size_m(labels.grid)
    blocks = _blocks(window, size_px)
    known = [block for block in blocks if (labels.legend.to_index(labels.ids[block.slices]) >= 0).any()]
    if not known:
        raise InputError(
            f"The labels {labels.name} hold no pixel of known class in {_rows_and_columns(window)}, so there is "
            "nothing to compare. Choose another window, or check that the classes of the labels are in their legend."
        )
    return known


def _tally(
    prediction: Prediction, labels: LabelMap, common: CommonLegend, block: Window, options: AssessOptions
) -> Tally:
    """Count a block; labels are read as far around it as its edges reach."""
    size_m = pixel_size_m(labels.grid)
    seen = block.grown(margin_px(size_m, options.distances_m), labels.ids.shape)
    parcels = None if labels.parcel_ids is None else labels.parcel_ids[seen.slices]
    ids, confidence = prediction.read(block)
    return Tally.of(
        labels.index(seen), common.index(ids), confidence, parcels, inner=block.within(seen).slices,
        classes=len(common.legend), pixel_size_m=size_m, limits_m=options.distances_m,
    )  # fmt: skip


def _facts(prediction: Prediction, labels: LabelMap, window: Window) -> dict[str, Any]:
    height_m, width_m = pixel_size_m(labels.grid)
    crs = labels.grid.crs
    source: dict[str, Any] = {key: prediction.facts[key] for key in ("images", "model") if key in prediction.facts}
    return {
        "prediction": prediction.name,
        "labels": labels.name,
        **source,
        "window": _rows_and_columns(window),
        "pixel size": f"{height_m:g} m x {width_m:g} m",
        "coordinate reference system": f"EPSG:{crs.epsg}" if crs is not None and crs.epsg else str(crs),
        "assessed": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "cscl": cscl.__version__,
    }


def _rows_and_columns(window: Window) -> str:
    return f"rows {window.row}:{window.row + window.height}, columns {window.col}:{window.col + window.width}"
