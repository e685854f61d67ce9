"""The door from numpy to torch: scenes become batches of standardised patches with their dates, validity and targets.

    x_BTCHW                float32, standardised reflectance, 0 where not valid
    day_BT                 int64, days since the reference date
    valid_BTHW             bool
    class_BHW, parcel_BHW  int64, negative where unknown
    here_BHW               bool, True for pixels of the side that is drawn from
    parcels_BNHW           int64, the two parcels with the largest shares of a pixel; N is 0 unless they are asked for
    share_BNHW             float32, their shares of its area, 0 where the parcel of the pixel is unknown

From the fourth line on H and W count the pixels of the labels: where these are finer than the images, they are as many
times larger.

A batch is a pure function of the seed and the step, so a run that is resumed sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from cscl.data.sampling import PatchPlaces, drop_dates, even_dates, random_dates
from cscl.data.split import Side
from cscl.errors import InputError
from cscl.grid import Window, tiles
from cscl.products import LabelMap, Scene
from cscl.shares import PixelShares

__all__ = [
    "Batch", "Patches", "Source", "collate", "filled_up", "joined", "statistics", "to_tensors",
    "wanted",
]  # fmt: skip


@dataclass(frozen=True)
class Batch:
    """Tensors of one step; see the module's docstring for axes and units."""

    x_BTCHW: Tensor
    day_BT: Tensor
    valid_BTHW: Tensor
    class_BHW: Tensor
    parcel_BHW: Tensor
    here_BHW: Tensor
    parcels_BNHW: Tensor
    share_BNHW: Tensor

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Apply a function, such as a move to a device, to every tensor."""
        return Batch(**{f.name: change(getattr(self, f.name)) for f in fields(self)})


@dataclass(frozen=True, eq=False)
class Source:
    """A scene prepared for drawing: which side each pixel is on, and the days of its dates.

    Parameters
    ----------
    scene : Scene
        Cube and labels.
    side_YX : ndarray
        Axes (y, x) of the labels, values of `Side`.
    days : ndarray
        Shape (time,), int64, days since the reference date of the model.
    """

    scene: Scene
    side_YX: NDArray[np.uint8]
    days: NDArray[np.int64]

    def on(self, side: Side, window: Window | None = None) -> NDArray[np.bool_]:
        """Whether pixels of the images, all or those of a window, lie on a side, if only in part; axes (y, x)."""
        return _any_within(self.side_YX[self.place(window)] == side, self.scene.finer)

    def place(self, window: Window | None) -> tuple[slice, slice]:
        """Index of a window of the images, or of all of them, in the labels."""
        return (slice(None), slice(None)) if window is None else window.refined(self.scene.finer).slices


def statistics(sources: Sequence[Source], windows: int = 64) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of the reflectance by band over valid training pixels; each of shape (band,).

    They come from at most `windows` evenly placed windows of 64 x 64 pixels in each scene.

    Raises
    ------
    InputError
        If no pixel is usable.
    """
    bands = len(sources[0].scene.cube.bands)
    count, total, squares = 0, np.zeros(bands), np.zeros(bands)
    for source in sources:
        places = [w for w in tiles(source.scene.cube.shape, 64) if source.on(Side.TRAIN, w).any()]
        chosen = np.unique(np.linspace(0, len(places) - 1, min(windows, len(places))).round().astype(int))
        for window in (places[i] for i in chosen):
            values, valid = source.scene.cube.read(window)
            valid = valid & source.on(Side.TRAIN, window)
            pixels = values.transpose(0, 2, 3, 1)[valid].astype(np.float64)
            count, total, squares = count + len(pixels), total + pixels.sum(0), squares + (pixels**2).sum(0)
    if not count:
        names = ", ".join(source.scene.cube.name for source in sources)
        raise InputError(
            f"No pixel of the training part of {names} is usable on any date. Check the nodata value and the masks "
            "with cscl info."
        )
    mean = total / count
    return mean, np.sqrt(np.maximum(squares / count - mean**2, 1e-8))


def to_tensors(
    values_TCHW: NDArray[np.float32],
    valid_THW: NDArray[np.bool_],
    day_T: NDArray[np.int64],
    mean: NDArray[np.float64],
    std: NDArray[np.float64],
) -> tuple[Tensor, Tensor, Tensor]:
    """Standardise one sample: ``(x_TCHW, day_T, valid_THW)``; what is missing is 0 afterwards."""
    x = (values_TCHW - mean[:, None, None].astype(np.float32)) / std[:, None, None].astype(np.float32)
    x *= valid_THW[:, None]
    return torch.from_numpy(x), torch.from_numpy(day_T.copy()), torch.from_numpy(valid_THW.copy())


class Patches:
    """Draws batches of patches from sources.

    Parameters
    ----------
    sources : sequence of Source
        Where patches come from; patches are shared out by the pixels each scene can teach.
    side : Side
        Pixels on other sides keep their image but have no class and no parcel.
    target : {"class", "parcel", "both", "any"}
        Which pixels are worth a patch: those of known class, those in a parcel, those of either, or all of the side.
    patch_px, dates : int
        Side of a patch, in pixels of the images, and most dates in it.
    mean, std : ndarray
        Reflectance statistics, shape (band,).
    augment : bool
        Flip and turn patches by quarters, image, classes and parcels together.
    seed : int
        With the step it fixes a batch.
    date_dropout : float
        Chance that a date is left out of a drawn sample; never all but one.
    jitter : float
        Standard deviation of a random gain of each band and date of a drawn sample, relative.
    shares : bool
        Whether batches tell which parcels share a pixel.
    part : tuple of int, optional
        Draw this sample of each batch and every so many after it, where others draw the rest. A sample is the same then
        whoever draws it; without parts a batch is drawn from one stream of random numbers.

    Raises
    ------
    InputError
        If a scene is smaller than a patch, or shares are asked for of labels that know none.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        side: Side,
        target: str,
        patch_px: int,
        dates: int,
        mean: NDArray[np.float64],
        std: NDArray[np.float64],
        *,
        augment: bool,
        seed: int,
        date_dropout: float = 0.0,
        jitter: float = 0.0,
        shares: bool = False,
        part: tuple[int, int] | None = None,
    ) -> None:
        self.sources, self.side, self.dates, self.part = sources, side, dates, part
        self.date_dropout, self.jitter = date_dropout, jitter
        self.mean, self.std, self.augment, self.seed = mean, std, augment, seed
        self.target, self.shares = target, shares
        self._tilings: dict[tuple[int, int], list[tuple[Source, Window]]] = {}
        self.places, pixels = [], []
        for source in sources:
            if shares:
                _shares_of(source.scene.labels)
            wanted_YX = wanted(source, side, target)
            self.places.append(PatchPlaces.of(wanted_YX, patch_px, source.scene.cube.name))
            pixels.append(int(np.count_nonzero(wanted_YX)))
        self.pixels = sum(pixels)
        self._shares = np.cumsum(pixels) / max(1, self.pixels)

    def draw(self, step: int, size: int) -> Batch:
        """Draw the batch of a step: `size` patches."""
        samples = []
        for _, rng in self._random(step, size):
            which = int(np.searchsorted(self._shares, rng.random(), side="right"))
            samples.append(self._sample(self.sources[which], self.places[which].draw(rng), rng))
        return collate(samples)

    def _random(self, step: int, size: int) -> Iterator[tuple[int, np.random.Generator]]:
        """Yield the number of each sample to draw for a step, and what it is drawn from."""
        key = [self.seed, int(self.side), step]
        if self.part is None:
            rng = np.random.default_rng(key)
            yield from ((number, rng) for number in range(size))
        else:
            mine = range(self.part[0], max(size, self.part[1]), self.part[1])  # at least one
            yield from ((number, np.random.default_rng([*key, number])) for number in mine)

    def fixed(self, size: int, patch_px: int, most: int, multiple_px: int = 1) -> Iterator[Batch]:
        """Yield batches that tile the wanted pixels, unaugmented and always the same, at most `most` patches.

        Patches at the scene's edge are filled up to `multiple_px` with pixels that are neither valid nor known.
        """
        by_shape: dict[tuple[int, int], list[tuple[Source, Window]]] = {}
        for source, window in self._tiling(patch_px, most):
            by_shape.setdefault((window.height, window.width), []).append((source, window))
        for group in by_shape.values():
            for first in range(0, len(group), size):
                samples = [self._sample(s, w, None) for s, w in group[first : first + size]]
                yield filled_up(collate(samples), multiple_px)

    def _tiling(self, patch_px: int, most: int) -> list[tuple[Source, Window]]:
        """At most `most` of the tiles that hold wanted pixels, evenly chosen; found once, for a scene has many."""
        if (patch_px, most) not in self._tilings:
            places = [
                (source, window)
                for source in self.sources
                for window in tiles(source.scene.cube.shape, patch_px)
                if wanted(source, self.side, self.target, window).any()
            ]
            chosen = np.unique(np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int))
            self._tilings[patch_px, most] = [places[i] for i in chosen]
        return self._tilings[patch_px, most]

    def _sample(self, source: Source, window: Window, rng: np.random.Generator | None) -> tuple[Tensor, ...]:
        values, valid = source.scene.cube.read(window)
        usable = valid.any(axis=(1, 2))
        if rng is None:
            chosen = even_dates(usable, self.dates)
        else:
            chosen = random_dates(drop_dates(usable, self.date_dropout, rng), self.dates, rng)
        values, valid = values[chosen], valid[chosen]
        if rng is not None and self.jitter:
            values = values * (1 + self.jitter * rng.standard_normal((*values.shape[:2], 1, 1), np.float32))
        labels, place = source.scene.labels, source.place(window)
        here = source.side_YX[place] == self.side
        classes = np.where(here, labels.index(window.refined(source.scene.finer)), -1)
        if labels.parcel_ids is None:
            parcels = np.full(classes.shape, -1, np.int64)
        else:
            ids = labels.parcel_ids[place].astype(np.int64)
            parcels = np.where(here & (ids > 0), ids, -1)
        if self.shares:
            shared, share = _shares_of(labels).read(window.refined(source.scene.finer))
        else:
            shared, share = np.zeros((0, *here.shape), np.int32), np.zeros((0, *here.shape), np.float32)
        told = [classes, parcels, here, shared.astype(np.int64), (share * (parcels >= 0)).astype(np.float32)]
        if rng is not None and self.augment:
            turns, flip = int(rng.integers(4)), bool(rng.integers(2))
            values, valid, *told = (_turn(a, turns, flip) for a in (values, valid, *told))
        x, day, seen = to_tensors(values, valid, source.days[chosen], self.mean, self.std)
        return x, day, seen, *(torch.from_numpy(a.copy()) for a in told)


def _shares_of(labels: LabelMap) -> PixelShares:
    if labels.shares is None:
        raise InputError(
            f"The labels {labels.name} do not tell what parcels share of a pixel. Give parcels as polygons, or leave "
            "edges hard with --set pretrain.soft_edges=false."
        )
    return labels.shares


def wanted(source: Source, side: Side, target: str, window: Window | None = None) -> NDArray[np.bool_]:
    """Which pixels of the images or a window can teach: on this side, of known class or in a parcel; axes (y, x)."""
    labels, place = source.scene.labels, source.place(window)
    here_YX: NDArray[np.bool_] = source.side_YX[place] == side
    if target == "class":
        here_YX &= labels.legend.to_index(labels.ids[place]) >= 0
    elif target != "any":
        wanted_YX = np.zeros_like(here_YX) if labels.parcel_ids is None else labels.parcel_ids[place] > 0
        if target == "both":
            wanted_YX |= labels.legend.to_index(labels.ids[place]) >= 0
        here_YX &= wanted_YX
    return _any_within(here_YX, source.scene.finer)


def _any_within(mask_YX: NDArray[np.bool_], finer: int) -> NDArray[np.bool_]:
    """Whether any of the `finer` x `finer` pixels of the labels in each pixel of the images is True."""
    if finer == 1:
        return mask_YX
    rows, cols = (n // finer for n in mask_YX.shape)
    return np.asarray(mask_YX.reshape(rows, finer, cols, finer).any(axis=(1, 3)))


def _turn(array: NDArray, turns: int, flip: bool) -> NDArray:  # type: ignore[type-arg]
    turned = np.rot90(array, turns, axes=(-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if flip else turned)


def collate(samples: Sequence[tuple[Tensor, ...]]) -> Batch:
    """Stack samples; those with fewer dates are padded at the end with dates that are valid nowhere."""
    longest = max(len(sample[1]) for sample in samples)
    columns = []
    for position, tensors in enumerate(zip(*samples, strict=True)):
        if position < 3:  # x, day and valid have the time axis first
            tensors = tuple(_pad(t, longest) for t in tensors)
        columns.append(torch.stack(list(tensors)))
    return Batch(*columns)


def joined(first: Batch, second: Batch) -> Batch:
    """Put the items of two batches of one patch size into one batch; of the shorter one, dates are padded."""
    longest = max(first.day_BT.shape[1], second.day_BT.shape[1])
    columns = []
    for name in (f.name for f in fields(Batch)):
        items = [tensor for batch in (first, second) for tensor in getattr(batch, name)]
        columns.append(torch.stack([_pad(t, longest) for t in items] if "T" in name.rpartition("_")[2] else items))
    return Batch(*columns)


def _pad(tensor: Tensor, length: int) -> Tensor:
    missing = length - tensor.shape[0]
    return torch.cat([tensor, tensor.new_zeros((missing, *tensor.shape[1:]))]) if missing else tensor


def filled_up(batch: Batch, multiple_px: int) -> Batch:
    """Fill height and width up to a multiple with pixels that are neither valid nor known."""
    height, width = batch.valid_BTHW.shape[-2:]
    right, low = -width % multiple_px, -height % multiple_px
    if not (right or low):
        return batch
    finer = batch.class_BHW.shape[-1] // width
    blank = {
        **{"x_BTCHW": 0.0, "valid_BTHW": False, "class_BHW": -1, "parcel_BHW": -1, "here_BHW": False},
        **{"parcels_BNHW": 0, "share_BNHW": 0.0},
    }
    times = {"x_BTCHW": 1, "valid_BTHW": 1}
    sides = {k: (0, right * times.get(k, finer), 0, low * times.get(k, finer)) for k in blank}
    return replace(batch, **{k: pad(getattr(batch, k), sides[k], value=v) for k, v in blank.items()})
