"""What both kinds of training do first: check the scenes, split them, and begin the card of the model to be."""

from __future__ import annotations

import datetime as dt
import platform
from collections.abc import Generator, Sequence, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import cscl
from cscl.card import ModelCard
from cscl.data.at_hand import STRIP_PX, at_hand, held_in_memory
from cscl.data.batches import Patches, Source, statistics
from cscl.data.split import Side, split_blocks, split_window, without_strays
from cscl.errors import InputError, MissingError
from cscl.events import Event, Note, Progress
from cscl.grid import GeoBox, Window, pixel_size_m
from cscl.models import Network
from cscl.products import Scene
from cscl.recipe import Recipe
from cscl.results import existing

from . import team
from .few import with_few_crops
from .save import split_of

__all__ = ["Prepared", "describe_scene", "new_card", "prepare", "require_scenes", "suited", "versions"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Scenes with their sides and days, and the card without weights."""

    sources: tuple[Source, ...]
    card: ModelCard

    def patches(
        self, side: Side, target: str, *, augment: bool, patch_px: int | None = None, dates: int | None = None
    ) -> Patches:
        """Make the drawer of patches of a side; their side and most dates are those of the recipe, or given."""
        card, data = self.card, self.card.recipe.data
        return Patches(
            self.sources, side, target, patch_px or data.patch_px, dates or card.dates, np.array(card.mean),
            np.array(card.std), augment=augment, **self.drawing(target),
        )  # fmt: skip

    def drawing(self, target: str) -> dict[str, Any]:
        """Seed, shares, part and variation of patches; losses that read views, so any pixel, vary them themselves."""
        recipe, data, varied = self.card.recipe, self.card.recipe.data, target != "any"
        contrasted = target in ("parcel", "both") or (target == "class" and recipe.train.joint_weight > 0)
        return {
            "seed": recipe.seed,
            "shares": contrasted and recipe.pretrain.soft_edges,
            "date_dropout": data.date_dropout if varied else 0.0,
            "jitter": data.jitter if varied else 0.0,
            "part": team.part(),
        }

    def class_counts(self) -> NDArray[np.int64]:
        """Training pixels of each class of the legend."""
        legend, counts = self.card.legend, np.zeros(len(self.card.legend), np.int64)
        for source in self.sources:
            by_id = source.scene.labels.counts(source.side_YX == Side.TRAIN)
            counts += [by_id[i] for i in legend.ids]
        return counts

    @property
    def outlined(self) -> bool:
        """Whether the labels know their parcels."""
        return any(source.scene.labels.parcel_ids is not None for source in self.sources)

    @property
    def several_parcels(self) -> bool:
        """Whether some labels hold more than one parcel in the training part."""
        return any(_several_parcels(source) for source in self.sources)

    @property
    def smallest_px(self) -> int:
        """Shorter side of the smallest scene, in pixels of its images."""
        return int(min(min(source.scene.cube.shape) for source in self.sources))


def _several_parcels(source: Source) -> bool:
    """Whether a scene does; most show it in their first rows, so that a whole tile is not read for it."""
    ids_YX, ends = source.scene.labels.parcel_ids, set[int]()
    if ids_YX is None:
        return False
    for row in range(0, len(ids_YX), STRIP_PX):
        rows = slice(row, row + STRIP_PX)
        ids = ids_YX[rows][source.side_YX[rows] == Side.TRAIN]
        ids = ids[ids > 0]
        ends |= {int(ids.min()), int(ids.max())} if ids.size else set()
        if len(ends) > 1:
            return True
    return False


def prepare(
    scenes: Sequence[Scene],
    recipe: Recipe,
    out: Path,
    *,
    start: str | Path | None = None,
    window: Window | None = None,
) -> Generator[Event, None, Prepared]:
    """Check scenes and make ready to train on them.

    Parameters
    ----------
    scenes : sequence of Scene
        At least one. All are read in the bands of the first, or of `start`.
    recipe : Recipe
        Settings of the run.
    out : Path
        Model folder to be; its name goes onto the card.
    start : path, optional
        Model folder that training starts from: its bands, statistics, number of dates and reference date are kept, and
        on scenes that it knows its split, so that what is held back now was not seen then either.
    window : Window, optional
        Train inside it only, whatever parcels cross its edge; without it, blocks are held back as the recipe says.

    Raises
    ------
    InputError, UnknownNameError, GridError
        A missing band, too small an image, degrees instead of metres.
    """
    before = ModelCard.open(start) if start is not None else None
    bands = before.bands if before else scenes[0].cube.bands
    scenes = [replace(scene, cube=scene.cube.select(bands=bands)) for scene in scenes]
    for scene in scenes:
        _require_finer(scene, recipe.data.finer)
        if min(scene.cube.shape) < recipe.data.patch_px:
            raise InputError(
                f"{scene.cube.name} has {scene.cube.shape[0]} x {scene.cube.shape[1]} pixels, fewer than a sample of "
                f"{recipe.data.patch_px} x {recipe.data.patch_px}. Use a larger image or set data.patch_px lower."
            )
    sides = yield from _split(scenes, recipe, start, window)
    if recipe.data.label_share < 1:
        scenes = yield from with_few_crops(scenes, sides, recipe.data.label_share, recipe.seed)
    card = before or new_card(scenes, recipe)
    sources = []
    for scene, side in zip(scenes, sides, strict=True):
        # Of several processes each would make a copy of its own.
        reading = held_in_memory(scene.cube) if team.part() else at_hand(scene.cube, existing(out))
        cube = yield from reading
        sources.append(Source(replace(scene, cube=cube), side, card.days_of(cube.dates)))
    card = card if before else _with_data(card, sources)
    if window is not None:
        yield Note("Training inside a drawn window: parcels that cross its edge lie on both sides.")
    card = replace(card, name=out.name, recipe=recipe, legend=scenes[0].labels.legend, data=_describe(scenes))
    return Prepared(tuple(sources), replace(card, made=versions()))


def suited(prepared: Prepared, network: Network, card: ModelCard) -> Prepared:
    """Return the prepared scenes with the completed card.

    Raises
    ------
    InputError
        If a scene has fewer dates than the network needs.
    """
    least = network.needs.least_dates
    for source in prepared.sources:
        if len(source.days) < least:
            raise InputError(
                f"{source.scene.cube.name} has {len(source.days)} date, and the network {card.model.name} needs at "
                f"least {least}. Add images of the season."
            )
    return replace(prepared, card=card)


def new_card(scenes: Sequence[Scene], recipe: Recipe) -> ModelCard:
    """Begin a card with what is known before any pixel is read."""
    first = scenes[0].cube
    reference = dt.date(int(str(first.dates[0])[:4]), 1, 1)
    days = first.days(reference)
    height, width = pixel_size_m(first.grid)
    return ModelCard(
        name="", stage="pretrained", model=recipe.model, bands=first.bands, mean=(), std=(),
        legend=scenes[0].labels.legend, reference_date=reference, first_day=int(days[0]), last_day=int(days[-1]),
        dates=min(recipe.data.dates, max(len(s.cube.dates) for s in scenes)),
        pixel_size_m=(height * width) ** 0.5, recipe=recipe,
    )  # fmt: skip


def _require_finer(scene: Scene, finer: int) -> None:
    if scene.finer != finer:
        have = f"{scene.finer} times finer pixels than" if scene.finer > 1 else "the pixels of"
        raise InputError(
            f"The labels {scene.labels.name} have {have} the images {scene.cube.name}, and data.finer is {finer}. Set "
            f"data.finer={scene.finer}, or read the labels onto refined(cube.grid, {finer})."
        )


def _with_data(card: ModelCard, sources: Sequence[Source]) -> ModelCard:
    """Fill in what the training data say: the statistics of the bands and the span of the season."""
    mean, std = statistics(sources)
    first, last = min(int(s.days[0]) for s in sources), max(int(s.days[-1]) for s in sources)
    return replace(card, mean=tuple(map(float, mean)), std=tuple(map(float, std)), first_day=first, last_day=last)


def _split(
    scenes: Sequence[Scene], recipe: Recipe, start: str | Path | None, window: Window | None
) -> Generator[Event, None, list[NDArray[np.uint8]]]:
    """Sides of the pixels of each scene. Scenes of one place, such as two years of it, are split alike."""
    sides: list[NDArray[np.uint8]] = []
    for number, scene in enumerate(scenes):
        yield Progress("splitting", number, len(scenes), "scene")
        alike = [i for i in range(number) if scenes[i].labels.grid == scene.labels.grid]
        sides.append(sides[alike[0]] if alike else _sides(scene, recipe, number, start, window))
    yield Progress("splitting", len(scenes), len(scenes), "scene")
    return sides


def _sides(
    scene: Scene, recipe: Recipe, number: int, start: str | Path | None, window: Window | None
) -> NDArray[np.uint8]:
    """Sides of the pixels of a scene: none that `start` learnt from is held back."""
    data, former = recipe.data, _former_sides(start, scene.labels.grid)
    wanted = {Side.VALIDATION: data.validation_share, Side.TEST: data.test_share}
    if window is not None:
        side = split_window(scene.labels.ids.shape, window.refined(scene.finer))
    elif former is not None and all((former == s).any() for s, share in wanted.items() if share):
        return without_strays(former, scene.labels.parcel_ids)
    else:
        side = split_blocks(
            scene.labels, data.block_px, data.validation_share, data.test_share, recipe.seed + number, scene.finer
        )
    if former is not None:
        side[(side != Side.TRAIN) & ((former == Side.TRAIN) | (former == Side.VALIDATION))] = Side.NONE
    return side


def _former_sides(start: str | Path | None, grid: GeoBox) -> NDArray[np.uint8] | None:
    try:
        return None if start is None else split_of(start, grid)
    except MissingError:
        return None


def _describe(scenes: Sequence[Scene]) -> tuple[dict[str, Any], ...]:
    return tuple(describe_scene(scene) for scene in scenes)


def describe_scene(scene: Scene) -> dict[str, Any]:
    """Say on a card what a scene was, in plain values."""
    cube, labels = scene.cube, scene.labels
    return {
        "images": cube.name,
        "reading": dict(cube.reading),
        "labels": labels.name,
        "dates": [str(d.astype("datetime64[D]")) for d in cube.dates],
        "crs": str(cube.grid.crs),
        "bounds": list(cube.grid.boundingbox.bbox),
        "radiometry": cube.radiometry.source,
        "notes": list(cube.notes),
        "label_notes": list(labels.notes),
        "classes": {str(k): v for k, v in labels.counts().items()},
    }


def versions() -> dict[str, str]:
    """Say when a model was made, and with what."""
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    return {"when": now, "cscl": cscl.__version__, "torch": torch.__version__, "python": platform.python_version()}


def require_scenes(scenes: Sized) -> None:
    """Refuse an empty list of scenes."""
    if not scenes:
        raise InputError("There is no scene to train on. Give a cube and its labels.")
