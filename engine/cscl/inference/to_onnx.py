"""Trained models as ONNX: for programs without torch, and for the QGIS plugin Deepness."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

import cscl
from cscl.card import ModelCard
from cscl.cube import SITSCube
from cscl.errors import InputError
from cscl.events import Job, Note, Progress
from cscl.export.draft import draft, refuse
from cscl.export.stack import NODATA, OFFSET, SCALE, channels
from cscl.grid import pixel_size_m

from .onnx_file import Port, compared, require_packages, write_down
from .onnx_graphs import DeepnessGraph, PlainGraph
from .tiles import Model, load_model, suit_cube

__all__ = ["DeepnessOptions", "Written", "to_deepness", "to_onnx"]

STEP_PX = 8  # networks halve rows and columns up to three times: corners of tiles lie on multiples of this
TILES_PX = (256, 320, 384, 448, 512)
MOST_OVERLAP = 34  # percent, where the size of tiles is free
MOST_CLASSES = 253  # Deepness counts in bytes, from 1, and one more class is no data


@dataclass(frozen=True)
class DeepnessOptions:
    """How Deepness is to cut the raster."""

    tile_px: Annotated[
        int,
        {
            "min": 0, "max": 2048, "step": 32,
            "tooltip": "Side of the tiles that Deepness reads, pixels; 0 for 256, or more where the network looks far",
        },
    ] = 0  # fmt: skip


@dataclass(frozen=True)
class Written:
    """A model that was written as ONNX.

    Parameters
    ----------
    path : Path
        The file.
    inputs, outputs : tuple of Port
        Names and axes; a name of an axis stands for any length.
    difference : float
        Largest difference of a probability in onnxruntime from that in torch, over the samples that were tried.
    """

    path: Path
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    difference: float


def to_onnx(model: str | Path, out: str | Path, *, licence: str = "", overwrite: bool = False) -> Job[Written]:
    """Write a trained model as ONNX for a program of one's own.

    It reads ``reflectance`` (batch, time, band, y, x), float32, in the bands of the card; ``day`` (batch, time), int64,
    days since the reference date; and ``valid`` (batch, time, y, x), bool. It gives ``probabilities`` (batch, class, y,
    x), and ``ids`` (batch, y, x), int32: class ids of the legend, that of the unknown where no date saw the pixel.
    The metadata of the file tell the rest, in words and JSON.

    Parameters
    ----------
    model : path
        Model folder.
    out : path
        File to make, ``NAME.onnx``.
    licence : str
        Licence of the model, if it is known.
    overwrite : bool
        Replace a former file.

    Raises
    ------
    InputError
        If the model is only pre-trained, its network cannot be written as ONNX, or a package is missing.
    OutputError
        If the file cannot or must not be written, or onnxruntime answers otherwise than torch.
    """
    path, loaded = _begun(model, out, overwrite)
    card, finer = loaded.card, loaded.finer
    bands, classes = len(card.bands), len(card.legend)
    fine: tuple[str, str] = ("y", "x") if finer == 1 else (f"{finer}*y", f"{finer}*x")
    dates = loaded.network.needs.dates or card.dates
    inputs = [
        Port("reflectance", ("batch", "time", bands, "y", "x")),
        Port("day", ("batch", "time")),
        Port("valid", ("batch", "time", "y", "x")),
    ]
    outputs = [Port("probabilities", ("batch", classes, *fine)), Port("ids", ("batch", *fine))]
    step = max(STEP_PX, loaded.network.needs.multiple_px)
    sample = _sample(card, 5 if dates == 3 else 3, dates, 5 * step, 7 * step)
    described = {**_described(card, loaded, licence), "inputs": _plain_inputs(card), "outputs": OUTPUTS}
    graph = PlainGraph(loaded).eval()
    with draft(path.parent, path.name) as folder:
        yield Progress("writing down the network", 0, 2)
        what = f"The network {card.model.name}"
        found = write_down(graph, sample, inputs, outputs, described, folder / path.name, what)
        yield Progress("comparing with torch", 1, 2)
        items, most = (2 if isinstance(axis, str) else axis for axis in found[0].axes[:2])
        few = max(2, dates - 2) if isinstance(found[0].axes[1], str) else most
        tried = [(items, few, 3 * step + 3, 4 * step), (1 if items == 2 else items, few, 4 * step, 3 * step)]
        sizes = [size if isinstance(found[0].axes[3], str) else (*size[:2], 5 * step, 7 * step) for size in tried]
        difference = compared(folder / path.name, graph, [sample, *(_sample(card, *size) for size in sizes)])
    yield from _limits(found)
    yield Progress("comparing with torch", 2, 2)
    return Written(path, tuple(found), tuple(outputs), difference)


def to_deepness(
    model: str | Path,
    cube: SITSCube,
    out: str | Path,
    options: DeepnessOptions | None = None,
    *,
    licence: str = "",
    overwrite: bool = False,
) -> Job[tuple[Written, SITSCube]]:
    """Write a trained model as ONNX for the QGIS plugin Deepness and the dates of some images.

    Its input is a tile of the raster that `cscl.export.stack.write_stack` makes of the cube that is returned: all bands
    of the first date, then of the second. Dates are part of the file: other dates need another file.

    Parameters
    ----------
    model : path
        Model folder.
    cube : SITSCube
        Images to be mapped in QGIS. They tell dates and size of pixels; none is read.
    out : path
        File to make, ``NAME.onnx``.
    options : DeepnessOptions, optional
        Size of tiles.
    licence : str
        Licence of the model, if it is known.
    overwrite : bool
        Replace a former file.

    Returns
    -------
    Written
        The file.
    SITSCube
        The cube in the bands and dates that the file wants, for `write_stack`.

    Raises
    ------
    CSCLError
        As `to_onnx`; and if the images do not suit the model, or are not in what Deepness can read.
    """
    path, loaded = _begun(model, out, overwrite)
    suited, warnings = suit_cube(cube, loaded.card, loaded.network.needs.least_dates)
    yield from (Note(text, warning=True) for text in warnings)
    _require_readable(suited, loaded.card)
    tile_px, percent = _cut(loaded, (options or DeepnessOptions()).tile_px)
    days, names = loaded.card.days_of(suited.dates), channels(suited)
    inputs = [Port("raster", (1, len(names), tile_px, tile_px))]
    outputs = [Port("probabilities", (1, len(loaded.card.legend) + 1, tile_px, tile_px))]
    described = {
        **_described(loaded.card, loaded, licence),
        **_for_deepness(loaded.card, suited, tile_px, percent),
        "channels": _json(names), "nodata": str(NODATA), "stored_to_reflectance": f"stored * {SCALE:g} + {OFFSET:g}",
        "inputs": "raster: numbers as they are stored, divided by 255 as Deepness does; channels as listed",
        "outputs": "probabilities: those of the classes, and as the last channel 1 where no date has data",
    }  # fmt: skip
    graph = DeepnessGraph(loaded, [int(day) for day in days]).eval()
    samples = [(_raster(len(suited.dates), len(suited.bands), tile_px),)]
    with draft(path.parent, path.name) as folder:
        yield Progress("writing down the network", 0, 2)
        what = f"The network {loaded.card.model.name}"
        write_down(graph, samples[0], inputs, outputs, described, folder / path.name, what)
        yield Progress("comparing with torch", 1, 2)
        difference = compared(folder / path.name, graph, samples)
    if loaded.finer > 1:
        yield Note(
            f"The model maps pixels {loaded.finer} times finer. Deepness cannot show them: its map has the pixels of "
            "the images, with the mean of the probabilities."
        )
    yield Progress("comparing with torch", 2, 2)
    return Written(path, tuple(inputs), tuple(outputs), difference), suited


# --- what is asked of a model ------------------------------------------------------------------------------------


def _begun(folder: str | Path, out: str | Path, overwrite: bool) -> tuple[Path, Model]:
    """Refuse what cannot be written before anything takes time; load the model."""
    path = Path(out)
    if path.suffix != ".onnx":
        raise InputError(f"{path} has not the ending .onnx, by which programs know the format. Add it.")
    refuse(path, overwrite=overwrite)
    require_packages()
    loaded = load_model(folder, "cpu")
    if loaded.card.stage != "trained":
        raise InputError(
            f"{folder} is only pre-trained: its classifier knows nothing yet. Train it with cscl train --start."
        )
    return path, loaded


def _require_readable(cube: SITSCube, card: ModelCard) -> None:
    height_m, width_m = pixel_size_m(cube.grid)
    units = {axis.unit_name for axis in cube.grid.crs.proj.axis_info} if cube.grid.crs is not None else set()
    if units != {"metre"} or abs(height_m - width_m) > 1e-6 * width_m:
        raise InputError(
            f"Deepness reads square pixels in metres, and {cube.name} has {height_m:g} x {width_m:g} in the system "
            f"{cube.grid.crs}. Bring the images to a metric system, e.g. with gdalwarp."
        )
    if len(card.legend) > MOST_CLASSES:
        raise InputError(
            f"Deepness tells {MOST_CLASSES} classes apart, and the model has {len(card.legend)}. Join some, or map "
            "with cscl predict."
        )


def _cut(model: Model, tile_px: int) -> tuple[int, int]:
    """Find the size of tiles and their overlap in whole percent, so that half of it covers the margin.

    Deepness computes the overlap as below, and cuts away half of it; tiles must also agree in where they begin.
    """
    if tile_px % max(STEP_PX, model.network.needs.multiple_px):
        raise InputError(f"Tiles of {tile_px} pixels cannot be halved. Give a multiple of 32, or 0.")
    for size in (tile_px,) if tile_px else TILES_PX:
        for percent in range(81):
            overlap = int(size * percent / 100 * 2) // 2
            enough = overlap % (2 * STEP_PX) == 0 and overlap // 2 >= model.margin_px and overlap < size
            if enough and (tile_px or percent <= MOST_OVERLAP or size == TILES_PX[-1]):
                return size, percent
    raise InputError(
        f"The network looks {model.margin_px} pixels far, too far for tiles of {tile_px or TILES_PX[-1]} pixels. "
        f"Give --tile-px, e.g. {-(-5 * model.margin_px // 32) * 32}."
    )


def _limits(found: Sequence[Port]) -> Job[None]:
    """Say which axes have one length alone."""
    batch, dates, _, rows, columns = found[0].axes
    if not isinstance(dates, str):
        yield Note(
            f"The file reads {dates} dates, no more and no fewer: add dates that are valid nowhere, at the end, where "
            "there are fewer."
        )
    fixed = [f"{axis} {what}" for axis, what in ((batch, "items"), (rows, "rows"), (columns, "columns")) if axis != what
             and not isinstance(axis, str)]  # fmt: skip
    if fixed:
        yield Note(f"The file reads {', '.join(fixed)}, no more and no fewer.", warning=True)


# --- samples to trace and compare with ---------------------------------------------------------------------------


def _sample(card: ModelCard, items: int, dates: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Make up inputs of the plain form, with gaps that hold NaN and a date that nothing saw."""
    rng = torch.Generator().manual_seed(items * height + width)
    mean_C11, std_C11 = (torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (card.mean, card.std))
    valid = torch.rand(items, dates, height, width, generator=rng) > 0.3
    valid[:, -1], valid[:, :, 0, :2] = False, False
    values = mean_C11 + std_C11 * torch.randn(items, dates, len(card.bands), height, width, generator=rng)
    span = max(1, card.last_day - card.first_day)
    days = card.first_day + torch.randint(0, span, (items, dates), generator=rng).sort(dim=1).values
    return values.masked_fill(~valid[:, :, None], torch.nan), days, valid


def _raster(dates: int, bands: int, tile_px: int) -> Tensor:
    """Make up a tile as Deepness gives it, ``(1, F, H, W)``, with gaps and a corner that no date saw."""
    rng = torch.Generator().manual_seed(tile_px)
    stored = torch.randint(1001, 6000, (1, dates, bands, tile_px, tile_px), generator=rng)
    clear = torch.rand(1, dates, 1, tile_px, tile_px, generator=rng) > 0.3
    clear[..., :4, :4] = False
    return (stored * clear).flatten(1, 2) / 255.0


# --- what is told in the file ------------------------------------------------------------------------------------

OUTPUTS = (
    "probabilities: of each class in the order of classes, summing to 1, without meaning where no date is valid; "
    "ids: id of the most probable class, that of ignore where no date is valid"
)


def _plain_inputs(card: ModelCard) -> str:
    return (
        f"reflectance: unitless, 0..1, bands {', '.join(card.bands)}; day: days since {card.reference_date} "
        f"({card.first_day}..{card.last_day} were learnt), moved by whole years for another year; valid: whether the "
        "pixel was seen on that date, without clouds"
    )


def _described(card: ModelCard, model: Model, licence: str) -> dict[str, str]:
    needs = model.network.needs
    classes = [{**asdict(c), "index": index} for index, c in enumerate(card.legend.classes)]
    told = {
        "description": f"Crop classes from a satellite image time series, by the model {card.name} of cscl.",
        "model": card.name, "architecture": card.model.name, "made_by": f"cscl {cscl.__version__}",
        "model_made": _json(dict(card.made)), "licence": licence,
        "classes": _json(classes), "ignore": str(card.legend.ignore),
        "bands": _json(card.bands), "units": "reflectance, unitless (1 is all light)", "mean": _json(card.mean),
        "std": _json(card.std), "reference_date": card.reference_date.isoformat(), "first_day": str(card.first_day),
        "last_day": str(card.last_day), "dates": str(card.dates), "pixel_size_m": f"{card.pixel_size_m:g}",
        "finer": str(model.finer), "margin_px": str(model.margin_px), "step_px": str(model.step_px),
        "whole_tile": _json(needs.whole_tile), "remarks": needs.remarks,
    }  # fmt: skip
    return {key: text for key, text in told.items() if text}


def _for_deepness(card: ModelCard, cube: SITSCube, tile_px: int, percent: int) -> Mapping[str, str]:
    """Return what Deepness reads, each as JSON; lengths in its units."""
    names = [*card.legend.names, "no data"]
    count = len(cube.dates) * len(cube.bands)
    told = {
        "model_type": "Segmentor",
        "class_names": {str(index): name for index, name in enumerate(names)},
        "resolution": round(pixel_size_m(cube.grid)[0] * 100, 6),  # centimetres
        "tile_size": tile_px,
        "tiles_size": tile_px,  # as its documentation has it
        "tiles_overlap": percent,
        "seg_thresh": 0.0,  # above it, what is improbable would become the first class
        "seg_small_segment": 0,
        "standardization_mean": [0.0] * count,  # the graph does it; without these, old versions expect 3 channels
        "standardization_std": [1.0] * count,
    }
    return {key: _json(value) for key, value in told.items()}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
