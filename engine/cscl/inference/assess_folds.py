"""How good models are on the folds of a published dataset: each entry is mapped as a whole, counted and forgotten.

Void pixels are unknown here: they are neither counted nor predicted. Published figures over several folds are those of
the sum of the confusion matrices of all of them, each judged by the model that has not seen it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

import cscl
from cscl.data.datasets import Dataset, Entry
from cscl.errors import InputError
from cscl.events import Job, Progress
from cscl.grid import Window, pixel_size_m
from cscl.metrics.tally import Tally
from cscl.report import Report
from cscl.training.folds import folds_of

from .tiles import Model, load_model, suit_cube

__all__ = ["FoldAssessOptions", "assess_folds"]

PARCELS_AN_ENTRY = 2**32  # parcel numbers are those of an entry; this far apart they are those of a dataset


@dataclass(frozen=True)
class FoldAssessOptions:
    """How models are assessed on a dataset."""

    distances_m: Annotated[
        tuple[float, ...], {"tooltip": "Upper limits of the classes of distance to an edge, metres, rising"}
    ] = (10.0, 20.0, 30.0, 50.0)


def assess_folds(
    models: Sequence[str | Path],
    dataset: Dataset,
    folds: Sequence[str] | None = None,
    options: FoldAssessOptions | None = None,
    *,
    device: str = "auto",
) -> Job[Report]:
    """Judge models by entries that they have not seen, and add up what is counted.

    Parameters
    ----------
    models : sequence of path
        Model folders. Of a split in five, five models give the published five-fold figure.
    dataset : Dataset
        Its entries are opened in turn.
    folds : sequence of str, optional
        Judge all models by these; by default each by the folds that its training held back as the test.
    options : FoldAssessOptions, optional
        Classes of distance to an edge.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises
    ------
    InputError, UnknownNameError
        If a model knows other classes, there is no fold to judge by, or two models would judge one fold.
    """
    options = options or FoldAssessOptions()
    loaded = [load_model(model, device) for model in models]
    judged = [_judged_by(model, dataset, folds) for model in loaded]
    remarks = [remark for model, names in zip(loaded, judged, strict=True) for remark in _flattered(model, names)]
    _require_apart(loaded, judged)
    jobs = [(model, entry) for model, names in zip(loaded, judged, strict=True) for entry in dataset.of(names)]
    total: Tally | None = None
    for number, (model, entry) in enumerate(jobs, 1):
        counted = _tally(model, entry, number, options.distances_m)
        total = counted if total is None else total + counted
        yield Progress("assessing", number, len(jobs), "entry")
    if total is None or not total.overall.pixels:
        raise InputError(f"No pixel of the folds of {dataset.path} has a class and a prediction. Check the dataset.")
    facts = {
        "dataset": f"{dataset.name} ({dataset.path})",
        "entries": len(jobs),
        **{f"folds judged by {model.card.name}": ", ".join(names) for model, names in zip(loaded, judged, strict=True)},
        "assessed": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "cscl": cscl.__version__,
    }
    accuracy, boundary = total.accuracy(dataset.legend), total.boundary(dataset.legend, options.distances_m)
    return Report(accuracy, boundary, facts, tuple(dict.fromkeys((*remarks, *dataset.notes))))


def _judged_by(model: Model, dataset: Dataset, folds: Sequence[str] | None) -> tuple[str, ...]:
    """Folds that a model is judged by."""
    card = model.card
    if card.stage != "trained":
        raise InputError(f"{card.name} is only pre-trained: its classifier knows nothing yet. Train it first.")
    if card.legend.ids != dataset.legend.ids:
        raise InputError(
            f"{card.name} knows {len(card.legend)} classes, not the {len(dataset.legend)} of {dataset.name}. Train a "
            "model on this dataset."
        )
    if folds is not None:
        return tuple(folds)
    known = folds_of(card)
    if known is None or known["name"] != dataset.name or not known["test"]:
        raise InputError(
            f"The card of {card.name} names no test folds of {dataset.name}. Say by which to judge with --folds, one "
            f"or more of {', '.join(dataset.sizes)}."
        )
    return tuple(known["test"])


def _flattered(model: Model, folds: Sequence[str]) -> list[str]:
    """Say which folds a model has learnt from, or was chosen by."""
    known = folds_of(model.card) or {"training": [], "validation": []}
    says = {"training": "has learnt from", "validation": "was chosen by"}
    return [
        f"{model.card.name} {said} fold {fold}, which flatters its figures."
        for side, said in says.items()
        for fold in folds
        if fold in known[side]
    ]


def _require_apart(models: Sequence[Model], judged: Sequence[Sequence[str]]) -> None:
    """Refuse to count a fold twice."""
    names = [fold for folds in judged for fold in folds]
    twice = sorted({fold for fold in names if names.count(fold) > 1})
    if twice:
        raise InputError(
            f"Fold {', '.join(twice)} would be judged by more than one of {len(models)} models, and its pixels be "
            "counted as often. Give one model a fold."
        )


def _tally(model: Model, entry: Entry, number: int, limits_m: Sequence[float]) -> Tally:
    """Map an entry as a whole, as its patches are published, and count it."""
    scene = entry.open()
    cube, _ = suit_cube(scene.cube, model.card, model.network.needs.least_dates)
    if scene.finer != model.finer:
        raise InputError(
            f"{model.card.name} maps {model.finer} times finer pixels than those of the images, and the labels of "
            f"{scene.labels.name} have {scene.finer} times finer ones. Name the layout that suits with --layout."
        )
    probabilities, _, seen = model.answer(cube, Window(0, 0, *cube.shape))
    guess = np.where(seen, probabilities.argmax(0), -1)
    parcels: Any = scene.labels.parcel_ids
    if parcels is not None:
        parcels = np.where(parcels > 0, parcels + np.int64(number * PARCELS_AN_ENTRY), 0)
    return Tally.of(
        scene.labels.index(), guess, probabilities.max(0), parcels, inner=(slice(None), slice(None)),
        classes=len(scene.labels.legend), pixel_size_m=pixel_size_m(scene.labels.grid), limits_m=limits_m,
    )  # fmt: skip
