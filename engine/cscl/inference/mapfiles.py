"""The files of a prediction while they are made: written part by part, and read back before they count.

Classes and confidence become cloud-optimised GeoTIFFs, whose smaller copies show a whole tile at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

from cscl.aside import side_thread, waited
from cscl.events import Job, Progress
from cscl.export.geotiff import copy_cog
from cscl.grid import GeoBox, Window
from cscl.legend import Legend

__all__ = ["FULL_CONFIDENCE", "NO_CONFIDENCE", "Coded", "MapFiles", "coded", "write_facts"]

NO_CONFIDENCE = 255
FULL_CONFIDENCE = 250
CLASSES, CONFIDENCE, MARGIN, PROBABILITIES = "classes.tif", "confidence.tif", "margin.tif", "probabilities.tif"
_COMPRESSED: Mapping[str, Literal["nearest", "average"]] = {
    CLASSES: "nearest", CONFIDENCE: "average", MARGIN: "average"
}  # fmt: skip


Coded = Mapping[str, NDArray[Any]]
"""A part of a map as its files hold it: for each file its bands, axes (band, y, x)."""


def coded(
    probabilities: NDArray[np.float32], seen: NDArray[np.bool_], legend: Legend, *, many: bool
) -> dict[str, NDArray[Any]]:
    """Turn a part (class, y, x) of a map into what its files hold; unseen pixels are no data.

    `many` is whether there is a file of all probabilities.
    """
    index = np.where(seen, probabilities.argmax(0), -1)
    scaled = np.rint(np.clip(probabilities, 0, 1) * FULL_CONFIDENCE).astype(np.uint8)
    scaled[:, ~seen] = NO_CONFIDENCE
    sure, second = _two_best(scaled)
    margin = np.where(seen, sure - second, NO_CONFIDENCE).astype(np.uint8)
    parts = {CLASSES: np.asarray(legend.to_ids(index))[None], CONFIDENCE: sure[None], MARGIN: margin[None]}
    return {**parts, PROBABILITIES: scaled} if many else parts


def _two_best(values: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the greatest and the second greatest of the first axis; a second of one value is 0."""
    best, second = values[0].copy(), np.zeros_like(values[0])
    for each in values[1:]:
        np.maximum(second, np.minimum(best, each), out=second)
        np.maximum(best, each, out=best)
    return best, second


class MapFiles:
    """The rasters of a prediction, open for writing part by part."""

    def __init__(self, folder: Path, grid: GeoBox, legend: Legend, probabilities: bool) -> None:
        self.folder, self.legend, self.many = folder, legend, probabilities
        common = {
            "driver": "GTiff", "height": grid.shape[0], "width": grid.shape[1], "crs": str(grid.crs),
            "transform": grid.transform, "tiled": True, "blockxsize": 256, "blockysize": 256,
            "bigtiff": "if_safer", "dtype": "uint8", "nodata": NO_CONFIDENCE, "count": 1,
        }  # fmt: skip
        kinds: dict[str, dict[str, Any]] = {
            CLASSES: {"dtype": legend.dtype.name, "nodata": legend.ignore},
            CONFIDENCE: {},
            MARGIN: {},
        }
        if probabilities:
            kinds[PROBABILITIES] = {"count": len(legend), "interleave": "band", "compress": "deflate"}
        self._files = {name: rasterio.open(folder / name, "w", **(common | kind)) for name, kind in kinds.items()}
        self._sums: list[tuple[str, RasterioWindow, int]] = []
        self.empty = True

    def __enter__(self) -> MapFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for dataset in self._files.values():
            dataset.close()

    def write(self, place: Window, probabilities: NDArray[np.float32], seen: NDArray[np.bool_]) -> None:
        """Write a part (class, y, x) of the map; unseen pixels are no data."""
        self.put(place, coded(probabilities, seen, self.legend, many=self.many))

    def put(self, place: Window, parts: Coded) -> None:
        """Write a part of the map as `coded` makes it."""
        if not place.height or not place.width:
            return
        self.empty = self.empty and bool((parts[CONFIDENCE] == NO_CONFIDENCE).all())
        window = RasterioWindow(place.col, place.row, place.width, place.height)
        for name, dataset in self._files.items():
            dataset.write(parts[name], window=window)
            self._sums.append((name, window, crc32(np.ascontiguousarray(parts[name]).tobytes())))

    def finish(self) -> Job[None]:
        """Compress the closed files and read them again: a disk that fills unseen goes unreported otherwise."""
        with side_thread() as thread:
            for done, (name, overviews) in enumerate(_COMPRESSED.items()):
                compressing = thread.submit(self._compress, name, overviews)
                yield from waited(compressing, Progress("compressing", done, len(_COMPRESSED), "file"))
        for done, (name, window, total) in enumerate(self._sums, 1):
            with rasterio.open(self.folder / name) as src:
                if crc32(src.read(window=window).tobytes()) != total:
                    raise OSError(f"what is read back from {name} is not what was written")
            yield Progress("checking", done, len(self._sums), "part")

    def _compress(self, name: str, overviews: Literal["nearest", "average"]) -> None:
        plain = self.folder / f"plain_{name}"
        (self.folder / name).replace(plain)
        copy_cog(plain, self.folder / name, overviews)
        plain.unlink()


def write_facts(folder: Path, legend: Legend, facts: Mapping[str, Any]) -> None:
    """Write ``prediction.json``: the legend, and where the map comes from."""
    text = json.dumps({"legend": legend.to_dict(), "facts": facts}, indent=1, ensure_ascii=False)
    (folder / "prediction.json").write_text(text, encoding="utf-8")
