"""What tables of parcels and of edges have in common: classes by name, most frequent values, places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.legend import UNKNOWN, Legend

__all__ = ["class_columns", "most", "place", "ranked"]

Table = pd.DataFrame


def ranked(pieces: Sequence[Table]) -> Table:
    """Values of each unit, the most frequent first, of equals the lowest: columns id, value, px."""
    rows: Any = pd.concat(pieces).groupby(["id", "value"], as_index=False).agg({"px": "sum"})
    return Table(rows.sort_values(["id", "px", "value"], ascending=[True, False, True], ignore_index=True))


def most(pieces: Sequence[Table], ids: Any) -> NDArray[np.int64]:
    """Find the most frequent value of each unit, the lowest of several."""
    first = ranked(pieces).drop_duplicates("id").set_index("id")["value"]
    return np.asarray(first.reindex(ids).fillna(UNKNOWN), np.int64)


def class_columns(legend: Legend, **index: NDArray[np.int64]) -> dict[str, Any]:
    """Class ids and names of class indices: ``declared`` and ``declared_crop``, or ``class_a`` and ``crop_a``."""
    ids, names = np.array([*legend.ids, legend.ignore]), np.array([*legend.names, ""], object)
    found: dict[str, Any] = {}
    for name, values in index.items():
        side = name.removeprefix("crop_")
        pair = (f"class_{side}", name) if side != name else (name, f"{name}_crop")
        found |= {pair[0]: ids[values], pair[1]: names[values]}
    return found


def place(total: Table, pixels: Any) -> dict[str, Any]:
    """Centre of the pixels and bounds, rows and columns of the scene."""
    bounds = {name: total[name] for name in ("row0", "col0", "row1", "col1")}
    return {"row": total["rows"] / pixels, "col": total["cols"] / pixels, **bounds}
