"""What the user has open, and signals that say what changed. It knows neither Qt nor napari."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psygnal import Signal

from cscl.card import ModelCard
from cscl.cube import SITSCube
from cscl.grid import GeoBox, require_same, same, times_finer
from cscl.parcels import Parcels
from cscl.products import LabelMap, Prediction

from .notes import Notes

__all__ = ["Model", "Session"]


@dataclass(frozen=True, eq=False)
class Model:
    """A model folder and its card."""

    folder: Path
    card: ModelCard


@dataclass(eq=False)
class Session:
    """One viewer's scene: a cube, its labels, a model and what the model made of them.

    Setting a thing checks that it belongs to the cube, and emits its signal. Another cube clears all but the model
    and the notes on cases, which know their labels, their map and their place.
    """

    cube: SITSCube | None = None
    labels: LabelMap | None = None
    parcels: Parcels | None = None
    model: Model | None = None
    prediction: Prediction | None = None
    notes: Notes = field(default_factory=Notes)

    cube_changed = Signal(object)
    labels_changed = Signal(object)
    model_changed = Signal(object)
    prediction_changed = Signal(object)

    @property
    def origin(self) -> GeoBox | None:
        """Grid whose upper left corner is the origin of the scene."""
        return self.cube.grid if self.cube is not None else None

    def open_cube(self, cube: SITSCube) -> None:
        """Take a cube as the scene; predictions of a former one are dropped, and labels unless they fit it, too."""
        if cube is not self.cube:
            self._take(cube)

    def open_labels(self, labels: LabelMap, parcels: Parcels | None = None) -> None:
        """Take labels of the open cube.

        Raises
        ------
        GridError
            If they do not lie on the cube's grid.
        """
        self._require_here(labels.grid, "labels")
        self.labels, self.parcels = labels, parcels
        self.labels_changed.emit(labels)

    def open_model(self, folder: str | Path) -> None:
        """Take a model folder.

        Raises
        ------
        MissingError, InputError
            If it is not a model folder or is damaged.
        """
        self.model = Model(Path(folder), ModelCard.open(folder))
        self.model_changed.emit(self.model)

    def open_prediction(self, prediction: Prediction) -> None:
        """Take a prediction of the open cube, whose pixels may be finer.

        Raises
        ------
        GridError
            If it lies neither on the cube's grid nor on a finer one of the same place.
        """
        if self.cube is None or times_finer(prediction.grid, self.cube.grid) is None:
            self._require_here(prediction.grid, "prediction")
        self.prediction = prediction
        self.prediction_changed.emit(prediction)

    def close_all_but(self, kept: Iterable[Any]) -> list[str]:
        """Close the images, labels and prediction that are not among the kept things; return the names of the closed.

        With the images everything that belongs to them is closed.
        """
        still = {id(thing) for thing in kept}
        here = {name: getattr(self, name) for name in ("cube", "labels", "prediction")}
        gone = {name: thing for name, thing in here.items() if thing is not None and id(thing) not in still}
        if "cube" in gone:
            self._take(None)
        elif "labels" in gone:
            self.labels, self.parcels = None, None
            self.labels_changed.emit(None)
        if "prediction" in gone and self.prediction is not None:
            self.prediction = None
            self.prediction_changed.emit(None)
        return [thing.name for thing in gone.values()]

    def _take(self, cube: SITSCube | None) -> None:
        if cube is None or self.labels is None or not same(cube.grid, self.labels.grid):
            self.labels, self.parcels = None, None
        self.cube, self.prediction = cube, None
        self.cube_changed.emit(cube)
        self.labels_changed.emit(self.labels)
        self.prediction_changed.emit(None)

    def _require_here(self, grid: GeoBox, what: str) -> None:
        if self.cube is not None:
            require_same(self.cube.grid, grid, f"The open images and the {what}")

    def lacks(self, *needed: str) -> str:
        """Say in one sentence what must be opened before an act can begin; empty when nothing is missing."""
        words: dict[str, Any] = {"cube": "images", "labels": "labels", "model": "a model", "prediction": "a prediction"}
        missing = [words[name] for name in needed if getattr(self, name) is None]
        return f"Open {' and '.join(missing)} first." if missing else ""
