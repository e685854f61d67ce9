"""What is installed here, what is missing, and what to do about it."""

from __future__ import annotations

import ctypes.util
import importlib
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from cscl.compiling import SWITCH, module, switched_off
from cscl.device import describe

__all__ = ["Fact", "examine"]


@dataclass(frozen=True)
class Fact:
    """One line of the examination; `remedy` is empty when nothing is wrong."""

    name: str
    value: str
    remedy: str = ""


def examine() -> Iterator[Fact]:
    """Yield what matters for running the engine and the viewer on this machine."""
    old = "Install Python 3.11 or newer." if sys.version_info < (3, 11) else ""
    yield Fact("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}", old)
    yield from (Fact(name, value) for name, value in describe().items())
    for package in ("rasterio", "geopandas", "xarray", "zarr", "odc-geo", "napari", "magicgui"):
        yield _package(package)
    yield _compiled()
    yield _gdal()
    yield _qt()
    yield _opengl()
    yield Fact("display", _display())
    free = shutil.disk_usage(os.getcwd()).free / 1e9
    yield Fact("disk", f"{free:.0f} GB free here", "Make room: a map of a whole tile needs some." if free < 2 else "")


def _package(name: str) -> Fact:
    try:
        return Fact(name, version(name))
    except PackageNotFoundError:
        return Fact(name, "missing", f"pip install {name}")


def _compiled() -> Fact:
    found = all(module(f"cscl.losses.{loops}") for loops in ("kernels", "boxes"))
    if found:
        return Fact("compiled", f"used (numba {version('numba')})")
    remedy = "" if switched_off() else 'pip install "napari-cscl[fast]" (the same results, a few times later)'
    return Fact("compiled", f"switched off by {SWITCH}" if switched_off() else "not used", remedy)


def _gdal() -> Fact:
    import rasterio
    from rasterio.drivers import raster_driver_extensions

    drivers = set(raster_driver_extensions().values())
    tools = "with" if shutil.which("gdalinfo") else "without"
    missing = {"GTiff"} - drivers
    return Fact(
        "gdal", f"{rasterio.__gdal_version__} inside rasterio, {tools} command line tools",
        f"This rasterio lacks {', '.join(missing)}: reinstall it with pip." if missing else "",
    )  # fmt: skip


def _qt() -> Fact:
    for binding in ("PyQt6", "PySide6", "PyQt5"):
        if importlib.util.find_spec(binding) is None:
            continue
        try:
            importlib.import_module(f"{binding}.QtWidgets")
        except ImportError as error:
            return Fact("qt", f"{binding} does not load ({error})", "Install the system libraries: see the README.")
        return Fact("qt", f"{binding} {version(binding)}")
    return Fact("qt", "missing", 'pip install "napari-cscl[all]" (the viewer needs it; the engine does not)')


def _opengl() -> Fact:
    if sys.platform != "linux":
        return Fact("opengl", "part of the system")
    found = ctypes.util.find_library("GL")
    return Fact("opengl", found or "missing", "" if found else "On Debian: apt-get install libgl1 libegl1")


def _display() -> str:
    if sys.platform in ("darwin", "win32"):
        return "yes"
    here = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    return f"yes ({here})" if here else "none: the command line works; windows need one, or xvfb-run"
