"""Which pixels a map is judged on: those that its model has not learnt from, or all that have a label."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cscl.card import ModelCard
from cscl.data.split import Side
from cscl.errors import MissingError
from cscl.grid import Window
from cscl.products import LabelMap
from cscl.training.save import split_of

__all__ = ["Judged", "everything", "held_out"]


@dataclass(frozen=True, eq=False)
class Judged:
    """Which pixels are judged. Edges are those of all labels all the same: a held-out parcel keeps its neighbours.

    Parameters
    ----------
    where_YX : ndarray of bool or None
        Axes (y, x); None for all.
    words : str
        Completes the sentence "so many pixels ...".
    """

    where_YX: NDArray[np.bool_] | None = field(repr=False, default=None)
    words: str = "with a label"

    def of(self, block: Window) -> NDArray[np.bool_]:
        """Whether the pixels of a block are judged, axes (y, x)."""
        if self.where_YX is None:
            return np.ones((block.height, block.width), bool)
        return self.where_YX[block.slices]


def held_out(labels: LabelMap, model: str | Path | None) -> Judged:
    """Judge what a model has not seen: where it was trained on this grid the blocks held back for the test, else all.

    Edges and unknown land are still those of all labels. `model` is None where it is not known.

    Raises
    ------
    MissingError, InputError
        If there is no such model or it is damaged.
    """
    if model is None:
        return Judged(None, "with a label")
    ModelCard.open(model)  # a model that is gone must not pass for one that has seen nothing
    try:
        return Judged(split_of(model, labels.grid) == Side.TEST, "of the blocks that were held back from training")
    except MissingError:
        return Judged(None, "of a scene that the model never saw")


def everything(labels: LabelMap, model: str | Path | None) -> Judged:
    """Judge every pixel with a label, and say so where the model has learnt from some of them."""
    if held_out(labels, model).where_YX is None:
        return held_out(labels, model)
    return Judged(None, "with a label, among them those that the model has learnt from, which flatters it")
