"""Acquisition times from file names, tags and what the user types. All times are UTC."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cscl.errors import InputError

__all__ = ["date_in_name", "date_in_tags", "given_dates", "without_dates"]

# No digit may touch a date, so tile names, orbit numbers and EPSG codes are not taken for one.
_YEAR = r"(?P<y>19[789]\d|20\d\d)"
_CLOCK = r"(?P<H>[01]\d|2[0-3])[:-]?(?P<M>[0-5]\d)[:-]?(?P<S>[0-5]\d)(?:\.\d+)?"
_MONTH_DAY = r"(?P<m>0[1-9]|1[0-2])(?P=sep)(?P<d>0[1-9]|[12]\d|3[01])"
_CALENDAR = re.compile(rf"(?<!\d){_YEAR}(?P<sep>[-_.:]?){_MONTH_DAY}(?:[T _]{_CLOCK}Z?)?(?!\d)")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WORDY = re.compile(rf"(?<!\d)(?P<d>0[1-9]|[12]\d|3[01])(?P<b>{'|'.join(_MONTHS)}){_YEAR}(?!\d)", re.IGNORECASE)
_YEAR_DAY = re.compile(rf"(?<!\d){_YEAR}(?P<j>[0-3]\d\d)(?!\d)")


def date_in_name(text: str) -> np.datetime64 | None:
    """Find the first date in a name: ``YYYYMMDD``, ``YYYY-MM-DD``, either with ``Thhmmss``, else as SNAP and others do.

    That is ``03May2021``, or ``YYYYDDD``.

    Returns
    -------
    datetime64[ns] or None
        None if no group of digits is a day of the calendar between 1970 and 2099.
    """
    for match in _CALENDAR.finditer(text):
        found = _calendar(match)
        if found is not None:
            return found
    for match in _WORDY.finditer(text):
        found = _day(match["y"], _MONTHS.index(match["b"].lower()) + 1, match["d"])
        if found is not None:
            return found
    for match in _YEAR_DAY.finditer(text):
        day = dt.date(int(match["y"]), 1, 1) + dt.timedelta(int(match["j"]) - 1)
        if day.year == int(match["y"]):
            return np.datetime64(day, "ns")
    return None


def date_in_tags(tags: Mapping[str, str]) -> np.datetime64 | None:
    """Find the acquisition time in a raster's tags; the time the file was written counts only if nothing else does."""
    names = sorted(tags, key=lambda name: (name == "TIFFTAG_DATETIME", name))
    for name in names:
        if re.search("acqui|sensing|datetime|^date$|^time$", name, re.IGNORECASE):
            found = date_in_name(tags[name])
            if found is not None:
                return found
    return None


def given_dates(dates: Sequence[str], count: int, what: str) -> NDArray[np.datetime64]:
    """Turn the dates that the user (or a sidecar) gives into an array.

    Raises
    ------
    InputError
        If one is not a date, or there are not `count` of them.
    """
    found = [date_in_name(str(date)) for date in dates]
    wrong = [str(date) for date, value in zip(dates, found, strict=True) if value is None]
    if wrong:
        raise InputError(f"{what}: '{wrong[0]}' is not a date. Write dates like 2021-05-03 or 2021-05-03T10:40:21.")
    if len(found) != count:
        raise InputError(f"{what}: {len(found)} dates are given for {count} images. Give one date for each, in order.")
    return np.array(found, "datetime64[ns]")


def without_dates(text: str) -> str:
    """Take the dates out of a name, and the separators at its ends."""
    for pattern in (_CALENDAR, _WORDY):
        text = pattern.sub("", text)
    return text.strip(" _-.:/")


def _calendar(match: re.Match[str]) -> np.datetime64 | None:
    clock = f"T{match['H']}:{match['M']}:{match['S']}" if match["H"] else ""
    return _day(match["y"], int(match["m"]), match["d"], clock)


def _day(year: str, month: int, day: str, clock: str = "") -> np.datetime64 | None:
    try:
        return np.datetime64(f"{year}-{month:02d}-{day}{clock}", "ns")
    except ValueError:  # the 31st of a short month
        return None
