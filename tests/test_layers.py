"""Arrows point down: which module may import what. The table is data; CONTRIBUTING.md shows it as a picture."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest

# Module or package -> its layer; the longest matching name counts.
LAYER = {
    **dict.fromkeys(["cscl", "cscl.errors", "cscl.registry", "cscl.results", "cscl.compiling"], "base"),
    **dict.fromkeys(["cscl.events", "cscl.aside", "cscl.grid", "cscl.raster", "cscl.cube", "cscl.legend"], "nouns"),
    **dict.fromkeys(["cscl.parcels", "cscl.burning", "cscl.register", "cscl.overlaps"], "nouns"),
    **dict.fromkeys(["cscl.mapping", "cscl.shares", "cscl.cells", "cscl.pixelstore"], "nouns"),
    **dict.fromkeys(["cscl.products", "cscl.report", "cscl.recipe", "cscl.card"], "nouns"),
    "cscl.device": "device",
    **dict.fromkeys(["cscl.models", "cscl.losses", "cscl.metrics"], "parts"),
    **dict.fromkeys(["cscl.data", "cscl.export"], "files"),
    **dict.fromkeys(["cscl.data.batches", "cscl.data.entries", "cscl.data.network"], "doors"),
    "cscl.inference.tiles": "doors",
    **dict.fromkeys(["cscl.training", "cscl.inference", "cscl.simulate", "cscl.demo", "cscl.doctor"], "jobs"),
    **dict.fromkeys(["cscl.benchmark", "cscl.patches"], "jobs"),
    **dict.fromkeys(["cscl.api", "cscl.cli", "cscl.commands", "cscl.options", "cscl.terminal"], "cli"),
    "napari_cscl": "plugin",
    **dict.fromkeys(["napari_cscl.session", "napari_cscl.notes"], "session"),
    **dict.fromkeys(["napari_cscl.settings", "napari_cscl.autosave"], "settings"),
    **dict.fromkeys(["napari_cscl.bridge", "napari_cscl.composite", "napari_cscl.kept", "napari_cscl.marks"], "bridge"),
    **dict.fromkeys(["napari_cscl.opening", "napari_cscl.region", "napari_cscl.stage"], "bridge"),
    "napari_cscl.fromlayers": "bridge",
    **dict.fromkeys(["napari_cscl.training", "napari_cscl.finetuning", "napari_cscl.finer"], "acts"),
    **dict.fromkeys(["napari_cscl.boundaryview", "napari_cscl.looking", "napari_cscl.sights"], "views"),
    **dict.fromkeys(["napari_cscl.cases", "napari_cscl.selected", "napari_cscl.versusview"], "views"),
    **dict.fromkeys(["napari_cscl.casecolumns", "napari_cscl.errorjobs"], "views"),
    **dict.fromkeys(["napari_cscl.recovery", "napari_cscl.aligning"], "views"),
    "napari_cscl.runner": "runner",
    "napari_cscl.forms": "forms",
    "napari_cscl.widgets": "widgets",
}

# Layer -> the layers it may import besides itself.
BELOW = {
    "base": [],
    "nouns": ["base"],
    "device": ["base"],
    "parts": ["base", "nouns"],
    "files": ["base", "nouns"],
    "doors": ["base", "nouns", "device", "parts", "files"],
    "jobs": ["base", "nouns", "device", "parts", "files", "doors"],
    "cli": ["base", "nouns", "device", "parts", "files", "doors", "jobs"],
    "session": ["base", "nouns"],
    "settings": ["base"],
    "bridge": ["base", "nouns", "files"],
    "acts": ["base", "nouns", "files", "jobs", "session"],
    "views": ["base", "nouns", "files", "jobs", "session", "settings", "bridge", "acts"],
    "runner": ["base", "nouns", "device"],
    "forms": ["base", "nouns"],
    "plugin": ["base", "nouns", "files", "jobs", "bridge"],
    "widgets": [
        *("base", "nouns", "device", "files", "jobs"),
        *("session", "settings", "bridge", "acts", "views", "runner", "forms"),
    ],
}

QT = ["qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6", "superqt", "napari.qt", "napari._qt"]
SCREEN = [*QT, "napari", "magicgui", "psygnal", "vispy"]
PLACES = ["rasterio", "xarray", "geopandas", "pyogrio", "shapely", "pyproj", "odc", "netCDF4", "zarr"]

# Layer -> other people's packages that it never imports, not even inside a function.
NEVER = {
    "base": [*SCREEN, "torch", *PLACES],
    "nouns": [*SCREEN, "torch"],
    "device": SCREEN,
    "parts": [*SCREEN, *PLACES],
    "files": [*SCREEN, "torch"],
    "doors": SCREEN,
    "jobs": SCREEN,
    "cli": SCREEN,
    "session": [*QT, "napari", "torch"],
    "settings": [*QT, "torch", *PLACES],
    "bridge": [*QT, "torch"],
    "acts": [*QT, "napari", "torch"],
    "views": [*QT, "torch"],
    "runner": ["napari", "torch"],
    "forms": ["napari", "torch"],
    "widgets": ["torch"],
}

# Layer -> packages that it imports inside functions only, so that starting stays light.
LATE = {"device": ["torch"], "cli": ["torch"], "plugin": ["torch", *QT, "napari"], "settings": ["napari"]}


def under(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def entry_of(name: str) -> str | None:
    """Longest entry of the table that a dotted name lies under; None for other people's."""
    return max((entry for entry in LAYER if under(name, entry)), key=len, default=None)


def imports(tree: ast.AST, package: str, at_start: bool = True) -> Iterator[tuple[str, int, bool]]:
    """Yield (dotted name, line, whether it is loaded when the module is) for every import below a node."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, at_start) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            yield from ((f"{base}.{alias.name}", node.lineno, at_start) for alias in node.names)
        else:
            typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            later = typing_only or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from imports(node, package, at_start and not later)


def faults(module: str, source: str, is_package: bool = False) -> list[str]:
    """Sentences about the imports of a module that go against the tables."""
    entry = entry_of(module)
    assert entry and (entry != "cscl" or module == "cscl"), f"{module} has no layer: add it to the table."
    layer = LAYER[entry]
    package = module if is_package else module.rpartition(".")[0]
    found = []
    for name, line, at_start in imports(ast.parse(source), package):
        target = LAYER.get(entry_of(name) or "")
        up = target not in (None, layer, *BELOW[layer])
        never = any(under(name, banned) for banned in ["matplotlib.pyplot", *NEVER.get(layer, [])])
        early = at_start and any(under(name, banned) for banned in LATE.get(layer, []))
        if up or never or early:
            why = f"{layer} may not import {target}" if up else f"not in {layer}" if never else "inside functions only"
            found.append(f"{module}, line {line}: {name} ({why})")
    return found


def test_arrows_point_down(root: Path) -> None:
    files = [(path, top) for top in (root / "engine", root) for path in top.glob("*cscl/**/*.py")]
    assert len(files) > 5
    found = []
    for path, top in files:
        parts = path.relative_to(top).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if is_package else parts)
        found += faults(module, path.read_text(encoding="utf-8"), is_package)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cscl.cube", "def f():\n    import torch"),
        ("cscl.cube", "from cscl.data.readers import open_cube"),
        ("cscl.device", "import torch"),
        ("cscl.models.compact", "from cscl import data"),
        ("cscl.models.compact", "import rasterio.features"),
        ("cscl.losses.cscl", "from ..training import loop"),
        ("cscl.export.figures", "from matplotlib import pyplot as plt"),
        ("cscl.export.geotiff", "from cscl.models import models"),
        ("cscl.training.loop", "if True:\n    from napari.utils import progress"),
        ("cscl.registry", "from .legend import Legend"),
        ("napari_cscl.session", "import qtpy.QtCore"),
        ("napari_cscl.bridge", "from napari_cscl.widgets import dock"),
    ],
)
def test_the_check_sees(module: str, source: str) -> None:
    assert len(faults(module, source)) == 1


def test_a_new_module_needs_a_layer() -> None:
    with pytest.raises(AssertionError, match="has no layer"):
        faults("cscl.helpers", "")


def test_the_check_allows() -> None:
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\ndef f():\n    import torch"
    assert faults("cscl.device", source) == []
    assert faults("cscl.inference.predict", "from .tiles import tiles\nfrom cscl.models import models") == []
