"""What the metadata of a Sentinel-2 product say: level, baseline, time, orbit, and what its stored values mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from affine import Affine
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from cscl.cube import Acquisition
from cscl.errors import InputError
from cscl.grid import GeoBox, make_grid

from . import ReadOptions

__all__ = ["BANDS", "NATIVE_M", "USUAL", "Product", "product_of", "tile_grids"]

# In the order by which the metadata number them.
NATIVE_M = {
    "B01": 60, "B02": 10, "B03": 10, "B04": 10, "B05": 20, "B06": 20, "B07": 20, "B08": 10, "B8A": 20, "B09": 60,
    "B10": 60, "B11": 20, "B12": 20,
}  # fmt: skip
BANDS = tuple(NATIVE_M)
USUAL = tuple(band for band, size in NATIVE_M.items() if size < 60)

_SHIFTED_FROM = (4, 0)  # baseline from which on stored values carry a shift
_LARGEST_TILE_M = 200_000  # they are 109.8 km wide
_FARTHEST_M = 10_000_000  # as UTM counts
_MOST_XML = 64_000_000  # bytes; real ones have less than one million


@dataclass(frozen=True)
class Product:
    """A product, as its own metadata tell.

    Parameters
    ----------
    origin : Acquisition
        Without its tile, which the metadata of the granule tell.
    time : datetime64[ns]
        Start of the datatake, whole seconds, as in the names of products: all tiles of a pass share it.
    made : datetime64[ns] or None
        When it was processed.
    scale : float or None
        Reflectance of one step of the stored values; None where the user says it.
    offsets : dict
        Band to the offset of its reflectance; empty where the user says it.
    """

    origin: Acquisition
    time: np.datetime64
    made: np.datetime64 | None
    scale: float | None
    offsets: dict[str, float]


def product_of(xml: bytes, where: str, options: ReadOptions) -> Product:
    """Read ``MTD_MSIL1C.xml`` or ``MTD_MSIL2A.xml``.

    Parameters
    ----------
    xml : bytes
        The file.
    where : str
        Its path, for messages.
    options : ReadOptions
        With ``scale`` and ``offset``, which go before what the metadata say.

    Raises
    ------
    InputError
        If it is damaged, or does not say what it must.
    """
    root = _parsed(xml, where)
    level = _text(root, "PROCESSING_LEVEL", where)[:8].replace("Level-", "L")
    baseline = _text(root, "PROCESSING_BASELINE", where)
    start = next(_texts(root, "DATATAKE_SENSING_START"), None) or _text(root, "PRODUCT_START_TIME", where)
    made = next(_texts(root, "GENERATION_TIME"), None)
    craft = next(_texts(root, "SPACECRAFT_NAME"), "")
    orbit = next(_texts(root, "SENSING_ORBIT_NUMBER"), "")
    uri = next(_texts(root, "PRODUCT_URI", "PRODUCT_URI_2A", "PRODUCT_URI_1C"), "")
    scale = _scale(root, level, where) if options.scale is None else None
    offsets = _offsets(root, baseline, scale or options.scale or 1e-4, where) if options.offset is None else {}
    origin = Acquisition(
        product=uri.removesuffix(".SAFE"),
        satellite=craft.replace("Sentinel-", "S") or None,
        level=level,
        baseline=baseline,
        orbit=int(orbit) if orbit.isdigit() else None,
        shifted=any(offsets.values()) if offsets else None,
    )
    seconds = _time(start, where).astype("datetime64[s]").astype("datetime64[ns]")
    return Product(origin, seconds, None if made is None else _time(made, where), scale, offsets)


def tile_grids(xml: bytes, where: str) -> tuple[str | None, dict[int, GeoBox]]:
    """Read ``MTD_TL.xml``: name of the tile, and pixel size in metres to grid.

    Raises
    ------
    InputError, GridError
        If it is damaged.
    """
    root = _parsed(xml, where)
    name = next(_texts(root, "TILE_ID", "TILE_ID_2A"), "")
    tile = next((part[1:] for part in name.split("_") if len(part) == 6 and part[0] == "T"), None)
    crs = _text(root, "HORIZONTAL_CS_CODE", where)
    corners = {e.get("resolution"): e for e in root.iterfind(".//{*}Geoposition")}
    grids = {}
    for size in root.iterfind(".//{*}Size"):
        pixel = size.get("resolution", "")
        if pixel.isdigit() and pixel in corners:
            rows, cols = (int(_number(size, what, where)) for what in ("NROWS", "NCOLS"))
            left, top = (_number(corners[pixel], what, where) for what in ("ULX", "ULY"))
            if not 0 < max(rows, cols) * int(pixel) <= _LARGEST_TILE_M or max(abs(left), abs(top)) > _FARTHEST_M:
                raise InputError(
                    f"{where} tells of {rows} x {cols} pixels at {left:g}, {top:g}, which no tile has. Get the product "
                    "again."
                )
            grids[int(pixel)] = make_grid((rows, cols), Affine(int(pixel), 0, left, 0, -int(pixel), top), crs, where)
    return tile, grids


def _parsed(xml: bytes, where: str) -> Any:
    try:
        if len(xml) > _MOST_XML:
            raise ValueError(f"{len(xml)} bytes, which no metadata have")
        return fromstring(xml, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:  # the last: an unknown encoding
        raise InputError(
            f"{where} is not the metadata of a Sentinel-2 product ({error!s:.80}). It is damaged; get it again."
        ) from error


def _texts(root: Element, *tags: str) -> Iterator[str]:
    """Yield the texts of all elements of these names, whatever their namespace."""
    for tag in tags:
        for element in root.iterfind(f".//{{*}}{tag}"):
            if element.text and element.text.strip():
                yield element.text.strip()


def _text(root: Element, tag: str, where: str) -> str:
    found = next(_texts(root, tag), None)
    if found is None:
        raise InputError(f"{where} does not say {tag}: it is not whole. Get the product again.")
    return found


def _number(root: Element, tag: str, where: str) -> float:
    return _as_number(_text(root, tag, where), tag, where)


def _as_number(text: str, tag: str, where: str) -> float:
    try:
        number = float(text)
        if not np.isfinite(number):
            raise ValueError
    except ValueError:
        raise InputError(f"{where} says {tag} is '{text[:40]}', which is no number. Get the product again.") from None
    return number


def _time(text: str, where: str) -> np.datetime64:
    try:
        return np.datetime64(text.removesuffix("Z"), "ns")
    except ValueError:
        raise InputError(f"{where} has '{text[:40]}' for a time. Get the product again.") from None


def _scale(root: Element, level: str, where: str) -> float:
    tags = ("QUANTIFICATION_VALUE",) if level == "L1C" else ("BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE")
    found = next(_texts(root, *tags), None)
    value = 0.0 if found is None else _as_number(found, tags[0], where)
    if value <= 0:
        raise InputError(f"{where} does not say {tags[0]}, so its values mean nothing. Say what with --scale 0.0001.")
    return 1 / value


def _offsets(root: Element, baseline: str, scale: float, where: str) -> dict[str, float]:
    """Offset of the reflectance of each band; 0 of baselines that know of none."""
    names = {
        e.get("bandId"): str(e.get("physicalBand", ""))
        for e in root.iterfind(".//{*}Spectral_Information")
        if e.get("bandId")
    }
    found = {}
    for tag in ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET"):
        for element in root.iterfind(f".//{{*}}{tag}"):
            number = element.get("band_id", "")
            name = names.get(number) or (BANDS[int(number)] if number.isdigit() and int(number) < len(BANDS) else "")
            found[_two_digits(name)] = _as_number((element.text or "").strip(), tag, where) * scale
    if set(USUAL) <= set(found):
        return found
    if not found and _version(baseline, where) < _SHIFTED_FROM:
        return dict.fromkeys(BANDS, 0.0)
    raise InputError(
        f"{where} is of baseline {baseline}, whose values are shifted, but does not say by how much in all bands. "
        "If it is as ESA made it, say --offset -0.1; if somebody took the shift out, --offset 0."
    )


def _version(baseline: str, where: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in baseline.split("."))
    except ValueError:
        raise InputError(f"{where} has the baseline '{baseline[:20]}', which is none. Get the product again.") from None


def _two_digits(name: str) -> str:
    """``B1`` is ``B01`` in the names of files."""
    return f"B{int(name[1:]):02d}" if name[1:].isdigit() else name
