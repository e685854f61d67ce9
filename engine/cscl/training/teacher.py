"""Learning from parcels whose crop is not known: a slow copy of the network, the teacher, says what grows there.

A mean teacher (Tarvainen and Valpola 2017, NeurIPS 30) is the running average of the network's weights. It sees all
dates of a sample and the network only some, and the network learns to answer alike. What is new here is what a register
adds: the teacher's answers are averaged over each parcel, so that they hold at its edge, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call

from cscl.data.batches import Batch
from cscl.losses.consistency import answers_of_parcels, consistency, inside
from cscl.recipe import UnlabelledSettings

__all__ = ["MEMORY", "Teacher"]

MEMORY = 0.98  # share of the former average that a teacher keeps, where a recipe averages no weights


@dataclass(frozen=True, eq=False)
class Teacher:
    """What answers for parcels whose crop is not known.

    Parameters
    ----------
    network : nn.Module
        What learns. Its weights are not the teacher's, but its shape is.
    settings : UnlabelledSettings
    """

    network: nn.Module
    settings: UnlabelledSettings

    def weight(self, done: float) -> float:
        """Weight of the loss when a share `done` of the steps is taken: it rises along a line, then stays."""
        return self.settings.weight * min(1.0, done / self.settings.rise if self.settings.rise else 1.0)

    @torch.no_grad()
    def answer(self, averages: Mapping[str, Tensor] | None, batch: Batch) -> Tensor:
        """Probabilities of the classes for all pixels of a batch, axes as those of logits.

        Parameters
        ----------
        averages : mapping or None
            The teacher's weights and buffers, with the prefix ``network.``; None before there are any.
        batch : Batch
            With all of its dates.
        """
        modes = [(module, module.training) for module in self.network.modules()]
        state = {k.removeprefix("network."): v for k, v in (averages or {}).items() if k.startswith("network.")}
        try:
            self.network.eval()
            logits = functional_call(self.network, state, (batch.x_BTCHW, batch.day_BT, batch.valid_BTHW))[0]
        finally:
            for module, mode in modes:
                module.training = mode
        probability: Tensor = logits.float().softmax(1)
        if self.settings.average == "pixel":
            return probability
        shared = answers_of_parcels(probability, batch.parcel_BHW)
        if self.settings.average == "parcel":
            return shared
        return torch.where(inside(batch.parcel_BHW)[:, None], probability, shared)

    def thinned(self, batch: Batch, items: slice) -> Batch:
        """Hide some dates of some items, but never all that show something; drawn from torch's generator."""
        shown_BT = torch.ones_like(batch.day_BT, dtype=torch.bool)
        shown_BT[items] = torch.rand_like(batch.day_BT[items], dtype=torch.float32) >= self.settings.date_dropout
        usable_BT = batch.valid_BTHW.flatten(2).any(2)
        shown_BT |= ~(shown_BT & usable_BT).any(1, keepdim=True)
        valid = batch.valid_BTHW & shown_BT[:, :, None, None]
        return replace(batch, x_BTCHW=batch.x_BTCHW * valid[:, :, None], valid_BTHW=valid)

    def loss(self, logits: Tensor, answer: Tensor, batch: Batch, done: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of the network's logits against the answers inside parcels, weighed, and measures."""
        counts = batch.parcel_BHW >= 0
        found = consistency(logits, answer, counts)
        agreed = (logits.argmax(1) == answer.argmax(1)) & counts
        measures = {"unlabelled": found.detach(), "agreement": agreed.sum() / counts.sum().clamp_min(1)}
        return self.weight(done) * found, measures
