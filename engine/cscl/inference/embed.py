"""Embeddings and what they show: features per pixel on disk, edge strength, and affinity as the loss saw it."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from cscl.card import ModelCard
from cscl.cube import SITSCube
from cscl.data.network import fill, load_weights, make_loss
from cscl.errors import InputError
from cscl.events import Event, Job, Note, Progress
from cscl.grid import GeoBox, Window, crop, refined, tile_count, tiles
from cscl.losses.cscl import CSCLLoss
from cscl.products import AffinityMap, Embedding
from cscl.recipe import Choice
from cscl.results import in_the_making, require_place

from .tiles import Model, load_model, suit_cube

__all__ = ["affinity", "contrastive_head", "edge_strength", "embed"]

CHUNK_PX = 256
MOST_PX = 2048


def embed(
    model: str | Path,
    cube: SITSCube,
    out: str | Path,
    *,
    untrained: bool = False,
    device: str = "auto",
    overwrite: bool = False,
) -> Job[Embedding]:
    """Write the embedding of a cube to a Zarr store.

    Parameters
    ----------
    model : path
        Model folder, pre-trained or trained.
    cube : SITSCube
        Images; they must hold the model's bands.
    out : path
        Zarr store to make: ``embedding`` (feature, y, x) float16 in chunks of 256 x 256 pixels, with CF grid mapping;
        on a finer grid than the images where the model maps finer.
    untrained : bool
        Embed with the network's first, random weights: what there was before it learnt, to compare with.

    Raises
    ------
    CSCLError
        For a model that cannot be used on this cube and places that cannot be written; the message says the remedy.
    """
    out = Path(out)
    require_place(out, "embedding/zarr.json", overwrite=overwrite)
    loaded = load_model(model, device, untrained=untrained)
    cube, warnings = suit_cube(cube, loaded.card, loaded.network.needs.least_dates)
    for warning in warnings:
        yield Note(warning, warning=True)
    with in_the_making(out, "The embedding", overwrite=overwrite) as part:
        store = _new_store(part, loaded, cube, "untrained" if untrained else loaded.card.stage)
        tile_px = CHUNK_PX if loaded.finer == 1 else CHUNK_PX * 2 // loaded.finer  # whole chunks
        total = tile_count(cube.shape, tile_px)
        for number, window in enumerate(tiles(cube.shape, tile_px), 1):
            there = window.refined(loaded.finer).slices
            store[:, *there] = _embedding_of(loaded, cube, window).astype(np.float16)
            yield Progress("embedding", number, total, "tile")
    return Embedding.open(out)


def edge_strength(embedding: Embedding) -> Generator[Event, None, NDArray[np.float32]]:
    """How unlike its neighbours each pixel is: one minus the mean cosine with its 8 neighbours, those there are.

    Returns
    -------
    ndarray
        Axes (y, x), float32, in [0, 2]; NaN where the embedding is not finite.
    """
    shape = int(embedding.grid.shape[0]), int(embedding.grid.shape[1])
    out = np.full(shape, np.nan, np.float32)
    total = tile_count(shape, CHUNK_PX)
    for number, window in enumerate(tiles(shape, CHUNK_PX), 1):
        seen = window.grown(1, shape)
        block = embedding.values[:, *seen.slices].values.astype(np.float32)
        out[window.slices] = _edge_strength(block)[window.within(seen).slices]
        yield Progress("edge strength", number, total, "block")
    return out


def affinity(model: str | Path, cube: SITSCube, window: Window, *, device: str = "auto") -> AffinityMap:
    """Similarity of each pixel of a window to its neighbourhood, as the contrastive loss sees it.

    A model that was trained further without that loss still carries the head of its pre-training, but its embedding
    has moved on: what the head sees in it then is an echo. Show the affinity of the pre-trained model where possible.

    Parameters
    ----------
    model : path
        Model folder with a head of CSCL.
    cube : SITSCube
        Images; they must hold the model's bands.
    window : Window
        In pixels of the images. Where the model maps finer, so does the affinity, and its neighbours are finer ones.

    Raises
    ------
    InputError
        If the model folder holds no head of CSCL, or the window is larger than 2048 pixels of the map a side.
    """
    loaded = load_model(model, device)
    loss, finer = contrastive_head(model, loaded), loaded.finer
    if max(window.height, window.width) * finer > MOST_PX:
        raise InputError(
            f"Affinity is made for views, not whole tiles. Choose a window of at most {MOST_PX // finer} pixels a side."
        )
    cube, _ = suit_cube(cube, loaded.card, loaded.network.needs.least_dates)
    reach_px = -(-(loss.options.window // 2 * loss.options.dilation) // finer)
    seen = window.grown(reach_px, cube.shape)
    tensor = torch.from_numpy(_embedding_of(loaded, cube, seen))[None].to(loaded.device)
    with torch.inference_mode():
        values = loss.head.affinity(tensor)[0, ..., *window.within(seen).refined(finer).slices].cpu().numpy()
    return AffinityMap(values, refined(crop(cube.grid, window), finer))


def contrastive_head(folder: str | Path, loaded: Model) -> CSCLLoss:
    """Load the contrastive loss of a model, whose head gives affinity, onto the model's device.

    Raises
    ------
    InputError
        If the model folder holds no head of CSCL.
    """
    if loaded.card.head is None:
        raise InputError(
            f"{folder} holds no contrastive head: it was never pre-trained. Use the edge strength instead."
        )
    plain = dict(loaded.card.head["loss"])
    name = plain.pop("name")
    if name != "cscl":
        raise InputError(
            f"{folder} was pre-trained by {name}, whose head compares no neighbours. Use the edge strength instead."
        )
    plain.pop("stride", None)  # a saving of training; here every pixel has its window
    loss = cast(CSCLLoss, make_loss(Choice(name, plain), "embedding", loaded.network.embedding_width))
    fill(loss, load_weights(Path(folder) / "head.safetensors"), str(folder))
    return loss.to(loaded.device).eval()


def _embedding_of(model: Model, cube: SITSCube, window: Window) -> NDArray[np.float32]:
    """Embedding (feature, y, x) of a window of the images, NaN where no date is valid; margins are thrown away."""
    read = window.grown(model.margin_px, cube.shape, model.step_px)
    _, embedding, seen = model.answer(cube, read)
    inner = window.within(read).refined(model.finer).slices
    return np.where(seen[inner], embedding[:, *inner], np.float32(np.nan))


def _new_store(path: Path, model: Model, cube: SITSCube, stage: str) -> Any:
    import zarr

    card: ModelCard = model.card
    grid = refined(cube.grid, model.finer)
    shape = (model.network.embedding_width, *grid.shape)
    group = zarr.open_group(path, mode="w")
    array = group.create_array(
        "embedding", shape=shape, chunks=(shape[0], *(min(CHUNK_PX, n) for n in grid.shape)), dtype="float16",
        dimension_names=("feature", "y", "x"),
    )  # fmt: skip
    facts = {"model": card.name, "stage": stage, "images": cube.name}
    array.attrs.update({"grid_mapping": "spatial_ref", "facts": json.dumps(facts)})
    _write_grid(group, grid)
    return array


def _write_grid(group: Any, grid: GeoBox) -> None:
    """Write CF grid mapping and pixel-centre coordinates, so that xarray and GDAL find the place."""
    transform = grid.transform
    for name, count, start, step in (
        ("x", grid.shape[1], transform.c, transform.a),
        ("y", grid.shape[0], transform.f, transform.e),
    ):
        values = start + step * (np.arange(count) + 0.5)
        group.create_array(name, data=values, dimension_names=(name,))
        group[name].attrs.update({"standard_name": f"projection_{name}_coordinate", "units": "m"})
    reference = group.create_array("spatial_ref", data=np.array(0, np.int64), dimension_names=())
    wkt = str(grid.crs.to_wkt()) if grid.crs else ""
    numbers = " ".join(repr(float(v)) for v in transform.to_gdal())
    reference.attrs.update({"crs_wkt": wkt, "spatial_ref": wkt, "GeoTransform": numbers})
    group.attrs["Conventions"] = "CF-1.10"


def _edge_strength(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Edge strength of a block (feature, y, x), axes (y, x)."""
    unit = block / np.maximum(np.sqrt((block**2).sum(0)), 1e-12)
    total = np.zeros(block.shape[1:], np.float32)
    count = np.zeros(block.shape[1:], np.float32)
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here, there = _pair(dy, dx)
        cosine = (unit[:, *here] * unit[:, *there]).sum(0)
        known = np.isfinite(cosine)
        for side in (here, there):
            total[side] += np.where(known, cosine, 0)
            count[side] += known
    with np.errstate(invalid="ignore"):
        strength = np.where(count > 0, 1 - total / np.maximum(count, 1), np.float32(np.nan))
    return np.where(np.isfinite(block[0]), strength, np.nan).astype(np.float32)


def _pair(dy: int, dx: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the views of all pixels that have a neighbour at (dy, dx), and of those neighbours."""
    rows = slice(0, -dy or None), slice(dy, None)
    if dx >= 0:
        cols = slice(0, -dx or None), slice(dx, None)
    else:
        cols = slice(-dx, None), slice(0, dx)
    return (rows[0], cols[0]), (rows[1], cols[1])
