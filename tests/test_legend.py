"""The legend keeps the user's ids, names and colours, and is the only place where ids become indices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from skimage.color import rgb2lab

from cscl.errors import InputError, MissingError
from cscl.legend import UNKNOWN, CropClass, Legend, default_colours, free_ignore


def test_whole_numbers_keep_their_value_with_gaps_and_zero() -> None:
    legend = Legend.from_codes([8, 0, "3", 1, 2, 4, 3])
    assert legend.ids == (0, 1, 2, 3, 4, 8)
    assert legend.ignore == 255
    ids = np.array([[0, 8, 255], [5, 3, 1]], np.uint8)
    assert legend.to_index(ids).tolist() == [[0, 5, UNKNOWN], [UNKNOWN, 3, 1]]
    back = legend.to_ids(legend.to_index(ids))
    assert back.tolist() == [[0, 8, 255], [255, 3, 1]]
    assert back.dtype == np.uint8


def test_other_codes_are_numbered_from_one() -> None:
    legend = Legend.from_codes(["WWH", "BAR", "MAI"], {"WWH": "winter wheat"})
    assert dict(legend.id_by_code()) == {"BAR": 1, "MAI": 2, "WWH": 3}
    assert legend.names == ("BAR", "MAI", "winter wheat")
    assert Legend.from_codes(["007", "7"]).ids == (1, 2)


def test_the_unknown_moves_away_from_a_class_255() -> None:
    legend = Legend.from_codes([1, 255])
    assert legend.ignore == 65535
    assert legend.dtype == np.uint16
    assert legend.to_ids(np.array([1, -1])).tolist() == [255, 65535]
    assert free_ignore([255, 65535, 0]) == 1


def test_csv_round_trip(tmp_path: Path) -> None:
    legend = Legend(
        (CropClass(0, "A", "Gerste, späte", "#112233", "cereals"), CropClass(700, "B", 'so-called "B"', "#abcdef")),
        ignore=255,
    )
    legend.to_csv(tmp_path / "legend.csv")
    assert Legend.from_csv(tmp_path / "legend.csv") == legend
    assert Legend.from_dict(json.loads(json.dumps(legend.to_dict()))) == legend


def test_csv_with_semicolons_and_codes_that_only_look_like_numbers(tmp_path: Path) -> None:
    (tmp_path / "legend.csv").write_text("code;name\n²;maïs, doux\n7;orge\n", encoding="utf-8")
    assert [(c.id, c.code, c.name) for c in Legend.from_csv(tmp_path / "legend.csv").classes] == [
        (2, "²", "maïs, doux"),
        (1, "7", "orge"),
    ]


def test_csv_with_codes_only(tmp_path: Path) -> None:
    path = tmp_path / "legend.csv"
    path.write_text("\ufeffCode , Color\n4,#aabbcc\n2,\n", encoding="utf-8")
    legend = Legend.from_csv(path, ignore=0)
    assert [(c.id, c.name) for c in legend.classes] == [(4, "4"), (2, "2")]
    assert legend.classes[0].rgb == (0xAA, 0xBB, 0xCC)
    assert legend.ignore == 0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name,colour\nwheat,#000000\n", "no column 'code'"),
        ("", "no column 'code'"),
        ("code\n1\n1\n", "the code 1 more than once"),
        ("id,code\n5,a\n5,b\n", "the id 5 more than once"),
        ("id,code\nfive,a\n", "an id that is not a whole number"),
        ("id,code\n70000,a\n", "outside 0..65535"),
        ("code,colour\n1,red\n", "'red' is not of the form #rrggbb"),
        ("code,name\n1,wheat\n,barley\n", "row 2 .* no code"),
    ],
)
def test_legends_that_cannot_be(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "legend.csv").write_text(text)
    with pytest.raises(InputError, match=sentence):
        Legend.from_csv(tmp_path / "legend.csv")


def test_other_mistakes(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="There is no legend file"):
        Legend.from_csv(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match="not a CSV in UTF-8"):
        Legend.from_csv(tmp_path / "binary.csv")
    with pytest.raises(InputError, match="no class in the data"):
        Legend.from_codes([])
    with pytest.raises(InputError, match="both a class and 'unknown'"):
        Legend(Legend.from_codes([1, 2]).classes, ignore=2)
    with pytest.raises(InputError, match=r"id 70000 of the unknown is outside 0\.\.65535"):
        Legend(Legend.from_codes([1, 2]).classes, ignore=70000)


def test_two_hundred_classes_have_colours_of_their_own() -> None:
    colours = default_colours(200)
    assert len(set(colours)) == 200
    assert colours[:16] == default_colours(16)
    lab = rgb2lab(np.array([CropClass(i, "", "", c).rgb for i, c in enumerate(colours)])[None] / 255)[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)[~np.eye(200, dtype=bool)]
    assert apart.min() > 2.3  # the least difference that is noticed, in CIELAB


def test_an_extended_legend_keeps_what_it_has_and_finds_free_ids() -> None:
    legend = Legend((CropClass(3, "WWH", "winter wheat", "#ddcc77"), CropClass(1, "MAI", "maize", "#cc6677")))
    longer = legend.extended(["MAI", "SUN", "BAR"], {"SUN": "sunflower"})
    assert longer.classes[:2] == legend.classes and longer.ignore == legend.ignore
    assert [(c.id, c.code, c.name) for c in longer.classes[2:]] == [(2, "BAR", "BAR"), (4, "SUN", "sunflower")]
    assert legend.extended([]) == legend == legend.extended(["WWH"])
    assert Legend.from_codes([2, 7]).extended(code for code in ["7", "9", "255"]).ids == (2, 7, 9, 1)
