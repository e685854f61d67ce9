"""What several commands share: places, devices, and how images and labels are read."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import sys
from collections.abc import Callable, Collection

from cscl.options import add_fields

__all__ = [
    "IMAGES", "NOT_FOUND", "Arguments", "add_images", "add_labels", "add_overwriting", "add_running", "together",
    "warn",
]  # fmt: skip

Arguments = argparse.Namespace
IMAGES = (
    "Images: a folder of GeoTIFFs, Sentinel-2 products (SAFE folders or zips) or single bands, NetCDF, Zarr, STAC "
    "items, an EOPatch, or one GeoTIFF of all dates"
)
NOT_FOUND = (
    "The model that made {} is not found, so nothing says whether it has learnt from these labels. If it has, name it "
    "with --held-out-of: otherwise "
)


def add_images(parser: argparse.ArgumentParser, *, without: Collection[str] = ()) -> None:
    """Give a parser the options that say how images are read, but for some."""
    from cscl.data.readers import ReadOptions

    add_fields(parser, ReadOptions, "reading the images", without=without)


def add_labels(parser: argparse.ArgumentParser, *, images: bool = False) -> None:
    """Give a parser the options that say how labels are read; onto `images` at hand outlines can be moved."""
    from cscl.data.scenes import LabelOptions

    add_fields(parser, LabelOptions, "reading the labels", without=() if images else ("align",))


def add_running(parser: argparse.ArgumentParser) -> None:
    """Give a parser the device and ``--overwrite``."""
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"], help="Where to compute")
    add_overwriting(parser)


def add_overwriting(parser: argparse.ArgumentParser) -> None:
    """Give a parser ``--overwrite``."""
    parser.add_argument("--overwrite", action="store_true", help="Replace what is there")


def together(command: Callable[[Arguments], None]) -> Callable[[Arguments], None]:
    """Let a command share its work with the processes that torchrun has started, if it has.

    All but the first say nothing but errors, and leave nothing.
    """

    @functools.wraps(command)
    def run(args: Arguments) -> None:
        from cscl.errors import InputError
        from cscl.training.team import is_lost, joined

        with joined(args.device) as seat, contextlib.ExitStack() as stack:
            if seat is not None:
                args = Arguments(**{**vars(args), "device": seat.device})
            if seat is not None and seat.scratch is not None:
                args = Arguments(
                    **{**vars(args), "out": str(seat.scratch / "model"), "resume": False, "overwrite": False}
                )
                nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
                stack.enter_context(contextlib.redirect_stdout(nowhere))
                stack.enter_context(contextlib.redirect_stderr(nowhere))
            try:
                command(args)
            except RuntimeError as error:
                if seat is None or seat.scratch is None or not is_lost(error):
                    raise
                first = str(error).splitlines()[0]
                raise InputError(f"Another process has stopped; what it says is the reason. ({first})") from error

    return run


def warn(text: str) -> None:
    """Say what must not be overlooked."""
    print(f"WARNING: {text}", file=sys.stderr)
