"""Pixels compared by compiled loops and without: both against the definition."""

from collections.abc import Callable

import numpy as np
import pytest

from cscl import compiling
from cscl.inference import pixelwise

Ways = pytest.mark.parametrize("way", ["plain", "compiled"])


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Choose a way; the compiled one is left out where it cannot be used."""

    def choose(way: str) -> None:
        if way == "plain":
            monkeypatch.setattr(pixelwise, "module", lambda name: None)
        elif compiling.module(pixelwise.KERNELS) is None:
            pytest.skip("needs numba")

    return choose


def some(shape: tuple[int, int], dtype: str, features: int = 7) -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(*shape, features)).astype(dtype)
    values[2, 3], values[4, 4, 1], values[5, 5] = np.nan, np.inf, 0
    return values


def by_loops(values: np.ndarray) -> np.ndarray:
    """Edge strength by its definition; vectors of zeros are like nothing."""
    values = values.astype(np.float64)
    out, (height, width) = np.full(values.shape[:2], np.nan), values.shape[:2]
    known = np.isfinite(values).all(-1)
    with np.errstate(invalid="ignore"):
        unit = values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-12)
    for y, x in np.argwhere(known):
        near = [
            (j, i) for j in range(max(0, y - 1), min(height, y + 2)) for i in range(max(0, x - 1), min(width, x + 2))
        ]
        near = [unit[y, x] @ unit[at] for at in near if known[at] and at != (y, x)]
        out[y, x] = 1 - np.mean(near) if near else np.nan
    return out


@Ways
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("shape", [(9, 130), (1, 7), (70, 9)])  # larger than a block either way
def test_edges(way: str, dtype: str, shape: tuple[int, int], use: Callable[[str], None]) -> None:
    use(way)
    values = some((70, 130), dtype)[: shape[0], : shape[1]]
    assert np.allclose(pixelwise.edges_between(values), by_loops(values), atol=1e-5, equal_nan=True)


@Ways
def test_a_pixel_alone_has_no_edge(way: str, use: Callable[[str], None]) -> None:
    use(way)
    values = np.full((3, 3, 4), np.nan, np.float16)
    values[1, 1] = 1
    assert np.isnan(pixelwise.edges_between(values)).all()


@Ways
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_products(way: str, dtype: str, use: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    use(way)
    monkeypatch.setattr(pixelwise, "STRIP_BYTES", 500)
    values = some((11, 13), dtype)
    vector = values[0, 0].astype(np.float32)
    out = np.empty((11, 13), np.float32)
    scale = pixelwise.one_over_length(values)
    pixelwise.products(values, scale, vector, out)
    length = np.linalg.norm(values.astype(np.float64), axis=-1)
    with np.errstate(invalid="ignore"):
        expected = np.where((length > 0) & np.isfinite(length), values.astype(np.float64) @ vector / length, np.nan)
    assert np.allclose(out, expected, atol=1e-5, equal_nan=True)
    assert np.isnan(out[5, 5]) and np.isnan(out[2, 3]) and np.isnan(out[4, 4])


def test_what_may_not_be_written_to_is_read(use: Callable[[str], None]) -> None:
    use("plain")
    values = some((9, 9), "float16")
    values.flags.writeable = False
    assert np.isfinite(pixelwise.edges_between(values)).any()
