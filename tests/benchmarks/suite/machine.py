"""What is measured on: processor, memory, versions, the state of the sources, and how busy the machine was."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

__all__ = ["busy", "facts", "kind"]

TOLD = {"torch", "compiled", "gdal", "cuda", "mps", "bfloat16 on the CPU"}


def facts(threads: int) -> dict[str, str]:
    """Name and value of each fact."""
    import numpy
    import psutil

    from cscl.doctor import examine

    here = {
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "threads used": str(threads),
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "numpy": numpy.__version__,
    }
    return {
        **here, **{fact.name: fact.value for fact in examine() if fact.name in TOLD}, "commit": commit(),
        "load at the start": load(),
    }  # fmt: skip


def processor() -> str:
    """Name of the processor, with family and model where the name says little."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = told.get("model name") or platform.machine()
    return name if "model" not in told else f"{name} (family {told.get('cpu family')}, model {told['model']})"


def kind(told: dict[str, str]) -> str:
    """Name what runs are comparable on, as the name of a file: processor, cores, and a GPU if there is one."""
    gpu = told.get("cuda", "")
    words = f"{told['processor']} {told['cores']} cores {'' if 'no' in gpu.split() or 'not' in gpu.split() else gpu}"
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def commit() -> str:
    """Short name of the commit, and whether files were changed since."""
    root = Path(__file__).parents[3]

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "engine", "napari_cscl", "tests")
        return git("rev-parse", "--short=10", "HEAD") + (", with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown: no checkout"


def load() -> str:
    """Say how many processes wanted to run in the last minute."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def busy(told: dict[str, str]) -> bool:
    """Whether others kept half of the cores or more at work when a run began."""
    loaded = told.get("load at the start", "")
    return loaded.replace(".", "").isdigit() and float(loaded) > 0.5 * int(told["cores"])
