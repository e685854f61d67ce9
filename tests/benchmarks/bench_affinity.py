"""Benchmark of the contrastive loss against the definition written out with `torch.nn.functional.unfold`.

    python tests/benchmarks/bench_affinity.py [--json FILE]

One step is: embedding -> query and key -> similarities -> loss -> gradients of the embedding and of all weights. Each
case runs in a fresh process of one thread, so that peaks are its own. Time is the least process time of the repeats
(time-slicing by other programs excluded); memory is the peak resident set of the first step minus what was resident
before (read from /proc, so Linux only). Loss and gradient of both forms must agree.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize, unfold

from cscl.losses.affinity import label_agreement
from cscl.losses.cscl import CSCLLoss, CSCLOptions

# Items, channels, pixels across, window.
CASES = {"B32 C128 24x24 k3": (32, 128, 24, 3), "B1 C128 256x256 k7": (1, 128, 256, 7)}
FORMS = ("unfolded", "cscl")
REPEATS = 3
Loss = Callable[[Tensor, Tensor], Tensor]


def unfolded(loss: CSCLLoss) -> Loss:
    """The balanced loss by its definition: all keys of all windows side by side, positioned and normalised."""
    head, window = loss.head, loss.options.window

    def value(embedding_BDHW: Tensor, target_BHW: Tensor) -> Tensor:
        q, k = head.query(embedding_BDHW), head.key(embedding_BDHW)
        items, width, *size = k.shape
        k_BAkkHW = unfold(k, window, padding=window // 2).view(items, width, window, window, *size)
        row = head.row_Ak[:, :, None].expand(-1, -1, window)
        col = head.col_Ak[:, None, :].expand(-1, window, -1)
        k_BAkkHW = normalize(k_BAkkHW + torch.cat([row, col])[..., None, None], dim=1)
        s_BkkHW = (normalize(q, dim=1)[:, :, None, None] * k_BAkkHW).sum(1)
        positive, kept = label_agreement(target_BHW, window)
        negative, positive = kept & ~positive, kept & positive
        return (s_BkkHW * negative).sum() / negative.sum() - (s_BkkHW * positive).sum() / positive.sum()

    return value


def resident_mb(field: str) -> float:
    """VmRSS or VmHWM of this process, MB (10^6 bytes)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


def measure(form: str, case: str, repeats: int) -> dict[str, float]:
    """Run one form of one case in this process: least CPU seconds, peak MB, the loss and the length of its gradient."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    items, width, size_px, window = CASES[case]
    made = CSCLLoss(CSCLOptions(window=window), width)
    step = unfolded(made) if form == "unfolded" else lambda *batch: made(*batch)[0]
    parcels = torch.randint(-1, 12, (items, size_px // 8, size_px // 8)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    embedding = torch.randn(13, width)[parcels].permute(0, 3, 1, 2) + torch.randn(items, width, size_px, size_px)
    embedding = embedding.contiguous().requires_grad_()
    before, seconds, peak = resident_mb("VmRSS"), [], 0.0
    for _ in range(repeats):
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
    result: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--one", nargs=2, metavar=("FORM", "CASE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one, options.repeats)))
        return
    figures = {}
    print("| case | form | CPU s | peak MB | times faster | times less memory |\n|---|---|---|---|---|---|")
    for case in CASES:
        slow, fast = (in_fresh_process(form, case, options.repeats) for form in FORMS)
        assert all(math.isclose(slow[what], fast[what], rel_tol=1e-4) for what in ("loss", "gradient")), (slow, fast)
        speed, memory = slow["seconds"] / fast["seconds"], slow["peak_mb"] / fast["peak_mb"]
        print(f"| {case} | unfolded | {slow['seconds']:.3f} | {slow['peak_mb']:.0f} | 1 | 1 |")
        print(f"| {case} | cscl | {fast['seconds']:.3f} | {fast['peak_mb']:.0f} | {speed:.1f} | {memory:.1f} |")
        figures[case] = {"unfolded": slow, "cscl": fast, "speed_ratio": speed, "memory_ratio": memory}
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
