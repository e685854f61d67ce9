"""The classes of the labels and those of the map, as one legend: matched by id."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.legend import UNKNOWN, CropClass, Legend, free_ignore

from .confusion import ConfusionMatrix

__all__ = ["CommonLegend"]


@dataclass(frozen=True, eq=False)
class CommonLegend:
    """One legend for truth and prediction.

    Parameters
    ----------
    legend : Legend
        The classes of the labels, so that their indices stay, then those that only the map knows.
    mapped : Legend
        The legend of the map.
    remarks : tuple of str
        Where the two legends disagree, and what to do.
    """

    legend: Legend
    mapped: Legend
    remarks: tuple[str, ...] = ()
    _table: NDArray[np.int64] = field(repr=False, kw_only=True)

    @classmethod
    def of(cls, truth: Legend, mapped: Legend) -> CommonLegend:
        """Match two legends by class id; a class whose code is its bare id takes code and name from the other."""
        there = _by_id(mapped)
        classes: list[CropClass] = []
        for c in (*truth.classes, *(c for c in mapped.classes if c.id not in truth.ids)):
            c = there.get(c.id, c) if _unnamed(c) else c
            twice = any(c.code == other.code for other in classes)
            classes.append(replace(c, code=f"{c.code} ({c.id})") if twice else c)
        ids = [c.id for c in classes]
        table = np.array([*(ids.index(i) for i in mapped.ids), UNKNOWN])
        return cls(Legend(tuple(classes), free_ignore(ids)), mapped, _disagreement(truth, there), _table=table)

    @classmethod
    def of_all(cls, truth: Legend, *mapped: Legend) -> tuple[CommonLegend, ...]:
        """Match the legends of several maps: one legend for all, so that equal indices mean equal classes."""
        legend = truth
        for one in mapped:
            legend = cls.of(legend, one).legend
        return tuple(replace(cls.of(legend, one), remarks=_disagreement(truth, _by_id(one))) for one in mapped)

    def index(self, ids: NDArray[Any]) -> NDArray[np.int64]:
        """Find predicted class ids in the common legend: their indices, `UNKNOWN` where there is no prediction."""
        index: NDArray[np.int64] = self._table[self.mapped.to_index(ids)]  # UNKNOWN, -1, finds the last
        return index

    def not_mapped(self, matrix: ConfusionMatrix) -> tuple[str, ...]:
        """Sentences about classes with pixels in the truth that the map cannot show."""
        return tuple(
            f"Class {c.id} ({c.name}) is in the labels, but the model does not know it: its {pixels} pixels can only "
            "count as wrong."
            for c, pixels in zip(self.legend.classes, matrix.square.sum(1).tolist(), strict=True)
            if pixels and c.id not in self.mapped.ids
        )


def _by_id(legend: Legend) -> dict[int, CropClass]:
    return {c.id: c for c in legend.classes}


def _unnamed(c: CropClass) -> bool:
    return c.code == str(c.id)


def _disagreement(truth: Legend, there: dict[int, CropClass]) -> tuple[str, ...]:
    pairs = [(c, there[c.id]) for c in truth.classes if c.id in there]
    other = [f"{a.id} ({a.code} / {b.code})" for a, b in pairs if a.code != b.code and not (_unnamed(a) or _unnamed(b))]
    if not other:
        return ()
    return (
        f"Labels and map give other codes to the classes {', '.join(other)}. Classes are matched by id: if these are "
        "not the same crops, give the labels the legend of the model and assess again.",
    )
