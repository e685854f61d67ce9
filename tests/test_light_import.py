"""Starting is light: a fresh interpreter that imports the nouns, the plugin or the command line loads nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOUNS = ["errors", "events", "legend", "grid", "cube", "parcels", "products", "report", "recipe", "card", "device"]
HELP = """
import sys
sys.argv = ["cscl", "--help"]
from cscl.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code
"""


def loaded(source: str, root: Path) -> set[str]:
    """Top-level names in ``sys.modules`` after a fresh interpreter has run `source`."""
    report = "\nimport sys; sys.stderr.write('\\n' + ' '.join({name.partition('.')[0] for name in sys.modules}))"
    path = os.pathsep.join([str(root / "engine"), str(root)])
    done = subprocess.run(
        [sys.executable, "-c", source + report],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


def test_nouns(root: Path) -> None:
    modules = loaded("\n".join(f"import cscl.{noun}" for noun in NOUNS), root)
    assert "cscl" in modules
    assert not modules & {"torch", "qtpy", "napari", "matplotlib"}


@pytest.mark.parametrize("source", ["import cscl", "import napari_cscl"])
def test_packages(source: str, root: Path) -> None:
    modules = loaded(source, root)
    assert "cscl" in modules
    assert not modules & {"torch", "qtpy", "napari", "numpy", "xarray", "rasterio"}


def test_command_line(root: Path) -> None:
    assert not loaded(HELP, root) & {"torch", "qtpy", "napari", "matplotlib", "xarray", "pandas", "rasterio"}
