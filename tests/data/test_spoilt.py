"""Spoilt inputs of every format: whatever was done to a file, reading it ends soon, with values or in a sentence.

The cases are the same on every run. ``tests/benchmarks/fuzz_readers.py`` tries others for as long as is wanted; what it
found is kept in `FOUND`.
"""

from __future__ import annotations

import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import spoilt
from hypothesis import HealthCheck, Phase, given, settings
from spoilt import Change
from valid_inputs import FORMATS

PATIENCE_S = 20
ROOM_BYTES = 6 << 30
CASES = 8

pytest.importorskip("odc.stac")
pytestmark = pytest.mark.qt_no_exception_capture  # what rasterio's own handler of messages stumbles over, is told by us

FOUND: list[tuple[str, Change]] = [
    ("eopatch", Change("json", "p/timestamps.json", 0, spoilt.VALUES.index(spoilt.DEEP))),
    ("eopatch (packed)", Change("token", "p/bbox.geojson.gz", 0, 0)),
    ("cf_cube (Zarr)", Change("flip_tail", "c.zarr/band/c/0", 1050, 2)),
    ("multiband_geotiff (VRT)", Change("insert", "season.vrt", 29, 29)),
    ("cscl cube (Zarr 2)", Change("token", "c.zarr/spatial_ref/.zarray", 495099, 34)),
    ("cscl cube (Zarr 3)", Change("cut", "c.zarr/offset/c/0/0")),
    ("cscl cube (Zarr 2)", Change("flip_head", "c.zarr/scale/0")),
    ("sentinel2_safe (zip)", Change("fill", "S2_MSIL2A.zip", 35787, 48)),
    ("sentinel2_bands", Change("flip_head", "T31UFS_20220601T105031_B04_10m.jp2", 12267)),
    ("stac_items", Change("json", "items/S2B_MSIL2A_20220606T105031_N0510_R051_T31UFS_20230101T000000.json", 42, 57)),
    ("parcels (parquet)", Change("flip", "p.parquet", 27, 27)),
    ("parcels (shp)", Change("token", "p.prj", 12764, 14)),
    ("legends", Change("token", "legend.csv", 43138, 14)),
    ("mappings", Change("token", "m.csv", 0, 14)),
    ("recipe", Change("token", "recipe.toml", 43138, 14)),
    ("dataset (cscl)", Change("drop", "d/patches.zarr/season/scale/c/0/0", 122, 57)),
    ("dataset (cscl)", Change("json", "d/patches.zarr/zarr.json", 672, 33)),
    ("dataset (cscl)", Change("json", "d/patches.zarr/season/zarr.json", 55, 55)),
    ("dataset (cscl)", Change("flip", "d/patches.zarr/season/zarr.json", 49, 48)),
    ("dataset (pastis)", Change("drop", "ANNOTATIONS/ParcelIDs_10000.npy", 56, 8)),
    ("prediction", Change("json", "prediction.json", 0, spoilt.VALUES.index(spoilt.DEEP))),
    ("embedding", Change("cut", "e.zarr/embedding/c/0/0/0", 0, 0)),
    ("embedding", Change("json", "e.zarr/spatial_ref/zarr.json", 1865, 37)),
    ("embedding", Change("delete", "e.zarr/spatial_ref/zarr.json", 47, 2)),
    ("model card", Change("json", "card.json", 0, 0)),
    ("model card", Change("json", "card.json", 3, 0)),
]


@pytest.fixture(autouse=True)
def limits() -> Iterator[None]:
    """Refuse gigabytes, and end what hangs, as far as it is Python."""

    def late(*_: Any) -> None:
        pytest.fail(f"reading takes more than {PATIENCE_S} s")

    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + ROOM_BYTES, before[1]))
    alarm = signal.signal(signal.SIGALRM, late)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, alarm)
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder with a valid input of a format, written once."""
    made: dict[str, Path] = {}

    def whole(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("whole")
            FORMATS[name].write(made[name])
        return made[name]

    return whole


def fault(name: str, whole: Path, into: Path, changes: list[Change]) -> str:
    folder = into / "case"
    shutil.copytree(whole, folder)
    for change in changes:
        change.to(folder)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    said = spoilt.fault(FORMATS[name], folder)
    signal.setitimer(signal.ITIMER_REAL, 0)
    shutil.rmtree(folder)
    return said


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMATS)
def test_what_is_whole_is_read_and_what_is_spoilt_at_random_is_told(name: str, written: Any, tmp_path: Path) -> None:
    whole = written(name)
    FORMATS[name].read(whole)

    @settings(
        derandomize=True, max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )  # fmt: skip
    @given(spoilt.changes(whole))
    def attempt(changes: list[Change]) -> None:
        assert not fault(name, whole, tmp_path, changes)

    attempt()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "change"), FOUND, ids=lambda value: str(value) if isinstance(value, str) else "")
def test_what_was_found_stays_mended(name: str, change: Change, written: Any, tmp_path: Path) -> None:
    assert not fault(name, written(name), tmp_path, [change])
