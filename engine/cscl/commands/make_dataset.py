"""``cscl make-dataset``: images and parcels cut into a dataset; ``cscl export-dataset``: it, in others' layouts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from cscl.options import add_fields, read_fields
from cscl.terminal import drive

from .shared import IMAGES, Arguments, add_images, add_labels, add_overwriting

__all__ = ["export_dataset", "export_dataset_arguments", "make_dataset", "make_dataset_arguments"]


def make_dataset(args: Arguments) -> None:
    """Cut images and parcels into patches."""
    from cscl.patches import make
    from cscl.patches.options import PatchOptions

    options = read_fields(args, PatchOptions)
    pairs = [_pair(args, *paths) for paths in ((args.images, args.parcels), *args.also)]
    legend = _legend(args, [parcels for _, parcels in pairs])
    job = make.make_dataset(pairs, args.out, options, legend=legend, workers=args.workers, overwrite=args.overwrite)
    print(drive(job, args.quiet))


def _legend(args: Arguments, registers: Sequence[Any]) -> Any:
    """Legend of a file, or of all codes that occur."""
    from cscl.legend import Legend

    if args.legend:
        return Legend.from_csv(args.legend)
    own = [parcels.legend(args.name_column) for parcels in registers]
    legend = own[0]
    for other in own[1:]:
        names = {c.code: c.name for c in other.classes}
        legend = legend.extended(list(names), names)
    return legend


def _pair(args: Arguments, images: str, parcels: str) -> Any:
    from cscl.data.readers import ReadOptions, open_cube
    from cscl.data.scenes import LabelOptions, is_vector, open_parcels, with_crops
    from cscl.errors import InputError
    from cscl.inference.align_labels import aligned

    reading = read_fields(args, LabelOptions)
    if not is_vector(parcels):
        raise InputError(
            f"{parcels} is not a file of polygons. A dataset needs parcels as polygons, for the parcel of each pixel "
            "and its share: give a GeoPackage, GeoJSON, Shapefile, FlatGeobuf or GeoParquet."
        )
    cube, found = open_cube(images, read_fields(args, ReadOptions)), with_crops(open_parcels(parcels, reading))
    if reading.align != "no":
        found = drive(aligned(found, cube, reading.align), args.quiet)
    return cube, found


def make_dataset_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl make-dataset``."""
    from cscl.patches.options import PatchOptions

    parser.add_argument("images", help=IMAGES)
    parser.add_argument("parcels", help="Outlines: GeoPackage, GeoJSON, Shapefile, FlatGeobuf or GeoParquet")
    parser.add_argument("out", help="Folder to make")
    parser.add_argument(
        "--also", nargs=2, action=_Pairs, default=[], metavar=("IMAGES", "PARCELS"),
        help="Another scene, read with the same options; its dates may differ. Repeatable",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, default=1, help="Threads; the result is the same (default: 1)")
    add_overwriting(parser)
    add_fields(parser, PatchOptions, "the patches")
    add_images(parser)
    add_labels(parser, images=True)


class _Pairs(argparse.Action):
    def __call__(
        self, parser: argparse.ArgumentParser, namespace: Arguments, values: str | Sequence[Any] | None,
        option: str | None = None,
    ) -> None:  # fmt: skip
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), tuple(values or ())])


def export_dataset(args: Arguments) -> None:
    """Write a dataset in another layout."""
    from cscl.data.datasets import open_dataset
    from cscl.patches.layouts import export_dataset as export

    print(
        drive(export(open_dataset(args.folder, args.layout), args.to, args.out, overwrite=args.overwrite), args.quiet)
    )


def export_dataset_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl export-dataset``."""
    parser.add_argument("folder", help="Folder of the dataset")
    parser.add_argument(
        "to", choices=["pastis", "pastis24", "t31tfm"],
        help="pastis: PASTIS; pastis24 and t31tfm: what DeepSatModels reads, 10 bands of patches, or 13 with shares",
    )  # fmt: skip
    parser.add_argument("out", help="Folder to make")
    parser.add_argument("--layout", help="Layout of the folder; default: what it looks like")
    add_overwriting(parser)
