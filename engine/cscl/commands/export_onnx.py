"""``cscl export-onnx``: a trained model as ONNX, for other programs and for Deepness in QGIS."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cscl.options import add_fields, read_fields
from cscl.terminal import drive

from .shared import IMAGES, Arguments, add_images, add_overwriting

if TYPE_CHECKING:
    from cscl.inference.to_onnx import Written

__all__ = ["export_onnx", "export_onnx_arguments"]


def export_onnx(args: Arguments) -> None:
    """Write a model as ONNX; for Deepness, the raster to open it with, too."""
    from cscl.data.readers import ReadOptions, open_cube
    from cscl.export.draft import refuse
    from cscl.export.stack import write_stack
    from cscl.inference.to_onnx import DeepnessOptions, to_deepness, to_onnx

    if args.deepness is None:
        _tell(drive(to_onnx(args.model, args.out, licence=args.licence, overwrite=args.overwrite), args.quiet))
        return
    raster = Path(args.out).with_suffix(".tif")
    if not args.without_raster:
        refuse(raster, overwrite=args.overwrite, inputs=[args.deepness])
    cube, options = open_cube(args.deepness, read_fields(args, ReadOptions)), read_fields(args, DeepnessOptions)
    job = to_deepness(args.model, cube, args.out, options, licence=args.licence, overwrite=args.overwrite)
    written, suited = drive(job, args.quiet)
    _tell(written)
    if not args.without_raster:
        drive(write_stack(suited, raster, overwrite=args.overwrite, inputs=[args.deepness]), args.quiet)
        print(raster)
    days = ", ".join(str(date) for date in suited.dates.astype("datetime64[D]"))
    print(f"  channels      {written.inputs[0].axes[1]}: of each date the bands {', '.join(suited.bands)}")
    print(f"  dates         {days}")


def _tell(written: Written) -> None:
    print(written.path)
    for port in (*written.inputs, *written.outputs):
        print(f"  {port.name:<13} ({', '.join(str(axis) for axis in port.axes)})")
    print(f"  as in torch   to {written.difference:.0e}")


def export_onnx_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl export-onnx``."""
    from cscl.inference.to_onnx import DeepnessOptions

    parser.add_argument("model", help="Model folder")
    parser.add_argument("out", help="File to make, NAME.onnx")
    parser.add_argument(
        "--deepness", metavar="IMAGES",
        help=f"Write it for Deepness in QGIS and the dates of these images, and beside it the raster to open. {IMAGES}",
    )  # fmt: skip
    parser.add_argument("--without-raster", action="store_true", help="Do not write NAME.tif for Deepness")
    parser.add_argument("--licence", default="", help="Licence of the model, e.g. CC-BY-4.0")
    add_overwriting(parser)
    add_fields(parser, DeepnessOptions, "Deepness")
    add_images(parser)
