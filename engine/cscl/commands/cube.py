"""``cscl cube``: images of any format as one Zarr store."""

from __future__ import annotations

import argparse

from cscl.options import add_fields, read_fields
from cscl.terminal import drive

from .shared import IMAGES, Arguments, add_images, add_overwriting

__all__ = ["cube", "cube_arguments"]


def cube(args: Arguments) -> None:
    """Write images to a Zarr store, or say what that would take."""
    from cscl.data.readers import ReadOptions, open_cube
    from cscl.export.cube import CubeOptions, plan_cube, with_enough, write_cube

    images, options = open_cube(args.images, read_fields(args, ReadOptions)), read_fields(args, CubeOptions)
    if args.plan:
        images = drive(with_enough(images, options.drop_empty), args.quiet)
        for line in drive(plan_cube(images, args.out, options), args.quiet).iter_lines():
            print(line)
        return
    drive(write_cube(images, args.out, options, resume=args.resume, overwrite=args.overwrite), args.quiet)
    print(args.out)


def cube_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl cube``."""
    from cscl.export.cube import CubeOptions

    parser.add_argument("images", help=IMAGES)
    parser.add_argument("out", help="Zarr store to make, e.g. season.zarr")
    parser.add_argument(
        "--plan", action="store_true", help="Say how large it will be and how long it takes; write nothing"
    )
    parser.add_argument("--resume", action="store_true", help="Go on with the unfinished store of this name")
    add_overwriting(parser)
    add_fields(parser, CubeOptions, "the store")
    add_images(parser)
