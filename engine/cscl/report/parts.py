"""A part of a report: numbers and tables that one measure gives, with the words that say what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from .numbers import plain

__all__ = ["Part", "Value"]


@dataclass(frozen=True)
class Value:
    """One number: its name in files, the words beside it, the value and, where known, its 95 % interval.

    Parameters
    ----------
    key : str
        Name in JSON and CSV, lower case with underscores, the unit at its end: ``hd95_m``.
    words : str
        What it is, for a reader.
    value : float or int
        NaN where it is not defined; infinite where it lies beyond what was measured, `low` being how far that was.
    unit : str
        ``"share"`` (0..1), ``"m"``, ``"ha"``, ``"px"`` or empty for a plain number.
    low, high : float
        Ends of its interval, NaN where there is none.
    """

    key: str
    words: str
    value: float
    unit: str = ""
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True, eq=False)
class Part:
    """What one measure says of a map.

    Parameters
    ----------
    key : str
        Name in JSON, and beginning of the names of its tables as CSV: lower case with underscores.
    title : str
        Heading.
    definition : str
        What is measured and by which edge (class edge, parcel edge, vector edge), mode and distance, with the source.
    values : sequence of Value
        In the order of reading.
    tables : mapping
        Tables by name, one observation a row; columns are lower case with underscores, units at their ends.
    remarks : sequence of str
        What the reader must know, such as why a figure is missing.
    """

    key: str
    title: str
    definition: str
    values: Sequence[Value] = ()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict, repr=False)
    remarks: Sequence[str] = ()

    def __getitem__(self, key: str) -> float:
        """Return the number of a value."""
        return next(value.value for value in self.values if value.key == key)

    @property
    def files(self) -> dict[str, str]:
        """Names of the tables as CSV in the folder of a report that has several parts."""
        return {name: f"{name}.csv" if name == self.key else f"{self.key}_{name}.csv" for name in self.tables}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with None for undefined figures."""
        values = {value.key: plain(vars(value)) for value in self.values}
        tables = {name: plain(table.to_dict("records")) for name, table in self.tables.items()}
        return {
            "title": self.title, "definition": self.definition, "values": values, "tables": tables,
            "remarks": list(self.remarks),
        }  # fmt: skip
