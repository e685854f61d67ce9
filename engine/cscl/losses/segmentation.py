"""Segmentation loss: masked cross-entropy, with class weights, label smoothing, focal and Dice terms as switches.

Axes: B item, K class, H row, W column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from cscl.errors import InputError

from . import Objective, losses
from .together import mean_over_processes

__all__ = ["SegmentationLoss", "SegmentationOptions"]

UNKNOWN = -1


@dataclass(frozen=True)
class SegmentationOptions:
    """Options of `SegmentationLoss`; with the defaults it is the plain cross-entropy over the known pixels."""

    class_weights: Annotated[
        Literal["none", "balanced", "sqrt"],
        {"tooltip": "Weigh classes by inverse frequency (balanced) or by its square root"},
    ] = "none"
    label_smoothing: Annotated[
        float, {"min": 0.0, "max": 0.5, "step": 0.01, "tooltip": "Share of each label spread over all classes"}
    ] = 0.0
    focal_gamma: Annotated[
        float, {"min": 0.0, "max": 5.0, "step": 0.5, "tooltip": "Focal loss: how much easy pixels are played down"}
    ] = 0.0
    dice_weight: Annotated[
        float, {"min": 0.0, "max": 10.0, "step": 0.1, "tooltip": "Weight of a soft Dice loss that is added"}
    ] = 0.0


class SegmentationLoss(nn.Module):
    """Cross-entropy over the known pixels.

    Each pixel's cross-entropy (label smoothing after Szegedy et al. 2016) is multiplied by ``(1 - p)^focal_gamma``
    with p the probability of its class (Lin et al. 2017); the mean is weighted by the class weights; to it is added
    ``dice_weight`` times one minus the soft Dice score (Milletari et al. 2016), its mean over the batch's classes.

    Parameters
    ----------
    options : SegmentationOptions
    classes : int
        Number K of classes.
    """

    weight_K: Tensor

    def __init__(self, options: SegmentationOptions, classes: int) -> None:
        super().__init__()
        self.options = options
        self._weighted = options.class_weights == "none"
        self.register_buffer("weight_K", torch.ones(classes), persistent=False)

    def set_class_frequencies(self, frequency_K: Tensor) -> None:
        """Derive the class weights from how often each class occurs among the known training pixels.

        ``balanced`` is ``n / (K' n_k)`` with n pixels in all and K' classes that occur; ``sqrt`` is its square root.
        A class that does not occur weighs 1. Without class weights this does nothing.

        Parameters
        ----------
        frequency_K : Tensor
            Counts or shares of the classes, at least 0.

        Raises
        ------
        InputError
            If there are not K frequencies, or they are negative or all zero.
        """
        frequency_K = frequency_K.type(torch.float64)
        if frequency_K.shape != self.weight_K.shape or (frequency_K < 0).any() or not frequency_K.any():
            raise InputError(
                f"The class frequencies {frequency_K.tolist()} must be {len(self.weight_K)} numbers of at least 0, "
                "and some above: count the labels of the training samples."
            )
        if self.options.class_weights == "none":
            return
        occurs_K = frequency_K > 0
        weight_K = frequency_K.sum() / (occurs_K.sum() * frequency_K)
        weight_K = weight_K.sqrt() if self.options.class_weights == "sqrt" else weight_K
        self.weight_K.copy_(torch.where(occurs_K, weight_K, 1.0))
        self._weighted = True

    def forward(self, logits_BKHW: Tensor, target_BHW: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and the accuracy over the known pixels, both 0 where no pixel is known.

        Parameters
        ----------
        logits_BKHW : Tensor
            Scores before the softmax; half precision is computed in float32.
        target_BHW : Tensor
            int64 class indices below K, negative where unknown.

        Raises
        ------
        InputError
            If target and logits do not share items, rows and columns, or class weights are wanted and not set.
        """
        if target_BHW.shape != (logits_BKHW.shape[0], *logits_BKHW.shape[2:]):
            raise InputError(
                f"The target {tuple(target_BHW.shape)} (item, row, column) does not lie on the pixels of the "
                f"logits {tuple(logits_BKHW.shape)} (item, class, row, column)."
            )
        if not self._weighted:
            raise InputError(
                f"Class weights '{self.options.class_weights}' need the class frequencies: call "
                "set_class_frequencies() first."
            )
        target_BHW = target_BHW.clamp_min(UNKNOWN)
        with torch.autocast(logits_BKHW.device.type, enabled=False):
            logits_BKHW = logits_BKHW.type(torch.promote_types(logits_BKHW.dtype, torch.float32))
            loss = self._cross_entropy(logits_BKHW, target_BHW)
            if self.options.dice_weight:
                loss = loss + self.options.dice_weight * _dice_loss(logits_BKHW, target_BHW)
        known_BHW = target_BHW >= 0
        hits = (logits_BKHW.detach().argmax(1) == target_BHW).sum()
        return loss, {"accuracy": hits / known_BHW.sum().clamp_min(1)}

    def _cross_entropy(self, logits_BKHW: Tensor, target_BHW: Tensor) -> Tensor:
        options, weight_K = self.options, self.weight_K.type(logits_BKHW.dtype)
        loss_BHW = cross_entropy(
            logits_BKHW,
            target_BHW,
            weight=weight_K,
            ignore_index=UNKNOWN,
            reduction="none",
            label_smoothing=options.label_smoothing,
        )
        if options.focal_gamma:
            log_p_BHW = -cross_entropy(logits_BKHW, target_BHW, ignore_index=UNKNOWN, reduction="none")
            # The floor keeps the slope of the power finite at p = 1.
            miss_BHW = (-torch.expm1(log_p_BHW)).clamp_min(torch.finfo(logits_BKHW.dtype).eps)
            loss_BHW = loss_BHW * miss_BHW**options.focal_gamma
        known_BHW = target_BHW >= 0
        weight = torch.where(known_BHW, weight_K[target_BHW.clamp_min(0)], 0).sum()
        weight = mean_over_processes(weight)
        return loss_BHW.sum() / torch.where(weight > 0, weight, 1)


def _dice_loss(logits_BKHW: Tensor, target_BHW: Tensor) -> Tensor:
    """One minus the soft Dice score over the known pixels of the batch, mean over the classes that occur there."""
    classes = logits_BKHW.shape[1]
    known_B1HW = (target_BHW >= 0)[:, None]
    p_BKHW = logits_BKHW.softmax(1) * known_B1HW
    truth_BKHW = one_hot(target_BHW.clamp_min(0), classes).permute(0, 3, 1, 2) * known_B1HW
    shared_K = (p_BKHW * truth_BKHW).sum((0, 2, 3))
    size_K = truth_BKHW.sum((0, 2, 3))
    occurs_K = size_K > 0
    dice_K = 2 * shared_K / torch.where(occurs_K, p_BKHW.sum((0, 2, 3)) + size_K, 1)
    return torch.where(occurs_K, 1 - dice_K, 0).sum() / occurs_K.sum().clamp_min(1)


losses.register("cross-entropy")(
    Objective(
        reads="logits",
        options=SegmentationOptions,
        build=SegmentationLoss,
        summary="Cross-entropy over the known pixels; class weights, label smoothing, focal and Dice as switches.",
    )
)
