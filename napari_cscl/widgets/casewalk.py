"""The walk from case to case: which row of the tables is looked at, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cscl.inference.subset import wrong_as
from napari_cscl.boundaryview import case_in_words

from .table import Table

if TYPE_CHECKING:
    from .boundary import BoundaryPanel

__all__ = ["CaseWalk"]


class CaseWalk:
    """Walks down the tables of a panel, the worst first.

    Parameters
    ----------
    panel : BoundaryPanel
        Whose `case` it sets, and whose `case_changed` it emits.
    """

    def __init__(self, panel: BoundaryPanel) -> None:
        self.panel = panel

    def step(self, by: int) -> None:
        """Go to the next row of the table on top, or the former one."""
        panel = self.panel
        if panel.atlas is None:
            panel.dock.say("Find the errors of the map first.")
            return
        table = panel.tables.currentWidget()
        self.turn_to(table)
        number = table.number + by if table.number >= 0 else 0
        if 0 <= number < len(table.frame):
            table.go(number)
        else:
            panel.dock.say("There is no further case." if len(table.frame) else "The filters leave no case.")

    def turn_to(self, table: Table) -> None:
        """Bring a table of cases to the top."""
        self.panel.views.setCurrentWidget(self.panel.casebox)
        self.panel.tables.setCurrentWidget(table)

    def keep(self) -> None:
        """Stay at the case where the filters leave it."""
        panel, case = self.panel, self.panel.case
        if case is None:
            return
        table, names = (panel.edges, ["a", "b"]) if "a" in case else (panel.parcels, ["id"])
        same = np.ones(len(table.frame), bool)
        for name in names:
            same &= table.frame[name].to_numpy() == case[name]
        if same.any():
            table.go(int(same.argmax()), tell=False)
            self._say(table)
        else:
            panel.map.unmark()
            self.tell(None)

    def tell(self, row: Any) -> None:
        """Tell which row is looked at; None for none."""
        panel = self.panel
        if row is None and panel.case is None:
            return
        panel.case = row
        if row is None:
            panel.casebox.bar.say("")
        else:
            self._say(panel.edges if "a" in row else panel.parcels)
        panel.case_changed.emit(row)

    def _say(self, table: Table) -> None:
        panel, row = self.panel, self.panel.case
        if panel.atlas is None or panel.counts is None or panel.selection is None:
            return
        mapped_as, wrong = "", int(row["wrong"])
        if "id" in row:
            mapped_as, wrong = wrong_as(panel.atlas, panel.counts, panel.selection.subset, int(row["id"]))
        panel.casebox.bar.say(case_in_words(row, table.number + 1, len(table.frame), mapped_as, wrong))
