"""Datasets in others' layouts, read back by our readers of these: pixels, dates, labels, folds and places."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from patchtoys import BANDS, NODATA, SMALL, cube, register

from cscl.cli import main
from cscl.data.datasets import Dataset, open_dataset
from cscl.errors import InputError, OutputError
from cscl.events import run
from cscl.patches.layouts import export_dataset
from cscl.patches.make import make_dataset

Made = Callable[..., Path]
ALL = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")


@pytest.fixture(scope="module")
def thirteen(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """All bands, patches of 12 pixels, finer labels."""
    out = tmp_path_factory.mktemp("d") / "all"
    options = replace(SMALL, patch_px=12, block_px=12, finer=4)
    return open_dataset(run(make_dataset([(cube(bands=ALL, name="a", shift=-0.1), register())], out, options)))


def test_pastis_holds_reflectance_without_offset_negatives_kept_and_what_has_no_data_missing(
    made: Made, tmp_path: Path
) -> None:
    ours = open_dataset(made())
    theirs = open_dataset(run(export_dataset(ours, "pastis", tmp_path / "p")))
    assert theirs.name == "PASTIS" and theirs.sizes == ours.sizes and theirs.folds == ours.folds
    negative = 0
    for mine, its in zip(ours.entries, theirs.entries, strict=True):
        a, b = mine.open(), its.open()
        assert mine.fold == its.fold
        np.testing.assert_array_equal(a.cube.dates, b.cube.dates)
        whole, there = a.cube.unmasked().read()
        lacking = (a.cube.stored.values == NODATA).any(1)
        values, valid = b.cube.read()
        np.testing.assert_array_equal(valid, ~lacking)
        clouded = ~there & ~lacking  # the layout knows no masks
        assert (values.transpose(0, 2, 3, 1)[clouded] != 0).all()
        np.testing.assert_allclose(values.transpose(0, 2, 3, 1)[there], whole.transpose(0, 2, 3, 1)[there], atol=1e-6)
        negative += int((values < 0).sum())
        known = a.labels.index()
        np.testing.assert_array_equal(b.labels.index(), np.where(known >= 0, known + 1, -1))
        assert len(np.unique(a.labels.parcel_ids)) == len(np.unique(b.labels.parcel_ids))
        assert b.cube.grid.crs == a.cube.grid.crs
        assert tuple(b.cube.grid.transform)[:6] == pytest.approx(tuple(a.cube.grid.transform)[:6], abs=0.02)
    assert negative > 100
    one, other = (d.moments(["1", "2"]) or ((), ()) for d in (ours, theirs))
    assert np.allclose(one, other, rtol=0.05), "the official use is the mean over folds"


def test_pastis_files_are_of_the_official_kinds(made: Made, tmp_path: Path) -> None:
    folder = run(export_dataset(open_dataset(made()), "pastis", tmp_path / "p"))
    image, target = np.load(folder / "DATA_S2/S2_10000.npy"), np.load(folder / "ANNOTATIONS/TARGET_10000.npy")
    assert (image.dtype, image.shape) == (np.int16, (4, 10, 8, 8)) and (target.dtype, target.shape) == (
        np.uint8,
        (3, 8, 8),
    )
    assert set(np.unique(target)) <= {1, 2, 3, 19}
    assert np.load(folder / "INSTANCE_ANNOTATIONS/INSTANCES_10000.npy").max() < 9
    fields = json.loads((folder / "metadata.geojson").read_text())["features"][0]["properties"]
    assert fields["ID_PATCH"] == 10000 and fields["dates-S2"]["0"] == 20210305 and fields["Fold"] in range(1, 6)
    assert set(json.loads((folder / "NORM_S2_patch.json").read_text())) == {f"Fold_{f}" for f in range(1, 6)}
    facts = json.loads((folder / "export.json").read_text())
    assert [(c["number"], c["code"]) for c in facts["classes"]] == [(1, "A"), (2, "B"), (3, "C")]
    assert facts["bands"] == list(BANDS) and "Clouds are in the images" in " ".join(facts["notes"])


def test_pickles_of_ten_bands_come_back_but_for_the_year(made: Made, tmp_path: Path) -> None:
    ours = open_dataset(made())
    theirs = open_dataset(run(export_dataset(ours, "pastis24", tmp_path / "p")))
    assert theirs.name == "PASTIS24" and theirs.sizes == ours.sizes
    by_name = {entry.name: entry for entry in theirs.entries}
    for number, mine in enumerate(ours.entries):
        a, b = mine.open(), by_name[f"{10000 + number}_0"]
        scene, there = b.open(), a.cube.read()[1]
        assert mine.fold == b.fold
        assert [str(d)[5:10] for d in a.cube.dates] == [str(d)[5:10] for d in scene.cube.dates]
        for one, other in ((a.cube.read()[0], scene.cube.read()[0]),):
            np.testing.assert_allclose(one.transpose(0, 2, 3, 1)[there], other.transpose(0, 2, 3, 1)[there], atol=1e-6)
        np.testing.assert_array_equal(scene.labels.index(), np.where(a.labels.index() >= 0, a.labels.index() + 1, -1))


@pytest.mark.parametrize("finer", [False, True])
def test_pickles_of_thirteen_bands_come_back_mixed_pixels_unknown(
    finer: bool, thirteen: Dataset, tmp_path: Path
) -> None:
    folder = run(export_dataset(thirteen, "t31tfm", tmp_path / "t"))
    ours = open_dataset(thirteen.path, "cscl_finer") if finer else thirteen
    theirs = open_dataset(folder, "t31tfm_x4" if finer else None)
    paths = {Path(p).stem: p for n in ("train", "eval") for p in (folder / f"paths/{n}_paths.csv").read_text().split()}
    by_corner = {}
    for entry in theirs.entries:
        x, y = entry.open().cube.grid.transform @ (0, 0)
        by_corner[x, y] = entry
    assert len(by_corner) == len(ours.entries) == len(paths)
    assert theirs.sizes == {"eval": ours.sizes["5"], "train": len(ours.entries) - ours.sizes["5"]}
    for mine, entry in zip(ours.entries, sorted(theirs.entries, key=lambda e: list(paths).index(e.name)), strict=False):
        content = pickle.loads((folder / paths[entry.name]).read_bytes())
        assert content["B02"].shape == (4, 12, 12) and content["B05"].shape == (4, 6, 6)
        assert content["B09"].shape == (4, 2, 2) and content["labels_x4"].shape == (48, 48) and mine.name
    order = [e for e in ours.entries if e.fold != "5"] + [e for e in ours.entries if e.fold == "5"]
    for mine, entry in zip(order, [*theirs.of(["train"]), *theirs.of(["eval"])], strict=True):
        a, b = mine.open(), entry.open()
        np.testing.assert_array_equal(a.cube.dates, b.cube.dates)
        values, valid = a.cube.unmasked().read()
        band = a.cube.bands.index("B08"), b.cube.bands.index("B08")
        both = b.cube.read()[1] & valid
        assert both.mean() > 0.5
        np.testing.assert_allclose(
            np.maximum(values[:, band[0]][both], 1e-4), b.cube.read()[0][:, band[1]][both], atol=1e-6
        )
        index = b.labels.index()
        np.testing.assert_array_equal(index[index >= 0], a.labels.index()[index >= 0])
        assert (index >= 0).sum() < (a.labels.index() >= 0).sum() or (a.labels.index() >= 0).sum() == 0


def test_what_a_layout_has_no_room_for_is_refused(made: Made, thirteen: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="toys has no B01, B09, B10, which t31tfm holds"):
        run(export_dataset(open_dataset(made()), "t31tfm", tmp_path / "t"))
    many = register(side_m=41)
    many = replace(many, table=many.table.assign(code=[f"C{n % 19:02}" for n in range(len(many))]))
    out = run(make_dataset([(cube(name="a"), many)], tmp_path / "d", SMALL))
    with pytest.raises(InputError, match=r"pastis has room for 18 classes, and d has 19. Make it with --legend"):
        run(export_dataset(open_dataset(out), "pastis", tmp_path / "p"))
    with pytest.raises(InputError, match="finer than its images"):
        run(export_dataset(open_dataset(thirteen.path, "cscl_finer"), "pastis", tmp_path / "p"))
    with pytest.raises(OutputError, match="exists already"):
        run(export_dataset(thirteen, "pastis", out))
    assert main(["export-dataset", str(tmp_path), "pastis", str(tmp_path / "p")]) == 2
