"""``cscl coarsen``: a map with fewer, larger pixels."""

from __future__ import annotations

import argparse

from cscl.options import add_fields, read_fields
from cscl.terminal import drive

from .shared import Arguments, add_overwriting

__all__ = ["coarsen", "coarsen_arguments"]


def coarsen(args: Arguments) -> None:
    """Join the pixels of a map."""
    from cscl.data.maps import open_map
    from cscl.inference import coarsen as job

    prediction, options = open_map(args.prediction), read_fields(args, job.CoarsenOptions)
    drive(job.coarsen(prediction, args.out, options, overwrite=args.overwrite), args.quiet)
    print(args.out)


def coarsen_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl coarsen``."""
    from cscl.inference.coarsen import CoarsenOptions

    parser.add_argument("prediction", help="Folder that cscl predict made, e.g. of 2.5 m")
    parser.add_argument("out", help="Folder to make")
    add_overwriting(parser)
    add_fields(parser, CoarsenOptions, "the map")
