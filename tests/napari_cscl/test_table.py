"""The table of the panels: which columns of a frame it shows, and how it sorts them."""

from typing import Any

import pandas as pd
from qtpy.QtCore import Qt

from napari_cscl.casecolumns import EDGE_COLUMNS, PARCEL_COLUMNS, Column
from napari_cscl.widgets.table import Table

ROWS = pd.DataFrame({"id": [3, 1, 2], "wrong": [9, 5, 1], "own_id": ["FR-1", "FR-3", "FR-2"]})
COLUMNS = (Column("id", "id", "Id", rather="own_id"), Column("wrong", "wrong", "Pixels"))


def shown(table: Table) -> list[str]:
    return [table.model().index(row, 0).data() for row in range(table.model().rowCount())]


def test_parcels_go_by_the_ids_that_the_user_gave_them(qtbot: Any) -> None:
    table = Table(COLUMNS, "Parcels")
    qtbot.addWidget(table)
    table.show_frame(ROWS.drop(columns="own_id"))
    assert shown(table) == ["3", "1", "2"]
    table.show_frame(ROWS)
    assert shown(table) == ["FR-1", "FR-3", "FR-2"]
    table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    assert shown(table) == ["FR-1", "FR-2", "FR-3"] and table.frame["id"].tolist() == [3, 2, 1]


def test_the_panels_know_both_names_of_a_parcel() -> None:
    columns = {c.name: c.rather for c in (*PARCEL_COLUMNS, *EDGE_COLUMNS) if c.rather}
    assert columns == {"id": "own_id", "a": "own_a", "b": "own_b"}
