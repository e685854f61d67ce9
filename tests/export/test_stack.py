"""All dates in one GeoTIFF: each number where it belongs, missing marked, window by window, and as QGIS reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import toys
from qgispython import other_python

from cscl.cube import Radiometry, SITSCube
from cscl.data.readers import ReadOptions, open_cube
from cscl.errors import OutputError
from cscl.events import run
from cscl.export import stack
from cscl.export.stack import NODATA, OFFSET, SCALE, channels, write_stack

# Runs under another Python. What it does with the raster is what Deepness does for a tile.
SCRIPT = """
import json, sys
from qgis.core import Qgis, QgsApplication, QgsRasterLayer, QgsRectangle
application = QgsApplication([], False)
application.initQgis()
layer = QgsRasterLayer(sys.argv[1])
provider = layer.dataProvider()
provider.enableProviderResampling(True)
provider.setZoomedInResamplingMethod(provider.ResamplingMethod.Bilinear)
provider.setZoomedOutResamplingMethod(provider.ResamplingMethod.Bilinear)
extent = layer.extent()
left, top, size = extent.xMinimum() + 320, extent.yMaximum() - 320, 64
block = provider.block(4, QgsRectangle(left, top - 10 * size, left + 10 * size, top), size, size)
print(json.dumps({
    "kind": int(block.dataType()) == int(Qgis.DataType.UInt16), "bytes": bytes(block.data()).hex(),
    "bands": layer.bandCount(), "name": layer.bandName(4),
}))
"""


def negative() -> SITSCube:
    """A cube whose reflectance also goes below 0 and above what the numbers hold."""
    cube = toys.scene().cube
    cube.stored.values[0, 0, 0, :3] = (1, 65534, 400)
    return replace(cube, radiometry=Radiometry((2e-4,) * 6, (-0.15,) * 6, toys.NODATA, "toy"))


def test_numbers_are_those_of_sentinel_2(tmp_path: Path) -> None:
    cube = negative()
    path = run(write_stack(cube, tmp_path / "all.tif"))
    values, valid = cube.read()
    with rasterio.open(path) as src:
        stored = src.read().reshape(values.shape)
        assert src.descriptions == tuple(channels(cube)) and src.descriptions[4] == "2021-04-07_B04"
        assert (src.nodata, src.dtypes[0], src.transform) == (NODATA, "uint16", cube.grid.transform)
        assert set(src.scales) == {1.0} and set(src.offsets) == {0.0}
    assert ((stored != NODATA).all(1) == valid).all() and ((stored == NODATA).all(1) == ~valid).all()
    assert stored[0, 0, 0, 0] == 1 and stored[0, 0, 0, 1] == 65535 and stored[0, 0, 0, 2] == 300
    back = np.where(valid[:, None], stored * SCALE + OFFSET, 0)
    cut = values.clip(SCALE + OFFSET, 65535 * SCALE + OFFSET)
    assert np.abs(back - np.where(valid[:, None], cut, 0)).max() <= SCALE / 2 + 1e-6


def test_it_opens_again(tmp_path: Path) -> None:
    cube = toys.scene().cube
    again = open_cube(run(write_stack(cube, tmp_path / "all.tif")), ReadOptions(scale=SCALE, offset=OFFSET))
    assert again.bands == cube.bands and (again.dates == cube.dates).all()
    for here, there in zip(again.read(), cube.read(), strict=True):
        np.testing.assert_allclose(here, there, atol=1e-6)


def test_no_more_than_a_window_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "WINDOW_PX", 16)
    seen: list[int] = []
    read = SITSCube.read
    monkeypatch.setattr(
        SITSCube, "read", lambda self, window: seen.append(window.height * window.width) or read(self, window)
    )
    run(write_stack(toys.scene(size=40).cube, tmp_path / "all.tif"))
    assert len(seen) == 9 and max(seen) == 256


def test_images_and_former_files_are_kept(tmp_path: Path) -> None:
    cube = toys.scene().cube
    path = run(write_stack(cube, tmp_path / "all.tif"))
    before = path.read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        run(write_stack(cube, path))
    with pytest.raises(OutputError, match="one of the inputs"):
        run(write_stack(replace(cube, path=path), path, overwrite=True))
    job = write_stack(cube, path, overwrite=True)
    next(job)
    job.close()
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["all.tif"]


@pytest.mark.qgis
def test_qgis_gives_the_numbers_as_they_are(tmp_path: Path) -> None:
    path = run(write_stack(toys.scene(size=80).cube, tmp_path / "all.tif"))
    result = other_python(SCRIPT, str(path))
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout.splitlines()[-1])
    assert told["kind"] and told["bands"] == 18 and told["name"].endswith("4: 2021-04-07_B03")
    block = np.frombuffer(bytes.fromhex(told["bytes"]), np.uint16).reshape(64, 64)
    with rasterio.open(path) as src:
        expected = src.read(4)[32:, 32:]
    assert (block[:48, :48] == expected).all() and (block[48:] == NODATA).all() and (block[:, 48:] == NODATA).all()
