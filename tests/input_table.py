"""The tables in docs/inputs.md: each line is built and tried, and what they quote is what is said.

A case is a function that writes its input into an empty folder and returns what to open: a path, or a path and options.
A file of tests files the cases of its sections, and tries the lines of these: a line without a case fails, and so does
a case without a line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_files import stored
from numpy.typing import NDArray

from cscl.data.readers import ReadOptions, open_cube
from cscl.errors import CSCLError
from cscl.grid import Window

Made = Path | tuple[Path, Any]
CASES: dict[tuple[str, str], Callable[[Path], Made]] = {}
OPENERS: dict[str, Callable[[Made], list[str]]] = {}
"""How what a section tells of is opened, if not as images; returns what is said."""


def case(section: str, name: str) -> Callable[[Callable[[Path], Made]], Callable[[Path], Made]]:
    """File a case under the section and the first cell of its line."""

    def file(make: Callable[[Path], Made]) -> Callable[[Path], Made]:
        assert (section, name) not in CASES
        CASES[section, name] = make
        return make

    return file


@dataclass(frozen=True)
class Line:
    """One line of a table: the input, whether it is accepted, and what is said, with ... for names and numbers."""

    section: str
    name: str
    accepted: bool
    said: str

    def fits(self, text: str) -> bool:
        pattern = ".*".join(re.escape(part) for part in self.said.split("..."))
        return re.fullmatch(pattern, text, re.DOTALL) is not None


def lines() -> Iterator[Line]:
    document = (Path(__file__).parents[1] / "docs" / "inputs.md").read_text(encoding="utf-8")
    section = ""
    for row in document.splitlines():
        if row.startswith("## "):
            section = (re.findall(r"\(`(\w+)`\)", row) or [""])[0]
        cells = [cell.strip() for cell in row.strip("| ").split(" | ")]
        if row.startswith("|") and len(cells) == 3 and cells[1] in ("accepted", "refused"):
            yield Line(section, cells[0], cells[1] == "accepted", cells[2].replace("\\|", "|"))


LINES = list(lines())


def tried(*sections: str) -> Any:
    """Parametrise a test by the lines of some sections."""
    chosen = [line for line in LINES if line.section in sections]
    return pytest.mark.parametrize("line", chosen, ids=lambda line: f"{line.section}: {line.name}")


def require_complete(*sections: str) -> None:
    """Every line of some sections has its case, and every case its line."""
    told = [(line.section, line.name) for line in LINES if line.section in sections]
    assert len(set(told)) == len(told) and {section for section, _ in told} == set(sections)
    assert set(told) == {key for key in CASES if key[0] in sections}


def try_line(line: Line, folder: Path) -> None:
    """Build the input of a line in an empty folder, open it, and compare what is said."""
    made = CASES[line.section, line.name](folder)
    try:
        notes = OPENERS.get(line.section, as_cube)(made)
    except CSCLError as error:
        assert not line.accepted, str(error)
        assert line.fits(str(error)), str(error)
        return
    assert line.accepted, notes
    if line.said == "nothing":
        assert not notes[:-1]  # the last is where the numbers come from
    else:
        assert any(line.fits(note) for note in notes), notes


def as_cube(made: Made) -> list[str]:
    """Open images and read a window in the middle; what is said of them, and of their numbers."""
    path, options = made if isinstance(made, tuple) else (made, ReadOptions())
    cube = open_cube(path, options)
    rows, cols = (n // 2 for n in cube.shape)
    for window in (Window(0, 0, 2, 2), Window(rows, cols, 2, 2), Window(cube.shape[0] - 2, cols, 2, 2)):
        values, valid = cube.read(window)
        assert np.isfinite(values).all() and np.abs(values[:, :, ~valid.any(axis=0)]).max(initial=0) == 0
        assert values.max(initial=0) < 7 and values.min(initial=0) > -0.5  # no fill value is ever learnt from
    return [*cube.notes, cube.radiometry.source]


def halved(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def garbage(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.random.default_rng(0).bytes(3000))
    return path


def with_hidden(dtype: Any, *values: float) -> NDArray[Any]:
    """Return an image whose middle and corners hold fill values."""
    image = stored(1)[0].astype(dtype)
    for value, place in zip(values, [(6, 8), (0, 0), (7, 8)], strict=False):
        image[:, *place] = value
    return image
