"""Reflectance of a vegetated surface, by multilinear interpolation in a committed table of PROSAIL spectra.

Axis letters: N surfaces, B bands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["AXES", "TABLE_PATH", "CanopyTable", "DayTable", "load_table"]

AXES = ("canopy", "sun_zenith", "dryness", "soil", "chlorophyll", "senescence", "lai")
"""Axes of the table, in order; bands come last."""

TABLE_PATH = Path(__file__).with_name("canopy_lut.npz")

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class DayTable:
    """The table for one sun zenith and one soil moisture: what is left varies from field to field."""

    nodes: Mapping[str, Floats] = field(repr=False)
    values: Floats = field(repr=False)

    def reflectance(
        self, canopy_N: NDArray[np.intp], soil_N: Floats, chlorophyll_N: Floats, senescence_N: Floats, lai_N: Floats
    ) -> Floats:
        """Interpolate the reflectance of surfaces.

        Parameters
        ----------
        canopy_N : ndarray
            Index of the canopy architecture in the table.
        soil_N : ndarray
            Soil brightness, 1 for a middling soil.
        chlorophyll_N : ndarray
            Leaf chlorophyll, ug/cm2.
        senescence_N : ndarray
            0 for green leaves, 1 for dry ones.
        lai_N : ndarray
            Leaf area index, m2/m2.

        Returns
        -------
        ndarray
            Reflectance, axes (N, B), float32. Outside the nodes the value of the outermost node is taken.
        """
        shape = self.values.shape
        index, corners = canopy_N.astype(np.intp), [(np.zeros_like(canopy_N, np.intp), np.ones_like(soil_N))]
        given = {"soil": soil_N, "chlorophyll": chlorophyll_N, "senescence": senescence_N, "lai": lai_N}
        for axis, (name, x_N) in enumerate(given.items(), start=1):
            below_N, weight_N = _place(self.nodes[name], x_N)
            index = index * shape[axis] + below_N
            corners = [
                (offset * shape[axis] + step, w * (weight_N if step else 1 - weight_N))
                for offset, w in corners
                for step in (0, 1)
            ]
        flat = self.values.reshape(-1, shape[-1])
        out_NB = np.zeros((len(soil_N), shape[-1]), np.float32)
        for offset, w in corners:
            out_NB += w[:, None] * flat[index + offset]
        return out_NB


@dataclass(frozen=True, eq=False)
class CanopyTable:
    """All spectra: `values` float32 with axes `AXES` + (B,), `nodes` of each numeric axis, canopy and band names."""

    canopies: tuple[str, ...]
    bands: tuple[str, ...]
    nodes: Mapping[str, Floats] = field(repr=False)
    values: Floats = field(repr=False)

    def at(self, sun_zenith_deg: float, dryness: float) -> DayTable:
        """Fix what a whole scene shares on one date: sun zenith in degrees, soil dryness 0 (wet) to 1 (dry)."""
        values = self.values
        for name, x in (("sun_zenith", sun_zenith_deg), ("dryness", dryness)):
            below, weight = _place(self.nodes[name], np.array([x], np.float32))
            i, w = int(below[0]), weight[0]
            values = (1 - w) * values[:, i] + w * values[:, i + 1]
        return DayTable(self.nodes, values)


@cache
def load_table() -> CanopyTable:
    """Load the committed table."""
    with np.load(TABLE_PATH) as stored:
        nodes = {name: stored[name] for name in AXES[1:]}
        values = stored["reflectance"].astype(np.float32)
        return CanopyTable(tuple(map(str, stored["canopy"])), tuple(map(str, stored["band"])), nodes, values)


def _place(nodes: Floats, x_N: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Index of the node below each value and the weight, 0..1, of the node above."""
    below_N = np.clip(np.searchsorted(nodes, x_N, side="right") - 1, 0, len(nodes) - 2)
    weight_N = (x_N - nodes[below_N]) / (nodes[below_N + 1] - nodes[below_N])
    return below_N, np.clip(weight_N, 0, 1).astype(np.float32)
