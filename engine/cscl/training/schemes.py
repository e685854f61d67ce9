"""What the steps of pre-training are made of: patches with parcels or classes, or views of patches without labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cscl.data.batches import Batch
from cscl.data.network import make_loss
from cscl.data.split import Side
from cscl.errors import InputError
from cscl.losses import losses
from cscl.losses.ground import Ground
from cscl.losses.views import Samples
from cscl.models import Network
from cscl.recipe import Choice, PretrainSettings, build

from .prepare import Prepared

__all__ = ["Scheme", "Viewer", "reads_views", "require_possible", "scheme_of", "told_of"]

# How much haze a band sees, and the bands of which one must stay, by what files call them.
HAZE = {**dict.fromkeys(("B02", "blue"), 1.0), **dict.fromkeys(("B03", "green"), 0.6), "B04": 0.4, "red": 0.4}
VITAL = {"B04", "B05", "B06", "B07", "B08", "B8A", "red", "rededge", "nir", "nir08"}


@dataclass(frozen=True, eq=False)
class Scheme:
    """A pre-training scheme made ready.

    Parameters
    ----------
    head : nn.Module
        The loss and what learns of it.
    target : str
        What makes two things alike: ``"parcel"``, ``"class"`` or ``"views"``.
    draw : callable
        ``draw(step, size)`` makes what a step reads; it has ``map``.
    loss : callable
        ``loss(network, drawn, done)`` returns the loss and measures; `done` is the share of steps taken.
    """

    head: nn.Module
    target: str
    draw: Callable[[int, int], Any]
    loss: Callable[[nn.Module, Any, float], tuple[Tensor, Mapping[str, Tensor]]]


@dataclass(frozen=True, eq=False)
class Viewer:
    """Draws what a loss that reads views reads; a pure function of the samples, the seed and the step."""

    choice: Choice
    options: Any
    side_px: int
    dates: int
    bands: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    seed: int

    @classmethod
    def of(cls, choice: Choice, side_px: int, dates: int, bands: tuple[str, ...], seed: int, **moments: Any) -> Viewer:
        """Make one with the options that a recipe chooses.

        Raises
        ------
        UnknownNameError, InputError
            If the loss or an option is not known.
        """
        options: Any = build(losses.get(choice.name).options, choice.options, f"the options of {choice.name}")
        flat = {"mean": (0.0,) * len(bands), "std": (1.0,) * len(bands)}
        return cls(choice, options, side_px, dates, bands, seed=seed, **{**flat, **moments})

    def __call__(self, batch: Batch, step: int) -> Any:
        """Draw views of a batch that is larger than they are."""
        haze, vital = (
            torch.tensor([HAZE.get(b, 0.0) for b in self.bands]),
            torch.tensor([b in VITAL for b in self.bands]),
        )
        mean, std = (torch.tensor(v, dtype=torch.float32) for v in (self.mean, self.std))
        seen = batch.x_BTCHW, batch.day_BT, batch.valid_BTHW, batch.here_BHW
        samples = Samples(*seen, mean, std, haze, vital)
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + step) % 2**63)
        draw: Any = losses.get(self.choice.name).draw
        return draw(samples, self.options, self.side_px, self.dates, generator)

    def head(self, network: Network, drawn: Any) -> nn.Module:
        """Make the loss for a network; `drawn` is an example."""
        return losses.get(self.choice.name).build(self.options, network, drawn)


def reads_views(choice: Choice) -> bool:
    """Whether a loss makes its own task of views instead of reading labels."""
    return losses.get(choice.name).reads == "views"


def scheme_of(prepared: Prepared, settings: PretrainSettings, network: Network) -> Scheme:
    """Make a recipe's scheme ready for prepared scenes and a network, which is still on the CPU.

    Raises
    ------
    CSCLError
        If the scheme or an option is not known, or the scenes hold nothing that it reads.
    """
    return (_by_views if reads_views(settings.loss) else _by_labels)(prepared, settings, network)


def told_of(batch: Batch, settings: PretrainSettings) -> Tensor | Ground:
    """Return what a contrastive loss is told of a batch: parcels or crops, or all that is known of the ground."""
    target_BHW = batch.class_BHW if settings.target == "class" else batch.parcel_BHW
    if settings.target != "both" and not settings.soft_edges:
        return target_BHW
    crop_BHW = batch.class_BHW if settings.target == "both" else None
    parcels, share = (batch.parcels_BNHW, batch.share_BNHW) if settings.soft_edges else (None, None)
    return Ground(target_BHW, crop_BHW, parcels, share, crops_needed=settings.unknown_crops == "ignored")


def require_possible(settings: PretrainSettings) -> None:
    """Refuse soft edges where it is crops that are compared.

    Raises
    ------
    InputError
        It is so.
    """
    if settings.soft_edges and settings.target == "class":
        raise InputError(
            "Soft edges weigh pairs by the shares of parcels, and crops alone are compared. Set pretrain.target to "
            "parcel or both, or pretrain.soft_edges to false."
        )


def _by_labels(prepared: Prepared, settings: PretrainSettings, network: Network) -> Scheme:
    require_possible(settings)
    patches = prepared.patches(Side.TRAIN, settings.target, augment=prepared.card.recipe.data.augment)
    _require_targets(prepared, settings.target, patches.pixels)
    _require_unlike(prepared, settings.target)
    head = make_loss(settings.loss, "embedding", network.embedding_width)

    def loss(network: nn.Module, batch: Batch, done: float) -> tuple[Tensor, Mapping[str, Tensor]]:
        embedding = network(batch.x_BTCHW, batch.day_BT, batch.valid_BTHW)[1]
        found: tuple[Tensor, Mapping[str, Tensor]] = head(embedding, told_of(batch, settings))
        return found

    return Scheme(head, settings.target, patches.draw, loss)


def _by_views(prepared: Prepared, settings: PretrainSettings, network: Network) -> Scheme:
    card = prepared.card
    viewer = Viewer.of(
        settings.loss, card.recipe.data.patch_px, card.dates, card.bands, card.recipe.seed, mean=card.mean, std=card.std
    )
    side_px = min(viewer.side_px + viewer.options.shift_px, prepared.smallest_px)
    patches = prepared.patches(Side.TRAIN, "any", augment=False, patch_px=side_px, dates=2 * card.dates)
    if not patches.pixels:
        raise InputError("No pixel is left to learn from. Hold back fewer blocks (data.test_share).")

    def draw(step: int, size: int) -> Any:
        return viewer(patches.draw(step, size), step)

    head = viewer.head(network, draw(0, 1))
    return Scheme(head, "views", draw, lambda network, drawn, done: head(network, drawn, done))


def _require_targets(prepared: Prepared, target: str, pixels: int) -> None:
    if pixels:
        return
    names = ", ".join(source.scene.labels.name for source in prepared.sources)
    if target == "parcel":
        raise InputError(
            f"The labels {names} hold no parcel ids in the training part. Give parcels as polygons, or pre-train by "
            "crop class with --set pretrain.target=class."
        )
    raise InputError(f"The labels {names} hold no known class in the training part. Check the class column.")


def _require_unlike(prepared: Prepared, target: str) -> None:
    """Refuse a training part in which all pairs are alike: there an embedding learns nothing but to be constant."""
    classes = int((prepared.class_counts() > 0).sum()) if target != "parcel" else 0
    if classes > 1 or (target != "class" and prepared.several_parcels):
        return
    what, remedy = (
        ("crop", "by parcel, with --set pretrain.target=parcel")
        if target == "class"
        else ("parcel", "from images alone, with --set pretrain.loss=glcnet")
    )
    raise InputError(
        f"The training part holds one {what} only: no two pixels are unlike, so there is nothing to tell apart. Give "
        f"labels of more, or pre-train {remedy}."
    )
