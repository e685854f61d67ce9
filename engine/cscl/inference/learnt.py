"""Whether the model that made a map has learnt from the scene that it is judged on."""

from __future__ import annotations

from pathlib import Path

from cscl.card import ModelCard
from cscl.errors import CSCLError
from cscl.grid import GeoBox
from cscl.products import Prediction
from cscl.training.save import split_of

__all__ = ["model_that_learnt_from"]


def model_that_learnt_from(prediction: Prediction, grid: GeoBox) -> Path | None:
    """Return the folder of the model that made a map, where it is still there and was trained on this grid.

    None where it was trained elsewhere, and where it cannot be found: then nothing is known.
    """
    folder = prediction.facts.get("model_folder")
    if not folder:
        return None
    try:
        if dict(ModelCard.open(folder).made) != prediction.facts.get("model_made"):
            return None  # another model has taken that place
        split_of(folder, grid)
    except CSCLError:
        return None
    return Path(folder)
