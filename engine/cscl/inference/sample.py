"""Draw a stratified sample from a crop map: the pixels that an interpreter is to look at, as points to fill in."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

import cscl
from cscl.errors import InputError, OutputError
from cscl.events import Job, Note, Progress
from cscl.export.gpkg import Layer, storable, write_layers
from cscl.export.part_files import result_folder, write_table
from cscl.export.point_style import point_style
from cscl.grid import GeoBox, pixel_size_m
from cscl.legend import Legend
from cscl.metrics.sample import StratifiedSample, allocate, count_strata, drawing, sample_size
from cscl.products import Prediction
from cscl.registry import nearest

__all__ = ["MapSample", "Merged", "SampleOptions", "draw_sample", "filled_in", "strips_of", "write_sample"]

STRIP_PX = 512
RECORD = "sample.json"

GUIDE = """# Sample of {name}: what to do

Each point is the centre of one pixel of the map, drawn at random. Look at every one of the {units} points on better
images, or in the field, and write the code of what is really there into the column `reference`, in `sample.gpkg` or
in `sample.csv` (in one of them). The codes are in `codes.csv`. What is judged is the pixel, {height:g} m x {width:g} m,
of which the point is the centre: where it holds several crops, the one with the largest share counts.

- Do not look at the map while you do this{shown}.
- Do not move, add or remove points: their places are what makes the estimate right.
- A class that is not in `codes.csv` may be written, too: name it to `cscl area` with `--further-classes`.
- Leave `reference` empty where nothing can be said; such points can be left out, if they are few.

Then: `cscl area {folder} THIS_FOLDER OUT`
"""


@dataclass(frozen=True)
class SampleOptions:
    """How a sample is drawn."""

    units: Annotated[int | None, {"min": 2, "max": 100_000, "tooltip": "How many pixels in all"}] = None
    standard_error: Annotated[
        float | None,
        {"min": 0.001, "max": 0.2, "step": 0.005,
         "tooltip": "Or: standard error of overall accuracy that is wanted, commonly 0.01"},
    ] = None  # fmt: skip
    expected_accuracy: Annotated[
        float, {"min": 0.01, "max": 0.99, "step": 0.05, "tooltip": "User's accuracy that a class is expected to have"}
    ] = 0.8
    allocation: Annotated[
        str, {"tooltip": "compromise: by area, but rare classes get a minimum; proportional: by area; or equal"}
    ] = "compromise"
    minimum: Annotated[
        int, {"min": 2, "max": 1000, "tooltip": "Units that a class gets at least in the compromise"}
    ] = 50
    merge: Annotated[
        tuple[str, ...] | None, {"tooltip": "Classes to treat as one, each group as CODE+CODE"}
    ] = None  # fmt: skip
    seed: Annotated[int, {"min": 0, "max": 2**31 - 1, "tooltip": "Seed of the random numbers"}] = 0


@dataclass(frozen=True, eq=False)
class Merged:
    """A legend some of whose classes are treated as one.

    Parameters
    ----------
    legend : Legend
        Classes after merging; a merged one has the codes and names of its members, joined by ``+``.
    index : ndarray of int
        Axis (class,): place in `legend` of each former class, and -1 at the end, for what is unknown.
    """

    legend: Legend
    index: NDArray[np.int64] = field(repr=False)

    @classmethod
    def of(cls, legend: Legend, groups: Sequence[str] = ()) -> Merged:
        """Merge groups of codes, each written as ``A+B``.

        Raises
        ------
        UnknownNameError, InputError
            If there is no such code; if one is in two groups.
        """
        codes = [c.code for c in legend.classes]
        first = dict(zip(codes, codes, strict=True))
        members: dict[str, list[str]] = {code: [code] for code in codes}
        for group in groups:
            names = [name.strip() for name in group.split("+")]
            for name in names:
                if name not in codes:
                    raise nearest(name, codes, "class code", "the legend of the map")
                if len(members.get(first[name], [])) > 1 or names.count(name) > 1:
                    raise InputError(f"The class {name} is to be merged twice. Write one group: A+B+C.")
            for name in names[1:]:
                members[names[0]] += members.pop(name)
                first[name] = names[0]
        known = {c.code: c for c in legend.classes}
        classes = tuple(
            replace(known[head], code="+".join(group), name=" + ".join(known[code].name for code in group))
            for head, group in members.items()
        )
        order = list(members)
        return cls(Legend(classes, legend.ignore), np.array([*(order.index(first[code]) for code in codes), -1]))


@dataclass(frozen=True, eq=False)
class MapSample:
    """A sample with the map that it comes from.

    Parameters
    ----------
    sample : StratifiedSample
        Pixels in random order.
    legend : Legend
        Classes, the strata.
    grid : GeoBox
        Where the pixels lie.
    name : str
        Of the map.
    folder : Path or None
        Of the map.
    options : SampleOptions
        How it was drawn.
    """

    sample: StratifiedSample
    legend: Legend
    grid: GeoBox
    name: str
    folder: Path | None
    options: SampleOptions

    def table(self, *, show_class: bool = False) -> pd.DataFrame:
        """Return the points as a table to fill in, with the mapped class or, by default, without."""
        rows = self.sample.table()
        lon, lat = Transformer.from_crs(str(self.grid.crs), "EPSG:4326", always_xy=True).transform(rows["x"], rows["y"])
        table = pd.DataFrame({"unit": rows["unit"], "reference": "", "remark": "", "x": rows["x"], "y": rows["y"]})
        table = table.assign(lon=lon, lat=lat, row=rows["row"], col=rows["col"])
        if show_class:
            classes = self.legend.classes
            table["mapped"] = [classes[i].code for i in rows["mapped"]]
            table["mapped_name"] = [classes[i].name for i in rows["mapped"]]
        return table

    def summary(self) -> str:
        """Say how many units each class got."""
        units, pixels = self.sample.allocation.units, self.sample.allocation.pixels
        each = ", ".join(f"{n} {c.code}" for c, n, px in zip(self.legend.classes, units, pixels, strict=True) if px)
        return f"{int(units.sum())} of {int(pixels.sum()):,} pixels: {each}."

    def record(self) -> dict[str, Any]:
        """Return what `cscl area` checks a filled-in sample against, as plain values."""
        allocation = self.sample.allocation
        counts = zip(self.legend.classes, allocation.units.tolist(), allocation.pixels.tolist(), strict=True)
        return {
            "map": self.name, "crs": str(self.grid.crs), "transform": list(self.grid.transform)[:6],
            "shape": list(self.grid.shape), "merge": list(self.options.merge or ()), "seed": self.options.seed,
            "allocation": self.options.allocation,
            "classes": [{"code": c.code, "name": c.name, "units": n, "pixels": px} for c, n, px in counts],
            "remarks": list(allocation.remarks), "drawn": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "cscl": cscl.__version__,
        }  # fmt: skip


def strips_of(prediction: Prediction, index: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield the first row and the class indices, axes (y, x), of each strip of a map; -1 where nothing is predicted."""
    for row in range(0, int(prediction.grid.shape[0]), STRIP_PX):
        yield row, index[prediction.legend.to_index(prediction.ids[row : row + STRIP_PX].values)]


def draw_sample(prediction: Prediction, options: SampleOptions) -> Job[MapSample]:
    """Draw pixels of a map at random within each of its classes. Read strip by strip, twice.

    After Olofsson et al. 2014, section 5.1. What has no prediction is not in the population.

    Parameters
    ----------
    prediction : Prediction
        The map; its classes are the strata.
    options : SampleOptions
        How many, how they are shared out, the seed.

    Raises
    ------
    InputError
        If it is not said how many, or the units do not suffice, or the map has no pixels.
    GridError
        If the grid counts degrees.
    UnknownNameError
        If a class to be merged is not in the legend.
    """
    pixel_size_m(prediction.grid)
    if (options.units is None) == (options.standard_error is None):
        raise InputError("Say how large the sample is to be: either --units or --standard-error.")
    merged = Merged.of(prediction.legend, options.merge or ())
    classes, total = len(merged.legend), -(-int(prediction.grid.shape[0]) // STRIP_PX)
    pixels = np.zeros(classes, np.int64)
    for number, strip in enumerate(strips_of(prediction, merged.index), 1):
        pixels += count_strata([strip], classes)
        yield Progress("counting the map", number, total, "strip")
    units = options.units
    if units is None:
        assert options.standard_error is not None
        if not pixels.any():
            raise InputError("The map has no pixel of any class, so that there is nothing to sample.")
        expected = np.full(classes, options.expected_accuracy)
        units = sample_size(pixels, expected, options.standard_error, int(pixels.sum()))
        least = (options.minimum if options.allocation == "compromise" else 2) * int((pixels > 0).sum())
        if units < least:
            yield Note(f"{units} units would do for that error, but the least of each class takes {least}.")
            units = least
    allocation = allocate(units, pixels, options.allocation, options.minimum)
    named = tuple(_with_names(remark, merged.legend) for remark in allocation.remarks)
    for remark in named:
        yield Note(remark, warning="too few" in remark)
    allocation = replace(allocation, remarks=named)
    transform = tuple(prediction.grid.transform)[:6]
    sample = yield from drawing(strips_of(prediction, merged.index), allocation, options.seed, transform, total)
    return MapSample(sample, merged.legend, prediction.grid, prediction.name, prediction.path, options)


def write_sample(drawn: MapSample, out: str | Path, *, show_class: bool = False, overwrite: bool = False) -> Job[Path]:
    """Write a sample into a folder, to be filled in.

    Parameters
    ----------
    drawn : MapSample
        From `draw_sample`.
    out : path
        Folder: ``sample.gpkg`` (points, with a QGIS style and a list of the codes to choose from), ``sample.csv``,
        ``codes.csv``, ``README.md`` and ``sample.json``, which `cscl.inference.filled_sample.read_sample` reads.
    show_class : bool
        Write the mapped class beside each point. Who sees it tends to agree with it.
    overwrite : bool
        Replace a former sample that nobody has begun to fill in.

    Raises
    ------
    OutputError
        If something is there that may not be replaced, a former sample is filled in, or nothing can be written.
    """
    out = Path(out)
    if overwrite and (begun := filled_in(out)):
        raise OutputError(f"{begun} is filled in already, and would be lost. Choose another folder for the new sample.")
    table = drawn.table(show_class=show_class)
    points = gpd.GeoDataFrame(table, geometry=shapely.points(table["x"], table["y"]), crs=str(drawn.grid.crs))
    codes = {c.code: c.name for c in drawn.legend.classes}
    layer = Layer("sample", storable(points, table.columns), "Fill in: reference", point_style("reference", codes))
    height, width = pixel_size_m(drawn.grid)
    shown = ", nor at the column `mapped`" if show_class else ""
    with result_folder(out, RECORD, overwrite=overwrite) as folder:
        yield from write_layers(folder / "sample.gpkg", [layer])
        write_table(table, folder / "sample.csv")
        drawn.legend.to_csv(folder / "codes.csv")
        (folder / RECORD).write_text(json.dumps(drawn.record(), indent=1, ensure_ascii=False), encoding="utf-8")
        guide = GUIDE.format(
            name=drawn.name, units=len(table), height=height, width=width, shown=shown,
            folder=drawn.folder or "PREDICTION",
        )  # fmt: skip
        (folder / "README.md").write_text(guide, encoding="utf-8")
    return out


def filled_in(folder: Path) -> Path | None:
    """Return the first file of a sample, the GeoPackage or the CSV, in which a reference is filled in."""
    for path in (folder / "sample.gpkg", folder / "sample.csv"):
        if path.is_file() and _references(path).str.strip().ne("").any():
            return path
    return None


def _references(path: Path) -> pd.Series[Any]:
    try:
        if path.suffix == ".gpkg":
            column: Any = gpd.read_file(path, layer="sample", columns=["reference"], ignore_geometry=True)["reference"]
        else:
            text = path.read_text(encoding="utf-8-sig", errors="replace")
            separator = ";" if text.split("\n", 1)[0].count(";") > 1 else ","
            column = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding_errors="replace")[
                "reference"
            ]
    except (KeyError, ValueError, OSError):
        return pd.Series(["damaged"])  # what cannot be read is not replaced either
    return pd.Series(column).fillna("").astype(str)


def _with_names(remark: str, legend: Legend) -> str:
    """Put names of classes in the place of their numbers."""
    if remark.startswith("Classes ["):
        numbers = json.loads(remark[8 : remark.index("]") + 1])
        return f"Classes {', '.join(legend.names[i] for i in numbers)}{remark[remark.index(']') + 1 :]}"
    number, rest = remark.removeprefix("Class ").split(" ", 1)
    return f"Class {legend.names[int(number)]} {rest}"
