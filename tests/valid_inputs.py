"""A tiny valid input of every format that is read: what writes it into a folder, and what reads all that it holds."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fake_datasets
import fake_sentinel2
import fake_stac
import geopandas as gpd
import numpy as np
import xarray as xr
from fake_cubes import made_up
from fake_files import BANDS, DATES, SHAPE, TRANSFORM, stored, write_patch, write_season, write_tif
from pyproj import CRS
from shapely.geometry import LineString, box

from cscl.card import ModelCard
from cscl.data.datasets import Folds, open_dataset
from cscl.data.describe import describe_model, model_facts
from cscl.data.readers import open_cube
from cscl.events import run
from cscl.export.cube import CubeOptions, write_cube
from cscl.grid import Window, make_grid
from cscl.legend import Legend
from cscl.mapping import CodeMapping
from cscl.parcels import Parcels
from cscl.products import Embedding, LabelMap, Prediction
from cscl.recipe import Recipe

SAMPLES = Path(__file__).parents[1] / "sample_data"
GRID = make_grid(SHAPE, TRANSFORM, "EPSG:32633", "the images")
LEGEND = Legend.from_codes(["1", "2", "3"])


@dataclass(frozen=True)
class Format:
    """A format: `write` a tiny valid input into a folder, and `read` it, all that stands there."""

    write: Callable[[Path], Any]
    read: Callable[[Path], Any]


def _look(cube: Any) -> None:
    """Read what `cscl info` and a first look at a cube do."""
    rows, cols = (min(2, n) for n in cube.shape)
    for window in (Window(0, 0, rows, cols), Window(cube.shape[0] // 2, cube.shape[1] // 2, 1, 1)):
        values, valid = cube.read(window)
        assert np.isfinite(values).all() and values.shape[0] == len(valid) == len(cube.dates)


def _cube(name: str) -> Callable[[Path], None]:
    return lambda folder: _look(open_cube(folder / name))


def _dataset(name: str | None = None) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        dataset = open_dataset(folder, name)
        scene = dataset.entries[0].open()
        _look(scene.cube)
        scene.labels.index()
        dataset.moments(Folds.parse(dataset).train)

    return read


def _prediction(folder: Path) -> None:
    prediction = Prediction.open(folder)
    prediction.read(Window(0, 0, 2, 2))
    if prediction.probabilities is not None:
        prediction.probabilities[:, :2, :2].load()


def _card(folder: Path) -> None:
    card = ModelCard.open(folder)
    assert list(describe_model(card)) and model_facts(card) and card.knows_affinity in (True, False)


def _write_prediction(folder: Path) -> None:
    (folder / "prediction.json").write_text(json.dumps({"legend": LEGEND.to_dict(), "facts": {"cube": "a"}}))
    ids = (1 + np.arange(13 * 17) % 3).astype(np.uint8).reshape(1, *SHAPE)
    for name, bands in (("classes", 1), ("confidence", 1), ("probabilities", 3)):
        write_tif(folder / f"{name}.tif", ids.repeat(bands, 0), None)


def _write_embedding(folder: Path) -> None:
    values = np.ones((4, *SHAPE), np.float16)
    place = {"crs_wkt": CRS.from_epsg(32633).to_wkt(), "GeoTransform": " ".join(map(str, TRANSFORM.to_gdal()))}
    told = {"grid_mapping": "spatial_ref", "facts": json.dumps({"model": "m"})}
    data = xr.Dataset({"embedding": (("feature", "y", "x"), values, told), "spatial_ref": ((), 0, place)})
    data.to_zarr(folder / "e.zarr", zarr_format=3, consolidated=False)


def _write_parcels(name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        x, y = TRANSFORM.c, TRANSFORM.f
        shapes: list[Any] = [
            box(x, y - 40, x + 40, y),
            box(x + 50, y - 40, x + 90, y),
            LineString([(x, y), (x + 9, y)]),
        ]
        shapes = shapes[:2] if name.endswith("shp") else shapes
        codes = ["wheat", "Raps", "?"][: len(shapes)]
        table = gpd.GeoDataFrame({"crop": codes, "pid": range(1, len(shapes) + 1)}, geometry=shapes, crs="EPSG:32633")
        table.to_parquet(folder / name) if name.endswith("parquet") else table.to_file(folder / name)

    return write


def _read_parcels(name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        parcels = Parcels.open(folder / name, "crop", id_column="pid")
        parcels.legend() if parcels.codes else None
        assert len(parcels)

    return read


def _cf() -> xr.Dataset:
    y, x = (TRANSFORM.f + TRANSFORM.e * (np.arange(13) + 0.5), TRANSFORM.c + TRANSFORM.a * (np.arange(17) + 0.5))
    data = xr.Dataset(
        {"reflectance": (("time", "band", "y", "x"), stored(), {"grid_mapping": "spatial_ref"})},
        {"time": np.array(DATES, "datetime64[ns]"), "band": list(BANDS), "y": y, "x": x},
    )
    return data.assign_coords(spatial_ref=((), 0, {"crs_wkt": CRS.from_epsg(32633).to_wkt()}))


def _write_season(folder: Path) -> None:
    write_season(folder / "s")
    for date in DATES[:2]:
        write_tif(
            folder / "s" / "masks" / f"S2_31UFS_{date.replace('-', '')}.tif", np.ones((1, *SHAPE), np.uint8), None
        )
    told = {"properties": {"datetime": "2021-07-20T10:00:00Z"}, "assets": {"a": {"eo:bands": [{"name": "B02"}] * 3}}}
    (folder / "s" / f"S2_31UFS_{DATES[3].replace('-', '')}.json").write_text(json.dumps(told))


def _write_multiband(folder: Path) -> None:
    write_tif(folder / "season.tif", stored().reshape(-1, *SHAPE), None)
    (folder / "season.json").write_text(json.dumps({"dates": DATES, "bands": BANDS}))


def _write_vrt(folder: Path) -> None:
    write_tif(folder / "a.tif", stored()[0])
    place = ", ".join(map(str, TRANSFORM.to_gdal()))
    bands = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{i}"><Description>2021-04-0{i}_B04</Description><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">a.tif</SourceFilename><SourceBand>{i}</SourceBand></SimpleSource>'
        "</VRTRasterBand>"
        for i in (1, 2)
    )
    (folder / "season.vrt").write_text(
        f'<VRTDataset rasterXSize="17" rasterYSize="13"><SRS>EPSG:32633</SRS><GeoTransform>{place}</GeoTransform>'
        f"{bands}</VRTDataset>"
    )


def _write_own_cube(zarr_format: int) -> Callable[[Path], None]:
    options = CubeOptions(chunk_px=16, zarr_format=zarr_format)
    return lambda folder: run(write_cube(made_up((20, 24), 4, by="band"), folder / "c.zarr", options))


def _write_products(suffix: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for date in ("20210601T105031", "20220606T105031"):
            fake_sentinel2.write_safe(
                folder, fake_sentinel2.name_of(date, "0510" if date > "2022" else "0300"), suffix=suffix
            )

    return write


def _write_zip(folder: Path) -> None:
    fake_sentinel2.zipped(safe := fake_sentinel2.write_safe(folder, suffix=".tif"))
    shutil.rmtree(safe)
    packed = next(folder.glob("*.zip"))
    with zipfile.ZipFile(packed) as plain, zipfile.ZipFile(folder / "S2_MSIL2A.zip", "w", zipfile.ZIP_DEFLATED) as out:
        for name in plain.namelist():
            out.writestr(name, plain.read(name))
    packed.unlink()


def _write_bands(folder: Path) -> None:
    for date, size in (("20210601T105031", 10), ("20220601T105031", 10)):
        for band in ("B02", "B04"):
            path = folder / f"T31UFS_{date}_{band}_{size}m.jp2"
            fake_sentinel2.write_band(path, fake_sentinel2.stored(fake_sentinel2.name_of(), band), size)
    (folder / "MTD_MSIL2A.xml").write_text(fake_sentinel2.product_xml(fake_sentinel2.name_of(), []))


def _write_items(folder: Path) -> None:
    items = []
    for catalogue, day, baseline in (("planetary-computer", "2021-06-01", "03.00"), ("cdse", "2022-06-06", "05.10")):
        paths = fake_stac.write_images(folder / catalogue, day, baseline > "04")
        hrefs = {band: f"./{path.relative_to(folder)}" for band, path in paths.items()}
        items.append(fake_stac.item(catalogue, day, hrefs, baseline))
    (folder / "items").mkdir()
    for item in items:
        for asset in item["assets"].values():
            asset["href"] = asset["href"].replace("./", "../")
        (folder / "items" / f"{item['id']}.json").write_text(json.dumps(item))
    links = [{"rel": "item", "href": f"./items/{item['id']}.json"} for item in items]
    (folder / "catalog.json").write_text(json.dumps({"type": "Catalog", "stac_version": "1.0.0", "links": links}))


def _write_labels(folder: Path) -> None:
    write_tif(folder / "labels.tif", (np.arange(13 * 17).reshape(1, *SHAPE) % 4).astype(np.uint8), None)


def _write_text(name: str, text: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_text(text, encoding="utf-8")


def _copied(name: str, *others: str) -> Callable[[Path], Any]:
    return lambda folder: [shutil.copy(SAMPLES / other, folder / Path(other).name) for other in (name, *others)]


MAPPING = "original_code;original_name;EC_hcat_n;EC_hcat_c\nWWH;Weizen;wheat;3301010101\nBAR;Gerste;barley;3301010401\n"
FORMATS: dict[str, Format] = {
    "geotiff_folder": Format(_write_season, _cube("s")),
    "multiband_geotiff": Format(_write_multiband, _cube("season.tif")),
    "multiband_geotiff (VRT)": Format(_write_vrt, _cube("season.vrt")),
    "cf_cube (NetCDF)": Format(lambda folder: _cf().to_netcdf(folder / "c.nc"), _cube("c.nc")),
    "cf_cube (NetCDF 3)": Format(
        lambda folder: _cf().astype(np.int16).to_netcdf(folder / "c.nc", format="NETCDF3_CLASSIC"), _cube("c.nc")
    ),
    "cf_cube (Zarr)": Format(
        lambda folder: _cf().to_zarr(folder / "c.zarr", zarr_format=3, consolidated=False), _cube("c.zarr")
    ),
    "cscl cube (Zarr 3)": Format(_write_own_cube(3), _cube("c.zarr")),
    "cscl cube (Zarr 2)": Format(_write_own_cube(2), _cube("c.zarr")),
    "eopatch": Format(lambda folder: write_patch(folder / "p"), _cube("p")),
    "eopatch (packed)": Format(lambda folder: write_patch(folder / "p", ".npy.gz", ".gz"), _cube("p")),
    "eopatch (Zarr)": Format(lambda folder: write_patch(folder / "p", ".zarr"), _cube("p")),
    "sentinel2_safe": Format(_write_products(".tif"), _cube("")),
    "sentinel2_safe (JPEG 2000)": Format(_write_products(".jp2"), _cube("")),
    "sentinel2_safe (zip)": Format(_write_zip, _cube("S2_MSIL2A.zip")),
    "sentinel2_bands": Format(_write_bands, _cube("")),
    "stac_items": Format(_write_items, _cube("catalog.json")),
    "labels": Format(_write_labels, lambda folder: LabelMap.open(folder / "labels.tif", GRID)),
    **{
        f"parcels ({name.partition('.')[2]})": Format(_write_parcels(name), _read_parcels(name))
        for name in ("p.gpkg", "p.geojson", "p.shp", "p.fgb", "p.parquet")
    },
    "legends": Format(
        _write_text("legend.csv", "id,code,name,colour,group\n1,a,Weizen,#cc6677,arable\n2,b,Raps,#332288,arable\n"),
        lambda folder: Legend.from_csv(folder / "legend.csv"),
    ),
    "mappings": Format(_write_text("m.csv", MAPPING), lambda folder: CodeMapping.from_csv(folder / "m.csv", 3)),
    "dataset (cscl)": Format(lambda folder: fake_datasets.own(folder / "d"), lambda f: _dataset("cscl")(f / "d")),
    "dataset (pastis)": Format(lambda f: fake_datasets.pastis(f, 5), _dataset("pastis")),
    "dataset (pastis24)": Format(lambda f: fake_datasets.pastis24(f, 5), _dataset("pastis24")),
    "dataset (mtlcc)": Format(lambda f: fake_datasets.mtlcc(f, 3), _dataset("mtlcc")),
    "dataset (t31tfm)": Format(lambda f: fake_datasets.t31tfm(f, 3), _dataset("t31tfm")),
    "prediction": Format(_write_prediction, _prediction),
    "embedding": Format(_write_embedding, lambda folder: Embedding.open(folder / "e.zarr").values[:, :2, :2].load()),
    "model card": Format(_copied("model/card.json"), _card),
    "recipe": Format(_copied("model/recipe.toml"), lambda folder: Recipe.open(folder / "recipe.toml")),
}
