"""Maps from models: tiled, blended, streamed to disk strip by strip, so that memory does not grow with the area."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from zlib import crc32

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

import cscl
from cscl.cube import SITSCube
from cscl.errors import InputError, OutputError
from cscl.events import Job, Note, Progress
from cscl.grid import GeoBox
from cscl.legend import Legend
from cscl.products import Prediction
from cscl.results import begin, put, require_place

from .tiles import Model, load_model, overlapping_tiles, suit_cube

__all__ = ["PredictOptions", "predict"]

NO_CONFIDENCE = 255
FULL_CONFIDENCE = 250


@dataclass(frozen=True)
class PredictOptions:
    """How a map is made."""

    tile_px: Annotated[int, {"min": 32, "max": 2048, "step": 16, "tooltip": "Distance between tiles, pixels"}] = 256
    blend_px: Annotated[int, {"min": 0, "max": 64, "step": 2, "tooltip": "Width over which tiles blend, pixels"}] = 16
    probabilities: Annotated[bool, {"tooltip": "Also write the probability of every class"}] = False

    def __post_init__(self) -> None:
        if self.blend_px > self.tile_px:
            raise InputError(
                f"Tiles of {self.tile_px} pixels cannot blend over {self.blend_px}. Give a blend_px of at most tile_px."
            )


def predict(
    model: str | Path,
    cube: SITSCube,
    out: str | Path,
    options: PredictOptions | None = None,
    *,
    device: str = "auto",
    overwrite: bool = False,
) -> Job[Prediction]:
    """Map a cube with a trained model.

    Parameters
    ----------
    model : path
        Model folder of `cscl.training.segment.train`.
    cube : SITSCube
        Images; they must hold the model's bands.
    out : path
        Folder to make: ``classes.tif``, ``confidence.tif``, on request ``probabilities.tif``, ``prediction.json``.
    options : PredictOptions, optional
        Tiles and outputs.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    overwrite : bool
        Replace a former prediction; anything else is never replaced.

    Raises
    ------
    CSCLError
        For a model that cannot be used on this cube and places that cannot be written; the message says the remedy.
    """
    options, out = options or PredictOptions(), Path(out)
    require_place(out, "prediction.json", overwrite=overwrite)
    loaded = load_model(model, device)
    if loaded.card.stage != "trained":
        raise InputError(
            f"{model} is only pre-trained: its classifier knows nothing yet. Train it with cscl train --start."
        )
    cube, warnings = suit_cube(cube, loaded.card, loaded.network.needs.least_dates)
    for warning in warnings:
        yield Note(warning, warning=True)
    part = begin(out, overwrite=overwrite)
    try:
        yield from _stream(loaded, cube, part, options)
        _write_facts(part, loaded, cube, str(Path(model).resolve()))
        put(part, out)
    except (OSError, rasterio.errors.RasterioIOError) as error:
        raise OutputError(
            f"The map {out} cannot be written ({error}). Make room on the disk or choose another place."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Prediction.open(out)


def _stream(model: Model, cube: SITSCube, folder: Path, options: PredictOptions) -> Job[None]:
    """Run tile by tile; each strip of tiles is added up in memory and written when the next no longer touches it."""
    shape = cube.shape
    classes = len(model.card.legend)
    strips = overlapping_tiles(shape, options.tile_px, model.margin_px, options.blend_px, model.step_px)
    done, total = 0, sum(map(len, strips))
    sink = _Sink(folder, cube.grid, model.card.legend, options.probabilities)
    with sink:
        carried = np.zeros((classes, 0, shape[1]), np.float32)
        carried_seen = np.zeros((0, shape[1]), bool)
        for strip in strips:
            top = strip[0].write.row
            height = strip[0].write.height
            sums = np.zeros((classes, height, shape[1]), np.float32)
            seen = np.zeros((height, shape[1]), bool)
            sums[:, : carried.shape[1]] += carried
            seen[: carried_seen.shape[0]] |= carried_seen
            for tile in strip:
                probabilities, _, valid = model.answer(cube, tile.read)
                inner = tile.write.within(tile.read)
                cols = tile.write.cols
                sums[:, :, cols] += probabilities[:, *inner.slices] * tile.weights(shape, options.blend_px)
                seen[:, cols] |= valid[inner.slices]
                done += 1
                yield Progress("mapping", done, total, "tile")
            finished = height if top + height == shape[0] else height - options.blend_px
            sink.write(top, sums[:, :finished], seen[:finished])
            carried, carried_seen = sums[:, finished:], seen[finished:]
    yield from sink.check()
    if sink.empty:
        yield Note(
            f"No pixel of {cube.name} is usable on any date, so the map is empty. Check the mask and the nodata value "
            "with cscl info.",
            warning=True,
        )


class _Sink:
    """The rasters of a prediction, open for writing strips from top to bottom."""

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

    def __enter__(self) -> _Sink:
        return self

    def __exit__(self, *_: object) -> None:
        for dataset in self._files.values():
            dataset.close()

    def write(self, row: int, probabilities: NDArray[np.float32], seen: NDArray[np.bool_]) -> None:
        """Write the strip (class, y, x) whose first row is `row`; unseen pixels are no data."""
        if not seen.size:
            return
        self.empty = self.empty and not seen.any()
        window = RasterioWindow(0, row, seen.shape[1], seen.shape[0])
        index = np.where(seen, probabilities.argmax(0), -1)
        scaled = np.rint(np.clip(probabilities, 0, 1) * FULL_CONFIDENCE).astype(np.uint8)
        scaled[:, ~seen] = NO_CONFIDENCE
        strips = {
            "classes.tif": self.legend.to_ids(index)[None],
            "confidence.tif": np.where(seen, scaled.max(0), NO_CONFIDENCE).astype(np.uint8)[None],
            "probabilities.tif": scaled,
        }
        for name, dataset in self._files.items():
            dataset.write(strips[name], window=window)
            self._sums.append((name, window, crc32(np.ascontiguousarray(strips[name]).tobytes())))

    def check(self) -> Job[None]:
        """Read the closed files again: a disk that fills while GDAL closes one goes unreported otherwise."""
        for done, (name, window, total) in enumerate(self._sums, 1):
            with rasterio.open(self.folder / name) as src:
                if crc32(src.read(window=window).tobytes()) != total:
                    raise OSError(f"what is read back from {name} is not what was written")
            yield Progress("checking", done, len(self._sums), "strip")


def _write_facts(folder: Path, model: Model, cube: SITSCube, where: str) -> None:
    card = model.card
    facts: Mapping[str, Any] = {
        "images": cube.name,
        "dates": [str(d.astype("datetime64[s]")) for d in cube.dates],
        "radiometry": cube.radiometry.source,
        "model": card.name,
        "model_folder": where,
        "model_made": dict(card.made),
        "cscl": cscl.__version__,
        "when": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
    text = json.dumps({"legend": card.legend.to_dict(), "facts": facts}, indent=1, ensure_ascii=False)
    (folder / "prediction.json").write_text(text, encoding="utf-8")
