"""What is known of a piece of a map before its pixels are counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .counts import Numbered

__all__ = ["Piece"]


@dataclass(frozen=True, eq=False)
class Piece:
    """A piece of a map, all arrays with axes (y, x) of the piece but those called "around".

    Parameters
    ----------
    kinds, bins : ndarray of uint8
        Kind of each pixel, `Kind.NONE` where it is not judged; its class of distance to the class edge.
    truth, guess : ndarray of int
        Class indices, negative where unknown or not predicted.
    confidence : ndarray of float
        0..1, NaN where there is none.
    near : ndarray of bool
        Whether a class edge lies within reach.
    mixed : ndarray of bool or None
        Whether the outline of a parcel runs through the pixel.
    units, across : ndarray of int
        Number of the pixel's unit and of the unit across its nearest class edge, 0 where there is none. Units of the
        piece and of what is seen around it are numbered from 1 up as their ids rise.
    unit_ids : ndarray of int
        Axis (number,): the id of each, 0 first.
    drawn : Numbered
        What is drawn whole for intervals: `cscl.metrics.bootstrap.numbered_units`.
    truth_around, units_around, judged_around : ndarray
        Truth, numbers of units and whether a pixel is to be judged, predicted or not, of the piece and of
        `cscl.metrics.displacement.EDGE_MARGIN_PX` around it, as far as the scene reaches.
    inside : tuple of slice
        Where the piece lies in these.
    depth_m : ndarray of float32
        Bleed depth of pixels of a shifted boundary, metres, NaN elsewhere.
    corner : tuple of int
        Row and column of the piece in the scene.
    """

    kinds: NDArray[np.uint8]
    bins: NDArray[np.uint8]
    truth: NDArray[Any]
    guess: NDArray[Any]
    confidence: NDArray[Any]
    near: NDArray[np.bool_]
    mixed: NDArray[np.bool_] | None
    units: NDArray[Any]
    across: NDArray[Any]
    unit_ids: NDArray[Any]
    drawn: Numbered
    truth_around: NDArray[Any]
    units_around: NDArray[Any]
    judged_around: NDArray[np.bool_]
    inside: tuple[slice, slice]
    depth_m: NDArray[np.float32]
    corner: tuple[int, int]
