"""Sharpen a map without training: each pixel takes over what neighbours of its own parcel say.

The probabilities of a pixel are averaged over its window, weighed by the softmax of the affinity that CSCL learnt. In a
mixed pixel at an edge that affinity is high towards one parcel and low towards the other, so the pixel joins the one
that it is most alike. Only a network whose head was learnt with it knows this affinity: the pre-trained one, or one
that was trained jointly. After plain training the head of the pre-training is an echo, and averaging by it does harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cscl.cube import SITSCube
from cscl.errors import InputError
from cscl.events import Job, Note
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

    model: Model
    loss: CSCLLoss
    cube: SITSCube
    rounds: int
    temperature: float

    @property
    def margin_px(self) -> int:
        """Pixels of the images around a tile whose probabilities must be known."""
        reach_px = self.loss.options.window // 2 * self.loss.options.dilation
        return -(-self.rounds * reach_px // self.model.finer)

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
            Like `probabilities`; right up to `margin_px` and the network's own margin from the window's edge.
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
) -> Job[Sharpener]:
    """Make ready to sharpen the maps of a cube.

    Parameters
    ----------
    folder : path
        Model folder, pre-trained by CSCL or trained jointly with it.
    cube : SITSCube
        Images.
    finer : int
        How many times finer than the images the probabilities are.
    rounds, temperature
        See `Sharpener`.

    Raises
    ------
    InputError
        If the model holds no head of CSCL or one that is an echo, or answers at other pixels.
    """
    model = load_model(folder, device)
    loss = contrastive_head(folder, model)
    if model.card.stage == "trained" and not model.card.recipe.train.joint_weight:
        raise InputError(
            f"The network of {folder} was trained further without its contrastive head, so it knows affinity no more. "
            "Name the pre-trained model that it started from with --sharpen-by."
        )
    if model.finer != finer:
        raise InputError(
            f"{folder} knows pixels {model.finer} times finer than the images, and the map's are {finer} times finer. "
            "Sharpen by a model of the same pixels."
        )
    cube, warnings = suit_cube(cube, model.card, model.network.needs.least_dates)
    for warning in warnings:
        yield Note(warning, warning=True)
    return Sharpener(model, loss, cube, rounds, temperature)
