"""The whole chain on simulated data: learn from neighbours, map the sample season, and write a page about it."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path

from cscl.data.readers import open_cube
from cscl.data.sample import sample_season
from cscl.data.scenes import LabelOptions, open_labels, open_parcels
from cscl.errors import OutputError
from cscl.events import Event, Job, Note
from cscl.export.bundle import About, export
from cscl.export.figures import class_map, edge_strength_map, learning_curve, season_strip
from cscl.export.page import Figure, Section, Table, write_page
from cscl.export.report_figures import report_figures
from cscl.inference.assess import assess
from cscl.inference.deliver import with_card
from cscl.inference.embed import edge_strength, embed
from cscl.inference.predict import predict
from cscl.products import Scene
from cscl.recipe import Recipe
from cscl.report import Report
from cscl.simulate import SeasonOptions, simulate, write_season
from cscl.training.pretrain import pretrain
from cscl.training.segment import train

__all__ = ["SAMPLE", "demo"]

SAMPLE = SeasonOptions(size_px=160, seed=27, mosaic_seed=26, dates=16, parcel_size="small")
"""What the sample season that comes with the project was made with."""

CROPS = LabelOptions(class_column="crop", name_column="crop_name")


@dataclass(frozen=True)
class Size:
    """How much the demo does."""

    neighbours: int
    side_px: int
    settings: tuple[str, ...]


MARK = ".made_by_cscl_demo"
WHOLE = Size(4, 160, ("pretrain.steps=300", "train.steps=700"))
QUICK = Size(
    1, 96, ("pretrain.steps=6", "pretrain.batch=8", "train.steps=20", "train.batch=8", "train.validate_every=10")
)


def demo(out: str | Path, *, quick: bool = False, device: str = "auto", overwrite: bool = False) -> Job[Path]:
    """Pre-train and train on simulated neighbours, map the sample season, assess, export, and write a page.

    Parameters
    ----------
    out : path
        Folder to make.
    quick : bool
        A small form for trying the installation; its map is poor.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    overwrite : bool
        Replace a former demo.

    Returns
    -------
    Path
        The page, ``index.html``.

    Raises
    ------
    OutputError
        If the folder exists and `overwrite` is not set.
    """
    out, size = _new_folder(Path(out), overwrite), QUICK if quick else WHOLE
    season, recipe = sample_season(), Recipe().with_settings(size.settings)
    cube = open_cube(season)
    scenes = yield from _neighbours(size, out)
    yield Note("Pre-training on the outlines of the neighbours, without crop labels.")
    start = yield from pretrain(scenes, out / "pretrained", recipe, device=device)
    yield Note("Training on their crops.")
    model = yield from train(scenes, out / "model", recipe, start=start, device=device)
    yield Note("Mapping the sample season, which the model has never seen.")
    prediction = yield from predict(model, cube, out / "prediction", device=device)
    edges = yield from edge_strength((yield from embed(start, cube, out / "embedding.zarr", device=device)))
    labels = open_labels(season / "parcels.gpkg", cube.grid, CROPS, known=prediction.legend)
    found = yield from assess(prediction, labels)
    report = found.report
    report.write(out / "report")
    parcels = open_parcels(season / "parcels.gpkg", CROPS)
    about = with_card(About(title="The sample season (simulated)"), prediction)
    yield from export(prediction, out / "export", parcels, about=about)
    yield Note("Writing the page.")
    seen = [
        Figure("season", season_strip(cube, title="The sample season (simulated)"), "Clearest dates; grey is cloud."),
        Figure("labels", class_map(labels, "Crops in the register"), "What the map is compared with."),
    ]
    made = [
        Figure(
            "edge_strength", edge_strength_map(edges, cube.grid, parcels), "Seen after pre-training on outlines only."
        ),
        Figure("crop_map", class_map(prediction, "Predicted crops"), "The map, as exported for QGIS."),
    ]
    logs = [
        Figure(f"log_{model.name}", learning_curve(_log(model), f"Learning: {model.name}"), "By step.")
        for model in (start, model)
    ]
    wrong = report_figures(report, found.atlas.kinds_YX, cube.grid)
    return write_page(
        out, "A crop map and its boundaries, on simulated data", _sections(report, seen, made, wrong, logs)
    )


def _new_folder(out: Path, overwrite: bool) -> Path:
    """Make the folder, in the place of a former demo if wanted; nothing else is ever removed."""
    if out.exists():
        if not overwrite:
            raise OutputError(f"{out} exists already. Choose another folder, or add --overwrite to replace it.")
        if not (out / MARK).is_file():
            raise OutputError(f"{out} was not made by cscl demo, so it is not replaced. Choose another folder.")
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / MARK).write_text("Made by cscl demo; --overwrite may replace this folder.\n", encoding="utf-8")
    return out


def _neighbours(size: Size, out: Path) -> Generator[Event, None, list[Scene]]:
    """Simulate other places under the overpasses and the weather of the sample, and open them as a user would."""
    scenes = []
    for place in range(1, size.neighbours + 1):
        yield Note(f"Simulating neighbour {place} of {size.neighbours}.")
        season = yield from simulate(replace(SAMPLE, mosaic_seed=SAMPLE.mosaic_seed + place, size_px=size.side_px))
        folder = yield from write_season(season, out / "neighbours" / f"place_{place}")
        cube = open_cube(folder)
        crops = replace(CROPS, legend=str(folder / "legend.csv"))
        scenes.append(Scene(cube, open_labels(folder / "parcels.gpkg", cube.grid, crops)))
    return scenes


def _log(model: Path) -> list[dict[str, str]]:
    with (model / "log.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _sections(
    report: Report, seen: list[Figure], made: list[Figure], wrong: list[Figure], logs: list[Figure]
) -> list[Section]:
    accuracy, split = report.accuracy, report.boundary.split("class boundary")
    rows = [
        ("all known pixels", accuracy.pixels, accuracy.overall_accuracy, accuracy.mean_iou),
        ("at class boundaries", split.boundary.pixels, split.boundary.overall_accuracy, split.boundary.mean_iou),
        ("inside", split.interior.pixels, split.interior.overall_accuracy, split.interior.mean_iou),
    ]
    table = Table(
        ("where", "pixels", "overall accuracy", "mean IoU"), rows, split.definition[:1].upper() + split.definition[1:]
    )
    return [
        Section("What was given", INTRODUCTION, seen),
        Section("What was made", MADE, made),
        Section("How good it is, and where it is wrong", JUDGED, wrong, [table]),
        Section("How it was learnt", LEARNT, logs),
    ]


INTRODUCTION = (
    "All data here are simulated: no such fields exist, and scores on them say nothing about a real region. A model "
    "was pre-trained on the parcel outlines of neighbouring places, then trained on their crops. The place below was "
    "never seen in training."
)
MADE = (
    "Pre-training needs no crop labels: it pulls the embeddings of neighbouring pixels together where they share a "
    "parcel and apart where they do not. Where neighbours disagree, edges show. The crop map is in the folder "
    "'export', with its colours, names and parcels: open crop_map.tif and parcels.gpkg in QGIS."
)
JUDGED = (
    "A pixel lies at a class boundary if its 3 x 3 neighbourhood holds another known class. The full report is in the "
    "folder 'report'; every figure there says which definition of a boundary it uses."
)
LEARNT = "What was measured while the two models learnt. Validation blocks were held back as a whole."
