"""All that a user takes away from a prediction, in one folder: crop map, confidence, parcels, figures, and styles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from cscl.errors import InputError, OutputError
from cscl.events import Job, Progress
from cscl.parcels import Parcels
from cscl.products import Prediction

from .draft import draft
from .geotiff import export_classes, export_confidence
from .page import Figure
from .paper import save_figure
from .vector import export_parcels

__all__ = ["PARTS", "export", "exported"]

PARTS = {
    "crop map": ("crop_map.tif", "crop_map.tif.aux.xml", "crop_map.qml", "legend.csv"),
    "confidence": ("confidence.tif",),
    "parcels": ("parcels.gpkg", "parcels.parquet", "parcels.codes.csv", "parcels.qml", "parcels.sld"),
    "figures": ("figure_*.png",),
}
"""Files of each part of an export, as patterns."""


def export(
    prediction: Prediction,
    out: str | Path,
    parcels: Parcels | None = None,
    *,
    crop_map: bool = True,
    confidence: bool = True,
    figures: Sequence[Figure] = (),
    overwrite: bool = False,
    inputs: Iterable[str | Path] = (),
) -> Job[Path]:
    """Write a prediction for use in a GIS.

    Parameters
    ----------
    prediction : Prediction
        What to write.
    out : path
        Folder to make. It will hold ``crop_map.tif`` with its ``.aux.xml`` and ``.qml`` and ``legend.csv``,
        ``confidence.tif``, if there are parcels ``parcels.gpkg`` and ``parcels.parquet`` with ``.qml``, ``.sld`` and
        ``.codes.csv``, and a PNG for each figure.
    parcels : Parcels, optional
        Polygons to judge one by one.
    crop_map, confidence : bool
        Whether these maps are written.
    figures : sequence of Figure
        Drawings to write as ``figure_<name>.png``.
    overwrite : bool
        Write into a folder that is not empty, replacing files of these names when all new ones are whole. Other files
        in it stay.
    inputs : iterable of path
        Files that must not be written over; the file that the parcels come from never is.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputError
        If the folder is not empty and `overwrite` is not set, or something cannot or must not be written.
    GridError
        If no parcel touches the map.
    InputError
        If there is nothing to write.
    """
    out = Path(out)
    if not (crop_map or confidence or parcels is not None or figures):
        raise InputError("Nothing was chosen for export. Choose the crop map, the confidence, parcels or figures.")
    sources = [*map(Path, inputs), *([parcels.path] if parcels is not None and parcels.path is not None else [])]
    made = _make(out, overwrite, sources)
    try:
        with draft(out, "export") as folder:
            if crop_map:
                yield from export_classes(prediction, folder / "crop_map.tif")
                prediction.legend.to_csv(folder / "legend.csv")
            if confidence:
                yield from export_confidence(prediction, folder / "confidence.tif")
            if parcels is not None:
                yield from export_parcels(prediction, parcels, folder / "parcels.gpkg")
            for done, figure in enumerate(figures):
                yield Progress("drawing figures", done, len(figures), "figure")
                save_figure(figure.drawing, folder / f"figure_{figure.name}.png")
        made = False
    finally:
        if made:
            with suppress(OSError):
                out.rmdir()
    return out


def exported(folder: str | Path, *parts: str) -> list[Path]:
    """List the files of these `PARTS` that lie in a folder."""
    return [path for part in parts for pattern in PARTS[part] for path in sorted(Path(folder).glob(pattern))]


def _make(out: Path, overwrite: bool, inputs: list[Path]) -> bool:
    """Make the folder if it is not there; True if it was made."""
    if (out / "prediction.json").exists():
        raise OutputError(f"{out} is a prediction itself. Choose another folder for the exported files.")
    try:
        if out.is_dir():
            if any(out.iterdir()) and not overwrite:
                raise OutputError(f"{out} is not empty. Choose another folder, or add --overwrite to write into it.")
            for path in exported(out, *PARTS):
                if any(i.exists() and path.samefile(i) for i in inputs):
                    raise OutputError(f"{path} is one of the inputs and would be lost. Choose another folder.")
            return False
        out.mkdir(parents=True)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"The folder {out} cannot be made ({error}). Choose another place.") from error
    return True
