"""Notes on cases: what somebody who looked at a parcel or an edge says of it, kept by what it is and where it lies.

A note belongs to labels, a map, the ids of the parcel or of both sides of an edge, and a place on earth: it is found
again after the errors were computed anew, also where ids were given anew and lie elsewhere now. Plain values only.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from psygnal import Signal

from cscl.errors import InputError, MissingError

__all__ = ["COLUMNS", "NO_UNIT", "VERDICTS", "CaseNote", "Notes", "Spot", "notes_from_csv", "notes_to_csv"]

VERDICTS = ("map error", "label error", "mixed or shifted outline", "unclear")
COLUMNS = ("verdict", "note")
NO_UNIT = -1  # a parcel or region has no other side


@dataclass(frozen=True)
class Spot:
    """What a note is about.

    Parameters
    ----------
    labels, map : str
        Names of the labels and of the map that was judged.
    a, b : int
        Ids of both sides of an edge, the smaller first; a parcel or region has no `b`, which is -1.
    left, bottom, right, top : float
        Bounds in the units of the CRS.
    crs : str
        Reference system.
    """

    labels: str
    map: str
    a: int
    b: int
    left: float
    bottom: float
    right: float
    top: float
    crs: str

    def is_same(self, other: Spot) -> bool:
        """Whether it is the same case: labels, map and ids, and bounds that overlap."""
        return self.map == other.map and self.is_place_of(other)

    def is_place_of(self, other: Spot) -> bool:
        """Whether it is the same parcel or edge, whatever the map."""
        mine, others = (self.labels, self.a, self.b, self.crs), (other.labels, other.a, other.b, other.crs)
        across = self.left <= other.right and other.left <= self.right
        return mine == others and across and self.bottom <= other.top and other.bottom <= self.top


@dataclass(frozen=True)
class CaseNote:
    """A note: its spot, a verdict of `VERDICTS` or none, words, and when it was written, ISO."""

    spot: Spot
    verdict: str = ""
    text: str = ""
    when: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self.spot), "verdict": self.verdict, "note": self.text, "when": self.when}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> CaseNote:
        """Make a note of plain values, which may be text.

        Raises
        ------
        InputError
            If values are missing or are not what they should be.
        """
        try:
            kinds = {"a": int, "b": int, **dict.fromkeys(("left", "bottom", "right", "top"), float)}
            spot = Spot(**{f.name: kinds.get(f.name, str)(plain[f.name]) for f in fields(Spot)})
            return cls(spot, str(plain["verdict"]), str(plain["note"]), str(plain["when"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"A note on a case is damaged ({error!r}).") from error


class Notes:
    """All notes of a viewer; they outlive filters, maps and scenes.

    Signals
    -------
    changed()
        A note was written, changed or taken away.
    """

    changed = Signal()

    def __init__(self, notes: Iterable[CaseNote] = ()) -> None:
        self._notes: list[CaseNote] = list(notes)

    def __len__(self) -> int:
        return len(self._notes)

    def __iter__(self) -> Any:
        return iter(tuple(self._notes))

    def at(self, spot: Spot) -> CaseNote | None:
        """Return the note on a case; None if there is none."""
        return next((note for note in self._notes if note.spot.is_same(spot)), None)

    def of_other_maps(self, spot: Spot) -> list[CaseNote]:
        """Return the notes on the same parcel or edge that were written about other maps."""
        return [note for note in self._notes if note.spot.is_place_of(spot) and note.spot.map != spot.map]

    def write(self, spot: Spot, verdict: str, text: str) -> None:
        """Write a note in the place of a former one; one without verdict and text is taken away."""
        if verdict and verdict not in VERDICTS:
            raise InputError(f"'{verdict}' is not a verdict. Choose one of: {', '.join(VERDICTS)}.")
        before = self.at(spot)
        if (before.verdict, before.text) == (verdict, text) if before else not (verdict or text):
            return
        self._notes = [note for note in self._notes if not note.spot.is_same(spot)]
        if verdict or text:
            when = dt.datetime.now().isoformat(timespec="seconds")
            self._notes.append(CaseNote(spot, verdict, text, when))
        self.changed.emit()

    def take(self, notes: Iterable[CaseNote]) -> int:
        """Add notes from elsewhere; of two on one case the later one stays. Return how many were taken."""
        taken = 0
        for note in notes:
            before = self.at(note.spot)
            if before is None or before.when < note.when:
                self._notes = [other for other in self._notes if other is not before] + [note]
                taken += 1
        if taken:
            self.changed.emit()
        return taken


def notes_to_csv(notes: Iterable[CaseNote]) -> str:
    """Write notes as a table that `notes_from_csv` reads back."""
    names = [*(f.name for f in fields(Spot)), "verdict", "note", "when"]
    text = io.StringIO()
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    table.writerows(note.to_dict() for note in notes)
    return text.getvalue()


def notes_from_csv(path: str | Path) -> list[CaseNote]:
    """Read notes that `notes_to_csv` wrote.

    Raises
    ------
    MissingError, InputError
        If there is no such file, or it is not a table of notes.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingError(f"There is no file {path}.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [CaseNote.from_dict(row) for row in csv.DictReader(file)]
    except (InputError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path} is not a table of notes ({error}). Choose a file that was exported as notes."
        ) from error
