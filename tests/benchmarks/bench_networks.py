"""Benchmark of networks against the plain form of what was published, with the same weights.

    python tests/benchmarks/bench_networks.py [--json FILE] [--repeats N] [--threads N]

Answering is measured on tiles of 24 dates and 10 bands, all seen; training on a step of UNet3Df with the contrastive
loss (4 samples of 24 x 24 pixels, 16 dates, 13 bands). The plain forms are float32 with norms of their own: UNet3Df
convolves every date last and sums the dates then; U-TAE runs each block that its dates share twice, once on zeros for
the sake of the shape, and weighs all dates at once. The compact network has no published form: its plain one is the
network as it is trained, all pixels of the tile at once.

Each case runs in a fresh process. Time is the least of the repeats, of the process for one thread and of the clock for
more; memory is the peak resident set of the first run minus what was resident before (from /proc, so Linux only). In
float32 logits and embedding, or the loss and the length of its gradient, must agree.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from cscl.device import autocast, has_bfloat16
from cscl.losses.cscl import CSCLLoss, CSCLOptions
from cscl.models import DataShape, Network, compact, models
from cscl.models.folded import folded
from cscl.models.unet3d import UNet3Df
from cscl.models.utae import UTAE

# Network, options, pixels across.
ANSWERS: dict[str, tuple[str, dict[str, Any], int]] = {
    "compact, 256 px": ("compact", {}, 256),
    "UNet3Df, 64 px": ("unet3df", {"dates": 24}, 64),
    "U-TAE, 128 px": ("utae", {"variant": "published"}, 128),
}
STEP = "training step of UNet3Df"
FORMS = ("plain", "float32", "bfloat16")
CPU = torch.device("cpu")
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


def resident_mb(field: str) -> float:
    """VmRSS or VmHWM of this process, MB (10^6 bytes)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


def least(run: Callable[[], list[float]], repeats: int, threads: int) -> dict[str, Any]:
    """Seconds, peak MB and what is to agree."""
    clock = time.process_time if threads == 1 else time.perf_counter
    before, seconds, peak, told = resident_mb("VmRSS"), [], 0.0, []
    for _ in range(repeats):
        started = clock()
        told = run()
        seconds.append(clock() - started)
        peak = peak or resident_mb("VmHWM") - before
    return {"seconds": min(seconds), "peak_mb": peak, "told": told}


def answering(case: str, form: str, repeats: int, threads: int) -> dict[str, Any]:
    name, options, size_px = ANSWERS[case]
    architecture = models.get(name)
    network = architecture.build(architecture.options(**options), DataShape(bands=10, classes=13)).eval()
    valid_BTHW = torch.ones(1, 24, size_px, size_px, dtype=torch.bool)
    series = torch.randn(1, 24, 10, size_px, size_px), torch.arange(24)[None] * 15, valid_BTHW
    if form == "plain":
        compact.STRIP_PX = size_px**2
    ready = network if form == "plain" else folded(network)

    def run() -> list[float]:
        with torch.inference_mode(), autocast(CPU, "bfloat16" if form == "bfloat16" else "float32"):
            logits, embedding = plain_answer(ready, series) if form == "plain" else ready(*series)
        return [float(part.double().norm()) for part in (logits, embedding)]

    return {**least(run, repeats, threads), "pixels": size_px**2}


def learning(form: str, repeats: int, threads: int) -> dict[str, Any]:
    architecture = models.get("unet3df")
    network = architecture.build(architecture.options(), DataShape(bands=13, classes=13)).train()
    loss = CSCLLoss(CSCLOptions(), network.embedding_width)
    learnt = [*network.parameters(), *loss.parameters()]
    optimiser = torch.optim.AdamW(learnt, lr=0.0, weight_decay=0.0, fused=form != "plain")
    series = torch.randn(4, 16, 13, 24, 24), torch.arange(16).expand(4, -1) * 20, torch.ones(4, 16, 24, 24).bool()
    parcels_BHW = torch.randint(0, 6, (4, 4, 4)).repeat_interleave(6, 1).repeat_interleave(6, 2)

    def run() -> list[float]:
        optimiser.zero_grad()
        with autocast(CPU, "bfloat16" if form == "bfloat16" else "float32"):
            embedding = plain_answer(network, series)[1] if form == "plain" else network(*series)[1]
            value = loss(embedding, parcels_BHW)[0]
        value.backward()
        optimiser.step()
        return [value.item(), sum(float(w.grad.double().square().sum()) for w in learnt if w.grad is not None) ** 0.5]

    return {**least(run, repeats, threads), "pixels": 4 * 24**2}


def measure(case: str, form: str, repeats: int, threads: int) -> dict[str, Any]:
    """Run one form of one case in this process."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    return learning(form, repeats, threads) if case == STEP else answering(case, form, repeats, threads)


def in_fresh_process(case: str, form: str, repeats: int, threads: int) -> dict[str, Any]:
    numbers = ["--repeats", str(repeats), "--threads", str(threads)]
    command = [sys.executable, __file__, "--one", case, form, *numbers]
    result: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", nargs=2, metavar=("CASE", "FORM"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    numbers = options.repeats, options.threads
    if options.one:
        print(json.dumps(measure(*options.one, *numbers)))
        return
    rows = []
    units = "has" if has_bfloat16(CPU) else "has not"
    print(f"{options.threads} threads; this CPU {units} units for bfloat16\n")
    print("| case | form | s | pixels/s | peak MB | times faster | times less memory |\n|---|---|---|---|---|---|---|")
    for case in (*ANSWERS, STEP):
        found = {form: in_fresh_process(case, form, *numbers) for form in FORMS}
        plain = found["plain"]
        torch.testing.assert_close(found["float32"]["told"], plain["told"], rtol=1e-3, atol=1e-5)
        for form, figures in found.items():
            speed, memory = plain["seconds"] / figures["seconds"], plain["peak_mb"] / figures["peak_mb"]
            rate, peak = figures["pixels"] / figures["seconds"], figures["peak_mb"]
            print(
                f"| {case} | {form} | {figures['seconds']:.3f} | {rate:.0f} | {peak:.0f} | {speed:.2f} | {memory:.2f} |"
            )
            rows.append({"name": f"{case}, {form}", "ratio": speed, "memory_ratio": memory, **figures})
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
