"""Bands of files as one lazy array: any index gives what the array in memory would."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

from cscl import raster
from cscl.errors import GridError, InputError, MissingError
from cscl.raster import facts, stack

VALUES = np.arange(3 * 2 * 9 * 8, dtype=np.int16).reshape(3, 2, 9, 8)


def write(path: Path, image: NDArray[Any], crs: str | None = "EPSG:32633") -> Path:
    plain: dict[str, Any] = {"dtype": image.dtype, "crs": crs, "transform": Affine(10, 0, 500000, 0, -10, 5000000)}
    with rasterio.open(path, "w", "GTiff", 8, 9, len(image), nodata=-1, **plain) as out:
        out.write(image)
        out.descriptions = [f"band {i}" for i in range(len(image))]
        out.scales, out.offsets = (0.5,) * len(image), (2.0,) * len(image)
        out.update_tags(ACQUISITION="2021-05-03")
    return path


@pytest.fixture
def layers(tmp_path: Path) -> list[list[tuple[Path, int]]]:
    """Three dates: two files of two bands, and one date whose bands lie in two files, the wrong way round."""
    a, b = (write(tmp_path / f"{i}.tif", VALUES[i]) for i in range(2))
    c, d = (write(tmp_path / f"2_{i}.tif", VALUES[2, i : i + 1]) for i in range(2))
    return [[(a, 1), (a, 2)], [(b, 1), (b, 2)], [(c, 1), (d, 1)]]


@pytest.mark.parametrize(
    "key",
    [
        (),
        (1,),
        (slice(None), 1),
        ([2, 0], [1, 0], slice(2, 5), slice(7, 1, -2)),
        (slice(None), slice(None), 4, [0, 0, 7]),
        (-1, -1, -1, -1),
        (slice(None), slice(None), slice(3, 3)),
    ],
)
def test_any_index(layers: list[list[tuple[Path, int]]], key: Any) -> None:
    lazy = xr.DataArray(stack(layers, (9, 8), np.int16))
    whole = xr.DataArray(VALUES, dims=("time", "band", "y", "x"))
    np.testing.assert_array_equal(lazy[key].values, whole[key].values)


def test_only_the_window_is_read(layers: list[list[tuple[Path, int]]], monkeypatch: pytest.MonkeyPatch) -> None:
    windows = []
    plain = raster._read_bands

    def noted(path: Path, indexes: list[int], window: Any, shape: tuple[int, int]) -> NDArray[Any]:
        windows.append((path.name, indexes, window.flatten()))
        return plain(path, indexes, window, shape)

    monkeypatch.setattr(raster, "_read_bands", noted)
    lazy = stack(layers, (9, 8), np.int16)
    part = lazy[0:3:2, :, 2:5, 3:5]
    assert windows == []
    np.testing.assert_array_equal(part.values, VALUES[0:3:2, :, 2:5, 3:5])
    assert windows == [("0.tif", [1, 2], (3, 2, 2, 3)), ("2_0.tif", [1], (3, 2, 2, 3)), ("2_1.tif", [1], (3, 2, 2, 3))]


def test_a_stack_travels_to_other_processes(layers: list[list[tuple[Path, int]]]) -> None:
    lazy = xr.DataArray(stack(layers, (9, 8), np.int16))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(lazy)).values, VALUES)


def test_facts(tmp_path: Path) -> None:
    told = facts(write(tmp_path / "a.tif", VALUES[0]))
    assert (told.shape, told.count, told.dtype, told.nodata) == ((9, 8), 2, "int16", -1)
    assert (told.scales, told.offsets, told.descriptions) == ((0.5, 0.5), (2.0, 2.0), ("band 0", "band 1"))
    assert told.tags["ACQUISITION"] == "2021-05-03"
    assert str(told.grid().crs) == "EPSG:32633"
    with pytest.raises(GridError, match=r"b.tif has no coordinate reference system"):
        facts(write(tmp_path / "b.tif", VALUES[0], None)).grid()
    assert str(facts(tmp_path / "b.tif").grid("EPSG:32631").crs) == "EPSG:32631"


def test_files_that_cannot_be_read(tmp_path: Path, layers: list[list[tuple[Path, int]]]) -> None:
    with pytest.raises(MissingError, match="There is no file"):
        facts(tmp_path / "none.tif")
    (tmp_path / "bad.tif").write_text("nonsense")
    with pytest.raises(InputError, match=r"bad.tif cannot be read as a raster"):
        facts(tmp_path / "bad.tif")
    lazy = stack(layers, (9, 8), np.int16)
    layers[1][0][0].unlink()
    with pytest.raises(InputError, match=r"1.tif cannot be read .* was removed"):
        np.asarray(lazy)
