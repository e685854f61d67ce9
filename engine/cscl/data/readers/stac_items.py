"""STAC items of Sentinel-2: a file of one or many, a folder of such files, or a static catalogue; images anywhere."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cscl.cube import Acquisition, SITSCube
from cscl.data.stac import is_stac
from cscl.errors import InputError, MissingError

from . import Reader, ReadOptions, readers
from ._acquired import Image, Layer, cube_of
from ._stac_addresses import is_local
from ._stac_assets import BANDS, CLASSES, CLOUDS, Asset, assets_of, require_packages
from ._stac_files import Json, items_in
from ._stac_radiometry import Provider, Said, Settled, provider_of, settled

_NAME = re.compile(
    r"(?P<satellite>S2[A-D])_MSI(?P<level>L1C|L2A)_\d{8}T\d{6}_N(?P<baseline>\d{4})_R(?P<orbit>\d{3})_T(?P<tile>\w{5})"
    r"_(?P<made>\d{8}T\d{6})"
)
_BASELINE = re.compile(r"\d\d\.\d\d")
_FLAGS = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied", "s2:boa_offset_applied")
_TYPES = {"uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"}


@dataclass(frozen=True)
class Item:
    """An item as it was read: its JSON, its name in messages, when it was taken and by whom, and its assets by band."""

    told: Json
    what: str
    time: np.datetime64
    origin: Acquisition
    provider: Provider | None
    assets: dict[str, Asset]


def open_items(path: Path, options: ReadOptions) -> SITSCube:
    """Open items as a cube: of items that tell grid and type no header is read."""
    require_packages()
    listed = items_in(path)
    _require_sentinel_2([told for told, _ in listed], path)
    items, notes = _with_files([_item(told, file) for told, file in listed], options)
    images, said = _images(items, options)
    folder = path if path.is_dir() else path.parent
    return cube_of(images, options, path.resolve().name, notes=(*notes, *said), folder=folder)


readers.register("stac_items")(
    Reader(
        "a JSON file or folder of STAC items of Sentinel-2, or a static catalogue of them",
        is_stac,
        open_items,
        files=("*.json",),
    )
)


def _require_sentinel_2(items: Sequence[Json], path: Path) -> None:
    """Refuse items of other satellites, of which even the names of the bands mean others."""
    others = Counter(_collection(item) for item in items if not _is_sentinel_2(item))
    if not others:
        return
    told = ", ".join(f"{count} of {name}" for name, count in others.most_common(4))
    some = "Keep those of Sentinel-2." if sum(others.values()) < len(items) else "Only images of Sentinel-2 are read."
    raise InputError(f"{path} lists {len(items)} items, and {told} are not images of Sentinel-2. {some}")


def _is_sentinel_2(item: Json) -> bool:
    told = item["properties"]
    words = (item["id"], item.get("collection"), told.get("platform"), told.get("constellation"))
    return any(re.match(r"sentinel-?_?2|s2[a-d]?([-_]|$)|copernicus/s2", str(word), re.IGNORECASE) for word in words)


def _collection(item: Json) -> str:
    return str(item.get("collection") or item["properties"].get("platform") or item["id"])


def _item(told: Json, file: Path) -> Item:
    what = f"The image {told['id']} in {file.name}"
    time, assets = _time(told["properties"], what), assets_of(told, file)
    if not set(assets) & set(BANDS):
        some = ", ".join(list(told["assets"])[:8]) or "none at all"
        raise InputError(
            f"{what} has no band of Sentinel-2 among its assets ({some}). Take a collection of images, such as "
            "sentinel-2-l2a."
        )
    links = told.get("links")
    own = [link for link in (links if isinstance(links, list) else ()) if isinstance(link, dict)]
    # Not what it was derived from: who changed the values is another provider.
    hrefs = [str(link.get("href")) for link in own if link.get("rel") in ("self", "root", "parent", "collection")]
    provider = provider_of(" ".join([*(asset.path for asset in assets.values()), *hrefs]))
    return Item(told, what, time, _origin(told, provider), provider, assets)


def _origin(told: Json, provider: Provider | None) -> Acquisition:
    """Say where an image comes from, by its properties, or else by the name of the product."""
    said, name = told["properties"], _product(told)
    parts = match.groupdict() if (match := _NAME.search(name)) else {}
    tile = str(said.get("s2:mgrs_tile") or said.get("grid:code") or parts.get("tile") or "").removeprefix("MGRS-")
    platform = re.fullmatch(r"sentinel-2([a-d])", str(said.get("platform")), re.IGNORECASE)
    orbit = said.get("sat:relative_orbit") or parts.get("orbit")
    words = (said.get("processing:level"), said.get("s2:product_type"), said.get("product:type"))
    level = next((f"L{m[1].upper()}" for w in (*words, told.get("collection")) if (m := _level(w))), parts.get("level"))
    return Acquisition(
        product=name,
        satellite=f"S2{platform[1].upper()}" if platform else parts.get("satellite"),
        level=level,
        baseline=_baseline(said, parts.get("baseline")),
        orbit=int(str(orbit)) if str(orbit).isdigit() else None,
        tile=tile or None,
        provider=None if provider is None else provider.name,
    )


def _product(told: Json) -> str:
    """Name of the product that ESA gave, as far as the item holds it; otherwise that of the item."""
    said = told["properties"]
    names = (said.get("s2:product_uri"), said.get("sentinel:product_id"), said.get("s2:product_id"), told["id"])
    return str(next((name for name in names if name and _NAME.search(str(name))), told["id"])).removesuffix(".SAFE")


def _level(word: Any) -> re.Match[str] | None:
    return re.search(r"(1C|2A)$", str(word or ""), re.IGNORECASE)


def _baseline(said: Json, of_name: str | None) -> str | None:
    words = ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version")
    told = next((str(said[word]) for word in words if _BASELINE.fullmatch(str(said.get(word)))), None)
    return told or (f"{of_name[:2]}.{of_name[2:]}" if of_name else None)


def _with_files(items: Sequence[Item], options: ReadOptions) -> tuple[list[Item], tuple[str, ...]]:
    """Leave out bands that some item does not list, or none has as a file here.

    Raises
    ------
    MissingError
        If a file is not where an item says, and others of its band are, or it was asked for.
    """
    listed = {name: [item for item in items if name in item.assets] for name in (*BANDS, CLASSES, CLOUDS)}
    partly = [name for name in BANDS if 0 < len(listed[name]) < len(items)]
    gone = {name: [item for item in listed[name] if _is_gone(item.assets[name])] for name in listed}
    nowhere = [name for name in listed if gone[name] and len(gone[name]) == len(listed[name])]
    unwanted = {name for name in BANDS if options.bands and name not in options.bands}
    kept = [name for name in listed if listed[name] and name not in nowhere and name not in partly]
    for name in listed:
        asked = name in (options.bands or ()) or not set(kept) & set(BANDS)
        if gone[name] and name not in unwanted and (asked or name in kept):
            raise MissingError(
                f"{gone[name][0].what} has {name} at {gone[name][0].assets[name].path}, where there is no file. Keep "
                "images and items together, as they were downloaded."
            )
    notes = [f"Some images lack {', '.join(partly)}: left out of all."] if partly else []
    notes += [f"There are no files of {', '.join(nowhere)}: left out."] if nowhere else []
    left = [replace(item, assets={name: item.assets[name] for name in kept if name in item.assets}) for item in items]
    return left, tuple(notes)


def _is_gone(asset: Asset) -> bool:
    return is_local(asset.path) and not Path(asset.path).is_file()


def _images(items: Sequence[Item], options: ReadOptions) -> tuple[list[Image], tuple[str, ...]]:
    """Images of items, and what must be said of how their values were settled."""
    images, overruled, doubtful = [], [], []
    for item in items:
        layers, states = {}, []
        for band, asset in item.assets.items():
            if band in BANDS:
                state = None if options.offset is not None else settled(_said(item, asset))
                layers[band] = _layer(item, asset, state)
                states.append(state)
        known = [state for state in states if state is not None]
        overruled += [item.origin.product] if any(state.overruled for state in known) else []
        doubtful += [item.origin.product] if any(state.doubt for state in known) else []
        shifted = any(state.offset for state in known) if known else None
        classes, clouds = (
            None if name not in item.assets else _classes(item, item.assets[name]) for name in (CLASSES, CLOUDS)
        )
        images.append(Image(item.time, replace(item.origin, shifted=shifted), layers, classes, clouds, _made(item)))
    return images, tuple(_told(overruled, doubtful, len(items)))


def _said(item: Item, asset: Asset) -> Said:
    flag = next((item.told["properties"][name] for name in _FLAGS if name in item.told["properties"]), None)
    return Said(
        item.what,
        item.provider,
        str(item.told.get("collection", "")),
        item.origin.baseline,
        flag if isinstance(flag, bool) else None,
        asset.scale,
        asset.offset,
    )


def _layer(item: Item, asset: Asset, state: Settled | None) -> Layer:
    """Band of an image. What a catalogue that is known leaves out is what ESA's files are: uint16, 0 for missing."""
    dtype = asset.dtype if asset.dtype in _TYPES else "uint16" if item.provider and asset.dtype is None else None
    scale, offset = (asset.scale, None) if state is None else (state.scale, state.offset)
    nodata = 0.0 if asset.nodata is None and dtype == "uint16" else asset.nodata
    return Layer(asset.path, asset.index, scale, offset, nodata, asset.grid, dtype)


def _classes(item: Item, asset: Asset) -> Layer:
    dtype = asset.dtype if asset.dtype in _TYPES else "uint8" if item.provider and asset.dtype is None else None
    return Layer(asset.path, asset.index, grid=asset.grid, dtype=dtype)


def _time(said: Json, what: str) -> np.datetime64:
    """When an image was taken.

    Raises
    ------
    InputError
        If the item does not say.
    """
    found, first, last = (_date(said.get(name)) for name in ("datetime", "start_datetime", "end_datetime"))
    if found is None and first is not None and last is not None and last - first < np.timedelta64(1, "D"):
        found = first
    if found is None:
        raise InputError(f"{what} does not say when it was taken (datetime). Correct it, or leave it out.")
    return found


def _date(text: Any) -> np.datetime64 | None:
    """Read a time as STAC writes it, in UTC."""
    try:
        found = dt.datetime.fromisoformat(str(text))
        utc = found.astimezone(dt.UTC) if found.tzinfo else found
        return np.datetime64(utc.replace(tzinfo=None), "ns")
    except (ValueError, OverflowError):
        return None


def _made(item: Item) -> np.datetime64 | None:
    said, name = item.told["properties"], _NAME.search(item.origin.product)
    words = (
        said.get("s2:generation_time"),
        said.get("processing:datetime"),
        name and name["made"],
        said.get("created"),
    )
    return next((date for word in words if word and (date := _date(word)) is not None), None)


def _told(overruled: Sequence[str], doubtful: Sequence[str], count: int) -> Iterator[str]:
    if overruled:
        yield (
            f"{len(overruled)} of {count} images, such as {overruled[0]}, declare an offset, but were made before "
            "processing baseline 04.00 shifted any values: 0 is used."
        )
    if doubtful:
        yield (
            f"{len(doubtful)} of {count} images, such as {doubtful[0]}, are said to be shifted by 1000 still "
            "(earthsearch:boa_offset_applied is false), and are shifted back here. Earth Search is known to say so "
            "wrongly of some: if much of an image comes out negative, search its collection sentinel-2-c1-l2a instead."
        )
