"""The one place that names cuda, mps and cpu, and that sets precision, threads and seeds. Torch is imported inside."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cscl.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = ["autocast", "describe", "free_memory", "has_bfloat16", "memory_is_full", "pick", "threads"]

NAMES = ("auto", "cpu", "cuda", "mps")


def pick(name: str = "auto") -> torch.device:
    """Return the device of that name; ``auto`` takes a CUDA GPU, else Apple's, else the CPU.

    Raises
    ------
    InputError
        If the name is unknown or the device is not there; the message says what is.
    """
    import torch

    there = [
        "cpu",
        *(["cuda"] if torch.cuda.is_available() else []),
        *(["mps"] if torch.backends.mps.is_available() else []),
    ]
    if name == "auto":
        return torch.device(there[-1])
    if name.partition(":")[0] not in there:
        raise InputError(f"The device '{name}' is not available here. Choose one of: auto, {', '.join(there)}.")
    return torch.device(name)


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has units for bfloat16, so that mixed precision is quicker there and not only shorter."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return any(found.get(unit, False) for unit in ("avx512_bf16", "amx_bf16"))
    return False


def autocast(device: torch.device, precision: str = "auto") -> contextlib.AbstractContextManager[Any]:
    """Mixed precision inside: sums of products in bfloat16, which has the range of float32 and three of its digits.

    Parameters
    ----------
    device : torch.device
        Where the network is.
    precision : str
        ``float32``, ``bfloat16``, or ``auto``: bfloat16 on GPUs that have units for it, float32 elsewhere.
    """
    import torch

    if precision == "bfloat16" or (precision == "auto" and device.type == "cuda" and has_bfloat16(device)):
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def memory_is_full(error: BaseException) -> bool:
    """Whether an error says that memory cannot be had: numpy, the CPU's allocator, CUDA and MPS each have their own."""
    import torch

    words = ("out of memory", "allocate memory", "cublas_status_alloc_failed")
    known = isinstance(error, MemoryError | torch.cuda.OutOfMemoryError)
    return known or (isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words))


def free_memory(device: torch.device) -> int:
    """Bytes that can still be had on a device; what torch only keeps at hand counts as free."""
    import psutil
    import torch

    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + kept)
    return int(psutil.virtual_memory().available)


@contextlib.contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Use `count` CPU threads inside; None leaves torch's own choice. A viewer keeps one core for itself this way."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def describe() -> dict[str, str]:
    """Say in words what torch can use here."""
    import torch

    facts = {"torch": torch.__version__, "threads": f"{torch.get_num_threads()} of {os.cpu_count()} cores"}
    if torch.cuda.is_available():
        facts["cuda"] = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    else:
        facts["cuda"] = "not available (a CPU build of torch)" if torch.version.cuda is None else "no GPU found"
    facts["mps"] = "available" if torch.backends.mps.is_available() else "not available"
    facts["bfloat16 on the CPU"] = "available" if has_bfloat16(torch.device("cpu")) else "not available"
    return facts
