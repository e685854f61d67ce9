"""``cscl export``: a map, or a model and images, as files for QGIS, reports and catalogues."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cscl.errors import InputError
from cscl.options import add_fields, read_fields
from cscl.terminal import drive

from .shared import IMAGES, NOT_FOUND, Arguments, add_images, add_labels, add_running, warn

if TYPE_CHECKING:
    from cscl.cube import SITSCube
    from cscl.products import Embedding, Prediction

__all__ = ["export", "export_arguments"]

EDGES = "edge strength"


def export(args: Arguments) -> None:
    """Write parts of a map; of a model and images, make the map first."""
    from cscl.data.maps import open_map
    from cscl.data.readers import ReadOptions, open_cube
    from cscl.export.bundle import require_folder
    from cscl.products import Embedding

    parts, out = _parts(args), Path(args.out)
    given = [Path(path) for path in (args.labels, args.parcels) if path]
    is_model = (Path(args.source) / "card.json").is_file()
    if is_model and not args.images:
        raise InputError(f"{args.source} is a model. Say what it shall map: cscl export {args.source} IMAGES {out}")
    require_folder(out, overwrite=args.overwrite, inputs=given)
    cube = open_cube(args.images, read_fields(args, ReadOptions)) if args.images else None
    embedding = Embedding.open(args.embedding) if args.embedding else None
    if not is_model or cube is None:
        _deliver(args, parts, open_map(args.source), cube, embedding)
    else:
        with _mapped(args, cube, parts) as (prediction, seen):
            _deliver(args, parts, prediction, cube, embedding or seen)
    print(out)


@contextmanager
def _mapped(args: Arguments, cube: SITSCube, parts: list[str]) -> Iterator[tuple[Prediction, Embedding | None]]:
    """Lend a map beside the folder to be, with what the network sees where that is wanted; both go in the end.

    The map took the time, so that it stays where the export fails.
    """
    from cscl.inference.embed import embed
    from cscl.inference.predict import PredictOptions, predict

    out = Path(args.out)
    place, seen = (out.with_name(f"{out.name}.{what}") for what in ("map", "embedding"))
    options = replace(read_fields(args, PredictOptions), probabilities="probabilities" in parts)
    how: dict[str, Any] = {"device": args.device, "overwrite": args.overwrite}
    job = predict(args.source, cube, place, options, **how, resume=args.resume, keep=True)
    prediction = replace(drive(job, args.quiet), name=out.name)
    try:
        wanted = EDGES in parts and not args.embedding
        yield prediction, drive(embed(args.source, cube, seen, **how), args.quiet) if wanted else None
    except BaseException:
        warn(f"The map itself is whole: cscl export {place} {out} goes on with it.")
        raise
    else:
        shutil.rmtree(place, ignore_errors=True)
    finally:
        shutil.rmtree(seen, ignore_errors=True)


def _deliver(
    args: Arguments, parts: list[str], prediction: Prediction, cube: SITSCube | None, embedding: Embedding | None
) -> None:
    from cscl.data.scenes import LabelOptions, open_labels, open_parcels
    from cscl.export.area_rows import read_areas
    from cscl.export.bundle import About
    from cscl.export.fields import FieldOptions
    from cscl.inference.deliver import deliver
    from cscl.inference.learnt import model_of

    labelling, model = read_fields(args, LabelOptions), model_of(prediction)
    labels = open_labels(args.labels, prediction.grid, labelling, known=prediction.legend) if args.labels else None
    if labels is not None and model is None:
        warn(NOT_FOUND.format(prediction.name) + "the figures flatter the map.")
    outlines = args.parcels or (args.labels if labels is not None and labels.parcel_ids is not None else "")
    parcels = open_parcels(outlines, labelling) if outlines else None
    about = About(title=args.title, areas=read_areas(args.areas) if args.areas else None, licence=args.licence)
    job = deliver(
        prediction, args.out, parts, parcels=parcels, labels=labels, report=args.report or None, embedding=embedding,
        cube=cube, model=model, fields=read_fields(args, FieldOptions), about=about, overwrite=args.overwrite,
    )  # fmt: skip
    drive(job, args.quiet)


def _parts(args: Arguments) -> list[str]:
    """Parts of an export that are wanted: those that are named, or the usual ones and those asked for besides."""
    from cscl.export.bundle import USUAL, require_parts

    def named(text: str) -> list[str]:
        return require_parts(part.strip() for part in text.split(",") if part.strip())

    without = named(args.without)
    wanted = [*(named(args.only) or USUAL), *named(args.also), *([EDGES] if args.embedding else [])]
    return [part for part in dict.fromkeys(wanted) if part not in without]


def export_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl export``."""
    from cscl.export.bundle import ON_REQUEST, USUAL
    from cscl.export.fields import FieldOptions
    from cscl.inference.predict import PredictOptions

    parser.add_argument("source", help="Folder that cscl predict made; or a model, to map images with first")
    parser.add_argument("images", nargs="?", help=f"{IMAGES}. With a map they are shown in the report")
    parser.add_argument("out", help="Folder to make")
    parser.add_argument("--parcels", metavar="FILE", help="Parcels to give their majority crop")
    parser.add_argument("--labels", metavar="FILE", help="Known crops (parcels or a raster), to judge the map by")
    parser.add_argument("--report", metavar="FOLDER", help="What cscl assess wrote, instead of judging by --labels")
    parser.add_argument("--embedding", metavar="FOLDER", help="What cscl embed made: adds the edge strength")
    parser.add_argument("--areas", metavar="FOLDER", help="What cscl area wrote: areas with intervals, for the page")
    parser.add_argument("--only", default="", metavar="A,B,...", help=f"Parts to write (default: {', '.join(USUAL)})")
    parser.add_argument("--also", default="", metavar="A,B,...", help=f"More parts to write: {', '.join(ON_REQUEST)}")
    parser.add_argument("--without", default="", metavar="A,B,...", help="Parts to leave out")
    parser.add_argument("--title", default="", help="What the page and the catalogue entry are called")
    parser.add_argument("--licence", default="", help="Licence of the model, for its card, e.g. CC-BY-4.0")
    parser.add_argument("--resume", action="store_true", help="Go on with the unfinished map of a model and images")
    add_running(parser)
    add_fields(parser, FieldOptions, "the fields")
    add_labels(parser)
    add_images(parser)
    add_fields(parser, PredictOptions, "the map, where a model makes it", without=("probabilities",))
