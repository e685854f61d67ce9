from __future__ import annotations

import numpy as np
import pytest

from cscl.events import run
from cscl.simulate import SeasonOptions, season, sensor, simulate
from cscl.simulate.crops import BANDS
from cscl.simulate.landscape import FINE_M, MARGIN_PX
from cscl.simulate.sensor import MTF, Camera, blur_matrix, keys_matrix, look
from cscl.simulate.weather import draw_overpasses


def test_a_wave_at_nyquist_keeps_the_stated_share_of_its_contrast() -> None:
    sub_m = FINE_M * (np.arange(400) + 0.5)
    sigma_m = 10 / np.pi * np.sqrt(-2 * np.log(0.25))
    crests = 20.0 * np.arange(10, 40)
    seen = blur_matrix(crests, sub_m, sigma_m) @ np.cos(2 * np.pi * sub_m / 20)
    np.testing.assert_allclose(seen, 0.25, rtol=2e-3)


@pytest.mark.parametrize("size", [64, 33])
def test_shift_moves_the_scene_by_just_that_much(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(sensor, "NOISE_FLOOR", 0.0)
    monkeypatch.setattr(sensor, "NOISE_SHARE", 0.0)
    overpass = draw_overpasses(0, 16, 0.5)[3]
    side = 4 * (size + 2 * MARGIN_PX)
    sub_m = FINE_M * (np.arange(side) + 0.5) - 10 * MARGIN_PX
    index = np.broadcast_to(np.arange(side, dtype=np.int32), (side, side))
    ramp_BS = np.tile(sub_m.astype(np.float32), (len(BANDS), 1))
    seen_BYX = look(index, ramp_BS, Camera.at(overpass, size), np.random.default_rng(0))
    shift_m = overpass.shift_m[1] + overpass.band_shift_m[:, 1]
    want = 10 * (np.arange(size) + 0.5) + shift_m[:, None]
    np.testing.assert_allclose(seen_BYX, np.broadcast_to(want[:, None], seen_BYX.shape), atol=2e-2)


def test_cubic_convolution_reproduces_parabolas() -> None:
    weights = keys_matrix(20, 14)
    coarse, fine = 20 * (np.arange(14) - 1.5) / 10, 10 * (np.arange(20) + 0.5) / 10
    np.testing.assert_allclose(weights @ (coarse**2 - 3 * coarse), fine**2 - 3 * fine, atol=1e-3)
    assert np.count_nonzero(weights[7]) == 4


def test_tiles_leave_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensor, "NOISE_FLOOR", 0.0)
    monkeypatch.setattr(sensor, "NOISE_SHARE", 0.0)
    options = SeasonOptions(size_px=70, dates=2)
    tiled = run(simulate(options)).reflectance.astype(int)
    monkeypatch.setattr(season, "TILE_PX", 70)
    whole = run(simulate(options)).reflectance.astype(int)
    assert np.abs(tiled - whole).max() <= season.DN_STEP
    assert np.mean(tiled != whole) < 1e-3


def test_blur_is_within_what_the_mission_requires() -> None:
    assert set(MTF) == set(BANDS)
    assert all(0.15 <= m <= 0.30 for m in MTF.values())
