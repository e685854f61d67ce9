"""Cubes as Zarr stores: the same cube comes back, other programs read it, and a run that ends anywhere goes on."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr
from affine import Affine
from fake_cubes import TRANSFORM, made_up

from cscl.cli import main
from cscl.cube import SITSCube
from cscl.data.readers import ReadOptions, open_cube
from cscl.errors import CSCLError, GridError, InputError, MissingError, OutputError
from cscl.events import Note, Progress, run
from cscl.export import cube as jobs
from cscl.export import cube_plan
from cscl.export.cube import CubeOptions, plan_cube, write_cube
from cscl.grid import GeoBox, Window

SMALL = CubeOptions(chunk_px=16)


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def require_equal(a: SITSCube, b: SITSCube) -> None:
    np.testing.assert_array_equal(a.stored.values, b.stored.values)
    assert a.stored.dtype == b.stored.dtype
    assert (a.clear is None) == (b.clear is None)
    if a.clear is not None and b.clear is not None:
        np.testing.assert_array_equal(a.clear.values, b.clear.values)
    np.testing.assert_array_equal(a.dates, b.dates)
    assert (a.bands, a.grid, a.radiometry, a.notes, a.acquisitions) == (
        b.bands, b.grid, b.radiometry, b.notes, b.acquisitions,
    )  # fmt: skip


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("by", "masked", "nodata"), [("cube", True, 0), ("date", False, None), ("band", True, 65535), ("date", True, -9999)]
)
def test_the_same_cube_comes_back(
    tmp_path: Path, by: str, masked: bool, nodata: float | None, zarr_format: int
) -> None:
    cube = made_up((37, 50), by=by, masked=masked, nodata=nodata)
    cube = replace(cube, radiometry=replace(cube.radiometry, fills=(7.0,)))
    back = run(write_cube(cube, tmp_path / "c.zarr", CubeOptions(32, zarr_format)))
    if by == "band":  # every date has one value a band then, which says the same
        np.testing.assert_array_equal(back.radiometry.factors()[1], cube.radiometry.factors()[1])
        cube = replace(
            cube, radiometry=replace(cube.radiometry, scale=back.radiometry.scale, offset=back.radiometry.offset)
        )
    require_equal(back, cube)
    np.testing.assert_array_equal(back.read()[0], cube.read()[0])
    assert back.name == "c.zarr"
    assert not (tmp_path / "c.zarr.part").exists()


@pytest.mark.parametrize("nodata", [None, -9999.0])
def test_floats_and_a_single_pixel(tmp_path: Path, nodata: float | None) -> None:
    cube = made_up((1, 1), masked=False, nodata=nodata)
    cube = replace(cube, stored=cube.stored.astype(np.float32) * np.float32(0.1))
    cube.stored.values[1, 1] = np.nan
    back = run(write_cube(cube, tmp_path / "c.zarr", SMALL))
    require_equal(back, cube)


def test_options_go_before_what_is_written(tmp_path: Path) -> None:
    cube = made_up((20, 20), by="date")
    run(write_cube(cube, tmp_path / "c.zarr", SMALL))
    said = ReadOptions(bands=("B04", "B02"), scale=0.5, nodata=9, last_date="2021-03-20")
    back = open_cube(tmp_path / "c.zarr", said)
    assert (back.radiometry.scale, back.radiometry.nodata) == ((0.5,) * 4, 9)
    assert back.radiometry.offset == cube.radiometry.offset[:4]
    assert "scale 0.5 given by the user" in back.radiometry.source
    assert back.acquisitions == (cube.acquisitions or ())[:4]
    np.testing.assert_array_equal(back.stored.values, cube.stored.values[:4, [2, 0]])


def test_xarray_reads_it(tmp_path: Path) -> None:
    cube = made_up((20, 25))
    run(write_cube(cube, tmp_path / "c.zarr", SMALL))
    data = xr.open_zarr(tmp_path / "c.zarr", decode_coords="all", chunks=None)
    reflectance, _ = cube.unmasked().read()
    there = ~cube.missing(cube.stored.values)
    np.testing.assert_allclose(data.reflectance.values[there], reflectance[there], atol=1e-6)
    assert np.isnan(data.reflectance.values[~there]).all()
    assert data.valid.dtype == bool
    np.testing.assert_array_equal(data.time.values, cube.dates)
    assert list(data.band.values) == list(cube.bands)
    assert data.x.values[3] == pytest.approx(TRANSFORM.c + 3.5 * TRANSFORM.a, abs=1e-6)
    assert data.attrs["Conventions"] == "CF-1.10"
    assert data.reflectance.encoding["grid_mapping"] == "spatial_ref"
    assert data.reflectance.attrs["standard_name"] == "surface_bidirectional_reflectance"
    assert data.spatial_ref.attrs["grid_mapping_name"] == "transverse_mercator"
    assert [float(n) for n in data.spatial_ref.attrs["GeoTransform"].split()] == list(TRANSFORM.to_gdal())
    array = zarr.open_array(tmp_path / "c.zarr" / "reflectance")
    assert array.shards == (7, 3, 16, 16) and array.chunks == (1, 3, 16, 16), "one date can be read alone"


def test_gdal_reads_version_2(tmp_path: Path) -> None:
    cube = made_up((20, 25))
    run(write_cube(cube, tmp_path / "c.zarr", CubeOptions(16, zarr_format=2)))
    with rasterio.open(f'ZARR:"{tmp_path / "c.zarr"}":/reflectance:4:2') as band:
        np.testing.assert_array_equal(band.read(1), cube.stored.values[4, 2])
        assert (band.crs.to_epsg(), band.nodata, band.scales, band.offsets) == (32633, 0, (1e-4,), (-0.1,))
        assert band.transform.almost_equals(TRANSFORM, 1e-6)
    with rasterio.open(f'ZARR:"{tmp_path / "c.zarr"}":/valid:4') as band:
        np.testing.assert_array_equal(band.read(1), cube.clear[4].values if cube.clear is not None else None)


def test_factors_of_each_date_are_coordinates(tmp_path: Path) -> None:
    run(write_cube(made_up((20, 20), by="date"), tmp_path / "c.zarr", SMALL))
    data = xr.open_zarr(tmp_path / "c.zarr", chunks=None)
    assert not {"scale_factor", "add_offset"} & {*data.reflectance.encoding, *data.reflectance.attrs}
    np.testing.assert_array_equal(data.reflectance.coords["offset"].values, [0, 0, 0, -0.1, -0.1, -0.1, -0.1])
    data.isel(time=[1, 4]).drop_encoding().to_zarr(tmp_path / "decoded.zarr")
    with pytest.raises(InputError, match="it is not clear whether the scale and offset of each date still apply"):
        open_cube(tmp_path / "decoded.zarr")
    raw = xr.open_zarr(tmp_path / "c.zarr", chunks=None, mask_and_scale=False)
    raw.isel(time=[4, 1]).drop_encoding().to_zarr(tmp_path / "some.zarr")
    some = open_cube(tmp_path / "some.zarr")
    assert some.radiometry.offset == (0.0, -0.1)
    assert [each.product for each in some.acquisitions or ()] == ["S2A_MSIL2A_1", "S2A_MSIL2A_4"]


def test_events_and_the_plan(tmp_path: Path) -> None:
    cube = made_up((40, 70))
    plan = run(plan_cube(cube, tmp_path / "c.zarr", SMALL))
    assert (plan.chunk, plan.chunks, plan.left) == ((7, 3, 16, 16), 15, 15)
    assert plan.raw_bytes == 40 * 70 * 7 * (3 * 2 + 1)
    assert not list(tmp_path.iterdir())
    events: list[Any] = []
    run(write_cube(cube, tmp_path / "c.zarr", SMALL), events.append)
    told = next(event.text for event in events if isinstance(event, Note))
    assert told.startswith("15 chunks to write: about")
    writing = [event for event in events if isinstance(event, Progress) and event.stage == "writing"]
    assert (writing[-1].done, writing[-1].total) == (15, 15)
    assert [event.done for event in writing] == sorted(event.done for event in writing)


@pytest.mark.parametrize("steps", [6, 14])
@pytest.mark.parametrize("block", [(1, 1), (2, 3)])
def test_a_run_that_was_closed_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, block: tuple[int, int]
) -> None:
    monkeypatch.setattr(cube_plan, "_blocks", lambda chunks, most: [block])
    cube, out = made_up((37, 50)), tmp_path / "c.zarr"
    run(write_cube(cube, tmp_path / "whole.zarr", SMALL))
    job = write_cube(cube, out, SMALL)
    for _ in range(steps):
        next(job)
    job.close()
    assert not out.exists()
    if not (tmp_path / "c.zarr.part").exists():  # it was measuring still
        return
    with pytest.raises(OutputError, match=r"An unfinished cube lies at .*c\.zarr\.part.* --resume"):
        next(write_cube(cube, out, SMALL))
    with pytest.raises(InputError, match="is not finished"):
        open_cube(tmp_path / "c.zarr.part")
    events: list[Any] = []
    run(write_cube(cube, out, SMALL, resume=True), events.append)
    assert files_in(out) == files_in(tmp_path / "whole.zarr")
    if steps > 10:
        assert max(e.done for e in events[:4] if isinstance(e, Progress)) > 0


KILLED = """
import sys, os, signal
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fake_cubes import made_up
from cscl.export import cube_store
from cscl.export.cube import CubeOptions, write_cube
plain, written = cube_store.CubeStore.write, []
def write(self, *args):
    plain(self, *args)
    written.append(args)
    if len(written) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
cube_store.CubeStore.write = write
list(write_cube(made_up((37, 50)), sys.argv[2], CubeOptions(chunk_px=16)))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL on this system")
def test_a_run_that_was_killed_goes_on(tmp_path: Path, root: Path) -> None:
    out = tmp_path / "c.zarr"
    env = {**os.environ, "PYTHONPATH": str(root / "engine")}
    ended = subprocess.run([sys.executable, "-c", KILLED, str(root / "tests"), str(out)], env=env, check=False)
    assert ended.returncode == -signal.SIGKILL
    (tmp_path / "c.zarr.part" / "reflectance" / "c" / "0.0123.partial").write_text("left by a kill")
    with (tmp_path / "c.zarr.part" / "unfinished.txt").open("a") as lines:
        lines.write("32 4")  # the line that was being written
    cube = made_up((37, 50))
    run(write_cube(cube, out, SMALL, resume=True))
    run(write_cube(cube, tmp_path / "whole.zarr", SMALL))
    assert files_in(out) == files_in(tmp_path / "whole.zarr")


def begun(out: Path, cube: SITSCube, chunks: int = 4) -> None:
    """Begin a cube and stop after some chunks."""
    job = write_cube(cube, out, SMALL)
    while not any(
        isinstance(event := next(job), Progress) and event.stage == "writing" and event.done >= chunks for _ in [0]
    ):
        pass
    job.close()


OTHERWISE = {
    "dates": lambda cube: cube.select(times=range(6)),
    "bands": lambda cube: cube.select(bands=("B02", "B04", "B03")),
    "the grid": lambda cube: cube.select(window=Window(0, 0, 37, 49)),
    "scale, offset and nodata": lambda cube: replace(cube, radiometry=replace(cube.radiometry, nodata=1.0)),
    "the mask or the region": lambda cube: replace(cube, notes=("Cut to another region.",)),
    "--chunk-px": lambda cube: cube,
    "the place of the images": lambda cube: replace(cube, path=Path("elsewhere")),
}


@pytest.mark.parametrize("what", OTHERWISE)
def test_going_on_with_other_images_is_refused(tmp_path: Path, what: str) -> None:
    cube = made_up((37, 50))
    begun(tmp_path / "c.zarr", cube)
    with pytest.raises(InputError, match=f"was begun otherwise: .*{what}"):
        options = CubeOptions(chunk_px=32) if what == "--chunk-px" else SMALL
        run(write_cube(OTHERWISE[what](cube), tmp_path / "c.zarr", options, resume=True))


def test_going_on_when_the_files_have_changed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.tif").write_bytes(b"1")
    cube = replace(made_up((37, 50)), path=tmp_path / "images")
    begun(tmp_path / "c.zarr", cube)
    os.utime(tmp_path / "images" / "a.tif", (1, 1))
    with pytest.raises(InputError, match="the files of the images differ"):
        run(write_cube(cube, tmp_path / "c.zarr", SMALL, resume=True))


def test_a_former_result_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    out, cube = tmp_path / "c.zarr", made_up((37, 50))
    run(write_cube(made_up((20, 20)), out, SMALL))
    former = files_in(out)
    with pytest.raises(OutputError, match="exists already"):
        next(write_cube(cube, out, SMALL))
    job = write_cube(cube, out, SMALL, overwrite=True)
    for _ in range(8):
        next(job)
    job.close()
    assert files_in(out) == former
    run(write_cube(cube, out, SMALL, overwrite=True, resume=True))
    require_equal(open_cube(out), cube)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Folder of 2 MB, where the machine lets us have one."""
    place = tmp_path / "disk"
    place.mkdir()
    made = sys.platform == "linux" and os.geteuid() == 0
    made = (
        made and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=False).returncode == 0
    )
    if not made:
        pytest.skip("no right to mount a small file system")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk(tiny_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, cube, ballast = tiny_disk / "c.zarr", made_up((200, 200), dates=20), tiny_disk / "ballast"
    run(write_cube(made_up((20, 20)), out, SMALL))
    former = files_in(out)
    with pytest.raises(OutputError, match=r"would take about \d\.\d MB, and \d\.\d MB are free"):
        run(write_cube(replace(cube, clear=None), out, CubeOptions(chunk_px=64), overwrite=True))
    small = cube.select(times=range(5))
    ballast.write_bytes(bytes(1_600_000))
    monkeypatch.setattr(jobs.CubePlan, "require_room", lambda self: None)  # what an estimate may get wrong
    with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\).* --resume"):
        run(write_cube(small, out, CubeOptions(chunk_px=64), overwrite=True))
    assert files_in(out) == former
    ballast.unlink()
    run(write_cube(small, out, CubeOptions(chunk_px=64), overwrite=True, resume=True))
    require_equal(open_cube(out), small)


def test_a_disk_that_is_full_from_the_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(jobs, "make_store", full)
    with pytest.raises(OutputError, match=r"c\.zarr\.part cannot be made \(No space left on device\)"):
        run(write_cube(made_up((20, 20)), tmp_path / "c.zarr", SMALL))
    assert not list(tmp_path.iterdir())


def test_places_that_are_refused(tmp_path: Path) -> None:
    images = tmp_path / "images.zarr"
    cube = run(write_cube(made_up((20, 20)), images, SMALL))
    for place in (images, images / "cube.zarr", tmp_path):
        with pytest.raises(OutputError, match="would be written over its images"):
            next(write_cube(cube, place, SMALL, overwrite=True))
    with pytest.raises(MissingError, match="There is no unfinished cube"):
        next(write_cube(cube, tmp_path / "c.zarr", SMALL, resume=True))
    turned = replace(cube, grid=GeoBox((20, 20), TRANSFORM @ Affine.rotation(10), "EPSG:32633"))
    with pytest.raises(GridError, match="rotated grid"):
        next(write_cube(turned, tmp_path / "c.zarr", SMALL))


def test_empty_dates_are_left_out(tmp_path: Path) -> None:
    cube = made_up((37, 50))
    back = run(write_cube(cube, tmp_path / "c.zarr", replace(SMALL, drop_empty=0.05)))
    np.testing.assert_array_equal(back.dates, cube.dates[:6])
    assert back.notes[-1] == "Left out: 1 dates with less than 5% usable pixels in 1 windows: 2021-04-01."
    with pytest.raises(InputError, match="No date of made up has 90% usable pixels"):
        run(write_cube(cube, tmp_path / "d.zarr", replace(SMALL, drop_empty=0.9)))


@pytest.mark.parametrize("name", ["notes", "acquisitions"])
def test_damaged_attributes_are_said_to_be(tmp_path: Path, name: str) -> None:
    run(write_cube(made_up((20, 20)), tmp_path / "c.zarr", SMALL))
    place = tmp_path / "c.zarr" / "zarr.json"
    told = json.loads(place.read_text())
    told["attributes"][name] = "{"
    place.write_text(json.dumps(told))
    with pytest.raises(CSCLError, match=f"The attribute '{name}' of .* is damaged"):
        open_cube(tmp_path / "c.zarr")


def test_the_command(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, out = str(root / "sample_data" / "season" / "images"), str(tmp_path / "c.zarr")
    words = ["cube", images, out, "--chunk-px=32", "--bands=B04,B08", "--first-date=2023-05-01", "--quiet"]
    region = ["--region", str(root / "sample_data" / "season" / "parcels.gpkg")]
    assert main([*words, *region, "--plan"]) == 0
    assert "of 9 x 2 x 32 x 32" in capsys.readouterr().out
    assert not (tmp_path / "c.zarr").exists()
    assert main([*words, *region]) == 0
    assert main(words) == 2
    assert "exists already" in capsys.readouterr().err
    cube = open_cube(out)
    direct = open_cube(images, ReadOptions(bands=("B04", "B08"), first_date="2023-05-01", region=region[1]))
    require_equal(cube, direct)


@pytest.mark.parametrize(("piece_px", "block"), [(64, (4, 4)), (16, (1, 1))])
def test_blocks_for_pieces_larger_than_a_chunk(
    piece_px: int, block: tuple[int, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A source that unpacks 64 x 64 pixels at a time is read in such blocks; one of small pieces, chunk by chunk."""
    cube = made_up((128, 128), dates=4, masked=False)
    monkeypatch.setattr(cube_plan, "AT_ONCE", 16 * 4 * 3 * 2 * 16 * 16)
    plain, clock = type(cube.stored.variable._data.array)._take, [0.0]
    monkeypatch.setattr(cube_plan, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def by_pieces(self: Any, times: Any, bands: Any, rows: slice, cols: slice) -> Any:
        down, across = (-(-each.stop // piece_px) - each.start // piece_px for each in (rows, cols))
        clock[0] += 0.004 * down * across * len(times)
        return plain(self, times, bands, rows, cols)

    monkeypatch.setattr(type(cube.stored.variable._data.array), "_take", by_pieces)
    plan = run(plan_cube(cube, tmp_path / "c.zarr", SMALL))
    assert plan.block == block
