"""An export as STAC Item (1.1.0): where and when, which files, what their values mean. All links are relative.

Written without a library: an Item is JSON, and the base installation has none. The tests read it with pystac.
Extensions: projection 2.0.0, raster 2.0.0, classification 2.0.0, processing 1.2.0, file 2.1.0.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import rasterio

import cscl
from cscl.errors import GridError
from cscl.events import Job
from cscl.grid import GeoBox, pixel_size_m, same
from cscl.products import Prediction
from cscl.raster import facts

from .checksums import digests, files_of
from .draft import draft
from .footprint import footprint
from .stac_classes import class_list, known_file, machine_name, media_type

__all__ = ["EXTENSIONS", "ITEM", "MODEL_ITEM", "asset", "declared", "item", "projection", "when", "write_item"]

ITEM, MODEL_ITEM = "item.json", "model.json"
EXTENSIONS = {
    name: f"https://stac-extensions.github.io/{name}/v{version}/schema.json"
    for name, version in (
        ("projection", "2.0.0"), ("raster", "2.0.0"), ("classification", "2.0.0"), ("processing", "1.2.0"),
        ("file", "2.1.0"), ("mlm", "1.5.0"),
    )
}  # fmt: skip
_PREFIXES = {"projection": "proj"}
UNDATED = "The dates of the images are not known: the time is that at which the map was made."


def write_item(
    folder: str | Path,
    prediction: Prediction,
    *,
    title: str = "",
    derived_from: Iterable[str] = (),
    known: Mapping[str, str] | None = None,
) -> Job[Path]:
    """Write ``item.json``, which describes the files of an export that lie in a folder. A former one is replaced.

    Parameters
    ----------
    folder : path
        An export, whole but for this and its ``SHA256SUMS``.
    prediction : Prediction
        The map that was exported: place, legend and what is known of images and model.
    title : str
        Instead of one made of the map's name.
    derived_from : iterable of str
        Addresses (``https://``, ``s3://``) of what the map was made from, such as STAC Items of the images. Places on
        this machine mean nothing elsewhere; the lineage names these images.
    known : mapping, optional
        Digests that are known already, as `cscl.export.checksums.digests` has them.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError
        If it cannot be written.
    GridError
        If the map cannot be placed in degrees.
    """
    folder = Path(folder)
    with draft(folder, ITEM) as part:
        names = [name for name in files_of(folder) if name != ITEM and not Path(name).name.startswith(".")]
        sums = dict(known or {})
        sums |= yield from digests(folder, [name for name in names if name not in sums])
        written = item(folder, prediction, names, sums, title=title, derived_from=derived_from)
        text = json.dumps(written, indent=1, ensure_ascii=False, allow_nan=False)
        (part / ITEM).write_text(text + "\n", encoding="utf-8")
    return folder / ITEM


def item(
    folder: Path,
    prediction: Prediction,
    names: Iterable[str],
    sums: Mapping[str, str],
    *,
    title: str = "",
    derived_from: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the Item of `write_item` as plain values; the arguments are its, and the files with their digests."""
    geometry, box = footprint(prediction.grid)
    told, times = prediction.facts, when(prediction.facts)
    assets: dict[str, Any] = {}
    data_first = sorted(names, key=lambda name: ("data" not in known_file(name)[1], name))  # others lie beside data
    for name in data_first:
        stem = machine_name(name.rpartition(".")[0], (), "file")
        key = machine_name(name, assets) if stem in assets else stem
        assets[key] = asset(folder, name, sums[name], prediction)
    properties = {
        "title": title or f"Crop map {prediction.name}",
        "description": _description(prediction) + ("" if times["datetime"] is None else f" {UNDATED}"),
        **times,
        "created": _utc(dt.datetime.now(dt.UTC)),
        **_ground(prediction.grid),
        **projection(prediction.grid),
        "processing:lineage": _lineage(prediction),
        "processing:level": "L4",
        "processing:software": _software(told),
        "processing:version": str(told.get("cscl", cscl.__version__)),
        **({"processing:datetime": made} if (made := _time(told.get("when"))) else {}),
    }
    links = [{"rel": "derived_from", "href": str(address)} for address in derived_from]
    if MODEL_ITEM in names:
        model = {"href": f"./{MODEL_ITEM}", "type": "application/geo+json", "title": "The model that made the map"}
        links.append({"rel": "derived_from", **model})
    return {
        "type": "Feature", "stac_version": "1.1.0", "stac_extensions": declared(properties, assets),
        "id": machine_name(f"crop-map-{prediction.name}"), "geometry": geometry, "bbox": box,
        "properties": properties, "links": links, "assets": assets,
    }  # fmt: skip


def declared(properties: Mapping[str, Any], assets: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Extensions whose fields an Item holds: the schemas refuse one that names an extension in vain."""
    bands = [band for found in assets.values() for band in found.get("bands", ())]
    holders = [properties, *assets.values(), *bands, *properties.get("mlm:output", ())]
    prefixes = {field.partition(":")[0] for holder in holders for field in holder}
    return [address for name, address in EXTENSIONS.items() if _PREFIXES.get(name, name) in prefixes]


def asset(folder: Path, name: str, digest: str, prediction: Prediction | None = None) -> dict[str, Any]:
    """Describe one file: where, what, how large; bands and place of rasters, classes of the crop map."""
    title, roles = known_file(name)
    optimised, raster = False, dict[str, Any]()
    if name.endswith(".tif"):
        optimised, raster = _raster(folder / name, prediction)
    return {
        "href": f"./{name}",
        "type": media_type(name, cloud_optimised=optimised),
        **({"title": title} if title else {}),
        "roles": roles,
        "file:size": (folder / name).stat().st_size,
        "file:checksum": f"1220{digest}",  # a multihash: SHA-256, 32 bytes
        **raster,
        **({"classification:classes": class_list(prediction.legend)} if prediction and name == "crop_map.tif" else {}),
    }


def when(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the span of the images' dates; where none is known, the time at which the map was made, or now."""
    days = sorted(time for day in told.get("dates") or () if (time := _time(day)))
    if days:
        return {"datetime": None, "start_datetime": days[0], "end_datetime": days[-1]}
    return {"datetime": _time(told.get("when")) or _utc(dt.datetime.now(dt.UTC))}


def projection(grid: GeoBox) -> dict[str, Any]:
    """Return the fields of the projection extension: code, or WKT2 where there is none; shape, transform and box."""
    crs = grid.crs.proj  # type: ignore[union-attr]
    authority = crs.to_authority(min_confidence=100)
    box = grid.boundingbox
    return {
        "proj:code": ":".join(authority) if authority else None,
        **({} if authority else {"proj:wkt2": crs.to_wkt("WKT2_2019")}),
        "proj:shape": [int(n) for n in grid.shape],
        "proj:transform": [float(v) for v in tuple(grid.transform)[:6]],
        "proj:bbox": [float(v) for v in (box.left, box.bottom, box.right, box.top)],
    }


def _raster(path: Path, prediction: Prediction | None) -> tuple[bool, dict[str, Any]]:
    """Whether a GeoTIFF is cloud-optimised; its bands, and its place if that is not the Item's."""
    with rasterio.open(path) as src:
        optimised = src.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG"
        columns = (src.descriptions, src.dtypes, src.nodatavals, src.scales, src.offsets, src.units)
        bands = [_band(number, *values) for number, values in enumerate(zip(*columns, strict=True), 1)]
    grid = facts(path).grid()
    for band in bands:
        band |= {"raster:sampling": "area", **_ground(grid, "raster:spatial_resolution")}
    elsewhere = prediction is None or not same(grid, prediction.grid)
    return optimised, {"bands": bands, **(projection(grid) if elsewhere else {})}


def _band(
    number: int, what: str | None, dtype: str, nodata: float | None, scale: float, offset: float, unit: str | None
) -> dict[str, Any]:
    empty: Any = None
    if nodata is not None:
        empty = "nan" if nodata != nodata else int(nodata) if float(nodata).is_integer() else nodata
    return {
        "name": machine_name(what or f"band_{number}"),
        **({"description": what} if what else {}),
        "data_type": dtype,
        **({"nodata": empty} if empty is not None else {}),
        **({"unit": unit} if unit else {}),
        **({"raster:scale": scale, "raster:offset": offset} if (scale, offset) != (1, 0) else {}),
    }


def _software(told: Mapping[str, Any]) -> dict[str, str]:
    trained_with = (told.get("model_made") or {}).get("torch")
    return {
        "cscl": str(told.get("cscl", cscl.__version__)),
        **({"PyTorch (training)": str(trained_with)} if trained_with else {}),
    }


def _ground(grid: GeoBox, name: str = "gsd") -> dict[str, float]:
    try:
        height_m, width_m = pixel_size_m(grid)
    except GridError:  # degrees
        return {}
    return {name: round((height_m * width_m) ** 0.5, 6)}


def _description(prediction: Prediction) -> str:
    told = prediction.facts
    model = f" by the model {told['model']}" if told.get("model") else ""
    images = f" of {told['images']}" if told.get("images") else ""
    return f"Predicted crop classes{model} from satellite images{images}, with the files that go along with the map."


def _lineage(prediction: Prediction) -> str:
    told = prediction.facts
    dates = f", {len(told['dates'])} dates" if told.get("dates") else ""
    steps = [f"Images: {told.get('images', 'unknown')}{dates}; radiometry: {told.get('radiometry', 'unknown')}."]
    made = str((told.get("model_made") or {}).get("when", ""))[:10]
    steps.append(f"Model: {told.get('model', 'unknown')}{f', made {made}' if made else ''}.")
    if told.get("finer", 1) != 1:
        steps.append(f"The pixels are {told['finer']} times finer than those of the images ({told.get('finer_by')}).")
    if told.get("sharpened"):
        steps.append(f"Sharpened {told['sharpened']} times by {told.get('sharpened_by')}.")
    if told.get("joined"):
        steps.append(f"Joined from finer pixels: {told['joined']}.")
    return " ".join(steps)


def _time(text: Any) -> str | None:
    """Return a time as RFC 3339 in UTC; None where it is none."""
    try:
        found = dt.datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return _utc(found if found.tzinfo else found.replace(tzinfo=dt.UTC))


def _utc(time: dt.datetime) -> str:
    return time.astimezone(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
