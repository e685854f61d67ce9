"""Benchmark of the contrastive loss against the definition written out with `torch.nn.functional.unfold`.

    python tests/benchmarks/bench_affinity.py [--json FILE] [--repeats N] [--only WORDS]

One step is: embedding -> query and key -> similarities -> loss -> gradients of the embedding and of all weights; for
the cases "alone", queries and keys -> loss -> their gradients. Forms: ``unfolded``; ``plain``, the sweep in torch; and
``compiled``, with numba. Each runs in a fresh process of one thread, so that peaks are its own, and has loaded (and
compiled) all it needs by a small step before. Time is the least process time of the repeats, time-slicing by other
programs excluded; memory is the peak resident set of the first step minus what was resident before it (from /proc, so
Linux only). Loss and gradient of all forms must agree.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize, unfold

from cscl.compiling import SWITCH
from cscl.losses.affinity import around, label_agreement
from cscl.losses.costs import strip_costs
from cscl.losses.cscl import CSCLLoss, CSCLOptions
from cscl.losses.ground import Ground
from cscl.losses.sweep import strips


@dataclass(frozen=True)
class Case:
    items: int
    channels: int
    size_px: int
    window: int
    codes: bool = True
    alone: bool = False  # without the projections
    forms: tuple[str, ...] = ("unfolded", "plain", "compiled")


SWEPT = ("plain", "compiled")
CASES = {
    "B32 C128 24x24 k3": Case(32, 128, 24, 3),
    "B1 C128 256x256 k7": Case(1, 128, 256, 7),
    "B1 C128 256x256 k7, no codes": Case(1, 128, 256, 7, codes=False),
    "alone, B1 C128 256x256 k7, no codes": Case(1, 128, 256, 7, codes=False, alone=True),
    **{
        f"alone, B1 C128 256x256 k{k}, no codes": Case(1, 128, 256, k, codes=False, alone=True, forms=("compiled",))
        for k in (3, 15)
    },
    "B1 C128 512x512 k15": Case(1, 128, 512, 15, forms=SWEPT),
    "B1 C128 512x512 k15, no codes": Case(1, 128, 512, 15, codes=False, forms=("compiled",)),
    "B32 C128 192x192 k3": Case(32, 128, 192, 3, forms=SWEPT),
}
REPEATS = 3
Step = Callable[[Tensor, Tensor], Tensor]


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
    s_BkkHW = (normalize(q, dim=1)[:, :, None, None] * normalize(k_BAkkHW, dim=1)).sum(1)
    positive, kept = label_agreement(target_BHW, window)
    negative, positive = kept & ~positive, kept & positive
    return (s_BkkHW * negative).sum() / negative.sum() - (s_BkkHW * positive).sum() / positive.sum()


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


def resident_mb(field: str) -> float:
    """VmRSS or VmHWM of this process, MB (10^6 bytes)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


def data(case: Case, layout: torch.memory_format) -> tuple[Tensor, Tensor]:
    """A noisy embedding (or queries and keys) of parcels of 8 x 8 pixels, a leaf, and the parcels."""
    many, channels = case.size_px // 8, case.channels * (2 if case.alone else 1)
    parcels = torch.randint(-1, 12, (case.items, many, many)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    noise = torch.randn(case.items, channels, case.size_px, case.size_px)
    embedding = noise.add_(torch.randn(13, channels)[parcels].permute(0, 3, 1, 2))
    return embedding.contiguous(memory_format=layout).requires_grad_(), parcels


def measure(form: str, name: str, repeats: int) -> dict[str, float]:
    """Run one form of one case in this process: least CPU seconds, peak MB, the loss and the length of its gradient."""
    torch.set_num_threads(1)
    case = CASES[name]
    seconds, peak, before = [], 0.0, 0.0
    for items, size_px, count in ((1, 32, 1), (case.items, case.size_px, repeats)):  # a small step first
        torch.manual_seed(0)
        now = Case(items, case.channels, size_px, case.window, case.codes, case.alone)
        made = CSCLLoss(CSCLOptions(window=now.window, position_codes=now.codes), now.channels)
        step: Step = unfolded(made) if form == "unfolded" else lambda *batch, loss=made: loss(*batch)[0]
        step = alone(made, form) if now.alone else step
        embedding, parcels = data(now, torch.contiguous_format if form == "unfolded" else torch.channels_last)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
        before, seconds, peak = resident_mb("VmRSS"), [], 0.0
        for _ in range(count):
            started = time.process_time()
            value = step(embedding, parcels)
            value.backward()
            seconds.append(time.process_time() - started)
            peak = peak or resident_mb("VmHWM") - before
            gradient = embedding.grad.double().norm().item()
            made.zero_grad()
            embedding.grad = None
    return {"seconds": min(seconds), "peak_mb": peak, "loss": value.item(), "gradient": gradient}


def in_fresh_process(form: str, case: str, repeats: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", form, case, "--repeats", str(repeats)]
    surroundings = {**os.environ, SWITCH: "0" if form == "plain" else "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=surroundings)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def rows(case: str, repeats: int) -> list[dict[str, object]]:
    """Figures of each form of a case; ratios are to the first."""
    found = [(form, in_fresh_process(form, case, repeats)) for form in CASES[case].forms]
    slow = found[0][1]
    for _, fast in found[1:]:
        assert all(math.isclose(slow[what], fast[what], rel_tol=1e-4) for what in ("loss", "gradient")), found
    return [
        {
            "name": case, "form": form, "seconds": each["seconds"], "peak_mb": each["peak_mb"],
            "ratio": slow["seconds"] / each["seconds"], "memory_ratio": slow["peak_mb"] / each["peak_mb"],
        }
        for form, each in found
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--only", default="", help="cases whose names hold these words")
    parser.add_argument("--one", nargs=2, metavar=("FORM", "CASE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one, options.repeats)))
        return
    figures = []
    print("| case | form | CPU s | peak MB | times faster | times less memory |\n|---|---|---|---|---|---|")
    for case in (each for each in CASES if options.only in each):
        for row in rows(case, options.repeats):
            figures.append(row)
            print(
                f"| {case} | {row['form']} | {row['seconds']:.3f} | {row['peak_mb']:.0f} | {row['ratio']:.1f} | "
                f"{row['memory_ratio']:.1f} |",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
