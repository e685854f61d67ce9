"""What tests of the real window do again and again: wait for the job, press, name the layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from cscl.products import LabelMap, Prediction

LONG_MS = 60_000  # tests wait for what happens, however slow the machine is
PARCEL = 20  # of the toy scene; rows 16 to 24, columns 24 to 32


def finish(dock: Any, qtbot: Any) -> None:
    """Wait until no job runs."""
    qtbot.waitUntil(lambda: not dock.runner.busy, timeout=LONG_MS)


def press(dock: Any, qtbot: Any, button: Any) -> None:
    """Press a button, and wait for the job that it starts."""
    button.click()
    finish(dock, qtbot)


def names(dock: Any) -> list[str]:
    """Names of the layers, the lowest first."""
    return [layer.name for layer in dock.viewer.layers]


def map_of(ids_YX: Any, labels: LabelMap, name: str = "map", confidence: int = 200) -> Prediction:
    """A map of the labels' place and legend; a confidence of 255 is unknown."""
    ids = ids_YX.astype(np.uint8)
    arrays = (xr.DataArray(ids, dims=("y", "x")), xr.DataArray(np.full_like(ids, confidence), dims=("y", "x")))
    return Prediction(*arrays, labels.grid, labels.legend, name=name)


def known_errors(labels: LabelMap, shift: int = 1, name: str = "wrong on purpose") -> Prediction:
    """The truth moved to the right, and one parcel that is another crop altogether."""
    ids = np.roll(np.where(labels.ids == 255, 0, labels.ids), shift, axis=1)
    ids[labels.parcel_ids == PARCEL] = 4 if labels.ids[labels.parcel_ids == PARCEL][0] != 4 else 9
    return map_of(ids, labels, name)
