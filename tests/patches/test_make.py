"""A dataset as it was made: pixels, dates, folds and figures against slow references, and the same with any workers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from patchtoys import BANDS, NODATA, SMALL, cube, register
from shapely import contains_xy

from cscl.data.datasets import open_dataset
from cscl.errors import CSCLError, GridError, InputError, OutputError
from cscl.events import Progress, run
from cscl.grid import Window
from cscl.parcels import Parcels
from cscl.patches import store
from cscl.patches.check import check_folds
from cscl.patches.make import make_dataset
from cscl.patches.options import PatchOptions

FINE = replace(SMALL, finer=4)
Made = Callable[..., Path]


def digest(folder: Path) -> str:
    """Hash of the names and bytes of all files."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return total.hexdigest()


def test_patches_hold_the_images_as_stored_with_their_dates_places_and_validity(made: Made) -> None:
    dataset = open_dataset(made())
    seasons = {"a": cube(shift=-0.1), "b": cube(dates=3, seed=1, west=6e5, start="2022-02-01")}
    assert {len(entry.open().cube.dates) for entry in dataset.entries} == {3, 4}, "dates differ between scenes"
    for entry in dataset.entries[::5]:
        name, row, col = entry.name.split("_")
        part = seasons[name].select(window=Window(int(row), int(col), 8, 8))
        scene = entry.open()
        np.testing.assert_array_equal(scene.cube.stored.values, part.stored.values)
        np.testing.assert_array_equal(scene.cube.dates, part.dates)
        assert scene.cube.grid == part.grid and scene.cube.bands == BANDS
        for ours, theirs in zip(scene.cube.read(), part.read(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("layout", ["cscl", "cscl_finer"])
def test_labels_are_those_of_the_pixel_centres_and_void_where_a_parcel_is_of_another_fold(
    layout: str, made: Made
) -> None:
    dataset = open_dataset(made(FINE), layout)
    registers = {"a": register(), "b": register(seed=1, west=6e5)}
    fold_of: dict[tuple[str, int], set[str]] = {}
    void = 0
    for entry in dataset.entries:
        scene, name = entry.open(), entry.name[0]
        table = registers[name].table
        rows, cols = np.indices(scene.labels.ids.shape) + 0.5
        x, y = scene.labels.grid.transform @ (cols, rows)
        ids, codes = np.zeros(x.shape, int), np.full(x.shape, "")
        for shape, parcel, code in zip(table.geometry, table["parcel_id"], table["code"], strict=True):
            inside = contains_xy(shape, x, y)
            ids[inside], codes[inside] = parcel, code
        parcels = np.asarray(scene.labels.parcel_ids)
        here = parcels > 0
        np.testing.assert_array_equal(parcels[here], ids[here])
        np.testing.assert_array_equal(np.array(["A", "B", "C", ""])[scene.labels.index()], np.where(here, codes, ""))
        void += int(((ids > 0) & ~here).sum())
        assert here.any(), "a patch without labels is left out"
        for parcel in np.unique(parcels[here]):
            fold_of.setdefault((name, parcel), set()).add(entry.fold)
        assert not set(np.unique(ids[~here])) & set(np.unique(parcels[here])), "a parcel is void as a whole or not"
    assert void > 0 and {len(folds) for folds in fold_of.values()} == {1}


def test_the_result_is_the_same_bytes_whatever_the_number_of_workers(made: Made) -> None:  # B7
    assert digest(made(FINE, 1)) == digest(made(FINE, 2))


def test_workers_share_several_shards_and_agree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(store, "shard_patches", lambda scene, options: 3)
    pairs = [(cube(name="a"), register())]
    found = [run(make_dataset(pairs, tmp_path / str(n) / "d", SMALL, workers=n)) for n in (1, 3)]
    assert digest(found[0]) == digest(found[1])
    assert len(list((found[0] / store.STORE / "a" / "image" / "c").iterdir())) == 12, "36 patches, 3 a file"
    dataset = open_dataset(found[0])
    assert len({e.open().cube.stored.values.tobytes() for e in dataset.entries}) == len(dataset.entries) == 36


def test_statistics_are_those_of_all_usable_pixels_of_the_training_folds(made: Made) -> None:
    dataset = open_dataset(made())
    pixels = []
    for entry in dataset.of("12"):
        values, valid = entry.open().cube.read()
        pixels += [values[t, :, y, x] for t, y, x in zip(*np.nonzero(valid), strict=True)]
    mean, std = dataset.moments(["1", "2"]) or ((), ())
    assert mean == pytest.approx(np.mean(pixels, 0, float), rel=1e-6)
    assert std == pytest.approx(np.std(pixels, 0, dtype=float), rel=1e-6)
    one, _ = dataset.moments(["1"]) or ((), ())
    assert one != mean


def test_the_card_counts_classes_mixed_pixels_and_usable_dates(made: Made) -> None:
    folder = made(FINE)
    card = json.loads((folder / "dataset.json").read_text())
    fine = open_dataset(folder, "cscl_finer")
    for fold, told in card["folds"].items():
        counts: dict[int, int] = dict.fromkeys(fine.legend.ids, 0)
        for entry in fine.of([fold]):
            counts = {i: n + counts[i] for i, n in entry.open().labels.counts().items()}
        assert told["classes"] == {str(i): n for i, n in counts.items()}
        assert told["patches"] == fine.sizes[fold] and 0.3 < told["mixed"] / told["touched"] < 0.8
    scene = card["scenes"][0]
    assert [d["date"] for d in scene["dates"]] == [str(d)[:19] for d in cube().dates]
    assert scene["dates"][0]["usable"] == pytest.approx(1 - 1 / 8) and scene["dates"][2]["usable"] == 1
    words = (folder / "dataset.md").read_text()
    for said in ("Licence", "to be filled in", "2021-03-05", "| 1 | A |", "EPSG:32631", "lies in one fold only"):
        assert said in words


def test_mixed_pixels_are_those_that_their_largest_parcel_does_not_fill(made: Made) -> None:  # B3
    group = zarr.open_group(made() / store.STORE, mode="r")["a"]
    shapes = register().table.geometry
    grid = cube().grid
    number = 5
    row, col = int(group["row"][number]), int(group["col"][number])
    want = np.zeros((8, 8), bool)
    for r, c in np.ndindex(8, 8):
        pixel = grid[row + r : row + r + 1, col + c : col + c + 1].extent.geom
        share = max(shape.intersection(pixel).area for shape in shapes) / pixel.area
        want[r, c] = 1e-6 < share < 1 - 1e-6
    np.testing.assert_array_equal(group["mixed"][number], want)
    assert want.any() and not want.all()


def test_blocks_keep_folds_apart_on_the_ground_and_the_check_sees_when_they_are_not(made: Made, tmp_path: Path) -> None:
    folder = made()
    card = json.loads((folder / "dataset.json").read_text())
    found = run(check_folds(folder, card["scenes"], 8, 5))
    assert sum(found.parcels.values()) > 50 and all(found.parcels.values())
    group = zarr.open_group(folder / store.STORE, mode="r")
    fold, row, col = (group["a"][n][:] for n in ("fold", "row", "col"))
    blocks = {(r // 16, c // 16, f) for r, c, f in zip(row, col, fold, strict=True)}
    assert len(blocks) == len({block[:2] for block in blocks}) == 9

    spoilt = run(make_dataset([(cube(name="a"), register())], tmp_path / "d", SMALL))
    card = json.loads((spoilt / "dataset.json").read_text())
    group = zarr.open_group(spoilt / store.STORE, mode="r+")["a"]
    parcels, fold = group["parcel"][:], group["fold"][:]
    one = int(np.flatnonzero(fold != fold[0])[0])
    parcels[one, 0, 0] = parcels[0].max()
    group["parcel"][:] = parcels
    with pytest.raises(InputError, match="lies in the folds"):
        run(check_folds(spoilt, card["scenes"], 8, 5))
    group["parcel"][:] = 0
    group["row"][:], group["col"][:] = 0, 0
    with pytest.raises(InputError, match="show the same pixels"):
        run(check_folds(spoilt, card["scenes"], 8, 5))


def test_years_of_one_place_share_the_folds_of_their_blocks_and_parcels(tmp_path: Path) -> None:
    pairs = [
        (cube(name="y1"), register()),
        (cube(seed=3, start="2022-03-05", name="y2"), register(side_m=83, name="q")),
    ]
    out = run(make_dataset(pairs, tmp_path / "d", replace(SMALL, stride_px=4)))
    group = zarr.open_group(out / store.STORE, mode="r")
    folds = [
        {(r, c): f for r, c, f in zip(*(group[year][n][:] for n in ("row", "col", "fold")), strict=True)}
        for year in ("y1", "y2")
    ]
    assert len(folds[0]) == 9 * 9, "patches every 4 pixels of each block, none across its edge"
    both = set(folds[0]) & set(folds[1])
    assert both and all(folds[0][place] == folds[1][place] for place in both)


def test_images_that_lack_dates_places_or_masks_are_told_of_and_nothing_is_guessed(tmp_path: Path) -> None:
    season = cube(mask=False, name="a")
    season.stored[3] = NODATA  # a date without any image
    season.stored[:, :, :8, :8] = NODATA  # a patch without any
    lines = []
    job = make_dataset([(season, register())], tmp_path / "d", SMALL)
    out = run(job, lambda event: lines.append(getattr(event, "text", "")))
    said = " ".join(lines)
    assert "no pixel is usable on 2021-04-25" in said and "has no mask: clouds count" in said
    assert "1 patches without an image" in said
    dataset = open_dataset(out)
    assert "a_0_0" not in [entry.name for entry in dataset.entries] and len(dataset.entries) == 35
    assert not dataset.entries[0].open().cube.read()[1][3].any()


def few(parcels: Parcels, count: int) -> Parcels:
    return replace(parcels, table=parcels.table.iloc[:count])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"options": replace(SMALL, patch_px=64, block_px=None)}, "48 x 48 pixels, fewer than a patch of 64"),
        ({"options": replace(SMALL, block_px=24)}, "4 blocks of 24 pixels have labelled patches, too few for 5 folds"),
        ({"parcels": register(west=7e5)}, "No parcel of register lies on the images"),
        ({"parcels": replace(register(), class_column=None)}, "holds the crop with --class-column"),
        ({"parcels": few(register(), 3)}, "have labelled patches, too few"),
        ({"workers": 0}, "0 workers"),
    ],
)
def test_what_cannot_be_made_says_why(change: dict[str, object], words: str, tmp_path: Path) -> None:
    options, parcels, workers = (
        change.get(k, v) for k, v in (("options", SMALL), ("parcels", register()), ("workers", 1))
    )
    with pytest.raises(CSCLError, match=words):
        run(make_dataset([(cube(), parcels)], tmp_path / "d", options, workers=workers))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir()), "nothing half-made is left"


def test_scenes_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"b has the bands B04, a has B02 .*--bands"):
        run(make_dataset([(cube(name="a"), register()), (cube(bands=("B04",), name="b"), register())], tmp_path / "d"))
    with pytest.raises(InputError, match="holds no patch of 48"):
        PatchOptions(block_px=10)
    with pytest.raises(InputError, match="at most 2048 pixels"):
        PatchOptions(block_px=4096, finer=4)
    with pytest.raises(GridError, match="No parcel"):
        run(make_dataset([(cube(), register()), (cube(west=9e5), register())], tmp_path / "d", SMALL))


def test_a_stopped_or_failed_run_leaves_nothing_and_a_killed_one_says_to_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, out = [(cube(name="a"), register())], tmp_path / "d"
    job = make_dataset(pairs, out, SMALL)
    while not (tmp_path / "d.part").exists():
        assert isinstance(next(job), Progress)
    job.close()
    assert not list(tmp_path.iterdir())
    (tmp_path / "d.part").mkdir()
    with pytest.raises(
        OutputError, match=r"another run is making d, or one was killed. Wait for it, or add --overwrite"
    ):
        run(make_dataset(pairs, out, SMALL))
    run(make_dataset(pairs, out, SMALL, overwrite=True))
    with pytest.raises(OutputError, match="exists already"):
        run(make_dataset(pairs, out, SMALL))

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.PatchTally, "of", full)
    with pytest.raises(OutputError, match=r"The dataset .* cannot be written .*No space left.* Make room on the disk"):
        run(make_dataset(pairs, tmp_path / "e", SMALL))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d"]
