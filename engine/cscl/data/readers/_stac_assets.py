"""Which assets of a STAC item are bands of Sentinel-2, whatever its catalogue calls them, and what it says of them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from cscl.errors import InputError
from cscl.grid import GeoBox, make_grid

from ._stac_addresses import address, is_local
from ._stac_files import Json

__all__ = ["BANDS", "CLASSES", "CLOUDS", "Asset", "assets_of", "require_packages"]

CLASSES, CLOUDS = "SCL", "CLD"
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
_COMMON = {
    "coastal": "B01", "blue": "B02", "green": "B03", "red": "B04", "rededge1": "B05", "rededge071": "B05",
    "rededge2": "B06", "rededge075": "B06", "rededge3": "B07", "rededge078": "B07", "nir": "B08", "nir08": "B8A",
    "nir09": "B09", "cirrus": "B10", "swir16": "B11", "swir22": "B12",
    "scl": CLASSES, "cld": CLOUDS, "cloud": CLOUDS, "cloud_probability": CLOUDS,
}  # fmt: skip
_NUMBER = re.compile(r"B(0?[1-9]|1[0-2]|8A)", re.IGNORECASE)
_ENDING = re.compile(r"([-_ ]?(10|20|60)m)?([-_]jp2)?$", re.IGNORECASE)
_PICTURES = re.compile(r"visual|tci|preview|overview|thumbnail|quicklook|pvi", re.IGNORECASE)
_FAR, _MOST_PX = 1e8, 10**6
_UNWANTED = {"thumbnail", "overview", "visual", "metadata"}


@dataclass(frozen=True)
class Asset:
    """One band as an item describes it; None where the item says nothing.

    Parameters
    ----------
    path : str
        What GDAL opens.
    index : int
        Band of that file, from 1.
    alone : bool
        Whether the file holds this band only.
    grid : GeoBox or None
        Where its pixels lie.
    pixel_m : float
        Size of a pixel; infinite where nothing says it.
    scale, offset, nodata : float or None
        As declared.
    dtype : str or None
        Type of the stored values.
    """

    path: str
    index: int
    alone: bool
    grid: GeoBox | None
    pixel_m: float
    scale: float | None
    offset: float | None
    nodata: float | None
    dtype: str | None

    @property
    def rank(self) -> tuple[bool, float, bool, bool, str]:
        """Order of several assets for one band: finest pixels, free of charge, quick to read."""
        jp2 = self.path.lower().endswith(".jp2")
        return not self.alone, self.pixel_m, self.path.startswith("/vsis3/"), jp2, self.path


def require_packages() -> None:
    """Refuse to go on without what STAC needs.

    Raises
    ------
    InputError
        The message says what to install.
    """
    try:
        import_module("odc.stac")
    except ImportError as error:
        raise InputError(
            f'Catalogues of images (STAC) need {error.name}. Install it: pip install "napari-cscl[stac]".'
        ) from error


def assets_of(item: Json, file: Path) -> dict[str, Asset]:
    """Find the best asset of each band, in the order of the bands, and those of scene classes and cloud probability.

    Raises
    ------
    InputError
        If the item is not as the specification of STAC says.
    """
    grids = _grids(item, file)
    own = _own_address(item, file)
    found: dict[str, list[Asset]] = {}
    for key, asset in item["assets"].items():
        told = list(_bands(asset)) if _is_band_file(key, asset) else []
        for i, band in enumerate(told):
            name = _name(key if len(told) == 1 else "", band)
            if name is not None:
                where = address(asset["href"], file, own, str(item.get("collection", "")))
                made = _asset(item, key, (asset, band), (where, i + 1, len(told) == 1), grids.get((key, i + 1)))
                found.setdefault(name, []).append(made)
    return {name: min(found[name], key=lambda asset: asset.rank) for name in (*BANDS, CLASSES, CLOUDS) if name in found}


def _grids(item: Json, file: Path) -> dict[tuple[str, int], GeoBox]:
    """Grids of the assets, of those that tell of them."""
    import odc.stac
    import pystac
    from odc.loader.types import RasterSource

    bare = {name: value for name, value in item.items() if name != "bbox"} | {"geometry": None}
    try:
        # By itself: a template of a whole collection would carry the grids of its first item over to others.
        parsed = odc.stac.parse_item(pystac.Item.from_dict(bare, migrate=True), asset_absolute_paths=False)
    except Exception as error:  # the parsers rely on the specification, and fail in many ways where it is not kept
        why = str(error) or type(error).__name__
        raise InputError(f"The item {item['id']} in {file} is damaged ({why[:200]}). Get it again.") from error
    return {
        place: _sound(source.geobox, f"The asset {place[0]} of {item['id']}")
        for place, source in parsed.bands.items()
        if isinstance(source, RasterSource) and isinstance(source.geobox, GeoBox)
    }


def _sound(box: GeoBox, what: str) -> GeoBox:
    """Return the grid if it can be one, north up and on earth."""
    t, (rows, cols) = box.transform, box.shape
    if not all(abs(n) < _FAR for n in tuple(t)[:6]) or not (0 < rows < _MOST_PX and 0 < cols < _MOST_PX):
        raise InputError(f"{what} has {rows} x {cols} pixels at {tuple(t)[:6]}, which is nowhere. Get the item again.")
    if t.b or t.d or t.a <= 0 or t.e >= 0:
        raise InputError(f"{what} is turned or mirrored. Bring it north up, e.g. with gdalwarp.")
    return make_grid((rows, cols), t, box.crs, what)


def _own_address(item: Json, file: Path) -> str:
    """Return where relative paths start on the network; empty if there is a file at any of them on this machine."""
    if any(is_local(href) and (file.parent / href).is_file() for href in (a["href"] for a in item["assets"].values())):
        return ""
    links = item.get("links")
    own = (link for link in (links if isinstance(links, list) else ()) if isinstance(link, dict))
    return next((str(link.get("href", "")) for link in own if link.get("rel") == "self"), "")


def _is_band_file(key: str, asset: Json) -> bool:
    kind = str(asset.get("type") or "image/").lower()
    roles = asset.get("roles")
    unwanted = isinstance(roles, list) and any(str(role) in _UNWANTED for role in roles)
    return not unwanted and not _PICTURES.search(key) and kind.startswith("image/")


def _bands(asset: Json) -> Iterator[Json]:
    """Yield what is said of each band, in old extensions or the new way; once an empty dict where nothing is."""
    lists = [told for name in ("bands", "raster:bands", "eo:bands") if isinstance(told := asset.get(name), list)]
    for i in range(max([len(told) for told in lists], default=0) or 1):
        merged: Json = {}
        for told in reversed(lists):
            merged |= told[i] if i < len(told) and isinstance(told[i], dict) else {}
        yield merged


def _name(key: str, band: Json) -> str | None:
    """Name of a band: by its number if anything holds one, or else by its common name."""
    words = [_ENDING.sub("", str(word)) for word in (band.get("name"), key, band.get("eo:common_name")) if word]
    words.append(str(band.get("common_name") or ""))
    for word in words:
        if match := _NUMBER.fullmatch(word):
            number = match[1].upper()
            return f"B{number:0>2}" if number != "8A" else "B8A"
    return next((_COMMON[word.lower()] for word in words if word.lower() in _COMMON), None)


def _asset(item: Json, key: str, said: tuple[Json, Json], place: tuple[str, int, bool], grid: GeoBox | None) -> Asset:
    asset, band = said
    what = f"the asset {key} of the item {item['id']}"
    scale, offset, nodata = (_number(band, asset, name, what) for name in ("scale", "offset", "nodata"))
    pixel = _number(band, asset, "spatial_resolution", what) or _number(band, asset, "gsd", what)
    ending = _ENDING.search(key)
    if grid is not None:
        pixel = abs(grid.resolution.x)
    elif pixel is None and ending and ending[2]:
        pixel = float(ending[2])
    dtype = band.get("data_type") or asset.get("data_type")
    return Asset(*place, grid, pixel or math.inf, scale, offset, nodata, str(dtype) if dtype else None)


def _number(band: Mapping[str, Any], asset: Mapping[str, Any], name: str, what: str) -> float | None:
    """Read a number that stands at the band or the asset, with or without the prefix of its extension."""
    values = (place.get(prefix + name) for place in (band, asset) for prefix in ("raster:", ""))
    value = next((value for value in values if value is not None), None)
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        raise InputError(
            f"The {name} of {what} is {str(value)[:40]!r}, which is no number. Correct the item."
        ) from None
