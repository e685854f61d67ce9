"""Whether images suit a model: bands, dates, pixels and the look of the season, before its map is trusted."""

from __future__ import annotations

import numpy as np

from cscl.card import ModelCard
from cscl.cube import SITSCube
from cscl.errors import GridError
from cscl.events import Job, Progress
from cscl.grid import pixel_size_m, some_tiles

__all__ = ["drift", "misfits", "season_misfits"]

LOOKS = 9
FAR = 1.0  # standard deviations of the training pixels between the two means of a band


def misfits(cube: SITSCube, card: ModelCard) -> list[str]:
    """Return sentences about what of a cube does not suit a model, from what is known without reading pixels."""
    found = []
    lacking = [band for band in card.bands if band not in cube.bands]
    if lacking:
        found.append(
            f"The images lack {', '.join(lacking)}, which the model reads: it cannot map them. They have "
            f"{', '.join(cube.bands)}."
        )
    least = card.needs.get("least_dates", 1)
    if len(cube.dates) < least:
        found.append(f"The images have {len(cube.dates)} date, and the model needs at least {least}.")
    try:
        return found + season_misfits(cube, card)
    except GridError as error:
        return [*found, str(error)]


def season_misfits(cube: SITSCube, card: ModelCard) -> list[str]:
    """Return sentences about another pixel size, and about a season that the model knows little of.

    Raises
    ------
    GridError
        If the grid counts degrees.
    """
    found = []
    height_m, width_m = pixel_size_m(cube.grid)
    pixel = (height_m * width_m) ** 0.5
    if not 0.8 < pixel / card.pixel_size_m < 1.25:
        found.append(f"The pixels are {pixel:.3g} m, the model was trained on {card.pixel_size_m:.3g} m.")
    days = card.days_of(cube.dates)
    span = card.last_day - card.first_day
    covered = min(int(days[-1]), card.last_day) - max(int(days[0]), card.first_day)
    if span and covered < 0.6 * span:
        found.append(
            f"The images cover {max(covered, 0)} of the {span} days of the season that the model was trained on: "
            "expect a poor map."
        )
    return found


def drift(cube: SITSCube, card: ModelCard) -> Job[list[str]]:
    """Say which bands look unlike those that a model was trained on, e.g. as they are scaled otherwise.

    Over usable pixels of at most nine windows, all dates together, a band is far where its mean is more than one
    standard deviation of the training pixels from their mean. Bands that the cube lacks are passed over.
    """
    bands = [band for band in card.bands if band in cube.bands]
    if not bands:
        return []
    chosen = some_tiles(cube.shape, 64, LOOKS)
    count, total = 0, np.zeros(len(bands))
    part = cube.select(bands=bands)
    for number, place in enumerate(chosen, 1):
        values, valid = part.read(place)
        pixels = values.transpose(0, 2, 3, 1)[valid]
        count, total = count + len(pixels), total + pixels.sum(0, dtype=float)
        yield Progress("comparing with the model's season", number, len(chosen), "window")
    if not count:
        return []
    known = [card.bands.index(band) for band in bands]
    away = (total / count - np.array(card.mean)[known]) / np.array(card.std)[known]
    far = [f"{band} ({value:+.1f})" for band, value in zip(bands, away, strict=True) if abs(value) > FAR]
    if not far:
        return []
    return [
        f"These bands are far from those that the model was trained on, in standard deviations: {', '.join(far)}. "
        "Check scale and offset of the images and their masks; if they are right, train or fine-tune on this season."
    ]
