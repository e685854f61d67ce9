"""What a step of supervised training minimises: crops, and where asked for contrast and the answers of a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from cscl.data.batches import Batch
from cscl.models import Network
from cscl.recipe import Recipe

from .joint import Parts
from .loop import Learner
from .schemes import told_of
from .teacher import Teacher

__all__ = ["Supervised"]


@dataclass(frozen=True, eq=False)
class Supervised:
    """Loss of a batch: cross-entropy or its like on crops, CSCL beside it, and agreement with a teacher.

    Parameters
    ----------
    network : Network
        What learns.
    segmentation : nn.Module
        Loss of logits against classes.
    recipe : Recipe
        Weights of the parts, and which samples of a batch belong to which.
    learner : Learner
        Holds the contrastive head as ``head``, the averages that are the teacher's weights, and the count of steps.
    teacher : Teacher or None
        What answers for parcels without a crop.
    """

    network: Network
    segmentation: Any
    recipe: Recipe
    learner: Learner
    teacher: Teacher | None

    def __call__(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the loss and what to report of it."""
        part = Parts.of(len(batch.class_BHW), self.recipe)
        outlined = batch.map(lambda t: t[part.outlined])
        if self.teacher:
            answer = self.teacher.answer(self.learner.averages, outlined)
            batch = self.teacher.thinned(batch, part.outlined)
        logits, embedding = self.network(batch.x_BTCHW, batch.day_BT, batch.valid_BTHW)
        loss, measures = self.segmentation(logits[part.labelled], batch.class_BHW[part.labelled])
        if self.recipe.train.joint_weight:
            told = told_of(batch.map(lambda t: t[part.contrasted]), self.recipe.pretrain)
            contrast, more = self.learner.modules["head"](embedding[part.contrasted], told)
            loss, measures = loss + self.recipe.train.joint_weight * contrast, {**measures, **more}
        if self.teacher:
            done = self.learner.step / self.recipe.train.steps
            spread, more = self.teacher.loss(logits[part.outlined], answer, outlined, done)
            loss, measures = loss + spread, {**measures, **more}
        return loss, measures
