"""Models as ONNX: the same answers in onnxruntime, at any size, and what the QGIS plugin Deepness makes of them."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys

from cscl.cube import SITSCube
from cscl.errors import InputError, OutputError
from cscl.events import Note, run
from cscl.export.stack import write_stack
from cscl.grid import Window
from cscl.inference import onnx_file
from cscl.inference.onnx_file import Port, write_down
from cscl.inference.predict import predict
from cscl.inference.tiles import load_model
from cscl.inference.to_onnx import DeepnessOptions, Written, to_deepness, to_onnx
from cscl.training.segment import train

onnxruntime = pytest.importorskip("onnxruntime")
deepness_rules = importlib.import_module("deepness_rules")


def model_of(folder: Path, *settings: str) -> Path:
    recipe = toys.QUICK.with_settings(["train.steps=2", "train.validate_every=2", *settings])
    return run(train([toys.scene()], folder, recipe, device="cpu"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = toys.QUICK.with_settings(["train.steps=20", "train.validate_every=20"])
    return run(train([toys.scene()], tmp_path_factory.mktemp("models") / "model", recipe, device="cpu"))


@pytest.fixture(scope="module")
def plain(model: Path) -> Written:
    return run(to_onnx(model, model.parent / "model.onnx", licence="CC-BY-4.0"))


def holed(size: int) -> SITSCube:
    """A cube with pixels that no date saw."""
    cube = toys.scene(size=size, seed=3).cube
    cube.stored.values[:, :, 70:80, 5:30] = toys.NODATA
    return cube


def answers(path: Path, cube: SITSCube, model: Path, window: Window) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    values, valid = cube.read(window)
    values[~np.broadcast_to(valid[:, None], values.shape)] = np.nan  # missing may be anything
    day = load_model(model, "cpu").card.days_of(cube.dates)
    return session.run(None, {"reflectance": values[None], "day": day[None], "valid": valid[None]})


def test_the_plain_form_answers_as_torch_does_at_any_size(model: Path, plain: Written) -> None:
    assert plain.difference < 1e-5
    cube, loaded = holed(96), load_model(model, "cpu")
    few = cube.select(times=[0, 2, 4, 5])
    for some, window in ((cube, Window(0, 0, 96, 96)), (few, Window(8, 16, 37, 50)), (few, Window(64, 0, 32, 24))):
        probabilities, ids = answers(plain.path, some, model, window)
        expected, _, seen = loaded.answer(some, window)
        assert np.abs(probabilities[0] - expected).max() < 1e-5
        legend = loaded.card.legend
        assert (ids[0] == np.where(seen, np.array(legend.ids)[expected.argmax(0)], legend.ignore)).all()
    assert not seen.all()


def test_the_file_tells_what_a_user_must_know(model: Path, plain: Written) -> None:
    session = onnxruntime.InferenceSession(str(plain.path), providers=["CPUExecutionProvider"])
    assert [port.shape for port in session.get_inputs()] == [list(port.axes) for port in plain.inputs]
    assert plain.inputs[0].axes == ("batch", "time", 3, "y", "x")
    told = session.get_modelmeta().custom_metadata_map
    classes = json.loads(told["classes"])
    assert [(c["id"], c["name"], c["colour"]) for c in classes] == [
        (c.id, c.name, c.colour) for c in toys.LEGEND.classes
    ]
    assert json.loads(told["bands"]) == ["B03", "B04", "B08"] and told["licence"] == "CC-BY-4.0"
    assert told["margin_px"] == "20" and told["made_by"].startswith("cscl ") and "reflectance" in told["units"]
    assert sorted(p.name for p in plain.path.parent.iterdir()) == ["model", "model.onnx"]  # one file, and no draft


class Steered(torch.nn.Module):
    """A network that looks at its values to say what comes next, which a graph cannot."""

    def forward(self, x_BC: torch.Tensor) -> torch.Tensor:
        return x_BC if bool(x_BC.sum() > 0) else -x_BC


def test_what_a_graph_cannot_hold_is_said(tmp_path: Path) -> None:
    port = Port("x", ("batch", 4))
    with pytest.raises(
        InputError, match=r"The network steered cannot be written as ONNX \(.+\)\. Map with cscl predict"
    ):
        write_down(Steered(), (torch.ones(3, 4),), [port], [port], {}, tmp_path / "a.onnx", "The network steered")
    assert not list(tmp_path.iterdir())


def test_a_former_file_stays_unless_it_may_go(model: Path, tmp_path: Path) -> None:
    former = tmp_path / "a.onnx"
    former.write_text("former")
    with pytest.raises(OutputError, match="--overwrite"):
        run(to_onnx(model, former))
    with pytest.raises(InputError, match=r"ending \.onnx"):
        run(to_onnx(model, tmp_path / "a.bin"))
    job = to_onnx(model, former, overwrite=True)
    next(job)
    job.close()
    assert former.read_text() == "former" and len(list(tmp_path.iterdir())) == 1


def test_a_file_that_answers_otherwise_is_not_kept(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "TOLERANCE", 0.0)
    monkeypatch.setattr("cscl.inference.to_onnx.write_down", _spoilt)
    with pytest.raises(OutputError, match="onnxruntime cannot run"):
        run(to_onnx(model, tmp_path / "a.onnx"))
    assert not list(tmp_path.iterdir())


def _spoilt(graph: Any, sample: Any, inputs: Any, outputs: Any, described: Any, path: Path, what: str) -> Any:
    path.write_bytes(b"not a graph")
    return inputs


def test_what_is_missing_is_said(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    monkeypatch.setattr(onnx_file.importlib, "import_module", absent)
    with pytest.raises(InputError, match=r'needs onnxscript\. Install it: pip install "napari-cscl\[onnx\]"'):
        run(to_onnx(model, tmp_path / "a.onnx"))


def test_deepness_maps_as_predict_does(model: Path, tmp_path: Path) -> None:
    cube = holed(112)  # three steps of 16 pixels beside a tile of 64: Deepness adds nothing at the edges
    written, suited = run(to_deepness(model, cube, tmp_path / "d.onnx", DeepnessOptions(tile_px=64)))
    raster = run(write_stack(suited, tmp_path / "d.tif"))
    plugin = deepness_rules.Deepness(written.path)
    assert plugin.class_names == ["grassland", "winter wheat", "maïs", "no data"]
    assert plugin.overlap_px // 2 >= 20 and plugin.resolution_m == 10
    assert plugin.channels == 18 and json.loads(plugin.told["channels"])[:4] == [
        "2021-03-05_B03", "2021-03-05_B04", "2021-03-05_B08", "2021-04-07_B03",
    ]  # fmt: skip
    found = np.array([*toys.LEGEND.ids, toys.LEGEND.ignore])[plugin.map(raster)]
    prediction = run(predict(model, cube, tmp_path / "map", device="cpu"))
    assert (found == prediction.ids.values).all()
    assert (found[70:80, 5:30] == toys.LEGEND.ignore).all() and len(np.unique(found)) > 2


@pytest.mark.slow
def test_deepness_gets_the_mean_of_finer_pixels(tmp_path: Path) -> None:
    recipe = toys.QUICK.with_settings(["train.steps=2", "train.validate_every=2", "data.finer=2"])
    model = run(train([toys.finer(toys.scene())], tmp_path / "model", recipe, device="cpu"))
    events: list[Any] = []
    cube = toys.scene(size=64).cube
    written, _ = run(to_deepness(model, cube, tmp_path / "d.onnx", DeepnessOptions(tile_px=64)), events.append)
    assert any(isinstance(e, Note) and "2 times finer" in e.text for e in events)
    raster = run(write_stack(cube, tmp_path / "d.tif"))
    stored = deepness_rules.rasterio.open(raster).read().transpose(1, 2, 0)
    expected = load_model(model, "cpu").answer(cube, Window(0, 0, 64, 64))[0]
    mean = expected.reshape(3, 64, 2, 64, 2).mean(axis=(2, 4))
    assert np.abs(deepness_rules.Deepness(written.path).answer(stored)[:3] - mean).max() < 1e-5


def test_deepness_reads_square_pixels_in_metres(model: Path, tmp_path: Path) -> None:
    cube = toys.scene().cube
    with pytest.raises(InputError, match=r"looks 20 pixels far.*--tile-px"):
        run(to_deepness(model, cube, tmp_path / "d.onnx", DeepnessOptions(tile_px=32)))
    oblong = replace(cube, grid=toys.make_grid((64, 64), toys.Affine(10, 0, 5e5, 0, -12, 5e6), "EPSG:32631", "toy"))
    with pytest.raises(InputError, match=r"square pixels in metres.*gdalwarp"):
        run(to_deepness(model, oblong, tmp_path / "d.onnx"))


# One of each kind; what is written is compared with torch anyhow, and kept only if it is the same.
SMALL = {
    "compact": ["model.temporal=attention", "aggregate=true"],
    "tsvit": ["model.num_features=16", "model.temporal_depth=1", "model.spatial_depth=1"],
    "unet2d_clstm": ["model.num_features=1"],
    "unet3df": ["model.num_features=2"],
    "utae": ["model.num_features=4"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SMALL))
def test_networks_of_every_kind_are_written(name: str, tmp_path: Path) -> None:
    settings = [f"model.name={name}", *SMALL[name]]
    model = model_of(tmp_path / "model", *settings)
    written = run(to_onnx(model, tmp_path / "a.onnx"))
    batch, _, bands, *size = written.inputs[0].axes
    assert (batch, bands, size) == ("batch", 3, ["y", "x"]) and written.difference < 1e-4
