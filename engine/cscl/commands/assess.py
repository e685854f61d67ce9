"""``cscl assess``: how good a map is, and where and why it is wrong."""

from __future__ import annotations

import argparse
from pathlib import Path

from cscl.options import add_fields, read_fields
from cscl.terminal import drive

from .shared import NOT_FOUND, Arguments, add_images, add_labels, add_overwriting, warn

__all__ = ["assess", "assess_arguments"]

FLATTERED = (
    "{} learnt from this scene, so that the figures flatter the map. Add --held-out-of {} to judge only what was held "
    "back."
)


def assess(args: Arguments) -> None:
    """Compare a map with labels, and write what that shows."""
    from cscl.data.maps import open_map
    from cscl.data.readers import ReadOptions, open_cube
    from cscl.data.scenes import LabelOptions, open_labels, open_parcels
    from cscl.grid import Window, require_same
    from cscl.inference import assess as job
    from cscl.inference.assess_files import MARK, write_assessment
    from cscl.inference.judging import everything, held_out
    from cscl.inference.learnt import model_of, model_that_learnt_from
    from cscl.results import require_place

    require_place(Path(args.out), MARK, overwrite=args.overwrite)
    prediction, labelling = open_map(args.prediction), read_fields(args, LabelOptions)
    labels = open_labels(args.labels, prediction.grid, labelling, known=prediction.legend)
    model = model_that_learnt_from(prediction, labels.grid)
    if model is not None and not args.held_out_of:
        warn(FLATTERED.format(model, model))
    elif not args.held_out_of and model_of(prediction) is None:
        warn(NOT_FOUND.format(prediction.name) + "the figures flatter the map.")
    cube = open_cube(args.images, read_fields(args, ReadOptions)) if args.images else None
    if cube is not None:
        require_same(prediction.grid, cube.grid, f"The map {prediction.name} and the images {cube.name}")
    window = Window.parse(args.window, labels.ids.shape) if args.window else None
    parcels = None if labels.parcel_ids is None else open_parcels(args.labels, labelling)
    judged = held_out(labels, args.held_out_of) if args.held_out_of else everything(labels, model)
    options = read_fields(args, job.AssessOptions)
    found = drive(job.assess(prediction, labels, options, judged=judged, parcels=parcels, window=window), args.quiet)
    files = write_assessment(
        found, args.out, prediction, cube=cube, parcels=parcels, window=window, overwrite=args.overwrite
    )
    page = drive(files, args.quiet)
    print(args.out if args.quiet else f"{found.atlas.summary()}\n{page}")


def assess_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl assess``."""
    from cscl.inference.assess import AssessOptions

    parser.add_argument("prediction", help="Folder that cscl predict made")
    parser.add_argument("labels", help="Parcels or a label raster to compare with")
    parser.add_argument("out", help="Report folder to make; index.html in it shows all")
    parser.add_argument("--images", metavar="IMAGES", help="Images of the season, to show the worst cases on")
    parser.add_argument("--window", metavar="R:R,C:C", help="Score these rows and columns only, e.g. 0:101,50:100")
    parser.add_argument("--held-out-of", metavar="MODEL", help="Score only what this model held back as test blocks")
    add_overwriting(parser)
    add_labels(parser)
    add_fields(parser, AssessOptions, "the report")
    add_images(parser)
