"""Worst cases: which they are, where they lie, what their pictures hold, and how little of the images is read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import toys
import xarray as xr

from cscl.cube import SITSCube
from cscl.errors import GridError
from cscl.events import run
from cscl.export.cases import MOST_PX, sides, worst_cases
from cscl.grid import Window
from cscl.inference.explore import ErrorAtlas, explore
from cscl.products import Prediction, Scene
from cscl.report.kinds import Kind


def atlas_of(scene: Scene, wrong: tuple[slice, slice]) -> ErrorAtlas:
    """Errors of a map that is right but for maize in some rows and columns."""
    ids = scene.labels.ids.copy()
    ids[wrong] = 9
    arrays = (xr.DataArray(a, dims=("y", "x")) for a in (ids, np.full(ids.shape, 200, np.uint8)))
    return run(explore(Prediction(*arrays, scene.labels.grid, scene.labels.legend), scene.labels))


@pytest.fixture
def scene() -> Scene:
    return toys.scene(size=256, parcel_px=16)


@pytest.fixture
def atlas(scene: Scene) -> ErrorAtlas:
    return atlas_of(scene, (slice(96, 112), slice(30, 50)))


def test_the_worst_come_first_and_their_pictures_are_those_of_the_place(scene: Scene, atlas: ErrorAtlas) -> None:
    parcels, edges = run(worst_cases(atlas, scene.cube))
    assert [case.key for case in parcels] == [f"parcel-{i}" for i in atlas.parcels["id"][atlas.parcels["wrong"] > 0]]
    assert edges and all(case.key.startswith("edge-") for case in edges)
    case, row = parcels[0], atlas.parcels.iloc[0]
    assert f"{row['wrong']} of {row['pixels']} px wrong" in case.facts[0] and row["declared_crop"] in case.title
    panes = {pane.kind: pane.colours_YXC for pane in case.panes}
    assert [pane.kind for pane in case.panes] == ["image", "truth", "map", "errors", *["season"] * 4]
    rgb = {c.id: c.rgb for c in scene.labels.legend.classes}
    for y, x in np.ndindex(case.window.height, case.window.width):
        at = case.window.row + y, case.window.col + x
        known = scene.labels.ids[at]
        assert tuple(panes["truth"][y, x]) == rgb.get(known, (191, 191, 191))
        assert (tuple(panes["map"][y, x]) == rgb.get(known)) == (atlas.kinds_YX[at] == Kind.RIGHT)
    row_at, col_at = case.centre  # the grid begins at 500 km east and 5 000 km north, a pixel has 10 m
    east, north = 5e5 + 10 * col_at, 5e6 - 10 * row_at
    assert (row_at, col_at) == (row["row"] + 0.5, row["col"] + 0.5)
    assert case.place[:2] == (f"row {int(row_at)}, column {int(col_at)}", f"EPSG:32631: {east:.0f} E, {north:.0f} N")
    # 500 km east is the zone's middle, 3 degrees; a degree of latitude has 111.1 km there, one of longitude 78.7 km.
    lat, lon = (float(text.split("°")[0]) for text in case.place[2].split(", "))
    assert lat == pytest.approx(45.1533 - 10 * row_at / 111_130, abs=2e-4)
    assert lon == pytest.approx(3 + 10 * col_at / 78_700, abs=2e-4)


def test_only_windows_of_the_images_are_read_and_cloudy_dates_are_passed_over(
    scene: Scene, atlas: ErrorAtlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = scene.cube.stored.copy()
    stored[0] = toys.NODATA  # the first of two dates in the first quarter is all cloud
    stored[1] = stored[2]
    read, seen = SITSCube.read, []

    def watched(self: SITSCube, window: Window | None = None) -> Any:
        assert window is None
        seen.append((len(self.dates), *self.shape))
        return read(self, window)

    monkeypatch.setattr(SITSCube, "read", watched)
    parcels, edges = run(worst_cases(atlas, replace(scene.cube, stored=stored)))
    assert max(seen)[0] == 1 and max(max(size) for _, *size in seen) <= MOST_PX
    # Four dates a case, and one more for what was found cloudy in the first.
    assert len(seen) == 4 * len(parcels + edges) + 1
    for case in parcels + edges:
        dates = [pane.name for pane in case.panes if pane.kind == "season"]
        assert len(dates) == 4 and dates[0] == str(scene.cube.dates[1].astype("datetime64[D]"))


def test_a_unit_larger_than_the_picture_is_shown_where_most_is_wrong() -> None:
    scene = toys.scene(size=400, parcel_px=400)
    atlas = atlas_of(replace(scene, labels=replace(scene.labels, ids=np.zeros((400, 400), np.uint8))),
                     (slice(300, 320), slice(40, 60)))  # fmt: skip
    (case,), edges = run(worst_cases(atlas, None))
    assert edges == [] and (case.window.height, case.window.width) == (MOST_PX, MOST_PX)
    shown = atlas.kinds_YX[case.window.slices]
    assert (shown > Kind.RIGHT).sum() == 400
    assert [pane.kind for pane in case.panes] == ["truth", "map", "errors"]


def test_one_band_is_shown_in_grey(scene: Scene, atlas: ErrorAtlas) -> None:
    (case, *_), _ = run(worst_cases(atlas, scene.cube.select(bands=["B04"])))
    image = case.panes[0].colours_YXC
    assert case.panes[0].second == "band B04" and (image == image[..., :1]).all() and np.ptp(image) > 100


def test_a_map_without_errors_has_no_cases_and_images_must_lie_on_the_grid(scene: Scene) -> None:
    right = atlas_of(scene, (slice(0, 0), slice(0, 0)))
    assert run(worst_cases(right, scene.cube)) == ([], [])
    with pytest.raises(GridError, match="shapes differ"):
        run(worst_cases(right, scene.cube.select(window=Window(0, 0, 99, 99))))


def test_sides_are_those_between_pixels_that_differ() -> None:
    ids = np.random.default_rng(0).integers(0, 3, (7, 9))
    expected = set()
    for y, x in np.ndindex(ids.shape):
        if y and ids[y, x] != ids[y - 1, x]:
            expected.add((x, y, x + 1, y))
        if x and ids[y, x] != ids[y, x - 1]:
            expected.add((x, y, x, y + 1))
    drawn = []
    for piece in sides(ids).split("M")[1:]:
        step = "h" if "h" in piece else "v"
        start, length = piece.split(step)
        x, y = map(int, start.split())
        drawn += [(x + i, y, x + i + 1, y) if step == "h" else (x, y + i, x, y + i + 1) for i in range(int(length))]
    assert len(drawn) == len(set(drawn)) and set(drawn) == expected
