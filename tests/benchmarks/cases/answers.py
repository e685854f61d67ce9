"""Networks against the plain form of what was published, with the same weights, on tiles all of whose dates are seen.

The plain forms are float32 with norms of their own: UNet3Df convolves every date last and sums the dates then; U-TAE
runs each block that its dates share twice, once on zeros for the sake of the shape, and weighs all dates at once. The
compact network has no published form: its plain one is the network as it is trained, all pixels of the tile at once.
Peers have weights of their own: they tell how long theirs takes. In float32 logits and embedding must agree.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from peers import deepsat_unet3df, utae_paps
from suite import Case, Form, Unmeasured
from suite.measuring import timed
from torch import Tensor, nn
from torch.nn.functional import interpolate
from worlds import BANDS, CLASSES, DATES

from cscl.device import autocast, has_bfloat16
from cscl.models import DataShape, Network, compact, models
from cscl.models.folded import folded
from cscl.models.unet3d import UNet3Df
from cscl.models.utae import UTAE

CPU = torch.device("cpu")
PEERS = ("DeepSatModels", "utae-paps")
Series = tuple[Tensor, Tensor, Tensor]


def plain_answer(network: Network, series: Series) -> tuple[Tensor, Tensor]:
    """Logits and embedding by the plain form of a network."""
    if isinstance(network, UNet3Df):
        return plain_unet3df(network, series)
    return plain_utae(network, series) if isinstance(network, UTAE) else network(*series)


def plain_unet3df(network: UNet3Df, series: Series) -> tuple[Tensor, Tensor]:
    """The last convolution on all dates, then their weighted sum."""
    features_BCTHW = network.last(network.trunk(network._series(*series)))
    embedding_BDHW = network.temporal(features_BCTHW.movedim(2, -1))[..., 0]
    return network.classify(embedding_BDHW), embedding_BDHW


def plain_utae(network: UTAE, series: Series) -> tuple[Tensor, Tensor]:
    """Shared blocks twice, all dates at once; norms over the tile, no date missing."""
    x_BTCHW, day_BT, _ = series
    levels = [_twice(network.frames.enter, x_BTCHW)]
    for down in network.frames.down:
        levels.append(_twice(down, levels[-1]))
    seen_BTHW = torch.ones_like(levels[-1][:, :, 0], dtype=torch.bool)
    x_BCHW, attention_BGTHW = network.attention(levels[-1], day_BT, seen_BTHW, seen_BTHW)
    for up, level_BTCHW in zip(network.up, reversed(levels[:-1]), strict=True):
        large = interpolate(attention_BGTHW.flatten(0, 1), level_BTCHW.shape[-2:], mode="bilinear", align_corners=False)
        weight_BGTHW = large.unflatten(0, attention_BGTHW.shape[:2])
        level_BGTCHW = torch.stack(level_BTCHW.chunk(weight_BGTHW.shape[1], dim=2), dim=1)
        x_BCHW = up(x_BCHW, (weight_BGTHW[:, :, :, None] * level_BGTCHW).sum(dim=2).flatten(1, 2))
    embedding_BDHW = network.embed(x_BCHW)
    return network.classify(embedding_BDHW), embedding_BDHW


def _twice(block: nn.Module, x_BTCHW: Tensor) -> Tensor:
    block(torch.zeros_like(x_BTCHW).flatten(0, 1))
    return block(x_BTCHW.flatten(0, 1)).unflatten(0, x_BTCHW.shape[:2])


def require_units(form: str) -> None:
    """Refuse bfloat16 where it would be emulated."""
    if form == "bfloat16" and not has_bfloat16(CPU):
        raise Unmeasured("this processor has no units for bfloat16")


def prepare(form: str, name: str, options: dict[str, Any], fixed: dict[str, int], axis: str, work: int) -> Callable:
    """Make one answer ready."""
    require_units(form)
    shape = {"dates": DATES, "bands": BANDS, "size_px": 128, **fixed, axis: work}
    torch.manual_seed(0)
    size = shape["size_px"], shape["size_px"]
    series = (
        torch.randn(1, shape["dates"], shape["bands"], *size), torch.arange(shape["dates"])[None] * 15,
        torch.ones(1, shape["dates"], *size, dtype=torch.bool),
    )  # fmt: skip
    if form in PEERS:
        return partial(of_peer, form, series)
    architecture = models.get(name)
    if name == "unet3df":
        options = {**options, "dates": shape["dates"]}
    data = DataShape(bands=shape["bands"], classes=CLASSES)
    network = architecture.build(architecture.options(**options), data).eval()
    if form == "plain":
        compact.STRIP_PX = shape["size_px"] ** 2
        return partial(answered, partial(plain_answer, network), series, "float32")
    ready = folded(network)
    return partial(answered, lambda found: ready(*found), series, form)


def answered(network: Callable[[Series], tuple[Tensor, Tensor]], series: Series, precision: str) -> list[float]:
    with torch.inference_mode(), autocast(CPU, precision):
        return [float(part.double().norm()) for part in network(series)]


PEER_NETWORKS: dict[str, Any] = {}


def of_peer(form: str, series: Series) -> None:
    """Answer by a peer's network, made at the first call, with zeros where it reads the day as a band."""
    x_BTCHW, day_BT, _ = series
    _, dates, bands, *_ = x_BTCHW.shape
    if form not in PEER_NETWORKS:
        made = utae_paps(bands, CLASSES) if form == "utae-paps" else deepsat_unet3df(bands + 1, dates, CLASSES, 2)
        PEER_NETWORKS[form] = made.eval()
    network = PEER_NETWORKS[form]
    with torch.inference_mode():
        if form == "utae-paps":
            network(x_BTCHW, batch_positions=day_BT)
        else:
            network(torch.cat([x_BTCHW, torch.zeros_like(x_BTCHW[:, :, :1])], 2).transpose(1, 2))


def forms(name: str, options: dict[str, Any], axis: str, *peers: str, **fixed: int) -> dict[str, Form]:
    return {
        form: Form(
            timed(prepare, form, name, options, fixed, axis), naive=form == "plain", peer=form in peers,
            tolerance=1e-3 if form == "float32" else 0,
        )
        for form in ("plain", *peers, "float32", "bfloat16")
    }  # fmt: skip


def pixels(size_px: int) -> float:
    return size_px**2


TILE = "128 x 128 pixels"
CASES = [
    Case(
        "answer-compact-area", f"The default network answers for a tile of {DATES} dates, {BANDS} bands.",
        forms("compact", {}, "size_px"), "side, pixels", (64, 128, 256), (128,), ("pixels", pixels),
    ),
    Case(
        "answer-compact-dates", f"The default network answers for {TILE} and {BANDS} bands.",
        forms("compact", {}, "dates"), "dates", (6, 12, 24, 48), (12, 48), ("pixels", lambda _: 128**2),
    ),
    Case(
        "answer-compact-bands", f"The default network answers for {TILE} and {DATES} dates.",
        forms("compact", {}, "bands"), "bands", (2, 4, 10, 20), (), ("pixels", lambda _: 128**2),
    ),
    Case(
        "answer-unet3df", f"UNet3Df answers for a tile of {DATES} dates, {BANDS} bands.",
        forms("unet3df", {}, "size_px", "DeepSatModels"), "side, pixels", (32, 64, 128), (32,), ("pixels", pixels),
    ),
    Case(
        "answer-utae", f"U-TAE answers for a tile of {DATES} dates, {BANDS} bands.",
        forms("utae", {"variant": "published"}, "size_px", "utae-paps"), "side, pixels", (32, 64, 128), (32,),
        ("pixels", pixels),
    ),
]  # fmt: skip
