"""Two maps on the same truth, A and B: the job that compares them, and how that is shown. It knows no Qt."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.card import ModelCard
from cscl.data.maps import exported_map, open_map
from cscl.errors import InputError, MissingError
from cscl.events import Job, Note
from cscl.grid import GeoBox, refined, require_same, times_finer
from cscl.products import Prediction

from .bridge import KEY, LayerData, frame, prediction_layer
from .casecolumns import Column
from .errorjobs import counted_errors
from .finer import labels_at

if TYPE_CHECKING:
    from cscl.inference.errorcounts import ErrorCounts
    from cscl.inference.explore import ErrorAtlas, ExploreOptions
    from cscl.inference.judging import Judged
    from cscl.inference.versus import Versus
    from cscl.parcels import Parcels
    from cscl.products import LabelMap

    from .session import Session

__all__ = [
    "VERSUS_COLUMNS",
    "Duel",
    "Rival",
    "compare",
    "duel_in_words",
    "name_of",
    "outcome_layer",
    "rival_layer",
    "versus_rows",
]

# Okabe's and Ito's sky blue and orange: told apart with any kind of colour vision, and bright on dark land.
WON_COLOUR, LOST_COLOUR = "#56b4e9", "#e69f00"
VERSUS_COLUMNS = (
    Column("what", "where", "Which pixels: a place, a distance to the class edge, or a true class"),
    Column("first", "A", "The figure of map A", "{:.1%}"),
    Column("second", "B", "The figure of map B", "{:.1%}"),
    Column("difference", "B - A", "Positive where B is better, points", "{:+.1f}"),
    Column("interval", "interval", "95 % interval of the difference, from drawing whole parcels in pairs, points"),
    Column("sure", "clear", "Whether the interval leaves out 0; of 20 figures that do not differ one does by chance"),
    Column("figure", "figure", "Accuracy; recall, precision and intersection over union of a class"),
    Column("units", "units", "Parcels or blocks that it rests on", "{:,.0f}"),
    Column("pixels", "pixels", "Pixels of that place or true class", "{:,.0f}"),
)


@dataclass(frozen=True, eq=False)
class Rival:
    """Where the second map comes from: a prediction that is open, or the folder of a prediction or of a model.

    Parameters
    ----------
    source : Prediction or Path
        The map, or a folder.
    place : Path
        Folder to make if it has to be predicted first.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    tile_px : int
        Pixels mapped at once along a side.
    """

    source: Prediction | Path
    place: Path
    device: str = "auto"
    tile_px: int = 128


@dataclass(frozen=True, eq=False)
class Duel:
    """Two maps, their errors on the same pixels, and what B wins and loses.

    Parameters
    ----------
    versus : Versus
        The comparison.
    maps, atlases, counts : tuple
        Predictions, errors, and the counts of these, of A and B.
    """

    versus: Versus
    maps: tuple[Prediction, Prediction]
    atlases: tuple[ErrorAtlas, ErrorAtlas] = field(repr=False)
    counts: tuple[ErrorCounts, ErrorCounts] = field(repr=False)

    @property
    def names(self) -> tuple[str, str]:
        """What the two maps are called."""
        return self.versus.names

    def outcomes(self, kinds_YX: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Outcome of the pixels of a selection, axes (y, x); 0 elsewhere."""
        return np.where(kinds_YX > 0, self.versus.outcomes_YX, np.uint8(0))


def name_of(prediction: Prediction) -> str:
    """Name of a map: that of the model that made it, where it is known."""
    return str(prediction.facts.get("model") or prediction.name)


def compare(
    session: Session,
    rival: Rival,
    known: tuple[ErrorAtlas, ErrorCounts] | None,
    options: ExploreOptions,
    everywhere: bool,
) -> Job[Duel]:
    """Compare the open map with another one, and find the errors of both on the pixels that judge both fairly.

    Parameters
    ----------
    session : Session
        With labels and a map, A.
    rival : Rival
        Where B comes from; a model maps the open images first.
    known : tuple or None
        Errors of A and their counts as far as they are known; used where the same pixels are judged.
    options : ExploreOptions
        Reach of an edge, classes of distance.
    everywhere : bool
        Whether all labelled pixels are judged, or those only that neither model has learnt from.

    Raises
    ------
    GridError
        If B lies on another grid, or its model maps other pixels than those of A.
    InputError, MissingError
        If labels are a raster and the maps have finer pixels; if the folder is neither a prediction nor a model; or if
        no pixel can judge both.
    """
    from cscl.inference.judging import Judged
    from cscl.inference.versus import held_out_of_all, versus

    first, labels, parcels = session.prediction, session.labels, session.parcels
    if first is None or labels is None:
        raise MissingError("There is no map to compare with. Predict the crops and open labels first.")
    labels = known[0].labels if known else (yield from labels_at(labels, parcels, first.grid))
    second = yield from _second(session, rival, first)
    require_same(first.grid, second.grid, f"The map {name_of(first)} and the map {second.name}")
    models = [_model_of(first) or (session.model.folder if session.model else None), _model_of(second)]
    if everywhere:
        judged = known[0].judged if known and known[0].judged.where_YX is None else Judged(None, "with a label")
    else:
        judged = held_out_of_all(labels, *models)
        if None in models:
            yield Note("Of one map no model is known, so nobody can say which pixels it has learnt from.", warning=True)
    names = name_of(first), _different(name_of(second), name_of(first))
    found = yield from versus(first, second, labels, options, judged=judged, names=names)
    if known is None or not _is_same(known[0], labels, parcels, judged, options):
        known = yield from counted_errors(first, labels, parcels, judged, options)
    other = yield from counted_errors(second, labels, parcels, judged, options)
    return Duel(found, (first, replace(second, name=names[1])), (known[0], other[0]), (known[1], other[1]))


def duel_in_words(duel: Duel) -> str:
    """Say which maps are compared, and what B wins and loses."""
    from cscl.inference.versus import Outcome

    (first, second), found = duel.names, duel.versus
    (won, lost), near = (
        [found.pixels(outcome, boundary=where) for outcome in (Outcome.WON, Outcome.LOST)] for where in (None, True)
    )
    return (
        f"A: {first}. B: {second}.\n{second} wins {won:,} pixels and loses {lost:,}; "
        f"at class boundaries {near[0]:,} and {near[1]:,}."
    )


def outcome_layer(outcomes_YX: NDArray[np.uint8], duel: Duel, origin: GeoBox | None = None) -> LayerData:
    """Show pixels that B wins in blue and those that it loses in orange; the others are clear."""
    from napari.utils.colormaps import DirectLabelColormap

    from cscl.inference.versus import Outcome

    second = duel.names[1]
    words = {
        Outcome.BOTH_RIGHT: "both right", Outcome.WON: f"won: only {second} is right",
        Outcome.LOST: f"lost: only {duel.names[0]} is right", Outcome.BOTH_WRONG: "both wrong",
    }  # fmt: skip
    colours: dict[int | None, Any] = {None: np.zeros(4, np.float32), **dict.fromkeys(map(int, Outcome), "#00000000")}
    colours |= {int(Outcome.WON): WON_COLOUR, int(Outcome.LOST): LOST_COLOUR}
    look = {
        "name": "won and lost", "metadata": {KEY: {"role": "errors", "grid": duel.versus.grid}},
        **frame(duel.versus.grid, origin), "axis_labels": ("y", "x"), "opacity": 0.9,
        "colormap": DirectLabelColormap(color_dict=colours),
        "features": pd.DataFrame({"index": list(map(int, words)), "outcome": list(words.values())}),
    }  # fmt: skip
    return outcomes_YX, look, "labels"


def rival_layer(duel: Duel, origin: GeoBox | None = None) -> LayerData:
    """Show map B without making it the open map: that stays A, whose layer must not be replaced by this one."""
    data, look, kind = prediction_layer(duel.maps[1], origin)
    look = {**look, "name": f"map B ({duel.names[1]})"}
    held = {("rival" if key == "prediction" else key): value for key, value in look["metadata"][KEY].items()}
    return data, {**look, "metadata": {KEY: held}, "visible": False}, kind


def versus_rows(versus: Versus) -> pd.DataFrame:
    """Rows of the table of a comparison, with differences in points and the interval as text."""
    table = versus.table
    few = table["low"].isna()
    where = table["where"].str.replace(" from a class edge", "").str.replace("class boundary", "boundary")
    text = [f"{100 * low:+.1f} to {100 * high:+.1f}" for low, high in zip(table["low"], table["high"], strict=True)]
    return table.assign(
        what=where.str.replace("more than", ">"), difference=100 * table["difference"],
        interval=np.where(few, "too few units", text), sure=np.where(few, "", np.where(table["clear"], "clear", "no")),
    )  # fmt: skip


def _second(session: Session, rival: Rival, first: Prediction) -> Job[Prediction]:
    """Open the second map, or make it with pixels of the size of the first."""
    source = rival.source
    if isinstance(source, Prediction):
        return source
    if (source / "prediction.json").is_file() or exported_map(source) is not None:
        return open_map(source)
    if not (source / "card.json").is_file():
        raise InputError(
            f"{source} is neither the folder of a prediction (with prediction.json) nor of a model (with card.json). "
            "Choose one that cscl predict or cscl train has made."
        )
    if session.cube is None:
        raise MissingError("Open the images first: the other model is to map them.")
    from cscl.inference.predict import PredictOptions, predict

    wanted = times_finer(first.grid, session.cube.grid) or 1
    own = ModelCard.open(source).finer
    if own not in (1, wanted):
        require_same(first.grid, refined(session.cube.grid, own), f"The open map and those of the model {source.name}")
    options = PredictOptions(tile_px=rival.tile_px, blend_px=16, **{"finer": wanted} if own == 1 else {})
    return (yield from predict(source, session.cube, rival.place, options, device=rival.device, overwrite=True))


def _model_of(prediction: Prediction) -> Path | None:
    """Folder of the model that made a map, if it is known and still there."""
    folder = prediction.facts.get("model_folder")
    return Path(folder) if folder and (Path(folder) / "card.json").is_file() else None


def _different(name: str, other: str) -> str:
    return name if name != other else f"{name} (2)"


def _is_same(
    atlas: ErrorAtlas, labels: LabelMap, parcels: Parcels | None, judged: Judged, options: ExploreOptions
) -> bool:
    """Whether an atlas judges these pixels in this way."""
    one, other = atlas.judged.where_YX, judged.where_YX
    same = one is other or (one is not None and other is not None and np.array_equal(one, other))
    way = atlas.options == options and (atlas.mixed_YX is None) == (parcels is None)
    return atlas.labels is labels and same and way
