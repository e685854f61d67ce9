"""Distances between edges, and accuracy by tolerance, as parts of a report."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from cscl.legend import Legend
from cscl.report import Part, Value

from .surface import EdgeDistances
from .tolerance import TolerantAccuracy

__all__ = ["edge_part", "tolerant_part"]

EDGES = (
    "Class edge, in truth and in the map: for every piece of the edge of a class, the Euclidean ground distance to the "
    "nearest edge of the same class in the other. Surface dice (Nikolov et al., arXiv 1809.04430), HD95 and the "
    "average symmetric distance: {corners} Boundary F1 (Csurka et al., BMVC 2013): {pixels} {reach}"
)
REACH = (
    "Edges were looked for within {:g} m. Shares within a tolerance are the same in blocks as in one piece; an HD95 or "
    "an average beyond the reach is given as infinite: it needs the whole map at once and is not the same in blocks."
)
TOLERANT = (
    "A wrong pixel is forgiven if a pixel of its predicted class begins within the tolerance in the truth, by ground "
    "distance. Strict accuracy (0 m) stands beside: tolerance forgives errors, it does not mend them."
)


def edge_part(corners: EdgeDistances, pixels: EdgeDistances, reach_m: float, legend: Legend) -> Part:
    """Make the part on distances between edges of what `SurfaceTally.result` gives for both kinds of element."""
    classes = _classes(legend)
    by_class = pd.DataFrame(
        {
            **classes, "true_edge_m": corners.truth, "mapped_edge_m": corners.guess, "hd95_m": corners.hausdorff_m,
            "average_m": corners.average_m, "average_capped_m": corners.capped_m,
        }
    )  # fmt: skip
    rows = [
        pd.DataFrame(
            {
                **classes, "tolerance_m": limit, "f1": pixels.f1[n], "precision": pixels.precision[n],
                "recall": pixels.recall[n], "surface_dice": corners.nsd[n],
            }
        )
        for n, limit in enumerate(corners.tolerances_m)
    ]  # fmt: skip
    values = []
    for n, limit in enumerate(corners.tolerances_m):
        name, words = f"{limit:g}m", f"within {limit:g} m, mean over classes"
        values += [
            Value(f"boundary_f1_{name}", f"boundary F1 {words}", float(pixels.mean_f1[n]), "share"),
            Value(f"surface_dice_{name}", f"normalised surface dice {words}", float(corners.mean_nsd[n]), "share"),
        ]
    there = corners.truth > 0
    middle = float(np.median(corners.hausdorff_m[there])) if there.any() else math.nan
    beyond = reach_m if math.isinf(middle) and math.isfinite(reach_m) else math.nan
    values.append(Value("hd95_m", "HD95, median over classes", middle, "m", low=beyond))
    words = "average symmetric distance, mean over classes"
    if math.isfinite(reach_m):
        words += f", more than {reach_m:g} m counting as {reach_m:g} m"
    values.append(Value("average_distance_m", words, corners.mean_capped_m, "m"))
    reach = REACH.format(reach_m) if math.isfinite(reach_m) else "Measured on the whole map at once."
    return Part(
        "edge_distances", "How far true and mapped edges lie apart",
        EDGES.format(corners=corners.definition, pixels=pixels.definition, reach=reach), values,
        {"by_class": by_class, "by_tolerance": pd.concat(rows, ignore_index=True)},
        _edge_remarks(corners, reach_m, legend),
    )  # fmt: skip


def tolerant_part(result: TolerantAccuracy, legend: Legend) -> Part:
    """Make the part on tolerant beside strict accuracy."""
    whole = pd.DataFrame(
        {
            "tolerance_m": result.tolerances_m, "accuracy": result.accuracy,
            "balanced_accuracy": result.balanced_accuracy,
        }
    )  # fmt: skip
    rows = [
        pd.DataFrame(
            {**_classes(legend), "tolerance_m": t, "recall": result.recall[n], "precision": result.precision[n]}
        )
        for n, t in enumerate(result.tolerances_m)
    ]
    values = [
        Value(
            f"accuracy_{t:g}m", "accuracy, strict" if not t else f"accuracy, errors within {t:g} m forgiven",
            float(result.accuracy[n]), "share",
        )
        for n, t in enumerate(result.tolerances_m)
    ]  # fmt: skip
    tables = {"by_tolerance": whole, "by_class": pd.concat(rows, ignore_index=True)}
    return Part("tolerant_accuracy", "Tolerant beside strict accuracy", TOLERANT, values, tables)


def _edge_remarks(found: EdgeDistances, reach_m: float, legend: Legend) -> list[str]:
    missing = [name for name, t, g in zip(legend.names, found.truth, found.guess, strict=True) if t > 0 and not g]
    far = (found.truth > 0) & (found.guess > 0) & np.isinf(found.hausdorff_m)
    remarks = []
    if missing:
        remarks.append(f"No edge on the map, so that HD95 is infinite: {', '.join(missing)}.")
    if far.any():
        names = ", ".join(name for name, is_far in zip(legend.names, far, strict=True) if is_far)
        remarks.append(f"HD95 is more than {reach_m:g} m, and is given as infinite: {names}.")
    return remarks


def _classes(legend: Legend) -> dict[str, Any]:
    return {"class": legend.ids, "crop": legend.names}
