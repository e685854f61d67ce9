"""The tables in docs/inputs.md: each line is built here and tried, and what they quote is what is said.

A case is a function that writes its input into an empty folder and returns what to open: a path, or a path and options.
Sections of further readers need their cases here, and nothing else: a line without a case fails, and so does a case
without a line.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import xarray as xr
import zarr
from affine import Affine
from fake_files import (
    BANDS,
    DATES,
    SHAPE,
    TRANSFORM,
    patch_box,
    save_array,
    stored,
    write_patch,
    write_season,
    write_tif,
)  # fmt: skip
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC

from cscl.data.readers import ReadOptions, open_cube
from cscl.errors import CSCLError
from cscl.grid import Window, make_grid
from cscl.legend import Legend
from cscl.products import LabelMap

Made = Path | tuple[Path, ReadOptions]
CASES: dict[tuple[str, str], Callable[[Path], Made]] = {}

GRID = make_grid(SHAPE, TRANSFORM, "EPSG:32633", "the images")
IMAGE = stored(1)[0]
NAMES = ("20210403.tif", "20210501.tif")


def case(section: str, name: str) -> Callable[[Callable[[Path], Made]], Callable[[Path], Made]]:
    """File a case under the section and the first cell of its line."""

    def file(make: Callable[[Path], Made]) -> Callable[[Path], Made]:
        assert (section, name) not in CASES
        CASES[section, name] = make
        return make

    return file


# --- what the document says ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One line of a table: the input, whether it is accepted, and what is said, with ... for names and numbers."""

    section: str
    name: str
    accepted: bool
    said: str

    def fits(self, text: str) -> bool:
        pattern = ".*".join(re.escape(part) for part in self.said.split("..."))
        return re.fullmatch(pattern, text, re.DOTALL) is not None


def lines() -> Iterator[Line]:
    document = (Path(__file__).parents[2] / "docs" / "inputs.md").read_text(encoding="utf-8")
    section = ""
    for row in document.splitlines():
        if row.startswith("## "):
            section = (re.findall(r"\(`(\w+)`\)", row) or [""])[0]
        cells = [cell.strip() for cell in row.strip("| ").split(" | ")]
        if row.startswith("|") and len(cells) == 3 and cells[1] in ("accepted", "refused"):
            yield Line(section, cells[0], cells[1] == "accepted", cells[2].replace("\\|", "|"))


LINES = list(lines())


def test_every_line_has_its_case_and_every_case_its_line() -> None:
    told = [(line.section, line.name) for line in LINES]
    assert len(set(told)) == len(told) > 60
    assert set(told) == set(CASES)


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.section}: {line.name}")
def test_what_is_said_of_an_input(line: Line, tmp_path: Path) -> None:
    made = CASES[line.section, line.name](tmp_path)
    try:
        notes = OPENERS.get(line.section, as_cube)(made)
    except CSCLError as error:
        assert not line.accepted, str(error)
        assert line.fits(str(error)), str(error)
        return
    assert line.accepted, notes
    if line.said == "nothing":
        assert not notes[:-1]  # the last is where the numbers come from
    else:
        assert any(line.fits(note) for note in notes), notes


def as_cube(made: Made) -> list[str]:
    """Open images and read a window in the middle; what is said of them, and of their numbers."""
    path, options = made if isinstance(made, tuple) else (made, ReadOptions())
    cube = open_cube(path, options)
    rows, cols = (n // 2 for n in cube.shape)
    for window in (Window(0, 0, 2, 2), Window(rows, cols, 2, 2), Window(cube.shape[0] - 2, cols, 2, 2)):
        values, valid = cube.read(window)
        assert np.isfinite(values).all() and np.abs(values[:, :, ~valid.any(axis=0)]).max(initial=0) == 0
        assert values.max(initial=0) < 7 and values.min(initial=0) > -0.5  # no fill value is ever learnt from
    return [*cube.notes, cube.radiometry.source]


def as_labels(made: Made) -> list[str]:
    path = made[0] if isinstance(made, tuple) else made
    labels = LabelMap.open(path, GRID)
    return [*labels.notes, ", ".join(map(str, labels.legend.ids))]


def as_legend(made: Made) -> list[str]:
    path = made[0] if isinstance(made, tuple) else made
    return [", ".join(c.code for c in Legend.from_csv(path).classes)]


OPENERS: dict[str, Callable[[Made], list[str]]] = {"labels": as_labels, "legends": as_legend}


# --- shared by sections ----------------------------------------------------------------------------------------------


def halved(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def garbage(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.random.default_rng(0).bytes(3000))
    return path


def with_hidden(dtype: Any, *values: float) -> NDArray[Any]:
    """Return an image whose middle and corners hold fill values."""
    image = IMAGE.astype(dtype)
    for value, place in zip(values, [(6, 8), (0, 0), (7, 8)], strict=False):
        image[:, *place] = value
    return image


def large(path: Path) -> Path:
    """Write a TIFF that declares 50 TB and holds none: blocks that were never written take no room."""
    with rasterio.open(
        path, "w", "GTiff", 5_000_000, 5_000_000, 1, "EPSG:32633", TRANSFORM, np.uint16, 65535,
        tiled=True, blockxsize=16384, blockysize=16384, sparse_ok=True, bigtiff="yes",
    ):  # fmt: skip
        pass
    return path


def two(folder: Path, image: NDArray[Any] = IMAGE, names: tuple[str, ...] | None = BANDS, **profile: Any) -> Path:
    """Write two dates, of which the second is odd."""
    write_tif(folder / NAMES[0], IMAGE)
    write_tif(folder / NAMES[1], image, names, **profile)
    return folder


def one(folder: Path, image: NDArray[Any] = IMAGE, names: tuple[str, ...] | None = BANDS, **profile: Any) -> Path:
    """Write one date, and return its folder."""
    write_tif(folder / NAMES[0], image, names, **profile)
    return folder


# --- GeoTIFFs --------------------------------------------------------------------------------------------------------

FOLDER = "geotiff_folder"
case(FOLDER, "an empty folder")(lambda folder: folder)
case(FOLDER, "NaN without a nodata tag")(lambda folder: one(folder, with_hidden(np.float32, *[np.nan] * 3) * 1e-4))
case(FOLDER, "-9999, -10000 or the lowest number without a tag")(
    lambda folder: one(folder, with_hidden(np.int16, -9999, -10000, -32768))
)
case(FOLDER, "-9999 beside another nodata tag")(lambda folder: one(folder, with_hidden(np.int16, -9999), nodata=0))
case(FOLDER, "65535 without a tag")(lambda folder: one(folder, with_hidden(np.uint16, 65535), nodata=None))
case(FOLDER, "complex numbers")(lambda folder: one(folder, IMAGE.astype(np.complex64)))
case(FOLDER, "a rotated grid")(lambda folder: one(folder, transform=TRANSFORM @ Affine.rotation(3)))
case(FOLDER, "a sheared grid")(lambda folder: one(folder, transform=TRANSFORM @ Affine.shear(3)))
case(FOLDER, "rows from south to north")(lambda folder: one(folder, transform=Affine(10, 0, 4e5, 0, 10, 5e6)))
case(FOLDER, "no reference system")(lambda folder: one(folder, crs=None))
case(FOLDER, "no reference system, and one given with --crs")(
    lambda folder: (one(folder, crs=None), ReadOptions(crs="EPSG:32633"))
)
case(FOLDER, "no place at all")(lambda folder: one(folder, transform=Affine.identity()))
case(FOLDER, "a reference system in WKT alone")(
    lambda folder: one(folder, crs=CRS.from_proj4("+proj=laea +lat_0=48.3 +lon_0=9.7 +units=m").to_wkt())
)
case(FOLDER, "images across the 180th meridian")(
    lambda folder: one(folder, crs="EPSG:32601", transform=Affine(10, 0, 166_000, 0, -10, 5e6))
)
case(FOLDER, "images across the 180th meridian in degrees")(
    lambda folder: one(folder, crs="EPSG:4326", transform=Affine(1e-4, 0, 179.9995, 0, -1e-4, 50))
)
case(FOLDER, "dates of different types")(lambda folder: two(folder, IMAGE.astype(np.float32)))
case(FOLDER, "dates of different shapes")(lambda folder: two(folder, IMAGE[:, 1:]))
case(FOLDER, "dates at different places")(lambda folder: two(folder, transform=TRANSFORM @ Affine.translation(0.5, 0)))
case(FOLDER, "dates in different reference systems")(lambda folder: two(folder, crs="EPSG:32632"))
case(FOLDER, "dates with different numbers of bands")(lambda folder: two(folder, IMAGE[:2], BANDS[:2]))
case(FOLDER, "dates with different nodata tags")(lambda folder: two(folder, nodata=0))
case(FOLDER, "bands in another order on some dates")(lambda folder: two(folder, IMAGE[::-1], BANDS[::-1]))
case(FOLDER, "other bands on some dates")(lambda folder: two(folder, names=("B02", "B04", "B08")))
case(FOLDER, "bands without names")(lambda folder: one(folder, names=None))
case(FOLDER, "two bands of one name")(lambda folder: one(folder, names=("B02", "B02", "B04")))
case(FOLDER, "a raster without a date")(lambda folder: write_tif(folder / "spring.tif", IMAGE).parent)
case(FOLDER, "names beyond ASCII")(
    lambda folder: write_tif(folder / "Äcker 畑" / "20210403_Ж.tif", IMAGE, ("Grün", "赤", "nir")).parent
)
case(FOLDER, "a declared size of 50 TB")(lambda folder: large(folder / NAMES[0]).parent)


@case(FOLDER, "a folder of text files")
def _(folder: Path) -> Made:
    (folder / "20210403.txt").write_text("no image")
    return folder


@case(FOLDER, "a truncated file")
def _(folder: Path) -> Made:
    halved(write_tif(folder / NAMES[0], np.zeros((3, 256, 256), np.uint16), tiled=True, blockxsize=64, blockysize=64))
    return folder


@case(FOLDER, "a file that is truncated behind its header")
def _(folder: Path) -> Made:
    noise = np.random.default_rng(0).integers(0, 9999, (3, 600, 600), np.uint16)
    plain = write_tif(folder / "plain.tif", noise)
    rasterio.shutil.copy(plain, folder / NAMES[0], driver="COG", overviews="none", blocksize=128)
    plain.unlink()
    return halved(folder / NAMES[0]).parent


@case(FOLDER, "a file that is no TIFF")
def _(folder: Path) -> Made:
    return garbage(folder / NAMES[0]).parent


@case(FOLDER, "an empty file")
def _(folder: Path) -> Made:
    (folder / NAMES[0]).touch()
    return folder


@case(FOLDER, "ground control points alone")
def _(folder: Path) -> Made:
    corners = [(0, 0), (0, 17), (13, 0), (13, 17)]
    points = [GroundControlPoint(row, col, 15 + col / 1e4, 46 - row / 1e4) for row, col in corners]
    with rasterio.open(
        folder / NAMES[0], "w", "GTiff", 17, 13, 3, dtype="uint16", gcps=points, crs="EPSG:4326"
    ) as out:  # fmt: skip
        out.write(IMAGE)
    return folder


@case(FOLDER, "a model of the sensor alone (RPC)")
def _(folder: Path) -> Made:
    with rasterio.open(folder / NAMES[0], "w", "GTiff", 17, 13, 3, dtype="uint16") as out:
        out.write(IMAGE)
        out.rpcs = RPC(1, 1, 46, 1, [1.0] + [0.0] * 19, [0.0, 0, 1] + [0.0] * 17, 6, 6, 15, 1, [1.0] + [0.0] * 19,
                       [0.0, 1] + [0.0] * 18, 8, 8)  # fmt: skip
    return folder


@case(FOLDER, "a date twice")
def _(folder: Path) -> Made:
    write_tif(folder / "20210403_a.tif", IMAGE)
    return write_tif(folder / "20210403_b.tif", IMAGE).parent


@case(FOLDER, "a date twice, with different offsets")
def _(folder: Path) -> Made:
    write_tif(folder / "20210403_a.tif", IMAGE, scale=1e-4)
    return write_tif(folder / "20210403_b.tif", IMAGE, scale=1e-4, offset=-0.1).parent


@case(FOLDER, "dates that the names do not sort")
def _(folder: Path) -> Made:
    write_tif(folder / "a_20210501.tif", IMAGE)
    return write_tif(folder / "b_20210403.tif", IMAGE).parent


@case(FOLDER, "a link to itself in place of an image")
def _(folder: Path) -> Made:
    (folder / NAMES[0]).symlink_to(folder / NAMES[0])
    return folder


@case(FOLDER, "a folder that holds a link to itself")
def _(folder: Path) -> Made:
    (folder / "images").symlink_to(folder, target_is_directory=True)
    return one(folder)


@case(FOLDER, "a link to itself in place of the folder")
def _(folder: Path) -> Made:
    (folder / "season").symlink_to(folder / "season")
    return folder / "season"


# --- one GeoTIFF -----------------------------------------------------------------------------------------------------

MULTI = "multiband_geotiff"


def season(folder: Path, told: Any = None, **profile: Any) -> Path:
    path = write_tif(folder / "season.tif", stored().reshape(-1, *SHAPE), profile.pop("names", None), **profile)
    if told is not None:
        path.with_suffix(".json").write_text(told if isinstance(told, str) else json.dumps(told))
    return path


def virtual(folder: Path, *sources: tuple[Path, str], nodata: tuple[float, float] = (0, 0)) -> Path:
    """Write a VRT of two layers, each from a file of its own."""
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{i}"><NoDataValue>{value}</NoDataValue><SimpleSource>'
        f"<SourceFilename>{source}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for i, ((source, kind), value) in enumerate(zip(sources, nodata, strict=True), 1)
    )
    place = ", ".join(map(str, TRANSFORM.to_gdal()))
    (folder / "season.vrt").write_text(
        f'<VRTDataset rasterXSize="17" rasterYSize="13"><SRS>EPSG:32633</SRS><GeoTransform>{place}</GeoTransform>'
        f"{bands}</VRTDataset>"
    )
    (folder / "season.json").write_text(json.dumps({"dates": DATES[:2], "bands": ["B04"]}))
    return folder / "season.vrt"


WHOLE = {"dates": DATES, "bands": BANDS}
case(MULTI, "nothing that says which layer is which")(season)
case(MULTI, "a list beside it")(lambda folder: season(folder, WHOLE))
case(MULTI, "lists that make another number of layers")(lambda folder: season(folder, {**WHOLE, "dates": DATES[:3]}))
case(MULTI, "a list that is no JSON")(lambda folder: season(folder, "dates: 2021-04-03"))
case(MULTI, "a date in the list that is none")(lambda folder: season(folder, {**WHOLE, "dates": ["spring"] * 4}))
case(MULTI, "dates in the list out of order")(lambda folder: season(folder, {**WHOLE, "dates": DATES[::-1]}))
case(MULTI, "a date in the list twice")(lambda folder: season(folder, {**WHOLE, "dates": (*DATES[:3], DATES[0])}))
case(MULTI, "layers described by date and band")(
    lambda folder: season(folder, names=tuple(f"{date}_{band}" for date in DATES for band in BANDS))
)
case(MULTI, "layers of which some dates lack a band")(
    lambda folder: season(folder, names=(*[f"{d}_{b}" for d in DATES for b in BANDS][:-1], f"{DATES[3]}_B08"))
)
case(MULTI, "layers of different types (VRT)")(
    lambda folder: virtual(
        folder, (write_tif(folder / "a.tif", IMAGE), "UInt16"), (write_tif(folder / "b.tif", IMAGE), "Float32")
    )
)
case(MULTI, "layers with different nodata tags (VRT)")(
    lambda folder: virtual(folder, *[(write_tif(folder / "a.tif", IMAGE), "UInt16")] * 2, nodata=(0, 65535))
)
case(MULTI, "a VRT of a file that is gone")(lambda folder: virtual(folder, *[(folder / "gone.tif", "UInt16")] * 2))
case(MULTI, "a VRT of itself")(lambda folder: virtual(folder, *[(folder / "season.vrt", "UInt16")] * 2))
case(MULTI, "a rotated grid")(lambda folder: season(folder, WHOLE, transform=TRANSFORM @ Affine.rotation(3)))


@case(MULTI, "a truncated file")
def _(folder: Path) -> Made:
    return halved(season(folder, WHOLE, tiled=True, blockxsize=16, blockysize=16))


# --- NetCDF and Zarr -------------------------------------------------------------------------------------------------

CF = "cf_cube"


def dataset(values: NDArray[Any] | None = None, **attrs: Any) -> xr.Dataset:
    values = stored() if values is None else values
    y, x = (TRANSFORM.f + TRANSFORM.e * (np.arange(13) + 0.5), TRANSFORM.c + TRANSFORM.a * (np.arange(17) + 0.5))
    data = xr.Dataset(
        {"reflectance": (("time", "band", "y", "x"), values, {"grid_mapping": "spatial_ref", **attrs})},
        {"time": np.array(DATES, "datetime64[ns]"), "band": list(BANDS), "y": y, "x": x},
    )
    return data.assign_coords(spatial_ref=((), 0, {"crs_wkt": CRS.from_epsg(32633).to_wkt()}))


def nc(folder: Path, data: xr.Dataset | None = None) -> Path:
    (dataset() if data is None else data).to_netcdf(folder / "cube.nc")
    return folder / "cube.nc"


def store(folder: Path, data: xr.Dataset | None = None) -> Path:
    (dataset() if data is None else data).to_zarr(folder / "cube.zarr", zarr_format=3, consolidated=False)
    return folder / "cube.zarr"


def hidden(dtype: Any, *values: float) -> xr.Dataset:
    images = stored().astype(dtype)
    images[0] = with_hidden(dtype, *values)
    return dataset(images)


case(CF, "a truncated NetCDF file")(lambda folder: halved(nc(folder)))
case(CF, "a file that is no NetCDF")(lambda folder: garbage(folder / "cube.nc"))
case(CF, "NaN without a fill value")(lambda folder: nc(folder, hidden(np.float32, *[np.nan] * 3) * np.float32(1e-4)))
case(CF, "-9999, -10000 or the lowest number without a fill value")(
    lambda folder: nc(folder, hidden(np.int16, -9999, -10000, -32768))
)
case(CF, "65535 without a fill value")(lambda folder: nc(folder, hidden(np.uint16, 65535)))
case(CF, "complex numbers (Zarr)")(lambda folder: store(folder, dataset(stored().astype(np.complex64))))
case(CF, "rows from south to north")(lambda folder: nc(folder, dataset().isel(y=slice(None, None, -1))))
case(CF, "no reference system")(lambda folder: nc(folder, dataset().drop_vars("spatial_ref")))
case(CF, "no coordinates")(lambda folder: nc(folder, dataset().drop_vars(["y", "x"])))
case(CF, "coordinates that are not evenly spaced")(lambda folder: nc(folder, dataset().isel(x=[0, 1, 2, 5, 6])))
case(CF, "images across the 180th meridian in degrees")(
    lambda folder: nc(folder, dataset().assign_coords(x=(np.arange(17) * 1e-4 + 359.9992) % 360 - 180))
)
case(CF, "coordinates of each pixel (a swath)")(
    lambda folder: nc(folder, dataset().rename(y="row", x="col").drop_vars(["row", "col"]))
)
case(CF, "dates that are none")(lambda folder: nc(folder, dataset().assign_coords(time=[1, 2, 3, 4])))
case(CF, "a date twice")(
    lambda folder: nc(folder, dataset().assign_coords(time=np.array(DATES)[[0, 1, 1, 3]].astype("M8[ns]")))
)
case(CF, "dates out of order")(lambda folder: nc(folder, dataset().isel(time=[2, 0, 3, 1])))
case(CF, "no axis of time")(lambda folder: nc(folder, dataset().isel(time=0, drop=True)))
case(CF, "bands without names")(lambda folder: nc(folder, dataset().drop_vars("band")))
case(CF, "several cubes")(lambda folder: nc(folder, dataset().assign(other=dataset().reflectance)))
case(CF, "several cubes, and one named with --variable")(
    lambda folder: (nc(folder, dataset().assign(other=dataset().reflectance)), ReadOptions(variable="other"))
)
case(CF, "names beyond ASCII")(lambda folder: nc(folder, dataset().assign_coords(band=["Grün", "赤", "nir"])))
case(CF, "an empty Zarr group")(lambda folder: (zarr.create_group(folder / "a.zarr"), folder / "a.zarr")[1])
case(CF, "a folder with a zarr.json that is none")(lambda folder: garbage(folder / "a.zarr" / "zarr.json").parent)


@case(CF, "bands of different types")
def _(folder: Path) -> Made:
    cube = dataset().reflectance
    flat = {band: cube.sel(band=band, drop=True) for band in BANDS}
    return nc(folder, xr.Dataset({**flat, "B04": flat["B04"].astype(np.float32)}))


@case(CF, "a chunk that is damaged (Zarr)")
def _(folder: Path) -> Made:
    path = store(folder)
    for chunk in (path / "reflectance" / "c").rglob("*"):
        if chunk.is_file():
            garbage(chunk)
    return path


@case(CF, "a declared size of 50 TB (Zarr)")
def _(folder: Path) -> Made:
    path = store(folder, dataset().drop_vars(["y", "x", "reflectance"]).assign_coords(
        spatial_ref=((), 0, {"crs_wkt": "EPSG:32633", "GeoTransform": " ".join(map(str, TRANSFORM.to_gdal()))})
    ))  # fmt: skip
    zarr.create_array(
        path, name="reflectance", shape=(4, 3, 1_500_000, 1_500_000), chunks=(4, 3, 256, 256), dtype="uint16",
        fill_value=65535, dimension_names=["time", "band", "y", "x"],
    )  # fmt: skip
    return path


@case(CF, "a link to itself in place of the file")
def _(folder: Path) -> Made:
    (folder / "cube.nc").symlink_to(folder / "cube.nc")
    return folder / "cube.nc"


# --- EOPatch ---------------------------------------------------------------------------------------------------------

PATCH = "eopatch"
CLOUD = np.zeros((4, *SHAPE, 1), np.uint8)


def patch(change: Callable[[Path], Any]) -> Callable[[Path], Made]:
    """Make a case of a patch, and of what is changed in it."""

    def make(folder: Path) -> Made:
        change(write_patch(folder))
        return folder

    return make


def gone(name: str) -> Callable[[Path], Any]:
    return lambda path: next(path.glob(name)).unlink()


def text(name: str, content: Any) -> Callable[[Path], Any]:
    written = content if isinstance(content, str) else json.dumps(content)
    return lambda path: (path / name).write_text(written)


def images(values: NDArray[Any]) -> Callable[[Path], Any]:
    return lambda path: np.save(path / "data" / "BANDS.npy", values, allow_pickle=True)


TILTED = {**patch_box(), "coordinates": [[[4e5, 5e6], [4e5, 6e6], [5e5, 6.1e6], [5e5, 5e6], [4e5, 5e6]]]}
case(PATCH, "an array, a box and times")(patch(lambda path: None))
case(PATCH, "no array in data")(patch(gone("data/*")))
case(PATCH, "several arrays in data")(patch(lambda path: save_array(path / "data" / "NDVI", CLOUD)))
case(PATCH, "no bounding box")(patch(gone("bbox*")))
case(PATCH, "a pickled bounding box (eo-learn before 1.0)")(
    patch(lambda path: (path / "bbox.geojson").rename(path / "bbox.pkl"))
)
case(PATCH, "a bounding box that is tilted")(patch(text("bbox.geojson", TILTED)))
case(PATCH, "a bounding box that is none")(patch(text("bbox.geojson", {"type": "Point"})))
case(PATCH, "a truncated bounding box")(patch(text("bbox.geojson", '{"type"')))
case(PATCH, "a bounding box without a reference system")(patch(text("bbox.geojson", {**patch_box(), "crs": {}})))
case(PATCH, "no times")(patch(gone("timestamps*")))
case(PATCH, "too few times")(patch(text("timestamps.json", ["2021-01-01"])))
case(PATCH, "times that are no list")(patch(text("timestamps.json", {"a": 1})))
case(PATCH, "a time twice")(patch(text("timestamps.json", [*DATES[:3], DATES[0]])))
case(PATCH, "times out of order")(patch(text("timestamps.json", DATES[::-1])))
case(PATCH, "a truncated array")(patch(lambda path: halved(path / "data" / "BANDS.npy")))
case(PATCH, "a truncated packed array")(
    lambda folder: (write_patch(folder, ".npy.gz"), halved(folder / "data" / "BANDS.npy.gz"))[0]
)
case(PATCH, "an array that is none")(patch(lambda path: garbage(path / "data" / "BANDS.npy")))
case(PATCH, "a pickle in place of an array")(patch(images(np.array([1, None], object))))
case(PATCH, "texts in an array")(patch(images(np.array(["a"]))))
case(PATCH, "complex numbers")(patch(images(stored().transpose(0, 2, 3, 1).astype(np.complex64))))
case(PATCH, "an array with other axes")(patch(images(stored()[0])))
case(PATCH, "a mask of other dates")(patch(lambda path: save_array(path / "mask" / "CLM", CLOUD[1:])))
case(PATCH, "a mask whose name says what it means")(patch(lambda path: save_array(path / "mask" / "CLM", CLOUD)))
case(PATCH, "a mask of unknown meaning")(patch(lambda path: save_array(path / "mask" / "SCL", CLOUD)))


@case(PATCH, "an array that declares 50 TB")
def _(folder: Path) -> Made:
    file = write_patch(folder) / "data" / "BANDS.npy"
    with file.open("wb") as out:
        header = {"descr": "<u2", "fortran_order": False, "shape": (4, 1_500_000, 1_500_000, 3)}
        np.lib.format.write_array_header_1_0(out, header)
    return folder


# --- what is no image by itself --------------------------------------------------------------------------------------

UNKNOWN = "unknown"
case(UNKNOWN, "nothing")(lambda folder: folder / "season")
case(UNKNOWN, "a sample of a dataset as a pickle")(lambda folder: garbage(folder / "sample.pickle"))
case(UNKNOWN, "a NumPy array")(lambda folder: save_array(folder / "images", IMAGE))
case(UNKNOWN, "a file of another kind")(lambda folder: garbage(folder / "season.docx"))


# --- label rasters and legends ---------------------------------------------------------------------------------------

LABELS = "labels"
CROPS = (np.arange(13 * 17).reshape(1, *SHAPE) % 4).astype(np.uint8)


def labels(folder: Path, values: NDArray[Any] = CROPS, **profile: Any) -> Path:
    return write_tif(folder / "labels.tif", values, None, **profile)


case(LABELS, "whole numbers on the pixels of the images, 0 included")(labels)
case(LABELS, "a nodata tag")(lambda folder: labels(folder, nodata=0))
case(LABELS, "a truncated file")(lambda folder: halved(labels(folder, tiled=True, blockxsize=16, blockysize=16)))
case(LABELS, "a file that is no raster")(lambda folder: garbage(folder / "labels.tif"))
case(LABELS, "floating numbers")(lambda folder: labels(folder, CROPS.astype(np.float32)))
case(LABELS, "complex numbers")(lambda folder: labels(folder, CROPS.astype(np.complex64)))
case(LABELS, "-9999 without a tag")(lambda folder: labels(folder, CROPS.astype(np.int16) - 9999 * (CROPS == 1)))
case(LABELS, "codes above 65535")(lambda folder: labels(folder, CROPS.astype(np.int32) + 70000))
case(LABELS, "several bands")(lambda folder: labels(folder, np.repeat(CROPS, 2, axis=0)))
case(LABELS, "nodata everywhere")(lambda folder: labels(folder, CROPS * 0, nodata=0))
case(LABELS, "no reference system")(lambda folder: labels(folder, crs=None))
case(LABELS, "another reference system")(lambda folder: labels(folder, crs="EPSG:32632"))
case(LABELS, "another place")(lambda folder: labels(folder, transform=TRANSFORM @ Affine.translation(3, 0)))
case(LABELS, "a rotated grid")(lambda folder: labels(folder, transform=TRANSFORM @ Affine.rotation(3)))
case(LABELS, "rows from south to north")(
    lambda folder: labels(folder, transform=TRANSFORM @ Affine.translation(0, 13) @ Affine.scale(1, -1))
)

LEGENDS = "legends"


def legend(content: str, encoding: str = "utf-8") -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        (folder / "legend.csv").write_text(content, encoding=encoding)
        return folder / "legend.csv"

    return make


case(LEGENDS, "codes alone")(legend("code\nwheat\nmaize\n"))
case(LEGENDS, "semicolons, and a mark of the byte order")(legend("code;name\n1;Blé\n2;Maïs\n", "utf-8-sig"))
case(LEGENDS, "no file")(lambda folder: folder / "legend.csv")
case(LEGENDS, "an empty file")(legend(""))
case(LEGENDS, "no column code")(legend("crop,name\n1,wheat\n"))
case(LEGENDS, "a line without a code")(legend("code,name\n1,wheat\n,maize\n"))
case(LEGENDS, "a code twice")(legend("code\nwheat\nwheat\n"))
case(LEGENDS, "an id that is no number")(legend("id,code\none,wheat\n"))
case(LEGENDS, "another encoding than UTF-8")(legend("code,name\n1,Blé\n", "latin-1"))
case(LEGENDS, "a colour that is none")(legend("code,colour\n1,greenish\n"))


# --- permissions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_may_not_be_read_is_said_to_be_so(what: str) -> None:
    with tempfile.TemporaryDirectory() as name:  # the folder of pytest is closed to others from the start
        folder = Path(name)
        write_season(folder / "season")
        folder.chmod(0o755)
        closed = folder / "season" if what == "folder" else folder / "season" / "S2_31UFS_20210403.tif"
        mode, user = closed.stat().st_mode, os.geteuid()
        closed.chmod(0)
        try:
            if user == 0:  # who may read everything
                os.seteuid(65534)
            with pytest.raises(CSCLError, match=f"(?i){re.escape(str(closed))}.* cannot be read .*permission denied"):
                open_cube(folder / "season")
        finally:
            os.seteuid(user)
            closed.chmod(mode)
