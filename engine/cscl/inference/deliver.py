"""What a user takes away: the chosen parts of a prediction in one folder, with figures that say how good it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from cscl.card import ModelCard
from cscl.errors import InputError, MissingError
from cscl.events import Job, Progress
from cscl.export.bundle import PARTS, About, export, exported, require_parts
from cscl.export.fields import FieldOptions
from cscl.export.maps import class_map
from cscl.export.page import Figure
from cscl.export.report_figures import report_figures
from cscl.parcels import Parcels
from cscl.products import LabelMap, Prediction

from .assess import assess
from .judging import Judged, held_out
from .learnt import model_of

__all__ = ["deliver", "with_card"]


def deliver(
    prediction: Prediction,
    out: str | Path,
    parts: Iterable[str] = PARTS,
    *,
    parcels: Parcels | None = None,
    labels: LabelMap | None = None,
    model: str | Path | None = None,
    fields: FieldOptions | None = None,
    about: About | None = None,
    overwrite: bool = False,
) -> Job[list[Path]]:
    """Write parts of a prediction for use in a GIS, in reports and in catalogues.

    Parameters
    ----------
    prediction : Prediction
        What to write.
    out : path
        Folder; made if it is not there.
    parts : iterable of str
        Of `cscl.export.bundle.PARTS`.
    parcels : Parcels, optional
        Polygons for the parts ``parcels``, which is left out without them.
    labels : LabelMap, optional
        Known crops: with them the figures show errors and accuracy, and not the map alone.
    model : path, optional
        Model that made the map: where it was trained here, it is judged on the blocks that it never saw.
    fields, about
        See `cscl.export.bundle.export`; the card of the model that made the map is found by itself.
    overwrite : bool
        Write into a folder that is not empty, replacing the files of a former export.

    Returns
    -------
    list of Path
        The files, part by part.

    Raises
    ------
    CSCLError
        As `cscl.export.bundle.export`; and UnknownNameError for a part that there is not.
    """
    chosen = require_parts(parts)
    figures = (yield from _figures(prediction, labels, model)) if "figures" in chosen else []
    folder = yield from export(
        prediction, out, parcels, parts=chosen, figures=figures, fields=fields,
        about=with_card(about or About(), prediction), overwrite=overwrite,
        inputs=[labels.path] if labels is not None and labels.path is not None else [],
    )  # fmt: skip
    drawn = [folder / f"figure_{figure.name}.png" for figure in figures]
    lacking = {"figures", *([] if parcels is not None else ["parcels"])}
    return [*exported(folder, *(part for part in chosen if part not in lacking)), *drawn]


def with_card(about: About, prediction: Prediction) -> About:
    """Add the card of the model that made a map, where it is still to be found."""
    model = None if about.card is not None else model_of(prediction)
    return about if model is None else replace(about, card=ModelCard.open(model))


def _figures(prediction: Prediction, labels: LabelMap | None, model: str | Path | None) -> Job[list[Figure]]:
    yield Progress("drawing figures", 0, 1, "figure")
    drawn = [Figure("crop_map", class_map(prediction))]
    if labels is not None:
        try:
            found = yield from assess(prediction, labels, judged=_unseen(labels, model))
        except InputError:
            return drawn  # no labelled pixel to judge by
        drawn += report_figures(found.report, found.atlas.kinds_YX, labels.grid)
    return drawn


def _unseen(labels: LabelMap, model: str | Path | None) -> Judged:
    try:
        return held_out(labels, model)
    except MissingError:
        return Judged()  # a map may outlive its model
