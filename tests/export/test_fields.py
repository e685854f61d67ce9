"""Fields outlined strip by strip: the same as of the whole map at once, with one line between neighbours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy import ndimage

from cscl.errors import InputError, OutputError
from cscl.events import Progress, run
from cscl.export import regions
from cscl.export.fields import FIELD_COLUMNS, FieldOptions, export_fields
from cscl.export.regions import Regions, polygonise
from cscl.export.sieve import PENDING, REACH_PX, Sieve, connected
from cscl.grid import GeoBox, Window
from cscl.legend import CropClass, Legend
from cscl.products import Prediction

Array = NDArray[Any]


def landscape(shape: tuple[int, int], seed: int) -> Array:
    """Winding regions of four classes, with pixels of others and of none in them."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 4)
    index = np.digitize(smooth, np.quantile(smooth, [0.25, 0.5, 0.75])).astype(np.int16)
    index[rng.random(shape) < 0.02] = -1
    foreign = rng.random(shape) < 0.04
    index[foreign] = rng.integers(0, 4, foreign.sum())
    return index


def outline(index: Array, sieve: Sieve, smooth_px: float = 0, confidence: Array | None = None) -> Regions:
    got: list[Regions] = []
    sure = np.ones(index.shape, np.float32) if confidence is None else confidence
    read, surely = (lambda window: index[window.slices].copy()), (lambda window: sure[window.slices])
    run(polygonise(read, surely, index.shape, got.append, sieve, smooth_px))
    parts = ([getattr(part, name) for part in got] for name in ("index", "sums", "shapes"))
    return Regions(*(np.concatenate(part) for part in parts))


def sieved_slowly(index: Array, least_px: int) -> Array:
    """Look at the whole map: label, then grow one pixel at a time."""
    found = connected(index)
    sizes = np.bincount(found.ravel())
    out = np.where((sizes[found] < least_px) & (index >= 0), PENDING, index)
    for _ in range(REACH_PX):
        before = out.copy()
        for y, x in np.argwhere(before == PENDING):
            for dy, dx in ((-1, 0), (0, -1), (0, 1), (1, 0)):
                if 0 <= y + dy < len(out) and 0 <= x + dx < out.shape[1] and before[y + dy, x + dx] >= 0:
                    out[y, x] = before[y + dy, x + dx]
                    break
    out[out == PENDING] = -1
    return out


@pytest.mark.parametrize("least_px", [1, 9])
def test_no_trace_of_the_strips(monkeypatch: pytest.MonkeyPatch, least_px: int) -> None:
    index, rng = landscape((130, 90), 0), np.random.default_rng(1)
    confidence = np.where(rng.random(index.shape) < 0.1, np.nan, rng.random(index.shape)).astype(np.float32)
    truth = sieved_slowly(index, least_px) if least_px > 1 else index
    monkeypatch.setattr(regions, "STRIP_PX", 1)
    seen = []
    for rows in (500, 23):
        monkeypatch.setattr(regions, "LEAST_ROWS", rows)
        found = outline(index, Sieve(least_px), confidence=confidence)
        assert shapely.is_valid(found.shapes).all() and set(shapely.get_type_id(found.shapes)) == {3}
        burnt = rasterize(zip(found.shapes, found.index.astype(int) + 1, strict=True), index.shape).astype(int) - 1
        assert np.array_equal(burnt, truth)
        labels = connected(truth)
        assert len(found) == len(np.unique(labels[truth >= 0]))
        assert np.array_equal(shapely.area(found.shapes), found.sums[:, 0])
        order = np.lexsort(shapely.bounds(found.shapes).T)
        seen.append([found.index[order], found.sums[order], shapely.normalize(found.shapes[order])])
    assert np.array_equal(seen[0][0], seen[1][0]) and np.allclose(seen[0][1], seen[1][1])
    assert shapely.equals_exact(seen[0][2], seen[1][2]).all(), "no corner is left where a seam was"


def test_sums_of_a_region() -> None:
    index = np.array([[0, 0, 0, 0], [0, 1, 0, -1], [0, 0, 0, 0]], np.int16)
    confidence = np.array([[0.5, 0.7, np.nan, 0.3], [0.5, 0.9, 0.5, 0.9], [0.5, 0.5, 0.5, 0.5]], np.float32)
    found = outline(index, Sieve(2), confidence=confidence)
    assert found.index.tolist() == [0] and len(found.shapes[0].interiors) == 0
    assert np.allclose(found.sums, [[11, 10, 9, 4.5]]), "the pixel taken in counts, but not its confidence"


@pytest.mark.parametrize("smooth_px", [1.0, 2.5])
def test_neighbours_share_the_smoothed_line(monkeypatch: pytest.MonkeyPatch, smooth_px: float) -> None:
    index = landscape((130, 90), 2)
    exact = outline(index, Sieve(9))
    monkeypatch.setattr(regions, "SMOOTHED_PX", 1)
    monkeypatch.setattr(regions, "LEAST_ROWS", 23)
    found = outline(index, Sieve(9), smooth_px)
    assert len(found) == len(exact)
    assert shapely.coverage_is_valid(found.shapes), "no gaps, no overlaps, the same corners on both sides"
    assert shapely.get_num_coordinates(found.shapes).sum() < 0.7 * shapely.get_num_coordinates(exact.shapes).sum()
    assert np.array_equal(shapely.total_bounds(found.shapes), shapely.total_bounds(exact.shapes)), "the map's corners"
    # Lines move by about a pixel, also at seams.
    farthest = shapely.hausdorff_distance(
        shapely.union_all(shapely.boundary(found.shapes)), shapely.union_all(shapely.boundary(exact.shapes))
    )
    assert farthest < 2 * smooth_px + 1


def test_long_narrow_regions_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hedge of 300 pixels is larger than what is seen around a strip, and stays everywhere, or nowhere."""
    index = np.zeros((700, 12), np.int16)
    index[100:400, 5], index[500:700, 5] = 1, 1
    monkeypatch.setattr(regions, "STRIP_PX", 1)
    found = outline(index, Sieve(1000))
    ones = found.take(found.index == 1)
    assert shapely.bounds(ones.shapes).tolist() == [[5, 100, 6, 400]]


LETTERS = Legend(
    (CropClass(0, "007", "Grünland & <Weide>", "#117733"), CropClass(41, "08", "Żyto \"ozime\"", "#ddcc77")), 200
)  # fmt: skip
PLACES = {
    "utm": ("EPSG:32633", Affine(2.5, 0, 399960.0123456789, 0, -2.5, 4900020.987654321)),
    "sinusoidal": ("+proj=sinu +lon_0=0 +R=6371007.181 +units=m", Affine(10, 0, 1111950.5, 0, -10, 5559752.25)),
    "custom": ("+proj=laea +lat_0=45.1234567 +lon_0=7.3 +ellps=GRS80 +units=m", Affine(10, 0, 100, 0, -10, 900)),
    "degrees": ("EPSG:4326", Affine(1e-4, 0, 3, 0, -1e-4, 45)),
}


@pytest.mark.parametrize("place", PLACES)
def test_the_layer(make_prediction: Callable[..., Prediction], tmp_path: Path, place: str) -> None:
    crs, transform = PLACES[place]
    prediction = make_prediction((120, 90), LETTERS, crs, transform)
    path = run(export_fields(prediction, tmp_path / "fields.gpkg", FieldOptions(0.01)))
    back = gpd.read_file(path)
    assert list(back.columns) == [*FIELD_COLUMNS, "geometry"]
    assert back.crs == str(prediction.grid.crs)
    assert back["field_id"].tolist() == list(range(1, len(back) + 1))
    crops = {(c.id, c.code, c.name) for c in LETTERS.classes}
    assert set(zip(back["pred_id"], back["pred_code"], back["pred_name"], strict=True)) == crops
    burnt = rasterize(
        zip(back.geometry, back["pred_id"], strict=True), prediction.ids.shape, fill=200, transform=transform
    )
    assert np.array_equal(burnt, prediction.ids.values)
    confidence = prediction.confidence.values / 250
    row = back.iloc[0]
    inside = rasterize([row.geometry], prediction.ids.shape, transform=transform) == 1
    assert row.n_px == inside.sum() and row.conf_mean == pytest.approx(confidence[inside].mean(), rel=1e-6)
    assert (back["purity"] == 1).all()
    if place in ("utm", "custom"):
        assert np.allclose(back["area_ha"], back.area / 1e4, rtol=3e-3)
    if place == "degrees":
        assert np.allclose(back["area_ha"], back.to_crs("EPSG:32631").area / 1e4, rtol=3e-3)
    assert {p.name for p in tmp_path.iterdir()} == {"fields.gpkg", "fields.qml", "fields.sld"}


def test_a_map_without_any_field(tmp_path: Path) -> None:
    nothing = xr.DataArray(np.full((5, 6), 200, np.uint8), dims=("y", "x"))
    grid = GeoBox((5, 6), Affine(10, 0, 0, 0, -10, 0), "EPSG:32631")
    path = run(export_fields(Prediction(nothing, nothing, grid, LETTERS), tmp_path / "fields.gpkg"))
    assert len(gpd.read_file(path)) == 0


def test_refusals_and_leaving_early(prediction: Prediction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="cannot be made"):
        FieldOptions(least_ha=-1)
    with pytest.raises(OutputError, match=r"does not end in \.gpkg"):
        run(export_fields(prediction, tmp_path / "fields.shp"))
    path = tmp_path / "fields.gpkg"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        run(export_fields(prediction, path))
    with pytest.raises(OutputError, match="one of the inputs"):
        run(export_fields(prediction, path, overwrite=True, inputs=[path]))
    monkeypatch.setattr(regions, "STRIP_PX", 1)
    job = export_fields(prediction, path, overwrite=True)
    assert any(isinstance(event, Progress) and 0 < event.done < event.total for event in job)
    job.close()
    assert [p.name for p in tmp_path.iterdir()] == ["fields.gpkg"] and path.read_bytes() == b"mine"


def test_windows_are_whole_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than a strip and its margins is read at once."""
    index, heights = landscape((400, 30), 3), []

    def read(window: Window) -> Array:
        heights.append(window.height)
        return index[window.slices].copy()

    monkeypatch.setattr(regions, "STRIP_PX", 1)
    sieve = Sieve(5)
    run(polygonise(read, lambda w: np.ones((w.height, w.width), np.float32), index.shape, lambda _: None, sieve))
    assert max(heights) <= regions.LEAST_ROWS + 2 + 2 * sieve.margin_px < 400
