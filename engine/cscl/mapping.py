"""Mappings: a user's table of which crop code of a register means which class, with hierarchical HCAT codes known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from cscl.errors import InputError, MissingError
from cscl.legend import CropClass

__all__ = ["CodeMapping", "hcat_group", "listed"]

CODE = ("code", "original_code")
CLASS = ("class", "ec_hcat_c", "hcat_code", "hcat3_code", "hcat2_code")
NAME = {
    "class": "name",
    "ec_hcat_c": "ec_hcat_n",
    "hcat_code": "hcat_name",
    "hcat3_code": "hcat3_name",
    "hcat2_code": "hcat2_name",
}
"""Columns of classes, and where their names stand; the first that a file has counts."""

SHOWN = 10
NAMED = 3

Words = Mapping[str, str]


@dataclass(frozen=True)
class CodeMapping:
    """Which code means which class.

    Parameters
    ----------
    classes : mapping
        Code to class; "" for codes whose parcels are to stay unknown.
    names, colours, groups : mapping
        Of classes, where they are known.
    path : Path or None
        File that it was read from.
    """

    classes: Words = field(repr=False)
    names: Words = field(default_factory=dict, repr=False)
    colours: Words = field(default_factory=dict, repr=False)
    groups: Words = field(default_factory=dict, repr=False)
    path: Path | None = None

    @classmethod
    def from_csv(cls, path: str | Path, hcat_level: int | None = None) -> CodeMapping:
        """Read a table with the columns code,class[,name,colour,group], or one of EuroCrops with its HCAT columns.

        Columns may be divided by commas, semicolons, tabs or bars. Of HCAT files these are read: ``original_code``, and
        ``EC_hcat_c`` with ``EC_hcat_n``, or the like (``HCAT3_code`` with ``HCAT3_name``). Rows without a code are
        passed over.

        Parameters
        ----------
        path : path
            The file.
        hcat_level : int, optional
            Classes are HCAT codes, to be merged by so many pairs of their digits: `hcat_group`.

        Raises
        ------
        MissingError, InputError
            No such file; not such a table; a code of several classes; HCAT codes wanted, and others found.
        """
        path = Path(path)
        table = _read(path)
        code = next((c for c in CODE if c in table), None)
        crop = next((c for c in CLASS if c in table), None)
        if code is None or crop is None:
            raise InputError(
                f"The mapping {path} has the columns {listed(c[:40] for c in table.columns)}. It needs 'code' and "
                "'class' (and may have name, colour and group), or the columns of EuroCrops: 'original_code' and "
                "'EC_hcat_c'."
            )
        table = table[table[code] != ""]
        _require_one_class(table[[code, crop]].drop_duplicates(), path)
        classes = dict(zip(table[code], table[crop], strict=True))
        known = table[table[crop] != ""]
        names, colours, groups = (
            _first(known, crop, column) for column in (NAME[crop], "colour" if "colour" in table else "color", "group")
        )
        if crop != "class":
            names = {c: name.replace("_", " ") for c, name in names.items()}
        mapping = cls(classes, names, colours, groups, path)
        return mapping if hcat_level is None else mapping.merged(hcat_level)

    def dressed(self, crop: CropClass) -> CropClass:
        """Give a class the colour and the group that the table has for it."""
        code = crop.code
        return replace(crop, colour=self.colours.get(code, crop.colour), group=self.groups.get(code, crop.group))

    def merged(self, hcat_level: int) -> CodeMapping:
        """Merge classes that are HCAT codes by their first pairs of digits.

        A merged class has the name that the table gives to its code; if it gives none, those of the classes in it.

        Raises
        ------
        InputError
            If a class is no HCAT code.
        """
        where = f"the mapping {self.path}" if self.path else "the class column"
        odd = sorted({c for c in self.classes.values() if c and not re.fullmatch(r"\d{10}", c)})
        if odd:
            raise InputError(
                f"HCAT codes have ten digits, and {where} holds others: {listed(odd)}. Leave --hcat-level out, or give "
                "a table of HCAT codes."
            )
        group = {c: hcat_group(c, hcat_level) for c in self.classes.values() if c}
        classes = {code: group.get(c, "") for code, c in self.classes.items()}
        members = {
            g: [self.names[c] for c in sorted(group) if group[c] == g and c in self.names] for g in group.values()
        }
        names = {g: self.names.get(g) or listed(members[g], NAMED) or g for g in members}
        colours, groups = ({group[c]: v for c, v in of.items() if c in group} for of in (self.colours, self.groups))
        return CodeMapping(classes, names, colours, groups, self.path)


def hcat_group(code: str, level: int) -> str:
    """Group of an HCAT code: its first `level` pairs of digits, filled up with zeros.

    Of 3301010101, winter common soft wheat, level 5 is the code itself, 4 common soft wheat, 3 cereals, 2 arable crops.

    Raises
    ------
    InputError
        If there is no such level.
    """
    if not 1 <= level <= 5:
        raise InputError(f"There is no HCAT level {level}: a code has five pairs of digits. Give 1 to 5.")
    return code[: 2 * level].ljust(10, "0")


def listed(words: Iterable[str], most: int = SHOWN) -> str:
    """List some of many words, and say how many more there are."""
    words = [word[:60] for word in words]
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def _read(path: Path) -> pd.DataFrame:
    """Table of texts, columns in small letters."""
    if not path.is_file():
        raise MissingError(f"There is no mapping file {path}. Give a CSV with the columns code,class[,name].")
    try:
        wide = path.read_bytes()[:2] in (b"\xff\xfe", b"\xfe\xff")  # as spreadsheets write "Unicode text"
        encoding = "utf-16" if wide else "utf-8-sig"
        with path.open(encoding=encoding) as stream:
            head = stream.readline()
        delimiter = max(",;\t|", key=head.count)
        table = pd.read_csv(path, sep=delimiter, dtype=str, encoding=encoding, keep_default_na=False, na_filter=False)
    except (UnicodeError, ValueError) as error:  # pandas' own are ValueErrors
        raise InputError(f"The mapping {path} is not a CSV in UTF-8 ({error}). Save it as one.") from error
    table.columns = [str(c).strip().lower() for c in table.columns]
    table = table.loc[:, ~table.columns.duplicated()]
    return pd.DataFrame({name: column.fillna("").str.strip() for name, column in table.items()})


def _require_one_class(pairs: pd.DataFrame, path: Path) -> None:
    code, crop = pairs.columns
    twice = pairs[pairs[code].duplicated(keep=False)].groupby(code, sort=True)[crop].agg(" and ".join)
    if len(twice):
        raise InputError(
            f"The mapping {path} gives several classes to one code: "
            f"{listed(f'{c} is {classes}' for c, classes in twice.items())}. Keep one row of each."
        )


def _first(table: pd.DataFrame, by: str, column: str) -> dict[str, str]:
    """First text of a column for each class that has one."""
    if column not in table:
        return {}
    some = table[table[column] != ""].drop_duplicates(by)
    return dict(zip(some[by], some[column], strict=True))
