"""``cscl align``: how far outlines lie off the images, and outlines moved back."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from cscl.options import add_fields, read_fields
from cscl.terminal import drive

from .shared import IMAGES, Arguments, add_images, add_labels, add_overwriting

__all__ = ["align", "align_arguments"]


def align(args: Arguments) -> None:
    """Say how far the outlines lie off; on request, write corrected ones and a report."""
    from cscl.data.readers import ReadOptions, open_cube
    from cscl.data.scenes import LabelOptions, open_parcels
    from cscl.errors import InputError
    from cscl.inference.align import AlignOptions, estimate_offset, offsets_by_date
    from cscl.inference.align_files import MARK, require_corrected, write_corrected, write_offset
    from cscl.results import require_place

    reading = read_fields(args, LabelOptions)
    if args.by != "scene" and not args.out:
        raise InputError(f"Name a file for the corrected outlines with --by {args.by}, such as corrected.gpkg.")
    if args.out:
        require_corrected(Path(args.out), overwrite=args.overwrite, inputs=[args.parcels])
    if args.report:
        require_place(Path(args.report), MARK, overwrite=args.overwrite)
    cube, parcels = open_cube(args.images, read_fields(args, ReadOptions)), open_parcels(args.parcels, reading)
    options = read_fields(args, AlignOptions)
    if args.bands:  # the user has chosen
        options = replace(options, all_bands=True)
    offset = drive(estimate_offset(cube, parcels, options, each=args.by == "parcels"), args.quiet)
    print(offset.words)
    if offset.spread_m == offset.spread_m and not args.quiet:
        print(f"Tiles really differ by {offset.spread_m:.1f} m (standard deviation along one axis).")
    dates = drive(offsets_by_date(cube, parcels, options), args.quiet) if args.by_date else None
    if dates is not None:
        shown = dates.drop(columns=["clear", "reason"])
        shown.loc[~dates["clear"], shown.columns[1:]] = float("nan")
        print(shown.to_string(index=False, float_format="{:+.1f}".format, na_rep="not clear"))
    if args.report:
        print(drive(write_offset(offset, args.report, dates, overwrite=args.overwrite), args.quiet))
    if args.out:
        job = write_corrected(
            offset, args.parcels, args.out, layer=reading.layer, crs=reading.parcels_crs, by=args.by,
            overwrite=args.overwrite,
        )  # fmt: skip
        print(drive(job, args.quiet))


def align_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl align``."""
    from cscl.inference.align import AlignOptions

    parser.add_argument("images", help=IMAGES)
    parser.add_argument("parcels", help="Outlines: GeoPackage, GeoJSON, Shapefile, FlatGeobuf or GeoParquet")
    parser.add_argument("out", nargs="?", help="GeoPackage to make, with the outlines moved back; none by default")
    parser.add_argument(
        "--by", default="scene", choices=["scene", "tiles", "parcels"],
        help="Move all outlines alike, by what each tile says (smoothed), or each parcel by itself (default: scene)",
    )  # fmt: skip
    parser.add_argument("--by-date", action="store_true", help="Also say the offset of each date alone")
    parser.add_argument("--report", metavar="FOLDER", help="Write a page with figures and the table of tiles")
    add_overwriting(parser)
    add_fields(parser, AlignOptions, "the offset")
    add_images(parser)
    add_labels(parser)
