"""From a JSON file or a folder to STAC items: single ones, collections of them, and static catalogues with links."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cscl.data.stac import is_stac, items_at
from cscl.errors import InputError, MissingError

__all__ = ["Json", "items_in"]

Json = dict[str, Any]
_LARGEST_BYTES = 256 << 20  # some 5000 items


def items_in(path: Path) -> list[tuple[Json, Path]]:
    """Read all items that a file or folder lists.

    Returns
    -------
    list of (item, file)
        Each item as JSON, and the file that holds it, which relative paths start from.

    Raises
    ------
    InputError, MissingError
        If a file cannot be read, is no STAC, or lists nothing.
    """
    files = [file for file in items_at(path) if is_stac(file)] if path.is_dir() else [path]
    seen: set[Path] = set()
    items = [found for file in files for found in _items(file, seen)]
    if not items:
        raise InputError(f"{path} lists no images. Search with cscl search, or give a file that holds STAC items.")
    return items


def _items(file: Path, seen: set[Path]) -> Iterator[tuple[Json, Path]]:
    """Items of a file and of what it links to; each file is read once, however links run."""
    file = Path(os.path.realpath(file))  # Path.resolve raises at links in a circle
    if file in seen:
        return
    seen.add(file)
    told = _read(file)
    kind = told.get("type")
    if kind == "Feature":
        yield _checked(told, file), file
    elif kind == "FeatureCollection":
        features = told.get("features")
        yield from ((_checked(item, file), file) for item in (features if isinstance(features, list) else ()))
    elif kind in ("Collection", "Catalog"):
        for linked in _linked(told, file):
            yield from _items(linked, seen)
    else:
        raise InputError(
            f"{file} is no STAC: its type is {str(kind)[:40]!r}, not Feature, FeatureCollection, Collection or Catalog."
        )


def _linked(told: Json, file: Path) -> Iterator[Path]:
    """Files of the items and catalogues that one links to."""
    links = told.get("links")
    for link in links if isinstance(links, list) else ():
        if not isinstance(link, dict) or link.get("rel") not in ("item", "child", "items"):
            continue
        href = str(link.get("href", ""))
        if link["rel"] == "items" or urlsplit(href).scheme in ("http", "https", "s3"):
            raise InputError(
                f"{file} describes a catalogue on the network ({href[:100]}), not images on this machine. Ask it with "
                "cscl search --catalog, which writes a file of items."
            )
        yield file.parent / unquote(href.removeprefix("file://"))


def _read(file: Path) -> Json:
    if not file.is_file():
        raise MissingError(f"There is no file {file}, which a catalogue links to. Copy the catalogue whole.")
    if file.stat().st_size > _LARGEST_BYTES:
        raise InputError(
            f"{file} has {file.stat().st_size / 1e6:,.0f} MB, more than a list of images needs. Search a smaller place "
            "or a shorter time, or split it."
        )
    try:
        told = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is damaged or no JSON ({error}). Get it again.") from error
    if not isinstance(told, dict):
        raise InputError(f"{file} is no STAC: it holds a {type(told).__name__}, not an object.")
    return told


def _checked(item: Any, file: Path) -> Json:
    """Return an item whose parts have the form that others rely on."""
    name = item.get("id") if isinstance(item, dict) else None
    if not isinstance(item, dict) or "stac_version" not in item or not isinstance(name, str):
        raise InputError(
            f"{file} holds a feature that is no STAC item ({str(name)[:60]}). Polygons are to be given as labels."
        )
    if not isinstance(item.get("properties"), dict) or not isinstance(item.get("assets"), dict):
        raise InputError(f"The item {name} in {file} lacks 'properties' or 'assets'. Get it again from its catalogue.")
    for key, asset in item["assets"].items():
        if not isinstance(asset, dict) or not isinstance(asset.get("href"), str) or not asset["href"]:
            raise InputError(f"The asset {key} of the item {name} in {file} has no address (href). Get the item again.")
    return item
