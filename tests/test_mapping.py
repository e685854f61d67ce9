"""Mappings of codes to classes: tables of one's own, those of EuroCrops, and HCAT codes merged by pairs of digits."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pytest
from shapely.geometry import box

from cscl.data.scenes import LabelOptions, open_parcels
from cscl.errors import InputError
from cscl.mapping import hcat_group

HCAT = """original_code,original_name,EC_hcat_n,EC_hcat_c
WWH,Winterweizen,winter_common_soft_wheat,3301010101
SWH,Sommerweizen,spring_common_soft_wheat,3301010102
BAR,Gerste,winter_barley,3301010401
MIX,Gemenge,cereal,3301010000
POT,Kartoffel,potatoes,3301030000
ODD,?,,
"""


def parcels(folder: Path, codes: list[str], **columns: list[str]) -> Path:
    shapes = [box(9 * i, 0, 9 * i + 5, 5) for i in range(len(codes))]
    table = gpd.GeoDataFrame({"crop": codes, **columns}, geometry=shapes, crs="EPSG:32633")
    table.to_parquet(folder / "parcels.parquet")
    return folder / "parcels.parquet"


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "mapping.csv"
    path.write_text(text, encoding=encoding)
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table_of_ones_own(tmp_path: Path, delimiter: str, encoding: str) -> None:
    rows = [
        ("Code", "class", "name", "colour", "group"),
        ("007", "cereal", "Céréales", "#cc6677", "arable"),
        (" 8 ", "cereal", "", "", ""),
        ("9", "grass", "", "", ""),
        ("10", "", "", "", ""),
    ]
    mapping = written(tmp_path, "\n".join(delimiter.join(row) for row in rows), encoding)
    path = parcels(tmp_path, ["007", "8", "9", "10", "x", "x", "y"])
    mapped = open_parcels(path, LabelOptions("crop", mapping=str(mapping)))
    assert mapped.table["code"].tolist() == ["cereal", "cereal", "grass", None, None, None, None]
    assert mapped.table["crop"].tolist()[0] == "007", "the codes of the file stay"
    assert mapped.notes[-1] == "3 parcels have codes without a class in the mapping and stay unknown: x (2), y (1)."
    cereal, grass = mapped.legend().classes
    assert (cereal.name, cereal.colour, cereal.group) == ("Céréales", "#cc6677", "arable") and grass.name == "grass"


def test_hcat_codes_are_merged_by_pairs_of_digits(tmp_path: Path) -> None:
    assert [hcat_group("3301010101", n) for n in (1, 3, 5)] == ["3300000000", "3301010000", "3301010101"]
    path, table = parcels(tmp_path, ["WWH", "SWH", "BAR", "POT", "ODD"]), str(written(tmp_path, HCAT))
    plain = open_parcels(path, LabelOptions("crop", mapping=table))
    assert plain.codes == ["3301010101", "3301010102", "3301010401", "3301030000"]
    assert plain.legend().names[0] == "winter common soft wheat"
    cereals = open_parcels(path, LabelOptions("crop", mapping=table, hcat_level=3))
    assert {c.code: c.name for c in cereals.legend().classes} == {"3301010000": "cereal", "3301030000": "potatoes"}
    wheat = open_parcels(path, LabelOptions("crop", mapping=table, hcat_level=4))
    assert wheat.legend().names[:2] == ("winter common soft wheat, spring common soft wheat", "winter barley")
    assert wheat.table["code"].tolist()[-1] is None


def test_hcat_codes_in_the_register_need_no_table(tmp_path: Path) -> None:
    path = parcels(tmp_path, ["3301010101", "3301010401", "3301030000"], title=["wheat", "winter_barley", "potatoes"])
    merged = open_parcels(path, LabelOptions("crop", "title", hcat_level=3))
    assert dict(zip(merged.codes, merged.legend().names, strict=True)) == {
        "3301010000": "wheat, winter barley", "3301030000": "potatoes",
    }  # fmt: skip


def test_mappings_that_do_not_fit_the_parcels(tmp_path: Path) -> None:
    path = parcels(tmp_path, ["a", "b"])
    with pytest.raises(InputError, match=r"None of the codes of parcels.parquet is in the mapping .* they are a, b"):
        open_parcels(path, LabelOptions("crop", mapping=str(written(tmp_path, "code,class\nc,1\n"))))
    with pytest.raises(InputError, match="--class-column"):
        open_parcels(path, LabelOptions(mapping=str(tmp_path / "mapping.csv")))
    with pytest.raises(InputError, match="the class column holds others: a, b"):
        open_parcels(path, LabelOptions("crop", hcat_level=2))
