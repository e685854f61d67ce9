"""The door from torch to numpy: a loaded model answers windows of a cube."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cscl.card import ModelCard
from cscl.cube import SITSCube
from cscl.data.network import build_network, fill, load_weights
from cscl.data.sampling import even_dates
from cscl.data.suits import season_misfits
from cscl.device import autocast, memory_is_full, pick
from cscl.errors import InputError, MemoryLimitError
from cscl.grid import Window
from cscl.models import Network
from cscl.models.folded import folded
from cscl.registry import nearest

__all__ = ["Model", "Sample", "load_model", "suit_cube"]


@dataclass(frozen=True, eq=False)
class Sample:
    """Windows of one size as a network reads them: standardised, padded to its multiple, without dates without a use.

    Parameters
    ----------
    x_BTCHW, day_BT, valid_BTHW : Tensor
        See `cscl.models`.
    seen_BHW : ndarray
        True where a date is valid, in pixels of the images and without the padding.
    """

    x_BTCHW: Tensor = field(repr=False)
    day_BT: Tensor
    valid_BTHW: Tensor = field(repr=False)
    seen_BHW: NDArray[np.bool_] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network with its card, on a device, ready to answer in some precision (see `cscl.device.autocast`)."""

    card: ModelCard
    network: Network
    device: torch.device
    precision: str = "auto"

    @property
    def finer(self) -> int:
        """How many pixels of an answer lie along a side of one of the images."""
        return self.network.needs.finer

    @property
    def step_px(self) -> int:
        """What the first row and column of all that the network reads are multiples of: it halves them in step."""
        return max(self.network.needs.multiple_px, 8)

    @property
    def margin_px(self) -> int:
        """Margin that a tile needs; the corner of what is read goes down to a multiple of `step_px` besides."""
        return self.network.needs.margin_px

    def answer(
        self, cube: SITSCube, window: Window
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        """Run the network on a window of the images, whose corner lies on a multiple of `step_px`.

        Rows and columns of what it returns are `finer` times those of the window.

        Returns
        -------
        probabilities : ndarray
            Axes (class, y, x), float32, 0..1, summing to 1; all 0 in a window that no date saw.
        embedding : ndarray
            Axes (feature, y, x), float32.
        seen : ndarray
            Axes (y, x), True where at least one of the dates that were used is valid.
        """
        sample = self.read(cube, [window])
        probabilities_BKHW, embedding_BDHW = self._run(sample)
        height, width = (self.finer * n for n in (window.height, window.width))
        seen = self._fine(sample.seen_BHW[0])
        return probabilities_BKHW[0, :, :height, :width], embedding_BDHW[0, :, :height, :width], seen

    def read(self, cube: SITSCube, windows: Sequence[Window]) -> Sample:
        """Read windows of one size as the network wants them.

        Where padded dates leave the answer unchanged (``needs.masks_dates``), dates that are valid nowhere in any of
        the windows are left out, and of those that a mask tells beforehand no pixel is read.
        """
        days_T = self.card.days_of(cube.dates)
        masks = [_mask(cube, window) for window in windows]
        kept_T = np.ones(len(days_T), bool)
        if self._drops_dates:
            kept_T = self._enough(np.any([_dates_of(mask, len(kept_T)) for mask in masks], axis=0))
        read = [_read(cube, w, mask, kept_T) for w, mask in zip(windows, masks, strict=True)]
        days_T = days_T[kept_T]
        if self._drops_dates:
            more_T = self._enough(np.any([valid_THW.any((1, 2)) for _, valid_THW in read], axis=0))
            if not more_T.all():
                read, days_T = [(x[more_T], valid[more_T]) for x, valid in read], days_T[more_T]
        seen_BHW = np.stack([valid_THW.any(axis=0) for _, valid_THW in read])
        for x_TCHW, valid_THW in read:
            self._standardise(x_TCHW, valid_THW)
        x_BTCHW, valid_BTHW = (self._to_multiple(_joined(arrays)) for arrays in zip(*read, strict=True))
        day_BT = torch.from_numpy(days_T).repeat(len(windows), 1)
        return Sample(torch.from_numpy(x_BTCHW), day_BT, torch.from_numpy(valid_BTHW), seen_BHW)

    def probabilities(self, sample: Sample) -> list[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
        """Answer to windows that were read: of each the probabilities and what was seen, as `answer` gives them."""
        found_BKHW = self._run(sample)[0]
        height, width = (self.finer * n for n in sample.seen_BHW.shape[1:])
        pairs = zip(found_BKHW, sample.seen_BHW, strict=True)
        return [(found_KHW[:, :height, :width], self._fine(seen_HW)) for found_KHW, seen_HW in pairs]

    @property
    def _drops_dates(self) -> bool:
        return self.network.needs.masks_dates and self.network.needs.dates is None

    def _enough(self, kept_T: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Keep as many dates as the network needs at least, should fewer be wanted."""
        lacking = self.network.needs.least_dates - int(kept_T.sum())
        if lacking > 0:
            kept_T = kept_T.copy()
            kept_T[np.flatnonzero(~kept_T)[:lacking]] = True
        return kept_T

    def _standardise(self, x_TCHW: NDArray[np.float32], valid_THW: NDArray[np.bool_]) -> None:
        """Do in place what `cscl.data.batches.to_tensors` does: a season of a large tile is not to be copied."""
        mean_C, std_C = (np.array(each, np.float32)[:, None, None] for each in (self.card.mean, self.card.std))
        x_TCHW -= mean_C
        x_TCHW /= std_C
        x_TCHW *= valid_THW[:, None]

    def _run(self, sample: Sample) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Probabilities and embedding, with the padding; nothing is computed where no date saw anything."""
        items, _, _, height, width = sample.x_BTCHW.shape
        if not sample.seen_BHW.any():
            shape = (items, len(self.card.legend), self.finer * height, self.finer * width)
            return np.zeros(shape, np.float32), np.zeros((items, self.network.embedding_width, *shape[2:]), np.float32)
        try:
            x, day, valid = (t.to(self.device) for t in (sample.x_BTCHW, sample.day_BT, sample.valid_BTHW))
            with torch.inference_mode(), autocast(self.device, self.precision):
                logits, embedding = self.network(x, day, valid)
                return logits.float().softmax(1).cpu().numpy(), embedding.float().cpu().numpy()
        except Exception as error:
            if not memory_is_full(error):
                raise
        height, width = sample.seen_BHW.shape[1:]
        raise MemoryLimitError(
            f"The memory of the device '{self.device}' does not hold a tile of {height} x {width} pixels, its margin "
            "included. Use smaller tiles (the option tile-px) or the CPU."
        )

    def _fine(self, seen_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return seen_HW.repeat(self.finer, 0).repeat(self.finer, 1) if self.finer > 1 else seen_HW

    def _to_multiple(self, array: NDArray[Any]) -> NDArray[Any]:
        """Pad the right and lower edge to the multiple that the network needs; padded pixels are not valid."""
        step = self.network.needs.multiple_px
        sides = [(0, 0)] * (array.ndim - 2) + [(0, -n % step) for n in array.shape[-2:]]
        return np.pad(array, sides) if any(after for _, after in sides) else array


def _mask(cube: SITSCube, window: Window) -> NDArray[np.bool_] | None:
    """Read what the quality mask calls usable in a window, axes (time, y, x); None where there is no mask."""
    return None if cube.clear is None else np.asarray(cube.clear[:, *window.slices].values, bool)


def _dates_of(mask_THW: NDArray[np.bool_] | None, dates: int) -> NDArray[np.bool_]:
    """Dates of which something may be usable."""
    return np.ones(dates, bool) if mask_THW is None else np.asarray(mask_THW.any(axis=(1, 2)))


def _read(
    cube: SITSCube, window: Window, mask_THW: NDArray[np.bool_] | None, kept_T: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read some dates of a window as `SITSCube.read` does, with a mask that was read already."""
    unmasked = cube.unmasked()
    if not kept_T.all():
        unmasked = unmasked.select(times=[int(t) for t in np.flatnonzero(kept_T)])
    values_TCHW, valid_THW = unmasked.read(window)
    if mask_THW is not None:
        valid_THW &= mask_THW[kept_T]
    return values_TCHW, valid_THW


def _joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)  # one item is not copied


def load_model(folder: str | Path, device: str = "auto", *, untrained: bool = False) -> Model:
    """Load a model folder.

    Parameters
    ----------
    folder : path
        The model folder.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    untrained : bool
        Take the network as it was before it learnt: its first, random weights follow from the recipe's seed.

    Raises
    ------
    MissingError, InputError, UnknownNameError
        Not a model folder, damaged, or of a network that is not installed.
    """
    card = ModelCard.open(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(card.recipe.seed)
        network, _ = build_network(card)
    if not untrained:
        fill(network, load_weights(Path(folder) / "network.safetensors"), str(folder))
    where = pick(device)
    return Model(card, folded(network).to(where), where)


def suit_cube(cube: SITSCube, card: ModelCard, needs_dates: int) -> tuple[SITSCube, list[str]]:
    """Pick the model's bands, and at most as many dates as it knows, from a cube and say what does not suit.

    Of more dates some are taken evenly across the season, for the whole scene alike, so that tiles agree and only what
    is used is read. Dates on which nothing is usable are passed over.

    Returns
    -------
    SITSCube
        The cube in the model's bands and dates.
    list of str
        Warnings: another pixel size, a season that the model does not know.

    Raises
    ------
    UnknownNameError, InputError, GridError
        A band is missing, there are fewer dates than the network needs, or the grid counts degrees.
    """
    for band in card.bands:
        if band not in cube.bands:
            raise nearest(band, cube.bands, "band", f"{cube.name}, which the model {card.name} needs")
    if len(cube.dates) < needs_dates:
        raise InputError(
            f"{cube.name} has {len(cube.dates)} date, and the model {card.name} needs at least {needs_dates}. "
            "Add images of the season."
        )
    warnings = season_misfits(cube, card)
    cube = cube.select(bands=card.bands)
    if len(cube.dates) > card.dates:
        cube = cube.select(times=[int(t) for t in even_dates(cube.valid_share() > 0, card.dates)])
    return cube, warnings
