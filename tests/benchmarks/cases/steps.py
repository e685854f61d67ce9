"""What a training step takes, in float32 and in bfloat16, how little of it is the loss, and how soon data are drawn."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from cases.answers import CPU, plain_answer, require_units
from peers import deepsat_unet3df
from suite import Case, Form
from suite.measuring import timed
from torch import nn
from worlds import BANDS, CLASSES, DATES, scene

from cscl.data import at_hand
from cscl.data.batches import Batch, Patches
from cscl.data.network import build_network, make_loss
from cscl.data.readers import open_cube
from cscl.data.split import Side
from cscl.device import autocast
from cscl.events import run
from cscl.export.cube import write_cube
from cscl.losses.cscl import CSCLLoss, CSCLOptions
from cscl.models import DataShape, models
from cscl.recipe import Recipe
from cscl.training.loop import Learner, train_step
from cscl.training.prepare import prepare as prepared_of

PATCH_PX, BATCH = Recipe().data.patch_px, Recipe().train.batch
Act = Callable[[], object]


def published(form: str, size_px: int, window: int = 3, alone: bool = False) -> Act:
    """A step of UNet3Df with the contrastive loss: 4 samples, 16 dates, 13 bands; or its loss alone."""
    require_units(form)
    torch.manual_seed(0)
    architecture = models.get("unet3df")
    network = architecture.build(architecture.options(), DataShape(bands=13, classes=CLASSES)).train()
    loss = CSCLLoss(CSCLOptions(window=window), network.embedding_width)
    learnt = [*network.parameters(), *loss.parameters()]
    optimiser = torch.optim.AdamW(learnt, lr=0.0, weight_decay=0.0, fused=form != "plain")
    series = (
        torch.randn(4, 16, 13, size_px, size_px), torch.arange(16).expand(4, -1) * 20,
        torch.ones(4, 16, size_px, size_px).bool(),
    )  # fmt: skip
    parcels_BHW = torch.randint(0, 6, (4, size_px // 6, size_px // 6)).repeat_interleave(6, 1).repeat_interleave(6, 2)
    given_BDHW = network(*series)[1].detach().requires_grad_()

    def act() -> list[float]:
        optimiser.zero_grad()
        with autocast(CPU, "bfloat16" if form == "bfloat16" else "float32"):
            if alone:
                embedding_BDHW = given_BDHW
            else:
                embedding_BDHW = plain_answer(network, series)[1] if form == "plain" else network(*series)[1]
            value = loss(embedding_BDHW, parcels_BHW)[0]
        value.backward()
        optimiser.step()
        return [value.item(), sum(float(w.grad.double().square().sum()) for w in learnt if w.grad is not None) ** 0.5]

    return act


def published_by_peer(size_px: int) -> Act:
    """The same step by the public code; its loss is linear in the similarities, too."""
    torch.manual_seed(0)
    network = deepsat_unet3df(14, 16, CLASSES, stage=0).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=0.0)
    series, sign = torch.randn(4, 14, 16, size_px, size_px), torch.randn(4, size_px, size_px, 3, 3).sign()

    def act() -> None:
        optimiser.zero_grad()
        (network(series) * sign).mean().backward()
        optimiser.step()

    return act


def supervised(form: str, axis: str, work: int) -> Act:
    """A step of the default recipe, on a batch that is there already."""
    require_units(form)
    shape = {"dates": DATES, "bands": BANDS, "size_px": PATCH_PX, axis: work}
    torch.manual_seed(0)
    settings = replace(Recipe().train, precision=form)
    architecture = models.get("compact")
    network = architecture.build(architecture.options(), DataShape(bands=shape["bands"], classes=CLASSES))
    return step_of(network, settings, batch_of(**shape))


def step_of(network: nn.Module, settings: Any, batch: Batch) -> Act:
    loss: Any = make_loss(settings.loss, "logits", CLASSES)
    learner = Learner.start(nn.ModuleDict({"network": network}), settings)

    def objective(batch: Batch) -> Any:
        return loss(network(batch.x_BTCHW, batch.day_BT, batch.valid_BTHW)[0], batch.class_BHW)

    return lambda: train_step(learner, batch, objective, CPU, 1e-3, settings.clip)


def batch_of(dates: int, bands: int, size_px: int) -> Batch:
    size = size_px, size_px
    class_BHW = torch.randint(0, CLASSES, (BATCH, size_px // 6 + 1, size_px // 6 + 1))
    class_BHW = class_BHW.repeat_interleave(6, 1).repeat_interleave(6, 2)[:, :size_px, :size_px]
    return Batch(
        torch.randn(BATCH, dates, bands, *size), torch.arange(dates).expand(BATCH, -1) * 14,
        torch.rand(BATCH, dates, *size) > 0.3, class_BHW, class_BHW, torch.ones(BATCH, *size).bool(),
        torch.zeros(BATCH, 0, *size, dtype=torch.long), torch.zeros(BATCH, 0, *size),
    )  # fmt: skip


def drawing(source: str, dates: int) -> Act:
    """Draw a batch of the default recipe from images in memory or on the disk; or the step that learns from it."""
    recipe = Recipe().with_settings([f"data.dates={dates}"])
    prepared = run(prepared_of([scene(512, dates)], recipe, Path("model")))
    if source in ("bfloat16", "float32"):
        require_units(source)
        network, _ = build_network(prepared.card)
        batch = patches(prepared).draw(0, BATCH)
        return step_of(network, replace(recipe.train, precision=source), batch)
    if source != "memory":
        scenes = [replace(each.scene, cube=on_disk(source, each.scene.cube)) for each in prepared.sources]
        sources = (replace(e, scene=s) for e, s in zip(prepared.sources, scenes, strict=True))
        prepared = replace(prepared, sources=tuple(sources))
    drawer, steps = patches(prepared), iter(range(10**9))

    def act() -> None:
        drawer.draw(next(steps), BATCH)

    return act


def patches(prepared: Any) -> Patches:
    return prepared.patches(Side.TRAIN, "class", augment=True)


HELD: list[tempfile.TemporaryDirectory[str]] = []  # they go when the process ends


def on_disk(source: str, cube: Any) -> Any:
    """Write images as a store, or as a GeoTIFF a date, and open them again, or the copy that training makes of them."""
    if source == "copy":
        at_hand.MEMORY_SHARE = 0.0
        return run(at_hand.at_hand(on_disk("Zarr", cube), Path(tempfile.gettempdir())))
    HELD.append(tempfile.TemporaryDirectory())
    folder = Path(HELD[-1].name)
    if source == "Zarr":
        run(write_cube(cube, folder / "cube.zarr"))
        return open_cube(folder / "cube.zarr").select(bands=cube.bands)
    import rasterio

    form = {"dtype": "uint16", "tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "nodata": 0}
    place = {"crs": str(cube.grid.crs), "transform": cube.grid.transform}
    for date, stored in zip(cube.dates, cube.stored.values, strict=True):
        file, shape = folder / f"S2_{str(date)[:10].replace('-', '')}.tif", cube.shape
        with rasterio.open(file, "w", "GTiff", shape[1], shape[0], len(cube.bands), **place, **form) as out:
            out.write(stored)
            out.descriptions = cube.bands
    return open_cube(folder).select(bands=cube.bands)


def loss_share(part: str, window: int) -> Act:
    return published("float32", PATCH_PX, window, alone=part == "loss")


def forms(axis: str) -> dict[str, Form]:
    return {form: Form(timed(supervised, form, axis)) for form in ("float32", "bfloat16")}


def samples(_: int) -> float:
    return BATCH


DEFAULT = f"A training step of the default recipe ({BATCH} samples)"
CASES = [
    Case(
        "step-unet3df", "A step of UNet3Df with the contrastive loss: 4 samples, 16 dates, 13 bands.",
        {
            "plain": Form(timed(published, "plain"), naive=True),
            "DeepSatModels": Form(timed(published_by_peer), peer=True),
            "float32": Form(timed(published, "float32"), tolerance=1e-3),
            "bfloat16": Form(timed(published, "bfloat16")),
        },
        "side, pixels", (24, 48), (24,), ("samples", lambda _: 4),
    ),
    Case(
        "step-loss", "The contrastive loss beside the whole step of UNet3Df: at most a fiftieth of it is wanted.",
        {"step": Form(timed(loss_share, "step")), "loss": Form(timed(loss_share, "loss"))},
        "window, pixels", (3, 5, 7),
    ),
    Case(
        "step-compact-area", f"{DEFAULT}, {DATES} dates, {BANDS} bands.", forms("size_px"),
        "side, pixels", (12, 24, 48, 96), (24,), ("samples", samples),
    ),
    Case(
        "step-compact-dates", f"{DEFAULT}, {PATCH_PX} pixels a side, {BANDS} bands.", forms("dates"),
        "dates", (6, 12, 24, 48), (12, 48), ("samples", samples),
    ),
    Case(
        "step-compact-bands", f"{DEFAULT}, {PATCH_PX} pixels a side, {DATES} dates.", forms("bands"),
        "bands", (2, 4, 10, 20), (), ("samples", samples),
    ),
    Case(
        "loader", f"{DEFAULT} beside the drawing of its batch: how many times sooner it is drawn than learnt from.",
        {
            "learning, float32": Form(timed(drawing, "float32")),
            "learning, bfloat16": Form(timed(drawing, "bfloat16")),
            "drawing from memory": Form(timed(drawing, "memory")),
            "drawing from the disk": Form(timed(drawing, "copy")),
            "drawing from Zarr": Form(timed(drawing, "Zarr")),
            "drawing from GeoTIFFs": Form(timed(drawing, "GeoTIFF")),
        },
        "dates", (12, 24, 48), (24,), ("samples", samples),
    ),
]  # fmt: skip
