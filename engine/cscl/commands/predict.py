"""``cscl predict``: a map of images by a trained model."""

from __future__ import annotations

import argparse

from cscl.errors import InputError
from cscl.options import add_fields, read_fields
from cscl.terminal import drive

from .shared import IMAGES, Arguments, add_images, add_running

__all__ = ["predict", "predict_arguments"]


def predict(args: Arguments) -> None:
    """Map images, or say what that would take."""
    from cscl.data.readers import ReadOptions, open_cube
    from cscl.inference.plan import plan_map
    from cscl.inference.predict import PredictOptions, Workers
    from cscl.inference.predict import predict as mapping

    cube, options = open_cube(args.images, read_fields(args, ReadOptions)), read_fields(args, PredictOptions)
    if args.plan:
        for line in drive(plan_map(args.model, cube, args.out, options, device=args.device), args.quiet).iter_lines():
            print(line)
        return
    if args.workers is not None and args.workers < 1:
        raise InputError(f"{args.workers} processes map nothing. Give --workers at least 1, or leave it out.")
    workers = Workers(args.workers or 0, args.cluster) if args.workers or args.cluster else None
    job = mapping(
        args.model, cube, args.out, options, device=args.device, overwrite=args.overwrite, resume=args.resume,
        keep=True, workers=workers,
    )  # fmt: skip
    drive(job, args.quiet)
    print(args.out)


def predict_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl predict``."""
    from cscl.inference.predict import PredictOptions

    parser.add_argument("model", help="Model folder")
    parser.add_argument("images", help=IMAGES)
    parser.add_argument("out", help="Folder to make")
    parser.add_argument(
        "--plan", action="store_true", help="Say how long it takes, here and for a country; write nothing"
    )
    parser.add_argument("--resume", action="store_true", help="Go on with the unfinished map of this name")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="Map with N processes of this machine, on GPUs one each"
    )
    parser.add_argument(
        "--cluster", default="", metavar="ADDRESS",
        help="Map with the processes of a scheduler of dask.distributed: address, e.g. tcp://10.0.0.1:8786, or file",
    )  # fmt: skip
    add_running(parser)
    add_images(parser)
    add_fields(parser, PredictOptions, "the map")
