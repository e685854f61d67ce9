"""Writing made-up cubes of growing size as Zarr stores: memory, time and size, beside what the plan said beforehand.

    python tests/benchmarks/bench_cube.py [--sizes 1024,2048,4096] [--dates 60] [--bands 10] [--folder FOLDER]

Each size is written by a process of its own, because a process never tells less memory than it once had. The values are
made while they are read, which takes about as long as reading plain files; stores are deleted at once.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))


def write(size_px: int, dates: int, bands: int, folder: Path) -> None:
    """Write one cube and print a line about it."""
    import resource

    from fake_cubes import made_up

    from cscl.events import run
    from cscl.export.cube import plan_cube, write_cube

    cube = made_up((size_px, size_px), dates, bands)
    plan = run(plan_cube(cube, folder / "cube.zarr"))
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    last, longest, start = time.perf_counter(), 0.0, time.perf_counter()
    job = write_cube(cube, folder / "cube.zarr")
    for _ in job:
        now = time.perf_counter()
        last, longest = now, max(longest, now - last)
    took = time.perf_counter() - start
    stored = sum(f.stat().st_size for f in (folder / "cube.zarr").rglob("*") if f.is_file())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{size_px:>6} px  {plan.raw_bytes / 1e9:6.2f} GB in {took:6.0f} s (planned {plan.seconds:.0f} s), "
        f"{plan.raw_bytes / 1e6 / took:4.0f} MB/s; stored {stored / 1e9:6.2f} GB (planned "
        f"{plan.stored_bytes / 1e9:.2f} GB); block {plan.block}; memory {peak:.2f} GB at most, {idle:.2f} GB before; "
        f"longest wait for an event {longest:.1f} s",
        flush=True,
    )


def main() -> None:
    """Write each size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1024,2048,4096")
    parser.add_argument("--dates", type=int, default=60)
    parser.add_argument("--bands", type=int, default=10)
    parser.add_argument("--folder", type=Path, help="On the disk to measure; default: a temporary one")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        return write(args.one, args.dates, args.bands, args.folder)
    for size in args.sizes.split(","):
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            words = [sys.executable, __file__, "--one", size, "--dates", str(args.dates), "--bands", str(args.bands)]
            subprocess.run([*words, "--folder", folder], check=True)
    return None


if __name__ == "__main__":
    main()
