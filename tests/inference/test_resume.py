"""Maps that were interrupted: what is done is kept, goes on with the same pixels, and is refused where it differs."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import toys

from cscl.cube import SITSCube
from cscl.errors import CSCLError, InputError, OutputError
from cscl.events import Finish, Job, Progress, run
from cscl.inference import unfinished
from cscl.inference.mapper import Mapper
from cscl.inference.parts import MapPart
from cscl.inference.predict import PredictOptions, predict
from cscl.inference.tiles import Model
from cscl.products import Prediction
from cscl.training.segment import train

TILED = PredictOptions(tile_px=32, blend_px=8, probabilities=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, and the map of the first in one go."""
    folder = tmp_path_factory.mktemp("models")
    quick = toys.QUICK.with_settings(["train.steps=2", "train.validate_every=2"])
    for name, seed in (("model", 0), ("other", 1)):
        run(train([toys.scene()], folder / name, quick.with_settings([f"seed={seed}"]), device="cpu"))
    run(predict(folder / "model", cube(), folder / "map", TILED, device="cpu"))
    return folder


@pytest.fixture
def blending(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles that disagree where they meet, for want of a margin, and blend."""
    monkeypatch.setattr(Model, "margin_px", 0)
    monkeypatch.setattr(Mapper, "blend_px", 8)


def cube() -> SITSCube:
    return toys.scene(size=90, seed=3).cube


def same_pixels(one: Path, other: Path) -> bool:
    for name in ("classes.tif", "confidence.tif", "margin.tif", "probabilities.tif"):
        with rasterio.open(one / name) as a, rasterio.open(other / name) as b:
            if not np.array_equal(a.read(), b.read()):
                return False
    return True


def stopped_after(tiles: int, job: Job[Prediction]) -> None:
    for event in job:
        if isinstance(event, Progress) and event.stage == "mapping" and event.done == tiles:
            break
    job.close()


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Numbers of the tiles that went through the network."""
    numbers: list[int] = []
    parts = Mapper.parts

    def counted(self: Mapper, asked: list[int], sample: object) -> list[MapPart]:
        numbers.extend(asked)
        return parts(self, asked, sample)  # type: ignore[arg-type]

    monkeypatch.setattr(Mapper, "parts", counted)
    yield numbers


def test_a_stopped_map_goes_on_with_the_same_pixels(folder: Path, tmp_path: Path, computed: list[int]) -> None:
    stopped_after(5, predict(folder / "model", cube(), tmp_path / "p", TILED, device="cpu", keep=True))
    assert not (tmp_path / "p").exists() and len(list((tmp_path / "p.part" / "tiles").glob("*.npz"))) == 5
    with pytest.raises(OutputError, match="--resume"):
        run(predict(folder / "model", cube(), tmp_path / "p", TILED, device="cpu"))
    computed.clear()
    going_on = replace(TILED, tile_px=0)  # whatever the memory says now, tiles stay as they were
    run(predict(folder / "model", cube(), tmp_path / "p", going_on, device="cpu", resume=True))
    assert computed == [5, 6, 7, 8]
    assert same_pixels(tmp_path / "p", folder / "map")
    assert [p.name for p in tmp_path.iterdir()] == ["p"] and len(list((tmp_path / "p").iterdir())) == 5


def test_a_map_that_was_stopped_with_all_its_tiles_only_lacks_its_files(
    folder: Path, tmp_path: Path, computed: list[int]
) -> None:
    stopped_after(9, predict(folder / "model", cube(), tmp_path / "p", TILED, device="cpu", keep=True))
    assert not (tmp_path / "p").exists()
    computed.clear()
    run(predict(folder / "model", cube(), tmp_path / "p", TILED, device="cpu", resume=True))
    assert not computed and same_pixels(tmp_path / "p", folder / "map")


def test_tiles_that_blend_make_the_same_map_when_one_of_them_comes_later(
    folder: Path, tmp_path: Path, blending: None
) -> None:
    run(predict(folder / "model", cube(), tmp_path / "whole", TILED, device="cpu"))
    stopped_after(7, predict(folder / "model", cube(), tmp_path / "p", TILED, device="cpu", keep=True))
    (tmp_path / "p.part" / "tiles" / "000004.npz").unlink()
    run(predict(folder / "model", cube(), tmp_path / "p", TILED, device="cpu", resume=True))
    assert same_pixels(tmp_path / "p", tmp_path / "whole")
    assert not same_pixels(tmp_path / "p", folder / "map"), "nothing was blended"


KILLED = """
import os, signal, sys
import toys
from pathlib import Path
from cscl.events import run
from cscl.inference.predict import PredictOptions, predict
from cscl.inference.parts import MapPart
save, saved = MapPart.save, []
def dying(self, path):
    if len(saved) == 4:
        path.with_suffix(".partial").write_bytes(b"half a til")
        os.kill(os.getpid(), signal.SIGKILL)
    saved.append(path)
    save(self, path)
MapPart.save = dying
options = PredictOptions(tile_px=32, blend_px=8, probabilities=True)
run(predict(Path(sys.argv[1]), toys.scene(size=90, seed=3).cube, sys.argv[2], options, device="cpu"))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL on this system")
def test_a_killed_map_goes_on_at_the_tile_it_was_at(folder: Path, tmp_path: Path, computed: list[int]) -> None:
    paths = os.pathsep.join([str(Path(toys.__file__).parent), *sys.path])
    command = [sys.executable, "-c", KILLED, str(folder / "model"), str(tmp_path / "p")]
    ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    run(predict(folder / "model", cube(), tmp_path / "p", TILED, device="cpu", resume=True))
    assert computed == [4, 5, 6, 7, 8]
    assert same_pixels(tmp_path / "p", folder / "map")


def test_only_the_same_map_is_gone_on_with(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "p"
    with pytest.raises(CSCLError, match=r"no unfinished map at .*p\.part"):
        run(predict(folder / "model", cube(), out, TILED, device="cpu", resume=True))
    stopped_after(3, predict(folder / "model", cube(), out, TILED, device="cpu", keep=True))
    for model, images, options, what in (
        ("other", cube(), TILED, "the model differ"),
        ("model", cube().select(times=[0, 1, 2, 3, 5]), TILED, "dates"),
        ("model", cube(), replace(TILED, probabilities=False), "--probabilities differ"),
        ("model", cube(), replace(TILED, tile_px=48), "--tile-px differ"),
    ):
        with pytest.raises(InputError, match=f"begun otherwise.*{what}.*--overwrite"):
            run(predict(folder / model, images, out, options, device="cpu", resume=True))
    run(predict(folder / "model", cube(), out, TILED, device="cpu", resume=True))
    assert same_pixels(out, folder / "map")


def test_a_tile_that_a_crash_has_damaged_is_made_again(folder: Path, tmp_path: Path, computed: list[int]) -> None:
    stopped_after(5, predict(folder / "model", cube(), tmp_path / "p", TILED, device="cpu", keep=True))
    computed.clear()
    tiles = sorted((tmp_path / "p.part" / "tiles").iterdir())
    tiles[1].write_bytes(tiles[1].read_bytes()[:-100])
    tiles[3].write_bytes(b"")
    run(predict(folder / "model", cube(), tmp_path / "p", TILED, device="cpu", resume=True))
    assert computed == [1, 3, 5, 6, 7, 8]
    assert same_pixels(tmp_path / "p", folder / "map")


def test_a_full_disk_leaves_what_is_done(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = MapPart.save

    def full(self: MapPart, path: Path) -> None:
        if path.stem == "000004":
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, path)

    monkeypatch.setattr(MapPart, "save", full)
    with pytest.raises(OutputError, match=r"No space left.*Make room.*--resume"):
        run(predict(folder / "model", cube(), tmp_path / "p", TILED, device="cpu", keep=True))
    with pytest.raises(OutputError, match="No space left"):
        run(predict(folder / "model", cube(), tmp_path / "q", TILED, device="cpu"))
    assert [path.name for path in tmp_path.iterdir()] == ["p.part"]
    monkeypatch.undo()
    run(predict(folder / "model", cube(), tmp_path / "p", TILED, device="cpu", resume=True))
    assert same_pixels(tmp_path / "p", folder / "map")


def test_what_reading_ahead_or_the_user_throws_comes_through(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = predict(folder / "model", cube(), tmp_path / "p", TILED, device="cpu")
    next(job)
    with pytest.raises(Finish):
        job.throw(Finish())
    read = Mapper.read

    def spoilt(self: Mapper, numbers: list[int]) -> object:
        if numbers[0] == 2:
            raise InputError("the file is cut short")
        return read(self, numbers)

    monkeypatch.setattr(Mapper, "read", spoilt)
    with pytest.raises(InputError, match="cut short"):
        run(predict(folder / "model", cube(), tmp_path / "p", TILED, device="cpu"))
    assert not list(tmp_path.iterdir())


def test_a_former_map_stays_until_the_new_one_is_whole(folder: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "p", {"device": "cpu", "overwrite": True}
    run(predict(folder / "other", cube(), out, TILED, device="cpu"))
    stopped_after(2, predict(folder / "model", cube(), out, TILED, **again, keep=True))
    assert not same_pixels(out, folder / "map")
    run(predict(folder / "model", cube(), out, TILED, **again, resume=True))
    assert same_pixels(out, folder / "map")


def test_a_tile_that_comes_late_does_not_spoil_the_end(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that were told to stop may bring one while the tiles are removed."""
    removed, rmtree = [], unfinished.shutil.rmtree

    def late(path: Path, **how: bool) -> None:
        removed.append(path)
        if len(removed) == 1:
            raise OSError(39, "Directory not empty")
        rmtree(path, **how)

    monkeypatch.setattr(unfinished, "LATE_S", 0.0)
    monkeypatch.setattr(unfinished.shutil, "rmtree", late)
    run(predict(folder / "model", cube(), tmp_path / "p", TILED, device="cpu"))
    assert same_pixels(tmp_path / "p", folder / "map") and [p.name for p in tmp_path.iterdir()] == ["p"]
