"""Fake catalogues: tiny images of Sentinel-2 and the items that each catalogue would write about them; no dice, no net.

The stored numbers of a band are those of `stored`: images that carry the shift of baseline 04.00 hold 1000 more.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

SIZE_M = 240
CORNER = (600_000, 5_700_000)
CRS = "EPSG:32631"
PIXEL_M = {"B02": 10, "B04": 10, "B8A": 20, "SCL": 20}
DAYS = ("2021-06-01", "2021-06-11", "2022-06-06")
NAMES = {
    "earth-search": {"B02": "blue", "B04": "red", "B8A": "nir08", "SCL": "scl"},
    "planetary-computer": {"B02": "B02", "B04": "B04", "B8A": "B8A", "SCL": "SCL"},
    "cdse": {"B02": "B02_10m", "B04": "B04_10m", "B8A": "B8A_20m", "SCL": "SCL_20m"},
    "unknown": {"B02": "band-a", "B04": "band-b", "B8A": "band-c", "SCL": "scl"},
}
COMMON = {"B02": "blue", "B04": "red", "B8A": "nir08"}
API = {
    "earth-search": "https://earth-search.aws.element84.com/v1",
    "planetary-computer": "https://planetarycomputer.microsoft.com/api/stac/v1",
    "cdse": "https://stac.dataspace.copernicus.eu/v1",
    "unknown": "https://stac.example.org",
}

Json = dict[str, Any]


def stored(band: str, day: str) -> NDArray[np.uint16]:
    """Numbers of a band without the shift; a zero, which means missing, in the corner of each."""
    size = SIZE_M // PIXEL_M[band]
    if band == "SCL":
        classes = np.full((size, size), 4, np.uint16)
        classes[:3, -3:] = 9  # a cloud
        return classes
    values = np.arange(size * size, dtype=np.uint16).reshape(size, size) + 500 + 100 * DAYS.index(day)
    values[0, 0] = 0
    return values


def write_images(folder: Path, day: str, shifted: bool = False) -> dict[str, Path]:
    """Write the bands of a day as one small GeoTIFF each."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for band, pixel_m in PIXEL_M.items():
        values = stored(band, day)
        if shifted and band != "SCL":
            values = np.where(values == 0, 0, values + 1000).astype(np.uint16)
        size, dtype = len(values), "uint8" if band == "SCL" else "uint16"
        paths[band] = folder / f"{band}_{day}.tif"
        with rasterio.open(
            paths[band], "w", "GTiff", size, size, 1, CRS, _transform(pixel_m), dtype, tiled=True, blockxsize=16,
            blockysize=16,
        ) as out:  # fmt: skip
            out.write(values.astype(dtype), 1)
    return paths


def product_of(day: str, baseline: str) -> str:
    """Name of the product that ESA would give."""
    return f"S2B_MSIL2A_{day.replace('-', '')}T105031_N{baseline.replace('.', '')}_R051_T31UFS_20230101T000000"


def item(catalogue: str, day: str, hrefs: dict[str, Any], baseline: str = "03.00", **properties: Any) -> Json:
    """Make the item that a catalogue writes of an image."""
    product, new = product_of(day, baseline), catalogue == "cdse"
    version = "2.0.0" if new else "1.1.0"
    said = {
        "datetime": f"{day}T10:50:31.024000Z",
        "platform": "sentinel-2b",
        "proj:code" if new else "proj:epsg": CRS if new else int(CRS[5:]),
        "processing:version" if new else "s2:processing_baseline": baseline,
        "s2:product_uri": f"{product}.SAFE",
        "sat:relative_orbit": 51,
        **properties,
    }
    own = f"{API[catalogue]}/collections/sentinel-2-l2a/items/{product}"
    return {
        "type": "Feature",
        "stac_version": "1.1.0" if new else "1.0.0",
        "stac_extensions": [
            f"https://stac-extensions.github.io/{name}/v{version}/schema.json"
            for name in ("projection", "raster", "eo")
        ],
        "id": product if catalogue != "earth-search" else f"S2B_31UFS_{day.replace('-', '')}_0_L2A",
        "geometry": {"type": "Polygon", "coordinates": [[[4, 51], [5, 51], [5, 52], [4, 51]]]},
        "bbox": [4, 51, 5, 52],
        "properties": {name: value for name, value in said.items() if value is not None},
        "links": [{"rel": "self", "href": own}],
        "collection": "sentinel-2-l2a",
        "assets": {
            **{NAMES[catalogue][band]: asset(catalogue, band, str(href)) for band, href in hrefs.items()},
            "visual": {"href": "TCI.tif", "type": "image/tiff", "eo:bands": [{"name": "B04"}, {"name": "B02"}]},
            "thumbnail": {"href": "small.jpg", "type": "image/jpeg", "roles": ["thumbnail"]},
        },
    }


def asset(catalogue: str, band: str, href: str) -> Json:
    """Make an asset; Earth Search advertises an offset whatever its values hold, the Planetary Computer none."""
    pixel_m, size = PIXEL_M[band], SIZE_M // PIXEL_M[band]
    made: Json = {
        "href": href,
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "roles": ["data"],
        "proj:shape": [size, size],
        "proj:transform": list(_transform(pixel_m))[:6],
    }
    optical, dtype = band != "SCL", "uint8" if band == "SCL" else "uint16"
    if catalogue == "cdse":
        made |= {"nodata": 0, "data_type": dtype, "bands": [{"name": band, "eo:common_name": COMMON.get(band)}]}
        made |= {"raster:scale": 1e-4, "raster:offset": -0.1} if optical else {}
    elif catalogue == "earth-search":
        values = {"scale": 1e-4, "offset": -0.1} if optical else {}
        made |= {"raster:bands": [{"nodata": 0, "data_type": dtype, **values}]}
    if catalogue in ("earth-search", "unknown") and optical:
        made |= {"eo:bands": [{"name": NAMES[catalogue][band], "common_name": COMMON[band]}]}
    return made


def write_collection(path: Path, items: list[Json]) -> Path:
    """Write items as one file, as an API answers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return path


def _transform(pixel_m: int) -> Affine:
    return Affine(pixel_m, 0, CORNER[0], 0, -pixel_m, CORNER[1])


class FakeAPI(ThreadingHTTPServer):
    """A STAC API on this machine that answers in pages of two; `asked` holds what it was asked.

    Parameters
    ----------
    items : list
        What it lists.
    knows_clouds : bool
        Whether it leaves out clouds by itself.
    fails : int
        Status that searches are answered with instead.
    """

    def __init__(self, items: list[Json], knows_clouds: bool = True, fails: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.items, self.knows_clouds, self.fails = items, knows_clouds, fails
        self.asked: list[Json] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def root(self) -> Json:
        """Say what the API is."""
        classes = ["core", "item-search", *(["item-search#query"] if self.knows_clouds else [])]
        return {
            "type": "Catalog", "stac_version": "1.0.0", "id": "fake", "description": "fake",
            "conformsTo": [f"https://api.stacspec.org/v1.0.0/{name}" for name in classes],
            "links": [
                {"rel": "root", "href": self.url, "type": "application/json"},
                {"rel": "self", "href": self.url, "type": "application/json"},
                {"rel": "search", "href": f"{self.url}/search", "type": "application/geo+json", "method": "POST"},
            ],
        }  # fmt: skip

    def page(self, asked: Json) -> Json:
        """Answer a search."""
        self.asked.append(asked)
        most = asked.get("query", {}).get("eo:cloud_cover", {}).get("lte", 100)
        found = [each for each in self.items if each["properties"].get("eo:cloud_cover", 0) <= most]
        found = [each for each in found if each["collection"] in asked["collections"]]
        begin = int(asked.get("token", 0))
        following = {
            "rel": "next",
            "href": f"{self.url}/search",
            "method": "POST",
            "body": {**asked, "token": begin + 2},
        }
        return {
            "type": "FeatureCollection", "numberMatched": len(found), "features": found[begin : begin + 2],
            "links": [following] if begin + 2 < len(found) else [],
        }  # fmt: skip


class _Answers(BaseHTTPRequestHandler):
    server: FakeAPI

    def do_GET(self) -> None:
        self._answer(200, self.server.root())

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.fails:
            self._answer(self.server.fails, {"detail": "no"})
        else:
            self._answer(200, self.server.page(asked))

    def _answer(self, status: int, told: Json) -> None:
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass
