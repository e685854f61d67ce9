"""The contrastive loss beside the classes: which samples a step draws, and which of them each loss reads."""

from __future__ import annotations

from collections.abc import Callable

from cscl.data.batches import Batch, joined
from cscl.data.split import Side
from cscl.errors import InputError
from cscl.recipe import Recipe, TrainSettings

from .prepare import Prepared

__all__ = ["has_own_samples", "read_by_each", "samples_of"]


def has_own_samples(settings: TrainSettings) -> bool:
    """Whether the contrastive loss beside the classes reads samples of its own: twice as many in each step."""
    return bool(settings.joint_weight) and settings.joint_samples == "own"


def samples_of(prepared: Prepared, recipe: Recipe) -> Callable[[int, int], Batch]:
    """Make what draws the samples of a step: with crops and, where the contrastive loss has its own, as many of those.

    Raises
    ------
    InputError
        If the contrastive loss has its own samples, but reads crops alone; or there are no outlines.
    """
    augment, settings = recipe.data.augment, recipe.train
    labelled = prepared.patches(Side.TRAIN, "class", augment=augment)
    if not has_own_samples(settings):
        return labelled.draw
    target = recipe.pretrain.target
    if target == "class":
        raise InputError(
            "Samples of its own are of no use to a contrastive loss that compares crops: all pixels with crops are "
            "drawn anyway. Set pretrain.target=both, or train.joint_samples=shared."
        )
    outlined = prepared.patches(Side.TRAIN, target, augment=augment)
    if not outlined.pixels:
        raise InputError("The labels hold no parcel ids in the training part. Set train.joint_samples=shared.")
    # Steps after the last one: so the two are drawn from different random numbers.
    return lambda step, size: joined(labelled.draw(step, size), outlined.draw(settings.steps + step, size))


def read_by_each(items: int, settings: TrainSettings) -> tuple[slice, slice]:
    """Which items of a batch are read by the loss of the classes, and which by the contrastive one."""
    return (slice(items // 2), slice(items // 2, None)) if has_own_samples(settings) else (slice(None), slice(None))
