"""All that a user takes away from a prediction, in one folder: crop map, confidence, parcels, legend and styles."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from cscl.errors import OutputError
from cscl.events import Job
from cscl.parcels import Parcels
from cscl.products import Prediction

from .draft import draft
from .geotiff import export_classes, export_confidence
from .vector import export_parcels

__all__ = ["export"]

_FILES = ("crop_map.tif", "confidence.tif", "parcels.gpkg", "legend.csv")


def export(
    prediction: Prediction,
    out: str | Path,
    parcels: Parcels | None = None,
    *,
    overwrite: bool = False,
    inputs: Iterable[str | Path] = (),
) -> Job[Path]:
    """Write a prediction for use in a GIS.

    Parameters
    ----------
    prediction : Prediction
        What to write.
    out : path
        Folder to make. It will hold ``crop_map.tif`` with its ``.aux.xml`` and ``.qml``, ``confidence.tif``,
        ``legend.csv`` and, if there are parcels, ``parcels.gpkg`` with its ``.qml``.
    parcels : Parcels, optional
        Polygons to judge one by one.
    overwrite : bool
        Write into a folder that is not empty, replacing files of these names. Other files in it stay.
    inputs : iterable of path
        Files that must not be written over, such as the file that the parcels come from.

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
    """
    out = Path(out)
    made = _make(out, overwrite, [Path(p) for p in inputs])
    try:
        with draft(out, "export") as folder:
            yield from export_classes(prediction, folder / "crop_map.tif")
            yield from export_confidence(prediction, folder / "confidence.tif")
            if parcels is not None:
                yield from export_parcels(prediction, parcels, folder / "parcels.gpkg")
            prediction.legend.to_csv(folder / "legend.csv")
        made = False
    finally:
        if made:
            with suppress(OSError):
                out.rmdir()
    return out


def _make(out: Path, overwrite: bool, inputs: list[Path]) -> bool:
    """Make the folder if it is not there; True if it was made."""
    if (out / "prediction.json").exists():
        raise OutputError(f"{out} is a prediction itself. Choose another folder for the exported files.")
    try:
        if out.is_dir():
            if any(out.iterdir()) and not overwrite:
                raise OutputError(f"{out} is not empty. Choose another folder, or add --overwrite to write into it.")
            for path in (out / name for name in _FILES):
                if path.exists() and any(i.exists() and path.samefile(i) for i in inputs):
                    raise OutputError(f"{path} is one of the inputs and would be lost. Choose another folder.")
            return False
        out.mkdir(parents=True)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"The folder {out} cannot be made ({error}). Choose another place.") from error
    return True
