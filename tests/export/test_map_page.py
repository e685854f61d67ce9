"""The map as a page: what it says, how it lies on the sheet, and where north is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from affine import Affine
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from cscl.errors import InputError, MissingError, OutputError
from cscl.events import run
from cscl.export import area_rows as module
from cscl.export.area_rows import AreaRow, area_rows, class_counts, read_areas, shortened
from cscl.export.geotiff import export_classes
from cscl.export.ground import ground, system_name
from cscl.export.map_page import map_page, write_map_page
from cscl.export.page_layout import best_layout
from cscl.grid import GeoBox
from cscl.legend import CropClass, Legend, default_colours
from cscl.products import Prediction

FACTS = {
    "images": "season $1", "dates": ["2022-11-14T10:30:00", "2021-10-01"], "model": "wheat", "cscl": "0.1.0",
    "when": "2023-01-05T12:00:00+00:00",
}  # fmt: skip
AREAS = pd.DataFrame(
    {
        "code": ["MEA", "WHE", "BUI"], "class": ["meadow", "wheat", "buildings"], "mapped_ha": [100.0, 200.0, 0.0],
        "area_ha": [110.5, 1900.0, 3.25], "area_low_ha": [90.0, 1500.0, np.nan],
        "area_high_ha": [120.0, 2000.0, np.nan],
    }
)  # fmt: skip
Make = Callable[..., Prediction]


def texts(page: Figure) -> str:
    return " | ".join(t.get_text() for t in page.findobj(lambda a: hasattr(a, "get_text")) if t.get_text())


def drawn(path: Path, legend: Legend, facts: dict[str, Any], **given: Any) -> Figure:
    return map_page(path, legend, facts, run(class_counts(path, legend)), **given)


def test_files_and_words(prediction: Prediction, tmp_path: Path) -> None:
    run(export_classes(prediction, tmp_path / "crop_map.tif"))
    paths = run(write_map_page(tmp_path, prediction.legend, FACTS))
    assert [p.read_bytes()[:4] for p in paths] == [b"\x89PNG", b"%PDF"]
    with pytest.raises(OutputError, match="exists already"):
        run(write_map_page(tmp_path, prediction.legend, FACTS))
    said = texts(drawn(tmp_path / "crop_map.tif", prediction.legend, FACTS))
    for told in (
        "Crop map 2021–2022", "Meadow & <pasture>", "no prediction", "area (ha)", "Model: wheat",
        "season \\$1, 2 dates, 1 Oct 2021 to 14 Nov 2022",
        "EPSG:32631 (WGS 84 / UTM zone 31N); pixels of 9.99 m", "true north", " on A4",
        "pixels counted on the map", "1 km",
    ):  # fmt: skip
        assert told in said.replace("\n", " "), told
    assert "interval" not in said.replace("no interval is known", "")
    px = int((prediction.ids.values == 17).sum())
    assert f"{px * 9.99479222007154**2 / 1e4:,.1f}" in said


def test_intervals_of_a_sample(prediction: Prediction, tmp_path: Path) -> None:
    run(export_classes(prediction, tmp_path / "crop_map.tif"))
    AREAS.to_csv(tmp_path / "areas.csv", index=False)
    page = drawn(tmp_path / "crop_map.tif", prediction.legend, FACTS, areas=read_areas(tmp_path), title="Vallée")
    said = texts(page)
    for told in ("110.5 | 90.0 – 120.0", "1,900 | 1,500 – 2,000", "buildings | 3.25 | –", "Olofsson", "Vallée"):
        assert told in said
    assert "Maize | – | –" in said, "it was not sampled"


def test_areas_from_elsewhere_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="cscl area"):
        read_areas(tmp_path)
    for text in ("a,b\n1,2\n", AREAS.drop(columns="class").to_csv(index=False), AREAS.to_csv().replace("110.5", "x")):
        (tmp_path / "areas.csv").write_text(text)
        with pytest.raises(InputError, match="cscl area"):
            read_areas(tmp_path)


def test_counts_with_and_without_an_attribute_table(
    prediction: Prediction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = run(export_classes(prediction, tmp_path / "m.tif"))
    ids = prediction.ids.values
    expected = {i: int((ids == i).sum()) for i in (0, 3, 17, 255)}
    assert run(class_counts(path, prediction.legend)) == expected
    (tmp_path / "m.tif.aux.xml").unlink()
    monkeypatch.setattr(module, "WINDOW_PX", 64)
    assert run(class_counts(path, prediction.legend)) == expected


def test_rows_of_a_legend(prediction: Prediction) -> None:
    rows = area_rows(prediction.legend, {0: 5, 3: 0, 17: 9, 255: 2}, 0.01)
    assert [(r.name, r.area_ha) for r in rows] == [
        *(("Meadow & <pasture>", 0.05), ("Maize", 0.09), ("no prediction", 0.02))
    ]
    assert area_rows(prediction.legend, {0: 5, 3: 0, 17: 0, 255: 0}, None)[0].area_ha is None
    none = AREAS.assign(area_ha=0.0)
    sampled = area_rows(prediction.legend, {0: 5, 3: 0, 17: 0, 255: 0}, 0.01, none)
    assert [(r.name, r.area_ha) for r in sampled] == [("Meadow & <pasture>", 0)], "neither mapped nor found"
    many = [AreaRow("#000000", str(i), i, float(i)) for i in (5, 1, 9, 3, 2)]
    assert shortened(many, 5) == many
    few = shortened([*many, rows[-1]], 5)
    assert [r.name for r in few] == ["5", "9", "3", "2 smaller classes", "no prediction"]
    assert shortened(many, 3)[-1].area_ha == 6


def test_two_hundred_long_names_stay_on_the_sheet(make_prediction: Make, tmp_path: Path) -> None:
    colours = default_colours(200)
    crops = [CropClass(i, str(i), f"Légumineuses fourragères en mélange, n° {i}", colours[i]) for i in range(200)]
    made = make_prediction((400, 400), Legend(tuple(crops)))
    run(export_classes(made, tmp_path / "m.tif"))
    page = drawn(tmp_path / "m.tif", made.legend, {}, title="t" * 300)
    page.canvas.draw()
    said = texts(page)
    assert "smaller classes" in said and "n° 19" in said and "dates unknown" in said
    wide, high = page.bbox.width, page.bbox.height
    boxes = [t.get_window_extent() for t in page.findobj(lambda a: hasattr(a, "get_text")) if t.get_text()]
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= wide and b.y1 <= high for b in boxes)


@pytest.mark.parametrize(("aspect", "entries"), [(1.0, 8), (0.3, 20), (3.0, 30), (1.0, 200), (0.05, 3), (40.0, 3)])
def test_layouts(aspect: float, entries: int) -> None:
    layout = best_layout(aspect, entries, intervals=True)
    room = layout.room(aspect)
    legend = layout.legend(room)
    assert room.height / room.width == pytest.approx(aspect) and legend.width > 3
    assert legend.height >= min(entries / layout.columns, layout.rows) * 0.165, "all rows have room"
    assert room.bottom + room.height < layout.sheet[1] and room.left + room.width < layout.sheet[0]
    beside = legend.left >= room.left + room.width
    assert beside or legend.bottom + legend.height <= room.bottom


def test_north_and_scale() -> None:
    here = ground(GeoBox((100, 100), Affine(10, 0, 630720, 0, -10, 5044880), "EPSG:32631"))
    assert here is not None and here.across_m == pytest.approx(10, rel=1e-3) and here.grid_north_deg == 0
    assert here.convergence_deg == pytest.approx(1.2, abs=0.03), "east of the middle meridian grid north lies right"
    turned = Affine.translation(500000, 5000000) @ Affine.rotation(30) @ Affine.scale(10, -10)
    rotated = ground(GeoBox((100, 100), turned, "EPSG:32631"))
    assert rotated is not None and rotated.true_north_deg == pytest.approx(30, abs=0.1)
    mercator = ground(GeoBox((100, 100), Affine(10, 0, 0, 0, -10, 8399738), "EPSG:3857"))
    assert mercator is not None and mercator.across_m == pytest.approx(5, rel=0.01)
    assert mercator.area_factor == pytest.approx(0.25, rel=0.01)
    degrees = ground(GeoBox((10, 10), Affine(0.01, 0, 10, 0, -0.01, 60), "EPSG:4326"))
    assert degrees is not None and degrees.down_m / degrees.across_m == pytest.approx(2, rel=0.01)
    assert ground(GeoBox((10, 10), Affine(1, 0, -5, 0, -1, 5), "EPSG:3413")) is None, "at the pole there is no north"


def test_the_arrow_points_north(make_prediction: Make, tmp_path: Path) -> None:
    turned = Affine.translation(500000, 5000000) @ Affine.rotation(-90) @ Affine.scale(10, -10)
    made = make_prediction((60, 80), transform=turned)
    run(export_classes(made, tmp_path / "m.tif"))
    page = drawn(tmp_path / "m.tif", made.legend, {})
    halves = [np.asarray(p.get_xy()) for p in page.findobj(Polygon) if len(p.get_xy()) == 4]
    assert len(halves) == 2 and all(xy[0, 0] < xy[1:3, 0].min() - 0.1 for xy in halves), "to the left"


@pytest.mark.parametrize("table", [True, False])
def test_a_damaged_map(make_prediction: Make, tmp_path: Path, table: bool) -> None:
    made = make_prediction((600, 600))
    path = run(export_classes(made, tmp_path / "crop_map.tif"))
    path.write_bytes(path.read_bytes()[:-600])
    if not table:
        (tmp_path / "crop_map.tif.aux.xml").write_text("<PAMDataset>")
    with pytest.raises(InputError, match="cannot be read"):
        run(write_map_page(tmp_path, made.legend, {}))
    assert not list(tmp_path.glob("map.*"))


def test_names_of_systems() -> None:
    assert system_name(GeoBox((1, 1), Affine.identity(), "EPSG:3035")).startswith("EPSG:3035 (ETRS89")
    own = "+proj=laea +lat_0=47.123 +lon_0=5.5 +ellps=GRS80 +units=m"
    assert system_name(GeoBox((1, 1), Affine.identity(), own)) == "a reference system of its own"


def test_a_page_that_fails_leaves_the_former(
    prediction: Prediction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(export_classes(replace(prediction, facts=FACTS), tmp_path / "crop_map.tif"))
    (tmp_path / "map.pdf").write_text("former")

    def full(self: Figure, path: Path, **_: object) -> None:
        if path.suffix == ".pdf":
            raise OSError(28, "No space left on device")
        path.write_text("png")

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(OutputError, match="No space left"):
        run(write_map_page(tmp_path, prediction.legend, {}, overwrite=True))
    assert (tmp_path / "map.pdf").read_text() == "former" and not (tmp_path / "map.png").exists()
