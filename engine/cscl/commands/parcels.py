"""``cscl parcels``: what a register holds, what was repaired, and where it contradicts itself."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cscl.options import add_fields, read_fields
from cscl.terminal import drive

from .shared import Arguments, add_images, add_overwriting

__all__ = ["parcels", "parcels_arguments"]

MARK = "issues.csv"
SHOWN = 8
TABLES = ("parcels", "codes", "issues", "conflicts")


def parcels(args: Arguments) -> None:
    """Look at a register, alone or on images; say what was found, and write its tables if a place is given."""
    from cscl.data.check_parcels import check_parcels
    from cscl.data.readers import ReadOptions, open_cube
    from cscl.data.scenes import LabelOptions, reading_parcels
    from cscl.legend import Legend
    from cscl.results import in_the_making, require_place

    if args.out:
        require_place(Path(args.out), MARK, overwrite=args.overwrite)
    options = read_fields(args, LabelOptions)
    grid = open_cube(args.images, read_fields(args, ReadOptions)).grid if args.images else None
    register = drive(reading_parcels(args.register, options), args.quiet)
    names = register.legend(options.name_column) if register.codes else Legend(())
    check = drive(check_parcels(register, grid, names=names, small_px=args.small), args.quiet)
    for line in _lines(register, check, args.small):
        print(line)
    if args.out:
        with in_the_making(Path(args.out), "The tables", overwrite=args.overwrite) as folder:
            for name in TABLES:
                table = getattr(check, name)
                table.to_csv(folder / f"{name}.csv", index=False, float_format="%.10g", encoding="utf-8")
        print(args.out)


def parcels_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl parcels``."""
    from cscl.burning import SMALL_PX
    from cscl.data.scenes import LabelOptions

    parser.add_argument("register", help="GeoPackage, GeoJSON, Shapefile, FlatGeobuf or GeoParquet")
    parser.add_argument("images", nargs="?", help="Images that the parcels lie on: tells how many pixels each holds")
    parser.add_argument("--out", metavar="FOLDER", help=f"Write all of it there: {', '.join(TABLES)}, each a CSV")
    parser.add_argument(
        "--small", type=int, default=SMALL_PX, metavar="PIXELS",
        help=f"Parcels that hold fewer pixel centres are small (default: {SMALL_PX})",
    )  # fmt: skip
    add_overwriting(parser)
    add_fields(parser, LabelOptions, "reading the parcels", without=("align", "label_nodata", "legend"))
    add_images(parser)


def _lines(register: Any, check: Any, small_px: int) -> Iterator[str]:
    table, on = check.parcels, check.labels is not None
    crs, area = register.table.crs.to_string()[:60], table["area_ha"].sum()
    yield f"{register.name}: {len(table)} parcels, {area:,.1f} ha, {crs}"
    yield from (f"  {note}" for note in (check.labels or register).notes)
    if register.class_column:
        yield f"Crops: {len(register.codes)}"
        yield from _some([_crop(c, on) for c in check.codes.itertuples()], 30)
    if on:
        held, small = int((table["pixels"] > 0).sum()), int(table["small"].sum())
        yield f"On the images: {held} parcels hold pixel centres, {small} hold fewer than {small_px}"
    issues = check.issues.fillna("")
    yield f"Issues: {len(issues)}"
    yield from _some([f"  {_name(r.row, r.id)}: {r.problem}; {r.done}" for r in issues.itertuples()])
    yield f"Conflicts and overlaps: {len(check.conflicts)}, and {check.slivers} overlaps of less than 1 m²"
    for kind, rows in check.conflicts.groupby("kind", sort=True):
        yield f"  {kind}: {len(rows)}"
        yield from _some([f"    {_pair(r, on)}" for r in rows.fillna("").itertuples()])


def _crop(c: Any, on: bool) -> str:
    pixels = f" {c.pixels:>9} px" if on else ""
    name = "" if c.name == c.code else f"  {c.name}"
    return f"  {c.code or '-':<12} {c.parcels:>7} parcels {c.area_ha:>12,.2f} ha{pixels}{name}"


def _name(row: int, own: Any) -> str:
    return f"row {row} ({own})" if own else f"row {row}"


def _pair(r: Any, on: bool) -> str:
    ground = f": {r.overlap_ha:.4f} ha" if r.overlap_ha else ""
    pixels = f", {int(r.pixels or 0)} px" if on and ground else ""
    one = f"{_name(r.row, r.id)} {r.code or '-'}"
    other = f"{_name(r.other_row, r.other_id)} {r.other_code or chr(45)}"
    return f"{one} and {other}{ground}{pixels}"


def _some(lines: list[str], most: int = SHOWN) -> Iterator[str]:
    yield from lines[:most]
    if len(lines) > most:
        yield f"  ... and {len(lines) - most} more; --out FOLDER writes them all"
