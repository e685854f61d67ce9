"""Embeddings and what they show: features per pixel on disk, edge strength, and affinity as the loss saw it."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from cscl.cube import SITSCube
from cscl.data.network import fill, load_weights, make_loss
from cscl.errors import InputError
from cscl.events import Event, Job, Note, Progress
from cscl.grid import Window, crop, refined, tile_count, tiles
from cscl.losses.cscl import CSCLLoss
from cscl.pixelstore import OVERVIEW, PixelStore
from cscl.products import AffinityMap, Embedding
from cscl.recipe import Choice
from cscl.results import in_the_making, require_place

from .pixelwise import edges_between
from .similarity import sampled, sampling_px, taken_pixels
from .tiles import Model, load_model, suit_cube

__all__ = ["affinity", "contrastive_head", "edge_strength", "embed"]

TILE_PX = 256
EDGE_BLOCK_PX = 1024
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
        Zarr store to make: ``embedding`` (y, x, feature) float16, pixel by pixel, with CF grid mapping; on a finer grid
        than the images where the model maps finer. Of a scene of more than 1024 x 1024 pixels, ``overview`` holds every
        n-th row and column.
    untrained : bool
        Embed with the network's first, random weights: what there was before it learnt, to compare with.

    Raises
    ------
    CSCLError
        For a model that cannot be used on this cube and places that cannot be written; the message says the remedy.
    """
    out = Path(out)
    former = "embedding/zarr.json"  # of stores of version 3
    mark = former if (out / former).is_file() else "embedding/.zarray"
    require_place(out, mark, overwrite=overwrite)
    loaded = load_model(model, device, untrained=untrained)
    cube, warnings = suit_cube(cube, loaded.card, loaded.network.needs.least_dates)
    for warning in warnings:
        yield Note(warning, warning=True)
    with in_the_making(out, "The embedding", overwrite=overwrite) as part:
        store = _Store(part, loaded, cube, "untrained" if untrained else loaded.card.stage)
        tile_px = TILE_PX if loaded.finer == 1 else TILE_PX * 2 // loaded.finer  # whole chunks
        total = tile_count(cube.shape, tile_px)
        for number, window in enumerate(tiles(cube.shape, tile_px), 1):
            store.write(window.refined(loaded.finer), _embedding_of(loaded, cube, window))
            yield Progress("embedding", number, total, "tile")
    return Embedding.open(out)


def edge_strength(embedding: Embedding, step_px: int = 1) -> Generator[Event, None, NDArray[np.float32]]:
    """How unlike its neighbours each pixel is: one minus the mean cosine with its 8 neighbours, those there are.

    Parameters
    ----------
    embedding : Embedding
        Read block by block.
    step_px : int
        Of so many rows and columns each, only the strongest edge is kept: a large scene seen from afar. Pixels left
        over at the lower and right border make blocks of their own, unless that is less than half of one.

    Returns
    -------
    ndarray
        Axes (y, x) of the grid, or of that of `cscl.inference.similarity.sampled`; float32, in [0, 2]; NaN where the
        embedding is not finite.
    """
    shape = embedding.shape
    out = np.full(tuple(sampled(embedding.grid, step_px).shape), np.nan, np.float32)
    block = max(1, EDGE_BLOCK_PX // step_px) * step_px
    total = tile_count(shape, block)
    for number, window in enumerate(tiles(shape, block), 1):
        seen = window.grown(1, shape)
        strength = edges_between(embedding.read(seen))[window.within(seen).slices]
        part = out[window.row // step_px :, window.col // step_px :]
        strongest = _strongest(strength, step_px)[: part.shape[0], : part.shape[1]]
        part[: strongest.shape[0], : strongest.shape[1]] = strongest
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


class _Store:
    """The embedding of a scene in the making; of a large one, every n-th pixel goes to a store of its own as well."""

    def __init__(self, path: Path, model: Model, cube: SITSCube, stage: str) -> None:
        features, facts = model.network.embedding_width, {"model": model.card.name, "stage": stage, "images": cube.name}
        grid = refined(cube.grid, model.finer)
        self._whole = PixelStore(path, grid, features, facts)
        self._step_px = sampling_px((int(grid.shape[0]), int(grid.shape[1])))
        self._coarser = None
        if self._step_px > 1:
            self._coarser = PixelStore(path / OVERVIEW, sampled(grid, self._step_px), features, facts)

    def write(self, window: Window, values: NDArray[np.float32]) -> None:
        """Write the values (feature, y, x) of a window."""
        values_YXD = np.moveaxis(values, 0, -1).astype(np.float16)
        self._whole.write(window.row, window.col, values_YXD)
        if self._coarser is not None:
            taken = [
                taken_pixels(n, size, self._step_px)
                for n, size in zip((window.row, window.col), values_YXD.shape[:2], strict=True)
            ]
            (row, rows), (col, cols) = taken
            self._coarser.write(row, col, values_YXD[rows, cols])


def _strongest(strength: NDArray[np.float32], step_px: int) -> NDArray[np.float32]:
    """Keep the strongest of each block of pixels; NaN where none is known."""
    if step_px == 1:
        return strength
    sides = [(0, -n % step_px) for n in strength.shape]
    padded = np.pad(strength, sides, constant_values=np.nan)
    blocks = padded.reshape(padded.shape[0] // step_px, step_px, -1, step_px)
    found: NDArray[np.float32] = np.fmax.reduce(np.fmax.reduce(blocks, axis=3), axis=1)
    return found
