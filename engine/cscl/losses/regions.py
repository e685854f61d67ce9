"""Regions and points that two views of a sample share, and the means of maps over them.

Axes: B item, C channel, H row, W column, R region or point, h and w row and column of a coarser map.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn.functional import adaptive_avg_pool2d

from cscl.errors import InputError

from .tensors import Tensors
from .views import Pair

__all__ = ["Regions", "grid_cells", "matched_windows", "moments", "region_means", "require_room", "shared_points"]


@dataclass(frozen=True)
class Regions(Tensors):
    """Regions or points that two views share.

    Parameters
    ----------
    first_BR4, second_BR4 : Tensor
        int64, boxes in the frames of the views: top, left, bottom, right, the last two exclusive.
    kept_BR : Tensor
        bool, False for rows that only fill up items with fewer regions.
    """

    first_BR4: Tensor
    second_BR4: Tensor
    kept_BR: Tensor

    @property
    def item_N(self) -> Tensor:
        """Number of the item of each region that is kept."""
        number_B1 = torch.arange(len(self.kept_BR), device=self.kept_BR.device)[:, None]
        return number_B1.expand_as(self.kept_BR)[self.kept_BR]


def require_room(region_px: int, side_px: int) -> None:
    """Refuse regions that views could not share, so that a loss on them would be silently nothing.

    Raises
    ------
    InputError
        If a region is larger than half of a view's side.
    """
    if region_px > side_px // 2:
        raise InputError(
            f"Regions of {region_px} pixels are too large for views of {side_px}. Set pretrain.loss.region_px to "
            f"{side_px // 2} or less, or data.patch_px to {2 * region_px} or more."
        )


def grid_cells(pair: Pair, side_px: int, count: int, least_share: float, generator: Generator) -> Regions:
    """Cells of a square grid over what both views show, drawn without replacement: the same ground in both views.

    Parameters
    ----------
    pair : Pair
    side_px, count : int
        Side of a cell, and most cells of an item.
    least_share : float
        Share of a cell's pixels that must be usable.
    """
    items = len(pair.use_BHW)
    box_BR4, kept_BR = torch.zeros(items, count, 4, dtype=torch.int64), torch.zeros(items, count, dtype=torch.bool)
    box_BR4[..., :2] = pair.shared_B4[:, None, :2]
    box_BR4[..., 2:] = box_BR4[..., :2] + 1
    phases = torch.rand(items, 2, generator=generator)
    for item, (use_HW, (top, left, bottom, right)) in enumerate(
        zip(pair.use_BHW, pair.shared_B4.tolist(), strict=True)
    ):
        rows, cols = (bottom - top) // side_px, (right - left) // side_px
        if not rows or not cols:
            continue
        top += int(phases[item, 0] * ((bottom - top) % side_px + 1))
        left += int(phases[item, 1] * ((right - left) % side_px + 1))
        cells = use_HW[top : top + rows * side_px, left : left + cols * side_px].float()
        share = cells.reshape(rows, side_px, cols, side_px).mean((1, 3)).flatten()
        order = torch.randperm(rows * cols, generator=generator)
        chosen = order[share[order] >= least_share][:count]
        corner = torch.stack([top + chosen // cols * side_px, left + chosen % cols * side_px], 1)
        box_BR4[item, : len(chosen)] = torch.cat([corner, corner + side_px], 1)
        kept_BR[item, : len(chosen)] = True
    return Regions(pair.first.frame.boxes(box_BR4), pair.second.frame.boxes(box_BR4), kept_BR)


def matched_windows(pair: Pair, side_px: int, count: int, least_share: float, generator: Generator) -> Regions:
    """Windows whose centres are one ground pixel, as published: pixels of a window of the first view are drawn no more.

    Windows may overlap, and where views are turned, windows of an even side differ by a pixel. Unlike the publication's
    code, a sample without any place for a window has none, instead of an error. Parameters are those of
    `grid_cells`.
    """
    items, height, width = pair.use_BHW.shape
    half, ground = side_px // 2, torch.arange(height * width)
    place_BR = ground.expand(items, -1)
    seen = [view.frame.seen_at(place_BR // width, place_BR % width) for view in (pair.first, pair.second)]
    last_B1 = pair.first.frame.side_B[:, None] - half
    fits = [(y >= half) & (y < last_B1) & (x >= half) & (x < last_B1) for y, x in seen]
    pool_BP = fits[0] & fits[1]
    boxes = torch.zeros(2, items, count, 4, dtype=torch.int64)
    boxes[..., 2:] = 1
    kept_BR = torch.zeros(items, count, dtype=torch.bool)
    for item in range(items):
        pool_P = pool_BP[item]
        for region in range(count if pool_P.any() else 0):
            there = pool_P.nonzero()[:, 0]
            drawn = there[torch.randint(len(there), (1,), generator=generator)]
            for number, (y, x) in enumerate(seen):
                corner = torch.stack([y[item, drawn] - half, x[item, drawn] - half], 1)
                boxes[number, item, region] = torch.cat([corner, corner + 2 * half], 1)[0]
            top, left, bottom, right = boxes[0, item, region].tolist()
            y, x = seen[0][0][item], seen[0][1][item]
            left_over = pool_P & ~((y >= top) & (y < bottom) & (x >= left) & (x < right))
            pool_P = left_over if left_over.sum() > 1 else pool_P
            kept_BR[item, region] = True
    for view, box_BR4 in zip((pair.first, pair.second), boxes, strict=True):
        share_BR = region_means(view.use_BHW[:, None].float(), torch.ones_like(view.use_BHW), box_BR4)[..., 0]
        kept_BR &= share_BR >= least_share
    return Regions(boxes[0], boxes[1], kept_BR)


def shared_points(pair: Pair, across: int, generator: Generator) -> Regions:
    """Points of a jittered grid over what both views show, as boxes of one pixel."""
    items, count = len(pair.use_BHW), across**2
    top_left, bottom_right = pair.shared_B4[:, None, :2], pair.shared_B4[:, None, 2:]
    cell_R2 = torch.stack([torch.arange(count) // across, torch.arange(count) % across], 1)
    inside = (cell_R2 + torch.rand(items, count, 2, generator=generator)) / across
    point_BR2 = torch.minimum(top_left + (inside * (bottom_right - top_left)).long(), bottom_right - 1)
    box_BR4 = torch.cat([point_BR2, point_BR2 + 1], 2)
    kept_BR = pair.use_BHW[torch.arange(items)[:, None], point_BR2[..., 0], point_BR2[..., 1]]
    return Regions(pair.first.frame.boxes(box_BR4), pair.second.frame.boxes(box_BR4), kept_BR)


def region_means(map_BCHW: Tensor, use_BHW: Tensor, box_BR4: Tensor) -> Tensor:
    """Mean of each channel over the usable pixels of each box, float32 or float64, axes (B, R, C); 0 without any."""
    height, width = use_BHW.shape[1:]
    y, x = (torch.arange(length, device=use_BHW.device) for length in (height, width))
    top, left, bottom, right = (edge[..., None] for edge in box_BR4.unbind(2))
    row_BRH, col_BRW = (y >= top) & (y < bottom), (x >= left) & (x < right)
    inside_BRHW = row_BRH[..., :, None] & col_BRW[..., None, :] & use_BHW[:, None]
    with torch.autocast(map_BCHW.device.type, enabled=False):
        map_BCHW = map_BCHW.type(torch.promote_types(map_BCHW.dtype, torch.float32))
        weight_BRP = inside_BRHW.flatten(2).type(map_BCHW.dtype)
        # what is not usable may be undefined, and 0 times that would be, too
        sums = weight_BRP @ map_BCHW.masked_fill(~use_BHW[:, None], 0.0).flatten(2).mT
        return sums / weight_BRP.sum(2, keepdim=True).clamp_min(1)


def moments(map_BChw: Tensor, use_BHW: Tensor, second: str, epsilon: float = 1e-5) -> tuple[Tensor, Tensor]:
    """Style of each item: mean of each channel over the usable places and, after them, their spread.

    Parameters
    ----------
    map_BChw : Tensor
        As fine as `use_BHW` or coarser.
    use_BHW : Tensor
        bool; a place of a coarser map is usable if half of its pixels are.
    second : {"variance", "deviation", "none"}
        Unbiased variance; its root with `epsilon` under it; or the means alone.

    Returns
    -------
    style_BS : Tensor
        float32 or float64, S = 2 C, or C for the means alone.
    kept_B : Tensor
        bool, False for items with fewer than two usable places.
    """
    with torch.autocast(map_BChw.device.type, enabled=False):
        map_BChw = map_BChw.type(torch.promote_types(map_BChw.dtype, torch.float32))
        use_B1hw = (
            adaptive_avg_pool2d(use_BHW[:, None].type(map_BChw.dtype), (map_BChw.shape[2], map_BChw.shape[3])) >= 0.5
        )
        count_B1 = use_B1hw.flatten(1).sum(1, keepdim=True)
        map_BChw = map_BChw.masked_fill(~use_B1hw, 0.0)
        mean_BC = map_BChw.sum((2, 3)) / count_B1.clamp_min(1)
        kept_B = count_B1[:, 0] >= 2
        if second == "none":
            return mean_BC, kept_B
        from_mean = (map_BChw - mean_BC[..., None, None]).masked_fill(~use_B1hw, 0.0)
        variance_BC = from_mean.square().sum((2, 3)) / (count_B1 - 1).clamp_min(1)
        spread_BC = variance_BC if second == "variance" else (variance_BC + epsilon).sqrt()
        return torch.cat([mean_BC, spread_BC], 1), kept_B
