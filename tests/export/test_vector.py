"""Parcels judged by their pixels, against slow loops that look at one parcel at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from affine import Affine
from shapely.geometry import Polygon, box

from cscl.errors import GridError, OutputError
from cscl.events import Progress, run
from cscl.export import vector
from cscl.export.vector import COLUMNS, export_parcels, parcel_table
from cscl.grid import GeoBox
from cscl.legend import CropClass, Legend
from cscl.parcels import Parcels, rasterise
from cscl.products import Prediction

TWO = Legend((CropClass(4, "A", "Apple", "#117733"), CropClass(0, "B", "Beet", "#ddcc77")))


def slow(prediction: Prediction, parcels: Parcels) -> list[dict[str, object]]:
    """Judge each parcel by looking at every pixel of it and its eight neighbours."""
    wide = prediction.grid.pad(1)
    burnt = rasterise(parcels, wide, prediction.legend).parcel_ids
    ids, confidence = prediction.ids.values, prediction.confidence.values
    order = list(prediction.legend.ids)
    id_of = prediction.legend.id_by_code()
    rows = []
    for parcel, code in zip(parcels.table["parcel_id"], parcels.table["code"], strict=True):
        inner, edge = [], []
        held = int((burnt[1:-1, 1:-1] == parcel).sum())
        for y, x in np.argwhere(burnt[1:-1, 1:-1] == parcel):
            if ids[y, x] != prediction.legend.ignore:
                (inner if (burnt[y : y + 3, x : x + 3] == parcel).all() else edge).append((y, x))
        voting = inner or edge
        votes = Counter(int(ids[p]) for p in voting)
        ranked = sorted(votes, key=lambda i: (-votes[i], order.index(i)))
        n = len(inner) + len(edge)
        rows.append(
            {
                "pred_id": ranked[0] if ranked else None,
                "purity": votes[ranked[0]] / len(voting) if ranked else np.nan,
                "second": ranked[1] if len(ranked) > 1 else None,
                "second_share": votes[ranked[1]] / len(voting) if len(ranked) > 1 else np.nan,
                "conf_mean": np.mean([confidence[p] / 250 for p in voting]) if voting else np.nan,
                "conf_p10": np.percentile([confidence[p] / 250 for p in voting], 10, method="inverted_cdf")
                if voting
                else np.nan,
                "boundary_err": np.mean([ids[p] != id_of[code] for p in edge]) if edge and code in id_of else np.nan,
                "n_px": n,
                "n_px_interior": len(inner),
                "status": "void" if not held else "cloudy" if 2 * n < held else "small" if n < 4 else "ok",
            }
        )
    return rows


def test_against_slow_loops(prediction: Prediction, parcels: Parcels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector, "WINDOW_PX", 96)
    table = run(parcel_table(prediction, parcels))
    expected = pd.DataFrame(slow(prediction, parcels))
    assert table["pred_id"].tolist() == expected["pred_id"].astype("Int32").tolist()
    code = {c.id: c.code for c in prediction.legend.classes}
    name = {c.id: c.name for c in prediction.legend.classes}
    for column, of, ids in (
        ("pred_code", code, expected["pred_id"]),
        ("pred_name", name, expected["pred_id"]),
        ("second_code", code, expected["second"]),
    ):
        assert table[column].fillna("").tolist() == [of.get(i, "") for i in ids]
    for column in ("purity", "second_share"):
        assert np.array_equal(table[column], expected[column], equal_nan=True)
    for column in ("conf_mean", "conf_p10", "boundary_err"):
        assert np.allclose(table[column], expected[column], rtol=1e-6, equal_nan=True), column
    assert expected["boundary_err"].between(0.01, 0.99).any() and expected["boundary_err"].isna().any()
    declared = parcels.table["code"].fillna("").tolist()
    assert table["ref_code"].fillna("").tolist() == declared and "" in declared
    assert table["ref_name"].fillna("").tolist() == [name[3] if c else "" for c in declared]
    for column in ("n_px", "n_px_interior", "status"):
        assert table[column].tolist() == expected[column].tolist()
    assert set(expected["status"]) == {"ok", "small", "cloudy", "void"}
    assert (expected["n_px_interior"] == 0).any() and expected["second"].notna().any()


def toy(ids: list[list[int]], legend: Legend = TWO) -> Prediction:
    array = np.array(ids, np.uint8)
    confidence = xr.DataArray(np.full(array.shape, 125, np.uint8), dims=("y", "x"))
    grid = GeoBox(array.shape, Affine(10, 0, 500000, 0, -10, 5000000), "EPSG:32631")
    return Prediction(xr.DataArray(array, dims=("y", "x")), confidence, grid, legend)


def patch(*shapes: Polygon) -> Parcels:
    table = gpd.GeoDataFrame({"parcel_id": range(1, len(shapes) + 1), "code": None}, geometry=list(shapes))
    return Parcels(table.set_crs("EPSG:32631"))


def pixels(row: int, col: int, height: int, width: int) -> Polygon:
    west, north = 500000 + 10 * col, 5000000 - 10 * row
    return box(west, north - 10 * height, west + 10 * width, north)


def test_the_interior_decides() -> None:
    # The ring of 8 pixels is beet (id 0, which is a class), the one inner pixel apple.
    prediction = toy([[0, 0, 0, 255], [0, 4, 0, 255], [0, 0, 0, 255]])
    row = run(parcel_table(prediction, patch(pixels(0, 0, 3, 3)))).iloc[0]
    assert (row.pred_code, row.purity, row.n_px, row.n_px_interior) == ("A", 1, 9, 1)
    # On the central meridian UTM draws lengths 0.04 % too short.
    assert row.area_ha == pytest.approx(0.09 / 0.9996**2, rel=1e-6) and row.area_valid_ha == pytest.approx(row.area_ha)
    assert pd.isna(row.second_code) and np.isnan(row.second_share)


def test_small_void_and_equal() -> None:
    prediction = toy([[0, 4, 255, 255], [4, 0, 255, 255]])
    table = run(parcel_table(prediction, patch(pixels(0, 0, 1, 2), pixels(0, 2, 2, 2), pixels(1, 0, 1, 2))))
    assert table["status"].tolist() == ["small", "cloudy", "small"]
    assert table["pred_id"].tolist() == [4, pd.NA, 4], "of two equal ones the first of the legend"
    assert table["second_share"].tolist()[0] == 0.5
    assert table["conf_mean"].tolist()[0] == 0.5


def test_a_parcel_cut_by_the_border_of_the_map_has_no_edge_there() -> None:
    prediction = toy([[0, 0, 0], [0, 4, 0], [0, 0, 0]])
    row = run(parcel_table(prediction, patch(pixels(-5, -5, 20, 20)))).iloc[0]
    assert (row.n_px, row.n_px_interior, row.pred_code) == (9, 9, "B")


def test_the_file_keeps_crs_geometry_and_columns(prediction: Prediction, parcels: Parcels, tmp_path: Path) -> None:
    path = run(export_parcels(prediction, parcels, tmp_path / "parcels.gpkg"))
    back = gpd.read_file(path)
    assert int.from_bytes(path.read_bytes()[60:64]) == 10200, "GeoPackage 1.2, which no program warns of"
    assert back.crs == parcels.table.crs
    assert back.geometry.geom_equals_exact(parcels.table.geometry, 0).all()
    assert back["farmer"].tolist() == parcels.table["farmer"].tolist()
    assert back["parcel_id"].tolist() == parcels.table["parcel_id"].tolist()
    assert back["code"].isna().tolist() == parcels.table["code"].isna().tolist()
    assert set(back["status_given"]) == {"approved"}
    assert set(back["CODE_given"]) == {"CODE of the user"}
    assert set(back["fid_given"]) == {7}
    table = run(parcel_table(prediction, parcels))
    for column in COLUMNS:
        assert back[column].astype(object).where(back[column].notna(), None).tolist() == (
            table[column].astype(object).where(table[column].notna(), None).tolist()
        )
    endings = ("codes.csv", "gpkg", "parquet", "qml", "sld")
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"parcels.{ending}" for ending in endings]


def test_awkward_columns_and_geometries_are_stored(tmp_path: Path) -> None:
    prediction = toy([[0, 0, 0, 0], [0, 0, 0, 4], [4, 4, 4, 4], [4, 4, 4, 4]])
    shapes = patch(pixels(0, 0, 2, 2), pixels(2, 2, 2, 2))
    holes = shapes.table.geometry.iloc[0].union(pixels(0, 3, 1, 1))
    shapes.table["geometry"] = [holes, shapes.table.geometry.iloc[1]]
    shapes.table["kind"] = pd.Categorical(["x", None])
    shapes.table["many"] = [[1, 2], {"a": 1}]
    shapes.table["when"] = pd.to_datetime(["2020-01-01", None])
    shapes.table["Pred_ID"] = [True, False]
    back = gpd.read_file(run(export_parcels(prediction, shapes, tmp_path / "p.gpkg")))
    assert back["many"].tolist() == ["[1, 2]", "{'a': 1}"]
    assert back["kind"].tolist()[0] == "x" and pd.isna(back["kind"].tolist()[1])
    assert back["Pred_ID_given"].tolist() == [True, False] and back["pred_id"].tolist() == [0, 4]
    assert back.geometry.iloc[0].equals(holes)


def test_degrees_are_measured_as_areas(make_prediction: Callable[..., Prediction]) -> None:
    grid = Affine(1e-4, 0, 3, 0, -1e-4, 45)
    prediction = make_prediction((100, 100), crs="EPSG:4326", transform=grid)
    table = gpd.GeoDataFrame({"parcel_id": [1], "code": None}, geometry=[box(3, 44.99, 3.01, 45)], crs="EPSG:4326")
    row = run(parcel_table(prediction, Parcels(table))).iloc[0]
    utm = table.to_crs("EPSG:32631").area.iloc[0] / 1e4
    assert row.area_ha == pytest.approx(utm, rel=2e-3) and row.area_ha > 80


def test_refusals_and_leaving_early(
    prediction: Prediction, parcels: Parcels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(GridError, match="No parcel of"):
        run(parcel_table(prediction, patch(pixels(90000, 0, 3, 3))))
    taken = tmp_path / "parcels.gpkg"
    taken.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        run(export_parcels(prediction, parcels, taken))
    with pytest.raises(OutputError, match="one of the inputs"):
        run(export_parcels(prediction, parcels, taken, overwrite=True, inputs=[taken]))
    monkeypatch.setattr(vector, "WINDOW_PX", 128)
    job = export_parcels(prediction, parcels, taken, overwrite=True)
    assert [next(job), next(job)][1] == Progress("judging parcels", 1, 12, "window")
    job.close()
    assert [p.name for p in tmp_path.iterdir()] == ["parcels.gpkg"] and taken.read_bytes() == b"mine"
