"""Temperature scaling: one number that makes the probabilities of a map mean what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from cscl.errors import InputError

from .calibration import LEAST, Calibration, CalibrationTally

__all__ = ["Temperature", "fit_temperature", "scale_temperature"]

TEMPERATURES = (0.05, 20.0)


@dataclass(frozen=True, eq=False)
class Temperature:
    """A temperature that was fitted, and what it does to the pixels that it was fitted on.

    Parameters
    ----------
    value : float
        T: above 1 the map was too sure of itself, below 1 not sure enough.
    before, after : Calibration
        Of the pixels of the fit, with their probabilities as they were and as they become.
    remarks : tuple of str
        Where the fit is not to be trusted.
    """

    value: float
    before: Calibration
    after: Calibration
    remarks: tuple[str, ...] = ()


def scale_temperature(probabilities: NDArray[Any], temperature: float) -> NDArray[np.float32]:
    """Soften or sharpen probabilities: softmax(log p / T), which is what dividing the network's scores by T gives.

    The class that is most probable stays it.

    Parameters
    ----------
    probabilities : ndarray of float
        0..1, axes (class, ...); NaN stays NaN.
    temperature : float
        T, above 0.

    Raises
    ------
    InputError
        If the temperature is not above 0.
    """
    if not temperature > 0:
        raise InputError(f"The temperature is {temperature}; it must be above 0, and 1 changes nothing.")
    scores: NDArray[np.float32] = np.log(np.maximum(probabilities, LEAST, dtype=np.float32))
    scores /= np.float32(temperature)
    scores -= scores.max(0)
    np.exp(scores, out=scores)
    scores /= scores.sum(0)
    return scores


def fit_temperature(probabilities: NDArray[Any], truth: NDArray[Any], bins: int = 15) -> Temperature:
    """Find the temperature that makes held-back pixels most probable (Guo et al., ICML 2017, section 4.2).

    The loss is convex in 1 / T, so that a search on one line finds the one minimum. Probabilities of 0, as in stored
    maps, count as 1e-7. Give pixels that neither training nor model choice has seen, and judge the result on others.

    Parameters
    ----------
    probabilities : ndarray of float
        0..1, axes (class, ...); NaN in the first class where there is no prediction.
    truth : ndarray of int
        Class indices, axes (...), negative where unknown.
    bins : int
        Bins of equal width of the figures before and after.

    Raises
    ------
    InputError
        If no pixel is known, or as `CalibrationTally.of`.
    """
    before = CalibrationTally.of(probabilities, truth).result(bins)
    if not before.pixels:
        raise InputError("No pixel has both probabilities and a known class: there is nothing to fit a temperature to.")
    judged = (truth >= 0) & ~np.isnan(probabilities[0])
    p, t = probabilities[:, judged], truth[judged]
    scores = np.log(np.maximum(p, LEAST, dtype=np.float64))
    scores -= scores.max(0)  # no overflow, whatever the temperature
    own = np.take_along_axis(scores, t[None].astype(np.intp), 0)[0]

    def loss(log_temperature: float) -> float:
        cold = np.exp(-log_temperature)
        return float(np.mean(np.log(np.exp(cold * scores).sum(0)) - cold * own))

    low, high = np.log(TEMPERATURES)
    found = optimize.minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    temperature = float(np.exp(found.x))
    after = CalibrationTally.of(scale_temperature(p, temperature), t).result(bins)
    return Temperature(temperature, before, after, _doubts(temperature))


def _doubts(temperature: float) -> tuple[str, ...]:
    low, high = TEMPERATURES
    if low * 1.01 < temperature < high / 1.01:
        return ()
    why = "every pixel is right" if temperature < 1 else "the probabilities say nothing about the truth"
    return (
        f"The temperature ran to the end of its range, {temperature:.3g}, as it does where {why}: do not use it. "
        "Fit it on more pixels that were held back.",
    )
