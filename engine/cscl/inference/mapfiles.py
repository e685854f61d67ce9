"""The files of a prediction while they are made: written part by part, and read back before they count."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

from cscl.events import Job, Progress
from cscl.grid import GeoBox, Window
from cscl.legend import Legend

__all__ = ["FULL_CONFIDENCE", "NO_CONFIDENCE", "MapFiles", "write_facts"]

NO_CONFIDENCE = 255
FULL_CONFIDENCE = 250


class MapFiles:
    """The rasters of a prediction, open for writing part by part."""

    def __init__(self, folder: Path, grid: GeoBox, legend: Legend, probabilities: bool) -> None:
        self.folder, self.legend = folder, legend
        common = {
            "driver": "GTiff", "height": grid.shape[0], "width": grid.shape[1], "crs": str(grid.crs),
            "transform": grid.transform, "tiled": True, "blockxsize": 256, "blockysize": 256,
            "compress": "deflate", "bigtiff": "if_safer", "dtype": "uint8", "nodata": NO_CONFIDENCE, "count": 1,
        }  # fmt: skip
        kinds: dict[str, dict[str, Any]] = {
            "classes.tif": {"dtype": legend.dtype.name, "nodata": legend.ignore},
            "confidence.tif": {},
        }
        if probabilities:
            kinds["probabilities.tif"] = {"count": len(legend), "interleave": "band"}
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
        if not seen.size:
            return
        self.empty = self.empty and not seen.any()
        window = RasterioWindow(place.col, place.row, place.width, place.height)
        index = np.where(seen, probabilities.argmax(0), -1)
        scaled = np.rint(np.clip(probabilities, 0, 1) * FULL_CONFIDENCE).astype(np.uint8)
        scaled[:, ~seen] = NO_CONFIDENCE
        parts = {
            "classes.tif": self.legend.to_ids(index)[None],
            "confidence.tif": np.where(seen, scaled.max(0), NO_CONFIDENCE).astype(np.uint8)[None],
            "probabilities.tif": scaled,
        }
        for name, dataset in self._files.items():
            dataset.write(parts[name], window=window)
            self._sums.append((name, window, crc32(np.ascontiguousarray(parts[name]).tobytes())))

    def check(self) -> Job[None]:
        """Read the closed files again: a disk that fills while GDAL closes one goes unreported otherwise."""
        for done, (name, window, total) in enumerate(self._sums, 1):
            with rasterio.open(self.folder / name) as src:
                if crc32(src.read(window=window).tobytes()) != total:
                    raise OSError(f"what is read back from {name} is not what was written")
            yield Progress("checking", done, len(self._sums), "part")


def write_facts(folder: Path, legend: Legend, facts: Mapping[str, Any]) -> None:
    """Write ``prediction.json``: the legend, and where the map comes from."""
    text = json.dumps({"legend": legend.to_dict(), "facts": facts}, indent=1, ensure_ascii=False)
    (folder / "prediction.json").write_text(text, encoding="utf-8")
