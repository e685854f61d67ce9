"""``cscl search``: ask a catalogue on the network for images, and keep the list as a file that opens as images."""

from __future__ import annotations

import argparse

from cscl.options import add_fields, read_fields
from cscl.terminal import drive

from .shared import Arguments, add_overwriting

__all__ = ["search", "search_arguments"]


def search(args: Arguments) -> None:
    """Search a catalogue."""
    from cscl.data import catalogues

    options = read_fields(args, catalogues.SearchOptions)
    print(drive(catalogues.search(args.out, options, overwrite=args.overwrite), args.quiet))


def search_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl search``."""
    from cscl.data.catalogues import SearchOptions

    parser.add_argument("out", help="File to write, e.g. season.json")
    add_overwriting(parser)
    add_fields(parser, SearchOptions, "the search")
    short = parser.add_argument_group("the same in short")
    short.add_argument(
        "--bbox", dest="region", metavar="W,S,E,N", help="--region; before a minus write --bbox=-5,40,-4,41"
    )
    short.add_argument("--from", dest="first_date", metavar="DATE", help="--first-date")
    short.add_argument("--to", dest="last_date", metavar="DATE", help="--last-date")
