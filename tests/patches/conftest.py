"""Datasets that several tests look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from patchtoys import SMALL, cube, register

from cscl.events import run
from cscl.patches.make import make_dataset
from cscl.patches.options import PatchOptions


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a dataset of two seasons that differ in their dates; the same ones are made once."""
    known: dict[str, Path] = {}

    def make(options: PatchOptions = SMALL, workers: int = 1) -> Path:
        key = f"{options}{workers}"
        if key not in known:
            out = tmp_path_factory.mktemp("d") / "toys"
            pairs = [
                (cube(name="a", shift=-0.1), register(name="r")),
                (cube(dates=3, seed=1, west=6e5, start="2022-02-01", name="b"), register(seed=1, west=6e5, name="s")),
            ]
            known[key] = run(make_dataset(pairs, out, options, workers=workers))
        return known[key]

    return make
