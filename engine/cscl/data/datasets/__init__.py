"""Published datasets: folders of small scenes, each of them with its images, its labels and the fold it belongs to.

A layout says in one sentence what it reads, recognises its folder by its look, and opens it without reading pixels: an
entry becomes a `Scene` when it is asked for, so that a dataset may be larger than the memory. To add a dataset, add one
file here with a ``matches``, an ``open`` and one ``register`` line. Files whose names begin with an underscore are what
the layouts share.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cscl.data.split import Side
from cscl.errors import InputError, MissingError
from cscl.legend import Legend
from cscl.products import Scene
from cscl.registry import Registry, nearest

__all__ = ["Dataset", "Entry", "Folds", "Layout", "Moments", "datasets", "is_dataset", "open_dataset"]

Moments = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of the reflectance by band."""


@dataclass(frozen=True)
class Entry:
    """One small scene of a dataset: its name, its fold, and what opens it."""

    name: str
    fold: str
    open: Callable[[], Scene] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A published dataset in its official layout.

    Parameters
    ----------
    name : str
        What its authors call it.
    path : Path
        Its folder.
    entries : tuple of Entry
        In an order that is the same on every machine.
    legend : Legend
        Its classes; what its authors do not count is unknown.
    reference : datetime.date
        Day zero of its dates.
    folds : str
        The published split, as `Folds.parse` reads it.
    moments : callable
        ``moments(folds)`` returns the published statistics for training on these folds; None where there are none, and
        those of the training entries are to be taken.
    notes : tuple of str
        What a user must know: what is left out, what is assumed.
    """

    name: str
    path: Path
    entries: tuple[Entry, ...] = field(repr=False)
    legend: Legend = field(repr=False)
    reference: dt.date
    folds: str
    moments: Callable[[Sequence[str]], Moments | None] = field(repr=False, default=lambda folds: None)
    notes: tuple[str, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """Number of entries of each fold."""
        return dict(sorted(Counter(entry.fold for entry in self.entries).items()))

    def of(self, folds: Sequence[str]) -> tuple[Entry, ...]:
        """Entries of some folds.

        Raises
        ------
        UnknownNameError
            If there is no such fold; the message lists those there are.
        """
        for fold in folds:
            if fold not in self.sizes:
                raise nearest(fold, self.sizes, "fold", str(self.path))
        return tuple(entry for entry in self.entries if entry.fold in folds)

    def iter_lines(self) -> Iterator[str]:
        """Describe the dataset in lines; opens its first entry."""
        scene = self.entries[0].open()
        cube = scene.cube
        yield f"{self.name}: dataset of {len(self.entries)} entries at {self.path}"
        yield f"  folds       {', '.join(f'{fold} ({count})' for fold, count in self.sizes.items())}"
        yield f"  published   {self.folds} (folds of training/validation/test)"
        yield f"  bands       {' '.join(cube.bands)}"
        yield f"  first       {self.entries[0].name}: {len(cube.dates)} dates, {cube.shape[0]} x {cube.shape[1]} pixels"
        yield f"  grid        {'local metres, no place on earth' if cube.grid.crs.epsg is None else cube.grid.crs}"
        yield f"  parcels     {'known' if scene.labels.parcel_ids is not None else 'not known'}"
        yield f"  stored      {cube.stored.dtype}; {cube.radiometry.source}"
        yield from (f"  note: {note}" for note in dict.fromkeys((*self.notes, *cube.notes)))
        for crop in self.legend.classes:
            yield f"  class       {crop.id:>5} {crop.code:<8} {crop.name}"


@dataclass(frozen=True, eq=False)
class Folds:
    """A dataset with a side for each of its folds: what is trained on instead of a list of scenes.

    Parameters
    ----------
    dataset : Dataset
        Its entries are opened in turn.
    train, validation, test : tuple of str
        Folds of each side. The last two may be the same, as in some published protocols; who trains is told.
    own_statistics : bool
        Standardise by the training entries, even where a mean and a standard deviation are published.

    Raises
    ------
    InputError, UnknownNameError
        If no fold trains, one that trains is also held back, or a fold is not known.
    """

    dataset: Dataset
    train: tuple[str, ...]
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    own_statistics: bool = False

    def __post_init__(self) -> None:
        both = set(self.train) & {*self.validation, *self.test}
        if both:
            raise InputError(f"Fold {', '.join(sorted(both))} is to train and to be held back. Name it on one side.")
        if not self.train:
            raise InputError(f"No fold is to train. Name some, as in --folds {self.dataset.folds}.")
        for side in (Side.TRAIN, Side.VALIDATION, Side.TEST):
            self.dataset.of(self.names(side))

    @classmethod
    def parse(cls, dataset: Dataset, text: str | None = None) -> Folds:
        """Read ``training/validation/test``, such as ``1,2,3/4/5``; a side may be empty. None: as published.

        Raises
        ------
        InputError, UnknownNameError
            If the text has another form, or as the class does.
        """
        sides = (text or dataset.folds).split("/")
        if len(sides) != 3:
            raise InputError(f"The folds '{text}' are not of the form training/validation/test, e.g. {dataset.folds}.")
        train, validation, test = (tuple(f.strip() for f in side.split(",") if f.strip()) for side in sides)
        return cls(dataset, train, validation, test)

    def __len__(self) -> int:
        return len(self.dataset.of(self.train))

    def names(self, side: Side) -> tuple[str, ...]:
        """Folds of a side."""
        return {Side.TRAIN: self.train, Side.VALIDATION: self.validation, Side.TEST: self.test}[side]

    def entries(self, side: Side) -> tuple[Entry, ...]:
        """Entries of a side."""
        return self.dataset.of(self.names(side))


@dataclass(frozen=True)
class Layout:
    """An official layout: `summary` for messages, `matches(path)`, and `open(path)`, which reads no pixels."""

    summary: str
    matches: Callable[[Path], bool]
    open: Callable[[Path], Dataset]


datasets: Registry[Layout] = Registry("dataset", "cscl.data.datasets")


def is_dataset(path: str | Path) -> bool:
    """Whether a folder looks like one of the layouts."""
    return Path(path).is_dir() and any(datasets.get(name).matches(Path(path)) for name in datasets.names())


def open_dataset(path: str | Path, name: str | None = None) -> Dataset:
    """Open a dataset in its official layout.

    Parameters
    ----------
    path : path
        Its folder.
    name : str, optional
        Registered layout, such as ``pastis``; by default the one that the folder looks like.

    Raises
    ------
    MissingError, InputError, UnknownNameError
        If there is no folder, it has another layout or lacks something; the message says what the official one has.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        raise MissingError(f"There is no folder {path}. Give the folder of the unpacked dataset.")
    if name is not None:
        return datasets.get(name).open(path)
    layouts = [datasets.get(known) for known in datasets.names()]
    for layout in layouts:
        if layout.matches(path):
            return layout.open(path)
    raise InputError(f"{path} is no known dataset. Understood are: {'; '.join(x.summary for x in layouts)}.")
