"""What the bands of a raster are, as programs write it: descriptions, tags, ``eo:bands``, a STAC item beside it.

Names that hold the number of a Sentinel-2 band, such as ``B4`` or ``B04 (665 nm)``, become that number in two digits,
``B04``; others stay as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cscl.raster import RasterFacts

from ._dates import date_in_name, without_dates

__all__ = ["dated_layers", "item_beside", "named_bands", "shortened"]

_NUMBER = re.compile(r"(?<![A-Za-z0-9])(?<!SR_)(?<!ST_)B(0?[1-9]|1[0-2]|8A)(?![A-Za-z0-9])", re.IGNORECASE)
_TAGS = ("bandname", "band_name", "name", "eo:common_name", "description", "long_name")


def named_bands(raster: RasterFacts) -> tuple[tuple[str | None, ...], tuple[str, ...]]:
    """Find the name of each band.

    Returns
    -------
    names, notes
        One a band, None where nothing names it; and where the names come from, if not from the descriptions.
    """
    count, notes = raster.count, []
    told: list[str | None] = list(raster.descriptions)
    for names, where in _elsewhere(raster) if not all(told) else ():
        if len(names) == count and all(names):
            told = list(names)
            notes = [f"The names of the bands come from {where}."]
            break
    return shortened(told), tuple(notes)


def dated_layers(raster: RasterFacts) -> tuple[list[np.datetime64], list[str | None]] | None:
    """Find date and band of each layer in the descriptions; None unless every layer has a date in its own."""
    dates = [date_in_name(text or "") for text in raster.descriptions]
    found = [date for date in dates if date is not None]
    if len(found) < raster.count:
        return None
    rest = [without_dates(str(text)) or None for text in raster.descriptions]
    by_number = [_number(name) for name in rest]
    return found, list(by_number if all(by_number) else rest)


def item_beside(raster: RasterFacts) -> tuple[tuple[str, ...], str | None]:
    """Find the bands and the time in the STAC item beside a raster, ``NAME.json``; nothing where there is none."""
    file = raster.path.with_suffix(".json")
    if not file.is_file():
        return (), None
    try:
        item = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError):
        return (), None
    if not isinstance(item, dict) or not isinstance(item.get("assets"), dict):
        return (), None
    properties = item.get("properties")
    time = properties.get("datetime") if isinstance(properties, dict) else None
    assets = [asset for asset in item["assets"].values() if isinstance(asset, dict)]
    own = [asset for asset in assets if str(asset.get("href", "")).rpartition("/")[2] == raster.path.name]
    for asset in own or (assets if len(assets) == 1 else []):
        names = _listed(asset.get("eo:bands") or asset.get("bands") or asset.get("raster:bands"))
        return names, str(time) if time else None
    return (), str(time) if time else None


def shortened(told: Sequence[str | None]) -> tuple[str | None, ...]:
    """Return names by number, ``B04``, where all hold one and no two the same; else the names as they are."""
    numbers = [_number(name) for name in told]
    return tuple(numbers if all(numbers) and len(set(numbers)) == len(numbers) else told)


def _elsewhere(raster: RasterFacts) -> list[tuple[Sequence[str], str]]:
    """Names that are not descriptions: tags of the bands, tags of the file, a STAC item."""
    tags = {key.lower(): value for key, value in raster.tags.items()}
    if tags.get("eo", "").startswith("bands="):  # GDAL takes a colon for the end of a name
        tags["eo:bands"] = tags["eo"].removeprefix("bands=")
    numbers = range(1, raster.count + 1)
    found: list[tuple[Sequence[str], str]] = [
        ([_first({k.lower(): v for k, v in own.items()}, _TAGS) for own in raster.band_tags], "the tags of the bands"),
        ([_first(tags, (f"band_{i}_name", f"band_{i}", f"band{i}")) for i in numbers], "the tags of the files"),
    ]
    for key in ("eo:bands", "eo_bands", "bands", "band_names"):
        if key in tags:
            found.append((_listed(tags[key]), f"the tag {key}"))
    found.append((item_beside(raster)[0], f"the STAC item {raster.path.stem}.json"))
    return found


def _first(tags: Mapping[str, str], keys: Sequence[str]) -> str:
    return next((tags[key] for key in keys if tags.get(key)), "")


def _listed(told: Any) -> tuple[str, ...]:
    """Names of a list of bands: objects with a name or common name, or texts; a text may be JSON or hold commas."""
    if isinstance(told, str):
        try:
            told = json.loads(told)
        except (ValueError, RecursionError):
            told = told.split(",")
    if not isinstance(told, list):
        return ()
    named = [
        b.get("name") or b.get("common_name") or b.get("eo:common_name") if isinstance(b, dict) else b for b in told
    ]
    return tuple(str(name).strip() for name in named if name)


def _number(name: str | None) -> str | None:
    """Find the number of a Sentinel-2 band in a name, such as ``B04``; None unless there is one and only one."""
    found = {match.upper() for match in _NUMBER.findall(name or "")}
    return f"B{found.pop().zfill(2)}" if len(found) == 1 else None
