"""An assessment as files: page, report, tables, figures, and parcels and edges for a GIS."""

from __future__ import annotations

from pathlib import Path

from cscl.cube import SITSCube
from cscl.events import Job, Progress
from cscl.export.errors_gpkg import export_error_map, export_errors
from cscl.export.part_files import result_folder, write_figures
from cscl.export.report_figures import report_figures
from cscl.export.report_page import write_report_page
from cscl.grid import Window, crop
from cscl.parcels import Parcels
from cscl.products import Prediction

from .assess import Assessment

__all__ = ["MARK", "write_assessment"]

MARK = "report.json"


def write_assessment(
    found: Assessment,
    out: str | Path,
    prediction: Prediction,
    *,
    cube: SITSCube | None = None,
    parcels: Parcels | None = None,
    window: Window | None = None,
    overwrite: bool = False,
) -> Job[Path]:
    """Write an assessment into a folder; its files appear when all are whole.

    ``index.html`` shows all of it and needs no other file; ``report.md``, ``report.json`` and the tables (CSV) hold its
    figures, the PNG its charts; ``errors.gpkg`` and ``errors.tif`` open in QGIS with their styles.

    Parameters
    ----------
    found : Assessment
        What was found.
    out : path
        Folder to make.
    prediction : Prediction
        The map.
    cube : SITSCube, optional
        The images: the page shows the worst cases on them.
    parcels : Parcels, optional
        The polygons behind the labels; without them parcels are drawn along pixels.
    window : Window, optional
        What was assessed: the figure of errors shows it alone.
    overwrite : bool
        Replace the files of a former report. Other files in the folder stay.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputError
        If something is there that may not be replaced, or the files cannot be written. Nothing half-written stays.
    """
    atlas = found.atlas
    errors, grid = atlas.kinds_YX, atlas.grid
    if window is not None:
        errors, grid = errors[window.slices], crop(grid, window)
    with result_folder(out, MARK, overwrite=overwrite) as folder:
        yield Progress("writing the report", 0, 1, "report")
        found.report.write_into(folder)
        yield Progress("writing the report", 1, 1, "report")
        yield from write_figures(report_figures(found.report, errors, grid), folder)
        if len(atlas.parcels) or len(atlas.edges):
            yield from export_errors(folder / "errors.gpkg", atlas, parcels)
        yield from export_error_map(folder / "errors.tif", atlas)
        yield from write_report_page(folder / "index.html", found.report, atlas, prediction, cube)
    return Path(out) / "index.html"
