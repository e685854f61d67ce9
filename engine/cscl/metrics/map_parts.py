"""What the counts of a map say, as parts of its report: kinds of error, distance, trimap, splits, Boundary IoU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.legend import Legend
from cscl.report import Part, Value
from cscl.report.kinds import WRONG, Kind

from .bootstrap import Intervals
from .boundary_iou import BoundaryIoU
from .confusion import ConfusionMatrix
from .judged import share
from .tally import BOUNDARIES, CLASS_EDGE, EDGES, PARCEL_EDGE, PLACES, WHERE, Tally
from .trimap import DISTANCE

__all__ = ["atlas_parts", "boundary_iou_part", "kinds_part", "tally_parts"]

DRAWN = (
    "Intervals are 95 % BCa intervals of 1000 draws of whole parcels, and of blocks of 320 m where there are none; "
    "they are empty where fewer than ten have a part in a figure."
)
KINDS = (
    "What kind of error the wrong pixels are. An error is laid to the class edge, or to unknown land, that lies within "
    "{:g} m of the pixel's centre (Euclidean ground distance); of several class edges the nearest counts. Unknown "
    "pixels and the scene's border make no class edge."
)
TRIMAP = (
    "Figures of those pixels alone that lie within a width of a class edge of the truth, for growing widths (Kohli, "
    "Ladicky and Torr, IJCV 2009). They cumulate. Euclidean ground distance; unknown pixels and the scene's border "
    "make no edge. "
)
SPLIT = (
    "Each pair of rows splits the same pixels into boundary and interior, by one definition of the boundary. The "
    "difference between the two says what the boundary costs. "
)


def tally_parts(tally: Tally, limits_m: Sequence[float], widths_m: Sequence[float]) -> tuple[Part, ...]:
    """Make the parts on accuracy by distance, within bands around edges, and at boundaries.

    Parameters
    ----------
    tally : Tally
        With what is drawn whole for intervals.
    limits_m, widths_m : sequence of float
        Upper limits of the classes of distance, and widths of bands: some of the limits of the tally.
    """
    figures = _Figures(tally, limits_m, widths_m)
    found = figures.intervals()
    return _distance_part(found, limits_m), _trimap_part(tally, found, widths_m), _split_part(tally, found, widths_m)


def kinds_part(curve: pd.DataFrame, reach_m: float) -> Part:
    """Make the part on kinds of error of a table of accuracy by distance (`cscl.metrics.error_tally.curve_table`)."""
    px = {kind: int(curve[kind.name.lower()].sum()) for kind in WRONG}
    judged, wrong = int(curve["pixels"].sum()), sum(px.values())
    values = [Value("wrong", "wrong pixels", float(share(wrong, judged)), "share")]
    values += [
        Value(kind.name.lower(), f"{kind.title}, of all pixels", float(share(n, judged)), "share")
        for kind, n in px.items()
    ]
    rows = [(Kind.RIGHT, judged - wrong), *px.items()]
    table = pd.DataFrame(
        {
            "kind": [kind.name.lower() for kind, _ in rows], "name": [kind.title for kind, _ in rows],
            "pixels": [n for _, n in rows], "share": [float(share(n, judged)) for _, n in rows],
            "share_of_wrong": [math.nan, *(float(share(n, wrong)) for n in px.values())],
            "meaning": [kind.meaning for kind, _ in rows],
        }
    )  # fmt: skip
    return Part("kinds", "Kinds of error", KINDS.format(reach_m), values, {"kinds": table})


def boundary_iou_part(in_metres: BoundaryIoU, published: BoundaryIoU, legend: Legend) -> Part:
    """Make the part on Boundary IoU, in metres and as published."""
    widths = [
        *((mode, f"{w:g} {unit}", w if unit == "m" else math.nan, mean)
          for mode, unit, found in (("in metres", "m", in_metres), ("published", "px", published))
          for w, mean in zip(found.widths, found.mean, strict=True))
    ]  # fmt: skip
    by_class = [
        pd.DataFrame(
            {
                "class": legend.ids, "crop": legend.names, "width_m": width, "boundary_iou": in_metres.iou[n],
                "true_band_px": in_metres.truth_px[n], "mapped_band_px": in_metres.guess_px[n],
            }
        )
        for n, width in enumerate(in_metres.widths)
    ]  # fmt: skip
    values = [
        Value(f"boundary_iou_{w:g}m", f"Boundary IoU, {w:g} m wide, mean over classes", float(mean), "share")
        for w, mean in zip(in_metres.widths, in_metres.mean, strict=True)
    ]
    for w, mean in zip(published.widths, published.mean, strict=True):
        words = f"Boundary IoU as published, {w:g} px of the chessboard, mean over classes"
        values.append(Value(f"boundary_iou_published_{w:g}px", words, float(mean), "share"))
    tables = {
        "by_width": pd.DataFrame(widths, columns=["mode", "width", "width_m", "mean_boundary_iou"]),
        "by_class": pd.concat(by_class, ignore_index=True),
    }
    definition = f"{in_metres.definition} {published.definition} It does not grow with the scene here."
    return Part("boundary_iou", "Boundary IoU", definition, values, tables)


def atlas_parts(parcels: pd.DataFrame, edges: pd.DataFrame, pairs: pd.DataFrame, unit: str) -> tuple[Part, ...]:
    """Make the parts on parcels, edges and pairs of classes of the tables of an error atlas."""
    what = "Parcels" if unit == "parcel" else "Regions of one class, which stand in for parcels,"
    right = parcels["declared"] == parcels["predicted"]
    return (
        Part(
            "parcel_errors", f"{unit.capitalize()}s, the worst first",
            f"{what} that hold a judged pixel, those with most wrong pixels first. Predicted is the most frequent "
            "class on the map among judged pixels.",
            [
                Value(f"{unit}s", f"{unit}s that hold a judged pixel", len(parcels)),
                Value("share_right", "of these predicted as declared", float(right.mean()), "share"),
            ],
            {"parcel_errors": parcels},
        ),
        Part(
            "edge_errors", "Edges, the worst first",
            "Class edges between two neighbours, with the judged pixels that have this edge as their nearest within "
            "reach. Into a: pixels of a that are predicted as the class of b, so that the boundary has moved into a. "
            "Displacement is the mean along the normal, positive where a has grown into b; moved is the mean of its "
            "absolute value; bleed is the greatest depth. They are told up to the reach of an edge, over the length of "
            "its judged part without stairs.",
            [Value("edges", "class edges with a judged pixel", len(edges))], {"edge_errors": edges},
        ),
        Part(
            "class_pairs", "Pairs of classes that meet",
            "Edges summed up by the two classes that meet there, the pair with most wrong pixels first.",
            tables={"class_pairs": pairs},
        ),
    )  # fmt: skip


class _Figures:
    """Names of shares, and which kinds of pixels of a tally each is over; then their intervals by these names."""

    def __init__(self, tally: Tally, limits_m: Sequence[float], widths_m: Sequence[float]) -> None:
        self.tally, limits = tally, np.array([*tally.limits_m, math.inf])
        kinds = (len(limits) * PLACES, (len(limits) + 1) * PLACES)
        far = [np.append(np.repeat(limits, PLACES), np.full(n, np.nan)) for n in (0, PLACES)]
        place = [np.arange(n) % PLACES for n in kinds]
        ways = 2 if tally.by_parcel_edge is not None else 1
        nothing = [np.zeros(n, bool) for n in kinds[:ways]]

        def of(way: int, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
            return np.concatenate([mask if n == way else nothing[n] for n in range(ways)])

        self.masks = {("all", 0.0): of(0, np.ones(kinds[0], bool))}
        for way, edge in zip(range(ways), (CLASS_EDGE, PARCEL_EDGE), strict=False):
            for low, high in zip((0.0, *limits_m), (*limits_m, math.inf), strict=True):
                self.masks[edge, high] = of(way, (far[way] > low) & (far[way] <= high))
        for width in widths_m:
            self.masks["within", width] = of(0, far[0] <= width)
            self.masks["beyond", width] = of(0, far[0] > width)
        for name, (way, least) in WHERE.items():
            if way < ways:
                self.masks[name, 1.0], self.masks[name, 0.0] = of(way, place[way] >= least), of(way, place[way] < least)

    def intervals(self) -> _Found:
        drawn = self.tally.drawn
        assert drawn is not None, "tallies of a report know what is drawn whole"
        px, right = drawn.sums()
        masks = np.array(list(self.masks.values()))
        return _Found(list(self.masks), masks @ px, masks @ right, drawn.intervals(list(masks)))


class _Found:
    """Pixels, right ones, accuracies and their intervals by name."""

    def __init__(self, names: list[tuple[str, float]], px: Any, right: Any, intervals: Intervals) -> None:
        self.names, self.px, self.right, self.intervals = names, px, right, intervals

    def columns(self, *names: tuple[str, float]) -> dict[str, Any]:
        """Columns pixels, right, accuracy, low and high, one row a name."""
        rows = [self.names.index(name) for name in names]
        found = self.intervals
        return {
            "pixels": self.px[rows], "right": self.right[rows], "accuracy": found.estimate[rows],
            "low": found.low[rows], "high": found.high[rows],
        }  # fmt: skip

    def value(self, key: str, words: str, name: tuple[str, float]) -> Value:
        row, found = self.names.index(name), self.intervals
        estimate, low, high = (float(ends[row]) for ends in (found.estimate, found.low, found.high))
        return Value(key, words, estimate, "share", low, high)


def _distance_part(found: _Found, limits_m: Sequence[float]) -> Part:
    tables, values = {}, [found.value("accuracy", "accuracy of all judged pixels", ("all", 0.0))]
    known = dict.fromkeys(edge for edge, _ in found.names if edge in EDGES)
    for edge in known:
        columns = found.columns(*((edge, high) for high in (*limits_m, math.inf)))
        ends = {"from_m": [0.0, *limits_m], "to_m": [*limits_m, math.inf]}
        key, first = edge.replace(" ", "_"), limits_m[0]
        tables[key] = pd.DataFrame({**ends, **columns})
        values += [
            found.value(f"accuracy_nearest_{key}", f"within {first:g} m of the {edge}", (edge, first)),
            found.value(f"accuracy_farthest_{key}", f"more than {limits_m[-1]:g} m from it", (edge, math.inf)),
        ]
    definition = " ".join(f"{edge.capitalize()}: {EDGES[edge]}" for edge in known)
    return Part("distance", "Accuracy by distance to edges", f"{definition} {DRAWN}", values, tables)


def _trimap_part(tally: Tally, found: _Found, widths_m: Sequence[float]) -> Part:
    curve = tally.trimap(widths_m).result()
    columns = found.columns(*(("within", width) for width in widths_m))
    table = pd.DataFrame({"width_m": curve.widths_m, **columns, "mean_iou": curve.mean_iou})
    return Part("trimap", "Accuracy within bands around class edges", TRIMAP + DRAWN, tables={"by_width": table})


def _split_part(tally: Tally, found: _Found, widths_m: Sequence[float]) -> Part:
    rows, names, words = [], [], []

    def add(name: str, at: ConfusionMatrix, pair: Sequence[tuple[str, float]]) -> None:
        for part, matrix, which in zip(("boundary", "interior"), (at, tally.overall - at), pair, strict=True):
            rows.append((name, part, matrix.mean_iou))
            names.append(which)

    for name, definition in BOUNDARIES.items():
        if (name, 1.0) in found.names:
            words.append(f"{name.capitalize()}: {definition}")
            add(name, tally.at(name), ((name, 1.0), (name, 0.0)))
    trimap = tally.trimap(widths_m)
    for width in widths_m:
        add(f"within {width:g} m", trimap.within(width), (("within", width), ("beyond", width)))
    words.append(f"The other pairs: {DISTANCE.format('so many')}.")
    table = pd.DataFrame(rows, columns=["definition", "part", "mean_iou"]).assign(**found.columns(*names))
    return Part("split", "At boundaries and inside", SPLIT + " ".join(words) + " " + DRAWN, tables={"split": table})
