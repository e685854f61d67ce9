"""The contrastive loss against its definition, written out with `torch.nn.functional.unfold`.

One step is: embedding -> query and key -> similarities -> loss -> gradients of the embedding and of all weights; in
``affinity-alone`` queries and keys -> loss -> their gradients. Loss and gradient of all forms must agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from peers import deepsat_head
from suite import Case, Form, Unmeasured
from suite.measuring import require_memory, timed
from torch import Tensor
from torch.nn.functional import normalize, unfold

from cscl.compiling import SWITCH, module
from cscl.losses.affinity import around, label_agreement
from cscl.losses.costs import strip_costs
from cscl.losses.cscl import CSCLLoss, CSCLOptions
from cscl.losses.ground import Ground
from cscl.losses.sweep import strips

WARM_PX = 32
COPIES = 6  # of the keys of all windows, that the definition holds at once
Step = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Shape:
    items: int = 1
    channels: int = 128
    size_px: int = 256
    window: int = 7
    codes: bool = True
    alone: bool = False  # without the projections


def prepare(form: str, shape: Shape, axis: str, work: int) -> Callable[[], list[float]]:
    """Make a step ready; a small one for the warm-up, at a negative work."""
    shape = replace(shape, **{axis: abs(work)})
    if work < 0:
        shape = replace(shape, items=1, size_px=WARM_PX)
    if form in ("unfolded", "DeepSatModels"):
        keys_mb = shape.items * shape.channels * (shape.window * shape.size_px) ** 2 * 4 / 1e6
        require_memory(COPIES * keys_mb)
    if form == "compiled" and not module("cscl.losses.windows"):
        raise Unmeasured('needs numba: pip install "napari-cscl[fast]"')
    torch.manual_seed(0)
    loss = CSCLLoss(CSCLOptions(window=shape.window, position_codes=shape.codes), shape.channels)
    embedding, parcels = data(shape, torch.contiguous_format if form == "unfolded" else torch.channels_last)
    step = step_of(form, loss, shape)  # after the data: a peer's module draws random numbers, too

    def act() -> list[float]:
        value = step(embedding, parcels)
        value.backward()
        told = [value.item(), embedding.grad.double().norm().item()]
        loss.zero_grad()
        embedding.grad = None
        return told

    return act


def step_of(form: str, loss: CSCLLoss, shape: Shape) -> Step:
    if shape.alone:
        return alone(loss, form)
    if form == "DeepSatModels":
        return of_peer(loss)
    return unfolded(loss) if form == "unfolded" else lambda *batch: loss(*batch)[0]


def data(shape: Shape, layout: torch.memory_format) -> tuple[Tensor, Tensor]:
    """A noisy embedding (or queries and keys) of parcels of 8 x 8 pixels, a leaf, and the parcels."""
    many, channels = shape.size_px // 8, shape.channels * (2 if shape.alone else 1)
    parcels = torch.randint(-1, 12, (shape.items, many, many)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    noise = torch.randn(shape.items, channels, shape.size_px, shape.size_px)
    embedding = noise.add_(torch.randn(13, channels)[parcels].permute(0, 3, 1, 2))
    return embedding.contiguous(memory_format=layout).requires_grad_(), parcels


def unfolded(loss: CSCLLoss) -> Step:
    """The balanced loss by its definition: all keys of all windows side by side, positioned and normalised."""
    head = loss.head

    def value(embedding_BDHW: Tensor, target_BHW: Tensor) -> Tensor:
        q, k = head.query(embedding_BDHW), head.key(embedding_BDHW)
        return of_windows(q, k, target_BHW, head.row_Ak, head.col_Ak)

    return value


def of_windows(q: Tensor, k: Tensor, target_BHW: Tensor, row_Ak: Tensor, col_Ak: Tensor) -> Tensor:
    (items, width, *size), window = k.shape, row_Ak.shape[1]
    k_BAkkHW = unfold(k, window, padding=window // 2).view(items, width, window, window, *size)
    if row_Ak.requires_grad:
        row, col = row_Ak[:, :, None].expand(-1, -1, window), col_Ak[:, None, :].expand(-1, window, -1)
        k_BAkkHW = k_BAkkHW + torch.cat([row, col])[..., None, None]
    return balanced((normalize(q, dim=1)[:, :, None, None] * normalize(k_BAkkHW, dim=1)).sum(1), target_BHW)


def balanced(s_BkkHW: Tensor, target_BHW: Tensor) -> Tensor:
    positive, kept = label_agreement(target_BHW, s_BkkHW.shape[1])
    negative, positive = kept & ~positive, kept & positive
    return (s_BkkHW * negative).sum() / negative.sum() - (s_BkkHW * positive).sum() / positive.sum()


def of_peer(loss: CSCLLoss) -> Step:
    """The published module with the same weights, and the same loss on its similarities."""
    head, window = loss.head, loss.options.window
    peer = deepsat_head(head.query.weight.shape[1], head.query.weight.shape[0], window)
    with torch.no_grad():
        peer.query_conv.weight.copy_(head.query.weight)
        peer.key_conv.weight.copy_(head.key.weight)
        peer.rel_h.copy_(head.row_Ak.view(peer.rel_h.shape))
        peer.rel_w.copy_(head.col_Ak.view(peer.rel_w.shape))
    return lambda embedding_BDHW, target_BHW: balanced(peer(embedding_BDHW).permute(0, 3, 4, 1, 2), target_BHW)


def alone(loss: CSCLLoss, form: str) -> Step:
    """The same without the projections: half of the channels given are queries, half keys; gradients strip by strip."""
    codes = [loss.head.row_Ak, loss.head.col_Ak]
    if form == "unfolded":
        return lambda both_BAHW, target_BHW: of_windows(*both_BAHW.chunk(2, dim=1), target_BHW, *codes)

    def value(both_BAHW: Tensor, target_BHW: Tensor) -> Tensor:
        costs, gradient = strip_costs(loss.options, Ground(target_BHW), both_BAHW.dtype, 0.0), both_BAHW.detach() * 0
        q, k, grad_q, grad_k = (
            half.permute(0, 2, 3, 1) for x in (both_BAHW.detach(), gradient) for half in x.chunk(2, dim=1)
        )
        total = torch.zeros(())
        for items, rows in strips(len(q), *q.shape[1:3], q.device, costs.reach_px):
            there, above_px, _ = around(rows, q.shape[1], costs.reach_px)
            strip = [x.requires_grad_() for x in (q[items, rows], k[items, there])]
            part = costs(*strip, items, rows, above_px, *codes)[0]
            for into, more in zip(
                (grad_q[items, rows], grad_k[items, there]), torch.autograd.grad(part, strip), strict=True
            ):
                into += more
            total += part.detach()
        return Ready.apply(both_BAHW, total, gradient)

    return value


class Ready(torch.autograd.Function):
    """A value whose gradient is there already."""

    @staticmethod
    def forward(ctx, given: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    def backward(ctx, _: Tensor) -> tuple[Tensor, None, None]:
        return *ctx.saved_tensors, None, None


def forms(shape: Shape, axis: str, *names: str) -> dict[str, Form]:
    """Return the forms of a shape along an axis, measured after a small step with as large a window."""

    def of(name: str) -> Form:
        return Form(
            lambda work, settings: timed(partial(prepare, name, shape, axis), warm=-work)(work, settings),
            naive=name == "unfolded", peer=name == "DeepSatModels", tolerance=1e-4,
            environment={SWITCH: "0" if name == "plain" else "1"},
        )  # fmt: skip

    return {name: of(name) for name in names}


ALL = ("unfolded", "DeepSatModels", "plain", "compiled")
STEP = "Loss and gradients of"
CASES = [
    Case(
        "affinity-window", f"{STEP} one embedding, 256 x 256 pixels, 128 channels.",
        forms(Shape(), "window", *ALL), "window, pixels", (3, 5, 7, 15), (3,),
    ),
    Case(
        "affinity-batch", f"{STEP} 32 embeddings, 128 channels, window 3: as published at 24 pixels.",
        forms(Shape(items=32, window=3), "size_px", *ALL), "side, pixels", (24, 48, 96, 192), (24,),
    ),
    Case(
        "affinity-area", f"{STEP} one embedding, 128 channels, window 15.",
        forms(Shape(window=15), "size_px", *ALL), "side, pixels", (64, 128, 256, 512), (64,),
    ),
    Case(
        "affinity-plain-codes", f"{STEP} one embedding, 256 x 256 pixels, 128 channels, without position codes.",
        forms(Shape(codes=False), "window", "unfolded", "plain", "compiled"), "window, pixels", (3, 7, 15),
    ),
    Case(
        "affinity-alone", "The same without the projections: queries and keys to their gradients.",
        forms(Shape(codes=False, alone=True), "window", "unfolded", "plain", "compiled"), "window, pixels",
        (3, 7, 15), (7,),
    ),
]  # fmt: skip
