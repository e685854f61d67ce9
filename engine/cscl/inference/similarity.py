"""Looking around in an embedding: how alike pixels are, and its principal components as colours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from cscl.events import Job, Progress
from cscl.grid import GeoBox, Window, crop, same, tile_count, tiles
from cscl.products import Embedding

from .pixelwise import one_over_length, products

__all__ = ["Overview", "overview", "principal_colours", "sampled", "sampling_px", "similarity_to", "taken_pixels"]

MOST_PX = 1024 * 1024  # 134 MB of 64 features, compared with one pixel in some 5 to 20 ms
BLOCK_PX = 512
SAMPLE = 20_000
STRIP_PX = 64


@dataclass(frozen=True, eq=False)
class Overview:
    """An embedding in memory, ready to be compared with a pixel: every `step_px`-th row and column of a window.

    Parameters
    ----------
    embedding : Embedding
        The whole of it, on disk.
    window : Window
        What of the scene is in memory.
    values_YXD : ndarray
        Axes (y, x, feature), as stored: features last, so that one sweep of memory compares a pixel with all others.
        NaN where there is no embedding.
    scale_YX : ndarray
        One over the length of each vector, float32; NaN where there is none.
    step_px : int
        1 when every pixel is there.
    grid : GeoBox
        Of what is in memory: pixels `step_px` times as large as those of the scene, from the same corner.
    """

    embedding: Embedding = field(repr=False)
    window: Window
    values_YXD: NDArray[Any] = field(repr=False)
    scale_YX: NDArray[np.float32] = field(repr=False)
    step_px: int
    grid: GeoBox

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the scene."""
        return self.embedding.shape

    def vectors(self, window: Window) -> NDArray[np.float32]:
        """Embedding of a window of the scene, axes (y, x, feature); from disk (some ms) if not in memory."""
        here = window.within(self.window)
        if self.step_px == 1 and here.grown(0, (self.window.height, self.window.width)) == here:
            return np.asarray(self.values_YXD[here.slices], np.float32)
        return self.embedding.read(window).astype(np.float32)


def overview(embedding: Embedding, most_px: int = MOST_PX, window: Window | None = None) -> Job[Overview]:
    """Read an embedding, or a window of it, into memory; of more than `most_px` pixels every second, third ... one.

    The pixels that are read are those in the middle of the larger ones that stand for them.
    """
    window = window or Window(0, 0, *embedding.shape)
    step = sampling_px((window.height, window.width), most_px)
    grid = sampled(crop(embedding.grid, window), step)
    source, stride = _source(embedding, window, step)
    values_YXD = np.empty((*grid.shape, embedding.values.shape[0]), embedding.values.dtype)
    scale_YX = np.empty(values_YXD.shape[:2], np.float32)
    block = max(1, BLOCK_PX // stride) * stride
    size = (window.height, window.width) if source is embedding else source.shape
    total = tile_count(size, block)
    for number, part in enumerate(tiles(size, block), 1):
        (row, rows), (col, cols) = (
            taken_pixels(first, count, stride) for first, count in ((part.row, part.height), (part.col, part.width))
        )
        read = source.read(Window(window.row + part.row, window.col + part.col, part.height, part.width))[rows, cols]
        at = slice(row, row + read.shape[0]), slice(col, col + read.shape[1])
        values_YXD[at], scale_YX[at] = read, one_over_length(read)
        yield Progress("reading the embedding", number, total, "block")
    seen = Overview(embedding, window, values_YXD, scale_YX, step, grid)
    similarity_to(seen, window.row, window.col)  # loops are compiled at their first use: here, and not at a click
    return seen


def sampling_px(shape: tuple[int, int], most_px: int = MOST_PX) -> int:
    """Of how many rows and columns one is kept, so that at most `most_px` pixels or so are left."""
    return max(1, int(np.ceil(np.sqrt(shape[0] * shape[1] / most_px))))


def sampled(grid: GeoBox, step_px: int) -> GeoBox:
    """Grid of every `step_px`-th row and column, of pixels as much larger, from the same corner."""
    height, width = (len(range(step_px // 2, int(n), step_px)) for n in grid.shape)
    return GeoBox((height, width), grid.transform @ Affine.scale(step_px), grid.crs)


def taken_pixels(first: int, count: int, step_px: int) -> tuple[int, slice]:
    """Which of `count` pixels from `first` on are kept of every `step_px`: their place among the kept, and a slice."""
    number = -(-(first - step_px // 2) // step_px)
    return number, slice(number * step_px + step_px // 2 - first, count, step_px)


def similarity_to(seen: Overview, row: int, col: int, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Cosine of one pixel's embedding with that of every pixel in memory.

    Parameters
    ----------
    seen : Overview
        What `overview` returned.
    row, col : int
        The pixel, in rows and columns of the scene.
    out : ndarray, optional
        Axes (y, x) of ``seen.grid``, float32, contiguous: filled in place, which saves an array for each click.

    Returns
    -------
    ndarray
        Axes (y, x), float32, in [-1, 1]; NaN where there is no embedding, and everywhere if the pixel has none.
    """
    out = np.empty(seen.scale_YX.shape, np.float32) if out is None else out
    vector = seen.vectors(Window(row, col, 1, 1))[0, 0]
    vector = vector / np.maximum(np.linalg.norm(vector), np.float32(1e-12))
    products(seen.values_YXD, seen.scale_YX, vector, out)
    return out


def principal_colours(seen: Overview) -> NDArray[np.uint8]:
    """First three principal components of the vectors, brought to length 1, as red, green and blue.

    They come from an evenly spaced sample of pixels; each is stretched from its 2nd to its 98th percentile.

    Parameters
    ----------
    seen : Overview
        What `overview` returned.

    Returns
    -------
    ndarray
        Axes (y, x, channel), uint8; the fourth channel is 0 where there is no embedding, else 255.
    """
    values_YXD, scale_YX = seen.values_YXD, seen.scale_YX
    colours = np.zeros((*scale_YX.shape, 4), np.uint8)
    known = np.flatnonzero(np.isfinite(scale_YX))
    if len(known) < 2:
        return colours
    some = known[:: max(1, len(known) // SAMPLE)]
    sample = values_YXD.reshape(-1, values_YXD.shape[-1])[some].astype(np.float32) * scale_YX.reshape(-1)[some, None]
    mean = sample.mean(axis=0)
    axes = np.linalg.svd(sample - mean, full_matrices=False)[2][:3]
    # The sign of a component is arbitrary; this makes it the same each time.
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    low, high = np.percentile((sample - mean) @ axes.T, (2, 98), axis=0)
    for first in range(0, len(colours), STRIP_PX):  # the differences from the mean of a whole scene would fill memory
        rows = slice(first, first + STRIP_PX)
        strip = values_YXD[rows].astype(np.float32) * scale_YX[rows, :, None]
        shown = ((strip - mean) @ axes.T - low) / np.maximum(high - low, 1e-9)
        there = np.isfinite(scale_YX[rows])
        colours[rows, :, : shown.shape[-1]] = np.nan_to_num(shown.clip(0, 1) * 255)
        colours[rows, :, 3] = there * 255
        colours[rows][~there] = 0
    return colours


def _source(embedding: Embedding, window: Window, step_px: int) -> tuple[Embedding, int]:
    """Return what to read every n-th pixel of, and n: the coarser embedding, if it holds just those that are wanted."""
    coarser = embedding.coarser
    whole = (window.height, window.width) == embedding.shape
    if whole and coarser is not None and step_px > 1 and same(coarser.grid, sampled(embedding.grid, step_px)):
        return coarser, 1
    return embedding, step_px
