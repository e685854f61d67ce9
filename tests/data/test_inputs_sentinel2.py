"""Sentinel-2 products and files a band: what is accepted, and what is refused with which sentence."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_sentinel2 import PIXELS, SIZE_M, name_of, product_xml, stored, write_band, write_safe, zipped
from input_table import Line, Made, case, garbage, halved, require_complete, tried, try_line

from cscl.data.readers import ReadOptions

NEW, LATER = name_of(baseline="0510"), name_of("20210606T105031")

# --- products --------------------------------------------------------------------------------------------------------

SAFE = "sentinel2_safe"


def product(change: Callable[[Path], Any] = lambda safe: None, **made: Any) -> Callable[[Path], Made]:
    """Make a case of a product of which something is changed."""

    def make(folder: Path) -> Made:
        change(write_safe(folder, **{"suffix": ".tif", **made}))
        return folder

    return make


def file_of(safe: Path, what: str) -> Path:
    return next(safe.rglob(f"*{what}*"))


def words(file: str, old: str, new: str) -> Callable[[Path], Any]:
    """Change a word in a metadata file."""

    def change(safe: Path) -> None:
        path = file_of(safe, file)
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")

    return change


def both(folder: Path, name: str, **options: Any) -> Made:
    """Write a product and another, and read them as a season."""
    write_safe(folder, suffix=".tif")
    write_safe(folder, name, suffix=".tif", **options.pop("written", {}))
    return (folder, ReadOptions(**options)) if options else folder


def packed(change: Callable[[zipfile.ZipFile], Any]) -> Callable[[Path], Made]:
    """Make a case of a zipped product to which something is added."""

    def make(folder: Path) -> Made:
        path = zipped(write_safe(folder / "a", suffix=".tif"), folder / name_of().replace("SAFE", "zip"))
        with zipfile.ZipFile(path, "a") as archive:
            change(archive)
        return path

    return make


case(SAFE, "a product of level 2A")(product())
case(SAFE, "a product of level 1C")(product(name=name_of(level="L1C")))
case(SAFE, "a zip of a product")(packed(lambda archive: None))
case(SAFE, "products before and from baseline 04.00")(lambda folder: both(folder, name_of("20220606T105031", "0510")))
case(SAFE, "no metadata")(product(lambda safe: file_of(safe, "MTD_MSIL2A.xml").unlink()))
case(SAFE, "truncated metadata")(product(lambda safe: halved(file_of(safe, "MTD_MSIL2A.xml"))))
case(SAFE, "metadata with a document type (entities)")(
    product(
        lambda safe: file_of(safe, "MTD_MSIL2A").write_text(
            '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', encoding="utf-8"
        )
    )
)
case(SAFE, "metadata without a level")(product(words("MTD_MSIL2A.xml", "PROCESSING_LEVEL", "LEVEL")))
case(SAFE, "metadata without a scale")(product(words("MTD_MSIL2A.xml", "BOA_QUANTIFICATION_VALUE", "VALUE")))
case(SAFE, "a scale in words")(product(words("MTD_MSIL2A.xml", ">10000<", ">ten<")))
case(SAFE, "baseline 04.00 or later without offsets")(
    product(words("MTD_MSIL2A.xml", "BOA_ADD_OFFSET", "OFFSET"), name=NEW)
)
case(SAFE, "a time that is none")(product(words("MTD_MSIL2A.xml", "2021-06-01T", "2021-13-45T")))
case(SAFE, "no reference system of the tile")(product(words("MTD_TL.xml", "HORIZONTAL_CS_CODE", "CODE")))
case(SAFE, "a reference system of the tile that is none")(product(words("MTD_TL.xml", "EPSG:32631", "EPSG:99999")))
case(SAFE, "a tile of another size than its files")(product(words("MTD_TL.xml", "<NROWS>24", "<NROWS>2400000")))
case(SAFE, "a band that is gone")(product(lambda safe: file_of(safe, "_B05_20m").unlink()))
case(SAFE, "scene classes that are gone")(product(lambda safe: file_of(safe, "_SCL_20m").unlink()))
case(SAFE, "a truncated band (JPEG 2000)")(product(lambda safe: halved(file_of(safe, "_B05_20m")), suffix=".jp2"))
case(SAFE, "a band that is no image")(product(lambda safe: garbage(file_of(safe, "_B05_20m"))))
case(SAFE, "a band in place of another")(
    product(lambda safe: shutil.copy(file_of(safe, "_B02_10m"), file_of(safe, "_B05_20m")))
)
case(SAFE, "a name that says another baseline than the metadata")(product(name=NEW, told=name_of()))
case(SAFE, "levels mixed")(lambda folder: both(folder, name_of("20210606T105031", level="L1C")))
case(SAFE, "two zones")(lambda folder: both(folder, LATER, written={"epsg": 32632}))
case(SAFE, "two zones, and one named with --warp")(
    lambda folder: both(folder, LATER, written={"epsg": 32632, "corner": (182_000, 5_706_000)}, warp="EPSG:32631")
)
case(SAFE, "the same product twice")(
    lambda folder: (
        both(folder, name_of()) if zipped(write_safe(folder / "again", suffix=".tif"), folder / "again.zip") else folder
    )
)
case(SAFE, "dates of one's own")(lambda folder: both(folder, LATER, dates=("2021-06-01", "2021-06-06")))
case(SAFE, "a truncated zip")(lambda folder: halved(Path(str(packed(lambda archive: None)(folder)))))
case(SAFE, "a zip with a path that leads out of it")(packed(lambda archive: archive.writestr("../outside.txt", "")))
case(SAFE, "a zip of something else")(lambda folder: _other_zip(folder / "other.zip"))
case(SAFE, "a link to itself among the products")(
    product(lambda safe: (safe.parent / "again").symlink_to(safe.parent, target_is_directory=True))
)


def _other_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "")
    return path


@case(SAFE, "the layout of before December 2016")
def _(folder: Path) -> Made:
    name = "S2A_OPER_PRD_MSIL1C_PDMC_20160101T000000_R051_V20151231T105031_20151231T105031.SAFE"
    (folder / name).mkdir()
    (folder / name / "S2A_OPER_MTD_SAFL1C.xml").write_text("<a/>")
    return folder


# --- files a band ----------------------------------------------------------------------------------------------------

FILES = "sentinel2_bands"


def bands(folder: Path, date: str = "20210601T105031", names: tuple[str, ...] = ("B02", "B05"), **how: Any) -> Path:
    """Write bands of a date, each at its own pixel size; `how` goes to `write_band` for the last."""
    for band in names:
        path = folder / f"T31UFS_{date}_{band}_{SIZE_M[band]}m.tif"
        write_band(path, stored(name_of(), band), SIZE_M[band], **(how if band == names[-1] else {}))
    return folder


def two(folder: Path, **other: Any) -> Path:
    bands(folder)
    return bands(folder, "20210606T105031", **other)


case(FILES, "files of a band each, at 10 and 20 m")(bands)
case(FILES, "files of 2022 or later")(lambda folder: bands(folder, "20220601T105031"))
case(FILES, "files of 2022 or later, and --offset")(
    lambda folder: (bands(folder, "20220601T105031"), ReadOptions(offset=-0.1))
)
case(FILES, "the metadata of the product beside them")(
    lambda folder: (bands(folder) / "MTD_MSIL2A.xml").write_text(product_xml(NEW, [])) and folder
)
case(FILES, "other bands on some dates")(lambda folder: two(folder, names=("B02",)))
case(FILES, "a band twice")(
    lambda folder: shutil.copy(next(bands(folder).glob("*B02*")), folder / "T31UFS_20210601T105031_B02.tif") and folder
)
case(FILES, "a day that is none")(lambda folder: bands(folder, "20211345T105031"))
case(FILES, "dates in two zones")(lambda folder: two(folder, epsg=32632))
case(FILES, "a file that is no image")(lambda folder: garbage(next(bands(folder).glob("*B05*"))).parent)
case(FILES, "a date that is cut off at the edge of the tile")(lambda folder: two(folder, corner=(600_060, 5_700_000)))
case(FILES, "floating numbers")(
    lambda folder: (
        write_band(folder / "T31UFS_20210601T105031_B02_10m.tif", np.ones((PIXELS,) * 2, np.float32), 10) or folder
    )
)
case(FILES, "complex numbers")(
    lambda folder: (
        write_band(folder / "T31UFS_20210601T105031_B02_10m.tif", np.ones((PIXELS,) * 2, np.complex64), 10) or folder
    )
)


@tried(SAFE, FILES)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_is_said_of_an_input(line: Line, tmp_path: Path) -> None:
    try_line(line, tmp_path)


def test_every_line_has_its_case_and_every_case_its_line() -> None:
    require_complete(SAFE, FILES)
