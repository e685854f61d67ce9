"""Sentinel-2 products on disk: what is read, what each stored value means, what is usable, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fake_sentinel2 import USUAL, name_of, stored, write_safe

from cscl.data.readers import open_cube


def test_a_product_is_read_as_written(tmp_path: Path) -> None:
    cube = open_cube(write_safe(tmp_path))
    assert cube.bands == USUAL
    assert [str(d) for d in cube.dates.astype("datetime64[s]")] == ["2021-06-01T10:50:31"]
    assert (cube.grid.crs.epsg, tuple(cube.grid.transform)[:6]) == (32631, (10, 0, 600_000, 0, -10, 5_700_000))
    for band in ("B02", "B08"):
        np.testing.assert_array_equal(cube.select(bands=[band]).stored.values[0, 0], stored(name_of(), band))
