"""Accuracy of pure and of mixed pixels: by how much of a pixel lies in parcels of its own class."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.report import Part, Value

from .drawn import DrawnTally
from .judged import share

__all__ = ["purity_part", "purity_tally"]

COVERAGES = (0.5, 0.7, 0.9, 1.0)
PURE = 1 - 1e-5
DEFINITION = (
    "Judged pixels by the share of their area that lies in parcels of their own class, measured exactly from the "
    "polygons; a pure pixel lies in them wholly, within 0.001 %. What is left belongs to other crops or to land "
    "without a parcel, and no network can see it apart at this pixel size. By distance of the pixel's centre to the "
    "class edge of the labels (Euclidean ground distance; unknown pixels and the scene's border make no edge). "
    "Intervals are 95 % intervals by drawing whole parcels, and blocks where there are none."
)


def purity_tally(
    coverage: NDArray[np.float32], bins: NDArray[np.uint8], right: NDArray[np.bool_], drawn: NDArray[np.int64],
    classes_of_distance: int,
) -> DrawnTally:  # fmt: skip
    """Count judged pixels, axis (pixel,), by coverage (0..1), class of distance, and what is drawn whole."""
    kinds = np.searchsorted(np.array((*COVERAGES[:-1], PURE), np.float32), coverage, side="right")
    key = kinds * classes_of_distance + bins
    return DrawnTally.of(drawn, right, [key], [(len(COVERAGES) + 1) * classes_of_distance])


def purity_part(tally: DrawnTally, limits_m: Sequence[float]) -> Part:
    """Make the part of a report on pure and mixed pixels.

    Parameters
    ----------
    tally : DrawnTally
        From `purity_tally`.
    limits_m : sequence of float
        Upper limits of the classes of distance, without inf.
    """
    bins, kinds = len(limits_m) + 1, len(COVERAGES) + 1
    cells = np.arange(bins * kinds).reshape(kinds, bins)
    pure, mixed = cells[-1], cells[:-1]
    wanted = [
        *((*_ends(kind), 0.0, math.inf, cells[kind]) for kind in range(kinds)),
        *(
            (*_ends(kind), low, high, cells[kind, [bin]])
            for kind in range(kinds)
            for bin, (low, high) in enumerate(zip((0.0, *limits_m), (*limits_m, math.inf), strict=True))
        ),
    ]
    sets = [*(row[-1] for row in wanted), pure, mixed.ravel(), pure[:1], mixed[:, 0], cells.ravel()]
    masks = [np.isin(cells.ravel(), cell) for cell in sets]
    found = tally.intervals(masks)
    px, right = (np.array([int(counts[mask].sum()) for mask in masks]) for counts in tally.sums())
    accuracy = share(right, px)
    names = ("coverage_from", "coverage_to", "from_m", "to_m")
    table = pd.DataFrame([row[:-1] for row in wanted], columns=pd.Index(names))
    size = len(wanted)
    table = table.assign(
        pixels=px[:size], right=right[:size], accuracy=accuracy[:size], low=found.low[:size], high=found.high[:size]
    )
    words = (
        ("pure", "pure pixels right"), ("mixed", "mixed pixels right"),
        ("pure_nearest", f"pure pixels right within {limits_m[0]:g} m of the class edge"),
        ("mixed_nearest", f"mixed pixels right within {limits_m[0]:g} m of the class edge"),
    )  # fmt: skip
    values = [
        Value(f"{key}_share_right", text, float(accuracy[at]), "share", float(found.low[at]), float(found.high[at]))
        for at, (key, text) in enumerate(words, size)
    ]
    values.insert(0, Value("share_mixed", "mixed pixels, of all", float(share(px[size + 1], px[-1])), "share"))
    return Part(
        "purity", "Pure and mixed pixels", DEFINITION, values,
        {"by_coverage": table[:kinds], "by_distance": table[kinds:].reset_index(drop=True)},
    )  # fmt: skip


def _ends(kind: int) -> tuple[float, float]:
    """Least and largest coverage; of pure pixels both are 1."""
    limits = (0.0, *COVERAGES, 1.0)
    return limits[kind], limits[kind + 1]
