"""One simulated season for all tests of this folder: the one that is shipped in sample_data."""

from __future__ import annotations

import pytest

from cscl.events import run
from cscl.simulate import Season, SeasonOptions, simulate

SAMPLE = SeasonOptions(size_px=160, seed=27, mosaic_seed=26, parcel_size="small")


@pytest.fixture(scope="session")
def season() -> Season:
    """Season of the sample data, made anew."""
    return run(simulate(SAMPLE))
