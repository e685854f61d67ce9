from __future__ import annotations

import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

from cscl.simulate import Season

MADE_WITH_GEOS = (3, 14)


def test_sample_is_small_and_says_what_it_is(root: Path) -> None:
    files = [p for p in (root / "sample_data").rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 6e6
    for text in (root / "sample_data/README.md", root / "sample_data/season/README.txt"):
        assert "simulated" in text.read_text(encoding="utf-8").lower()


def test_the_command_in_its_readme_names_its_options(root: Path, season: Season) -> None:
    command = re.search(r"^cscl simulate .*$", (root / "sample_data/README.md").read_text(encoding="utf-8"), re.M)
    given = dict(re.findall(r"--(\S+) (\S+)", command[0])) if command else {}
    options = vars(season.options)
    assert given and all(str(options[name.replace("-", "_")]) == value for name, value in given.items())
    told = (root / "sample_data/season/README.txt").read_text(encoding="utf-8")
    assert all(f"  {name} = {value}\n" in told for name, value in options.items())


@pytest.mark.skipif(shapely.geos_version[:2] != MADE_WITH_GEOS, reason="another GEOS may cut parcels a hair otherwise")
def test_sample_is_what_the_code_makes(root: Path, season: Season) -> None:
    folder = root / "sample_data/season"
    images = sorted((folder / "images").iterdir())
    assert len(images) == len(season.dates)
    for path, want in zip(images, season.reflectance, strict=True):
        with rasterio.open(path) as image:
            off = np.abs(image.read().astype(int) - want)
        # Another processor may add in another order: now and then the last step of the quantisation.
        assert off.max() <= 10 and np.mean(off > 0) < 1e-3
    parcels = gpd.read_file(folder / "parcels.gpkg")
    assert list(parcels.crop) == list(season.parcels.crop)
    assert shapely.equals_exact(parcels.geometry.values, season.parcels.geometry.values, 1e-3).all()
