"""What a user takes away: the chosen parts of a prediction in one folder, with figures that say how good it is."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from cscl.card import ModelCard
from cscl.cube import SITSCube
from cscl.errors import InputError, MissingError
from cscl.events import Job, Note, Progress
from cscl.export.bundle import MODEL, ONNX, PARTS, REPORT, USUAL, About, Writer, export, exported, require_parts
from cscl.export.fields import FieldOptions
from cscl.export.maps import class_map
from cscl.export.model_card import read_report
from cscl.export.page import Figure
from cscl.export.part_files import CONTENTS, files_listed
from cscl.export.report_figures import report_figures
from cscl.grid import require_same, same
from cscl.parcels import Parcels
from cscl.products import Embedding, LabelMap, Prediction

from .assess import Assessment, assess
from .assess_files import write_assessment
from .edge_map import export_edge_strength
from .judging import Judged, held_out
from .learnt import model_of
from .to_onnx import to_onnx

__all__ = ["deliver", "with_card"]


def deliver(
    prediction: Prediction,
    out: str | Path,
    parts: Iterable[str] = USUAL,
    *,
    parcels: Parcels | None = None,
    labels: LabelMap | None = None,
    report: str | Path | None = None,
    embedding: Embedding | None = None,
    cube: SITSCube | None = None,
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
        Known crops: with them the figures show errors and accuracy, and not the map alone, and the part ``report``
        tells all that `assess` finds.
    report : path, optional
        Folder of ``cscl assess``, which is taken as the part ``report`` instead.
    embedding : Embedding, optional
        What the part ``edge strength`` shows; on the grid of the map.
    cube : SITSCube, optional
        The images: the report shows the worst errors on them, where the map is not finer.
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
        As `cscl.export.bundle.export`; and UnknownNameError for a part that there is not, InputError for edge strength
        without an embedding, or for the model of a map where that is not to be found.
    """
    chosen, about = require_parts(parts), with_card(about or About(), prediction)
    writers: dict[str, Writer] = {}
    if "edge strength" in chosen:
        writers["edge strength"] = _edges(prediction, embedding)
    if {"model", "onnx"} & set(chosen):
        writers.update(_of_model(prediction, about.licence))
    found = None
    if labels is not None and ("figures" in chosen or ("report" in chosen and report is None)):
        behind = parcels if parcels is not None and parcels.path == labels.path is not None else None
        found = yield from _assessed(prediction, labels, behind, model)
        if found is not None:
            about = replace(about, report=about.report or found.report.to_dict())
            writers["report"] = _writing(found, prediction, cube, behind)
    if report is not None:
        about = replace(about, report=read_report(report))
        writers["report"] = _copying(Path(report))
    figures = (yield from _figures(prediction, labels, found)) if "figures" in chosen else []
    former = {path: path.stat().st_ino for path in exported(out, *PARTS)}
    folder = yield from export(
        prediction, out, parcels, parts=chosen, figures=figures, writers=writers, fields=fields, about=about,
        overwrite=overwrite, inputs=[labels.path] if labels is not None and labels.path is not None else [],
    )  # fmt: skip
    # What was written is another file than the one of its name before, which was still there when this was made.
    return [path for path in exported(folder, *chosen) if former.get(path) != path.stat().st_ino]


def with_card(about: About, prediction: Prediction) -> About:
    """Add the card of the model that made a map, where it is still to be found."""
    model = None if about.card is not None else model_of(prediction)
    return about if model is None else replace(about, card=ModelCard.open(model))


def _edges(prediction: Prediction, embedding: Embedding | None) -> Writer:
    if embedding is None:
        raise InputError(
            f"The edge strength of {prediction.name} cannot be exported without an embedding. Make one of the same "
            "images with cscl embed and give it with --embedding, or leave the edge strength out."
        )
    require_same(prediction.grid, embedding.grid, f"The map {prediction.name} and the embedding")
    return lambda folder: export_edge_strength(embedding, folder / "edge_strength.tif")


def _of_model(prediction: Prediction, licence: str) -> dict[str, Writer]:
    """Copy what answers, and what knows affinity: not the logs, nor the model that it began from."""
    model = model_of(prediction)
    if model is None:
        raise InputError(
            f"The model that made {prediction.name} is not known, or no longer where it was. Map the images again with "
            "cscl export MODEL IMAGES OUT, or leave the parts 'model' and 'onnx' out."
        )

    def copy(folder: Path) -> Job[None]:
        yield Progress("copying the model", 0, 1, "model")
        (folder / MODEL).mkdir()
        for path in (model / "card.json", *model.glob("*.safetensors")):
            shutil.copyfile(path, folder / MODEL / path.name)
        yield Progress("copying the model", 1, 1, "model")

    return {"model": copy, "onnx": lambda folder: to_onnx(model, folder / ONNX, licence=licence)}


def _assessed(
    prediction: Prediction, labels: LabelMap, behind: Parcels | None, model: str | Path | None
) -> Job[Assessment | None]:
    """Judge a map by labels and, if at hand, the polygons behind them; None where no pixel has a label."""
    try:
        return (yield from assess(prediction, labels, judged=_unseen(labels, model), parcels=behind))
    except InputError as error:
        yield Note(f"The map is not judged by {labels.name}. {error}", warning=True)
        return None


def _writing(found: Assessment, prediction: Prediction, cube: SITSCube | None, behind: Parcels | None) -> Writer:
    shown = cube if cube is not None and same(cube.grid, prediction.grid) else None
    return lambda folder: write_assessment(found, folder / REPORT, prediction, cube=shown, parcels=behind)


def _copying(report: Path) -> Writer:
    """Copy what an assessment made, and nothing else that lies beside it."""
    source = report if report.is_dir() else report.parent
    names = files_listed(source)
    if "index.html" not in names:
        raise InputError(f"{source} does not hold all that cscl assess writes. Make it again, or leave the report out.")

    def write(folder: Path) -> Job[None]:
        yield Progress("copying the report", 0, 1, "report")
        (folder / REPORT).mkdir()
        for name in sorted({*names, CONTENTS}):
            shutil.copyfile(source / name, folder / REPORT / name)
        yield Progress("copying the report", 1, 1, "report")

    return write


def _figures(prediction: Prediction, labels: LabelMap | None, found: Assessment | None) -> Job[list[Figure]]:
    yield Progress("drawing figures", 0, 1, "figure")
    drawn = [Figure("crop_map", class_map(prediction))]
    if labels is not None and found is not None:
        drawn += report_figures(found.report, found.atlas.kinds_YX, labels.grid)
    return drawn


def _unseen(labels: LabelMap, model: str | Path | None) -> Judged:
    try:
        return held_out(labels, model)
    except MissingError:
        return Judged()  # a map may outlive its model
