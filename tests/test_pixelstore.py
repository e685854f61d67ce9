"""Embeddings on disk: what is written, and what of it is read."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr
from affine import Affine

from cscl import pixelstore
from cscl.errors import InputError
from cscl.grid import Window, make_grid, require_same
from cscl.pixelstore import PixelStore
from cscl.products import Embedding

SHAPE, FEATURES = (300, 140), 6  # three chunks down, two across


def some() -> np.ndarray:
    """Values (y, x, feature), of which a whole chunk and a pixel are missing."""
    values = np.random.default_rng(0).normal(size=(*SHAPE, FEATURES)).astype(np.float16)
    values[256:, 128:] = np.nan
    values[3, 5] = np.nan
    return values


@pytest.fixture
def store(tmp_path: Path) -> Path:
    grid = make_grid(SHAPE, Affine(10, 0, -5, 0, -10, 5e6), "EPSG:32631", "made up")
    made = PixelStore(tmp_path / "e.zarr", grid, FEATURES, {"model": "m"})
    made.write(0, 0, some()[:200])
    made.write(200, 0, some()[200:])
    return tmp_path / "e.zarr"


def test_any_window_is_read_as_it_was_written(store: Path) -> None:
    embedding, values = Embedding.open(store), some()
    assert embedding.values.shape == (FEATURES, *SHAPE) and embedding.values.dtype == np.float16
    assert embedding.facts == {"model": "m"} and embedding.coarser is None
    for window in (Window(0, 0, *SHAPE), Window(120, 121, 15, 15), Window(3, 5, 1, 1), Window(255, 127, 45, 13)):
        assert np.array_equal(embedding.read(window), values[window.slices], equal_nan=True)
    whole = np.moveaxis(values, -1, 0)
    for key in ((2, 5), (slice(1, 4), slice(None, None, 7), slice(10, 3, -2)), (..., [2, 250, 3], slice(0, 0))):
        assert np.array_equal(embedding.values[key].values, whole[key], equal_nan=True)


def test_a_window_costs_its_rows_and_what_is_missing_takes_no_space(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, reader = [], np.fromfile

    def counted(*args: object, **more: object) -> np.ndarray:
        read.append(reader(*args, **more))
        return read[-1]

    monkeypatch.setattr(np, "fromfile", counted)
    Embedding.open(store).read(Window(140, 60, 15, 15))
    assert sum(part.size for part in read) == 15 * pixelstore.CHUNK_PX * FEATURES
    assert {f.name for f in (store / "embedding").glob("[0-9]*")} == {"0.0.0", "0.1.0", "1.0.0", "1.1.0", "2.0.0"}


def test_others_read_it(store: Path) -> None:
    """xarray by the axes that it names; GDAL as one band a feature."""
    values, grid = some(), Embedding.open(store).grid
    with xr.open_zarr(store, consolidated=False) as data:
        assert data.embedding.dims == ("y", "x", "feature") and data.embedding.dtype == np.float16
        assert np.array_equal(data.embedding.values, values, equal_nan=True)
        assert float(data.x[0]) == 0 and float(data.y[0]) == grid.transform.f + grid.transform.e / 2
        assert data.spatial_ref.dtype == np.int64, "no number is taken for a missing one"
    with rasterio.open(f'ZARR:"{store}":/embedding') as raster:
        assert (raster.count, raster.shape, raster.crs) == (FEATURES, SHAPE, grid.crs.to_wkt())
        assert np.allclose(raster.transform, grid.transform) and np.isnan(raster.nodata)
        assert np.array_equal(raster.read(2), values[..., 1].astype(np.float32), equal_nan=True)


def test_stores_that_others_packed_and_former_ones_open_alike(store: Path, tmp_path: Path) -> None:
    grid, values = Embedding.open(store).grid, some()
    with xr.open_zarr(store, consolidated=False) as data:
        data.load().drop_encoding().to_zarr(tmp_path / "packed.zarr", zarr_format=3, consolidated=False)
        former = data.transpose("feature", "y", "x").drop_encoding()
        former.to_zarr(tmp_path / "former.zarr", zarr_format=3, consolidated=False)
    for name in ("packed.zarr", "former.zarr"):
        embedding = Embedding.open(tmp_path / name)
        require_same(embedding.grid, grid, name)
        assert embedding.values.shape == (FEATURES, *SHAPE)
        for window in (Window(0, 0, *SHAPE), Window(120, 121, 15, 15)):
            assert np.array_equal(embedding.read(window), values[window.slices], equal_nan=True)


def test_damage_is_told(store: Path) -> None:
    chunk = store / "embedding" / "1.0.0"
    chunk.write_bytes(chunk.read_bytes()[:5000])
    embedding = Embedding.open(store)
    embedding.read(Window(0, 0, 128, 140))
    with pytest.raises(InputError, match="damaged embedding"):
        embedding.read(Window(200, 0, 5, 5))
    zarr.open_group(store, mode="r+")["embedding"].attrs["_ARRAY_DIMENSIONS"] = ["x", "y", "feature"]
    with pytest.raises(InputError, match="damaged embedding"):
        Embedding.open(store)
