"""What is written as ONNX: a trained network with everything between stored numbers and the probability of each class.

Two forms. `PlainGraph` takes what a program of one's own can give: reflectance, days and validity, of any size.
`DeepnessGraph` takes what the QGIS plugin Deepness gives: one raster, whose channels are all bands of all dates.

Axes: B item, T date, C band, F channel (band of a date), H row, W column, K class.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from cscl.export.stack import NODATA, OFFSET, SCALE

from .tiles import Model

__all__ = ["DeepnessGraph", "PlainGraph"]

BYTE = 255.0  # Deepness divides whatever it reads by this


class _Graph(nn.Module):
    """What both forms share: the network behind the statistics of its card, for tiles of any size."""

    mean_C11: Tensor
    std_C11: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network, self.finer = model.network, model.finer
        for name, values in (("mean_C11", model.card.mean), ("std_C11", model.card.std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32)[:, None, None])

    def probabilities(self, reflectance_BTCHW: Tensor, day_BT: Tensor, valid_BTHW: Tensor) -> Tensor:
        """Return ``(B, K, finer * H, finer * W)``; what is not valid may hold anything, NaN included."""
        x_BTCHW = (reflectance_BTCHW - self.mean_C11) / self.std_C11
        x_BTCHW = x_BTCHW.masked_fill(~valid_BTHW[:, :, None], 0.0)
        (height, width), multiple = x_BTCHW.shape[-2:], self.network.needs.multiple_px
        if multiple > 1:
            sides = (0, -width % multiple, 0, -height % multiple)
            x_BTCHW, valid_BTHW = pad(x_BTCHW, sides), pad(valid_BTHW, sides)
        logits_BKHW, _ = self.network(x_BTCHW, day_BT, valid_BTHW)
        found_BKHW: Tensor = logits_BKHW.softmax(dim=1)
        return found_BKHW[..., : self.finer * height, : self.finer * width]


class PlainGraph(_Graph):
    """Reflectance, days and validity in; probabilities and class ids out.

    Parameters
    ----------
    model : Model
        Trained, on the CPU.
    """

    id_K: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.ignore = model.card.legend.ignore
        self.register_buffer("id_K", torch.tensor(model.card.legend.ids, dtype=torch.int32))

    def forward(self, reflectance_BTCHW: Tensor, day_BT: Tensor, valid_BTHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities ``(B, K, H, W)`` and ids ``(B, H, W)``, int32: unknown where no date saw the pixel."""
        found_BKHW = self.probabilities(reflectance_BTCHW, day_BT, valid_BTHW)
        seen_BHW = valid_BTHW.any(dim=1)
        if self.finer > 1:
            seen_BHW = seen_BHW.repeat_interleave(self.finer, 1).repeat_interleave(self.finer, 2)
        return found_BKHW, torch.where(seen_BHW, self.id_K[found_BKHW.argmax(dim=1)], self.ignore)


class DeepnessGraph(_Graph):
    """One raster of all bands of all dates in, as Deepness gives it; probabilities of classes and of no data out.

    The numbers are those of `cscl.export.stack`, divided by 255. Deepness has no mask: what is missing is read from
    the number that means so, and a last channel takes the pixels that no date saw, which would be of the first class
    otherwise. Of a network that maps finer pixels the mean over each pixel of the images is given, since Deepness wants
    a map of the size of its tile.

    Parameters
    ----------
    model : Model
        Trained, on the CPU.
    days : sequence of int
        Days of the dates since the reference date of the card.
    """

    day_T: Tensor

    def __init__(self, model: Model, days: Sequence[int]) -> None:
        super().__init__(model)
        self.register_buffer("day_T", torch.tensor(days, dtype=torch.int64))

    def forward(self, raster_BFHW: Tensor) -> Tensor:
        """Return ``(B, K + 1, H, W)``, summing to 1 over the channels."""
        shape = (raster_BFHW.shape[0], len(self.day_T), -1, *raster_BFHW.shape[2:])
        stored_BTCHW = (raster_BFHW * BYTE).round().reshape(shape)
        valid_BTHW = (stored_BTCHW != NODATA).all(dim=2)
        reflectance_BTCHW = stored_BTCHW * SCALE + OFFSET
        day_BT = self.day_T.expand(raster_BFHW.shape[0], -1)
        found_BKHW = self.probabilities(reflectance_BTCHW, day_BT, valid_BTHW)
        if self.finer > 1:
            found_BKHW = avg_pool2d(found_BKHW, self.finer)
        seen_B1HW = valid_BTHW.any(dim=1, keepdim=True).to(found_BKHW.dtype)
        return torch.cat([found_BKHW * seen_B1HW, 1 - seen_B1HW], dim=1)
