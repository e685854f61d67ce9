"""Commands and scripts run as if they had just been typed, without waiting each time for what others wrote to load."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path

# Each process begins without a module of ours; these are loaded once, in the process that the others are forked from.
OTHERS = ["torch", "torch._dynamo", "xarray", "dask.array", "zarr", "geopandas", "rasterio", "odc.geo.xr", "pyogrio"]
OTHERS += ["scipy.stats", "scipy.ndimage", "scipy.spatial", "matplotlib.figure", "numba"]


def run_fresh(code: Path | Sequence[str], folder: Path) -> tuple[int | None, str]:
    """Run a script, or `cscl` with some words, in a folder; return the exit status, and what was said."""
    context = get_context("forkserver")
    context.set_forkserver_preload(OTHERS)
    process = context.Process(target=_begun, args=(code, folder))
    process.start()
    process.join()
    return process.exitcode, (folder / "said").read_text(encoding="utf-8", errors="replace")


def _begun(code: Path | Sequence[str], folder: Path) -> None:
    os.chdir(folder)
    with open("said", "w") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    assert "cscl" not in sys.modules
    if isinstance(code, Path):
        runpy.run_path(str(code))
    else:
        from cscl.cli import main

        sys.exit(main(code))
