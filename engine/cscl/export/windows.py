"""Pictures of windows of a season: a few clear dates of each, all coloured alike; only these windows are read."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cscl.cube import SITSCube
from cscl.events import Event, Progress
from cscl.grid import Window

from .colours import FALSE_COLOUR, TRUE_COLOUR, coloured, first_bands, limits
from .paper import MISSING

__all__ = ["Look", "Pane", "Picture", "Season"]

DATES = 4
CLEAR, TRIES = 0.95, 4

Picture = NDArray[np.uint8]
Limit = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pane:
    """One picture of a case: what kind it is of (``image``, ``season``, ``truth``, ``map``, ``errors``), and two names.

    `colours_YXC` is uint8 with axes (y, x, channel), a pixel of the scene each.
    """

    kind: str
    name: str
    second: str
    colours_YXC: Picture = field(repr=False)


@dataclass(frozen=True, eq=False)
class Look:
    """One date of a window: pixels (y, x, band), where they are valid, and their share."""

    time: int
    pixels: NDArray[np.float32]
    valid: NDArray[np.bool_]
    share: float


class Season:
    """Pictures of windows; it remembers which dates were clear, and colours all windows alike."""

    def __init__(self, cube: SITSCube) -> None:
        true, false = (first_bands(cube, choices) for choices in (TRUE_COLOUR, FALSE_COLOUR))
        self._image, self._strip = true or false or cube.bands[:1], false or true or cube.bands[:1]
        self._bands = tuple(dict.fromkeys((*self._image, *self._strip)))
        self._cube = cube.select(bands=self._bands)
        days = (cube.dates - cube.dates[0]) / np.timedelta64(1, "D")
        part = np.minimum(days / max(days[-1], 1) * DATES, DATES - 1).astype(int)  # equal in time, not in dates
        self._parts = [np.flatnonzero(part == number).tolist() for number in np.unique(part)]
        self._shares: dict[int, list[float]] = {}

    def look(self, window: Window) -> Generator[Event, None, list[Look]]:
        """Read the window at a clear date of each part of the season."""
        found = []
        for part in self._parts:
            tried: list[Look] = []
            middle = sorted(part, key=lambda time: abs(2 * time - part[0] - part[-1]))
            for time in sorted(middle, key=self._expected, reverse=True)[:TRIES]:
                tried.append(self._read(time, window))
                yield Progress("reading images", 0, 0, "window")
                if tried[-1].share >= CLEAR:
                    break
            found.append(max(tried, key=lambda look: look.share))
        return found

    def _expected(self, time: int) -> float:
        return float(np.mean(self._shares.get(time, [1.0])))

    def _read(self, time: int, window: Window) -> Look:
        values, valid = self._cube.select(window=window).select(times=[time]).read()
        share = float(valid.mean())
        self._shares.setdefault(time, []).append(share)
        return Look(time, values[0].transpose(1, 2, 0), valid[0], share)

    def pictures(self, seen: Sequence[Sequence[Look]]) -> list[list[Pane]]:
        """Colour what was read, alike in all cases: the clearest date as image, then the season."""
        clearest = [_clearest(looks) for looks in seen]
        all_dates = [look for looks in seen for look in looks]
        image, season = (self._limits(looks, self._image) for looks in (clearest, all_dates))
        # One range for all bands keeps the hues of one date true; bare fields of other dates keep it from glaring.
        bright = (image[1].max() + season[1].max()) / 2
        stretch = {"image": (image[0].min(), bright), "season": self._limits(all_dates, self._strip)}

        def pane(look: Look, bands: tuple[str, ...], kind: str) -> Pane:
            chosen = [self._bands.index(band) for band in bands]
            missing = MISSING if len(bands) == 3 else "#f5c58a"
            colours = coloured(look.pixels[..., chosen], look.valid, *stretch[kind], missing)
            day = str(self._cube.dates[look.time].astype("datetime64[D]"))
            return Pane(kind, day, _in_words(bands), np.round(colours * 255).astype(np.uint8))

        return [
            [pane(image, self._image, "image"), *(pane(look, self._strip, "season") for look in looks)]
            for image, looks in zip(clearest, seen, strict=True)
        ]

    def _limits(self, looks: Sequence[Look], bands: tuple[str, ...]) -> tuple[Limit, Limit]:
        chosen = [self._bands.index(band) for band in bands]
        return limits(
            np.concatenate([np.zeros((0, len(bands)), np.float32)] + [k.pixels[k.valid][:, chosen] for k in looks])
        )


def _clearest(looks: Sequence[Look]) -> Look:
    """Of dates that are clear enough the one in the middle of the season."""
    order = sorted(looks, key=lambda look: abs(looks.index(look) - len(looks) / 2))
    return max(order, key=lambda look: min(look.share, CLEAR))


def _in_words(bands: tuple[str, ...]) -> str:
    if len(bands) == 1:
        return f"band {bands[0]}"
    return "true colour" if bands in TRUE_COLOUR else "near infrared"
