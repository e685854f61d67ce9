"""What tables of parcels and of edges have in common: classes by name, most frequent values, places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.legend import UNKNOWN, Legend

from .rows import Rows, summed

__all__ = ["class_columns", "most", "place", "ranked", "row_of"]


def ranked(pieces: Sequence[Rows]) -> Rows:
    """Values of each unit, the most frequent first, of equals the lowest: columns id, value, px, rank (0 the first)."""
    rows = summed(pieces, ["id", "value"])
    order = np.lexsort((rows["value"], -rows["px"], rows["id"]))
    rows = {name: column[order] for name, column in rows.items()}
    first = np.flatnonzero(np.append(True, rows["id"][1:] != rows["id"][:-1])[: len(order)])
    rank = np.arange(len(order)) - np.repeat(first, np.diff(first, append=len(order)))
    return {**rows, "rank": rank}


def most(pieces: Sequence[Rows], ids: NDArray[Any]) -> NDArray[np.int64]:
    """Find the most frequent value of each unit, the lowest of several."""
    rows = ranked(pieces)
    first = rows["rank"] == 0
    at, there = row_of(ids, rows["id"][first])
    found = np.full(len(ids), UNKNOWN, np.int64)
    found[there] = rows["value"][first][at]
    return found


def row_of(ids: NDArray[Any], among: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Find ids among others, which rise: where those lie that are there, and which are."""
    at = np.searchsorted(among, ids)
    there = at < len(among)
    there[there] = among[at[there]] == ids[there]
    return at[there], there


def class_columns(legend: Legend, **index: NDArray[np.int64]) -> dict[str, Any]:
    """Class ids and names of class indices: ``declared`` and ``declared_crop``, or ``class_a`` and ``crop_a``."""
    ids, names = np.array([*legend.ids, legend.ignore]), np.array([*legend.names, ""], object)
    found: dict[str, Any] = {}
    for name, values in index.items():
        side = name.removeprefix("crop_")
        pair = (f"class_{side}", name) if side != name else (name, f"{name}_crop")
        found |= {pair[0]: ids[values], pair[1]: names[values]}
    return found


def place(total: Rows, pixels: Any) -> dict[str, Any]:
    """Centre of the pixels and bounds, rows and columns of the scene."""
    bounds = {name: total[name] for name in ("row0", "col0", "row1", "col1")}
    return {"row": total["rows"] / pixels, "col": total["cols"] / pixels, **bounds}
