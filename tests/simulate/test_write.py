from __future__ import annotations

import filecmp
import itertools
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

from cscl.data.readers import open_cube
from cscl.errors import OutputError
from cscl.events import run
from cscl.legend import Legend
from cscl.simulate import Season, SeasonOptions, simulate, write_season

SMALL = SeasonOptions(size_px=40, dates=3, parcel_size="small")


@pytest.fixture(scope="module")
def small() -> Season:
    return run(simulate(SMALL))


def test_what_is_written_reads_back(small: Season, tmp_path: Path) -> None:
    folder = run(write_season(small, tmp_path / "season"))
    assert sorted(p.name for p in folder.iterdir()) == [
        *("README.txt", "images", "labels.tif", "labels_2m5.tif", "legend.csv", "masks", "parcels.gpkg")
    ]
    names = [f"S2_{str(d).replace('-', '')}.tif" for d in small.dates]
    assert sorted(p.name for p in (folder / "images").iterdir()) == names
    for i, name in enumerate(names):
        with rasterio.open(folder / "images" / name) as image, rasterio.open(folder / "masks" / name) as mask:
            np.testing.assert_array_equal(image.read(), small.reflectance[i])
            np.testing.assert_array_equal(mask.read(1), small.cloudy[i])
            assert image.descriptions == small.bands and set(image.scales) == {1e-4} and image.nodata == 0
            assert image.crs.to_epsg() == 32631 and image.transform == small.grid.transform
            assert "SIMULATED" in image.tags()["TIFFTAG_IMAGEDESCRIPTION"] and mask.nodata is None
    assert Legend.from_csv(folder / "legend.csv") == small.legend
    with rasterio.open(folder / "labels_2m5.tif") as labels:
        np.testing.assert_array_equal(labels.read(1), small.labels_2m5)
        assert labels.res == (2.5, 2.5) and labels.bounds == tuple(small.grid.boundingbox)
    parcels = gpd.read_file(folder / "parcels.gpkg", layer="parcels")
    assert list(parcels.columns) == ["parcel_id", "crop", "crop_name", "geometry"]
    assert shapely.equals_exact(parcels.geometry.values, small.parcels.geometry.values, 1e-6).all()


def test_the_reader_takes_it_as_a_cube(small: Season, tmp_path: Path) -> None:
    cube = open_cube(run(write_season(small, tmp_path / "season")))
    assert cube.bands == small.bands and cube.shape[-2:] == small.labels.shape
    np.testing.assert_array_equal(np.array(cube.dates, "datetime64[D]"), small.dates)
    assert any("simulated" in note for note in cube.notes)


def test_the_same_season_is_the_same_files(small: Season, tmp_path: Path) -> None:
    a, b = (run(write_season(small, tmp_path / name)) for name in "ab")
    files = [str(p.relative_to(a)) for p in a.rglob("*") if p.is_file()]
    assert filecmp.cmpfiles(a, b, files, shallow=False)[0] == files


def test_wrong_declarations_keep_the_truth_beside_them(tmp_path: Path) -> None:
    wrong = run(simulate(replace(SMALL, misdeclared_share=0.2)))
    parcels = gpd.read_file(run(write_season(wrong, tmp_path / "season")) / "parcels.gpkg")
    assert (parcels.crop != parcels.true_crop).mean() == pytest.approx(0.2, abs=0.05)


def test_an_unfinished_or_refused_season_leaves_nothing(small: Season, tmp_path: Path) -> None:
    job = write_season(small, tmp_path / "season")
    assert len(list(itertools.islice(job, 2))) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["season.part"]
    job.close()
    assert not list(tmp_path.iterdir())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        run(write_season(small, tmp_path / "full"))
    assert [p.name for p in tmp_path.rglob("*")] == ["full", "note.txt"]
