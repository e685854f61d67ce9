"""Faults B3 to B6 of the reference pipeline, each on a tiny case whose answer is worked out by hand or slowly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import zarr
from patchtoys import SMALL, cube, parcels_of, register
from shapely import contains_xy
from shapely.affinity import rotate
from shapely.geometry import MultiPolygon, Polygon, box

from cscl.data.datasets import Dataset, open_dataset
from cscl.events import run
from cscl.grid import Window
from cscl.parcels import Parcels
from cscl.patches.ground import Ground, ground_of, mixed
from cscl.patches.make import make_dataset

X, Y = 5e5, 5e6  # upper left corner of the images
WHOLE = Window(0, 0, 48, 48)


def ground(*shapes: tuple[str, object]) -> Ground:
    parcels = parcels_of(list(shapes))
    return run(ground_of("a", cube(), parcels, parcels.legend()))


def dataset_of(parcels: Parcels, out: Path, **changed: object) -> Dataset:
    options = replace(SMALL, unlabelled=True, **changed)  # type: ignore[arg-type]
    return open_dataset(run(make_dataset([(cube(name="a"), parcels)], out, options)))


def test_b3_a_label_is_not_shifted_to_the_corner_of_its_parcel_and_no_row_is_lost() -> None:
    # Rows 1 to 4 are covered .51, 1, 1 and .51: the reference makes 1, 1, 1 and 0 of it.
    place = ground(("A", box(X + 20, Y - 44.9 - 0.2, X + 60, Y - 14.9)))
    labels = place.labels(WHOLE)
    known = labels.index() >= 0
    assert known[:, 3].nonzero()[0].tolist() == [1, 2, 3, 4]
    assert known[2].nonzero()[0].tolist() == [2, 3, 4, 5]
    shared = mixed(labels, WHOLE)
    assert shared[:, 3].nonzero()[0].tolist() == [1, 4] and shared.sum() == 8
    assert np.asarray(labels.shares.read(WHOLE, 1)[1][0][1:5, 3]) == pytest.approx([0.51, 1, 1, 0.51], abs=1e-6)  # type: ignore[union-attr]


def test_b3_a_parcel_lower_than_a_pixel_stays_and_is_mixed() -> None:
    place = ground(("A", box(X + 20, Y - 29, X + 60, Y - 21)))  # 8 m high
    labels = place.labels(WHOLE)
    assert (labels.index() >= 0).sum() == 4 and mixed(labels, WHOLE).sum() == 4
    fine = place.labels(WHOLE, 4)
    assert (fine.index() >= 0).sum() == 4 * 4 * 4, "rows of 2.5 m whose centres lie in it, 22.5 to 30 but one"


def test_b4_all_bands_of_a_patch_lie_on_one_grid_and_it_is_that_of_the_labels(tmp_path: Path) -> None:
    season = cube(name="a", mask=False)
    rows, cols = np.indices(season.shape)
    season.stored[:] = 100 * rows + cols + 1  # each band tells where its pixel lies
    out = run(make_dataset([(season, register())], tmp_path / "d", replace(SMALL, finer=4)))
    for layout in ("cscl", "cscl_finer"):
        for entry in open_dataset(out, layout).entries[::7]:
            scene = entry.open()
            stored = scene.cube.stored.values
            assert (stored == stored[:1, :1]).all()
            row, col = (int(part) for part in entry.name.split("_")[1:])
            assert stored[0, 0, 0, 0] == 100 * row + col + 1
            corner = scene.labels.grid.transform @ (0, 0)
            assert corner == scene.cube.grid.transform @ (0, 0) == (X + 10 * col, Y - 10 * row)


def test_b5_labels_follow_every_vertex_into_the_images_system_in_all_corners_of_a_patch(tmp_path: Path) -> None:
    there = gpd.GeoSeries([box(X, Y - 480, X + 480, Y)], crs="EPSG:32631").to_crs("EPSG:3035")
    west, south, east, north = there.total_bounds
    stripes = [
        (c, box(west - 50, y, east + 50, y + 40))
        for c, y in zip("AB" * 9, np.arange(south - 50, north, 40), strict=False)
    ]
    parcels = parcels_of(stripes, "EPSG:3035")  # turned against the images by some degrees
    near = parcels.table.to_crs("EPSG:32631").geometry
    wrong = 0
    for entry in dataset_of(parcels, tmp_path / "d").entries:
        labels = entry.open().labels
        rows, cols = np.indices(labels.ids.shape) + 0.5
        x, y = labels.grid.transform @ (cols, rows)
        ids = np.zeros(x.shape, int)
        for number, shape in enumerate(near, 1):
            ids[contains_xy(shape, x, y)] = number
        here = np.asarray(labels.parcel_ids) > 0
        wrong += int((np.asarray(labels.parcel_ids)[here] != ids[here]).sum())
    tilt = near.iloc[3].exterior.coords
    assert abs(tilt[0][0] - tilt[1][0]) > 1, "they are turned"
    assert wrong == 0


def test_b6_holes_are_holes_and_a_multipolygon_keeps_all_its_parts(tmp_path: Path) -> None:
    ring = Polygon(box(X, Y - 200, X + 200, Y).exterior, [box(X + 50, Y - 150, X + 150, Y - 50).exterior])
    parts = MultiPolygon([box(X + 250, Y - 100, X + 300, Y), rotate(box(X + 350, Y - 100, X + 450, Y), 0)])
    labels = ground(("A", ring), ("B", parts)).labels(WHOLE)
    index = labels.index()
    assert (index[:20, :20] == 0).sum() == 20 * 20 - 10 * 10 and (index[5:15, 5:15] == -1).all()
    assert (index == 1).sum() == 5 * 10 + 10 * 10
    assert not mixed(labels, WHOLE).any(), "all on whole pixels"
    full = parcels_of([("A", ring), ("B", parts), ("C", box(X, Y - 480, X + 480, Y - 220))])
    dataset = dataset_of(full, tmp_path / "d", folds=3)
    kept = sum(int((entry.open().labels.index() == 0).sum()) for entry in dataset.entries)
    assert 0 < kept <= 300


def test_windows_are_rasterised_as_the_whole_is() -> None:
    register_there = register(side_m=53)
    place = run(ground_of("a", cube(), register_there, register_there.legend()))
    whole = place.labels(WHOLE, 4)
    for window in (Window(0, 0, 16, 16), Window(17, 5, 8, 8), Window(40, 40, 8, 8)):
        part = place.labels(window, 4)
        np.testing.assert_array_equal(part.ids, whole.ids[window.refined(4).slices])
        np.testing.assert_array_equal(part.parcel_ids, np.asarray(whole.parcel_ids)[window.refined(4).slices])


def test_the_store_is_one_of_shards_whose_inner_chunk_is_a_patch(tmp_path: Path) -> None:
    out = run(make_dataset([(cube(name="a"), register())], tmp_path / "d", SMALL))
    array = zarr.open_group(out / "patches.zarr", mode="r")["a/image"]
    assert array.chunks == (1, 4, 10, 8, 8) and array.shards == (36, 4, 10, 8, 8)
    assert len([p for p in (out / "patches.zarr").rglob("c/*") if "image" in p.parts]) == 1
