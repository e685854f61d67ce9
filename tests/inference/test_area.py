"""From a map to points and back: the commands as a user meets them, what goes wrong, how often intervals hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import binom

from cscl.cli import main
from cscl.errors import InputError, OutputError, UnknownNameError
from cscl.events import run
from cscl.inference.area import AreaOptions, estimate_areas
from cscl.inference.filled_sample import FilledSample, read_sample
from cscl.inference.sample import Merged, SampleOptions, draw_sample, filled_in, strips_of, write_sample
from cscl.legend import Legend
from cscl.metrics.area import half_width
from cscl.products import Prediction
from cscl.raster import facts

OPTIONS = SampleOptions(units=400, minimum=20)


@pytest.fixture(scope="module")
def truth(root: Path) -> NDArray[np.uint8]:
    """Crops of the simulated season; 255 where none is known."""
    with rasterio.open(root / "sample_data" / "season" / "labels.tif") as src:
        ids = src.read(1)
    return np.where(ids == 0, 255, ids).astype(np.uint8)


@pytest.fixture(scope="module")
def prediction(root: Path, truth: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Prediction:
    """A map of the known land that is displaced by two pixels, as a folder."""
    season = root / "sample_data" / "season"
    shifted = np.roll(truth, 2, axis=1)
    ids = np.where((shifted == 255) | (truth == 255), truth, shifted)
    folder = tmp_path_factory.mktemp("area") / "map"
    folder.mkdir()
    with rasterio.open(season / "labels.tif") as src:
        profile = src.profile | {"nodata": 255}
    for name, values in (("classes", ids), ("confidence", np.where(ids == 255, 255, 200).astype(np.uint8))):
        with rasterio.open(folder / f"{name}.tif", "w", **profile) as dst:
            dst.write(values, 1)
    plain = {"legend": Legend.from_csv(season / "legend.csv").to_dict(), "facts": {}}
    (folder / "prediction.json").write_text(json.dumps(plain), encoding="utf-8")
    return Prediction.open(folder)


@pytest.fixture
def points(prediction: Prediction, truth: NDArray[np.uint8], tmp_path: Path) -> Path:
    """A sample that was drawn and filled in with what is true, in its CSV."""
    folder = run(write_sample(run(draw_sample(prediction, OPTIONS)), tmp_path / "points"))
    change(folder, lambda t: t.assign(reference=answers(t, prediction, truth)))
    return folder


def answers(table: pd.DataFrame, prediction: Prediction, truth: NDArray[np.uint8]) -> list[str]:
    code = {c.id: c.code for c in prediction.legend.classes}
    return [code[i] for i in truth[table["row"].astype(int), table["col"].astype(int)]]


def change(folder: Path, how: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = folder / "sample.csv"
    how(pd.read_csv(path, dtype=str, keep_default_na=False)).to_csv(path, index=False)


def test_round_trip(prediction: Prediction, truth: NDArray[np.uint8], tmp_path: Path) -> None:
    """Draw, fill in the GeoPackage, estimate: by the commands alone, and against the counts themselves."""
    out, path = tmp_path / "points", str(prediction.path)
    assert main(["sample", path, str(out), "--units", "400", "--minimum", "20", "--seed", "3", "--quiet"]) == 0
    table = gpd.read_file(out / "sample.gpkg", layer="sample")
    assert "mapped" not in table.columns and len(table) == 400 and (table["reference"] == "").all()
    inside = facts(prediction.path / "classes.tif").transform @ np.stack([table["col"] + 0.5, table["row"] + 0.5])
    np.testing.assert_allclose([table.geometry.x, table.geometry.y], inside)
    table["reference"] = answers(table, prediction, truth)
    table.to_file(out / "sample.gpkg", layer="sample", driver="GPKG")
    assert main(["sample", path, str(out), "--units", "400", "--minimum", "20", "--quiet", "--overwrite"]) == 2
    assert main(["area", path, str(out), str(tmp_path / "areas"), "--quiet"]) == 0
    found = json.loads((tmp_path / "areas" / "area.json").read_text(encoding="utf-8"))
    ids = prediction.ids.values[table["row"], table["col"]]
    weight = {i: (prediction.ids.values == i).sum() / (ids == i).sum() for i in np.unique(ids)}
    right = [weight[i] for i, r in zip(ids, table["reference"], strict=True) if i == code_to_id(prediction, r)]
    total = (prediction.ids.values != 255).sum()
    assert found["values"]["overall_accuracy"]["value"] == pytest.approx(sum(right) / total)
    areas = pd.read_csv(tmp_path / "areas" / "areas.csv").set_index("code")
    for code, row in areas.iterrows():
        share = sum(weight[i] for i, r in zip(ids, table["reference"], strict=True) if r == code)
        assert row["area_ha"] == pytest.approx(share / 100)
    assert areas["area_ha"].sum() == pytest.approx(total / 100)
    assert {"index.html", "area.md", "areas.png"} <= {p.name for p in (tmp_path / "areas").iterdir()}


def code_to_id(prediction: Prediction, code: str) -> int:
    return prediction.legend.id_by_code()[code]


def test_intervals_hold_the_true_area(prediction: Prediction, truth: NDArray[np.uint8]) -> None:
    """Of 60 samples 95 % intervals must hold the truth in so many that fewer would be a chance of 1 in 10 000."""
    area_ha = np.array([(truth == i).sum() for i in prediction.legend.ids]) / 100
    large = np.flatnonzero(area_ha > 0.05 * area_ha.sum())
    accuracy = (prediction.ids.values == truth)[truth != 255].mean()
    held = np.zeros(1 + len(large), int)
    ids = prediction.ids.values
    here = Prediction(
        xr.DataArray(ids, dims=("y", "x")), prediction.confidence, prediction.grid, prediction.legend, name="map"
    )
    for seed in range(60):
        drawn = run(draw_sample(here, SampleOptions(units=400, minimum=20, seed=seed)))
        table = drawn.table()
        table["reference"] = answers(table, prediction, truth)
        filled = FilledSample(table.astype({"unit": str}), None, drawn.record(), Path("sample.csv"))
        found = run(estimate_areas(here, filled)).estimate
        off = np.abs([found.overall - accuracy, *(found.area_ha - area_ha)[large]])
        held += off <= half_width([found.overall_se, *found.area_ha_se[large]])
    assert len(large) >= 5 and held.min() >= binom.ppf(1e-4, 60, 0.95), held


def test_what_the_interpreter_wrote(points: Path, prediction: Prediction) -> None:
    """Codes in any case, names, blanks around them, semicolons and decimal commas, another order of rows."""
    plain = run(estimate_areas(prediction, read_sample(points))).estimate
    names = {c.code: c.name for c in prediction.legend.classes}

    def rewritten(table: pd.DataFrame) -> pd.DataFrame:
        table["reference"] = [f" {(names[r].upper(), r.lower(), r)[n % 3]} " for n, r in enumerate(table["reference"])]
        for name in ("x", "y"):
            table[name] = table[name].str.replace(".", ",")
        return table.iloc[::-1]

    table = rewritten(pd.read_csv(points / "sample.csv", dtype=str, keep_default_na=False))
    table.to_csv(points / "sample.csv", index=False, sep=";", encoding="utf-8-sig")
    assert filled_in(points) == points / "sample.csv"
    again = run(estimate_areas(prediction, read_sample(points))).estimate
    np.testing.assert_array_equal(again.counts, plain.counts)


def test_merged_classes_are_one(points: Path, prediction: Prediction) -> None:
    whole = run(estimate_areas(prediction, read_sample(points)))
    merged = run(estimate_areas(prediction, read_sample(points), AreaOptions(merge=("WWH+TRI", "PGL+TGL"))))
    codes = [c.code for c in merged.legend.classes]
    assert codes[:2] == ["PGL+TGL", "WWH+TRI"] and len(codes) == len(whole.legend) - 2
    assert sum(merged.estimate.area_ha) == pytest.approx(sum(whole.estimate.area_ha))
    assert merged.estimate.overall >= whole.estimate.overall
    assert "Other classes were merged" in merged.remarks[0]
    with pytest.raises(InputError, match="merged twice"):
        Merged.of(prediction.legend, ["WWH+TRI", "TRI+PGL"])
    with pytest.raises(UnknownNameError, match="Did you mean 'WWH'"):
        Merged.of(prediction.legend, ["WWX+TRI"])


def edited(column: str, value: str, rows: slice) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def edit(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[table.index[rows], column] = value
        return table

    return edit


UPSETS: list[tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = [
    (edited("reference", "", slice(4, 7)), "3 of 400 points .* points 5, 6, 7. Fill them in, or add --leave-out"),
    (edited("reference", "", slice(None)), "No point of .* is filled in"),
    (edited("reference", "WWX", slice(1, 2)), "Did you mean 'WWH'.*--further-classes WWX"),
    (edited("x", "500000", slice(0, 1)), "Point 1 of .* do not lie in the pixel"),
    (edited("row", "999999", slice(2, 3)), "Point 3 of .* do not lie in the pixel"),
    (lambda t: pd.concat([t, t.iloc[:2]]), "points? 1, 2, 1, 2 .*in one pixel with another"),
    (lambda t: t.drop(columns="reference"), "no column 'reference'"),
    (lambda t: t.drop(columns=["row", "x"]), "says of no point where it lies"),
    (lambda t: t.iloc[:0], "holds no points"),
    (lambda t: t.drop(columns=["row", "col"]).assign(x="0"), "lie off the map"),
    (edited("y", "north", slice(0, 1)), "does not hold numbers only"),
    (lambda t: t[t["reference"].isin(["WWH", "PGL"])], "Fewer than two points lie in the mapped class"),
]


@pytest.mark.parametrize(("how", "sentence"), UPSETS)
def test_upsets(
    how: Callable[[pd.DataFrame], pd.DataFrame], sentence: str, points: Path, prediction: Prediction
) -> None:
    change(points, how)
    with pytest.raises(InputError, match=f"(?is){sentence}"):
        run(estimate_areas(prediction, read_sample(points / "sample.csv")))


def test_what_was_left_out_is_said(points: Path, prediction: Prediction, truth: NDArray[np.uint8]) -> None:
    change(points, edited("reference", "", slice(0, 4)))
    found = run(estimate_areas(prediction, read_sample(points), AreaOptions(leave_out_unfilled=True)))
    assert found.estimate.counts.sum() == 396 and "4 of 400 points were left out" in found.remarks[0]
    change(points, lambda t: t.iloc[4:])
    assert (
        "4 of the points that were drawn are not in sample.csv"
        in run(estimate_areas(prediction, read_sample(points))).remarks[0]
    )
    change(points, edited("reference", "water", slice(0, 3)))
    further = run(estimate_areas(prediction, read_sample(points), AreaOptions(further_classes=("water",))))
    assert further.legend.names[-1] == "water" and further.estimate.area_ha[-1] > 0
    assert np.isnan(further.estimate.user[-1]) and further.estimate.producer[-1] == 0
    (points / "sample.json").unlink()
    assert (
        "comes without sample.json"
        in run(estimate_areas(prediction, read_sample(points), AreaOptions(further_classes=("water",)))).remarks[0]
    )


def test_another_map_is_refused(points: Path, prediction: Prediction) -> None:
    ids = prediction.ids.values.copy()
    ids[ids == prediction.legend.ids[1]] = prediction.legend.ids[2]
    other = Prediction(
        xr.DataArray(ids, dims=("y", "x")), prediction.confidence, prediction.grid, prediction.legend, name="other"
    )
    with pytest.raises(InputError, match="drawn from another map: there class"):
        run(estimate_areas(other, read_sample(points)))


def test_drawing(prediction: Prediction, tmp_path: Path) -> None:
    for options in (SampleOptions(), SampleOptions(units=100, standard_error=0.01)):
        with pytest.raises(InputError, match="either --units or --standard-error"):
            run(draw_sample(prediction, options))
    drawn = run(draw_sample(prediction, SampleOptions(standard_error=0.02, minimum=10)))
    pixels = np.array([(prediction.ids.values == i).sum() for i in prediction.legend.ids])
    assert drawn.sample.allocation.pixels.tolist() == pixels.tolist()
    variance = (pixels / pixels.sum()) @ np.full(len(pixels), 0.8 * 0.2)
    wanted = variance / (0.02**2 + variance / pixels.sum())
    assert drawn.sample.allocation.units.sum() == np.ceil(wanted)
    shown = drawn.table(show_class=True)
    assert (shown["mapped"] == answers(shown, prediction, prediction.ids.values)).all()
    assert sum(index.size for _, index in strips_of(prediction, np.arange(14))) == prediction.ids.size
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="not a former result"):
        run(write_sample(drawn, tmp_path / "mine", overwrite=True))
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["notes.txt"]
