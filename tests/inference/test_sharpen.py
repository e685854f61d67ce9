"""Sharpening: probabilities flow within what is alike, tiles change nothing, and models keep what it needs."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys

from cscl.card import affinity_folder
from cscl.errors import InputError
from cscl.events import run
from cscl.grid import Window
from cscl.inference.embed import affinity
from cscl.inference.predict import PredictOptions, predict
from cscl.inference.sharpen import sharpener
from cscl.training.finetune import FinetuneOptions, finetune
from cscl.training.pretrain import pretrain
from cscl.training.segment import train


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A pre-trained model and the one trained from it."""
    folder = tmp_path_factory.mktemp("models")
    recipe = toys.QUICK.with_settings(
        ["pretrain.steps=5", "pretrain.loss.window=5", "train.steps=20", "train.validate_every=20"]
    )
    start = run(pretrain([toys.scene()], folder / "start", recipe, device="cpu"))
    return start, run(train([toys.scene()], folder / "trained", recipe, start=start, device="cpu"))


def slow(p_KYX: Any, s_kkYX: Any, seen_YX: Any) -> Any:
    """Average by loops."""
    half, out = s_kkYX.shape[0] // 2, np.zeros_like(p_KYX)
    for y, x in np.ndindex(seen_YX.shape):
        total = 0.0
        for a, b in np.ndindex(s_kkYX.shape[:2]):
            v, u = y + a - half, x + b - half
            inside = 0 <= v < seen_YX.shape[0] and 0 <= u < seen_YX.shape[1]
            if (a, b) == (half, half) or (inside and seen_YX[y, x] and seen_YX[v, u]):
                weight = np.exp(s_kkYX[a, b, y, x])
                out[:, y, x] += weight * p_KYX[:, v, u]
                total += weight
        out[:, y, x] /= total
    return out


def test_a_round_is_the_slow_loop_and_what_was_not_seen_takes_no_part(models: tuple[Path, Path]) -> None:
    cube = toys.scene(24).cube
    sharp, _ = sharpener(models[0], cube, 1, 1, 0.2, "cpu")
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), (24, 24)).transpose(2, 0, 1).astype(np.float32)
    seen = rng.random((24, 24)) > 0.2
    s = affinity(models[0], cube, Window(0, 0, 24, 24), device="cpu").values / 0.2
    found = sharp(p, seen, Window(0, 0, 24, 24))
    np.testing.assert_allclose(found, slow(p.astype(float), s.astype(float), seen), atol=1e-5)
    np.testing.assert_array_equal(found[:, ~seen], p[:, ~seen])


def test_a_sharpened_map_does_not_depend_on_its_tiles_and_says_by_what(
    models: tuple[Path, Path], tmp_path: Path
) -> None:
    cube = toys.scene(96).cube
    maps = []
    for tile_px in (32, 256):
        options = PredictOptions(tile_px=tile_px, blend_px=8, probabilities=True, sharpen=3, sharpen_by=str(models[0]))
        maps.append(run(predict(models[1], cube, tmp_path / f"{tile_px}", options, device="cpu")))
    assert maps[0].probabilities is not None and maps[1].probabilities is not None
    difference = maps[0].probabilities.values.astype(int) - maps[1].probabilities.values
    assert np.abs(difference).max() <= 1, "rounding to bytes"
    plain = run(predict(models[1], cube, tmp_path / "plain", device="cpu"))
    assert (plain.ids.values != maps[0].ids.values).any()
    assert maps[0].facts["sharpened"] == 3 and maps[0].facts["sharpened_by"] == str(models[0])
    by_itself = run(predict(models[1], cube, tmp_path / "kept", PredictOptions(probabilities=True, sharpen=3)))
    np.testing.assert_array_equal(by_itself.ids, maps[1].ids)
    assert by_itself.facts["sharpened_by"] == str(models[1] / "start")


def test_what_knows_affinity_is_handed_down(models: tuple[Path, Path], tmp_path: Path) -> None:
    start, trained = models
    kept = trained / "start"
    assert affinity_folder(start) == start and affinity_folder(trained) == kept
    for name in ("network.safetensors", "head.safetensors", "card.json", "split_1.tif"):
        assert (kept / name).read_bytes() == (start / name).read_bytes()
    region = np.zeros((64, 64), bool)
    region[8:40, 8:40] = True
    short, scene = toys.QUICK.with_settings(["train.steps=2"]), toys.scene()
    jointly = run(train([scene], tmp_path / "joint", short.with_settings(["train.joint_weight=0.5"]), start=start))
    assert affinity_folder(jointly) == jointly and not (jointly / "start").exists()
    for parent, knows in ((trained, start), (jointly, jointly)):
        tuned = run(finetune(scene, parent, tmp_path / f"{parent.name}-tuned", region, FinetuneOptions(steps=1)))
        again = run(train([scene], tmp_path / f"{parent.name}-again", short, start=tuned))
        for model in (tuned, again):
            found = affinity_folder(model)
            assert found == model / "start" and not (found / "start").exists()
            assert (found / "network.safetensors").read_bytes() == (knows / "network.safetensors").read_bytes()


def test_a_model_without_is_refused_and_half_an_order_too(models: tuple[Path, Path], tmp_path: Path) -> None:
    cube = toys.scene(32).cube
    older = tmp_path / "older"
    shutil.copytree(models[1], older, ignore=shutil.ignore_patterns("start"))
    with pytest.raises(InputError, match="--sharpen-by"):
        run(predict(older, cube, tmp_path / "m", PredictOptions(sharpen=1), device="cpu"))
    assert list(tmp_path.iterdir()) == [older]
    with pytest.raises(InputError, match="--sharpen 3"):
        PredictOptions(sharpen_by="x")
