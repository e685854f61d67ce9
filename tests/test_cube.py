"""The cube turns stored numbers into reflectance and says which of them count."""

from __future__ import annotations

import datetime as dt
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from affine import Affine

from cscl.cube import Acquisition, Radiometry, SITSCube
from cscl.errors import InputError, UnknownNameError
from cscl.grid import Window, make_grid

DATES = ["2020-12-30T10:00:00", "2021-01-01T10:00:00", "2021-06-01T23:59:59"]


def cube(stored: Any = None, nodata: float | None = None, clear: Any = None, dates: Any = DATES) -> SITSCube:
    values = np.arange(3 * 2 * 6 * 5, dtype=np.int16).reshape(3, 2, 6, 5) if stored is None else stored
    array = xr.DataArray(
        values,
        {"time": np.array(dates, "datetime64[ns]"), "band": ["B04", "B08"]},
        ("time", "band", "y", "x"),
    )
    grid = make_grid((6, 5), Affine(10, 0, 600000, 0, -10, 5000000), "EPSG:32633", "toy")
    mask = None if clear is None else xr.DataArray(clear, dims=("time", "y", "x"))
    return SITSCube(array, grid, Radiometry((0.5, 0.5, 0.25), (0, 0, -1), nodata, "declared"), mask, "toy", ("a note",))


def test_reflectance_is_scaled_date_by_date() -> None:
    reflectance, valid = cube().read()
    assert reflectance.dtype == np.float32
    assert valid.all()  # zero is a value
    stored = cube().stored.values
    np.testing.assert_array_equal(reflectance[:2], stored[:2] * 0.5)
    np.testing.assert_array_equal(reflectance[2], stored[2] * 0.25 - 1)


def test_a_pixel_is_valid_where_all_bands_have_data_and_the_mask_is_clear() -> None:
    stored = np.ones((3, 2, 6, 5), np.float32)
    stored[0, 1, 2, 2] = np.nan
    stored[1, 0, 3, 3] = -9999
    clear = np.ones((3, 6, 5), bool)
    clear[2, 4, 4] = False
    reflectance, valid = cube(stored, -9999, clear).read()
    assert np.argwhere(~valid).tolist() == [[0, 2, 2], [1, 3, 3], [2, 4, 4]]
    assert (reflectance[np.broadcast_to(~valid[:, None], reflectance.shape)] == 0).all()
    assert np.isfinite(reflectance).all()


def test_selections_commute_with_reading() -> None:
    clear = np.arange(90).reshape(3, 6, 5) % 4 > 0
    whole = cube(nodata=7, clear=clear)
    window = Window(1, 2, 3, 3)
    part = whole.select(bands=["B08"], times=[0, 2], window=window)
    reflectance, valid = whole.select(bands=["B08"]).read()
    np.testing.assert_array_equal(part.read()[0], reflectance[[0, 2]][..., *window.slices])
    np.testing.assert_array_equal(part.read()[1], valid[[0, 2]][..., *window.slices])
    np.testing.assert_array_equal(whole.read(window)[1], whole.read()[1][..., *window.slices])
    assert part.bands == ("B08",)
    assert part.radiometry.offset == (0, -1)
    assert (part.grid.transform.c, part.grid.transform.f) == (600020, 4999990)
    with pytest.raises(UnknownNameError, match=r"Unknown band 'B8' in toy\. Did you mean 'B08'\?"):
        whole.select(bands=["B8"])


def test_from_afar_a_cube_shows_the_middle_of_each_block() -> None:
    clear = np.arange(90).reshape(3, 6, 5) % 4 > 0
    whole = cube(clear=clear)
    afar = whole.coarser(2)
    np.testing.assert_array_equal(afar.stored.values, whole.stored.values[:, :, 1::2, 1:4:2])
    np.testing.assert_array_equal(afar.read()[1], whole.read()[1][:, 1::2, 1:4:2])
    assert afar.shape == (3, 2) and afar.grid.resolution.x == 20
    assert whole.coarser(1) is whole and whole.coarser(99).shape == (1, 1)
    assert whole.unmasked().read()[1].all()


def test_scale_and_offset_may_differ_by_band_and_go_along_with_selections() -> None:
    whole = cube()
    bands = replace(
        whole,
        radiometry=Radiometry((0.5, (0.5, 0.1), 1.0), ((0.0, -1.0), 0.0, (1.0, 2.0)), None, "declared"),
        acquisitions=tuple(Acquisition(f"product {n}", baseline="05.10", shifted=True) for n in range(3)),
    )
    stored = whole.stored.values.astype(np.float32)
    reflectance = bands.read()[0]
    np.testing.assert_allclose(reflectance[0], stored[0] * 0.5 + np.array([0, -1])[:, None, None])
    np.testing.assert_allclose(reflectance[1], stored[1] * np.array([0.5, 0.1])[:, None, None], rtol=1e-6)
    np.testing.assert_allclose(reflectance[2], stored[2] + np.array([1, 2])[:, None, None])
    part = bands.select(bands=["B08"], times=[0, 2])
    assert part.radiometry == Radiometry((0.5, 1.0), ((-1.0,), (2.0,)), None, "declared")
    assert part.acquisitions is not None and [a.product for a in part.acquisitions] == ["product 0", "product 2"]
    np.testing.assert_array_equal(part.read()[0], reflectance[[0, 2]][:, [1]])


def test_days_run_across_new_year() -> None:
    assert cube().days(dt.date(2021, 1, 1)).tolist() == [-2, 0, 151]


def test_valid_share_counts_pixels() -> None:
    clear = np.ones((3, 6, 5), bool)
    clear[1] = False
    clear[2, :3] = False
    np.testing.assert_allclose(cube(clear=clear).valid_share(size_px=2), [1, 0, 0.5])
    lines = "\n".join(cube(clear=clear).iter_lines())
    assert "3 dates (2020-12-30 to 2021-06-01), 2 bands, 6 x 5 pixels" in lines
    assert "0.0% usable  EMPTY" in lines
    assert "note: a note" in lines


def test_a_cube_in_memory_travels() -> None:
    loaded = pickle.loads(pickle.dumps(cube(nodata=7).load()))
    np.testing.assert_array_equal(loaded.read()[1], cube(nodata=7).read()[1])


def test_cubes_that_cannot_be() -> None:
    with pytest.raises(InputError, match="the dates do not ascend"):
        cube(dates=DATES[::-1])
    with pytest.raises(InputError, match="the dates do not ascend"):
        cube(dates=[DATES[0], DATES[0], DATES[1]])
    with pytest.raises(InputError, match="pixels, the grid"):
        cube(np.zeros((3, 2, 5, 6)))
    plain = cube()
    with pytest.raises(InputError, match=r"not \(time, band, y, x\)"):
        SITSCube(plain.stored.transpose("band", ...), plain.grid, plain.radiometry)
    with pytest.raises(InputError, match="one value for each of 3 dates"):
        SITSCube(plain.stored, plain.grid, Radiometry((1.0,), (0.0,), None, ""))
    for wrong, why in (
        ({"radiometry": Radiometry(((1.0,),) * 3, (0.0,) * 3, None, "")}, "one for each of 2"),
        ({"acquisitions": (Acquisition("one"),)}, "one acquisition for each of 3 dates"),
    ):
        with pytest.raises(InputError, match=why):
            replace(plain, **wrong)
    with pytest.raises(InputError, match="no dates or no bands"):
        plain.select(bands=[])
