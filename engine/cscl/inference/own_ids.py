"""What the user calls parcels, beside the numbers that they have here."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

__all__ = ["with_own_ids"]

OWN = {"id": "own_id", "a": "own_a", "b": "own_b"}


def with_own_ids(table: pd.DataFrame, names: Mapping[int, str] | None) -> pd.DataFrame:
    """Add the user's ids to a table of parcels or of edges, each column right of that with the numbers.

    Parameters
    ----------
    table : DataFrame
        With a column ``id``, or the columns ``a`` and ``b``; it gains ``own_id``, or ``own_a`` and ``own_b``.
    names : mapping or None
        `cscl.parcels.Parcels.names_of_ids`: with None the table stays as it is.
    """
    if names is None:
        return table
    columns = {name: [name, OWN[name]] if name in OWN else [name] for name in table.columns}
    named = {own: table[name].map(names).fillna("") for name, own in OWN.items() if name in table.columns}
    return table.assign(**named)[[name for group in columns.values() for name in group]]
