"""What several commands share: places, devices, and how images and labels are read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection

from cscl.options import add_fields

__all__ = ["IMAGES", "NOT_FOUND", "Arguments", "add_images", "add_labels", "add_overwriting", "add_running", "warn"]

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


def warn(text: str) -> None:
    """Say what must not be overlooked."""
    print(f"WARNING: {text}", file=sys.stderr)
