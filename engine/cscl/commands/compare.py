"""``cscl compare``: two maps on the same truth."""

from __future__ import annotations

import argparse
from pathlib import Path

from cscl.options import add_fields, read_fields
from cscl.terminal import drive

from .shared import Arguments, add_labels, add_overwriting, warn

__all__ = ["compare", "compare_arguments"]

FLATTERED = (
    "{} learnt from this scene, so that the figures flatter what learnt from it. Add --held-out-of {} to judge only "
    "what was held back."
)


def compare(args: Arguments) -> None:
    """Compare two maps with the same labels, and write what that shows."""
    from cscl.data.maps import open_map
    from cscl.data.scenes import LabelOptions, open_labels
    from cscl.errors import InputError
    from cscl.inference.learnt import model_that_learnt_from
    from cscl.inference.look import BlockOptions
    from cscl.inference.versus import held_out_of_all, versus
    from cscl.inference.versus_files import MARK, write_versus
    from cscl.results import require_place

    require_place(Path(args.out), MARK, overwrite=args.overwrite)
    first, second = open_map(args.first), open_map(args.second)
    names = tuple(args.names or (first.name, second.name))
    if names[0] == names[1]:
        raise InputError(f"Both maps are called {names[0]}. Give them names of their own: --names BEFORE AFTER.")
    labels = open_labels(args.labels, first.grid, read_fields(args, LabelOptions), known=first.legend)
    if not args.held_out_of:
        known = [model_that_learnt_from(one, labels.grid) for one in (first, second)]
        models = list(dict.fromkeys(str(model) for model in known if model))
        if models:
            warn(FLATTERED.format(" and ".join(models), " ".join(models)))
    judged = held_out_of_all(labels, *(args.held_out_of or [None]))
    options = read_fields(args, BlockOptions)
    found = drive(versus(first, second, labels, options, judged=judged, names=(names[0], names[1])), args.quiet)
    page = drive(write_versus(found, args.out, overwrite=args.overwrite), args.quiet)
    print(page if args.quiet else f"{found.summary()}\n{page}")


def compare_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl compare``."""
    from cscl.inference.look import BlockOptions

    parser.add_argument("first", help="Folder that cscl predict made: the map to compare with")
    parser.add_argument("second", help="The other map, of the same scene: it wins or loses")
    parser.add_argument("labels", help="Parcels or a label raster: the truth for both")
    parser.add_argument("out", help="Folder to make")
    parser.add_argument(
        "--held-out-of", nargs="+", action="extend", metavar="MODEL",
        help="Judge only what none of these models has seen; name the models of both maps",
    )  # fmt: skip
    parser.add_argument("--names", nargs=2, metavar=("FIRST", "SECOND"), help="What to call the two (default: folders)")
    add_overwriting(parser)
    add_labels(parser)
    add_fields(parser, BlockOptions, "the comparison")
