"""The door from torch to numpy: a loaded model answers windows of a cube."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cscl.card import ModelCard
from cscl.cube import SITSCube
from cscl.data.batches import to_tensors
from cscl.data.network import build_network, fill, load_weights
from cscl.data.sampling import even_dates
from cscl.data.suits import season_misfits
from cscl.device import autocast, memory_is_full, pick
from cscl.errors import InputError, MemoryLimitError
from cscl.grid import Window
from cscl.models import Network
from cscl.registry import nearest

__all__ = ["Model", "load_model", "suit_cube"]


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network with its card, on a device, ready to answer."""

    card: ModelCard
    network: Network
    device: torch.device

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
        """Margin that a tile needs, rounded up to whole steps."""
        return -(-self.network.needs.margin_px // self.step_px) * self.step_px

    def answer(
        self, cube: SITSCube, window: Window
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        """Run the network on a window of the images, whose corner lies on a multiple of `step_px`.

        Rows and columns of what it returns are `finer` times those of the window.

        Returns
        -------
        probabilities : ndarray
            Axes (class, y, x), float32, 0..1, summing to 1.
        embedding : ndarray
            Axes (feature, y, x), float32.
        seen : ndarray
            Axes (y, x), True where at least one of the dates that were used is valid.
        """
        values, valid = cube.read(window)
        days = self.card.days_of(cube.dates)
        seen = valid.any(axis=0).repeat(self.finer, 0).repeat(self.finer, 1)
        height, width = seen.shape
        values, valid = (self._to_multiple(a) for a in (values, valid))
        sample = to_tensors(values, valid, days, np.array(self.card.mean), np.array(self.card.std))
        probabilities, embedding = self._answer(*sample)
        return probabilities[:, :height, :width].numpy(), embedding[:, :height, :width].numpy(), seen

    def _answer(self, x_TCHW: Tensor, day_T: Tensor, valid_THW: Tensor) -> tuple[Tensor, Tensor]:
        try:
            x, day, seen = (t[None].to(self.device) for t in (x_TCHW, day_T, valid_THW))
            with torch.inference_mode(), autocast(self.device):
                logits, embedding = self.network(x, day, seen)
                return logits.float().softmax(1)[0].cpu(), embedding[0].float().cpu()
        except Exception as error:
            if not memory_is_full(error):
                raise
        height, width = valid_THW.shape[1:]
        raise MemoryLimitError(
            f"The memory of the device '{self.device}' does not hold a tile of {height} x {width} pixels, its margin "
            "included. Use smaller tiles (the option tile-px) or the CPU."
        )

    def _to_multiple(self, array: NDArray) -> NDArray:  # type: ignore[type-arg]
        """Pad the right and lower edge to the multiple that the network needs; padded pixels are not valid."""
        step = self.network.needs.multiple_px
        sides = [(0, 0)] * (array.ndim - 2) + [(0, -n % step) for n in array.shape[-2:]]
        return np.pad(array, sides) if any(after for _, after in sides) else array


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
    return Model(card, network.to(where).eval(), where)


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
