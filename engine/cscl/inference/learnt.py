"""Whether the model that made a map has learnt from the scene that it is judged on."""

from __future__ import annotations

from pathlib import Path

from cscl.card import ModelCard
from cscl.errors import CSCLError
from cscl.grid import GeoBox
from cscl.products import Prediction
from cscl.training.save import split_of

__all__ = ["model_of", "model_that_learnt_from"]


def model_of(prediction: Prediction) -> Path | None:
    """Return the folder of the model that made a map; None where that is not known, or it is no longer there."""
    folder = prediction.facts.get("model_folder")
    if not folder:
        return None
    try:
        made = dict(ModelCard.open(folder).made)
    except CSCLError:
        return None
    return Path(folder) if made == prediction.facts.get("model_made") else None  # another one may have taken its place


def model_that_learnt_from(prediction: Prediction, grid: GeoBox) -> Path | None:
    """Return the folder of the model that made a map, where it is known and was trained on this grid."""
    folder = model_of(prediction)
    try:
        return None if folder is None or split_of(folder, grid) is None else folder
    except CSCLError:
        return None
