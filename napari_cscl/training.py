"""Training on what is open: the run that the Train panel describes, its jobs, and the run to copy. No Qt, no napari.

Whatever comes with torch is imported in the jobs, beside the window: the import takes a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cscl.data.commands import Run
from cscl.data.readers import ReadOptions
from cscl.data.scenes import LabelOptions, label_bytes
from cscl.errors import InputError
from cscl.events import Job, Progress
from cscl.grid import GeoBox, refined, same
from cscl.parcels import Parcels
from cscl.products import Scene
from cscl.recipe import Recipe, build

from .finer import labels_at, require_polygons
from .session import Session

__all__ = ["estimate", "free_name", "is_unfinished", "list_choices", "make", "repeatable", "run_of"]


def run_of(
    session: Session, out: Path, recipe: Recipe, stages: tuple[bool, bool], start: Path | None, device: str
) -> Run:
    """Describe the run that makes a model of what is open.

    Parameters
    ----------
    stages : tuple of bool
        Whether it pre-trains and whether it trains.
    start : Path or None
        Folder of the open model if training goes on with it; its network is taken whatever the recipe says, and maps
        stay as fine as its own.
    """
    if start is not None and session.model is not None:
        card = session.model.card
        finer: Any = max(recipe.data.finer, card.finer)
        recipe = replace(recipe, model=card.model, data=replace(recipe.data, finer=finer))
    parcels = session.parcels
    labelling = LabelOptions() if parcels is None else LabelOptions(parcels.class_column, align=parcels.aligned)
    return Run(
        _place(session.cube), _place(session.labels), out, recipe, *stages, start,
        reading=_reading(session.cube), labelling=labelling, device=device,
    )  # fmt: skip


def repeatable(session: Session, meant: Run) -> tuple[Run, str]:
    """Return a run that can be repeated from files alone, and what has to be said about it.

    Classes that are not those of the parcels alone, e.g. as they have the ids of a model, are written beside the model.

    Raises
    ------
    InputError
        If what is open was not opened from files as it is.
    """
    for thing, name in ((session.cube, "images"), (session.labels, "labels")):
        if thing is None or thing.path is None:
            raise InputError(f"The {name} were not opened from a file as they are, so a copy would not find them.")
    parcels, labels = session.parcels, session.labels
    if parcels is None or labels is None or not parcels.class_column or parcels.legend() == labels.legend:
        return meant, ""
    legend = meant.out.with_name(f"{meant.out.name}-legend.csv")
    legend.parent.mkdir(parents=True, exist_ok=True)
    labels.legend.to_csv(legend)
    labelling = replace(meant.labelling, legend=str(legend))
    return replace(meant, labelling=labelling), f" The classes that it names are kept in {legend}."


def list_choices() -> Job[Mapping[str, Mapping[str, type]]]:
    """List the networks and losses that a recipe can name."""
    yield Progress("listing", 0, 1, "part")
    from cscl.training.choices import choices

    return choices()


def estimate(scene: Scene, parcels: Parcels | None, meant: Run) -> Job[Any]:
    """Estimate what a run takes, with the labels that it reads anew at finer pixels.

    Raises
    ------
    CSCLError
        As `make` does for labels and recipes that cannot be used.
    """
    from cscl.training.needs import needs

    stages = {"pretraining": meant.pretraining, "training": meant.training}
    grid = _labelled(scene, meant)
    anew = not same(scene.labels.grid, grid)
    if anew:
        require_polygons(scene.labels, parcels, grid)
    found = yield from needs(scene, meant.out, meant.recipe, **stages, device=meant.device)
    # Labels lie in the computer's memory: beside a GPU they take nothing of what is counted.
    more = label_bytes(grid) if anew and found.device == "cpu" else 0
    return replace(found, memory_bytes=found.memory_bytes + more)


def make(meant: Run, scene: Scene, parcels: Parcels | None, resume: bool) -> Job[Path]:
    """Carry a run out; for finer maps, labels are made of the polygons at the finer pixels first.

    Raises
    ------
    CSCLError
        As `labels_at` and `cscl.training.stages.carry_out` do.
    """
    from cscl.training.stages import carry_out

    labels = yield from labels_at(scene.labels, parcels, _labelled(scene, meant))
    return (yield from carry_out(meant, [Scene(scene.cube, labels)], resume=resume))


def _labelled(scene: Scene, meant: Run) -> GeoBox:
    """Grid of the labels that a run learns from."""
    return refined(scene.cube.grid, meant.recipe.data.finer)


def is_unfinished(folder: Path) -> bool:
    """Whether a run into this folder was stopped and can be gone on with."""
    from cscl.training.stages import is_unfinished as is_unfinished_there

    return is_unfinished_there(folder)


def free_name(path: Path) -> Path:
    """Return the path, or the first of those with a number behind it, where no model and no unfinished one lies."""
    stem = path.name.rstrip("0123456789").removesuffix("-") or path.name
    names = (path.name, *(f"{stem}-{number}" for number in range(2, 1000)))
    ends = ("", ".part", "-pretrained", "-pretrained.part")
    free = (path.with_name(name) for name in names if not any(path.with_name(name + end).exists() for end in ends))
    return next(free, path)


def _reading(cube: Any) -> ReadOptions:
    return ReadOptions() if cube is None else build(ReadOptions, cube.reading, f"how {cube.name} was read")


def _place(thing: Any) -> Path:
    return Path() if thing is None else thing.path or Path(thing.name)
