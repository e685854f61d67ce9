"""What training on a published dataset does first: look at some of its entries, and begin the card of the model to be.

A dataset may be larger than the memory, and its entries are too many to list on a card: they are opened in turn, and
the card names their folds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.card import ModelCard
from cscl.data.batches import Patches, Source, statistics
from cscl.data.datasets import Entry, Folds
from cscl.data.entries import EntryPatches, whole_source
from cscl.data.split import Side
from cscl.errors import InputError
from cscl.events import Event, Note, Progress
from cscl.grid import Window
from cscl.products import Scene
from cscl.recipe import Recipe

from .prepare import Prepared, new_card, prepare, versions

__all__ = ["PreparedFolds", "folds_of", "prepared_of"]

LOOKS = 64  # entries that are looked at for dates and, where none are published, statistics
COUNTED = 2048  # entries whose classes are counted


@dataclass(frozen=True, eq=False)
class PreparedFolds(Prepared):
    """A dataset with its folds, and the card without weights."""

    folds: Folds = field(kw_only=True)
    counts: NDArray[np.int64] = field(kw_only=True, repr=False)
    shape: tuple[int, int] = field(kw_only=True)
    parcels: bool = field(kw_only=True)

    def patches(
        self, side: Side, target: str, *, augment: bool, patch_px: int | None = None, dates: int | None = None
    ) -> Patches:
        """Make the drawer of patches of a side.

        Raises
        ------
        InputError
            If parcels are wanted and the dataset does not know them.
        """
        card, data = self.card, self.card.recipe.data
        if target == "parcel" and not self.parcels:
            raise InputError(
                f"{self.folds.dataset.name} does not know its parcels. Pre-train by crop class with --set "
                "pretrain.target=class."
            )
        entries: Sequence[Entry] = self.folds.entries(side)
        if side is Side.TRAIN and target in ("class", "both"):
            entries = _with_few_crops(entries, card.recipe, outlines=target == "both" and self.parcels)
        return EntryPatches(
            entries, side, target, patch_px or data.patch_px, dates or card.dates, np.array(card.mean),
            np.array(card.std), bands=card.bands, days_of=card.days_of, augment=augment, **self.drawing(target),
        )  # fmt: skip

    def class_counts(self) -> NDArray[np.int64]:
        """Training pixels of each class, counted in at most 2048 entries."""
        return self.counts

    @property
    def outlined(self) -> bool:
        """Whether the entries know their parcels."""
        return self.parcels

    @property
    def several_parcels(self) -> bool:
        """Taken for granted of entries that know their parcels at all."""
        return self.parcels

    @property
    def smallest_px(self) -> int:
        """Shorter side of an entry."""
        return min(self.shape)


def prepared_of(
    scenes: Sequence[Scene] | Folds,
    recipe: Recipe,
    out: Path,
    *,
    start: str | Path | None = None,
    window: Window | None = None,
) -> Generator[Event, None, Prepared]:
    """Make ready to train on scenes, as `prepare` does, or on the folds of a dataset.

    Raises
    ------
    CSCLError
        As `prepare`; or for an entry that cannot be read, or a model to start from that has learnt from what is to be
        held back now.
    """
    if not isinstance(scenes, Folds):
        return (yield from prepare(scenes, recipe, out, start=start, window=window))
    before = ModelCard.open(start) if start is not None else None
    _require_unseen(scenes, before)
    entries = scenes.entries(Side.TRAIN)
    first = entries[0].open()
    _require_fitting(first, recipe)
    card = before or _begun(first, scenes.dataset.reference, recipe)
    sources = yield from _looked_at(_some(entries, LOOKS), card)
    if before is None:
        card = _with_facts(card, recipe, scenes, sources)
    known = _with_few_crops(entries, recipe)
    if len(known) < len(entries):
        yield Note(f"Crops of {len(known)} of {len(entries)} entries are used, as data.label_share says.")
    counts = yield from _counted(_some(known, COUNTED), len(scenes.dataset.legend))
    card = replace(
        card, name=out.name, recipe=recipe, legend=scenes.dataset.legend, made=versions(),
        data=(_described(scenes, sources, counts),),
    )  # fmt: skip
    if set(scenes.validation) & set(scenes.test):
        yield Note("The same entries choose the weights and judge them, which flatters the figures.", warning=True)
    parcels = first.labels.parcel_ids is not None
    return PreparedFolds((), card, folds=scenes, counts=counts, shape=first.cube.shape, parcels=parcels)


def folds_of(card: ModelCard) -> dict[str, Any] | None:
    """Say which dataset and folds a model learnt from: name, training, validation and test; None if from scenes."""
    for data in card.data:
        if "dataset" in data:
            return dict(data["dataset"])
    return None


def _require_unseen(folds: Folds, before: ModelCard | None) -> None:
    """Refuse to hold back what the model to start from has learnt from."""
    then = folds_of(before) if before is not None else None
    if then is None or then["name"] != folds.dataset.name or before is None:
        return
    seen = {*then["training"], *then["validation"]} & set(folds.test)
    if seen:
        raise InputError(
            f"Fold {', '.join(sorted(seen))} is to judge, but {before.name} has learnt from it. Start from a model of "
            f"the same split, {'/'.join(','.join(then[side]) for side in ('training', 'validation', 'test'))}."
        )


def _require_fitting(scene: Scene, recipe: Recipe) -> None:
    if min(scene.cube.shape) < recipe.data.patch_px:
        raise InputError(
            f"The entries have {scene.cube.shape[0]} x {scene.cube.shape[1]} pixels, fewer than a sample of "
            f"{recipe.data.patch_px} x {recipe.data.patch_px}. Set data.patch_px={min(scene.cube.shape)}."
        )
    if recipe.data.finer != scene.finer:
        have = f"{scene.finer} times finer pixels than" if scene.finer > 1 else "the pixels of"
        raise InputError(
            f"The labels of the entries have {have} their images, and data.finer is {recipe.data.finer}. Set "
            f"data.finer={scene.finer}, or name a layout of finer labels, if there is one: t31tfm_x4."
        )


def _with_few_crops(entries: Sequence[Entry], recipe: Recipe, *, outlines: bool = False) -> list[Entry]:
    """Choose the entries whose crops are used: shares of few labels are published by whole entries.

    The others are left out, or kept without their crops for the sake of their outlines.
    """
    count = max(1, round(recipe.data.label_share * len(entries)))
    known = {int(n) for n in np.random.default_rng([recipe.seed, 0xFE3]).permutation(len(entries))[:count]}
    return [
        entry if number in known else replace(entry, open=partial(_without_crops, entry))
        for number, entry in enumerate(entries)
        if outlines or number in known
    ]


def _without_crops(entry: Entry) -> Scene:
    scene = entry.open()
    ids = np.full_like(scene.labels.ids, scene.labels.legend.ignore)
    return replace(scene, labels=replace(scene.labels, ids=ids))


def _begun(scene: Scene, reference: dt.date, recipe: Recipe) -> ModelCard:
    """Begin a card with one entry: all others are moved by whole years into the season that it shows."""
    days = scene.cube.days(reference)
    years = int(days[0] // 365.25 * 365.25)
    card = new_card([scene], recipe)
    return replace(card, reference_date=reference, first_day=int(days[0]) - years, last_day=int(days[-1]) - years)


def _some(entries: Sequence[Entry], most: int) -> list[Entry]:
    """At most so many of the entries, evenly chosen."""
    chosen = np.unique(np.linspace(0, len(entries) - 1, min(most, len(entries))).round().astype(int))
    return [entries[place] for place in chosen]


def _looked_at(entries: Sequence[Entry], card: ModelCard) -> Generator[Event, None, list[Source]]:
    sources = []
    for number, entry in enumerate(entries, 1):
        scene = entry.open()
        sources.append(whole_source(scene, Side.TRAIN, card.bands, card.days_of(scene.cube.dates)))
        yield Progress("looking at entries", number, len(entries), "entry")
    return sources


def _counted(entries: Sequence[Entry], classes: int) -> Generator[Event, None, NDArray[np.int64]]:
    counts = np.zeros(classes, np.int64)
    for number, entry in enumerate(entries, 1):
        index = entry.open().labels.index()
        counts += np.bincount(index[index >= 0], minlength=classes)
        yield Progress("counting classes", number, len(entries), "entry")
    return counts


def _with_facts(card: ModelCard, recipe: Recipe, folds: Folds, sources: Sequence[Source]) -> ModelCard:
    """Fill in statistics, season and the most dates, as far as the entries looked at show them."""
    published = None if folds.own_statistics else folds.dataset.moments(folds.train)
    mean, std = published or statistics(sources)
    first, last = min(int(s.days[0]) for s in sources), max(int(s.days[-1]) for s in sources)
    dates = min(recipe.data.dates, max(len(source.days) for source in sources))
    return replace(
        card, mean=tuple(map(float, mean)), std=tuple(map(float, std)), first_day=first, last_day=last, dates=dates
    )


def _described(folds: Folds, sources: Sequence[Source], counts: NDArray[np.int64]) -> dict[str, Any]:
    """Say on a card what the dataset was, in plain values, without a list of its entries."""
    dataset, cube = folds.dataset, sources[0].scene.cube
    dates = sorted({str(d)[:10] for source in sources for d in source.scene.cube.dates})
    sides = {"training": folds.train, "validation": folds.validation, "test": folds.test}
    return {
        "images": f"{dataset.name} ({len(folds)} entries of fold {', '.join(folds.train)})",
        "labels": "their labels",
        "dates": dates,
        "radiometry": cube.radiometry.source,
        "notes": list(dataset.notes),
        "classes": {str(i): int(n) for i, n in zip(dataset.legend.ids, counts, strict=True)},
        "dataset": {"name": dataset.name, **{side: list(names) for side, names in sides.items()}},
    }
