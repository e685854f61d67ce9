"""``cscl sample`` and ``cscl area``: areas and accuracy with standard errors, from a sample that a person judges."""

from __future__ import annotations

import argparse
from pathlib import Path

from cscl.options import add_fields, read_fields
from cscl.terminal import drive

from .shared import Arguments, add_overwriting

__all__ = ["area", "area_arguments", "sample", "sample_arguments"]


def sample(args: Arguments) -> None:
    """Draw a stratified sample of a map and write it as points to be filled in."""
    from cscl.data.maps import open_map
    from cscl.inference.sample import RECORD, SampleOptions, draw_sample, write_sample
    from cscl.results import require_place

    require_place(Path(args.out), RECORD, overwrite=args.overwrite)
    drawn = drive(draw_sample(open_map(args.prediction), read_fields(args, SampleOptions)), args.quiet)
    job = write_sample(drawn, args.out, show_class=args.show_class, overwrite=args.overwrite)
    folder = drive(job, args.quiet)
    if args.quiet:
        print(folder)
    else:
        print(f"{drawn.summary()}\nFill in the column 'reference' of {folder / 'sample.gpkg'}, or of sample.csv there;")
        print(f"then: cscl area {args.prediction} {folder} OUT")


def area(args: Arguments) -> None:
    """Estimate areas and accuracy of a map from a sample that was filled in."""
    from cscl.data.maps import open_map
    from cscl.inference.area import AreaOptions, estimate_areas
    from cscl.inference.area_files import MARK, area_part, write_area
    from cscl.inference.filled_sample import read_sample
    from cscl.results import require_place

    require_place(Path(args.out), MARK, overwrite=args.overwrite)
    prediction, filled = open_map(args.prediction), read_sample(args.sample)
    result = drive(estimate_areas(prediction, filled, read_fields(args, AreaOptions)), args.quiet)
    page = drive(write_area(result, args.out, overwrite=args.overwrite), args.quiet)
    if not args.quiet:
        from cscl.export.part_files import in_words

        part = area_part(result)
        print(f"Overall accuracy {in_words(part.values[0])}.")
        for row in part.tables["areas"].to_dict("records"):
            ends = f"{row['area_low_ha']:,.1f} to {row['area_high_ha']:,.1f}"
            print(f"{row['class']}: {row['area_ha']:,.1f} ha ({ends}); {row['mapped_ha']:,.1f} ha on the map")
    print(page)


def sample_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl sample``."""
    from cscl.inference.sample import SampleOptions

    parser.add_argument("prediction", help="Folder that cscl predict made")
    parser.add_argument("out", help="Folder to make")
    parser.add_argument(
        "--show-class", action="store_true", help="Write the mapped class beside each point; who sees it tends to agree"
    )
    add_overwriting(parser)
    add_fields(parser, SampleOptions, "the sample")


def area_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl area``."""
    from cscl.inference.area import AreaOptions

    parser.add_argument("prediction", help="The map that the sample was drawn from")
    parser.add_argument("sample", help="Folder of the sample, or the CSV or GeoPackage that was filled in")
    parser.add_argument("out", help="Folder to make")
    add_overwriting(parser)
    add_fields(parser, AreaOptions, "reading the sample")
