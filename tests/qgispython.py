"""A Python that has QGIS, beside the one that runs the tests."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def other_python(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run code in the first Python that has QGIS; skip the test where there is none."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "QT_", "GDAL_", "PROJ_"))}
    env |= {"QT_QPA_PLATFORM": "offscreen"}
    for python in ("/usr/bin/python3", sys.executable):
        try:
            subprocess.run([python, "-c", "import qgis.core"], env=env, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return subprocess.run([python, "-c", code, *args], env=env, capture_output=True, text=True, timeout=120)
    pytest.skip("No Python with QGIS is here (Debian: apt-get install python3-qgis).")
