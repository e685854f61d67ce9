"""A stratified random sample of the pixels of a map: how many, how many of each class, and which.

After Olofsson et al., Remote Sensing of Environment 148, 2014, section 5.1. The strata are the classes of the map.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.errors import InputError
from cscl.events import Job, Progress, run

__all__ = [
    "ALLOCATIONS", "Allocation", "StratifiedSample", "allocate", "count_strata", "draw_sample", "drawing",
    "sample_size",
]  # fmt: skip

ALLOCATIONS = ("compromise", "proportional", "equal")

Counts = NDArray[np.int64]
Strips = Iterable[tuple[int, NDArray[Any]]]


def sample_size(
    weights: NDArray[Any], user_accuracy: NDArray[Any], standard_error: float, population: int | None = None
) -> int:
    """Find how many units a wanted standard error of overall accuracy takes (equation 13), rounded up.

    n = (sum W_i S_i)^2 / (S(O)^2 + sum W_i S_i^2 / N) with S_i = sqrt(U_i (1 - U_i)).

    Parameters
    ----------
    weights : ndarray of float
        Axis (class,): share of the map, or pixels.
    user_accuracy : ndarray of float
        Axis (class,): expected user's accuracy, 0..1; a guess.
    standard_error : float
        Wanted standard error of overall accuracy, commonly 0.01.
    population : int, optional
        Pixels of the map, N. By default so many that the second term vanishes, as in the paper's example.

    Raises
    ------
    InputError
        If an accuracy is not in 0..1 or the standard error is not positive.
    """
    user = np.asarray(user_accuracy, np.float64)
    if not ((user >= 0) & (user <= 1)).all() or not standard_error > 0:
        raise InputError(
            f"Expected user's accuracies are {user.tolist()} and the wanted standard error {standard_error}; "
            "the former must lie in 0..1 and the latter above 0."
        )
    share = np.asarray(weights, np.float64) / np.sum(weights)
    spread = np.sqrt(user * (1 - user))
    finite = float((share * spread**2).sum()) / population if population else 0.0
    return math.ceil(float((share * spread).sum()) ** 2 / (standard_error**2 + finite) - 1e-9)


@dataclass(frozen=True, eq=False)
class Allocation:
    """Sample units of each class.

    Parameters
    ----------
    units, pixels : ndarray of int
        Axis (class,): units to draw, and pixels on the map.
    remarks : tuple of str
        Where the classes could not be given what was asked for.
    """

    units: Counts
    pixels: Counts = field(repr=False)
    remarks: tuple[str, ...] = ()


def allocate(units: int, pixels: NDArray[Any], how: str = "compromise", minimum: int = 50) -> Allocation:
    """Share sample units out among the classes of a map.

    ``"proportional"`` to area serves overall accuracy, ``"equal"`` the user's accuracies; the paper's ``"compromise"``
    gives classes whose share would fall short of a minimum that minimum (50 to 100 in the paper) and shares out the
    rest by area. Fractions go to the largest remainders, so that the units add up.

    Parameters
    ----------
    units : int
        How many in all.
    pixels : ndarray of int
        Axis (class,): pixels on the map; a class without pixels gets no unit.
    how : str
        One of `ALLOCATIONS`.
    minimum : int
        Units that a class gets at least in the compromise.

    Raises
    ------
    InputError
        If there is no such way, the map has no pixels, or the units do not suffice for two of each class, or for the
        minimum.
    """
    pixels = np.asarray(pixels, np.int64)
    there = pixels > 0
    least = max(2, minimum) if how == "compromise" else 2
    if how not in ALLOCATIONS:
        raise InputError(f"There is no allocation '{how}'. Choose one of {', '.join(ALLOCATIONS)}.")
    if not there.any():
        raise InputError("The map has no pixel of any class, so that there is nothing to sample.")
    if units < least * there.sum():
        raise InputError(
            f"{units} sample units do not give {int(there.sum())} classes {least} each. Draw at least "
            f"{least * int(there.sum())}" + (", or lower the minimum." if how == "compromise" else ".")
        )
    wanted = _shared(units, there.astype(np.int64) if how == "equal" else pixels, least * there)
    given = np.minimum(wanted, pixels)
    return Allocation(given, pixels, _shortfalls(wanted, pixels))


def _shared(units: int, weights: Counts, least: Counts) -> Counts:
    """Share units out by weight, but give each class its least."""
    fixed = np.zeros(len(weights), bool)
    while True:
        rest, free = units - least[fixed].sum(), np.where(fixed, 0, weights)
        share = rest * free / max(1, free.sum())
        short = ~fixed & (weights > 0) & (share < least)
        if not short.any():
            break
        fixed |= short
    given = np.where(fixed, least, np.floor(share + 1e-9).astype(np.int64))
    left = units - given.sum()
    if not fixed.all():
        order = np.argsort(-np.where(fixed | (weights == 0), -1.0, share - np.floor(share + 1e-9)), kind="stable")
        given[order[:left]] += 1
    else:
        given[np.argmax(weights)] += left
    return given


def _shortfalls(wanted: Counts, pixels: Counts) -> tuple[str, ...]:
    remarks = []
    none = np.flatnonzero(pixels == 0).tolist()
    if none:
        remarks.append(f"Classes {none} have no pixel on the map, so that they get no sample unit.")
    for i in np.flatnonzero((pixels > 0) & (wanted > pixels)).tolist():
        few = " That is too few for a standard error: merge it with another class." if pixels[i] < 2 else ""
        remarks.append(
            f"Class {i} should get {wanted[i]} sample units but has pixels for {pixels[i]} only: all are taken.{few}"
        )
    return tuple(remarks)


@dataclass(frozen=True, eq=False)
class StratifiedSample:
    """Pixels drawn from a map, in random order, so that whoever looks at them cannot guess the mapped class.

    Parameters
    ----------
    row, col : ndarray of int
        Axis (unit,): place on the map, from 0 at the upper left pixel.
    x, y : ndarray of float
        Axis (unit,): coordinates of the centre of the pixel; columns and rows where the map has no transform.
    mapped : ndarray of int
        Axis (unit,): class index on the map.
    allocation : Allocation
        Units and pixels of each class.
    """

    row: Counts = field(repr=False)
    col: Counts = field(repr=False)
    x: NDArray[np.float64] = field(repr=False)
    y: NDArray[np.float64] = field(repr=False)
    mapped: Counts = field(repr=False)
    allocation: Allocation

    def table(self) -> dict[str, NDArray[Any]]:
        """Columns by name, one row a unit, numbered from 1: to be written as CSV or points, and filled in."""
        number = np.arange(1, len(self.row) + 1)
        return {"unit": number, "row": self.row, "col": self.col, "x": self.x, "y": self.y, "mapped": self.mapped}


def count_strata(strips: Strips, classes: int) -> Counts:
    """Count the pixels of each class of a map that is read in strips.

    Parameters
    ----------
    strips : iterable of (int, ndarray)
        First row and class indices, axes (y, x), negative where there is none.
    classes : int
        How many classes there are.

    Raises
    ------
    InputError
        If an index is that or more.
    """
    pixels = np.zeros(classes, np.int64)
    for row, index_YX in strips:
        known = index_YX[index_YX >= 0]
        if known.size and known.max() >= classes:
            raise InputError(
                f"Below row {row} the map holds class index {known.max()}, but there are {classes} classes."
            )
        pixels += np.bincount(known, minlength=classes)
    return pixels


def draw_sample(
    strips: Strips, allocation: Allocation, seed: int = 0, transform: tuple[float, ...] | None = None
) -> StratifiedSample:
    """Do what `drawing` does, at once."""
    return run(drawing(strips, allocation, seed, transform))


def drawing(
    strips: Strips, allocation: Allocation, seed: int = 0, transform: tuple[float, ...] | None = None, total: int = 0
) -> Job[StratifiedSample]:
    """Draw pixels at random within each class, without replacement, from a map that is read in strips.

    Which pixels are drawn depends on the seed and the map alone, not on the height of the strips.

    Parameters
    ----------
    strips : iterable of (int, ndarray)
        First row and class indices, axes (y, x), negative where there is none; all columns, from top to bottom.
    allocation : Allocation
        Units of each class, and its pixels as `count_strata` found them.
    seed : int
        Seed of the random numbers.
    transform : tuple of float, optional
        The first six numbers (a, b, c, d, e, f) of the map's affine transform from columns and rows.
    total : int
        How many strips there are, for the progress; 0 where it is not known.

    Raises
    ------
    InputError
        If a class has fewer pixels than units, or other pixels than were counted.
    """
    units, pixels = allocation.units, allocation.pixels
    for i in np.flatnonzero(units > pixels).tolist():
        raise InputError(f"{units[i]} units cannot be drawn from the {pixels[i]} pixels of class {i}. Draw fewer.")
    random = np.random.default_rng(seed)
    # The n-th pixel of a class, row by row: ranks can be drawn before a pixel is read.
    ranks = [np.sort(random.choice(n, k, replace=False)) for n, k in zip(pixels, units, strict=True)]
    seen = np.zeros(len(pixels), np.int64)
    found = [np.zeros((3, 0), np.int64)]
    for number, (top, index_YX) in enumerate(strips, 1):
        flat = np.asarray(index_YX).ravel()
        here = np.bincount(flat[flat >= 0], minlength=len(pixels))
        for i in np.flatnonzero(here).tolist():
            low, high = np.searchsorted(ranks[i], [seen[i], seen[i] + here[i]])
            if low < high:
                at = np.flatnonzero(flat == i)[ranks[i][low:high] - seen[i]]
                row, col = np.divmod(at, index_YX.shape[1])
                found.append(np.stack([row + top, col, np.full(len(at), i)]))
        seen += here
        yield Progress("drawing the sample", number, total, "strip")
    if not np.array_equal(seen, pixels):
        raise InputError(f"The map has {seen.tolist()} pixels by class, not {pixels.tolist()}. Count it again.")
    return _placed(np.concatenate(found, axis=1), allocation, random, transform)


def _placed(
    found: Counts, allocation: Allocation, random: np.random.Generator, transform: tuple[float, ...] | None
) -> StratifiedSample:
    # Pixels come class by class within a strip: into the order of the map first, so that strips do not matter.
    found = found[:, np.lexsort((found[1], found[0]))]
    row, col, mapped = found[:, random.permutation(found.shape[1])]
    a, b, c, d, e, f = (transform or (1, 0, -0.5, 0, 1, -0.5))[:6]
    across, down = col + 0.5, row + 0.5
    return StratifiedSample(row, col, a * across + b * down + c, d * across + e * down + f, mapped, allocation)
