"""What keeps a fine-tuned model from forgetting: it goes on rehearsing the rest of the scene beside the region.

Outside the region, pixels that the model was trained on keep their label; all others are to get the answer that the
model gave before it was fine-tuned (Li and Hoiem, Learning without Forgetting, 2016), so that no held-out label is
read. That answer counts among the classes that the model has learnt only: a crop that it never saw may spread from
the region over the rest of the scene. And it counts by class, as far as it proved right in the region: where the
season is another one and the model is wrong everywhere, there is little to be kept.

Measured on the sample season with models of simulated neighbours, a region of 64 x 64 pixels and 30 seconds: without
rehearsal, a hidden crop was learnt at the price of the others outside (91 % right before, 83 % after; 89 to 91 % with
it, three seeds). With the dates moved by four weeks, rehearsal of all former answers alike held the interiors outside
back at 73 % (from 70 %), where answers weighed by class let them rise to 85 % and none at all to 88 %.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax

from cscl.card import ModelCard
from cscl.data.batches import Batch, Patches, Source
from cscl.data.split import Side
from cscl.events import Event, Progress
from cscl.inference.tiles import Model
from cscl.legend import Legend
from cscl.models import Network

__all__ = ["learnt_classes", "objective", "rehearsed", "trust"]

BENEFIT_PX = 50  # a class that was met on few pixels keeps most of its good name
MOST_PATCHES = 96


def rehearsed(source: Source, former_YX: NDArray[np.uint8] | None, region_YX: NDArray[np.bool_]) -> Source:
    """Return a scene as it is rehearsed: all outside the region, as parcel 1, and the labels once learnt from there.

    Parameters
    ----------
    source : Source
        The scene.
    former_YX : ndarray or None
        Sides of its pixels in the model's training, axes (y, x); None if it was not trained there.
    region_YX : ndarray of bool
        Axes (y, x).
    """
    labels, outside = source.scene.labels, ~region_YX
    seen = np.zeros_like(outside) if former_YX is None else outside & (former_YX == Side.TRAIN)
    ids = np.where(seen, labels.ids, labels.ids.dtype.type(labels.legend.ignore))
    scene = replace(source.scene, labels=replace(labels, ids=ids, parcel_ids=outside.astype(np.int32)))
    return replace(source, scene=scene, side_YX=np.where(outside, Side.TRAIN, Side.NONE).astype(np.uint8))


def learnt_classes(card: ModelCard, legend: Legend) -> list[int]:
    """Find the classes of a legend that a model had pixels of, or all of its own if its card does not say."""
    had = {int(i) for data in card.data for i, pixels in data.get("classes", {}).items() if pixels}
    return [k for k, i in enumerate(legend.ids) if i in card.legend.ids and (i in had or not had)]


def trust(before: Model, region: Patches, learnt: list[int]) -> Generator[Event, None, Tensor]:
    """Weigh the former answers by class: twice the share that is right in the region, less one, and 0 at the least.

    Pixels of crops that the model never learnt do not count: it could not be right there, and may be elsewhere.

    Returns
    -------
    Tensor
        One weight, 0..1, for each of the classes in `learnt`; 1 for classes that the model does not give there.
    """
    right, given = torch.zeros(2, len(learnt), device=before.device)
    classes = torch.tensor(learnt, device=before.device)
    data, step = before.card.recipe.data, before.network.needs.multiple_px
    for number, batch in enumerate(region.fixed(16, data.patch_px, MOST_PATCHES, step), 1):
        moved = batch.map(lambda t: t.to(before.device))
        with torch.inference_mode():
            scores = before.network(moved.x_BTCHW, moved.day_BT, moved.valid_BTHW)[0][:, learnt]
        known = torch.isin(moved.class_BHW, classes)
        answer, truth = scores.argmax(1)[known], moved.class_BHW[known]
        given += torch.bincount(answer, minlength=len(learnt))
        right += torch.bincount(answer[classes[answer] == truth], minlength=len(learnt))
        yield Progress("looking at the region", number, 0, "batch")
    weights: Tensor = (2 * (right + BENEFIT_PX) / (given + BENEFIT_PX) - 1).clamp(min=0)
    return weights


def objective(
    network: Network, before: Network, learnt: list[int], trust_K: Tensor, region_items: int
) -> Callable[[Batch], tuple[Tensor, Mapping[str, Tensor]]]:
    """Make the loss of batches whose first items are of the region and whose other ones are rehearsed.

    Both parts are means over their pixels, weighted by their items. Class indices of the legend of `before` are the
    first of those of `network`.

    Parameters
    ----------
    network, before : Network
        What learns, and what it was: in evaluation, and never changed.
    learnt : list of int
        Classes among which the former answer counts.
    trust_K : Tensor
        How much each of them counts, as `trust` finds it.
    region_items : int
        How many items are of the region.
    """

    def lesson(batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        items, first = len(batch.x_BTCHW), region_items
        logits = network(batch.x_BTCHW, batch.day_BT, batch.valid_BTHW)[0].float()
        new = cross_entropy(logits[:first], batch.class_BHW[:first], ignore_index=-1)
        if first == items:
            return new, {"region_loss": new.detach()}
        with torch.no_grad():
            answer = before(batch.x_BTCHW[first:], batch.day_BT[first:], batch.valid_BTHW[first:])[0].float()
        old = _rehearsal_loss(logits[first:], answer, batch.map(lambda t: t[first:]), learnt, trust_K)
        loss = (first * new + (items - first) * old) / items
        return loss, {"region_loss": new.detach(), "rehearsal_loss": old.detach()}

    return lesson


def _rehearsal_loss(
    logits_BKHW: Tensor, answer_BKHW: Tensor, batch: Batch, learnt: list[int], trust_K: Tensor
) -> Tensor:
    """Cross-entropy where a label is known, else divergence from the former answer; mean over pixels ever seen."""
    labelled = batch.class_BHW >= 0
    free = (batch.parcel_BHW > 0) & batch.valid_BTHW.any(1) & ~labelled
    told = cross_entropy(logits_BKHW, batch.class_BHW, ignore_index=-1, reduction="sum")
    wanted, found = (log_softmax(scores[:, learnt], 1) for scores in (answer_BKHW, logits_BKHW))
    divergence_BHW = trust_K[wanted.argmax(1)] * (wanted.exp() * (wanted - found)).sum(1)
    return (told + divergence_BHW[free].sum()) / (labelled | free).sum().clamp(min=1)
