"""Mixed pixels: those through which the outline of a parcel runs, so that they show more than one piece of land."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["crossed_pixels"]

PIECES = 2**20
ON_A_LINE = 1e-6  # pixels; coordinates of 10^6 m hold a thousandth of a millimetre in float64


def crossed_pixels(segments_SEX: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Find the pixels whose inside a line crosses, exactly: each line is cut where it meets the borders of pixels.

    A line that runs along the border between two pixels, or that only touches a corner, crosses neither.

    Parameters
    ----------
    segments_SEX : ndarray of float
        Straight lines, axes (segment, end, coordinate): column and row of both ends in pixels, counted from the upper
        left corner of the upper left pixel. They may leave the raster.
    shape : tuple of int
        Rows and columns of the raster.

    Returns
    -------
    ndarray of bool
        Axes (y, x).
    """
    crossed = np.zeros(shape, bool)
    start, step = segments_SEX[:, 0], segments_SEX[:, 1] - segments_SEX[:, 0]
    limits = np.array([shape[1], shape[0]], float)
    near = ((segments_SEX.max(1) > 0) & (segments_SEX.min(1) < limits)).all(1) & (step != 0).any(1)
    start, step = start[near], step[near]
    meets = (np.abs(np.floor(start + step) - np.floor(start)).astype(np.int64) + 2).sum(1)
    part = np.cumsum(meets) // PIECES
    for number in np.unique(part):
        _mark(crossed, start[part == number], step[part == number])
    return crossed


def _mark(crossed: NDArray[np.bool_], start: NDArray[np.float64], step: NDArray[np.float64]) -> None:
    """Cut lines at the borders of pixels; the middle of each piece says which pixel it lies in."""
    line = [np.arange(len(start)), np.arange(len(start))]
    cut = [np.zeros(len(start)), np.ones(len(start))]
    for axis in (0, 1):
        low, high = (np.sort(np.stack([start, start + step])[:, :, axis], axis=0)[end] for end in (0, 1))
        first = np.ceil(low)
        count = np.maximum(0, np.floor(high) - first + 1).astype(np.int64)
        count[step[:, axis] == 0] = 0
        of = np.repeat(np.arange(len(start)), count)
        border = first[of] + np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        line.append(of)
        cut.append((border - start[of, axis]) / step[of, axis])
    lines, cuts = np.concatenate(line), np.clip(np.concatenate(cut), 0, 1)
    order = np.lexsort((cuts, lines))
    lines, cuts = lines[order], cuts[order]
    same = lines[1:] == lines[:-1]
    of, middle, share = lines[1:][same], ((cuts[1:] + cuts[:-1]) / 2)[same], (cuts[1:] - cuts[:-1])[same]
    at = start[of] + middle[:, None] * step[of]
    inside = (np.abs(at - np.round(at)) > ON_A_LINE).all(1) & (share * np.abs(step[of]).max(1) > ON_A_LINE)
    col, row = np.floor(at[inside]).astype(np.int64).T
    there = (row >= 0) & (row < crossed.shape[0]) & (col >= 0) & (col < crossed.shape[1])
    crossed[row[there], col[there]] = True
