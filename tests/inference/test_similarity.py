import numpy as np
import toys
import xarray as xr

from cscl.events import run
from cscl.inference.similarity import principal_colours, similarity_to, unit_vectors
from cscl.products import Embedding


def embedding(values: np.ndarray) -> Embedding:
    grid = toys.scene(size=16).cube.grid[: values.shape[1], : values.shape[2]]
    return Embedding(xr.DataArray(values.astype(np.float16), dims=("feature", "y", "x")), grid)


def test_similarity_is_the_cosine_and_missing_pixels_are_alike_to_nothing() -> None:
    values = np.random.default_rng(0).normal(size=(5, 6, 8)).astype(np.float16).astype(np.float32)
    values[:, 2, 3] = np.nan
    units = run(unit_vectors(embedding(values)))
    out = np.empty((6, 8), np.float32)
    assert similarity_to(units, 1, 1, out) is out
    flat = values.reshape(5, -1)
    expected = values[:, 1, 1] @ flat / np.linalg.norm(values[:, 1, 1]) / np.linalg.norm(flat, axis=0)
    assert np.allclose(out.ravel(), np.nan_to_num(expected), atol=1e-5) and out[2, 3] == 0


def test_principal_colours_tell_groups_apart_the_same_way_each_time() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(8, 3))
    kinds = rng.integers(0, 3, (12, 14))
    values = centres[:, kinds] + 0.05 * rng.normal(size=(8, 12, 14))
    colours = principal_colours(run(unit_vectors(embedding(values))))
    means = np.array([colours[kinds == k].mean(axis=0) for k in range(3)])
    spread = max(colours[kinds == k].std(axis=0)[:2].max() for k in range(3))
    apart = min(np.abs(means[a] - means[b])[:2].max() for a, b in ((0, 1), (0, 2), (1, 2)))
    assert apart > 3 * spread
    assert np.array_equal(colours, principal_colours(run(unit_vectors(embedding(values)))))
    assert not principal_colours(np.zeros((3, 4, 8), np.float32)).any()
