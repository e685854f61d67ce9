"""What a run is judged by: accuracy over all, at class boundaries and by distance to parcel edges, and by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.metrics.boundary import class_boundary, parcel_boundary
from cscl.metrics.confusion import ConfusionMatrix
from cscl.products import LabelMap

__all__ = ["FIGURES", "judge"]

COMMON = 0.01

FIGURES: Mapping[str, str] = {
    "accuracy": "overall accuracy",
    "miou": "mean IoU of all classes",
    "common_miou": "mean IoU of the classes that hold at least 1 % of the test pixels",
    "boundary_accuracy": "accuracy at class boundaries: pixels whose 3 x 3 window holds another known crop",
    "boundary_miou": "mean IoU of those classes at class boundaries",
    "edge_1px_accuracy": "accuracy within 1 pixel of another parcel",
    "edge_2px_accuracy": "accuracy at 2 pixels from another parcel",
    "interior_accuracy": "accuracy more than 2 pixels from any other parcel",
    "coarse_accuracy": "overall accuracy in pixels of the images, where the truth is finer",
    "coarse_common_miou": "mean IoU of the common classes in pixels of the images, where the truth is finer",
    "coarse_boundary_accuracy": "accuracy at class boundaries in pixels of the images, where the truth is finer",
}
"""Figures of a run, shares from 0 to 1, and what they are. Unknown land makes no edge."""


def judge(truths: Sequence[LabelMap], guesses: Sequence[NDArray[np.int64]]) -> dict[str, Any]:
    """Compare maps with the truth, all scenes taken together.

    Parameters
    ----------
    truths : sequence of LabelMap
        Labels of the test scenes, of one legend, with parcel ids where edges between parcels are to count.
    guesses : sequence of ndarray
        Class indices of that legend, axes (y, x), of each scene; negative where there is none.

    Returns
    -------
    dict
        ``figures``: those of `FIGURES`, NaN where not defined; ``pixels``: how many are known, and how many at class
        boundaries; ``classes``: name, pixels, IoU and recall of each class that occurs.
    """
    legend = truths[0].legend
    whole, edge = ConfusionMatrix.empty(len(legend)), ConfusionMatrix.empty(len(legend))
    near = {name: ConfusionMatrix.empty(len(legend)) for name in ("edge_1px", "edge_2px", "interior")}
    for truth, guess in zip(truths, guesses, strict=True):
        index = truth.index()
        count = len(legend)
        whole += ConfusionMatrix.of(index, guess, count)
        at = class_boundary(index)
        edge += ConfusionMatrix.of(index[at], guess[at], count)
        for name, where in _by_parcel_edge(truth).items():
            near[name] += ConfusionMatrix.of(index[where], guess[where], count)
    pixels = whole.counts.sum(1)
    common = pixels >= COMMON * max(1, pixels.sum())
    figures = {
        "accuracy": whole.overall_accuracy,
        "miou": whole.mean_iou,
        "common_miou": _mean(whole.iou[common]),
        "boundary_accuracy": edge.overall_accuracy,
        "boundary_miou": _mean(edge.iou[common]),
        **{f"{name}_accuracy": matrix.overall_accuracy for name, matrix in near.items()},
    }
    classes = [
        {"name": crop.name, "pixels": int(pixels[i]), "iou": float(whole.iou[i]), "recall": float(whole.recall[i])}
        for i, crop in enumerate(legend.classes)
        if pixels[i]
    ]
    counts = {"known": int(pixels.sum()), "boundary": int(edge.counts.sum())}
    return {"figures": figures, "pixels": counts, "classes": classes}


def _by_parcel_edge(truth: LabelMap) -> dict[str, NDArray[np.bool_]]:
    if truth.parcel_ids is None:
        return {}
    one, two = (parcel_boundary(truth.parcel_ids, n) for n in (1, 2))
    return {"edge_1px": one, "edge_2px": two & ~one, "interior": (truth.parcel_ids > 0) & ~two}


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
