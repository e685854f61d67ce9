"""Images as space agencies deliver them, one file a band, at several pixel sizes: what is known of each before reading.

A reader of such a format (SAFE products, files a band, STAC items) lists `Image`; `cube_of` makes one cube of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from cscl.cube import Acquisition
from cscl.grid import GeoBox

__all__ = ["Image", "Layer"]


@dataclass(frozen=True)
class Layer:
    """One band of one image: where GDAL finds it, and what its numbers mean.

    Parameters
    ----------
    path : str
        Whatever GDAL opens: a file, ``/vsizip/...``, an address.
    index : int
        Band of that file, from 1.
    scale, offset : float or None
        Reflectance is ``stored * scale + offset``; None where nothing says so.
    nodata : float or None
        Stored value that means missing; None where nothing says so, not even the file.
    grid : GeoBox or None
        Where its pixels lie, as a catalogue tells; None: the header of the file says so. With grid and `dtype` no
        header is read at opening, which counts where each one is a request over the network.
    dtype : str or None
        Type of the stored values, such as ``uint16``, as a catalogue tells.
    """

    path: str
    index: int = 1
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None
    grid: GeoBox | None = None
    dtype: str | None = None


@dataclass(frozen=True)
class Image:
    """One acquisition.

    Parameters
    ----------
    time : datetime64[ns]
        When it was taken, UTC.
    origin : Acquisition
        Product, satellite, level, baseline, orbit, tile, provider.
    bands : mapping
        Name of a band to its layer; pixel sizes may differ.
    scene_classes : Layer or None
        Scene classification of level 2A (SCL), values 0 to 11.
    cloud_probability : Layer or None
        0 to 100 percent.
    made : datetime64[ns] or None
        When it was processed: of two versions of one image, the later counts.
    """

    time: np.datetime64
    origin: Acquisition
    bands: Mapping[str, Layer] = field(repr=False)
    scene_classes: Layer | None = field(default=None, repr=False)
    cloud_probability: Layer | None = field(default=None, repr=False)
    made: np.datetime64 | None = None
