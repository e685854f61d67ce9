"""Which pixels of Sentinel-2 images are usable: scene classes, cloud probability, and room around clouds.

Axes: Y and X rows and columns.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from cscl.grid import GeoBox, pixel_size_m
from cscl.raster import spans

from . import ReadOptions
from ._aligned import Source, Stack, cut, side_by_side
from ._layers import Layer, read_layer
from ._lazy import Lazy, lazy

__all__ = ["both", "usable_from"]

_UNKNOWN = 255  # a class that is in no list: where an image has no scene classes, it counts as usable
_GROWING = (3, 8, 9)  # cloud shadow, cloud of medium and of high probability
_AXES = ("time", "y", "x")


def usable_from(stack: Stack, options: ReadOptions) -> xr.Variable:
    """Make a lazy array with axes (time, y, x), True where a pixel is usable.

    Parameters
    ----------
    stack : Stack
        The images; each pixel is judged by the image that it comes from.
    options : ReadOptions
        ``scl``, the classes that are not usable; ``cloud_probability``, in percent, above which it is a cloud; and
        ``dilate_m``, the distance to clouds and their shadows that is not usable either.
    """
    return lazy(_Usable(stack, options), _AXES)


def both(one: xr.Variable, other: xr.Variable) -> xr.Variable:
    """Make a lazy array that is True where two are, axes (time, y, x)."""
    return lazy(_Both(one, other), _AXES)


class _Usable(Lazy):
    def __init__(self, stack: Stack, options: ReadOptions) -> None:
        self._stack, self._options = stack, options
        self._growing = [c for c in _GROWING if c in options.scl]
        self.shape, self.dtype = (stack.shape[0], *stack.shape[2:]), np.dtype(bool)

    def _take(self, times: NDArray[np.intp], *rest: Any) -> NDArray[np.bool_]:
        step, y, x = spans(rest, self.shape[1:])
        out = np.ones((len(times), y.pixels, x.pixels), bool)
        if out.size:
            target = cut(self._stack.grid, step, y, x)
            side_by_side(lambda i: self._judge(out[i], int(times[i]), target, look=step > 1), len(times))
        return out[:, y.wanted][..., x.wanted]

    def _judge(self, out_YX: NDArray[np.bool_], time: int, target: GeoBox, look: bool) -> None:
        """Write usable pixels of a target, which is read with a margin: clouds beyond its edge grow into it."""
        pixel_m = pixel_size_m(target) if self._options.dilate_m else (1.0, 1.0)
        margin = math.ceil(self._options.dilate_m / min(pixel_m))
        classes_YX, clouds_YX = self._composed(time, target.pad(margin), look)
        unusable_YX = np.isin(classes_YX, self._options.scl)
        clouds_YX |= np.isin(classes_YX, self._growing)
        if clouds_YX.any():
            unusable_YX |= distance_transform_edt(~clouds_YX, sampling=pixel_m) <= self._options.dilate_m
        rows, cols = (slice(margin, margin + n) for n in target.shape)
        out_YX[:] = ~unusable_YX[rows, cols]

    def _composed(self, time: int, target: GeoBox, look: bool) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Scene classes and where a cloud is probable, each pixel of the image that shows it."""
        near = self._stack.touching(time, target)
        if len(near) == 1:
            return self._of(near[0], target, look)
        classes_YX = np.full(tuple(target.shape), _UNKNOWN, np.uint8)
        clouds_YX = np.zeros(tuple(target.shape), bool)
        for source, _, taken_YX in self._stack.parts(near, target, look):
            classes, clouds = self._of(source, target, look)
            classes_YX[taken_YX], clouds_YX[taken_YX] = classes[taken_YX], clouds[taken_YX]
        return classes_YX, clouds_YX

    def _of(self, source: Source, target: GeoBox, look: bool) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        most = self._options.cloud_probability
        clouds_YX = np.zeros(tuple(target.shape), bool)
        if most is not None and source.clouds is not None:
            clouds_YX = _plane(source.clouds, target, look) > most
        if source.classes is None:
            return np.full(tuple(target.shape), _UNKNOWN, np.uint8), clouds_YX
        return _plane(source.classes, target, look), clouds_YX


def _plane(layer: Layer, target: GeoBox, look: bool) -> NDArray[Any]:
    return read_layer(layer, target, 0, np.dtype(layer.dtype), nearest=True, look=look)


class _Both(Lazy):
    def __init__(self, one: xr.Variable, other: xr.Variable) -> None:
        self._two = one, other
        self.shape, self.dtype = one.shape, np.dtype(bool)

    def _take(self, times: NDArray[np.intp], *rest: Any) -> NDArray[np.bool_]:
        one, other = (array.isel(time=times, y=rest[0], x=rest[1]).values for array in self._two)
        return np.asarray(one & other)
