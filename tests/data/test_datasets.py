"""Published datasets: what of their official layouts becomes a scene, and what is said where something is missing."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import fake_datasets as fake
import numpy as np
import pytest
from torch import from_numpy
from torch.nn.functional import interpolate

from cscl.data.datasets import Dataset, Folds, datasets, is_dataset, open_dataset
from cscl.data.datasets._parts import enlarged, numbered
from cscl.data.split import Side
from cscl.errors import CSCLError, InputError, MissingError, UnknownNameError
from cscl.grid import pixel_size_m

MAKE: dict[str, Callable[[Path], Path]] = {
    "pastis": fake.pastis,
    "pastis24": fake.pastis24,
    "mtlcc": fake.mtlcc,
    "t31tfm": fake.t31tfm,
    "cscl": fake.own,
}
BY_NAME = {"t31tfm_x4", "cscl_finer"}  # only opened by their names


@pytest.mark.parametrize("name", sorted(set(datasets.names()) - BY_NAME))
def test_each_layout_is_recognised_and_its_entries_are_scenes_with_known_places_of_their_own(
    name: str, tmp_path: Path
) -> None:
    assert not is_dataset(tmp_path)
    dataset = open_dataset(MAKE[name](tmp_path / "d"))
    assert is_dataset(tmp_path / "d") and dataset.path == tmp_path / "d"
    split = Folds.parse(dataset)
    assert len(split.entries(Side.TRAIN)) and len(split.entries(Side.TEST))
    for entry in dataset.entries:
        scene = entry.open()
        values, valid = scene.cube.read()
        assert valid.all() and 0.05 < values.mean() < 0.5, "reflectance"
        assert pixel_size_m(scene.cube.grid) == (10, 10)
        assert scene.labels.legend is dataset.legend and (scene.labels.index() >= 0).any()
        assert scene.cube.dates[0] < scene.cube.dates[-1]
    lines = list(dataset.iter_lines())
    assert f"{len(dataset.entries)} entries" in lines[0] and any("published" in line for line in lines)


def test_pastis_void_is_unknown_background_is_a_class_and_dates_and_places_are_true(tmp_path: Path) -> None:
    dataset = open_dataset(fake.pastis(tmp_path))
    assert (dataset.name, dataset.folds, len(dataset.legend)) == ("PASTIS", "1,2,3/4/5", 19)
    assert dataset.sizes == dict.fromkeys("12345", 1)
    scene = dataset.entries[1].open()
    target = np.load(tmp_path / "ANNOTATIONS" / "TARGET_10001.npy")[0]
    np.testing.assert_array_equal(scene.labels.index(), np.where(target == 19, -1, target.astype(int)))
    stored = np.load(tmp_path / "DATA_S2" / "S2_10001.npy")
    np.testing.assert_allclose(scene.cube.read()[0], stored * 1e-4, rtol=1e-6)
    assert str(scene.cube.dates[0])[:10] == "2018-09-22" and len(scene.cube.dates) == 6
    assert scene.cube.grid.crs.epsg == 32631
    assert tuple(scene.cube.grid.transform)[:6] == pytest.approx((10, 0, 500300, 0, -10, 5100240), abs=0.02)
    parcels = np.load(tmp_path / "ANNOTATIONS" / "ParcelIDs_10001.npy")
    assert scene.labels.parcel_ids is not None and len(np.unique(scene.labels.parcel_ids)) == len(np.unique(parcels))
    mean, std = dataset.moments(["1", "2", "3"]) or ((), ())
    assert mean == pytest.approx([0.2502] * 10) and std == pytest.approx([0.1] * 10)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dates-S2": None}, r"no dates-S2: it has ID_PATCH, Fold, TILE, the official one ID_PATCH, Fold, TILE, dates"),
        ({"Fold": None}, "no Fold"),
        ({"dates-S2": "tomorrow"}, "not of the form"),
    ],
)
def test_pastis_metadata_that_lack_something_say_what(change: dict[str, None], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        open_dataset(fake.pastis(tmp_path / "d", **change))


def test_pastis_damage_is_told_file_by_file(tmp_path: Path) -> None:
    folder = fake.pastis(tmp_path / "d")
    dataset = open_dataset(folder)
    image, target = folder / "DATA_S2" / "S2_10000.npy", folder / "ANNOTATIONS" / "TARGET_10000.npy"
    image.write_bytes(image.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"S2_10000.npy is damaged"):
        dataset.entries[0].open()
    np.save(image, np.array([print], object), allow_pickle=True)
    with pytest.raises(InputError, match=r"S2_10000.npy is damaged"):
        dataset.entries[0].open()
    image.unlink()
    with pytest.raises(MissingError, match=r"S2_10000.npy, which metadata.geojson lists"):
        dataset.entries[0].open()
    np.save(target.with_name("TARGET_10001.npy"), np.full((3, 24, 24), 20, np.uint8))
    with pytest.raises(InputError, match="classes from 20 to 20"):
        dataset.entries[1].open()
    (folder / "NORM_S2_patch.json").write_text(json.dumps({"Fold_1": {"mean": [1]}}))
    with pytest.raises(InputError, match="does not hold mean and std of 10 bands"):
        dataset.moments(["1"])
    shutil.rmtree(folder / "ANNOTATIONS")
    with pytest.raises(MissingError, match="has no ANNOTATIONS"):
        open_dataset(folder, "pastis")


def test_pastis24_keeps_days_apart_and_takes_fold_1_statistics_only_where_it_trains(tmp_path: Path) -> None:
    folder = fake.pastis24(tmp_path)
    path = folder / "pickle24x24" / "10000_0.pickle"
    content = pickle.loads(path.read_bytes())
    content["doy"][1] = content["doy"][0]  # autumns of two years
    fake.save(path, content)
    dataset = open_dataset(folder)
    assert dataset.folds == "1,2,3/4/5" and dataset.sizes == dict.fromkeys("12345", 2)
    scene = next(entry for entry in dataset.entries if entry.name == "10000_0").open()
    assert len(scene.cube.dates) == 7
    first = int(np.argsort(content["doy"], kind="stable")[-2])
    np.testing.assert_allclose(scene.cube.read()[0][-2], content["img"][first] * 1e-4, rtol=1e-6)
    assert dataset.moments(["2", "3", "4"]) is None and dataset.moments(["1", "2"]) is not None
    for fold in range(1, 4):
        (folder / "fold-paths" / f"fold_{fold}_paths.csv").unlink()
    assert open_dataset(folder).folds == "123/4/5"
    shutil.rmtree(folder / "fold-paths")
    with pytest.raises(MissingError, match=r"fold_1_paths.csv to fold_5_paths.csv"):
        open_dataset(folder, "pastis24")


def test_mtlcc_reads_both_kinds_of_pickles_alike_and_drops_padded_dates_and_other_years(tmp_path: Path) -> None:
    one, other = (open_dataset(fake.mtlcc(tmp_path / str(deepsat), deepsat=deepsat)) for deepsat in (False, True))
    assert one.sizes == {"eval": 2, "train": 4} and len(one.legend) == 17
    a, b = (dataset.entries[0].open() for dataset in (one, other))
    assert len(a.cube.dates) == 6 and str(a.cube.dates[0])[:4] == "2016"
    np.testing.assert_array_equal(a.cube.read()[0], b.cube.read()[0])
    np.testing.assert_array_equal(a.labels.ids, b.labels.ids)
    assert set(np.unique(a.labels.ids)) == {0, 22, 26} and a.labels.legend.ignore == 0


def test_t31tfm_masks_shared_pixels_and_rare_classes_and_lies_in_lambert_93(tmp_path: Path) -> None:
    dataset = open_dataset(fake.t31tfm(tmp_path))
    scene = dataset.entries[1].open()
    index = scene.labels.index()
    assert (index[0, :2] == -1).all() and set(np.unique(index)) <= {-1, 0, 6}
    assert scene.cube.grid.crs.epsg == 2154 and str(scene.cube.dates[0])[:4] == "2017"
    assert tuple(scene.cube.grid.transform)[:6] == (10, 0, 800000, 0, -10, 6599520)
    fine = open_dataset(tmp_path, "t31tfm_x4").entries[1].open()
    assert fine.finer == 4
    np.testing.assert_array_equal(fine.labels.ids, scene.labels.ids.repeat(4, 0).repeat(4, 1))


@pytest.mark.parametrize("name", ["pastis24", "mtlcc", "t31tfm"])
def test_a_pickle_without_a_key_says_which_and_what_the_layout_has(name: str, tmp_path: Path) -> None:
    dataset = open_dataset(MAKE[name](tmp_path))
    path = next(p for p in sorted(tmp_path.rglob("*.pickle")) if p.stem == dataset.entries[0].name)
    content = pickle.loads(path.read_bytes())
    for key in set(content) - {"year", "groups"} - {k for k in content if k.endswith("_x4")}:
        fake.save(path, {k: v for k, v in content.items() if k != key})
        with pytest.raises(InputError, match=r"has no '.*'. It has .*; the official layout has"):
            dataset.entries[0].open()
        fake.save(path, {**content, key: np.asarray(content[key])[..., :-1]})
        with pytest.raises(CSCLError):
            dataset.entries[0].open()


@pytest.mark.parametrize("name", ["pastis24", "t31tfm"])
def test_days_and_classes_that_are_none_are_refused(name: str, tmp_path: Path) -> None:
    dataset = open_dataset(MAKE[name](tmp_path))
    path = next(p for p in sorted(tmp_path.rglob("*.pickle")) if p.stem == dataset.entries[0].name)
    content = pickle.loads(path.read_bytes())
    fake.save(path, {**content, "doy": content["doy"] + 300})
    with pytest.raises(InputError, match="days of the year that are none"):
        dataset.entries[0].open()
    fake.save(path, {**content, "labels": np.full_like(content["labels"], np.nan, float)})
    if name == "pastis24":
        with pytest.raises(InputError, match="classes from nan to nan, not 0 to 19"):
            dataset.entries[0].open()
    else:
        assert (dataset.entries[0].open().labels.index() == -1).all()


def test_lists_do_not_lead_out_of_the_dataset(tmp_path: Path) -> None:
    folder = fake.mtlcc(tmp_path)
    (folder / "eval_paths.csv").write_text("../../etc/passwd.pickle\n")
    with pytest.raises(InputError, match="lies outside the dataset"):
        open_dataset(folder)


def test_coarse_bands_are_enlarged_as_the_published_code_does_and_no_data_stays_none() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(1, 9000, (3, 4, 5)).astype(np.uint16)
    for factor in (2, 6):
        shape = (4 * factor, 5 * factor)
        want = interpolate(from_numpy(coarse.astype(np.float32))[None], size=shape, mode="bilinear")[0].numpy()
        np.testing.assert_allclose(enlarged(coarse, shape), want, atol=0.51)
    coarse[:, 1, 1] = 0
    fine = enlarged(coarse, (8, 10))
    assert (fine[:, 1:5, 1:5] == 0).all() and (fine[:, :, 6:] > 0).all()
    with pytest.raises(InputError, match="official layout"):
        enlarged(coarse, (9, 10))
    np.testing.assert_array_equal(numbered(np.array([[0, 7_000_000_000], [5, 0]])), [[0, 2], [1, 0]])


def test_folds_are_parsed_checked_and_published_by_default(tmp_path: Path) -> None:
    dataset = open_dataset(fake.pastis(tmp_path))
    assert Folds.parse(dataset).train == ("1", "2", "3")
    split = Folds.parse(dataset, "2, 3,4/5/1")
    assert (split.train, split.validation, split.test) == (("2", "3", "4"), ("5",), ("1",))
    assert Folds.parse(dataset, "1//5").entries(Side.VALIDATION) == ()
    for text, error, words in [
        ("1,2,3", InputError, "training/validation/test"),
        ("1,2/2/5", InputError, "Fold 2 is to train and to be held back"),
        ("/4/5", InputError, "No fold is to train"),
        ("1,2,3/4/6", UnknownNameError, "Unknown fold '6'"),
    ]:
        with pytest.raises(error, match=words):
            Folds.parse(dataset, text)


def test_a_folder_of_no_known_layout_is_told_what_is_known(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no known dataset. Understood are: patches .*; MTLCC .*; PASTIS or PASTIS-R"):
        open_dataset(tmp_path)
    with pytest.raises(MissingError, match="no folder"):
        open_dataset(tmp_path / "nothing")
    with pytest.raises(UnknownNameError, match="Did you mean 'pastis'"):
        open_dataset(tmp_path, "pastiss")


@pytest.mark.real
def test_the_official_layout_without_dates_says_so_and_with_them_is_read(real_data: Path, tmp_path: Path) -> None:
    sample = real_data / "pastis_layout" / "PASTIS-R"
    with pytest.raises(InputError, match="has no dates-S2"):
        open_dataset(sample)
    dataset = _with_dates(sample, tmp_path / "d")
    assert dataset.name == "PASTIS-R" and any("Sentinel-1" in note for note in dataset.notes)
    for entry in dataset.entries:
        scene = entry.open()
        assert scene.cube.grid.crs.epsg is None and "no place on earth" in scene.cube.notes[0]
        assert scene.cube.read()[0].shape[1:] == (10, 32, 32) and scene.labels.parcel_ids is not None


def _with_dates(sample: Path, folder: Path) -> Dataset:
    """Copy the sample and give its metadata the dates that the official file has."""
    shutil.copytree(sample, folder)
    path = folder / "metadata.geojson"
    table = json.loads(path.read_text())
    for feature in table["features"]:
        count = len(np.load(folder / "DATA_S2" / f"S2_{feature['properties']['ID_PATCH']}.npy"))
        feature["properties"]["dates-S2"] = {str(i): 20180917 + i for i in range(count)}
    path.chmod(0o644)
    path.write_text(json.dumps(table))
    return open_dataset(folder)
