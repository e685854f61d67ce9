"""Kinds of error that a pixel of a crop map can be: names, meanings and colours, one source for all of these."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["WRONG", "Kind"]


class Kind(IntEnum):
    """Kind of a pixel in a map of errors; the values of its array."""

    NONE = 0
    RIGHT = 1
    INTERIOR = 2
    SHIFTED = 3
    THIRD = 4
    VOID = 5
    PARCEL = 6

    @property
    def title(self) -> str:
        """Words for a legend."""
        return _WORDS[self][0]

    @property
    def meaning(self) -> str:
        """One sentence for those who ask."""
        return _WORDS[self][1]

    @property
    def colour(self) -> str:
        """Colour as ``#rrggbb``.

        Those of errors are Okabe's and Ito's: distinct for all kinds of colour vision and on most images. Their
        lightness L* is 54, 70, 89, 61 and 46.
        """
        return _WORDS[self][2]


_WORDS = {
    Kind.NONE: (
        "not judged",
        "The class is unknown, there is no prediction, or the pixel is not among those that are judged.",
        "#ffffff",
    ),
    Kind.RIGHT: ("right", "The predicted class is the true one.", "#c9d3da"),
    Kind.INTERIOR: (
        "interior blunder",
        "Wrong, with neither a class edge nor unknown land within reach, and not in a parcel that is wrong as a whole.",
        "#d55e00",
    ),
    Kind.SHIFTED: (
        "shifted boundary",
        "Wrong within reach of a class edge, and predicted as the class across the nearest edge; not in a parcel that "
        "is wrong as a whole.",
        "#56b4e9",
    ),
    Kind.THIRD: (
        "third class at an edge",
        "Wrong within reach of a class edge, but predicted as neither class of the nearest edge; not in a parcel that "
        "is wrong as a whole.",
        "#f0e442",
    ),
    Kind.VOID: (
        "beside void",
        "Wrong, no class edge within reach, but unknown land is; not in a parcel that is wrong as a whole.",
        "#cc79a7",
    ),
    Kind.PARCEL: (
        "whole parcel",
        "Wrong, as most of its parcel is: the class that most of the parcel's judged pixels are predicted as is not "
        "its own. It goes before all other kinds, near edges too.",
        "#0072b2",
    ),
}
WRONG = (Kind.SHIFTED, Kind.THIRD, Kind.VOID, Kind.INTERIOR, Kind.PARCEL)
"""Kinds of wrong pixels, in the order in which legends and tables name them."""
