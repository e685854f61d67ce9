"""File > Open Sample: the simulated season with its parcels."""

from __future__ import annotations

from typing import Any


def sample_season() -> list[Any]:
    """Return the layers of the sample season: images, crops and parcel outlines; the panel opens beside them."""
    from cscl.data.readers import open_cube
    from cscl.data.sample import sample_season as folder
    from cscl.data.scenes import LabelOptions, label_map, open_parcels

    from ._panel import open_panel
    from .bridge import labels_layer, parcels_layer, season_layer

    season = folder()
    cube = open_cube(season)
    options = LabelOptions(class_column="crop", legend=str(season / "legend.csv"))
    parcels = open_parcels(season / "parcels.gpkg", options)
    labels = label_map(parcels, cube.grid, options)
    open_panel()
    return [season_layer(cube), labels_layer(labels, cube.grid, parcels), parcels_layer(labels, cube.grid, parcels)]
