"""Parcels that are probably declared wrongly, and parcels that are worth labelling next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cscl.errors import InputError, MissingError
from cscl.events import Job, Note, Progress
from cscl.grid import Window, pixel_size_m, require_same, tile_count, tiles
from cscl.legend import Legend
from cscl.metrics.boundary import parcel_boundary
from cscl.metrics.classes import CommonLegend
from cscl.metrics.label_errors import doubt, neighbour_votes, said_with_confidence
from cscl.metrics.parcel_sums import ParcelSums, Sight
from cscl.products import Embedding, LabelMap, Prediction

from .judging import Judged

__all__ = ["SuspectOptions", "label_next", "pooled", "suspects"]

AT_ONCE = 1000
NO_PARCELS = "The labels {} do not know their parcels, and it is parcels that are ranked. Give parcels, not a raster."


@dataclass(frozen=True)
class SuspectOptions:
    """How parcels are ranked."""

    neighbours: Annotated[
        int, {"min": 1, "max": 200, "tooltip": "Parcels with the most similar embedding that vote on a declared crop"}
    ] = 15
    least_px: Annotated[int, {"min": 1, "max": 1000, "tooltip": "Pixels that a parcel must have to be ranked"}] = 4
    block_px: Annotated[
        int, {"min": 64, "max": 4096, "step": 64, "tooltip": "Side of the blocks that are read, pixels"}
    ] = 512


def suspects(
    prediction: Prediction,
    labels: LabelMap,
    embedding: Embedding | None,
    judged: Judged,
    options: SuspectOptions | None = None,
) -> Job[pd.DataFrame]:
    """Rank parcels by how much prediction and embedding speak against the declared crop. Read block by block.

    The score is the mean of two doubts, each 0 to 1 (see `cscl.metrics.label_errors.doubt`): that of the mean
    probabilities of the parcel's interior, and that of the declared crops of the parcels whose mean embedding is most
    like its own. It ranks; it is no probability. On three simulated scenes of 700 to 850 parcels that the network
    never saw, 3 % of them declared wrongly, 70 % of the first 20 and 42 % of the first 50 were wrong ones; these first
    50 held 91 % of all wrong ones. What it assumes:

    - The network has not learnt from the parcels that are ranked: a network learns wrong labels, too. Only parcels all
      of whose pixels are `judged` are ranked; to rank all, train several models on different blocks and pool.
    - Most labels are right, and wrong ones are spread over crops and places. Wrong labels that follow a rule, such as
      one crop always declared as another, look like the truth.
    - A parcel holds one crop. Parcels of crops that the network confuses anyway are ranked high, too, as are parcels
      whose outline is displaced: look at them before correcting.

    Parameters
    ----------
    prediction : Prediction
        The map; with the probabilities of all classes (`PredictOptions.probabilities`) where possible. Without, what
        the predicted class leaves is shared out equally among the others.
    labels : LabelMap
        Declared crops and parcels, on the same grid.
    embedding : Embedding or None
        Of the same model. Without it the score is the doubt of the probabilities alone.
    judged : Judged
        Pixels that the network has not learnt from: `cscl.inference.judging.held_out`.
    options : SuspectOptions, optional
        Neighbours, least size, blocks.

    Returns
    -------
    DataFrame
        One row a ranked parcel, the most doubtful first: ``id``; ``declared``, ``declared_crop``, ``suggested`` and
        ``suggested_crop``; ``score``; ``confident`` (the prediction reaches what parcels of the suggested crop usually
        get); ``share_declared`` and ``share_suggested`` (mean probabilities); ``like_declared`` and ``like_suggested``
        (shares of the neighbours, NaN without embedding); ``reasons``, in words; ``pixels``, ``area_ha``; ``row``,
        ``col`` (centre), ``row0``, ``col0``, ``row1``, ``col1`` (bounds, ends exclusive), pixels of the scene.

    Raises
    ------
    GridError
        If the grids differ.
    MissingError
        If the labels do not know their parcels.
    InputError
        If no parcel with a declared crop is wholly judged and large enough.
    """
    options = options or SuspectOptions()
    common = CommonLegend.of(labels.legend, prediction.legend)
    for remark in common.remarks:
        yield Note(remark, warning=True)
    sums = yield from _sums(prediction, labels, embedding, judged, common, options)
    declared = np.where(sums.declared.any(1), sums.declared.argmax(1), -1)
    ranked = (declared >= 0) & (sums.judged == sums.pixels) & (sums.pixels >= options.least_px)
    if not ranked.any():
        raise InputError(
            f"No parcel of {labels.name} with a declared crop and at least {options.least_px} pixels lies wholly among "
            f"the pixels {judged.words}, so none can be ranked. Hold back more blocks (data.test_share), or map a "
            "scene that the model never saw."
        )
    votes = None
    if embedding is not None:
        votes = yield from _votes(sums, declared, ranked, len(common.legend), options.neighbours)
    return _ranked(sums, declared, ranked, common.legend, pixel_size_m(labels.grid), votes)


def pooled(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Make one ranking of several that come from models trained on different blocks, so that all parcels are ranked.

    A parcel that several models rank has the mean of its scores, and the reasons of the model that doubts it most.
    """
    rows = pd.concat(tables).sort_values("score", ascending=False, kind="stable")
    mean = rows.groupby("id")["score"].mean()
    first = rows.drop_duplicates("id")
    return _sorted(first.assign(score=first["id"].map(mean)))


def label_next(
    prediction: Prediction,
    labels: LabelMap,
    options: SuspectOptions | None = None,
    *,
    unlabelled_only: bool = False,
) -> Job[pd.DataFrame]:
    """Rank parcels by how much the network has yet to learn from them. Read block by block.

    The score is the mean of two shares, each 0 to 1: the *uncertainty* is the mean entropy of the class probabilities
    of the parcel's pixels, divided by the largest possible; the *boundary disagreement* is the share of its pixels
    beside another parcel or unregistered land (3 x 3 window) whose predicted class is not the one that most of its
    interior has. No label is used, so that parcels without a crop are ranked like all others. On three simulated
    scenes 58 % of the first 20 were mapped wrongly, and 14 % of all; whether their labels teach more than those of
    others was not measured.

    Parameters
    ----------
    prediction : Prediction
        The map, as for `suspects`.
    labels : LabelMap
        Parcels, on the same grid; whether their crop is known does not matter.
    options : SuspectOptions, optional
        Least size, blocks.
    unlabelled_only : bool
        Leave out parcels whose crop is known.

    Returns
    -------
    DataFrame
        One row a parcel, the most useful first: ``id``; ``declared`` and ``declared_crop`` (the ignore id and an empty
        text where not known); ``suggested`` and ``suggested_crop``, what most of its interior is mapped as; ``score``;
        ``uncertainty``; ``disagreement`` (0 where no pixel is at the boundary); ``reasons``; size and place as in
        `suspects`.

    Raises
    ------
    GridError, MissingError, InputError
        If the grids differ; if the labels do not know their parcels; if no parcel is left.
    """
    options = options or SuspectOptions()
    common = CommonLegend.of(labels.legend, prediction.legend)
    sums = yield from _sums(prediction, labels, None, Judged(None, ""), common, options)
    declared = np.where(sums.declared.any(1), sums.declared.argmax(1), -1)
    kept = (sums.pixels >= options.least_px) & ((declared < 0) | (not unlabelled_only))
    if not kept.any():
        raise InputError(
            f"No parcel of {labels.name} is left to rank{' that has no crop yet' if unlabelled_only else ''}. Give "
            "outlines of more parcels, or rank smaller ones, too (least_px)."
        )
    edge, inside = sums.votes
    majority = np.where(sums.px[1][:, None] > 0, inside, edge).argmax(1)
    agreeing = np.take_along_axis(edge, majority[:, None], 1)[:, 0]
    disagreement = np.where(sums.px[0] > 0, 1 - agreeing / np.maximum(1, sums.px[0]), 0.0)
    uncertainty = sums.entropy.sum(0) / sums.pixels
    reasons = [
        f"The network is unsure ({unsure:.0%} of the largest entropy), and {other:.0%} of the boundary is mapped as "
        "another crop than most of the inside."
        for unsure, other in zip(uncertainty, disagreement, strict=True)
    ]
    table = pd.DataFrame({
        "id": sums.id, **_crops(common.legend, declared=declared, suggested=majority),
        "score": (uncertainty + disagreement) / 2, "uncertainty": uncertainty, "disagreement": disagreement,
        "reasons": reasons, **_place(sums, pixel_size_m(labels.grid)),
    })  # fmt: skip
    return _sorted(table[kept])


def _sums(
    prediction: Prediction, labels: LabelMap, embedding: Embedding | None, judged: Judged, common: CommonLegend,
    options: SuspectOptions,
) -> Job[ParcelSums]:  # fmt: skip
    require_same(prediction.grid, labels.grid, f"The map {prediction.name} and the labels {labels.name}")
    if embedding is not None:
        require_same(embedding.grid, labels.grid, f"The embedding and the labels {labels.name}")
    if labels.parcel_ids is None:
        raise MissingError(NO_PARCELS.format(labels.name))
    pieces, shape = [], labels.ids.shape
    total = tile_count((shape[0], shape[1]), options.block_px)
    for number, block in enumerate(tiles((shape[0], shape[1]), options.block_px), 1):
        if labels.parcel_ids[block.slices].any():
            pieces.append(ParcelSums.of(_look(prediction, labels, embedding, judged, common, block)))
        yield Progress("looking at parcels", number, total, "block")
    if not any(len(piece.id) for piece in pieces):
        raise InputError(f"No parcel of {labels.name} has a predicted pixel in {prediction.name}. Map that place.")
    return ParcelSums.merge(pieces)


def _look(
    prediction: Prediction, labels: LabelMap, embedding: Embedding | None, judged: Judged, common: CommonLegend,
    block: Window,
) -> Sight:  # fmt: skip
    around = block.grown(1, (labels.ids.shape[0], labels.ids.shape[1]))
    parcels: Any = labels.parcel_ids
    boundary = parcel_boundary(parcels[around.slices], 1)[block.within(around).slices]
    seen = None if embedding is None else embedding.values[:, *block.slices].values.astype(np.float32)
    where = judged.where_YX
    return Sight(
        parcels[block.slices], labels.index(block), _probabilities(prediction, common, block), seen, ~boundary,
        np.ones(boundary.shape, bool) if where is None else where[block.slices], (block.row, block.col),
    )  # fmt: skip


def _probabilities(prediction: Prediction, common: CommonLegend, block: Window) -> NDArray[np.float32]:
    """Probability of each class of the common legend, axes (class, y, x); NaN where nothing was predicted."""
    ids, confidence = prediction.read(block)
    index, classes = common.index(ids), len(common.legend)
    found = np.zeros((classes, *ids.shape), np.float32)
    own = common.index(np.array(prediction.legend.ids))
    if prediction.probabilities is not None:
        stored = prediction.probabilities[:, *block.slices].values.astype(np.float32)
        found[own] = stored / np.maximum(1, stored.sum(0))
    else:
        found[own] = (1 - confidence) / max(1, len(own) - 1)
        np.put_along_axis(found, np.maximum(index, 0)[None], confidence[None], 0)
    found[:, (index < 0) | np.isnan(confidence)] = np.nan
    return found


def _votes(
    sums: ParcelSums, declared: NDArray[np.int64], ranked: NDArray[np.bool_], classes: int, neighbours: int
) -> Job[NDArray[np.float64]]:
    feature, asked = sums.mean("feature"), np.flatnonzero(ranked)
    votes = []
    for first in range(0, len(asked), AT_ONCE):
        part = np.zeros_like(ranked)
        part[asked[first : first + AT_ONCE]] = True
        votes.append(neighbour_votes(feature, declared, part, classes, neighbours))
        yield Progress("comparing parcels", min(first + AT_ONCE, len(asked)), len(asked), "parcel")
    return np.concatenate(votes)


def _ranked(
    sums: ParcelSums, declared: NDArray[np.int64], ranked: NDArray[np.bool_], legend: Legend,
    size_m: tuple[float, float], voted: NDArray[np.float64] | None,
) -> pd.DataFrame:  # fmt: skip
    probability, own = sums.mean("probability")[ranked], declared[ranked]
    score, other = doubt(probability, own)
    votes = np.full_like(probability, np.nan)
    if voted is not None:
        votes = voted
        score = (score + doubt(votes, own)[0]) / 2
        other = doubt((probability + votes) / 2, own)[1]
    rows = np.arange(len(own))
    shares = [values[rows, of] for values in (probability, votes) for of in (own, other)]
    confident = said_with_confidence(probability, own) == other
    crops = _crops(legend, declared=own, suggested=other)
    names = crops["declared_crop"], crops["suggested_crop"]
    reasons = [_why(*each) for each in zip(*names, *shares, confident, strict=True)]
    table = pd.DataFrame({
        "id": sums.id[ranked], **crops, "score": score, "confident": confident, "share_declared": shares[0],
        "share_suggested": shares[1], "like_declared": shares[2], "like_suggested": shares[3], "reasons": reasons,
    })  # fmt: skip
    place = pd.DataFrame(_place(sums, size_m))[ranked].reset_index(drop=True)
    return _sorted(pd.concat([table, place], axis=1))


def _why(
    declared: str, suggested: str, is_declared: float, is_suggested: float, like_declared: float, like_suggested: float,
    confident: bool,
) -> str:  # fmt: skip
    text = f"The map says {suggested} with {is_suggested:.0%} and {declared} with {is_declared:.0%}"
    text += ", as sure as it is of parcels declared as that." if confident else "."
    if np.isnan(like_declared):
        return text
    return (
        f"{text} Of the parcels that look most alike, {like_suggested:.0%} are declared {suggested} and "
        f"{like_declared:.0%} {declared}."
    )


def _crops(legend: Legend, **index: NDArray[np.int64]) -> dict[str, Any]:
    ids, names = np.array([*legend.ids, legend.ignore]), np.array([*legend.names, ""], object)
    found: dict[str, Any] = {}
    for name, values in index.items():
        found |= {name: ids[values], f"{name}_crop": names[values]}
    return found


def _place(sums: ParcelSums, size_m: tuple[float, float]) -> dict[str, Any]:
    area = sums.pixels * size_m[0] * size_m[1] / 1e4
    return {"pixels": sums.pixels, "area_ha": area, **sums.place()}


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(["score", "id"], ascending=[False, True], ignore_index=True)
