"""How far outlines lie from the edges of images: both are laid over each other at many shifts, and the best fit wins.

Each outline is a row of points with normals; each pixel of the season has an edge tensor, which says how strong the
edges through it are and which way they run. The score of a shift is the mean over the points of the edge strength
across the outline, ``n' J n`` (J: structure tensor, Foerstner and Guelch, ISPRS workshop, Interlaken 1987), where the
shift puts them: a matched filter. No crop is used, so wrong declarations do no harm.
Axis letters: P parcels, S shifts along y or x, Y X pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

__all__ = ["EdgeTensor", "OutlinePoints", "Shifts", "match", "peaks"]

Floats = NDArray[np.float64]
UP = 2
"""Shifts are tried at each half pixel; the peak between them is found by a paraboloid."""
FLOOR = 0.1
HALF = 2


class EdgeTensor:
    """Strength and direction of the edges of a season, added up date by date.

    The gradient of each band is divided by its median length on that date, so that no band or date counts for more
    than its noise allows; the tensor of a date, the mean of ``g g'`` over bands, is divided by the root of its trace,
    so that a strong edge counts linearly and clouds that no mask knows do not drown the season.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._sum_3YX = np.zeros((3, *shape), np.float32)
        self._dates_YX = np.zeros(shape, np.uint16)

    def add(self, image_BYX: NDArray[np.float32], valid_YX: NDArray[np.bool_]) -> None:
        """Add a date: values of any unit, and which pixels are usable. Edges are seen where all four neighbours are."""
        inner = (slice(1, -1), slice(1, -1))
        usable_YX = (
            valid_YX[inner] & valid_YX[:-2, 1:-1] & valid_YX[2:, 1:-1] & valid_YX[1:-1, :-2] & valid_YX[1:-1, 2:]
        )
        if not usable_YX.any():
            return
        tensor_3YX = np.zeros((3, *usable_YX.shape), np.float32)
        for band_YX in image_BYX:
            down_YX = band_YX[2:, 1:-1] - band_YX[:-2, 1:-1]
            right_YX = band_YX[1:-1, 2:] - band_YX[1:-1, :-2]
            square_YX = down_YX * down_YX + right_YX * right_YX
            typical = float(np.median(square_YX[usable_YX][::7]))
            if typical <= 0:  # flat but for less than half of it: any edge is one
                typical = float(square_YX[usable_YX].mean())
            if typical > 0:
                scale = 1 / typical
                tensor_3YX[0] += scale * down_YX * down_YX
                tensor_3YX[1] += scale * down_YX * right_YX
                tensor_3YX[2] += scale * right_YX * right_YX
        tensor_3YX /= len(image_BYX)
        tensor_3YX /= np.sqrt(tensor_3YX[0] + tensor_3YX[2] + FLOOR)
        self._sum_3YX[:, *inner] += np.where(usable_YX, tensor_3YX, 0)
        self._dates_YX[inner] += usable_YX

    def mean(self) -> NDArray[np.float32]:
        """Mean over the dates that saw a pixel, axes (yy yx xx, y, x), less its mean over the tile; 0 where none did.

        Without that subtraction the unseen would look like a place without edges, and pull the outlines off it.
        """
        seen_YX = self._dates_YX > 0
        mean_3YX = self._sum_3YX / np.maximum(self._dates_YX, 1)
        if seen_YX.any():
            mean_3YX -= mean_3YX[:, seen_YX].mean(1, dtype=np.float64)[:, None, None].astype(np.float32)
        mean_3YX[:, ~seen_YX] = 0
        return np.asarray(mean_3YX, np.float32)


@dataclass(frozen=True, eq=False)
class OutlinePoints:
    """Points along outlines.

    Parameters
    ----------
    place_px : ndarray
        Row and column of each point, counted from the centre of the first pixel; float64, axes (point, 2).
    normal : ndarray
        Unit normals, either way, axes (point, 2): along rows, along columns.
    length_px : ndarray
        Length of outline that each point stands for, shape (point,).
    parcel : ndarray
        Number of the parcel of each point, int64, shape (point,).
    """

    place_px: Floats
    normal: Floats
    length_px: Floats
    parcel: NDArray[np.int64]

    def taken(self, which: NDArray[np.bool_]) -> OutlinePoints:
        """Return some of the points."""
        return OutlinePoints(self.place_px[which], self.normal[which], self.length_px[which], self.parcel[which])


@dataclass(frozen=True)
class Shifts:
    """The shifts that are tried: as many half pixels as `reach` each way, along rows and columns."""

    reach: int

    @property
    def px(self) -> Floats:
        """Shifts along one axis, pixels, ascending."""
        return np.arange(-self.reach, self.reach + 1) / UP

    @property
    def margin_px(self) -> int:
        """Pixels that must be known beyond a point."""
        return -(-self.reach // UP) + 2


def match(tensor_3YX: NDArray[np.float32], points: OutlinePoints, shifts: Shifts) -> tuple[NDArray[np.int64], Floats]:
    """Sum the edge strength across the outlines of each parcel at each shift.

    Points that some shift would take off the tile are left out for all.

    Returns
    -------
    parcel : ndarray
        Numbers of the parcels that have points left, ascending, shape (P,).
    score_PSS : ndarray
        Score of moving the outlines down and right by each shift, axes (parcel, y, x), float64; pixel lengths times
        edge strength.
    """
    fine_3YX = _finer(tensor_3YX)
    height, width = fine_3YX.shape[1:]
    first = np.floor(points.place_px * UP).astype(np.int64)
    # An outermost pixel has no gradient, hence the pixel more on each side.
    off = UP + shifts.reach
    inside = (first >= off).all(1) & (first[:, 0] + 1 + off < height) & (first[:, 1] + 1 + off < width)
    points, first = points.taken(inside), first[inside]
    parcel, own = np.unique(points.parcel, return_inverse=True)
    score_PSS = np.zeros((len(parcel), 2 * shifts.reach + 1, 2 * shifts.reach + 1))
    if not len(parcel):
        return parcel, score_PSS
    pixel, weight = _corners(points.place_px * UP - first, first, width)
    used, column = np.unique(pixel, return_inverse=True)
    row, across = np.tile(own, 4), points.normal
    factors = (across[:, 0] ** 2, 2 * across[:, 0] * across[:, 1], across[:, 1] ** 2)
    steps = np.arange(-shifts.reach, shifts.reach + 1)
    for values_YX, factor in zip(fine_3YX, factors, strict=True):
        entries = weight * np.tile(factor * points.length_px, 4)
        matrix = csr_matrix((entries, (row, column)), shape=(len(parcel), len(used)))
        flat = values_YX.ravel()
        for number, down in enumerate(steps):
            score_PSS[:, number] += matrix @ flat[used[:, None] + (down * width + steps)]
    return parcel, score_PSS


def peaks(score_NSS: Floats, shifts: Shifts) -> tuple[Floats, NDArray[np.bool_]]:
    """Find the top of each score: a paraboloid through the shifts within a pixel of the best one, near ones first.

    Parameters
    ----------
    score_NSS : ndarray
        Scores, axes (any, y, x).
    shifts : Shifts
        What the last axes are; at least two each way.

    Returns
    -------
    top_px : ndarray
        Shift down and right, pixels, axes (any, 2).
    inside : ndarray
        Whether it is a real top, bool: not at the end of the search and not a ridge.
    """
    side = 2 * shifts.reach + 1
    best = score_NSS.reshape(len(score_NSS), -1).argmax(1)
    at = np.stack(np.unravel_index(best, (side, side)), 1)
    centre = np.clip(at, HALF, side - 1 - HALF)
    y, x = (a.ravel() / UP for a in np.mgrid[-HALF : HALF + 1, -HALF : HALF + 1])
    terms = np.stack([np.ones_like(y), y, x, y * y, y * x, x * x], 1)
    near = np.exp(-(y * y + x * x))[:, None]
    fit = np.linalg.pinv(terms * near) * near[:, 0]
    around = np.arange(-HALF, HALF + 1)
    rows, cols = (centre[:, axis, None] + around for axis in (0, 1))
    cut = score_NSS[np.arange(len(score_NSS))[:, None, None], rows[:, :, None], cols[:, None, :]]
    _, a, b, aa, ab, bb = (cut.reshape(len(cut), -1) @ fit.T).T
    bend = 4 * aa * bb - ab * ab
    domed = (bend > 0) & (aa < 0) & ((at > 0) & (at < side - 1)).all(1)
    safe = np.where(domed, bend, 1.0)
    move = np.stack([(ab * b - 2 * bb * a) / safe, (ab * a - 2 * aa * b) / safe], 1)
    domed &= (np.abs(move) <= HALF / UP).all(1)
    return np.where(domed[:, None], shifts.px[centre] + move, shifts.px[at]), domed


def _finer(tensor_3YX: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put values between the pixels, halfway and linearly; axes (3, 2 y - 1, 2 x - 1)."""
    _, height, width = tensor_3YX.shape
    fine_3YX = np.empty((3, UP * height - 1, UP * width - 1), np.float32)
    fine_3YX[:, ::2, ::2] = tensor_3YX
    fine_3YX[:, 1::2, ::2] = (tensor_3YX[:, 1:] + tensor_3YX[:, :-1]) / 2
    fine_3YX[:, :, 1::2] = (fine_3YX[:, :, 2::2] + fine_3YX[:, :, :-2:2]) / 2
    return fine_3YX


def _corners(part: Floats, first: NDArray[np.int64], width: int) -> tuple[NDArray[np.int64], Floats]:
    """Return the four fine pixels around each point and their weights in linear interpolation, one after the other."""
    pixel = first[:, 0] * width + first[:, 1]
    y, x = part.T
    places = [pixel, pixel + 1, pixel + width, pixel + width + 1]
    return np.concatenate(places), np.concatenate([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x])
