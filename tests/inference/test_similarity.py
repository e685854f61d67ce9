from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toys
import xarray as xr
from affine import Affine

from cscl.errors import OutputError
from cscl.events import run
from cscl.grid import Window
from cscl.inference import embed as embedding_job
from cscl.inference.embed import affinity, edge_strength, embed
from cscl.inference.similarity import Overview, overview, principal_colours, similarity_to
from cscl.inference.window import WindowHead, affinity_at, cosine_at
from cscl.products import Embedding
from cscl.training.pretrain import pretrain
from cscl.training.segment import train


def embedding(values: np.ndarray) -> Embedding:
    grid = toys.scene(size=16).cube.grid[: values.shape[1], : values.shape[2]]
    return Embedding(xr.DataArray(values.astype(np.float16), dims=("feature", "y", "x")), grid)


def some(shape: tuple[int, int], features: int = 5) -> np.ndarray:
    """Values that float16 holds exactly, one pixel missing."""
    values = np.random.default_rng(0).normal(size=(features, *shape)).astype(np.float16).astype(np.float32)
    values[:, 2, 3] = np.nan
    return values


def cosines(values: np.ndarray, row: int, col: int) -> np.ndarray:
    """Cosine with one pixel, by the definition."""
    one = values[:, row, col]
    return np.tensordot(one, values, 1) / np.linalg.norm(one) / np.linalg.norm(values, axis=0)


def test_similarity_is_the_cosine_and_unknown_where_a_pixel_is_missing() -> None:
    values = some((6, 8))
    seen = run(overview(embedding(values)))
    out = np.empty((6, 8), np.float32)
    assert similarity_to(seen, 1, 1, out) is out and seen.step_px == 1
    assert np.allclose(out, cosines(values, 1, 1), atol=1e-5, equal_nan=True) and np.isnan(out[2, 3])
    assert np.isnan(similarity_to(seen, 2, 3)).all()


def test_of_a_large_scene_every_nth_pixel_is_compared_with_the_very_pixel_that_was_picked() -> None:
    values = some((11, 13))
    seen = run(overview(embedding(values), most_px=20))
    assert seen.step_px == 3 and seen.values_YXD.shape == (4, 4, 5)
    expected = cosines(values, 6, 6)[1::3, 1::3]
    assert np.allclose(similarity_to(seen, 6, 6), expected, atol=1e-5, equal_nan=True)
    grid = toys.scene(size=16).cube.grid
    assert seen.grid.transform == grid.transform @ Affine.scale(3) and tuple(seen.grid.shape) == (4, 4)
    assert np.allclose(cosine_at(seen, 6, 6), cosines(values, 6, 6)[5:8, 5:8], atol=1e-5)


def test_a_large_scene_is_written_with_an_overview_which_is_read_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tiles of 24 pixels, of which every fifth is kept: no tile begins where the last one did."""
    monkeypatch.setattr(embedding_job, "TILE_PX", 24)
    monkeypatch.setattr(embedding_job, "sampling_px", lambda shape: 5)
    scene = toys.scene(size=64)
    model = run(pretrain([scene], tmp_path / "m", toys.QUICK.with_settings(["pretrain.steps=1"])))
    whole = run(embed(model, scene.cube, tmp_path / "e.zarr", device="cpu"))
    assert whole.coarser is not None
    assert np.array_equal(whole.coarser.read(Window(0, 0, 13, 13)), whole.read(Window(0, 0, 64, 64))[2::5, 2::5])
    seen, without = (run(overview(each, most_px=170)) for each in (whole, replace(whole, coarser=None)))
    assert seen.step_px == 5 and seen.grid == without.grid == whole.coarser.grid
    assert np.array_equal(seen.values_YXD, without.values_YXD) and np.array_equal(seen.scale_YX, without.scale_YX)
    assert run(overview(whole, most_px=300)).step_px == 4, "another sampling comes from the whole"
    edges, strongest = run(edge_strength(whole)), run(edge_strength(whole, 5))
    assert strongest.shape == (13, 13) and strongest[12, 4] == edges[60:, 20:25].max()
    assert np.array_equal(strongest[:12, :12], edges[:60, :60].reshape(12, 5, 12, 5).max(axis=(1, 3)))


def test_embeddings_of_either_kind_may_be_replaced_and_nothing_else(tmp_path: Path) -> None:
    scene = toys.scene(size=32)
    model = run(pretrain([scene], tmp_path / "m", toys.QUICK.with_settings(["pretrain.steps=1"])))
    for mark in ("embedding/zarr.json", "embedding/.zarray", "holiday.jpg"):
        place = tmp_path / mark.replace("/", "_")
        (place / mark).parent.mkdir(parents=True)
        (place / mark).touch()
        job = embed(model, scene.cube, place, device="cpu", overwrite=True)
        if "embedding" in mark:
            assert run(job).shape == (32, 32) and not (place / "embedding" / "zarr.json").exists()
        else:
            with pytest.raises(OutputError, match="not a former result"):
                run(job)


def test_a_part_in_full_detail_compares_with_any_pixel_of_the_scene() -> None:
    values = some((11, 13))
    near = run(overview(embedding(values), window=Window(3, 4, 5, 6)))
    assert near.step_px == 1 and near.grid == toys.scene(size=16).cube.grid[3:8, 4:10]
    for pixel in ((4, 5), (10, 12)):
        expected = cosines(values, *pixel)[3:8, 4:10]
        assert np.allclose(similarity_to(near, *pixel), expected, atol=1e-5, equal_nan=True)
    assert np.allclose(cosine_at(near, 3, 4), cosines(values, 3, 4)[2:5, 3:6], atol=1e-5, equal_nan=True)


def test_the_cosine_of_a_window_ends_at_the_border_and_skips_what_is_between_dilated_taps() -> None:
    values = some((6, 8))
    seen = run(overview(embedding(values)))
    all_of_it = cosines(values, 1, 4)
    assert np.allclose(cosine_at(seen, 1, 4), all_of_it[:3, 3:6], atol=1e-5, equal_nan=True)
    corner = cosine_at(seen, 0, 0)
    assert np.isnan(corner[0]).all() and np.isnan(corner[:, 0]).all() and corner[1, 1] == pytest.approx(1, abs=1e-5)
    wide = cosine_at(seen, 2, 4, dilation=2)
    assert wide.shape == (5, 5) and np.isnan(wide[1::2]).all() and np.isnan(wide[:, 1::2]).all()
    assert np.allclose(wide[::2, ::2], cosines(values, 2, 4)[0:5:2, 2:7:2], atol=1e-5, equal_nan=True)


@pytest.mark.parametrize(
    "settings",
    [(), ("pretrain.loss.window=5", "pretrain.loss.dilation=2", "pretrain.loss.groups=2"),
     ("pretrain.loss.mode=reference", "pretrain.loss.normalise=false")],
)  # fmt: skip
def test_affinity_of_a_picked_pixel_is_that_of_the_loss(tmp_path: Path, settings: tuple[str, ...]) -> None:
    scene = toys.scene(size=32)
    model = run(pretrain([scene], tmp_path / "m", toys.QUICK.with_settings(["pretrain.steps=3", *settings])))
    seen = run(overview(run(embed(model, scene.cube, tmp_path / "e.zarr", device="cpu"))))
    head = WindowHead.open(model)
    assert head is not None and not head.echo
    whole = affinity(model, scene.cube, Window(0, 0, 32, 32), device="cpu").values
    size, dilation = head.options.window, head.options.dilation
    for row, col in ((9, 20), (0, 31)):
        taps = affinity_at(seen, row, col, head)[::dilation, ::dilation]
        steps = (np.arange(size) - size // 2) * dilation
        inside = np.logical_and.outer(*(((n + steps >= 0) & (n + steps < 32)) for n in (row, col)))
        expected = np.where(inside, whole[:, :, row, col], np.nan)
        assert np.allclose(taps, expected, atol=5e-3 * max(1, np.nanmax(np.abs(expected))), equal_nan=True)


def test_a_head_that_the_training_left_behind_is_called_an_echo(tmp_path: Path) -> None:
    scene, quick = toys.scene(size=32), toys.QUICK.with_settings(["pretrain.steps=1", "train.steps=1"])
    first = run(pretrain([scene], tmp_path / "first", quick))
    later = run(train([scene], tmp_path / "later", quick, start=first))
    head = WindowHead.open(later)
    assert head is not None and head.echo
    assert WindowHead.open(run(train([scene], tmp_path / "plain", quick))) is None


def test_the_untrained_network_is_the_one_that_training_began_with(tmp_path: Path) -> None:
    """With a learning rate of next to nothing a trained network is its beginning."""
    scene = toys.scene(size=32)
    still = toys.QUICK.with_settings(["pretrain.steps=1", "pretrain.learning_rate=1e-7"])
    model = run(pretrain([scene], tmp_path / "m", still))
    trained, before = (
        run(embed(model, scene.cube, tmp_path / f"{untrained}.zarr", untrained=untrained, device="cpu"))
        for untrained in (False, True)
    )
    assert before.facts["stage"] == "untrained"
    assert np.corrcoef(trained.values.values.ravel(), before.values.values.ravel())[0, 1] > 0.99


def test_principal_colours_tell_groups_apart_the_same_way_each_time() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(8, 3))
    kinds = rng.integers(0, 3, (12, 14))
    values = centres[:, kinds] + 0.05 * rng.normal(size=(8, 12, 14))
    values[:, 5, 6] = np.nan
    seen: Overview = run(overview(embedding(values)))
    colours = principal_colours(seen)
    means = np.array([colours[kinds == k].mean(axis=0) for k in range(3)])
    spread = max(colours[kinds == k].std(axis=0)[:2].max() for k in range(3))
    apart = min(np.abs(means[a] - means[b])[:2].max() for a, b in ((0, 1), (0, 2), (1, 2)))
    assert apart > 3 * spread
    assert np.array_equal(colours, principal_colours(seen))
    assert not colours[5, 6].any() and colours[0, 0, 3] == 255
    assert not principal_colours(run(overview(embedding(np.full((8, 3, 4), np.nan))))).any()
