"""Jobs of the Boundary panel: find the errors of a map, with all that their filters need. No Qt, no napari."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cscl.events import Job

from .finer import labels_at

if TYPE_CHECKING:
    from cscl.inference.errorcounts import ErrorCounts
    from cscl.inference.explore import ErrorAtlas, ExploreOptions
    from cscl.inference.judging import Judged
    from cscl.parcels import Parcels
    from cscl.products import LabelMap, Prediction

__all__ = ["counted_errors", "find_errors"]


def find_errors(
    prediction: Prediction, labels: LabelMap, parcels: Parcels | None, model: Path | None, everywhere: bool,
    reach_m: float,
) -> Job[tuple[ErrorAtlas, ErrorCounts]]:  # fmt: skip
    """Compare a map with labels, on all labelled pixels or on those that its model never saw.

    Parameters
    ----------
    prediction : Prediction
        The map.
    labels : LabelMap
        The truth; where the map has finer pixels it is made of the polygons at these.
    parcels : Parcels or None
        The polygons behind the labels.
    model : Path or None
        Folder of the model that knows what it has learnt from.
    everywhere : bool
        Whether all labelled pixels are judged.
    reach_m : float
        How far from an edge an error is laid to it, metres.
    """
    from cscl.inference.explore import ExploreOptions, everything, held_out

    labels = yield from labels_at(labels, parcels, prediction.grid)
    judged = (everything if everywhere else held_out)(labels, model)
    return (yield from counted_errors(prediction, labels, parcels, judged, ExploreOptions(reach_m=reach_m)))


def counted_errors(
    prediction: Prediction, labels: LabelMap, parcels: Parcels | None, judged: Judged, options: ExploreOptions
) -> Job[tuple[ErrorAtlas, ErrorCounts]]:
    """Find the errors of a map on some pixels, and count them."""
    from cscl.inference.errorcounts import count_errors
    from cscl.inference.explore import explore

    atlas = yield from explore(prediction, labels, options, judged=judged, parcels=parcels)
    return atlas, (yield from count_errors(atlas))
