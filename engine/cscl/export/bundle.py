"""All that a user takes away from a prediction, in one folder: maps, parcels, fields, figures, styles, and metadata."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cscl.card import ModelCard
from cscl.errors import InputError, OutputError
from cscl.events import Job, Note, Progress
from cscl.parcels import Parcels
from cscl.products import Prediction
from cscl.registry import nearest

from .draft import draft
from .fields import FieldOptions, export_fields
from .geotiff import SHARES, export_classes, export_shares
from .metadata import METADATA, add_metadata
from .page import Figure
from .paper import save_figure
from .part_files import files_listed
from .sld import raster_sld
from .vector import export_parcels

__all__ = [
    "MODEL", "ONNX", "ON_REQUEST", "PARTS", "REPORT", "USUAL", "About", "Writer", "export", "exported",
    "require_folder", "require_parts",
]  # fmt: skip

REPORT = "report"
"""Folder of what an assessment found, inside an export."""

MODEL, ONNX = "model", "model.onnx"
"""Folder and file of the model, inside an export."""

PARTS = {
    "crop map": ("crop_map.tif", "crop_map.tif.aux.xml", "crop_map.qml", "crop_map.sld", "legend.csv"),
    "confidence": ("confidence.tif",),
    "margin": ("margin.tif",),
    "probabilities": ("probabilities.tif",),
    "edge strength": ("edge_strength.tif",),
    "parcels": ("parcels.gpkg", "parcels.parquet", "parcels.codes.csv", "parcels.qml", "parcels.sld"),
    "fields": ("fields.gpkg", "fields.qml", "fields.sld"),
    "report": (f"{REPORT}/*",),
    "model": (f"{MODEL}/*",),
    "onnx": (ONNX,),
    "figures": ("figure_*.png",),
    **METADATA,
}
"""Files of each part of an export, as patterns, in the order in which they are written."""

ELSEWHERE = ("edge strength", "report", "model", "onnx")
ON_REQUEST = ("probabilities", "edge strength", "model", "onnx")
USUAL = tuple(part for part in PARTS if part not in ON_REQUEST)

Writer = Callable[[Path], Job[Any]]
"""Writes the files of a part into a folder in the making."""


@dataclass(frozen=True)
class About:
    """What is known of a map besides its pixels, and told by the page, the model card and the catalogue.

    Parameters
    ----------
    title : str
        Of page and catalogue; by default they say what was mapped.
    card : ModelCard, optional
        Of the model that made the map; without it there is no model card.
    report : mapping, optional
        What an assessment found: `cscl.export.model_card.read_report`.
    areas : DataFrame, optional
        Estimated areas: `cscl.export.area_rows.read_areas`.
    licence : str
        For the model card.
    derived_from : tuple of str
        Addresses of the images.
    """

    title: str = ""
    card: ModelCard | None = None
    report: Mapping[str, Any] | None = None
    areas: pd.DataFrame | None = None
    licence: str = ""
    derived_from: tuple[str, ...] = ()


def export(
    prediction: Prediction,
    out: str | Path,
    parcels: Parcels | None = None,
    *,
    parts: Collection[str] = USUAL,
    figures: Sequence[Figure] = (),
    writers: Mapping[str, Writer] | None = None,
    fields: FieldOptions | None = None,
    about: About | None = None,
    overwrite: bool = False,
    inputs: Iterable[str | Path] = (),
) -> Job[Path]:
    """Write a prediction for use in a GIS, in reports and in catalogues.

    Parameters
    ----------
    prediction : Prediction
        What to write.
    out : path
        Folder to make; the files in it are those of `PARTS`.
    parcels : Parcels, optional
        Polygons to judge one by one; without them that part is left out.
    parts : collection of str
        Of `PARTS`; ``figures`` are those of the next argument, and ``margin`` is left out where the map has none.
    figures : sequence of Figure
        Drawings to write as ``figure_<name>.png``.
    writers : mapping of str to Writer, optional
        What writes the parts that need more than the map: ``edge strength``, ``report``, ``model`` and ``onnx``;
        without one such a part is left out.
    fields : FieldOptions, optional
        Least size and smoothing of the part ``fields``.
    about : About, optional
        What the last parts tell of the map.
    overwrite : bool
        Write into a folder that is not empty, replacing files of these names when all new ones are whole. Other files
        in it stay; a warning names those that tell of a former export.
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
    InputError, UnknownNameError
        If there is nothing to write, or a part is none of `PARTS`.
    """
    out, about, writers = Path(out), about or About(), writers or {}
    there = {
        "margin": prediction.margin is not None, "parcels": parcels is not None, "figures": bool(figures),
        **{part: part in writers for part in ELSEWHERE},
    }  # fmt: skip
    chosen = {part for part in require_parts(parts) if there.get(part, True)}
    if not chosen - set(METADATA):
        raise InputError(
            "Nothing was chosen for export. Choose the crop map, the confidence, parcels, fields or figures."
        )
    sources = [*map(Path, inputs), *([parcels.path] if parcels is not None and parcels.path is not None else [])]
    require_folder(out, overwrite=overwrite, inputs=sources)
    if prediction.path is not None and out.exists() and out.samefile(prediction.path):
        raise OutputError(f"{out} holds the very map that is exported. Choose another folder.")
    made = _make(out)
    former = files_listed(out / REPORT)
    try:
        with draft(out, "export") as folder:
            yield from _maps(prediction, folder, chosen)
            if parcels is not None and "parcels" in chosen:
                yield from export_parcels(prediction, parcels, folder / "parcels.gpkg")
            if "fields" in chosen:
                yield from export_fields(prediction, folder / "fields.gpkg", fields)
            for done, figure in enumerate(figures if "figures" in chosen else ()):
                yield Progress("drawing figures", done, len(figures), "figure")
                save_figure(figure.drawing, folder / f"figure_{figure.name}.png")
            for part in ELSEWHERE:
                if part in chosen:
                    yield from writers[part](folder)
            yield from add_metadata(
                folder, prediction, chosen, card=about.card, report=about.report, areas=about.areas, title=about.title,
                licence=about.licence, derived_from=about.derived_from,
            )  # fmt: skip
        made = False
        if "report" in chosen:  # tables of two reports never lie side by side
            for name in former - files_listed(out / REPORT):
                (out / REPORT / name).unlink(missing_ok=True)
    finally:
        if made:
            with suppress(OSError):
                out.rmdir()
    stale = [path.name for path in exported(out, *(part for part in METADATA if part not in chosen))]
    if stale:
        yield Note(
            f"Of a former export, {out} still holds {', '.join(stale)}. Export these parts, too, or remove the files.",
            warning=True,
        )
    return out


def exported(folder: str | Path, *parts: str) -> list[Path]:
    """List the files of these `PARTS` that lie in a folder."""
    found = (path for part in parts for pattern in PARTS[part] for path in sorted(Path(folder).glob(pattern)))
    return [path for path in found if not path.name.startswith(".")]


def require_parts(parts: Iterable[str]) -> list[str]:
    """Return the names as they are.

    Raises
    ------
    UnknownNameError
        If one is none of `PARTS`.
    """
    chosen = list(parts)
    for part in chosen:
        if part not in PARTS:
            raise nearest(part, list(PARTS), "part", "an export")
    return chosen


def _maps(prediction: Prediction, folder: Path, chosen: Collection[str]) -> Job[None]:
    if "crop map" in chosen:
        yield from export_classes(prediction, folder / "crop_map.tif")
        (folder / "crop_map.sld").write_text(raster_sld(prediction.legend), encoding="utf-8")
        prediction.legend.to_csv(folder / "legend.csv")
    for part in SHARES:
        if part in chosen:
            yield from export_shares(prediction, part, folder / f"{part}.tif")


def require_folder(out: str | Path, *, overwrite: bool, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse a folder that must not be exported to; see `export`.

    Raises
    ------
    OutputError
        If it is a prediction, holds what may not be replaced, or is no folder.
    """
    out = Path(out)
    if (out / "prediction.json").exists():
        raise OutputError(f"{out} is a prediction itself. Choose another folder for the exported files.")
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file. Choose another name for the folder of the exported files.")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise OutputError(f"{out} is not empty. Choose another folder, or add --overwrite to write into it.")
    for path in exported(out, *PARTS):
        if any(Path(i).exists() and path.samefile(i) for i in inputs):
            raise OutputError(f"{path} is one of the inputs and would be lost. Choose another folder.")


def _make(out: Path) -> bool:
    """Make the folder if it is not there; True if it was made."""
    if out.is_dir():
        return False
    try:
        out.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"The folder {out} cannot be made ({error}). Choose another place.") from error
    return True
