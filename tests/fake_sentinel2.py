"""Tiny Sentinel-2 products: SAFE folders of levels 1C and 2A with their metadata, zips of them, and files a band."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
SIZE_M = dict(zip(BANDS, (60, 10, 10, 10, 20, 20, 20, 10, 20, 60, 60, 20, 20), strict=True))
USUAL = tuple(band for band in BANDS if SIZE_M[band] < 60)
CORNER = (600_000, 5_700_000)  # of tile 31UFS
PIXELS = 24  # of 10 m along a side


def name_of(
    date: str = "20210601T105031",
    baseline: str = "0300",
    level: str = "L2A",
    tile: str = "31UFS",
    satellite: str = "S2A",
    orbit: int = 51,
    made: str = "20210601T135031",
) -> str:
    """Name of a product."""
    return f"{satellite}_MSI{level}_{date}_N{baseline}_R{orbit:03d}_T{tile}_{made}.SAFE"


def stored(name: str, band: str, pixels: int = PIXELS) -> NDArray[np.uint16]:
    """Stored values of a band of a product, at its own pixel size; no nodata among them."""
    rng = np.random.default_rng([ord(c) for c in name + band])
    values = rng.integers(1, 4000, (pixels * 10 // SIZE_M[band],) * 2, dtype=np.uint16)
    return values + np.uint16(1000 if int(name.split("_N")[1][:4]) >= 400 else 0)


def write_band(
    path: Path,
    values: NDArray[Any],
    size_m: int,
    corner: tuple[int, int] = CORNER,
    epsg: int = 32631,
    tile_px: int = 1024,
) -> None:
    """Write one band, as JPEG 2000 without loss or as TIFF, by the ending of the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    jp2 = {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES", "BLOCKXSIZE": tile_px, "BLOCKYSIZE": tile_px}
    look: dict[str, Any] = jp2 if path.suffix == ".jp2" else {"driver": "GTiff"}
    with rasterio.open(
        path, "w", height=values.shape[0], width=values.shape[1], count=1, dtype=values.dtype,
        crs=f"EPSG:{epsg}", transform=from_origin(*corner, size_m, size_m), **look,
    ) as out:  # fmt: skip
        out.write(values, 1)


def write_safe(
    folder: Path,
    name: str = name_of(),
    *,
    values: Mapping[str, NDArray[Any]] | None = None,
    scl: NDArray[np.uint8] | None = None,
    cloud_probability: NDArray[np.uint8] | None = None,
    corner: tuple[int, int] = CORNER,
    epsg: int = 32631,
    told: str | None = None,
    suffix: str = ".jp2",
    pixels: int = PIXELS,
) -> Path:
    """Write a product.

    Parameters
    ----------
    folder : Path
        Where to.
    name : str
        Its name, which says level, baseline, tile and times.
    values : mapping, optional
        Stored values of bands, at 10, 20 or 60 m; others are those of `stored`.
    scl, cloud_probability : ndarray, optional
        At 20 m; without, all is vegetation and no cloud.
    corner, epsg
        Upper left corner of the tile, and its reference system.
    told : str, optional
        The name by which the metadata go; without, `name`.
    suffix : str
        ``.jp2`` or ``.tif``.
    pixels : int
        Pixels of 10 m along a side. Where they are many, the band files are empty.
    """
    told = told or name
    _, level, date, _, _, tile, _ = told.removesuffix(".SAFE").split("_")
    level, safe = level.removeprefix("MSI"), folder / name
    granule = f"GRANULE/{level}_{tile}_A031051_{date}"
    images = safe / granule / "IMG_DATA"
    write, files = write_band if pixels == PIXELS else _write_nothing, []
    for band in BANDS if level == "L1C" else [b for b in BANDS if b != "B10"]:
        size = SIZE_M[band]
        place = f"{tile}_{date}_{band}" if level == "L1C" else f"R{size}m/{tile}_{date}_{band}_{size}m"
        write(images / f"{place}{suffix}", (values or {}).get(band, stored(told, band)), size, corner, epsg)
        files.append(f"{granule}/IMG_DATA/{place}")
    if level == "L2A":
        half = (PIXELS // 2, PIXELS // 2)
        classes = np.full(half, 4, np.uint8) if scl is None else scl
        write(images / f"R20m/{tile}_{date}_SCL_20m{suffix}", classes, 20, corner, epsg)
        clouds = np.zeros(half, np.uint8) if cloud_probability is None else cloud_probability
        write(safe / granule / f"QI_DATA/MSK_CLDPRB_20m{suffix}", clouds, 20, corner, epsg)
    (safe / f"MTD_MSI{level}.xml").write_text(product_xml(told, files), encoding="utf-8")
    (safe / granule / "MTD_TL.xml").write_text(tile_xml(told, corner, epsg, pixels), encoding="utf-8")
    return safe


def _write_nothing(path: Path, *_: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def zipped(safe: Path, to: Path | None = None) -> Path:
    """Zip a product as the Copernicus data space delivers it."""
    path = to or safe.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(safe.rglob("*")):
            archive.write(file, f"{safe.name}/{file.relative_to(safe).as_posix()}")
    return path


def product_xml(name: str, files: list[str]) -> str:
    """``MTD_MSIL1C.xml`` or ``MTD_MSIL2A.xml``, as far as anybody reads it."""
    satellite, level, date, baseline, orbit, _, made = name.removesuffix(".SAFE").split("_")
    level = level.removeprefix("MSI")
    kind = "BOA" if level == "L2A" else "RADIO"
    outer = "BOA_ADD_OFFSET_VALUES_LIST" if level == "L2A" else "Radiometric_Offset_List"
    offsets = "".join(f'<{kind}_ADD_OFFSET band_id="{i}">-1000</{kind}_ADD_OFFSET>' for i in range(13))
    unit = '<QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>'
    if level == "L2A":
        unit = f"<QUANTIFICATION_VALUES_LIST>{unit.replace('QUANT', 'BOA_QUANT')}</QUANTIFICATION_VALUES_LIST>"
    listed = "".join(f"<IMAGE_FILE>{file}</IMAGE_FILE>" for file in files)
    bands = "".join(
        f'<Spectral_Information bandId="{i}" physicalBand="{b.replace("B0", "B")}"/>' for i, b in enumerate(BANDS)
    )
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{level[1:]}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{level[1:]}.xsd">
  <n1:General_Info>
    <Product_Info>
      <PRODUCT_START_TIME>{_iso(date)}.024Z</PRODUCT_START_TIME>
      <PRODUCT_STOP_TIME>{_iso(date)}.024Z</PRODUCT_STOP_TIME>
      <PRODUCT_URI>{name}</PRODUCT_URI>
      <PROCESSING_LEVEL>Level-{level[1:]}</PROCESSING_LEVEL>
      <PRODUCT_TYPE>S2MSI{level[1:]}</PRODUCT_TYPE>
      <PROCESSING_BASELINE>{baseline[1:3]}.{baseline[3:]}</PROCESSING_BASELINE>
      <GENERATION_TIME>{_iso(made)}.000000Z</GENERATION_TIME>
      <Datatake datatakeIdentifier="GS2A_{date}_031051_N{baseline[1:3]}.{baseline[3:]}">
        <SPACECRAFT_NAME>Sentinel-{satellite[1:]}</SPACECRAFT_NAME>
        <DATATAKE_SENSING_START>{_iso(date)}.024Z</DATATAKE_SENSING_START>
        <SENSING_ORBIT_NUMBER>{int(orbit[1:])}</SENSING_ORBIT_NUMBER>
      </Datatake>
      <Product_Organisation><Granule_List><Granule imageFormat="JPEG2000">{listed}</Granule></Granule_List>
      </Product_Organisation>
    </Product_Info>
    <Product_Image_Characteristics>
      <Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX>
      </Special_Values>
      {unit}
      {f"<{outer}>{offsets}</{outer}>" if baseline >= "N0400" else ""}
      <Spectral_Information_List>{bands}</Spectral_Information_List>
    </Product_Image_Characteristics>
  </n1:General_Info>
</n1:Level-{level[1:]}_User_Product>
"""


def tile_xml(name: str, corner: tuple[int, int] = CORNER, epsg: int = 32631, pixels: int = PIXELS) -> str:
    """``MTD_TL.xml``."""
    satellite, level, date, baseline, _, tile, _ = name.removesuffix(".SAFE").split("_")
    sizes = "".join(
        f'<Size resolution="{r}"><NROWS>{pixels * 10 // r}</NROWS><NCOLS>{pixels * 10 // r}</NCOLS></Size>'
        for r in (10, 20, 60)
    )
    corners = "".join(
        f'<Geoposition resolution="{r}"><ULX>{corner[0]}</ULX><ULY>{corner[1]}</ULY><XDIM>{r}</XDIM><YDIM>-{r}</YDIM>'
        "</Geoposition>"
        for r in (10, 20, 60)
    )
    level = level.removeprefix("MSIL")
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{level}_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-{level}_Tile_Metadata.xsd">
  <n1:General_Info>
    <TILE_ID>{satellite}_OPER_MSI_L{level}_TL_VGS4_{date}_A031051_{tile}_{baseline[:3]}.{baseline[3:]}</TILE_ID>
    <SENSING_TIME>{_iso(date)}.024Z</SENSING_TIME>
  </n1:General_Info>
  <n1:Geometric_Info>
    <Tile_Geocoding metadataLevel="Brief">
      <HORIZONTAL_CS_NAME>WGS84 / UTM zone</HORIZONTAL_CS_NAME>
      <HORIZONTAL_CS_CODE>EPSG:{epsg}</HORIZONTAL_CS_CODE>
      {sizes}{corners}
    </Tile_Geocoding>
  </n1:Geometric_Info>
</n1:Level-{level}_Tile_ID>
"""


def _iso(time: str) -> str:
    return f"{time[:4]}-{time[4:6]}-{time[6:11]}:{time[11:13]}:{time[13:]}"
