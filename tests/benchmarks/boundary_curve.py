"""What CSCL pre-training does to the error by distance to the class edge, and what mixed pixels explain of that error.

Two regimes on simulated neighbours: crops known of all parcels, and of few (the outlines of all are known in both).
Each with and without CSCL by parcel before, at equal time: pre-training takes its share of the steps away. Training
and test scenes are whole, different places of one simulated season. All runs are printed, then means and spreads.

    python tests/benchmarks/boundary_curve.py --steps 600 --seeds 3 --out curves.csv
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from cscl.cube import Radiometry, SITSCube
from cscl.events import run
from cscl.inference.explore import explore
from cscl.inference.predict import predict
from cscl.parcels import Parcels, rasterise
from cscl.products import LabelMap, Scene
from cscl.recipe import Recipe
from cscl.report.kinds import Kind
from cscl.simulate import SeasonOptions, simulate
from cscl.training.pretrain import pretrain
from cscl.training.segment import train

STEP_RATIO = 1.3  # a contrastive step takes about 1.3 times as long
PRETRAINED = 0.3  # share of the time
LIMITS_M = (10.0, 20.0, 30.0, 50.0, 80.0)
COMMON = ["data.validation_share=0.0", "data.test_share=0.0"]


def neighbour(place: int, size_px: int, parcel_size: str) -> Scene:
    """A simulated scene with the declared crops of its register."""
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


def few(scene: Scene, share: float, seed: int) -> Scene:
    """The scene with the crops of a share of its parcels, drawn at random; outlines stay."""
    labels = scene.labels
    assert labels.parcel_ids is not None
    known = np.unique(labels.parcel_ids[labels.parcel_ids > 0])
    kept = np.random.default_rng(seed).choice(known, round(share * len(known)), replace=False)
    ids = np.where(np.isin(labels.parcel_ids, kept), labels.ids, labels.legend.ignore)
    return Scene(scene.cube, dataclasses.replace(labels, ids=ids.astype(labels.ids.dtype)))


def curve(model: Path, cube: SITSCube, labels: LabelMap, parcels: Parcels, folder: Path) -> pd.DataFrame:
    """Pixels and right ones by class of distance, all and mixed, of the map that a model makes of a scene."""
    atlas = run(explore(run(predict(model, cube, folder, device="cpu")), labels, parcels=parcels))
    table = atlas.curve[["from_m", "to_m", "pixels", "right"]].copy()
    assert atlas.mixed_YX is not None and atlas.options.distances_m == LIMITS_M
    for name, wanted in (("mixed", atlas.kinds_YX > 0), ("mixed_right", atlas.kinds_YX == Kind.RIGHT)):
        table[name] = np.bincount(atlas.bins_YX[wanted & atlas.mixed_YX], minlength=len(table))
    return table


def map_of(scenes: list[Scene], recipe: Recipe, steps: int, first: bool, test: Scene, parcels: Parcels) -> pd.DataFrame:
    """Train in one of the two ways, map the test scene, and count."""
    share = PRETRAINED if first else 0.0
    settings = [
        f"train.steps={round(steps * (1 - share))}",
        f"pretrain.steps={max(1, round(steps * share / STEP_RATIO))}",
    ]
    recipe = recipe.with_settings(settings)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = run(pretrain([s[0] for s in scenes], folder / "start", recipe, device="cpu")) if first else None
        model = run(train([s[1] for s in scenes], folder / "model", recipe, start=start, device="cpu"))
        return curve(model, test.cube, test.labels, parcels, folder / "map")


def summary(runs: pd.DataFrame) -> str:
    """Accuracy by distance, per cent, mean and standard deviation over seeds, the paired difference, mixed pixels."""
    runs = runs.assign(accuracy=100 * runs.right / runs.pixels)
    runs["pure"] = 100 * (runs.right - runs.mixed_right) / (runs.pixels - runs.mixed)
    runs["among_mixed"] = 100 * runs.mixed_right / runs.mixed.where(runs.mixed > 0)
    lines = []
    for regime, part in runs.groupby("regime", sort=False):
        lines.append(
            f"{regime}\n  metres        mixed   without        with           with - without   pure / mixed, without"
        )
        for (low, high), rows in part.groupby(["from_m", "to_m"]):
            by = rows.pivot(index="seed", columns="first", values="accuracy")
            plain, gain = rows[~rows["first"]], by[True] - by[False]
            mean, spread = by.mean(), by.std()
            lines.append(
                f"  {low:>3.0f}-{high:<8.0f} {100 * plain.mixed.sum() / plain.pixels.sum():5.1f} %  "
                f"{mean[False]:5.2f} ± {spread[False]:4.2f}  {mean[True]:5.2f} ± {spread[True]:4.2f}   "
                f"{gain.mean():+5.2f} ± {gain.std():4.2f}      "
                f"{plain.pure.mean():5.2f} / {plain.among_mixed.mean():5.2f}"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600, help="Steps without pre-training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.1, help="Share of parcels whose crop is known, where few are")
    parser.add_argument("--parcel-size", default="standard")
    parser.add_argument("--size", type=int, default=192, help="Side of the test scene, pixels")
    parser.add_argument("--out", type=Path, help="CSV of all runs")
    args = parser.parse_args()
    test = neighbour(9, args.size, args.parcel_size)
    season = run(simulate(SeasonOptions(size_px=args.size, seed=3, mosaic_seed=9, parcel_size=args.parcel_size)))
    parcels = Parcels(season.parcels.assign(code=season.parcels["crop"]), "place 9")
    whole = [neighbour(place, 128, args.parcel_size) for place in (1, 2, 3)]
    rows = []
    for seed in range(args.seeds):
        recipe = Recipe().with_settings([*COMMON, f"seed={seed}"])
        for regime, known in (("all crops", 1.0), ("few crops", args.share)):
            scenes = [(scene, few(scene, known, 10 * seed + i)) for i, scene in enumerate(whole)]
            for first in (False, True):
                found = map_of(scenes, recipe, args.steps, first, test, parcels)
                rows.append(found.assign(regime=regime, seed=seed, first=first))
                shares = " ".join(f"{100 * a:.2f}" for a in found.right / found.pixels)
                print(f"{regime}  seed {seed}  {'with' if first else 'without':<8} {shares}", flush=True)
                if args.out:
                    pd.concat(rows).to_csv(args.out, index=False)
    print(summary(pd.concat(rows)))


if __name__ == "__main__":
    main()
