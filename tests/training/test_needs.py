"""What a run takes, estimated; how near the estimate comes to measured runs stands in the docstring of `needs`."""

from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import toys

from cscl.errors import InputError
from cscl.events import run
from cscl.training.needs import OTHERS, needs
from cscl.training.pretrain import pretrain
from cscl.training.segment import train


def test_needs_grow_with_the_batch_and_are_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, seconds = toys.scene(size=32), count()
    monkeypatch.setattr("cscl.training.needs.time", SimpleNamespace(monotonic=lambda: next(seconds)))
    batches = [toys.QUICK.with_settings([f"train.batch={n}", "train.steps=1000"]) for n in (16, 256)]
    small, large = (run(needs(scene, tmp_path, recipe, pretraining=False, device="cpu")) for recipe in batches)
    assert 6 < (large.memory_bytes - OTHERS) / (small.memory_bytes - OTHERS) < 16, (
        "a validation look needs as much as 16"
    )
    assert (small.seconds, large.seconds) == (16 * 1000, 256 * 1000), "a sample takes a second by this clock"
    assert small.fits and small.memory_free > small.memory_bytes and small.device == "cpu"
    said = str(small)
    assert said.startswith("Needs about ") and " of memory (" in said and " free), " in said and said.endswith("'cpu'.")


def test_the_disk_that_is_said_holds_both_models_and_a_checkpoint(tmp_path: Path) -> None:
    scene, recipe = toys.scene(), toys.QUICK.with_settings(["pretrain.steps=2", "train.steps=2", "train.ema=0.9"])
    said = run(needs(scene, tmp_path / "not" / "there", recipe, device="cpu"))
    start = run(pretrain([scene], tmp_path / "start", recipe, device="cpu"))
    job = train([scene], tmp_path / "m", recipe, start=start, device="cpu")
    while next(job).__class__.__name__ != "Measure":
        pass
    job.close()
    taken = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert taken < said.disk_bytes < 4 * taken


def test_settings_that_cannot_be_built_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="multiple of"):
        run(needs(toys.scene(), tmp_path, toys.QUICK.with_settings(["model.name=unet3df", "data.patch_px=18"])))
