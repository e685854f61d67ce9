"""Context-self contrastive loss: neighbours of one class or parcel attract, neighbours of two repel.

After Tarasiou, Güler and Zafeiriou 2022, "Context-self contrastive pretraining for crop type semantic segmentation",
IEEE TGRS 60. What their loss costs is in `cscl.losses.contrast`, what is alike in `cscl.losses.ground`; ours are the
other forms, several scales at once, and targets that may be shifted.

Axes: B item, D embedding, A attention channel, H row, W column, k row or column of the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from cscl.errors import InputError

from . import Objective, losses
from .affinity import affinity
from .contrast import contrast, measures
from .costs import strip_costs
from .ground import Ground
from .shifts import best_pairs
from .sweep import swept

__all__ = ["CSCLHead", "CSCLLoss", "CSCLOptions"]

CODE_DEVIATION = 0.02  # of the position codes at the start; the published 1 drowns the content


@dataclass(frozen=True)
class CSCLOptions:
    """Options of `CSCLLoss`.

    ``mode`` decides which pairs of pixel and tap count, and how; ``form`` what a pair costs by its similarity. Both are
    described in `cscl.losses.contrast`.

    Each further dilation is a scale of its own: the embedding is projected once, and the loss is the mean over the
    scales. Each has its own position codes, because a tap lies elsewhere on each, and windows may differ. Measures, and
    all that shows affinity, are of the first scale, which ``window`` and ``dilation`` say.

    Without ``position_codes`` a pair counts the same wherever it lies in the window; the linear form, of a target
    that is one map, then is done by running sums (`cscl.losses.boxes`), at a cost that hardly grows with the window.

    With ``shift_px`` outlines may be off by so many pixels, each item by its own shift: see `cscl.losses.shifts`.
    """

    window: Annotated[int, {"min": 3, "max": 15, "step": 2, "tooltip": "CSCL window, pixels across"}] = 3
    dilation: Annotated[int, {"min": 1, "max": 8, "tooltip": "Pixels between neighbouring taps of the window"}] = 1
    stride: Annotated[
        int, {"min": 1, "max": 8, "tooltip": "Pixels between the centres of windows: 1, or the same as the dilation"}
    ] = 1
    width: Annotated[int, {"min": 2, "max": 512, "step": 2, "tooltip": "Attention channels of the head"}] = 128
    groups: Annotated[int, {"min": 1, "max": 16, "tooltip": "Groups of channels, each with its own similarity"}] = 1
    normalise: Annotated[bool, {"tooltip": "Compare directions only (cosine), not lengths"}] = True
    position_codes: Annotated[
        bool, {"tooltip": "Learn codes of the taps' places; without them the linear form costs the least by far"}
    ] = True
    mode: Annotated[
        Literal["balanced", "reference", "masked"],
        {"tooltip": "Balance positives and negatives; or weigh them as published, with all pairs or the known ones"},
    ] = "balanced"
    positive_weight: Annotated[
        float, {"min": 0.0, "max": 10.0, "step": 0.005, "tooltip": "Weight of positives, unless balanced"}
    ] = 0.125
    masked_mean: Annotated[
        Literal["kept", "total"], {"tooltip": "What the masked mode divides by: the pairs kept, or all of them"}
    ] = "kept"
    form: Annotated[
        Literal["linear", "sigmoid", "softmax"],
        {"tooltip": "What a pair costs: its similarity, as published; its cross-entropy; or that among its window"},
    ] = "linear"
    temperature: Annotated[
        float, {"min": 0.001, "max": 10.0, "tooltip": "What similarities are divided by, unless the form is linear"}
    ] = 0.1
    threshold: Annotated[
        float, {"min": -16.0, "max": 16.0, "tooltip": "Similarity that parts like from unlike in the sigmoid form"}
    ] = 0.0
    learn_threshold: Annotated[bool, {"tooltip": "Learn that similarity, from the threshold on"}] = True
    more_dilations: Annotated[
        tuple[Annotated[int, {"min": 1, "max": 32}], ...] | None,
        {"tooltip": "Dilations of further scales, learnt beside the first"},
    ] = None
    more_windows: Annotated[
        tuple[Annotated[int, {"min": 3, "max": 15, "step": 2}], ...] | None,
        {"tooltip": "Windows of the further scales; by default that of the first"},
    ] = None
    shift_px: Annotated[
        int, {"min": 0, "max": 4, "tooltip": "Most pixels that outlines may be off; each item takes its best shift"}
    ] = 0
    shift_temperature: Annotated[
        float, {"min": 0.0, "max": 10.0, "tooltip": "Weigh shifts by their gap over this; 0 to take the best alone"}
    ] = 0.0

    @property
    def scales(self) -> tuple[tuple[int, int], ...]:
        """Window and dilation of each scale."""
        dilations = tuple(self.more_dilations or ())
        windows = tuple(self.more_windows or (self.window,) * len(dilations))
        if len(windows) != len(dilations):
            raise InputError(
                f"{len(windows)} further windows do not go with {len(dilations)} further dilations of CSCL: give one "
                "for each, or no windows."
            )
        return (self.window, self.dilation), *zip(windows, dilations, strict=True)


class CSCLHead(nn.Module):
    """Projections to queries and keys, and position codes: what turns an embedding into similarities.

    The codes start from a normal distribution: with deviation 1 in the reference mode, as published, otherwise 0.02,
    because codes of length sqrt(A) are several times longer than keys at the start and leave cosines blind to content.
    Without position codes they are zero and stay so.

    Parameters
    ----------
    options : CSCLOptions
    width : int
        Channels D of the embedding.
    """

    def __init__(self, options: CSCLOptions, width: int) -> None:
        super().__init__()
        if options.width % 2 or options.width % options.groups:
            raise InputError(
                f"A CSCL width of {options.width} channels cannot be halved and cut into {options.groups} groups: "
                "choose a multiple of both."
            )
        self.options = options
        self.query = nn.Conv2d(width, options.width, 1, bias=False)
        self.key = nn.Conv2d(width, options.width, 1, bias=False)
        learnt = options.position_codes
        deviation = (1.0 if options.mode == "reference" else CODE_DEVIATION) if learnt else 0.0
        windows = [window for window, _ in options.scales]
        row, col = (
            [nn.Parameter(deviation * torch.randn(options.width // 2, window), learnt) for window in windows]
            for _ in "rc"
        )
        self.row_Ak, self.col_Ak = row[0], col[0]
        self.more_row_Ak, self.more_col_Ak = nn.ParameterList(row[1:]), nn.ParameterList(col[1:])

    @property
    def codes(self) -> list[tuple[Tensor, Tensor]]:
        """Codes of rows and columns, ``row_Ak`` and ``col_Ak``, of each scale."""
        return list(zip([self.row_Ak, *self.more_row_Ak], [self.col_Ak, *self.more_col_Ak], strict=True))

    def affinity(self, embedding_BDHW: Tensor) -> Tensor:
        """Return s_BkkHW of the first scale, float32 or float64; H and W shrink by the stride. See `affinity`."""
        return self._similarities(embedding_BDHW, 1)[0]

    def affinities(self, embedding_BDHW: Tensor) -> list[Tensor]:
        """Return s_BkkHW of each scale."""
        return self._similarities(embedding_BDHW, len(self.options.scales))

    def _similarities(self, embedding_BDHW: Tensor, count: int) -> list[Tensor]:
        options, q, k = self.options, self.query(embedding_BDHW), self.key(embedding_BDHW)
        return [
            affinity(
                q, k, row_Ak, col_Ak, window=window, dilation=dilation, stride=options.stride, groups=options.groups,
                normalise=options.normalise,
            )
            for (window, dilation), (row_Ak, col_Ak), _ in zip(options.scales, self.codes, range(count), strict=False)
        ]  # fmt: skip

    def forward(self, embedding_BDHW: Tensor) -> Tensor:
        """Return `affinity` of the embedding."""
        return self.affinity(embedding_BDHW)


class CSCLLoss(nn.Module):
    """Context-self contrastive loss of an embedding against class indices, parcel ids, or both.

    Parameters
    ----------
    options : CSCLOptions
    width : int
        Channels D of the embedding.
    """

    def __init__(self, options: CSCLOptions, width: int) -> None:
        super().__init__()
        self.options = options
        self.head = CSCLHead(options, width)
        learns = options.form == "sigmoid" and options.learn_threshold
        self.threshold = nn.Parameter(torch.tensor(options.threshold)) if learns else options.threshold

    def forward(self, embedding_BDHW: Tensor, target_BHW: Tensor | Ground) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and the measures of `contrast` on the first scale.

        Parameters
        ----------
        embedding_BDHW : Tensor
            Any floating dtype.
        target_BHW : Tensor or Ground
            int64 class indices or parcel ids, negative where unknown, on the pixels of the embedding; or more that is
            known of them.

        Raises
        ------
        InputError
            If target and embedding do not share items, rows and columns.
        """
        ground = target_BHW if isinstance(target_BHW, Ground) else Ground(target_BHW)
        if ground.target_BHW.shape != (embedding_BDHW.shape[0], *embedding_BDHW.shape[2:]):
            raise InputError(
                f"The target {tuple(ground.target_BHW.shape)} (item, row, column) does not lie on the pixels of the "
                f"embedding {tuple(embedding_BDHW.shape)} (item, channel, row, column)."
            )
        if self.options.shift_px:
            return self._best_shift(embedding_BDHW, ground)
        return self._swept(embedding_BDHW, ground)

    def _best_shift(self, embedding_BDHW: Tensor, ground: Ground) -> tuple[Tensor, dict[str, Tensor]]:
        """Compare shifts by all similarities, so that these have to be there at once."""
        scales = self.head.affinities(embedding_BDHW)
        pairs, more = best_pairs(scales, ground, self.options)
        found = [contrast(s, sides, self.options, self.threshold) for s, sides in zip(scales, pairs, strict=True)]
        return torch.stack([loss for loss, _ in found]).mean(), {**found[0][1], **more}

    def _swept(self, embedding_BDHW: Tensor, ground: Ground) -> tuple[Tensor, dict[str, Tensor]]:
        """Go over the map in strips, without ever having all similarities."""
        options, head = self.options, self.head
        embedding_BDHW = embedding_BDHW[:, :, :: options.stride, :: options.stride]
        learnt, threshold = [code for pair in head.codes for code in pair], 0.0
        if isinstance(self.threshold, Tensor):
            learnt.append(self.threshold)
        else:
            threshold = self.threshold
        costs = strip_costs(options, ground, torch.promote_types(embedding_BDHW.dtype, torch.float32), threshold)
        query_AD, key_AD = (projection.weight.flatten(1) for projection in (head.query, head.key))
        sums = swept(costs, costs.reach_px, embedding_BDHW, query_AD, key_AD, learnt)
        loss, mean_alike, mean_unlike = sums
        return loss, measures(mean_alike.detach(), mean_unlike.detach(), costs.weights[0], options)


losses.register("cscl")(
    Objective(
        reads="embedding",
        options=CSCLOptions,
        build=CSCLLoss,
        summary="Contrasts each pixel with its neighbours: one class or parcel attracts, two repel.",
    )
)
