"""Notes on cases and the pictures of one: kept by what they are and where, read back, and the same window in all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
import xarray as xr

from cscl.errors import InputError, MissingError
from cscl.events import Preview, run
from cscl.inference.explore import ErrorAtlas, explore
from cscl.products import Prediction
from napari_cscl.cases import (
    CLEAR,
    Case,
    annotated,
    dates_to_try,
    map_pictures,
    noted,
    season_pictures,
    spot_of,
)
from napari_cscl.composite import COMPOSITES, SeasonImage
from napari_cscl.notes import NO_UNIT, CaseNote, Notes, Spot, notes_from_csv, notes_to_csv

SPOT = Spot("parcels", "map", 7, NO_UNIT, 0.0, 0.0, 80.0, 80.0, "EPSG:32631")


@pytest.fixture(scope="module")
def scene() -> Any:
    return toys.scene()


@pytest.fixture(scope="module")
def atlas(scene: Any) -> ErrorAtlas:
    ids = np.roll(np.where(scene.labels.ids == 255, 0, scene.labels.ids), 1, axis=1).astype(np.uint8)
    arrays = (xr.DataArray(ids, dims=("y", "x")), xr.DataArray(np.full_like(ids, 200), dims=("y", "x")))
    return run(explore(Prediction(*arrays, scene.labels.grid, scene.labels.legend, name="moved"), scene.labels))


def test_a_note_is_found_by_labels_map_ids_and_place() -> None:
    notes, heard = Notes(), []
    notes.changed.connect(lambda: heard.append(len(notes)))
    notes.write(SPOT, "map error", "wheat grew over")
    found = notes.at(replace(SPOT, left=40.0, right=90.0))  # other pixels of it are judged now
    assert found is not None and (found.verdict, found.text) == ("map error", "wheat grew over")
    for other in ({"a": 8}, {"b": 9}, {"labels": "x"}, {"map": "x"}, {"crs": "x"}, {"left": 81.0, "right": 99.0}):
        assert notes.at(replace(SPOT, **other)) is None, other
    notes.write(SPOT, "map error", "wheat grew over")
    notes.write(replace(SPOT, map="b"), "unclear", "")
    notes.write(SPOT, "", "")
    assert heard == [1, 2, 1], "what changes nothing is not told"
    assert notes.at(SPOT) is None and notes.at(replace(SPOT, map="b")) is not None
    with pytest.raises(InputError, match="map error, label error"):
        notes.write(SPOT, "wrong", "")


def test_notes_come_back_from_a_table(tmp_path: Path) -> None:
    text = 'two lines, "quoted"\n; = Möhre'
    notes = [CaseNote(SPOT, "unclear", text, "2026-01-02T03:04:05"), CaseNote(replace(SPOT, b=9, left=1 / 3), "", "b")]
    (tmp_path / "notes.csv").write_text(notes_to_csv(notes), encoding="utf-8")
    assert notes_from_csv(tmp_path / "notes.csv") == notes
    kept = Notes([replace(notes[0], text="later", when="2027-01-01T00:00:00")])
    assert kept.take(notes) == 1 and kept.at(SPOT).text == "later", "of two notes the later one stays"
    (tmp_path / "other.csv").write_text("id,wrong\n1,2\n")
    with pytest.raises(InputError, match="not a table of notes"):
        notes_from_csv(tmp_path / "other.csv")
    with pytest.raises(MissingError):
        notes_from_csv(tmp_path / "none.csv")


def test_rows_with_notes(atlas: ErrorAtlas) -> None:
    notes = Notes()
    parcel, edge = atlas.parcels.iloc[3], atlas.edges.iloc[5]
    notes.write(spot_of(atlas, parcel, "A"), "label error", "p")
    notes.write(spot_of(atlas, edge, "A"), "", "e")
    notes.write(spot_of(atlas, edge, "B"), "unclear", "on b")
    assert list(noted(atlas, atlas.parcels, notes, "A")) == [3]
    turned = atlas.edges[::-1].reset_index(drop=True)
    ((at, found),) = noted(atlas, turned, notes, "A").items()
    assert (at, found.text) == (len(turned) - 6, "e")
    table = annotated(atlas, atlas.edges, notes, "B")
    assert table.loc[5, ["verdict", "note", "note_on"]].tolist() == ["unclear", "on b", "B"]
    other = annotated(atlas, atlas.parcels, notes, "B")
    assert other["note"].tolist().count("p") == 1 and other.loc[3, "note_on"] == "A", "what was said of another map"
    moved = atlas.parcels.assign(row0=atlas.parcels["row0"] + 40, row1=atlas.parcels["row1"] + 40)
    assert not noted(atlas, moved, notes, "A"), "the same number elsewhere is another parcel"


def test_all_pictures_show_one_window(atlas: ErrorAtlas, scene: Any) -> None:
    row = atlas.parcels.set_index("id", drop=False).loc[1]
    case = Case.of(atlas, row)
    assert (case.window.row, case.window.col, case.window.height, case.window.width) == (0, 0, 24, 24), "in the corner"
    assert case.sides[:, 0].min() == 0 and case.sides.sum(1).max() == 8
    edges = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    truth, guess, errors, strength = map_pictures(atlas, case, edges)
    legend = scene.labels.legend
    names = {c.id: c.name for c in legend.classes}
    for at in ((0, 0), (3, 9), (20, 23)):
        assert truth.at(*at) == names[scene.labels.ids[at]]
        assert tuple(truth.colours_YXC[at]) == legend.classes[legend.ids.index(scene.labels.ids[at])].rgb
        assert (guess.at(*at) == truth.at(*at)) == (errors.at(*at) == "right")
        assert strength.at(*at) == f"{edges[at]:.2f}"
    assert map_pictures(atlas, case)[3].colours_YXC is None, "not looked at yet"
    below = Case.of(atlas, atlas.parcels.iloc[int(atlas.parcels["row0"].argmax())])
    assert below.window.row + below.window.height == 64 and "unknown" in map_pictures(atlas, below)[0].at(23, 0)


def test_clear_dates_spread_over_the_season(atlas: ErrorAtlas) -> None:
    assert dates_to_try(3) == [[0], [1], [2]] and dates_to_try(0) == []
    assert [part[0] for part in dates_to_try(25)] == [2, 7, 12, 17, 22]
    scene = toys.scene(dates=10)  # the second date has a gap in the upper left
    case = Case.of(atlas, atlas.parcels.set_index("id", drop=False).loc[1])
    image = SeasonImage(scene.cube, COMPOSITES["NDVI"])
    events: list[Any] = []
    pictures = run(season_pictures(image, scene.cube.dates, case), events.append)
    assert [picture.time for picture in pictures] == [0, 2, 4, 6, 8], "date 1 has a gap, 0 is clear"
    assert [e.name for e in events if isinstance(e, Preview)] == [picture.name for picture in pictures]
    whole = image[2, :24, :24]
    assert np.array_equal(pictures[1].colours_YXC, np.asarray(whole))
    colours, share = image.look(1, case.window)
    assert share < CLEAR and np.array_equal(colours, np.asarray(image[1, :24, :24]))
