"""What a step of training reads: samples with crops and, beside them, samples from all outlines."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

from cscl.data.batches import Batch, joined
from cscl.data.split import Side
from cscl.errors import InputError
from cscl.events import Event, Note
from cscl.recipe import Recipe

from .prepare import Prepared

__all__ = ["Parts", "has_outlined", "samples_of", "settled"]

LEAST_UNKNOWN = 0.1  # share of the parcels' area; of less there is little to learn


@dataclass(frozen=True)
class Parts:
    """Which items of a batch each loss reads: that of the classes, the contrastive one, and the teacher's."""

    labelled: slice
    contrasted: slice
    outlined: slice

    @classmethod
    def of(cls, items: int, recipe: Recipe) -> Parts:
        """Cut a batch of `samples_of`."""
        if not has_outlined(recipe):
            return cls(slice(None), slice(None), slice(0))
        labelled, outlined = slice(items - items // 2), slice(items - items // 2, None)
        return cls(labelled, outlined if _has_own(recipe) else labelled, outlined)


def has_outlined(recipe: Recipe) -> bool:
    """Whether half of the samples of a step are drawn from all outlines, whether or not their crops are known."""
    return _has_own(recipe) or recipe.unlabelled.weight > 0


def samples_of(prepared: Prepared, recipe: Recipe) -> Callable[[int, int], Batch]:
    """Make what draws the samples of a step: all with crops; or half of them, and then half from all outlines.

    Raises
    ------
    InputError
        If the contrastive loss compares parcels and there are none, or has its own samples and compares crops alone.
    """
    augment, settings = recipe.data.augment, recipe.train
    if settings.joint_weight and recipe.pretrain.target == "parcel" and not prepared.outlined:
        raise InputError(
            "The contrastive loss beside the classes compares parcels, and the labels know none. Give parcels as "
            "polygons, or set pretrain.target=class and train.joint_samples=shared."
        )
    labelled = prepared.patches(Side.TRAIN, "class", augment=augment)
    if not has_outlined(recipe):
        return labelled.draw
    target = recipe.pretrain.target if _has_own(recipe) else "parcel"
    if target == "class":
        raise InputError(
            "Samples of its own are of no use to a contrastive loss that compares crops: all pixels with crops are "
            "drawn anyway. Set pretrain.target=both, or train.joint_samples=shared."
        )
    outlined = prepared.patches(Side.TRAIN, target, augment=augment)
    if not outlined.pixels:
        raise InputError("The labels hold no parcel ids in the training part. Set train.joint_samples=shared.")

    def draw(step: int, size: int) -> Batch:
        half = max(1, size // 2)
        # Steps after the last one: so the two are drawn from different random numbers.
        return joined(labelled.draw(step, max(1, size - half)), outlined.draw(settings.steps + step, half))

    return draw


def settled(prepared: Prepared, recipe: Recipe) -> Generator[Event, None, Recipe]:
    """Return the recipe without what needs parcels that have no crop, where there are next to none; say if there are.

    Yields
    ------
    Note
    """
    if not recipe.unlabelled.weight:
        return recipe
    inside = prepared.patches(Side.TRAIN, "parcel", augment=False).pixels if prepared.outlined else 0
    known = prepared.patches(Side.TRAIN, "class", augment=False).pixels
    unknown = 1 - known / inside if inside else 0.0
    if unknown < LEAST_UNKNOWN:
        return replace(recipe, unlabelled=replace(recipe.unlabelled, weight=0.0))
    yield Note(
        f"{100 * unknown:.0f} % of the area of the parcels is without a crop. It is learnt from all the same, by what "
        "a slow copy of the network says of each parcel (unlabelled.weight)."
    )
    return recipe


def _has_own(recipe: Recipe) -> bool:
    return bool(recipe.train.joint_weight) and recipe.train.joint_samples == "own"
