"""Arrays that know their grid: labels from rasters, scenes, and what a wrong file is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from cscl.errors import GridError, InputError, MissingError
from cscl.grid import Window, make_grid, refined
from cscl.legend import Legend
from cscl.products import AffinityMap, Embedding, LabelMap, Prediction, Scene

PLACE = Affine(10, 0, 600000, 0, -10, 5000000)
GRID = make_grid((4, 5), PLACE, "EPSG:32633", "toy")
IDS = np.array([[0, 0, 1, 8, 8], [0, 2, 2, 8, 255], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], np.uint8)


def write(path: Path, ids: NDArray[Any] = IDS, nodata: float | None = None, transform: Affine = PLACE) -> Path:
    height, width = ids.shape
    plain: dict[str, Any] = {"dtype": ids.dtype, "crs": "EPSG:32633", "transform": transform, "nodata": nodata}
    with rasterio.open(path, "w", "GTiff", width, height, 1, **plain) as out:
        out.write(ids, 1)
    return path


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (refined(GRID, 4), r"4 times coarser pixels than those wanted here\..* cscl coarsen"),
        (make_grid((2, 2), PLACE * Affine.scale(2), "EPSG:32633", "toy"), "the shapes differ"),
        (make_grid((1, 1), PLACE * Affine.scale(5), "EPSG:32633", "toy"), "the shapes differ"),
    ],
)
def test_labels_at_other_pixels_are_refused_with_what_helps(wanted: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(GridError, match=sentence):
        LabelMap.open(write(tmp_path / "labels.tif"), wanted)


def test_labels_finer_than_wanted_are_refused_with_what_helps(tmp_path: Path) -> None:
    fine = write(tmp_path / "fine.tif", IDS.repeat(2, 0).repeat(2, 1), transform=PLACE * Affine.scale(1 / 2))
    with pytest.raises(GridError, match=r"2 times finer .* --set data.finer=2"):
        LabelMap.open(fine, GRID)
    assert LabelMap.open(fine, refined(GRID, 2)).ids.shape == (8, 10)


def test_labels_of_a_scene_may_be_finer_by_a_whole_number() -> None:
    class Images:
        grid, name = GRID, "toy images"

    def labels(grid: Any) -> LabelMap:
        return LabelMap(np.zeros(grid.shape, np.uint8), grid, Legend.from_codes([0, 1]))

    assert [Scene(Images(), labels(refined(GRID, times))).finer for times in (1, 2, 4)] == [1, 2, 4]
    for shape, scale in (((6, 7), 2 / 3), ((8, 9), 1 / 2), ((2, 2), 2)):
        with pytest.raises(GridError, match="the shapes differ"):
            Scene(Images(), labels(make_grid(shape, PLACE * Affine.scale(scale), "EPSG:32633", "toy")))


def test_without_nodata_every_id_is_a_class(tmp_path: Path) -> None:
    labels = LabelMap.open(write(tmp_path / "labels.tif"), GRID)
    assert labels.legend.ids == (0, 1, 2, 8, 255)
    assert labels.legend.ignore == 65535
    assert labels.counts() == {0: 8, 1: 6, 2: 2, 8: 3, 255: 1}
    assert labels.counts(IDS == 8) == {0: 0, 1: 0, 2: 0, 8: 3, 255: 0}
    np.testing.assert_array_equal(labels.ids, IDS)
    assert labels.index(Window(1, 3, 2, 2)).tolist() == [[3, 4], [1, 1]]


@pytest.mark.parametrize(
    ("declared", "given", "unknown"), [(255, None, 255), (None, 0, 0), (255, 8, 8), (-9999, None, -9999)]
)
def test_nodata_is_unknown(tmp_path: Path, declared: int | None, given: int | None, unknown: int) -> None:
    ids = IDS if unknown >= 0 else np.where(IDS == 2, np.int16(unknown), IDS)
    labels = LabelMap.open(write(tmp_path / "labels.tif", ids, nodata=declared), GRID, nodata=given)
    assert unknown not in labels.legend.ids
    np.testing.assert_array_equal(labels.index() < 0, unknown == ids)
    np.testing.assert_array_equal(labels.ids == labels.legend.ignore, unknown == ids)


def test_a_legend_chooses_the_classes(tmp_path: Path) -> None:
    labels = LabelMap.open(write(tmp_path / "labels.tif"), GRID, Legend.from_codes([8, 1]))
    assert labels.counts() == {1: 6, 8: 3}
    np.testing.assert_array_equal(labels.ids, np.where(np.isin(IDS, [1, 8]), IDS, 255))


def test_labels_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="There is no file"):
        LabelMap.open(tmp_path / "none.tif", GRID)
    for ids, place, kind, sentence in [
        (IDS, PLACE @ Affine.translation(1, 0), GridError, "labels .*a.tif: the rasters lie 1 pixels apart"),
        (IDS[:3], PLACE, GridError, "the shapes differ"),
        (IDS.astype(np.float32), PLACE, InputError, "holds float32 values, not whole class ids"),
        (IDS.astype(np.int16) - 1, PLACE, InputError, "class ids from -1 to 254"),
        (np.full_like(IDS, 77), PLACE, InputError, "holds no class: all its pixels are 77"),
    ]:
        with pytest.raises(kind, match=sentence):
            nodata = 77 if (ids == 77).all() else None
            LabelMap.open(write(tmp_path / "a.tif", ids, nodata, place), GRID)
    rasterio.open(tmp_path / "two.tif", "w", "GTiff", 5, 4, 2, "EPSG:32633", PLACE, "uint8").close()
    with pytest.raises(InputError, match="has 2 bands"):
        LabelMap.open(tmp_path / "two.tif", GRID)
    with pytest.raises(GridError, match="do not fit a grid"):
        LabelMap(IDS[:3], GRID, Legend.from_codes([1]))


def test_other_folders_are_no_products(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="is not a prediction"):
        Prediction.open(tmp_path)
    with pytest.raises(MissingError, match="is not an embedding"):
        Embedding.open(tmp_path)
    for text in ("{}", "[]", "{"):
        (tmp_path / "prediction.json").write_text(text)
        with pytest.raises(InputError, match=r"prediction.json is damaged"):
            Prediction.open(tmp_path)


def test_files_of_two_maps_are_no_prediction(tmp_path: Path) -> None:
    (tmp_path / "prediction.json").write_text(json.dumps({"legend": Legend.from_codes([1, 8]).to_dict()}))
    for name in ("classes.tif", "confidence.tif"):
        write(tmp_path / name)
    assert Prediction.open(tmp_path).probabilities is None
    write(tmp_path / "probabilities.tif")  # one band, two classes
    with pytest.raises(InputError, match=r"probabilities.tif is not of the same map"):
        Prediction.open(tmp_path)


def test_edge_strength_leaves_the_centre_out() -> None:
    similarity = np.zeros((3, 3, 4, 5), np.float32)
    similarity[1, 1] = 1
    similarity[0, 0] = 0.8
    edge = AffinityMap(similarity, GRID).edge_strength()
    assert edge.shape == (4, 5)
    np.testing.assert_allclose(edge, 1 - 0.8 / 8)
