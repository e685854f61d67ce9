"""What mapping a country or a continent takes, at a measured rate: the table of ``docs/scale.md``.

``python tests/benchmarks/scale_table.py --rate 60000 --processes 2 --price 0.10`` prints it in markdown: `--rate` is in
pixels a second of one process (``make bench ARGS="--only map"``, or ``cscl predict --plan``), `--price` is for an hour
of one.
"""

from __future__ import annotations

import argparse

TILE_PX = 10980**2
AREAS = {"1 million ha": 1e8, "1 tile of Sentinel-2": TILE_PX, "30 tiles": 30 * TILE_PX, "1000 tiles": 1000 * TILE_PX}
DRAFT_BYTES = 4  # a pixel: the finished tiles, and the files of the map before they are compressed


def rows(rate: float, processes: int, price: float, dates: int, bands: int) -> list[list[str]]:
    """Cells of the table, one row an area."""
    table = []
    for name, pixels in AREAS.items():
        hours = pixels / rate / 3600
        images, draft = pixels * dates * bands * 2, pixels * DRAFT_BYTES
        cells = [f"{images / 1e12:,.2f} TB", f"{draft / 1e9:,.1f} GB", f"{hours:,.1f}", f"{hours / processes:,.2f}"]
        table.append([name, *cells, f"{hours * price:,.2f}"])
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, required=True, help="Pixels a second of one process")
    parser.add_argument("--processes", type=int, default=64, help="How many work at once")
    parser.add_argument("--price", type=float, default=0.05, help="Price of an hour of one process")
    parser.add_argument("--dates", type=int, default=24)
    parser.add_argument("--bands", type=int, default=10)
    args = parser.parse_args()
    hours = f"hours of {args.processes}"
    print(f"| at {args.rate:,.0f} pixels a second | images | draft | hours of one process | {hours} | cost |")
    print("|---|---|---|---|---|---|")
    for cells in rows(args.rate, args.processes, args.price, args.dates, args.bands):
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
