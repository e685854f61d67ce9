"""Area and accuracy estimated from a stratified sample, with their standard errors.

Areas counted on a map are biased by its errors. A sample of pixels drawn at random within each mapped class, with the
class that is really there, gives unbiased areas and says how far to trust them (Olofsson et al., "Good practices for
estimating area and assessing accuracy of land change", Remote Sensing of Environment 148, 2014, 42-57). Equation
numbers are those of that paper. The strata are the classes of the map. `cscl.metrics.sample` draws the sample.

The paper's worked example (table 8, p. 54) comes out as printed but for two half-widths of producer's accuracy: printed
are 0.23 for forest gain and 0.01 for stable non-forest, equation 7 gives 0.25 and 0.02. Public code that takes the
equation as it stands, the strata other than j in its second sum, gives what we give (R package hagc/mapaccuracy since
it was corrected; boothmanrylan/accuracyAssessmentTools). With all strata in that sum, as in the former mapaccuracy, the
four are 0.22, 0.27, 0.05 and 0.03, which is neither. We hold the two for misprints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cscl.errors import InputError

__all__ = ["AreaEstimate", "estimate_area", "half_width"]

Counts = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AreaEstimate:
    """Accuracy of a map and area of its classes, with standard errors; NaN where a figure is not defined.

    Parameters
    ----------
    counts : ndarray of int
        Sample units, axes (mapped class, true class), n_ij.
    weights : ndarray of float
        Axis (class,): share of the map, W_i.
    shares : ndarray of float
        Axes (mapped class, true class): estimated share of the area, p_ij = W_i n_ij / n_i (equation 4).
    overall, overall_se : float
        Overall accuracy, 0..1 (equations 1 and 5).
    user, user_se, producer, producer_se : ndarray of float
        Axis (class,): user's and producer's accuracy, 0..1 (equations 2, 3, 6 and 7).
    area_share, area_share_se : ndarray of float
        Axis (class,): share of the area that truly is of the class (equations 9 and 10).
    total_ha : float
        Area of the map.
    """

    counts: Counts = field(repr=False)
    weights: Values = field(repr=False)
    shares: Values = field(repr=False)
    overall: float
    overall_se: float
    user: Values = field(repr=False)
    user_se: Values = field(repr=False)
    producer: Values = field(repr=False)
    producer_se: Values = field(repr=False)
    area_share: Values = field(repr=False)
    area_share_se: Values = field(repr=False)
    total_ha: float

    @property
    def mapped_ha(self) -> Values:
        """Axis (class,): area as counted on the map, in hectares: biased, for comparison."""
        return self.total_ha * self.weights

    @property
    def area_ha(self) -> Values:
        """Axis (class,): estimated area in hectares (equation 11)."""
        return self.total_ha * self.area_share

    @property
    def area_ha_se(self) -> Values:
        """Axis (class,): standard error of `area_ha`."""
        return self.total_ha * self.area_share_se


def half_width(standard_error: Any, level: float = 0.95) -> Any:
    """Half the width of a normal confidence interval: the estimate plus and minus this; 1.96 standard errors at 95 %.

    Raises
    ------
    InputError
        If the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise InputError(f"The level of a confidence interval is {level}; it lies between 0 and 1, commonly 0.95.")
    return special.ndtri((1 + level) / 2) * np.asarray(standard_error)


def estimate_area(counts: NDArray[Any], mapped_px: NDArray[Any], pixel_area_ha: float) -> AreaEstimate:
    """Estimate accuracy and areas from a sample stratified by mapped class.

    Parameters
    ----------
    counts : ndarray of int
        Sample units, axes (mapped class, true class), K x K. Beware: confusion matrices elsewhere in this package
        have the truth in their rows.
    mapped_px : ndarray of int
        Axis (class,): pixels of each class on the whole map.
    pixel_area_ha : float
        Area of a pixel in hectares; 0.01 for pixels of 10 m.

    Raises
    ------
    InputError
        If the arrays do not fit each other, or a class on the map has fewer than two sample units: without them there
        is no standard error; or a class that is not on the map has some.
    """
    counts, mapped_px = np.asarray(counts), np.asarray(mapped_px)
    _check(counts, mapped_px)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _estimate(counts, mapped_px, pixel_area_ha)


def _estimate(counts: NDArray[Any], mapped_px: NDArray[Any], pixel_area_ha: float) -> AreaEstimate:
    units = counts.sum(1)
    weights = mapped_px / mapped_px.sum()
    within = np.where(mapped_px[:, None] > 0, counts / units[:, None], 0)  # share of the stratum by true class
    variance = np.where(mapped_px[:, None] > 0, within * (1 - within) / (units[:, None] - 1), 0)
    shares = weights[:, None] * within
    truly, mapped_right, right_variance = shares.sum(0), np.diag(within), np.diag(variance)
    there = np.where(mapped_px > 0, 1.0, np.nan)
    producer = np.diag(shares) / truly
    elsewhere = weights[:, None] ** 2 * variance
    np.fill_diagonal(elsewhere, 0)
    # Equation 7 with shares in place of pixels: both sides are divided by the square of the map's.
    producer_variance = (weights * (1 - producer)) ** 2 * right_variance + producer**2 * elsewhere.sum(0)
    return AreaEstimate(
        counts, weights, shares,
        float(np.trace(shares)), float(np.sqrt((weights**2 * right_variance).sum())),
        mapped_right * there, np.sqrt(right_variance) * there,
        producer, np.sqrt(producer_variance) / truly,
        truly, np.sqrt((weights[:, None] ** 2 * variance).sum(0)),
        float(mapped_px.sum() * pixel_area_ha),
    )  # fmt: skip


def _check(counts: NDArray[Any], mapped_px: NDArray[Any]) -> None:
    if counts.ndim != 2 or counts.shape != (len(mapped_px), len(mapped_px)):
        raise InputError(
            f"The sample is a table of {' x '.join(map(str, counts.shape))} and the map has {len(mapped_px)} classes. "
            "Give one row for each mapped and one column for each true class."
        )
    if (counts < 0).any() or (mapped_px < 0).any() or not mapped_px.sum():
        raise InputError("Counts of sample units and of pixels must not be negative, and the map must have pixels.")
    few = np.flatnonzero((mapped_px > 0) & (counts.sum(1) < 2))
    if few.size:
        raise InputError(
            f"Mapped classes {few.tolist()} have fewer than two sample units, so that no standard error is defined. "
            "Sample them too, or merge them with another class."
        )
    none = np.flatnonzero((mapped_px == 0) & (counts.sum(1) > 0))
    if none.size:
        raise InputError(
            f"Mapped classes {none.tolist()} have sample units but no pixel on the map. Give the pixels of the very "
            "map that the sample was drawn from."
        )
