"""Networks and schedules at equal time on simulated neighbours: how the default was chosen.

Each candidate gets the same seconds of one process: its step time is measured first, alone, and turned into a number
of steps, so that the learning-rate schedule fits and a busy machine changes nothing but the waiting. Training and
test scenes are whole, different places of one simulated season. All runs are printed, then means and spreads.

    python tests/benchmarks/compare_models.py --seconds 60 --seeds 3
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from cscl.cube import Radiometry, SITSCube
from cscl.data.network import build_network, make_loss
from cscl.data.split import Side
from cscl.events import run
from cscl.inference.predict import predict
from cscl.metrics.boundary import class_boundary
from cscl.metrics.confusion import ConfusionMatrix
from cscl.parcels import Parcels, rasterise
from cscl.products import Scene
from cscl.recipe import Recipe
from cscl.simulate import SeasonOptions, simulate
from cscl.training.loop import Learner, _step
from cscl.training.prepare import prepare
from cscl.training.pretrain import pretrain
from cscl.training.segment import train

# Name -> settings, and the share of the time that goes into pre-training by parcel.
CANDIDATES: dict[str, tuple[list[str], float]] = {
    "compact, knots": ([], 0.0),
    "compact, attention": (["model.temporal=attention"], 0.0),
    "compact, knots, CSCL by parcel first": ([], 0.3),
    "UNet3Df": (["model.name=unet3df", "train.learning_rate=1e-3"], 0.0),
}
COMMON = ["data.validation_share=0.0", "data.test_share=0.0"]


def neighbour(place: int, size_px: int, parcel_size: str) -> Scene:
    """A simulated scene with the declared crops of its register."""
    import xarray as xr

    season = run(simulate(SeasonOptions(size_px=size_px, seed=3, mosaic_seed=place, parcel_size=parcel_size)))
    stored = xr.DataArray(
        season.reflectance,
        dims=("time", "band", "y", "x"),
        coords={"time": season.dates.astype("datetime64[ns]"), "band": list(season.bands)},
    )
    clear = xr.DataArray(~season.cloudy, dims=("time", "y", "x"))
    count = len(season.dates)
    radiometry = Radiometry((1e-4,) * count, (0.0,) * count, 0, "simulated")
    cube = SITSCube(stored, season.grid, radiometry, clear, f"place {place}")
    table = season.parcels.assign(code=season.parcels["crop"])
    return Scene(cube, rasterise(Parcels(table, f"place {place}"), season.grid, season.legend))


def step_seconds(scenes: list[Scene], recipe: Recipe) -> float:
    """Time of a training step, drawing included; the median of ten after three."""
    prepared = run(prepare(scenes, recipe, Path("m")))
    network, card = build_network(prepared.card)
    loss = make_loss(recipe.train.loss, "logits", len(card.legend))
    learner = Learner.start(torch.nn.ModuleDict({"network": network}), recipe.train)
    patches = prepared.patches(Side.TRAIN, "class", augment=True)
    times = []
    for _ in range(13):
        start = time.process_time()
        _step(
            learner,
            recipe.train,
            patches.draw,
            lambda b: loss(network(b.x_BTCHW, b.day_BT, b.valid_BTHW)[0], b.class_BHW),
            torch.device("cpu"),
            0,
        )
        times.append(time.process_time() - start)
    return float(np.median(times[3:]))


def score(scenes: list[Scene], test: Scene, recipe: Recipe, steps: int, first: float) -> tuple[float, float, float]:
    """Train and map; overall accuracy, mean IoU and accuracy at class boundaries of the test scene, in per cent."""
    with tempfile.TemporaryDirectory() as name:
        folder, start = Path(name), None
        before = round(steps * first / 1.3)  # a contrastive step takes about 1.3 times as long
        settings = [f"train.steps={round(steps * (1 - first))}", f"pretrain.steps={max(1, before)}"]
        recipe = recipe.with_settings(settings)
        if first:
            start = run(pretrain(scenes, folder / "start", recipe, device="cpu"))
        model = run(train(scenes, folder / "model", recipe, start=start, device="cpu"))
        guess = run(predict(model, test.cube, folder / "map", device="cpu")).ids.values
    truth, edge = test.labels.index(), class_boundary(test.labels.index())
    guess = test.labels.legend.to_index(guess)
    matrix = ConfusionMatrix.of(truth, guess, len(test.labels.legend))
    at_edge = (guess == truth)[edge & (truth >= 0)].mean()
    return 100 * matrix.overall_accuracy, 100 * matrix.mean_iou, 100 * float(at_edge)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="CPU seconds a run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=list(CANDIDATES), help="Candidates to run")
    parser.add_argument("--parcel-size", default="small")
    args = parser.parse_args()
    scenes = [neighbour(place, 128, args.parcel_size) for place in (1, 2, 3)]
    test = neighbour(9, 160, args.parcel_size)
    for name in args.only:
        settings, first = CANDIDATES[name]
        recipe = Recipe().with_settings([*COMMON, *settings])
        steps = max(2, round(args.seconds / step_seconds(scenes, recipe)))
        rows = []
        for seed in range(args.seeds):
            rows.append(score(scenes, test, recipe.with_settings([f"seed={seed}"]), steps, first))
            print(
                f"{name:<38} seed {seed} {steps:>5} steps  OA %.2f  mIoU %.2f  class boundary %.2f" % rows[-1],
                flush=True,
            )
        mean, spread = np.mean(rows, 0), np.std(rows, 0, ddof=1) if len(rows) > 1 else np.zeros(3)
        text = "  ".join(f"{m:.2f} ± {s:.2f}" for m, s in zip(mean, spread, strict=True))
        print(f"{name:<38} mean ± sd of {len(rows)}:  {text}", flush=True)


if __name__ == "__main__":
    main()
