"""A dataset in the layout of PASTIS."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely

from cscl.cube import SITSCube
from cscl.data.datasets import Dataset, Entry, pastis
from cscl.events import Job, Progress

from .plain import classes_of, one_a_day, stored_as

__all__ = ["write_pastis"]

FIRST_NUMBER = 10000


def write_pastis(dataset: Dataset, folder: Path, numbers: Sequence[int]) -> Job[list[str]]:
    """Write ``DATA_S2``, ``ANNOTATIONS``, ``INSTANCE_ANNOTATIONS``, ``metadata.geojson`` and ``NORM_S2_patch.json``.

    `numbers` are those of the classes. Returns what is to be noted.
    """
    for name in ("DATA_S2", "ANNOTATIONS", "INSTANCE_ANNOTATIONS"):
        (folder / name).mkdir()
    features, notes = [], dict[str, None]()
    crs = dataset.entries[0].open().cube.grid.crs
    for number, entry in enumerate(dataset.entries, FIRST_NUMBER):
        scene = entry.open()
        cube = one_a_day(scene, notes)
        values = stored_as(cube, pastis.BANDS, pastis.NODATA + 1, 32767, pastis.NODATA).astype(np.int16)
        classes = classes_of(scene, numbers, pastis.VOID)
        np.save(folder / "DATA_S2" / f"S2_{number}.npy", values)
        np.save(folder / "ANNOTATIONS" / f"TARGET_{number}.npy", np.stack([classes] * 3))
        if scene.labels.parcel_ids is not None:
            np.save(folder / "ANNOTATIONS" / f"ParcelIDs_{number}.npy", scene.labels.parcel_ids)
            _, instance = np.unique(np.append(0, scene.labels.parcel_ids), return_inverse=True)
            instance = instance[1:].reshape(classes.shape).astype(np.int32)
            np.save(folder / "INSTANCE_ANNOTATIONS" / f"INSTANCES_{number}.npy", instance)
        features.append(_feature(number, entry, cube, str(crs)))
        yield Progress("writing PASTIS", len(features), len(dataset.entries), "patch")
    urn = f"urn:ogc:def:crs:{str(crs).replace(':', '::')}"
    table = {"type": "FeatureCollection", "crs": {"type": "name", "properties": {"name": urn}}, "features": features}
    (folder / "metadata.geojson").write_text(json.dumps(table), encoding="utf-8")
    _write_norms(dataset, folder)
    notes["Unknown pixels, those outside of parcels among them, are void (19); no pixel is background (0)."] = None
    notes["Of TARGET, channel 0 is the class; the other two repeat it. HEATMAP and ZONES are not written."] = None
    return list(notes)


def _feature(number: int, entry: Entry, cube: SITSCube, crs: str) -> dict[str, Any]:
    square = geopandas.GeoSeries([shapely.box(*cube.grid.boundingbox.bbox)], crs=str(cube.grid.crs)).to_crs(crs)
    stamps = {str(i): int(str(d)[:10].replace("-", "")) for i, d in enumerate(cube.dates)}
    tile = next((a.tile for a in cube.acquisitions or () if a.tile), None)
    fold: Any = int(entry.fold) if entry.fold.isdecimal() else entry.fold
    fields = {"ID_PATCH": number, "Fold": fold, "TILE": f"t{tile.lower()}" if tile else "", "dates-S2": stamps}
    return {
        "type": "Feature",
        "properties": {**fields, "entry": entry.name},
        "geometry": shapely.geometry.mapping(square.iloc[0]),
    }


def _write_norms(dataset: Dataset, folder: Path) -> None:
    """Write the statistics of each fold, where the dataset knows them, in the units of the images."""
    norms = {}
    for fold in dataset.sizes:
        moments = dataset.moments([fold])
        if moments is None:
            return
        order = [dataset.entries[0].open().cube.bands.index(band) for band in pastis.BANDS]
        mean, std = ([float(values[b]) * 1e4 for b in order] for values in moments)
        norms[f"Fold_{fold}"] = {"mean": mean, "std": std}
    (folder / "NORM_S2_patch.json").write_text(json.dumps(norms, indent=1), encoding="utf-8")
