"""Accuracy by stratum: by class and distance to the class edge, by pair of classes, by size of the parcel.

One table of counts is made of each piece of a map: pixels and right ones by what is drawn whole for intervals and by
stratum. All figures are sums of its rows, so that pieces add up exactly; intervals come from drawing whole parcels
(`cscl.metrics.bootstrap`), one set of draws for all strata.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from cscl.errors import InputError
from cscl.legend import UNKNOWN, Legend
from cscl.report import Part, Value
from cscl.report.kinds import Kind

from .bootstrap import FEWEST_UNITS, Intervals, Resampling, ratio_intervals
from .counts import Numbered, counted_right, numbered
from .rows import Rows, rows_of, stacked

__all__ = ["SIZES_HA", "StrataTally", "unit_sizes"]

SIZES_HA = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Upper limits of the size classes of parcels, hectares; what is larger is one class more."""

DEFINITION = (
    "Share of judged pixels whose class is right. Class edge: between known classes of the truth, Euclidean "
    "ground distance from the pixel's centre; unknown land and the scene's border make no edge. By class: the declared "
    "class of the pixel and its distance to the class edge. By pair: pixels within reach of a class edge, by their "
    "declared class and that of the {unit} across the nearest edge (where several lie at one distance, that of the "
    "predicted class, and else that of lowest id). By size: all pixels of a {unit}, by its area in the scene. 95 % "
    "intervals (BCa bootstrap) by drawing whole {unit}s{blocks}, none where fewer than {fewest} have a part."
)
Counts = NDArray[np.int64]
Table = pd.DataFrame
Floats = NDArray[np.float64]
STRIP_PX = 2048
LARGEST_TABLE = 2**24  # ids that lie closer together than this are looked up in a table, others searched for


class Seen(Protocol):
    """What of a `cscl.metrics.error_tally.Piece` is counted here."""

    @property
    def kinds(self) -> NDArray[np.uint8]: ...
    @property
    def bins(self) -> NDArray[np.uint8]: ...
    @property
    def truth(self) -> NDArray[Any]: ...
    @property
    def near(self) -> NDArray[np.bool_]: ...
    @property
    def units(self) -> NDArray[Any]: ...
    @property
    def across(self) -> NDArray[Any]: ...
    @property
    def unit_ids(self) -> NDArray[Any]: ...
    @property
    def drawn(self) -> Numbered: ...


@dataclass(frozen=True, eq=False)
class StrataTally:
    """Counts of some pieces of a map.

    Parameters
    ----------
    classes, bins : int
        How many classes and classes of distance there are.
    rows : tuple of rows
        One a piece. Columns ``id`` (what is drawn whole), ``stratum`` (class times `bins` plus distance; `classes`
        times `bins` for pixels that are not judged; from there on, plus 1, class times `classes` plus class across the
        edge), ``px``, ``right``.
    regions : tuple of rows
        One a piece, of labels that know no parcels: ``id`` (region), ``stratum`` (1 where judged), ``px``, ``right``.
    """

    classes: int
    bins: int
    rows: tuple[Rows, ...] = field(repr=False)
    regions: tuple[Rows, ...] = field(repr=False)

    @classmethod
    def of(
        cls, piece: Seen, classes: int, bins: int, *, truth_seen: NDArray[Any], units_seen: NDArray[Any]
    ) -> StrataTally:
        """Count a piece, given as for `cscl.metrics.error_tally.ErrorTally`.

        Parameters
        ----------
        piece : Piece
            Its `kinds` say which pixels are judged and which are right.
        classes, bins : int
            How many classes and classes of distance there are.
        truth_seen, units_seen : ndarray of int
            True class indices and numbers of units of the piece and of what lies around it within reach of an edge:
            they say the class of the unit across an edge.
        """
        judged, right = piece.kinds > 0, piece.kinds == Kind.RIGHT
        unjudged = classes * bins
        stratum = piece.truth.astype(np.int32) * np.int32(bins) + piece.bins
        stratum[~judged] = unjudged
        near = np.flatnonzero(judged & piece.near & (piece.across > 0))
        across = _class_of(piece.across.ravel()[near], truth_seen.ravel(), units_seen.ravel())
        near, across = near[across >= 0], across[across >= 0]
        pair = piece.truth.ravel()[near].astype(np.int32) * classes + across
        ids, of = piece.drawn.ids, piece.drawn.of.ravel()
        by_pair = _counted(Numbered(ids, of[near]), pair, right.ravel()[near], classes**2, unjudged + 1)
        by_class = _counted(Numbered(ids, of), stratum.ravel(), right.ravel(), unjudged + 1)
        regions: tuple[Rows, ...] = ()
        if not (ids > 0).any() and piece.units.any():
            units = Numbered(piece.unit_ids, piece.units.ravel().astype(np.int64))
            regions = (_counted(units, judged.ravel().view(np.uint8), right.ravel(), 2),)
        return cls(classes, bins, (rows_of(**stacked([by_class, by_pair])),), regions)

    def __add__(self, other: StrataTally) -> StrataTally:
        return StrataTally(self.classes, self.bins, self.rows + other.rows, self.regions + other.regions)

    def part(
        self,
        legend: Legend,
        limits_m: Sequence[float],
        pixel_area_m2: float,
        *,
        unit: str = "parcel",
        sizes_ha: Sequence[float] = SIZES_HA,
        sizes: Table | None = None,
        resampling: Resampling | None = None,
    ) -> Part:
        """Make the part "strata": tables ``by_class``, ``by_pair`` and ``by_size``.

        Each row has the limits of its stratum (``from_`` more than, ``to_`` up to; the last is inf), ``pixels``,
        ``right``, ``accuracy``, ``low`` and ``high`` (its 95 % interval, NaN without one) and ``units`` (parcels, or
        what else is drawn, with a part in it). Strata without a pixel are left out.

        Parameters
        ----------
        legend : Legend
            The classes, in the order of the indices.
        limits_m : sequence of float
            Upper limits of the classes of distance, without inf.
        pixel_area_m2 : float
            Area of a pixel.
        unit : str
            ``"parcel"``, or ``"region"`` where labels know no parcels.
        sizes_ha : sequence of float
            Upper limits of the size classes, rising.
        sizes : DataFrame, optional
            From `unit_sizes` of the whole scene, where the pieces are a part of it only.
        resampling : Resampling, optional
            How parcels are drawn.

        Raises
        ------
        InputError
            If the limits of sizes do not rise.
        """
        if list(sizes_ha) != sorted({float(s) for s in sizes_ha if s > 0}) or not sizes_ha:
            raise InputError(f"Limits of parcel sizes of {list(sizes_ha)} ha: give rising ones above 0, e.g. 1, 2, 5.")
        rows, judged = Table(stacked(self.rows)), self.classes * self.bins
        first = judged + 1 + self.classes**2  # of the strata of sizes
        of_size = self._sizes(rows, sizes, np.asarray(sizes_ha, float), pixel_area_m2 / 1e4)
        of_size["stratum"] += first
        found = _intervals(pd.concat([rows[rows["stratum"] != judged], of_size]), resampling or Resampling())
        stratum = found["stratum"]
        by_size = _by_size(found[stratum >= first], first, sizes_ha)
        tables = {
            "by_class": self._by_class(found[stratum < judged], legend, limits_m),
            "by_pair": self._by_pair(found[(stratum > judged) & (stratum < first)], legend),
            "by_size": by_size,
        }
        words = DEFINITION.format(
            unit=unit, fewest=FEWEST_UNITS, blocks=" and, outside them, blocks of 320 m" if unit == "parcel" else
            ", and blocks of 320 m for classes and pairs",
        )  # fmt: skip
        columns = (by_size[name].tolist() for name in ("from_ha", "to_ha", "accuracy", "low", "high"))
        values = [
            Value(f"accuracy_{_name(a)}_to_{_name(b)}_ha", _size_words(unit, a, b), accuracy, "share", low, high)
            for a, b, accuracy, low, high in zip(*columns, strict=True)
        ]
        return Part("strata", "Accuracy by class, pair of classes and size", words, values, tables)

    def _by_class(self, found: Table, legend: Legend, limits_m: Sequence[float]) -> Table:
        index, bin = np.divmod(found["stratum"].to_numpy(), self.bins)
        ends = np.array([0.0, *limits_m, math.inf])
        return _table({**_crop(legend, index), "from_m": ends[bin], "to_m": ends[bin + 1]}, found)

    def _by_pair(self, found: Table, legend: Legend) -> Table:
        """Name the pairs, the one with most wrong pixels first."""
        found = found.iloc[np.argsort(-(found["pixels"] - found["right"]).to_numpy(), kind="stable")]
        index, across = np.divmod(found["stratum"].to_numpy() - self.classes * self.bins - 1, self.classes)
        return _table({**_crop(legend, index), **_crop(legend, across, "across")}, found)

    def _sizes(self, rows: Table, sizes: Table | None, limits_ha: Floats, pixel_area_ha: float) -> Table:
        """Count judged pixels and right ones by parcel: columns id, stratum (size class), px, right."""
        judged = self.classes * self.bins
        if self.regions:
            all_px = Table(stacked(self.regions))
            counted = all_px[all_px["stratum"] > 0]
        else:
            all_px = rows[rows["stratum"] <= judged]
            counted = all_px[all_px["stratum"] < judged]
        whole = all_px.groupby("id")["px"].sum() if sizes is None else sizes.set_index("id")["px"]
        units = counted[counted["id"] > 0].groupby("id", as_index=False)[["px", "right"]].sum()
        area_ha = whole.reindex(units["id"]).to_numpy() * pixel_area_ha
        return units.assign(stratum=np.searchsorted(limits_ha, area_ha * (1 - 1e-12)))


def unit_sizes(units_YX: NDArray[Any]) -> Table:
    """Count the pixels of parcels or regions: columns ``id`` and ``px``. Axes (y, x), any integers, 0 for none."""
    tables = []
    for row in range(0, len(units_YX), STRIP_PX):
        ids, of = numbered(units_YX[row : row + STRIP_PX].ravel())
        tables.append(Table({"id": ids.astype(np.int64), "px": np.bincount(of, minlength=len(ids))}))
    table = pd.concat(tables) if tables else Table({"id": np.zeros(0, np.int64), "px": np.zeros(0, np.int64)})
    return table[table["id"] > 0].groupby("id", as_index=False).sum()


def _counted(units: Numbered, strata: NDArray[Any], right: NDArray[np.bool_], count: int, first: int = 0) -> Rows:
    """Count pixels and right ones by unit and one of `count` strata, numbered from `first` up."""
    rows = dict(counted_right(units, strata, right, count))
    return rows_of(stratum=rows.pop("value").astype(np.int64) + first, **rows)


def _class_of(units: NDArray[Any], truth: NDArray[Any], around: NDArray[Any]) -> NDArray[Any]:
    """Class of each of some units, that of its first known pixel among those that are seen; UNKNOWN without one."""
    turn = np.flatnonzero((around[1:] != around[:-1]) | (truth[1:] != truth[:-1])) + 1
    start = np.append(0, turn)[: len(around)]
    start = start[(truth[start] >= 0) & (around[start] > 0)]
    ids, first = np.unique(around[start], return_index=True)
    if not len(ids):
        return np.full(len(units), UNKNOWN)
    low, high = int(ids[0]), int(ids[-1])
    if high - low < LARGEST_TABLE and units.min(initial=low) >= low and units.max(initial=high) <= high:
        table = np.full(high - low + 1, UNKNOWN, np.int16)
        table[ids - low] = truth[start[first]]
        found: NDArray[Any] = table[units - low]
        return found
    place = np.minimum(np.searchsorted(ids, units), len(ids) - 1)
    return np.where(ids[place] == units, truth[start[first]][place], UNKNOWN)


def _intervals(rows: Table, resampling: Resampling) -> Table:
    """Accuracy of each stratum that has a pixel, and its interval: columns stratum, pixels, right, low, high, units."""
    number, column = np.unique(rows["stratum"].to_numpy(), return_inverse=True)
    ids, unit = np.unique(rows["id"].to_numpy(), return_inverse=True)
    shape = (len(ids), len(number))
    right, px = (sparse.csr_array((rows[name].to_numpy(), (unit, column)), shape=shape) for name in ("right", "px"))
    found: Intervals = ratio_intervals(right, px, resampling)
    sums = {"pixels": np.asarray(px.sum(0), np.int64), "right": np.asarray(right.sum(0), np.int64)}
    return Table({"stratum": number, **sums, "low": found.low, "high": found.high, "units": found.units})


def _by_size(found: Table, first: int, sizes_ha: Sequence[float]) -> Table:
    ends, size = np.array([0.0, *sizes_ha, math.inf]), found["stratum"].to_numpy() - first
    return _table({"from_ha": ends[size], "to_ha": ends[size + 1]}, found)


def _table(names: dict[str, Any], found: Table) -> Table:
    pixels, right = found["pixels"].to_numpy(), found["right"].to_numpy()
    ends = {name: found[name].to_numpy() for name in ("low", "high", "units")}
    return Table({**names, "pixels": pixels, "right": right, "accuracy": right / pixels, **ends})


def _crop(legend: Legend, index: NDArray[Any], name: str = "") -> dict[str, Any]:
    """Class ids and names: ``class`` and ``crop``, or ``across`` and ``across_crop``."""
    ids, crops = np.array(legend.ids), np.array(legend.names, object)
    return {name or "class": ids[index], f"{name}_crop" if name else "crop": crops[index]}


def _name(hectares: float) -> str:
    return "more" if math.isinf(hectares) else f"{hectares:g}".replace(".", "_")


def _size_words(unit: str, low: float, high: float) -> str:
    if math.isinf(high):
        return f"accuracy in {unit}s of more than {low:g} ha"
    return f"accuracy in {unit}s of up to {high:g} ha" if not low else f"accuracy in {unit}s of {low:g} to {high:g} ha"
