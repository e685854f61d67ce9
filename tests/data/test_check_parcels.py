"""A look at a register: what each table says, from Python and from the command line."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
from affine import Affine
from shapely.geometry import Polygon, box

from cscl.cli import main
from cscl.data.check_parcels import check_parcels
from cscl.events import run
from cscl.grid import make_grid
from cscl.parcels import Parcels

X0, Y0 = 465180.0, 5080250.0
GRID = make_grid((12, 15), Affine(10, 0, X0, 0, -10, Y0), "EPSG:32633", "grid")


def field(x0: float, y0: float, x1: float, y1: float) -> Polygon:
    """Rectangle in pixels."""
    return box(X0 + 10 * x0, Y0 - 10 * y1, X0 + 10 * x1, Y0 - 10 * y0)


ROWS = [
    ("A", "wheat", field(0, 0, 4, 4)),
    ("B", "oat", field(3, 3, 6, 6)),  # one pixel and 0.01 ha of A
    ("B", "rye", field(8, 0, 10, 2)),
    ("C", "oat", field(5.995, 3, 8, 6)),  # 1.5 m2 of B
    ("D", "oat", field(8, 0, 10, 2)),  # the ground of row 3
    ("E", None, field(12, 0, 13.2, 1)),
    ("F", "oat", field(9.999, 0, 11, 0.5)),  # a sliver of rows 3 and 5
    ("G", "oat", None),
]


@pytest.fixture
def register(tmp_path: Path) -> Path:
    ids, crops, shapes = zip(*ROWS, strict=True)
    table = gpd.GeoDataFrame({"pid": ids, "crop": crops}, geometry=list(shapes), crs="EPSG:32633")
    table.to_file(tmp_path / "register.gpkg")
    return tmp_path / "register.gpkg"


def test_tables(register: Path) -> None:
    parcels = Parcels.open(register, "crop", id_column="pid")
    check = run(check_parcels(parcels, GRID))
    table = check.parcels.set_index("row")
    assert table["id"].tolist() == list("ABBCDEF") and table["parcel_id"].is_unique
    assert table["area_ha"].round(6).tolist() == [0.16, 0.09, 0.04, 0.06015, 0.04, 0.012, 0.005005]
    assert table["pixels"].tolist() == [15, 9, 4, 6, 0, 1, 0] and table["small"].tolist() == [False] * 4 + [True] * 3
    codes = check.codes.set_index("code")
    assert codes["parcels"].to_dict() == {"oat": 4, "wheat": 1, "rye": 1, "": 1}
    assert codes.loc["oat", "area_ha"] == pytest.approx(0.195155) and codes.loc["", "name"] == "not declared"
    assert check.issues[["row", "id", "problem"]].to_numpy().tolist() == [
        [2, "B", "same id as another row of another crop"],
        [3, "B", "same id as another row of another crop"],
        [8, "G", "no geometry"],
    ]
    found = check.conflicts[["kind", "row", "other_row", "overlap_ha", "pixels"]].round(5)
    assert found.to_numpy().tolist() == [
        ["same id, different crops", 2, 3, 0.0, 0],
        ["same ground, different crops", 3, 5, 0.04, 4],
        ["overlap, different crops", 1, 2, 0.01, 1],
        ["overlap, no other crop", 2, 4, 0.00015, 0],
    ]
    assert check.slivers == 2


def test_areas_are_those_of_the_ground(register: Path) -> None:
    degrees = Parcels.open(register, "crop", id_column="pid").to_crs(4326)
    check = run(check_parcels(degrees))
    assert check.parcels["area_ha"].sum() == pytest.approx(0.407155, rel=2e-3)  # UTM itself is 0.08 % off
    assert "pixels" not in check.parcels and len(check.conflicts) == 4


def test_a_register_without_ids_or_crops(register: Path) -> None:
    check = run(check_parcels(Parcels.open(register)))
    assert check.parcels["id"].tolist() == ["1", "2", "3", "4", "5", "6", "7"]
    assert set(check.conflicts["kind"]) == {"overlap, no other crop", "same ground, no other crop"}


def test_command(register: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["parcels", str(register), "--class-column", "crop", "--id-column", "pid", "--quiet"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "register.gpkg: 7 parcels, 0.4 ha, EPSG:32633" in said
    assert "row 8 (G): no geometry; left out" in said
    assert "row 1 (A) wheat and row 2 (B) oat: 0.0100 ha" in said and "2 overlaps of less than 1 m²" in said
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"parcels.csv", "codes.csv", "issues.csv", "conflicts.csv"}
    assert pd.read_csv(tmp_path / "out" / "conflicts.csv")["overlap_ha"].max() == pytest.approx(0.04)
    assert main([*words, "--out", str(tmp_path / "out")]) == 2 and "exists already" in capsys.readouterr().err
    assert main([*words[:2], "--class-column", "corp"]) == 2 and "Did you mean 'crop'" in capsys.readouterr().err
