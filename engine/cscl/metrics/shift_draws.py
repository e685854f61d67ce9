"""Which shift fits, and how sure that is: scores added up over parcels, and over draws of whole parcels.

The draws are a Poisson bootstrap (Hanley and MacGibbon, Computer Methods and Programs in Biomedicine 83 (2006) 57-62):
each parcel is in each draw as often as a Poisson variable of mean 1 says, so that parcels may come tile by tile.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from .shift_match import Shifts, peaks

__all__ = ["ShiftSum", "Verdict"]

Floats = NDArray[np.float64]
DRAWS = 200
BUCKETS = 4096
"""Parcels whose numbers leave the same rest are drawn together: above so many it makes no difference."""
LEAST_PARCELS = 20
LEAST_HEIGHT, LEAST_AGREEING = 4.0, 0.95
"""Of 727 tiles with outlines of another place none reached both; of 204 with their own outlines 200 did."""
MOST_SD_PX = 0.5


@dataclass(frozen=True, eq=False)
class Verdict:
    """What scores say.

    Parameters
    ----------
    offset_px : ndarray
        How far down and right of the edges the outlines lie, pixels, shape (2,); NaN with too few parcels.
    covariance_px2 : ndarray
        Covariance of its error, axes (2, 2).
    parcels : int
        Parcels that it rests on.
    reason : str
        Why it is not clear; empty if it is.
    """

    offset_px: Floats
    covariance_px2: Floats
    parcels: int
    reason: str


@dataclass(eq=False)
class ShiftSum:
    """Scores added up over parcels, and over the parcels of each draw. A parcel in two tiles is drawn with both."""

    shifts: Shifts
    draws_DSS: Floats = field(init=False)
    weight_D: Floats = field(init=False)
    own_SS: Floats = field(init=False)
    numbers: list[NDArray[np.int64]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        side = 2 * self.shifts.reach + 1
        self.draws_DSS, self.weight_D = np.zeros((DRAWS, side, side)), np.zeros(DRAWS)
        self.own_SS = np.zeros((side, side))

    def add(self, parcel: NDArray[np.int64], score_PSS: Floats) -> None:
        """Add the parcels of a tile: their numbers, and their scores with axes (parcel, y, x)."""
        drawn_DP = _drawn()[:, parcel % BUCKETS]
        self.draws_DSS += np.tensordot(drawn_DP, score_PSS, 1)
        self.weight_D += drawn_DP.sum(1)
        self.own_SS += score_PSS.sum(0)
        self.numbers.append(parcel)

    def join(self, other: ShiftSum) -> None:
        """Add what another one holds."""
        self.draws_DSS += other.draws_DSS
        self.weight_D += other.weight_D
        self.own_SS += other.own_SS
        self.numbers += other.numbers

    @property
    def parcels(self) -> int:
        """How many parcels there are; one in several tiles counts once."""
        return len(np.unique(np.concatenate(self.numbers))) if self.numbers else 0

    def score(self) -> Floats:
        """Score of each offset of the outlines, mean over parcels, axes (down, right): that of the opposite shift."""
        return np.asarray(self.own_SS[::-1, ::-1] / max(1, self.parcels))

    def verdict(self) -> Verdict:
        """Say how far the outlines lie off the edges, and whether that is clear."""
        parcels = self.parcels
        if parcels < LEAST_PARCELS:
            few = f"of parcels with outlines on the images, at least {LEAST_PARCELS} are needed; there are {parcels}."
            return Verdict(np.full(2, np.nan), np.full((2, 2), np.nan), parcels, few)
        top, inside = (a[0] for a in peaks(self.own_SS[None], self.shifts))
        drawn, _ = peaks(self.draws_DSS, self.shifts)
        covariance = np.cov(drawn.T)
        agreeing = float((np.hypot(*(drawn - top).T) < 1).mean())
        return Verdict(-top, covariance, parcels, self._reason(top, bool(inside), covariance, agreeing))

    def _reason(self, top: Floats, inside: bool, covariance: Floats, agreeing: float) -> str:
        row, col = np.abs(self.shifts.px[:, None] - top).argmin(0)
        above_D = (self.draws_DSS[:, row, col] - self.draws_DSS.mean((1, 2))) / np.maximum(1, self.weight_D)
        height = above_D.mean() / max(above_D.std(), 1e-30)
        if height < LEAST_HEIGHT or agreeing < LEAST_AGREEING:
            return (
                f"no shift fits clearly better than the others (the best stands {height:.1f} standard errors above the "
                f"mean, {LEAST_HEIGHT:g} are asked for; {agreeing:.0%} of the draws agree on it). Take more parcels or "
                "dates, or see whether outlines and images show the same place and year."
            )
        if not inside:
            return "the best fit lies at the end of the search, or on a ridge. Search further (search_m)."
        largest = float(np.linalg.eigvalsh(covariance)[-1]) ** 0.5
        if largest > MOST_SD_PX:
            return f"its standard error is {largest:.1f} pixels; at most {MOST_SD_PX:g} is clear. Take more parcels."
        return ""


@cache
def _drawn() -> Floats:
    """How often each parcel is in each draw, axes (draw, number of the parcel modulo 4096); the same on every call."""
    return np.random.default_rng(0).poisson(1, (DRAWS, BUCKETS)).astype(np.float64)
