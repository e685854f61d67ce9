"""A map made by several processes: the same pixels as by one, also when one of them is killed on the way."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import rasterio
import toys

from cscl.errors import InputError, OutputError
from cscl.events import Progress, run
from cscl.inference import cluster as module
from cscl.inference.predict import PredictOptions, Workers, predict
from cscl.training.segment import train

distributed = pytest.importorskip("distributed")
METHOD = "forkserver" if sys.platform == "linux" else "spawn"
OTHERS = ["torch", "xarray", "dask.array", "zarr", "rasterio", "geopandas", "odc.geo.xr", "distributed"]
TILED = PredictOptions(tile_px=32, blend_px=8, probabilities=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = toys.QUICK.with_settings(["train.steps=2", "train.validate_every=2"])
    return run(train([toys.scene()], tmp_path_factory.mktemp("models") / "model", recipe, device="cpu"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two processes of this machine that outlive the maps; what others wrote is loaded once, where that can be."""
    with dask.config.set({"distributed.worker.multiprocessing-method": METHOD}):
        if METHOD == "forkserver":
            distributed.utils.get_mp_context().set_forkserver_preload(OTHERS)
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, dashboard_address=None, memory_limit=0, silence_logs=50
        ) as cluster:
            yield cluster


def pixels(folder: Path) -> list[np.ndarray]:
    found = []
    for name in ("classes.tif", "confidence.tif", "margin.tif", "probabilities.tif"):
        with rasterio.open(folder / name) as src:
            found.append(src.read())
    return found


@pytest.mark.slow
def test_a_map_of_several_processes_survives_the_loss_of_one(model: Path, tmp_path: Path, cluster: Any) -> None:
    cube = toys.scene(size=200, seed=3).cube
    alone = run(predict(model, cube, tmp_path / "alone", TILED, device="cpu"))
    killed = []
    workers = Workers(address=cluster.scheduler_address)
    for event in predict(model, cube, tmp_path / "p", TILED, device="cpu", workers=workers):
        if isinstance(event, Progress) and event.stage == "mapping" and event.done >= 3 and not killed:
            killed.append(cluster.workers[0].pid)
            os.kill(killed[0], signal.SIGKILL)
    assert killed and alone.path is not None
    for here, there in zip(pixels(tmp_path / "p"), pixels(alone.path), strict=True):
        assert np.array_equal(here, there)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "p"]


@pytest.mark.slow
def test_a_map_that_was_stopped_is_gone_on_with_by_others(model: Path, tmp_path: Path, cluster: Any) -> None:
    cube, workers = toys.scene(size=90, seed=3).cube, Workers(address=str(tmp_path / "scheduler.json"))
    Path(workers.address).write_text(json.dumps({"address": cluster.scheduler_address}))
    run(predict(model, cube, tmp_path / "alone", TILED, device="cpu"))
    job = predict(model, cube, tmp_path / "p", TILED, device="cpu", workers=workers, keep=True)
    for event in job:
        if isinstance(event, Progress) and event.stage == "mapping" and event.done == 4:
            break
    job.close()
    assert 4 <= len(list((tmp_path / "p.part" / "tiles").glob("*.npz"))) <= 9
    run(predict(model, cube, tmp_path / "p", TILED, device="cpu", resume=True))
    for here, there in zip(pixels(tmp_path / "p"), pixels(tmp_path / "alone"), strict=True):
        assert np.array_equal(here, there)


@pytest.mark.slow
def test_what_goes_wrong_elsewhere_comes_as_a_sentence(
    model: Path, tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cube, workers = toys.scene(size=90).cube, Workers(address=cluster.scheduler_address)
    monkeypatch.setattr(module, "_told", lambda folder, model: (module.cscl.__version__, False, True))
    with pytest.raises(OutputError, match=r"does not see .*p\.part.*disk that all share"):
        run(predict(model, cube, tmp_path / "p", TILED, device="cpu", workers=workers))
    with pytest.raises(InputError, match=r"No scheduler answers at tcp://127\.0\.0\.1:9"):
        monkeypatch.setattr(module, "ANSWER_S", 1)
        run(predict(model, cube, tmp_path / "p", TILED, device="cpu", workers=Workers(address="tcp://127.0.0.1:9")))
    assert not list(tmp_path.iterdir())


def test_without_the_package_the_remedy_is_told(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r'needs distributed.*pip install "napari-cscl\[cluster\]"'):
        run(predict(model, toys.scene().cube, tmp_path / "p", TILED, device="cpu", workers=Workers(2)))
    with pytest.raises(InputError, match="either"):
        Workers()
