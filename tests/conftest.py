"""What every test may use; a test that lacks its machine or its data is skipped with the reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WINDOWS = ROOT / "tests" / "napari_cscl"
LONGEST = ("test_readme.py", "test_real_training.py")

# Before anything imports napari: the user's own settings stay out of the tests, and the tests out of them.
os.environ["NAPARI_CONFIG"] = ""


@pytest.fixture(scope="session")
def root() -> Path:
    """Folder of the project."""
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real inputs; tests that use it are marked ``real``."""
    return Path(os.environ["CSCL_REAL_DATA"])


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        # Side by side, a file stays in one process, for what its tests share; windows in one, for the focus.
        item.add_marker(pytest.mark.xdist_group("windows" if WINDOWS in item.path.parents else str(item.path)))
        if item.get_closest_marker("real") and not os.environ.get("CSCL_REAL_DATA"):
            item.add_marker(pytest.mark.skip(reason="CSCL_REAL_DATA names no folder of real inputs"))
        if item.get_closest_marker("gpu") and not _cuda():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
    # What takes longest begins first, so that no process is left with it at the end.
    items.sort(key=lambda item: 0 if WINDOWS in item.path.parents else 1 if item.path.name in LONGEST else 2)


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()
