"""Sharpen a map without training: each pixel takes over what neighbours of its own parcel say.

The probabilities of a pixel are averaged over its window, weighed by the softmax of the affinity that CSCL learnt. In a
mixed pixel at an edge that affinity is high towards one parcel and low towards the other, so the pixel joins the one
that it is most alike. Only a network whose head was learnt with it knows this affinity: the pre-trained one, or one
that was trained jointly. After plain training the head of the pre-training is an echo, and averaging by it does harm;
so a trained model carries the pre-trained one that it started from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cscl.card import affinity_folder
from cscl.cube import SITSCube
from cscl.errors import InputError
from cscl.grid import Window
from cscl.losses.affinity import label_agreement
from cscl.losses.cscl import CSCLLoss
from cscl.models.aggregated import window_mean

from .embed import contrastive_head
from .tiles import Model, load_model, suit_cube

__all__ = ["Sharpener", "sharpener"]


@dataclass(frozen=True, eq=False)
class Sharpener:
    """A network that knows affinity, ready to sharpen maps of one cube.

    Parameters
    ----------
    folder : Path
        Model folder of the network.
    model : Model
        The network.
    loss : CSCLLoss
        Its contrastive loss, whose head gives the affinity.
    cube : SITSCube
        Images in the bands and dates of the network.
    rounds : int
        How often the probabilities are averaged.
    temperature : float
        What affinities are divided by before the softmax.
    """

    folder: Path
    model: Model
    loss: CSCLLoss
    cube: SITSCube
    rounds: int
    temperature: float

    @property
    def facts(self) -> dict[str, Any]:
        """What a map that was sharpened says of it."""
        by = str(self.folder)
        return {"sharpened": self.rounds, "sharpened_by": by, "sharpen_temperature": self.temperature}

    def around(self, step_px: int, margin_px: int) -> tuple[int, int]:
        """Step and margin of tiles of a network whose answers are to be sharpened, from those without sharpening.

        The margin, too, is in pixels of the images. Probabilities must be known as far as they can flow.
        """
        reach_px = -(-self.rounds * (self.loss.options.window // 2) * self.loss.options.dilation // self.model.finer)
        step_px = math.lcm(step_px, self.model.step_px)
        return step_px, -(-(max(margin_px, self.model.margin_px) + reach_px) // step_px) * step_px

    def __call__(
        self, probabilities: NDArray[np.float32], seen: NDArray[np.bool_], window: Window
    ) -> NDArray[np.float32]:
        """Sharpen the probabilities of a window of the images.

        Parameters
        ----------
        probabilities : ndarray
            Axes (class, y, x), float32.
        seen : ndarray
            Axes (y, x); what was never seen neither gives nor takes.
        window : Window
            Its corner lies on a multiple of the network's step.

        Returns
        -------
        ndarray
            Like `probabilities`; right but for the margin that `around` tells.
        """
        _, embedding, known = self.model.answer(self.cube, window)
        options, device = self.loss.options, self.model.device
        with torch.inference_mode():
            embedding_BDHW = torch.from_numpy(np.ascontiguousarray(embedding))[None].to(device)
            usable_BHW = torch.from_numpy(np.where(seen & known, 0, -1))[None].to(device)
            kept_BkkHW = label_agreement(usable_BHW, options.window, options.dilation)[1]
            kept_BkkHW[:, options.window // 2, options.window // 2] = True
            s_BkkHW = self.loss.head.affinity(embedding_BDHW) / self.temperature
            s_BkkHW = s_BkkHW.masked_fill(~kept_BkkHW, -torch.inf)
            p_BKHW = torch.from_numpy(np.ascontiguousarray(probabilities))[None].to(device)
            for _ in range(self.rounds):
                p_BKHW = window_mean(p_BKHW, s_BkkHW, options.dilation)
            return p_BKHW[0].cpu().numpy()


def sharpener(
    folder: str | Path, cube: SITSCube, finer: int, rounds: int, temperature: float, device: str = "auto"
) -> tuple[Sharpener, list[str]]:
    """Make ready to sharpen the maps of a cube.

    Parameters
    ----------
    folder : path
        Model folder, pre-trained by CSCL, trained jointly with it, or that carries such a one.
    cube : SITSCube
        Images.
    finer : int
        How many times finer than the images the probabilities are.
    rounds, temperature
        See `Sharpener`.

    Returns
    -------
    Sharpener
        Ready for tiles of the cube.
    list of str
        Warnings about what of the cube does not suit its network.

    Raises
    ------
    InputError
        If the model neither knows affinity nor carries one that does, or answers at other pixels.
    """
    known = affinity_folder(folder)
    if known is None:
        raise InputError(
            f"{folder} holds no network that knows which neighbours are alike: it did not start from one that was "
            "pre-trained by CSCL for pixels of that size, or is older than models that keep it. Name a pre-trained "
            "model with --sharpen-by, or train again with --start."
        )
    model = load_model(known, device)
    loss = contrastive_head(known, model)
    if model.finer != finer:
        raise InputError(
            f"{folder} knows pixels {model.finer} times finer than the images, and the map's are {finer} times finer. "
            "Sharpen by a model of the same pixels."
        )
    cube, warnings = suit_cube(cube, model.card, model.network.needs.least_dates)
    return Sharpener(known.resolve(), model, loss, cube, rounds, temperature), warnings
