"""How the QGIS plugin Deepness (0.6 and 0.7) reads a model and maps a raster with it, retold in a page.

It opens the file with onnxruntime, wants one input and one output, takes its settings from the metadata, divides what
it reads by 255, and joins the inner parts of overlapping tiles. What it would refuse fails here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import rasterio


class Deepness:
    """A model as Deepness opens it for segmentation."""

    def __init__(self, path: Path) -> None:
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (self.input,) = self.session.get_inputs()
        (self.output,) = self.session.get_outputs()
        self.told = self.session.get_modelmeta().custom_metadata_map
        batch, self.channels, height, self.tile_px = self.input.shape
        assert batch == 1 or isinstance(batch, str)
        assert height == self.tile_px and len(self.output.shape) == 4
        assert self.output.shape[2] == self.output.shape[3] == self.tile_px  # otherwise it is no Segmentor
        assert str(self._value("model_type")).capitalize() == "Segmentor"
        assert int(self._value("tile_size")) == self.tile_px
        self.resolution_m = float(self._value("resolution")) / 100
        self.mean, self.std = (
            np.array([float(v) for v in self._value(f"standardization_{what}")], np.float32) for what in ("mean", "std")
        )
        assert len(self.mean) == len(self.std) == self.channels
        self.overlap_px = int(self.tile_px * int(self._value("tiles_overlap")) / 100 * 2) // 2
        self.threshold = float(self._value("seg_thresh"))
        assert int(self._value("seg_small_segment")) == 0  # a median over the map otherwise

    def _value(self, name: str) -> Any:
        return json.loads(self.told[name])

    @property
    def class_names(self) -> list[str]:
        named = sorted(self._value("class_names").items(), key=lambda pair: int(pair[0]))
        assert [int(number) for number, _ in named] == list(range(self.output.shape[1]))
        return [name for _, name in named]

    def answer(self, tile_YXF: np.ndarray) -> np.ndarray:
        """Probabilities, axes (class, y, x), of a tile whose channels come last, as QGIS gives them."""
        scaled = np.float32(tile_YXF[None, :, :, : self.channels] * 1.0 / 255.0)
        scaled = (scaled - self.mean) / self.std
        return self.session.run(None, {self.input.name: np.transpose(scaled, (0, 3, 1, 2))})[0][0]

    def map(self, path: Path) -> np.ndarray:
        """Index of the class of each pixel of a raster, axes (y, x): its option 'Entire layer'."""
        with rasterio.open(path) as src:
            assert src.count >= self.channels and src.res == (self.resolution_m, self.resolution_m)
            assert src.dtypes[0] in ("uint8", "uint16", "int16", "float32", "float64")
            assert set(src.scales) == {1.0} and set(src.offsets) == {0.0}  # QGIS would apply them first
            raster_YXF, fill = src.read().transpose(1, 2, 0), src.nodata
        stride = self.tile_px - self.overlap_px
        sizes = [max(0, -(-(n - self.tile_px) // stride)) * stride + self.tile_px for n in raster_YXF.shape[:2]]
        sides = [(0, size - n) for size, n in zip(sizes, raster_YXF.shape[:2], strict=True)]
        padded_YXF = np.pad(raster_YXF, [*sides, (0, 0)], constant_values=fill)
        found_YX = np.zeros(sizes, np.uint8)
        half = self.overlap_px // 2
        for top in range(0, sizes[0] - self.tile_px + 1, stride):
            for left in range(0, sizes[1] - self.tile_px + 1, stride):
                answer = self.answer(padded_YXF[top : top + self.tile_px, left : left + self.tile_px])
                answer[answer < self.threshold] = 0
                rows, cols = (
                    slice(half if first else 0, self.tile_px - (half if first + self.tile_px < size else 0))
                    for first, size in ((top, sizes[0]), (left, sizes[1]))
                )
                place = slice(top + rows.start, top + rows.stop), slice(left + cols.start, left + cols.stop)
                found_YX[place] = answer.argmax(0)[rows, cols]
        return found_YX[: raster_YXF.shape[0], : raster_YXF.shape[1]]
