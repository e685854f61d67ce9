"""Figures: what is drawn is what was given; colours in the picture are those of the legend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from cscl.cube import Radiometry, SITSCube
from cscl.errors import InputError, OutputError
from cscl.export import figures, maps
from cscl.grid import GeoBox, Window
from cscl.legend import Legend
from cscl.parcels import Parcels
from cscl.products import LabelMap, Prediction
from cscl.report.kinds import Kind

GRID = GeoBox((30, 40), Affine(10, 0, 500000, 0, -10, 5000000), "EPSG:32631")


def colours(figure: Figure, least_px: int = 60) -> set[str]:
    """Colours ``#rrggbb`` that many pixels of the drawn figure have."""
    figure.canvas.draw()
    rgb = np.asarray(figure.canvas.buffer_rgba())[..., :3].reshape(-1, 3).astype(int)
    values, counts = np.unique(rgb @ [65536, 256, 1], return_counts=True)
    return {f"#{v:06x}" for v, n in zip(values, counts, strict=True) if n >= least_px}


def texts(figure: Figure) -> str:
    return " | ".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))


def make_cube(bands: tuple[str, ...] = ("B02", "B03", "B04", "B08"), dates: int = 12) -> SITSCube:
    rng = np.random.default_rng(0)
    stored = rng.integers(200, 4000, (dates, len(bands), *GRID.shape)).astype(np.uint16)
    stored[:, :, :10, :10] = 0
    stored[[i for i in range(dates) if i % 4 != 2], :, :20] = 0
    stored[5] = 0
    times = np.datetime64("2021-03-01", "ns") + np.arange(dates) * np.timedelta64(10, "D")
    array = xr.DataArray(
        stored, dims=("time", "band", "y", "x"), coords={"time": times.astype("datetime64[ns]"), "band": list(bands)}
    )
    return SITSCube(array, GRID, Radiometry((1e-4,) * dates, (0.0,) * dates, 0, "toy"), name="toy")


def test_season_shows_the_clearest_dates_and_what_is_missing() -> None:
    figure = figures.season_strip(make_cube(), count=3)
    assert [a.get_title()[:10] for a in figure.axes] == ["2021-03-21", "2021-04-30", "2021-06-09"]
    assert "92% valid" in figure.axes[0].get_title()
    assert maps.MISSING in colours(figure)
    picture = np.asarray(figure.axes[0].images[0].get_array())
    assert np.allclose(picture[:10, :10], to_rgb(maps.MISSING)) and not np.allclose(picture[20:], to_rgb(maps.MISSING))
    assert picture[10:].std(axis=2).max() > 0.1
    assert "100 m" in texts(figure)


def test_no_date_of_a_season_is_washed_out() -> None:
    rng = np.random.default_rng(0)
    dim_TCYX = rng.uniform(0.02, 0.08, (6, 3, 50, 50)).astype(np.float32)
    dim_TCYX[3] *= 3.5
    colours_TYXC = maps._stretch(dim_TCYX, np.ones((6, 50, 50), bool), maps.MISSING)
    white = (colours_TYXC.min(axis=3) > 0.98).mean(axis=(1, 2))
    assert white.max() < 0.05, "the brightest date keeps its shades"
    assert np.median(colours_TYXC[0]) > 0.25, "and the others are not dark"


def test_season_without_red_green_and_blue_is_grey() -> None:
    figure = figures.season_strip(make_cube(("NDVI", "B02")), count=20)
    assert len(figure.axes) == 12 and sum(bool(a.images) for a in figure.axes) == 11
    picture = np.asarray(figure.axes[0].images[0].get_array())
    assert (picture[25] == picture[25, :, :1]).all()
    assert "band NDVI" in texts(figure)


def test_class_map_has_the_colours_of_the_legend(prediction: Prediction, tmp_path: Path) -> None:
    ids = prediction.ids.values.copy()
    ids[ids == 17] = 255
    labels = LabelMap(ids, prediction.grid, prediction.legend, name="fields in $ and $")
    figure = figures.class_map(labels)
    expected = {c.colour for c in prediction.legend.classes if c.id != 17} | {maps.MISSING}
    assert colours(figure, 20_000) - {"#ffffff"} == expected
    assert "Maize" not in texts(figure) and "Meadow & <pasture>" in texts(figure) and "unknown" in texts(figure)
    path = figures.save_figure(figure, tmp_path / "map.png")
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000
    with pytest.raises(OutputError, match="exists already"):
        figures.save_figure(figure, path)
    assert {c.colour for c in prediction.legend.classes} < colours(figures.class_map(prediction), 20_000)


def test_a_large_map_is_thinned_window_by_window() -> None:
    values = np.arange(2500 * 1700).reshape(2500, 1700)
    asked: list[Window] = []

    def read(window: Window) -> np.ndarray:
        asked.append(window)
        return values[window.slices]

    for step in (1, 3, 7):
        assert np.array_equal(maps._thin(read, values.shape, step), values[::step, ::step])
    assert max(max(w.height, w.width) for w in asked) <= 1024


def test_error_map() -> None:
    error = np.ones(GRID.shape, np.uint8)
    error[:3], error[3:6], error[6, :27] = 0, 3, 2
    figure = figures.error_map(error, GRID)
    assert {kind.colour for kind in (Kind.RIGHT, Kind.SHIFTED, Kind.INTERIOR)} <= colours(figure)
    assert "right (86.4%)" in texts(figure) and "shifted boundary (11.1%)" in texts(figure)
    with pytest.raises(InputError, match="codes 0 to 6"):
        figures.error_map(error + 4, GRID)
    with pytest.raises(InputError, match="the grid"):
        figures.error_map(error[1:], GRID)


def test_edge_strength_map(prediction: Prediction, parcels: Parcels) -> None:
    edge = np.random.default_rng(0).random(prediction.grid.shape).astype(np.float32)
    edge[:100, :100] = np.nan
    plain = figures.edge_strength_map(edge, prediction.grid)
    assert maps.MISSING in colours(plain)
    outlined = figures.edge_strength_map(edge, prediction.grid, parcels)
    lines = outlined.axes[0].collections[0].get_segments()
    assert len(lines) == len(parcels) - 1, "the parcel off the map is left out"
    first = parcels.table.geometry.to_crs("EPSG:32631").iloc[0].exterior.coords[0]
    assert np.allclose(lines[0][0], ~prediction.grid.transform @ first, atol=1e-6)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32631"])
def test_no_scale_bar_in_degrees(make_prediction: Callable[..., Prediction], crs: str) -> None:
    figure = figures.class_map(make_prediction((50, 50), crs=crs, transform=Affine(10, 0, 0, 0, -10, 0)))
    assert ("100 m" in texts(figure)) == (crs == "EPSG:32631")


def test_accuracy_by_distance() -> None:
    edges = (0, 10, 20, np.inf)
    figure = figures.accuracy_by_distance(edges, [[100, 50, 0]] * 2, [[50, 45, 0], [60, 40, 0]], ["a", "b"])
    front, bars = figure.axes
    assert np.array_equal(front.lines[0].get_ydata(), [0.5, 0.9, np.nan], equal_nan=True)
    assert np.array_equal(front.lines[1].get_ydata(), [0.6, 0.8, np.nan], equal_nan=True)
    assert [b.get_height() for b in bars.patches] == [100, 50, 0]
    assert [t.get_text() for t in front.get_xticklabels()] == ["0–10", "10–20", "> 20"]
    assert front.get_ylim()[0] <= 0.5
    figure.canvas.draw()
    for tick, text in zip(front.get_yticks(), front.get_yticklabels(), strict=True):
        assert text.get_text() == f"{100 * tick:.10g}%", "labels are not rounded"
    assert len(figures.accuracy_by_distance(edges, [1, 1, 1], [1, 0, 1]).axes[0].lines) == 1
    with pytest.raises(InputError, match="do not fit"):
        figures.accuracy_by_distance(edges, [1, 1], [1, 1])


def test_confusion() -> None:
    legend = Legend.from_codes("abcd")
    matrix = np.array([[3, 1, 0, 0, 4], [0, 10, 0, 0, 0], [0] * 5, [0] * 5])
    axes = figures.confusion(matrix, legend).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a  (8 px)", "b  (10 px)"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["a", "b", "no prediction"]
    assert [t.get_text() for t in axes.texts] == ["38", "12", "50", "100"]
    with pytest.raises(InputError, match="does not fit"):
        figures.confusion(matrix[:3], legend)


def test_learning_curve() -> None:
    rows = [{"step": "1", "loss": "2.5", "validation_score": ""}, {"step": 2, "loss": 1.5, "lr": np.nan}]
    rows += [{"step": 2, "validation_loss": 2.0, "validation_score": 0.5}]
    figure = figures.learning_curve(rows)
    assert [a.get_ylabel() for a in figure.axes if a.lines] == ["loss", "score"]
    training, validation = figure.axes[0].lines
    assert training.get_xydata().tolist() == [[1, 2.5], [2, 1.5]]
    assert validation.get_xydata().tolist() == [[2, 2]]
    with pytest.raises(InputError, match="nothing to draw"):
        figures.learning_curve([{"step": 1}])
