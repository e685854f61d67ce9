"""What a map takes is said beforehand, and nothing is written."""

from pathlib import Path

import pytest
import toys

from cscl.cli import main
from cscl.events import run
from cscl.inference.plan import plan_map
from cscl.inference.predict import PredictOptions
from cscl.training.segment import train


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = toys.QUICK.with_settings(["train.steps=2", "train.validate_every=2"])
    return run(train([toys.scene()], tmp_path_factory.mktemp("models") / "model", recipe, device="cpu"))


def test_a_plan_counts_tiles_bytes_and_time_and_writes_nothing(model: Path, tmp_path: Path) -> None:
    cube = toys.scene(size=136).cube
    options = PredictOptions(tile_px=64, probabilities=True)
    plan = run(plan_map(model, cube, tmp_path / "p", options, device="cpu"))
    assert plan.tiles == 9 and plan.core_px == 64
    assert plan.overlap == pytest.approx(((64 + 20 + 24) / 64) ** 2 - 1)
    assert plan.map_bytes == 136 * 136 * (3 + 3) and plan.stored_bytes == 136 * 136 * 6 * 3 * 2
    assert plan.pixel_s == max(plan.read_s, plan.compute_s) > 0
    assert plan.hours_per_million_ha == pytest.approx(plan.pixel_s * 1e8 / 3600), (
        "pixels of 10 m are a hundredth of a ha"
    )
    text = "\n".join(plan.iter_lines())
    assert "9, 64 pixels apart" in text and "30 tiles (a country)" in text
    assert not list(tmp_path.iterdir())


def test_no_processes_are_refused(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    season = Path(__file__).parents[2] / "sample_data" / "season"
    assert main(["predict", str(model), str(season), str(tmp_path / "p"), "--workers", "0"]) == 2
    assert "--workers at least 1" in capsys.readouterr().err
