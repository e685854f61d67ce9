"""Looking around in an embedding: how alike pixels are, and its principal components as colours."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from cscl.events import Event, Progress
from cscl.grid import tile_count, tiles
from cscl.products import Embedding

__all__ = ["principal_colours", "similarity_to", "unit_vectors"]

BLOCK_PX = 512
SAMPLE = 20_000


def unit_vectors(embedding: Embedding) -> Generator[Event, None, NDArray[np.float32]]:
    """Read an embedding into memory with every pixel's vector of length 1.

    Returns
    -------
    ndarray
        Axes (y, x, feature), float32: features last, so that one sweep of memory compares a pixel with all others.
        Pixels without an embedding are 0, alike to nothing.
    """
    features, height, width = embedding.values.shape
    units = np.zeros((height, width, features), np.float32)
    total = tile_count((height, width), BLOCK_PX)
    for number, window in enumerate(tiles((height, width), BLOCK_PX), 1):
        block = np.moveaxis(embedding.values[:, *window.slices].values.astype(np.float32), 0, -1)
        length = np.sqrt((block**2).sum(-1, keepdims=True))
        units[window.slices] = np.where(np.isfinite(length) & (length > 0), block / np.maximum(length, 1e-12), 0)
        yield Progress("reading the embedding", number, total, "block")
    return units


def similarity_to(
    units_YXD: NDArray[np.float32], row: int, col: int, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Cosine of one pixel's embedding with that of every pixel.

    Parameters
    ----------
    units_YXD : ndarray
        What `unit_vectors` returned.
    row, col : int
        The pixel.
    out : ndarray, optional
        Axes (y, x), float32, contiguous: filled in place, which saves making an array for each click.

    Returns
    -------
    ndarray
        Axes (y, x), float32, in [-1, 1].
    """
    height, width, features = units_YXD.shape
    out = np.empty((height, width), np.float32) if out is None else out
    np.dot(units_YXD.reshape(-1, features), units_YXD[row, col], out=out.reshape(-1))
    return out


def principal_colours(units_YXD: NDArray[np.float32]) -> NDArray[np.uint8]:
    """First three principal components of the vectors as red, green and blue.

    They come from an evenly spaced sample of pixels; each is stretched from its 2nd to its 98th percentile.

    Returns
    -------
    ndarray
        Axes (y, x, channel), uint8.
    """
    vectors = units_YXD.reshape(-1, units_YXD.shape[-1])
    seen = np.flatnonzero(vectors.any(axis=1))
    if len(seen) < 2:
        return np.zeros((*units_YXD.shape[:2], 3), np.uint8)
    sample = vectors[seen[:: max(1, len(seen) // SAMPLE)]]
    mean = sample.mean(axis=0)
    axes = np.linalg.svd(sample - mean, full_matrices=False)[2][:3]
    # The sign of a component is arbitrary; this makes it the same each time.
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    low, high = np.percentile((sample - mean) @ axes.T, (2, 98), axis=0)
    shown = (((units_YXD - mean) @ axes.T - low) / np.maximum(high - low, 1e-9)).clip(0, 1) * 255
    colours = np.zeros((*units_YXD.shape[:2], 3), np.uint8)
    colours[..., : shown.shape[-1]] = shown
    colours.reshape(-1, 3)[~vectors.any(axis=1)] = 0
    return colours
