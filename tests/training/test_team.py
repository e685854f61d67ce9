"""One training by several processes that torchrun starts."""

import csv
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import cscl
from cscl.cli import main
from cscl.data.sample import sample_season

LIKE_ALONE = 1e-5
SETTINGS = {  # no norm over the batch, and no dropout: what must be the same however many there are
    "model": "tsvit", "model.num_features": 8, "model.heads": 1, "model.head_width": 4, "model.temporal_depth": 1,
    "model.spatial_depth": 1, "data.patch_px": 16, "pretrain.batch": 5, "train.steps": 6, "train.batch": 5,
    "train.joint_weight": 0.5, "train.joint_samples": "own", "train.validate_every": 6,
    "unlabelled.weight": 0.5, "unlabelled.date_dropout": 0.0,
}  # fmt: skip


def torchrun(processes: int, *words: str) -> subprocess.CompletedProcess[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m", "cscl.cli"]
    paths = os.pathsep.join([str(Path(cscl.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *launcher, *words], capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
    )  # fmt: skip


def words_to(out: Path) -> list[str]:
    season = sample_season()
    settings = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    words = ["train", str(season), str(season / "parcels.gpkg"), str(out), "--class-column", "crop", "--device", "cpu"]
    return [*words, *settings, "--quiet"]


def curve(folder: Path, name: str) -> list[float]:
    with (folder / "log.csv").open() as stream:
        return [float(row[name]) for row in csv.DictReader(stream) if row[name]]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process learns that torchrun would have started: it is this one."""
    out = tmp_path_factory.mktemp("alone") / "model"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with pytest.MonkeyPatch.context() as patch:
        told = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        for name, value in told.items():
            patch.setenv(name, value)
        assert main(words_to(out)) == 0
    return out


def test_two_processes_learn_what_one_learns_from_the_same_batches(alone: Path, tmp_path: Path) -> None:
    both = tmp_path / "model"
    done = torchrun(2, *words_to(both))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [str(both)], "one process alone has something to say"
    for name in ("loss", "validation_mean IoU"):
        assert np.allclose(curve(both, name), curve(alone, name), rtol=LIKE_ALONE), name
    for name in ("network", "head"):
        here, there = (load_file(folder / f"{name}.safetensors") for folder in (both, alone))
        assert all(np.allclose(here[key], there[key], atol=1e-4) for key in there), name
    assert [path.name for path in tmp_path.iterdir()] == ["model"], "the second process left nothing"


def test_a_mistake_ends_all_processes_in_a_sentence(alone: Path) -> None:
    season = sample_season()
    done = torchrun(2, "train", str(season), str(season / "parcels.gpkg"), str(alone), "--class-column", "crop")
    assert done.returncode != 0 and "--overwrite" in done.stderr and 'cscl/cli.py", line' not in done.stderr
