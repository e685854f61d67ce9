"""The legend: crop codes, class ids, names and colours, and the id that means 'unknown'. One source for all of these.

Rasters, layers and exports hold the user's class *ids* (gaps allowed, 0 may be a class). The contiguous *index*
0..K-1, in the order of the legend, exists only where arrays become tensors and back.
"""

from __future__ import annotations

import colorsys
import csv
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.errors import InputError, MissingError

__all__ = ["UNKNOWN", "CropClass", "Legend", "default_colours"]

UNKNOWN = -1
"""Index of a pixel whose class is not known; losses and metrics leave it out."""

LOOK_UP_PX = 2**22

# Paul Tol's 'muted' and 'bright' qualitative schemes: distinct for the common kinds of colour-blindness.
_TOL = (
    *("#cc6677", "#332288", "#ddcc77", "#117733", "#88ccee", "#882255", "#44aa99", "#999933", "#aa4499"),
    *("#ee6677", "#4477aa", "#228833", "#ccbb44", "#66ccee", "#ee8866", "#bbbbbb"),
)


@dataclass(frozen=True)
class CropClass:
    """One class: raster `id` (0..65535), register `code`, readable `name`, `colour` ``#rrggbb`` and `group`."""

    id: int
    code: str
    name: str
    colour: str
    group: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.id <= 65535:
            raise InputError(f"Class id {self.id} ({self.name}) is outside 0..65535. Give the classes smaller ids.")
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", self.colour):
            raise InputError(
                f"Class {self.id} ({self.name}): the colour '{self.colour[:20]}' is not of the form #rrggbb. Correct "
                "it."
            )

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green and blue, 0..255."""
        return int(self.colour[1:3], 16), int(self.colour[3:5], 16), int(self.colour[5:7], 16)


@dataclass(frozen=True)
class Legend:
    """Classes in the order of their index, and the id of pixels that have no known class.

    Raises
    ------
    InputError
        If two classes share an id or a code, or a class has the id of the unknown.
    """

    classes: tuple[CropClass, ...]
    ignore: int = 255

    def __post_init__(self) -> None:
        for what in ("code", "id"):
            seen = [getattr(c, what) for c in self.classes]
            twice = sorted({str(v) for v in seen if seen.count(v) > 1})
            if twice:
                raise InputError(f"The legend has the {what} {', '.join(twice)} more than once. Make them unique.")
        if not 0 <= self.ignore <= 65535:
            raise InputError(f"The id {self.ignore} of the unknown is outside 0..65535. Choose a smaller one.")
        if self.ignore in self.ids:
            raise InputError(f"The id {self.ignore} is both a class and 'unknown'. Choose another id for the unknown.")

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def ids(self) -> tuple[int, ...]:
        """Class ids, in index order."""
        return tuple(c.id for c in self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names, in index order."""
        return tuple(c.name for c in self.classes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Smallest unsigned integer type that holds all ids and the unknown."""
        return np.dtype(np.uint8 if max((*self.ids, self.ignore)) <= 255 else np.uint16)

    @cached_property
    def _index_by_id(self) -> NDArray[np.int16]:
        table = np.full(65536, UNKNOWN, np.int16)
        table[list(self.ids)] = np.arange(len(self))
        return table

    def to_index(self, ids: NDArray[Any]) -> NDArray[np.int16]:
        """Turn class ids into indices 0..K-1; ids that are not in the legend become `UNKNOWN`."""
        return _look_up(self._index_by_id, ids)

    def to_ids(self, index: NDArray[Any]) -> NDArray[Any]:
        """Turn indices into class ids; negative indices become the ignore id."""
        table = np.array([*self.ids, self.ignore], self.dtype)
        return _look_up(table, np.maximum(index, UNKNOWN))  # -1 finds the last

    def id_by_code(self) -> Mapping[str, int]:
        """Class id of each register code."""
        return {c.code: c.id for c in self.classes}

    @classmethod
    def from_codes(cls, codes: Iterable[Any], names: Mapping[str, str] | None = None) -> Legend:
        """Make a legend from the codes that occur in the data.

        Whole numbers 0..65534 keep their value as id; any other codes are numbered from 1 in alphabetical order.

        Raises
        ------
        InputError
            If there is no code at all.
        """
        texts = sorted({str(c) for c in codes}, key=lambda t: (int(t) if t.isdecimal() else math.inf, t))
        if not texts:
            raise InputError("There is no class in the data, so no legend can be made. Check the class column.")
        numeric = all(re.fullmatch(r"0|[1-9]\d*", t) and int(t) < 65535 for t in texts)
        ids = [int(t) for t in texts] if numeric else list(range(1, len(texts) + 1))
        names = names or {}
        classes = (
            CropClass(i, t, names.get(t, t), colour)
            for i, t, colour in zip(ids, texts, default_colours(len(texts)), strict=True)
        )
        return cls(tuple(classes), ignore=free_ignore(ids))

    def extended(self, codes: Iterable[Any], names: Mapping[str, str] | None = None) -> Legend:
        """Return this legend with further codes behind it; codes that it has keep their id, name and colour.

        A new code keeps its value as id if it is a whole number whose id is free, and takes the next free id if not.
        """
        codes, known, taken = list(codes), set(self.id_by_code()), {*self.ids, self.ignore}
        new = [c for c in Legend.from_codes(codes, names).classes if c.code not in known] if codes else []
        colours = default_colours(len(self) + len(new))[len(self) :]
        classes = list(self.classes)
        for crop, colour in zip(new, colours, strict=True):
            number = crop.id if crop.id not in taken else next(i for i in range(1, 65536) if i not in taken)
            taken.add(number)
            classes.append(replace(crop, id=number, colour=colour))
        return Legend(tuple(classes), self.ignore)

    @classmethod
    def from_csv(cls, path: str | Path, ignore: int | None = None) -> Legend:
        """Read a legend from a CSV with the columns code, name, colour, group and, if wanted, id.

        Only ``code`` is required; what is missing is filled in as `from_codes` would.

        Raises
        ------
        MissingError, InputError
            If the file is not there, is not text, or has no ``code`` column.
        """
        path = Path(path)
        if not path.is_file():
            raise MissingError(f"There is no legend file {path}. Give a CSV with the columns code,name,colour,group.")
        try:
            with path.open(newline="", encoding="utf-8-sig") as stream:
                head = stream.readline()  # spreadsheets of half of Europe write semicolons
                stream.seek(0)
                rows = [
                    {(k or "").strip().lower(): (v or "").strip() for k, v in row.items() if isinstance(v, str)}
                    for row in csv.DictReader(stream, delimiter=";" if ";" in head and "," not in head else ",")
                ]
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"The legend {path} is not a CSV in UTF-8 ({error}). Save it as one.") from error
        lacking = [number for number, row in enumerate(rows, 1) if not row.get("code")]
        if len(lacking) == len(rows):
            raise InputError(
                f"The legend {path} has no column 'code' with values. Its first line must name the columns."
            )
        if lacking:
            raise InputError(f"The class in row {lacking[0]} of the legend {path} has no code. Give each class one.")
        return cls._from_rows(rows, path, ignore)

    @classmethod
    def _from_rows(cls, rows: list[dict[str, str]], path: Path, ignore: int | None) -> Legend:
        plain = {c.code: c for c in cls.from_codes(r["code"] for r in rows).classes}
        try:
            ids = [int(r["id"]) if r.get("id") else plain[r["code"]].id for r in rows]
        except ValueError as error:
            raise InputError(
                f"The legend {path} has an id that is not a whole number ({error}). Correct it."
            ) from error
        colours = default_colours(len(rows))
        classes = tuple(
            CropClass(
                i,
                r["code"],
                r.get("name") or r["code"],
                r.get("colour") or r.get("color") or colour,
                r.get("group", ""),
            )
            for i, r, colour in zip(ids, rows, colours, strict=True)
        )
        return cls(classes, free_ignore(ids) if ignore is None else ignore)

    def to_csv(self, path: str | Path) -> None:
        """Write the legend as `from_csv` reads it."""
        with Path(path).open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["id", "code", "name", "colour", "group"])
            writer.writerows([c.id, c.code, c.name, c.colour, c.group] for c in self.classes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"ignore": self.ignore, "classes": [vars(c).copy() for c in self.classes]}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Legend:
        """Make the legend that `to_dict` described; a TypeError, KeyError or ValueError if that is damaged."""
        for crop in plain["classes"]:
            texts = [crop.get(key, "") for key in ("code", "name", "colour", "group")]
            if type(crop["id"]) is not int or not all(isinstance(text, str) for text in texts):
                raise TypeError(f"the class {str(crop)[:80]} is none")
        return cls(tuple(CropClass(**c) for c in plain["classes"]), int(plain["ignore"]))


def _look_up(table: NDArray[Any], places: NDArray[Any]) -> NDArray[Any]:
    """``table[places]`` some rows at a time: for indexing NumPy makes 8 bytes of each, 1 GB for a Sentinel-2 tile."""
    if places.ndim == 0 or places.size <= LOOK_UP_PX:
        return np.asarray(table[places])
    found = np.empty(places.shape, table.dtype)
    rows = max(1, LOOK_UP_PX * len(places) // places.size)
    for row in range(0, len(places), rows):
        found[row : row + rows] = table[places[row : row + rows]]
    return found


def free_ignore(ids: Iterable[int]) -> int:
    """Id for 'unknown': 255 unless it is used, else 65535, else the smallest free one."""
    used = set(ids)
    return int(next(i for i in (255, 65535, *range(65535)) if i not in used))


def default_colours(count: int) -> list[str]:
    """Colours ``#rrggbb`` for `count` classes: colour-blind-safe as far as sixteen hues reach, distinct beyond.

    Beyond sixteen, hue, lightness and saturation follow the additive recurrence of Roberts (2018), which spreads any
    number of points evenly over the three: 200 classes stay farther apart than the least difference the eye sees.
    """
    colours = list(_TOL[:count])
    for extra in range(1, count - len(colours) + 1):
        hue, light, vivid = (extra * step % 1 for step in (0.8191725134, 0.6710436067, 0.5497004779))
        rgb = colorsys.hls_to_rgb(hue, 0.3 + 0.55 * light, 0.3 + 0.6 * vivid)
        colours.append("#" + "".join(f"{round(v * 255):02x}" for v in rgb))
    return colours
