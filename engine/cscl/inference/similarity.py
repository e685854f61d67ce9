"""Looking around in an embedding: how alike pixels are, and its principal components as colours."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from cscl.events import Job, Progress
from cscl.grid import GeoBox, Window, tile_count, tiles
from cscl.products import Embedding

__all__ = ["Overview", "overview", "principal_colours", "similarity_to"]

MOST_PX = 1024 * 1024  # 268 MB of 64 features; compared with one pixel in some 10 ms
BLOCK_PX = 512
SAMPLE = 20_000
STRIP_PX = 64


@dataclass(frozen=True, eq=False)
class Overview:
    """An embedding in memory, ready to be compared with a pixel: every `step_px`-th row and column of the scene.

    Parameters
    ----------
    embedding : Embedding
        The whole of it, on disk.
    units_YXD : ndarray
        Vectors of length 1, axes (y, x, feature), float32: features last, so that one sweep of memory compares a pixel
        with all others. NaN where there is no embedding.
    lengths_YX : ndarray
        Their lengths before, float32.
    step_px : int
        1 when every pixel is there.
    grid : GeoBox
        Of what is in memory: pixels `step_px` times as large as those of the scene, from the same corner.
    """

    embedding: Embedding = field(repr=False)
    units_YXD: NDArray[np.float32] = field(repr=False)
    lengths_YX: NDArray[np.float32] = field(repr=False)
    step_px: int
    grid: GeoBox

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the scene."""
        return int(self.embedding.grid.shape[0]), int(self.embedding.grid.shape[1])

    def vectors(self, window: Window) -> NDArray[np.float32]:
        """Embedding of a window of the scene, axes (y, x, feature); from disk (some 10 ms) if not in memory."""
        if self.step_px == 1:
            return self.units_YXD[window.slices] * self.lengths_YX[window.slices][..., None]
        return _features_last(self.embedding, window)


def overview(embedding: Embedding, most_px: int = MOST_PX) -> Job[Overview]:
    """Read an embedding into memory; of a scene of more than `most_px` pixels every second, third ... row and column.

    The pixels that are read are those in the middle of the larger ones that stand for them.
    """
    height, width = (int(n) for n in embedding.grid.shape)
    step = max(1, int(np.ceil(np.sqrt(height * width / most_px))))
    size = (len(range(step // 2, height, step)), len(range(step // 2, width, step)))
    units_YXD = np.empty((*size, embedding.values.shape[0]), np.float32)
    lengths_YX = np.empty(size, np.float32)
    block = max(1, BLOCK_PX // step) * step
    total = tile_count((height, width), block)
    for number, window in enumerate(tiles((height, width), block), 1):
        part = _features_last(embedding, window, step)
        length = np.sqrt((part**2).sum(-1))
        at = Window(window.row // step, window.col // step, *length.shape).slices
        units_YXD[at] = part / np.where(length > 0, length, np.nan)[..., None]
        lengths_YX[at] = length
        yield Progress("reading the embedding", number, total, "block")
    grid = GeoBox(size, embedding.grid.transform @ Affine.scale(step), embedding.grid.crs)
    return Overview(embedding, units_YXD, lengths_YX, step, grid)


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
    height, width, features = seen.units_YXD.shape
    out = np.empty((height, width), np.float32) if out is None else out
    vector = seen.vectors(Window(row, col, 1, 1))[0, 0]
    vector = vector / np.maximum(np.linalg.norm(vector), np.float32(1e-12))
    np.dot(seen.units_YXD.reshape(-1, features), vector, out=out.reshape(-1))
    return out


def principal_colours(units_YXD: NDArray[np.float32]) -> NDArray[np.uint8]:
    """First three principal components of the vectors as red, green and blue.

    They come from an evenly spaced sample of pixels; each is stretched from its 2nd to its 98th percentile.

    Parameters
    ----------
    units_YXD : ndarray
        Axes (y, x, feature), NaN where there is no embedding.

    Returns
    -------
    ndarray
        Axes (y, x, channel), uint8; the fourth channel is 0 where there is no embedding, else 255.
    """
    vectors = units_YXD.reshape(-1, units_YXD.shape[-1])
    colours = np.zeros((*units_YXD.shape[:2], 4), np.uint8)
    seen = np.flatnonzero(np.isfinite(vectors[:, 0]))
    if len(seen) < 2:
        return colours
    sample = vectors[seen[:: max(1, len(seen) // SAMPLE)]]
    mean = sample.mean(axis=0)
    axes = np.linalg.svd(sample - mean, full_matrices=False)[2][:3]
    # The sign of a component is arbitrary; this makes it the same each time.
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    low, high = np.percentile((sample - mean) @ axes.T, (2, 98), axis=0)
    for first in range(0, len(colours), STRIP_PX):  # the differences from the mean of a whole scene would fill memory
        strip = units_YXD[first : first + STRIP_PX]
        shown = ((strip - mean) @ axes.T - low) / np.maximum(high - low, 1e-9)
        known = np.isfinite(strip[..., 0])
        colours[first : first + STRIP_PX, :, : shown.shape[-1]] = np.nan_to_num(shown.clip(0, 1) * 255)
        colours[first : first + STRIP_PX, :, 3] = known * 255
        colours[first : first + STRIP_PX][~known] = 0
    return colours


def _features_last(embedding: Embedding, window: Window, step: int = 1) -> NDArray[np.float32]:
    """Read every `step`-th pixel of a window, axes (y, x, feature)."""
    block = embedding.values[:, *window.slices].values[:, step // 2 :: step, step // 2 :: step]
    return np.moveaxis(block, 0, -1).astype(np.float32)
