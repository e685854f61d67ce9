"""One GeoTIFF of all dates and bands: what is accepted, and what is refused with which sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from affine import Affine
from fake_files import (
    BANDS,
    DATES,
    SHAPE,
    TRANSFORM,
    stored,
    write_tif,
)  # fmt: skip
from input_table import Line, Made, case, halved, require_complete, tried, try_line

IMAGE = stored(1)[0]


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


@tried("multiband_geotiff")
def test_what_is_said_of_an_input(line: Line, tmp_path: Path) -> None:
    try_line(line, tmp_path)


def test_every_line_has_its_case_and_every_case_its_line() -> None:
    require_complete("multiband_geotiff")
