"""What contrastive losses are told: parcels, crops or both, edges hard or soft, in pre-training and beside classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import torch
import toys
from shapely.geometry import box

from cscl.card import ModelCard
from cscl.data.split import Side
from cscl.errors import CSCLError
from cscl.events import Measure, run
from cscl.grid import Window
from cscl.inference.embed import affinity
from cscl.inference.window import WindowHead
from cscl.losses.ground import Ground
from cscl.parcels import Parcels, rasterise
from cscl.products import Scene
from cscl.training.joint import samples_of
from cscl.training.prepare import Prepared, prepare
from cscl.training.pretrain import pretrain
from cscl.training.schemes import told_of
from cscl.training.segment import train


def polygons(off_px: float = 0.3) -> Scene:
    """The toy scene with its squares as polygons, which lie off the pixels; every second crop is unknown."""
    scene = toys.scene()
    codes = {c.id: c.code for c in toys.LEGEND.classes}
    rows = []
    for number in range(64):
        row, col = 8 * (number // 8), 8 * (number % 8)
        crop = codes.get(int(scene.labels.ids[row, col])) if number % 2 else None
        shape = box(5e5 + 10 * (col + off_px), 5e6 - 10 * (row + 8), 5e5 + 10 * (col + 8 + off_px), 5e6 - 10 * row)
        rows.append({"parcel_id": number + 1, "code": crop, "geometry": shape})
    parcels = Parcels(gpd.GeoDataFrame(rows, crs="EPSG:32631"), "squares")
    return Scene(scene.cube, rasterise(parcels, scene.cube.grid, toys.LEGEND))


def prepared(tmp_path: Path, *settings: str) -> Prepared:
    return run(prepare([polygons()], toys.QUICK.with_settings(settings), tmp_path / "m"))


def test_batches_tell_the_shares_of_their_own_pixels(tmp_path: Path) -> None:
    made = prepared(tmp_path, "pretrain.soft_edges=true")
    batch = made.patches(Side.TRAIN, "parcel", augment=True).draw(0, 8)
    known = batch.parcel_BHW >= 0
    assert batch.share_BNHW.shape == batch.parcels_BNHW.shape == (8, 2, 16, 16)
    assert torch.equal(batch.parcels_BNHW[:, 0][known], batch.parcel_BHW[known]), "0.3 px off, centres win"
    share = batch.share_BNHW.sum(1)
    assert share[known].unique().tolist() == pytest.approx([0.7, 1]) and not share[~known].any() and not known.all()
    assert 0.05 < ((batch.share_BNHW[:, 1] - 0.3).abs() < 1e-6).float().mean() < 0.15, "a column of each eight"
    assert made.patches(Side.TRAIN, "class", augment=True).draw(0, 2).share_BNHW.shape == (2, 0, 16, 16)


def test_what_is_told(tmp_path: Path) -> None:
    def told(*settings: str) -> torch.Tensor | Ground:
        made = prepared(tmp_path, *settings)
        pretraining = made.card.recipe.pretrain
        batch = made.patches(Side.TRAIN, pretraining.target, augment=False).draw(0, 2)
        return told_of(batch, pretraining)

    assert isinstance(told(), torch.Tensor) and told().max() > 3
    assert isinstance(told("pretrain.target=class"), torch.Tensor) and told("pretrain.target=class").max() <= 2
    both = told("pretrain.target=both", "pretrain.unknown_crops=ignored")
    assert isinstance(both, Ground) and both.crops_needed and both.share_BNHW is None
    assert both.crop_BHW is not None and both.crop_BHW.max() <= 2 < both.target_BHW.max()
    soft = told("pretrain.soft_edges=true")
    assert isinstance(soft, Ground) and soft.crop_BHW is None and soft.share_BNHW is not None


VARIANTS = [
    ["pretrain.target=both"],
    ["pretrain.target=both", "pretrain.unknown_crops=ignored", "pretrain.soft_edges=true"],
    ["pretrain.soft_edges=true", "pretrain.loss.form=sigmoid", "pretrain.loss.shift_px=1"],
    ["pretrain.loss.form=softmax", "pretrain.loss.more_dilations=[2, 3]", "pretrain.loss.more_windows=[3, 5]"],
]


@pytest.mark.parametrize("settings", VARIANTS)
def test_every_variant_learns_and_leaves_a_head_that_is_seen(settings: list[str], tmp_path: Path) -> None:
    gaps: list[float] = []
    recipe = toys.QUICK.with_settings(["pretrain.steps=60", *settings])
    note = lambda e: gaps.append(e.values["similarity_gap"]) if isinstance(e, Measure) else None  # noqa: E731
    folder = run(pretrain([polygons(0)], tmp_path / "m", recipe, device="cpu"), note)
    assert gaps[-1] > gaps[0] + 0.1
    card = ModelCard.open(folder)
    assert card.head == {"loss": {"name": "cscl", **recipe.pretrain.loss.options}, "target": recipe.pretrain.target}
    head, shown = WindowHead.open(folder), affinity(folder, toys.scene().cube, Window(8, 8, 16, 16), device="cpu")
    assert head is not None and (head.options.window, head.options.dilation) == (3, 1) and not head.echo
    assert shown.values.shape == (3, 3, 16, 16) and np.isfinite(shown.values).all()


def test_a_contrastive_loss_with_samples_of_its_own(tmp_path: Path) -> None:
    settings = ["train.joint_weight=0.5", "train.joint_samples=own", "pretrain.target=both", "train.steps=12"]
    made = prepared(tmp_path, *settings)
    batch = samples_of(made, made.card.recipe)(0, 4)
    crops, outlines = batch.map(lambda t: t[:2]), batch.map(lambda t: t[2:])
    assert len(batch.class_BHW) == 4 and not torch.equal(crops.parcel_BHW, outlines.parcel_BHW)
    assert (crops.class_BHW >= 0).any((1, 2)).all() and (outlines.parcel_BHW >= 0).any((1, 2)).all()
    seen: list[Measure] = []
    note = lambda e: seen.append(e) if isinstance(e, Measure) else None  # noqa: E731
    folder = run(train([polygons()], tmp_path / "own", toys.QUICK.with_settings(settings), device="cpu"), note)
    assert "similarity_gap" in seen[0].values and ModelCard.open(folder).head["target"] == "both"


@pytest.mark.parametrize(
    ("stage", "scene", "settings", "sentence"),
    [
        (pretrain, toys.scene(), ["pretrain.soft_edges=true"], "Give parcels as polygons"),
        (pretrain, polygons(), ["pretrain.soft_edges=true", "pretrain.target=class"], "crops alone are compared"),
        (
            train, polygons(),
            ["train.joint_weight=1.0", "train.joint_samples=own", "pretrain.target=class"], "of no use",
        ),
        (
            train, Scene(toys.scene().cube, replace(toys.scene().labels, parcel_ids=None)),
            ["train.joint_weight=1.0", "train.joint_samples=own"], "compares parcels, and the labels know none",
        ),
        (pretrain, polygons(), ["pretrain.target=both", "pretrain.loss.mode=reference"], "compares one map"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(
    stage: object, scene: Scene, settings: list[str], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(CSCLError, match=sentence):
        run(stage([scene], tmp_path / "m", toys.QUICK.with_settings(settings), device="cpu"))
    assert not any(tmp_path.iterdir())
