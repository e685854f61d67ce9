"""Edge strength as a map for a GIS: where the network sees a boundary, written window by window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.events import Job
from cscl.export.geotiff import Band, write_cog
from cscl.grid import Window
from cscl.products import Embedding

from .pixelwise import edges_between

__all__ = ["export_edge_strength"]

NOTHING = 65535
STEPS = 10_000
BAND = Band(
    "uint16", NOTHING, "edge strength: one minus the mean cosine with the neighbours", "average", scale=1 / STEPS
)


def export_edge_strength(embedding: Embedding, path: str | Path, *, overwrite: bool = False) -> Job[Path]:
    """Write `cscl.inference.embed.edge_strength` as COG: uint16 with a scale of 1/10000, 65535 for no data.

    Parameters
    ----------
    embedding : Embedding
        Read window by window.
    path : path
        File to make.
    overwrite : bool
        Replace a former file, once the new one is whole.

    Raises
    ------
    OutputError
        If the file cannot or must not be written.
    """

    def read(window: Window) -> NDArray[Any]:
        seen = window.grown(1, embedding.shape)
        strength = edges_between(embedding.read(seen))[window.within(seen).slices]
        there = np.isfinite(strength)
        return np.where(there, np.rint(np.where(there, strength, 0) * STEPS), NOTHING).astype(np.uint16)

    return (yield from write_cog(read, embedding.grid, BAND, path, overwrite=overwrite))
