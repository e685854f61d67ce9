"""Models side by side on a scene, as one picture: image, truth, and each one's map, errors and edges.

A row for each model folder or prediction folder (such as a finer map made by resampling). Edges are those of the
contrastive head where it still belongs to the network, else the cosine of the embedding with its neighbours; what is
only pre-trained has no map. Figures are of the pixels shown: a picture is no benchmark.

    python tests/benchmarks/pictures.py sample_data/season/images sample_data/season/parcels.gpkg \\
        sample_data/model-pretrained sample_data/model --class-column crop --out pictures.png
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from cscl.card import ModelCard
from cscl.cube import SITSCube
from cscl.data.readers import open_cube
from cscl.data.scenes import LabelOptions, open_labels
from cscl.events import run
from cscl.export.colours import TRUE_COLOUR, coloured, first_bands, limits
from cscl.export.figures import save_figure
from cscl.export.paper import INK, LABEL_PT, MISSING, sheet
from cscl.grid import Window, crop, refined
from cscl.inference.embed import affinity, edge_strength, embed
from cscl.inference.predict import predict
from cscl.legend import Legend
from cscl.metrics.boundary import class_boundary
from cscl.products import LabelMap, Prediction

MARGIN_PX = 48  # read around what is shown, so that no network feels the edge of the window
SIDE_IN = 3.0
RIGHT, WRONG = "#f2f2f2", "#b2182b"


@dataclass(frozen=True)
class Answer:
    """What a row shows of the window: class ids of a legend, and edges, axes (y, x); None where there is none."""

    name: str
    legend: Legend
    ids_YX: NDArray[Any] | None = None
    edge_YX: NDArray[np.float32] | None = None
    edges_of: str = ""

    def ids_in(self, legend: Legend) -> NDArray[Any]:
        """Class ids of another legend; classes that it does not know are unknown."""
        table = np.full(65536, legend.ignore)
        for crop_class in self.legend.classes:
            table[crop_class.id] = legend.id_by_code().get(crop_class.code, legend.ignore)
        return table[self.ids_YX]


def part_of(cube: SITSCube, window: Window) -> SITSCube:
    """Cut a window out of a cube."""
    rows, cols = window.slices
    clear = None if cube.clear is None else cube.clear[:, rows, cols]
    return replace(cube, stored=cube.stored[:, :, rows, cols], clear=clear, grid=crop(cube.grid, window)).load()


def answer(folder: Path, cube: SITSCube, window: Window, device: str) -> Answer:
    """Map and edges of a model, or the map of a prediction."""
    if (folder / "prediction.json").is_file():
        made = Prediction.open(folder)
        ids = made.ids[window.refined(_finer(made.ids.shape, cube.shape)).slices].values
        return Answer(folder.name, made.legend, ids)
    around = window.grown(MARGIN_PX, cube.shape, 8)
    part, inner, card = part_of(cube, around), window.within(around), ModelCard.open(folder)
    with tempfile.TemporaryDirectory() as name:
        ids = None
        if card.stage == "trained":
            made = run(predict(folder, part, Path(name) / "map", device=device))
            ids = made.ids[inner.refined(_finer(made.ids.shape, part.shape)).slices].values
        if card.head and card.head["loss"]["name"] == "cscl" and (ids is None or card.recipe.train.joint_weight):
            edges, edges_of = affinity(folder, part, inner, device=device).edge_strength(), "affinity of its head"
        else:
            embedding = run(embed(folder, part, Path(name) / "embedding.zarr", device=device))
            finer = _finer(embedding.values.shape[1:], part.shape)
            edges, edges_of = run(edge_strength(embedding))[inner.refined(finer).slices], "cosine of its embedding"
    return Answer(folder.name, card.legend, ids, edges, edges_of)


def _finer(shape: tuple[int, ...], coarse: tuple[int, ...]) -> int:
    return shape[0] // coarse[0]


def image(cube: SITSCube, window: Window) -> tuple[NDArray[np.float64], str]:
    """Clearest date of the window in true colour, axes (y, x, channel), and its day."""
    part = part_of(cube.select(bands=first_bands(cube, TRUE_COLOUR) or cube.bands[:1] * 3), window)
    values, valid = part.read()
    date = int(valid.mean(axis=(1, 2)).argmax())
    pixels = values[date].transpose(1, 2, 0)
    return coloured(pixels, valid[date], *limits(pixels[valid[date]]), MISSING), str(cube.dates[date])[:10]


def show(axes: Axes, picture: NDArray[np.float64], title: str, **look: object) -> None:
    """Draw a picture with its pixels as they are."""
    axes.imshow(picture, interpolation="nearest", **look)  # type: ignore[arg-type]
    axes.set_title(title, fontsize=LABEL_PT, color=INK)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color="#999999", linewidth=0.6)


def row(axes: list[Axes], found: Answer, truth: LabelMap | None, palette: NDArray[np.float64]) -> None:
    """Draw the map, the errors and the edges of one answer."""
    axes[0].set_ylabel(found.name, fontsize=LABEL_PT + 1, color=INK)
    for empty in axes:
        empty.set(xticks=[], yticks=[])
        empty.spines[:].set_visible(False)
    if found.ids_YX is not None and truth is not None:
        ids_YX = found.ids_in(truth.legend)
        show(axes[0], palette[ids_YX], f"its map, {ids_YX.shape[0]} x {ids_YX.shape[1]} px")
        known, right = truth.index() >= 0, ids_YX == truth.ids
        edge = class_boundary(truth.index()) & known
        wrong = np.where(known[..., None], np.where(right[..., None], to_rgb(RIGHT), to_rgb(WRONG)), to_rgb(MISSING))
        share = [100 * right[where].mean() if where.any() else np.nan for where in (known, edge)]
        show(axes[1], wrong, f"wrong: {share[0]:.1f} % right, {share[1]:.1f} % at class edges")
    else:
        axes[0].text(0.5, 0.5, "only pre-trained: no map", ha="center", transform=axes[0].transAxes, fontsize=LABEL_PT)
    if found.edge_YX is not None:
        high = float(np.nanpercentile(found.edge_YX, 99))
        title = f"edges by {found.edges_of}, 0 to {high:.2f}"
        show(axes[2], np.ma.masked_invalid(found.edge_YX), title, cmap="cividis", vmin=0, vmax=high)


def picture(cube: SITSCube, truths: dict[int, LabelMap], answers: list[Answer], window: Window) -> Figure:
    """Draw the sheet: image and truth with the names of its classes on top, then a row for each answer."""
    truth = truths[max(truths)]
    legend = truth.legend
    palette = np.full((65536, 3), to_rgb(MISSING))
    palette[list(legend.ids)] = [to_rgb(c.colour) for c in legend.classes]
    high = SIDE_IN * window.height / window.width + 0.3
    figure = sheet(3 * SIDE_IN + 0.3, (len(answers) + 1) * high + 0.2)
    axes = figure.subplots(len(answers) + 1, 3, squeeze=False)
    colours, day = image(cube, window)
    show(axes[0, 0], colours, f"image of {day}, {window.height} x {window.width} px")
    show(axes[0, 1], palette[truth.ids], "truth")
    shown = set(np.unique(truth.ids).tolist())
    for found in answers:
        shown |= set() if found.ids_YX is None else set(np.unique(found.ids_in(legend)).tolist())
    keys = [Patch(facecolor=c.colour, edgecolor="#666666", label=c.name) for c in legend.classes if c.id in shown]
    axes[0, 2].legend(handles=keys, loc="center left", fontsize=LABEL_PT - 1, frameon=False)
    axes[0, 2].set_axis_off()
    for number, found in enumerate(answers, 1):
        finer = 1 if found.ids_YX is None else _finer(found.ids_YX.shape, (window.height, window.width))
        row(list(axes[number]), found, truths.get(finer), palette)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("labels", type=Path, help="parcels, or a label raster where no map is finer than the images")
    parser.add_argument("rows", type=Path, nargs="+", help="model folders and prediction folders of these images")
    parser.add_argument("--names", nargs="+", help="what to call them, instead of their folders' names")
    parser.add_argument("--class-column")
    parser.add_argument("--window", help="ROW:ROW,COL:COL in pixels of the images; by default the first 256")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("pictures.png"))
    args = parser.parse_args()
    cube = open_cube(args.images)
    shape = cube.shape
    window = Window.parse(args.window, shape) if args.window else Window(0, 0, min(shape[0], 256), min(shape[1], 256))
    answers = [answer(folder, cube, window, args.device) for folder in args.rows]
    answers = [replace(a, name=n) for a, n in zip(answers, args.names or [a.name for a in answers], strict=True)]
    known = next((ModelCard.open(f).legend for f in args.rows if (f / "card.json").is_file()), None)
    truths = {}
    for finer in {_finer(a.ids_YX.shape, (window.height, window.width)) for a in answers if a.ids_YX is not None} | {1}:
        labels = open_labels(args.labels, refined(cube.grid, finer), LabelOptions(args.class_column), known=known)
        there = window.refined(finer)
        truths[finer] = LabelMap(labels.ids[there.slices], crop(labels.grid, there), labels.legend)
    save_figure(picture(cube, truths, answers, window), args.out, overwrite=True)


if __name__ == "__main__":
    main()
