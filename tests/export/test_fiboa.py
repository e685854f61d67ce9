"""Parcels as GeoParquet: what fiboa asks for, checked here by its rules; and nothing of the register is lost."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from cscl.errors import OutputError
from cscl.events import run
from cscl.export import fiboa
from cscl.export.vector import export_parcels, parcel_table
from cscl.parcels import Parcels
from cscl.products import Prediction

# Columns of Vecorel 0.1.0, fiboa 0.3.0 and crop 0.2.0 that occur here: type, and whether null is allowed.
RULES = {
    "id": (pa.string(), False),
    "geometry": (pa.binary(), False),
    "bbox": (pa.struct([pa.field(name, pa.float32(), nullable=False) for name in fiboa.BBOX]), True),
    "metrics:area": (pa.float32(), True),
    "crop:code": (pa.string(), False),
    "crop:name": (pa.string(), True),
}


def footer(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    metadata = pq.read_schema(path).metadata
    return json.loads(metadata[b"geo"]), json.loads(metadata[b"collection"])


def check(path: Path) -> None:
    """Check a file by the rules that fiboa's own validator applies."""
    geo, about = footer(path)
    table = pq.read_table(path)
    for name, (kind, nullable) in RULES.items():
        field = table.schema.field(name)
        assert (field.type, field.nullable) == (kind, nullable), name
    assert about["schemas"] == {about["collection"]: list(fiboa.SCHEMAS)} and about["collection"]
    assert about["crop:code_list"]
    ids = table["id"].to_pylist()
    assert all(ids) and len(set(ids)) == len(ids)
    area = [value for value in table["metrics:area"].to_pylist() if value is not None]
    assert all(0 < value <= 1e9 for value in area)
    custom = about["schemas:custom"]
    assert custom["$schema"] == fiboa.SDL
    assert set(custom["properties"]) <= set(table.schema.names) - set(RULES)
    for name, rule in custom["properties"].items():
        assert rule == {"type": fiboa.TYPES[table.schema.field(name).type]}
    column = geo["columns"][geo["primary_column"]]
    shapes = shapely.from_wkb(table["geometry"].to_pylist())
    assert (geo["version"], column["encoding"]) == ("1.1.0", "WKB")
    assert column["geometry_types"] == sorted({shape.geom_type for shape in shapes})
    assert column["bbox"] == list(shapely.total_bounds(shapes))
    boxes = np.array([list(box.values()) for box in table["bbox"].to_pylist()], float)
    bounds = shapely.bounds(shapes)
    assert (boxes[:, :2] <= bounds[:, :2]).all() and (boxes[:, 2:] >= bounds[:, 2:]).all(), "boxes hold their parcels"
    assert np.allclose(boxes, bounds, rtol=2e-7, atol=0)


def test_what_fiboa_wants(prediction: Prediction, parcels: Parcels, tmp_path: Path) -> None:
    run(export_parcels(prediction, parcels, tmp_path / "parcels.gpkg"))
    path = tmp_path / "parcels.parquet"
    check(path)
    back, table = gpd.read_parquet(path), run(parcel_table(prediction, parcels))
    assert back.crs == parcels.table.crs and back.geometry.geom_equals_exact(parcels.table.geometry, 0).all()
    assert back["id"].tolist() == parcels.table["parcel_id"].astype(str).tolist()
    assert back["crop:code"].tolist() == table["pred_code"].fillna("").tolist() and "" in set(back["crop:code"])
    assert back["crop:name"].fillna("").tolist() == table["pred_name"].fillna("").tolist()
    assert np.allclose(back["metrics:area"], table["area_ha"] * 1e4, rtol=1e-6)
    assert back["farmer"].tolist() == parcels.table["farmer"].tolist()
    assert footer(path)[1]["crop:code_list"] == "parcels.codes.csv"
    with (tmp_path / "parcels.codes.csv").open(encoding="utf-8", newline="") as stream:
        listed = list(csv.DictReader(stream))
    assert [(c["original_code"], c["original_name"]) for c in listed] == [
        (c.code, c.name) for c in prediction.legend.classes
    ]


def test_some_rows_at_a_time(
    prediction: Prediction, parcels: Parcels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fiboa, "CHUNK_ROWS", 25)
    run(export_parcels(prediction, parcels, tmp_path / "p.gpkg"))
    check(tmp_path / "p.parquet")
    assert pq.ParquetFile(tmp_path / "p.parquet").num_row_groups == 3
    assert gpd.read_parquet(tmp_path / "p.parquet")["parcel_id"].tolist() == parcels.table["parcel_id"].tolist()


def test_the_users_ids_and_awkward_columns(prediction: Prediction, parcels: Parcels, tmp_path: Path) -> None:
    """Ids of letters, codes with leading zeros, columns that fiboa means otherwise, and values of every kind."""
    count = len(parcels.table)
    own = parcels.table[["geometry"]].assign(
        id=[f"Parzelle Ä/{n:03d}" for n in range(count)], culture=[f"00{n % 3}" for n in range(count)],
        collection="mine", Geometry_="x", bbox=7, area=1.5,
        day=pd.to_datetime(["2020-01-01", None] * (count // 2)), many=[[1, 2]] * count,
        some=pd.array([1, None] * (count // 2), "Int64"), yes=pd.array([True, None] * (count // 2), "boolean"),
    )  # fmt: skip
    own.to_parquet(tmp_path / "register.parquet")
    opened = Parcels.open(tmp_path / "register.parquet", "culture", id_column="id")
    run(export_parcels(prediction, opened, tmp_path / "out.gpkg", code_list="https://example.org/codes.csv"))
    check(tmp_path / "out.parquet")
    assert not (tmp_path / "out.codes.csv").exists()
    assert footer(tmp_path / "out.parquet")[1]["crop:code_list"] == "https://example.org/codes.csv"
    for back in (gpd.read_parquet(tmp_path / "out.parquet"), gpd.read_file(tmp_path / "out.gpkg")):
        assert back["ref_code"].tolist() == own["culture"].tolist(), "zeros in front stay"
        given = "id_given" if "id_given" in back else "id"
        assert back[given].tolist() == own["id"].tolist()
        assert back["ref_name"].isna().all(), "codes that the legend does not know have no name"
        assert back["some"].fillna(0).tolist()[:2] == [1, 0] and back["many"].tolist()[0] == "[1 2]"
    parquet = gpd.read_parquet(tmp_path / "out.parquet")
    assert parquet["id"].tolist() == own["id"].tolist() and parquet["collection_given"].tolist()[0] == "mine"
    assert str(parquet["day"].tolist()[0])[:10] == "2020-01-01"


def test_the_register_is_not_written_over(prediction: Prediction, parcels: Parcels, tmp_path: Path) -> None:
    parcels.table[["geometry", "parcel_id"]].to_parquet(tmp_path / "parcels.parquet")
    before = (tmp_path / "parcels.parquet").read_bytes()
    opened = Parcels.open(tmp_path / "parcels.parquet")
    with pytest.raises(OutputError, match="one of the inputs"):
        run(export_parcels(prediction, opened, tmp_path / "parcels.gpkg", overwrite=True))
    assert [p.name for p in tmp_path.iterdir()] == ["parcels.parquet"]
    assert (tmp_path / "parcels.parquet").read_bytes() == before


def test_a_disk_that_is_full_leaves_nothing(
    prediction: Prediction, parcels: Parcels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(OutputError, match="No space left"):
        run(export_parcels(prediction, parcels, tmp_path / "p.gpkg"))
    assert list(tmp_path.iterdir()) == []
