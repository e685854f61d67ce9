"""A dataset in the layouts that others' code reads: PASTIS, and the pickles of DeepSatModels.

All of them hold reflectance x 10000 without offset, whatever scale and offset the images were stored with. A pixel that
lacks a band on a date lacks all of them there; what a mask calls cloudy keeps its values, since none of the layouts
knows masks. What a layout cannot say is said in ``export.json`` beside it, with the table of classes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import cscl
from cscl.data.datasets import Dataset, pastis, t31tfm
from cscl.errors import InputError
from cscl.events import Job, Note
from cscl.legend import Legend
from cscl.registry import nearest
from cscl.results import in_the_making, require_place

from .to_deepsat import write_pastis24, write_t31tfm
from .to_pastis import write_pastis

__all__ = ["MARK", "export_dataset"]

MARK = "export.json"


def export_dataset(dataset: Dataset, layout: str, out: str | Path, *, overwrite: bool = False) -> Job[Path]:
    """Write a dataset in another layout, entry by entry.

    Parameters
    ----------
    dataset : Dataset
        Any that `open_dataset` opens.
    layout : {"pastis", "pastis24", "t31tfm"}
        ``pastis`` has an array a patch; ``pastis24`` and ``t31tfm`` are pickles of DeepSatModels, of ten bands or of
        all thirteen, these with coarser bands at their own pixels.
    out : path
        Folder to make.
    overwrite : bool
        Replace a former export.

    Raises
    ------
    InputError, UnknownNameError, OutputError
        If there is no such layout, it has no room for the classes, the images lack a band, or it cannot be written.
    """
    if layout not in _LAYOUTS:
        raise nearest(layout, _LAYOUTS, "layout", "cscl export-dataset")
    bands, room, write = _LAYOUTS[layout]
    out = Path(out)
    require_place(out, MARK, overwrite=overwrite)
    first = dataset.entries[0].open()
    lacking = [band for band in bands if band not in first.cube.bands]
    if lacking:
        raise InputError(
            f"{dataset.name} has no {', '.join(lacking)}, which {layout} holds: it has {' '.join(first.cube.bands)}. "
            f"Make the dataset of images with all of {' '.join(bands)}."
        )
    if first.finer > 1:
        raise InputError(f"The labels opened of {dataset.name} are finer than its images. Leave out --layout.")
    if len(dataset.legend) > room and dataset.legend != _own(layout):
        raise InputError(
            f"{layout} has room for {room} classes, and {dataset.name} has {len(dataset.legend)}. Make it with "
            "--legend, a table of the classes to keep."
        )
    numbers = _numbers(dataset, layout)
    with in_the_making(out, "The export", overwrite=overwrite) as part:
        notes = yield from write(dataset, part, numbers)
        (part / MARK).write_text(_facts(dataset, layout, numbers, notes), encoding="utf-8")
    yield from (Note(note) for note in notes)
    return out


def _facts(dataset: Dataset, layout: str, numbers: Sequence[int], notes: Sequence[str]) -> str:
    classes = [
        {"number": number, "id": crop.id, "code": crop.code, "name": crop.name}
        for number, crop in zip(numbers, dataset.legend.classes, strict=True)
    ]
    facts = {
        "layout": layout,
        "of": dataset.name,
        "cscl": cscl.__version__,
        "values": "reflectance x 10000, no offset",
        "bands": list(_LAYOUTS[layout][0]),
        "classes": classes,
        "notes": list(notes),
    }
    return json.dumps(facts, indent=1, ensure_ascii=False) + "\n"


def _numbers(dataset: Dataset, layout: str) -> list[int]:
    """Say which number each class has in a layout; its own, if the dataset has the layout's classes anyway."""
    own = _own(layout)
    if dataset.legend == own:
        return list(own.ids)
    return list(own.ids)[: len(dataset.legend)] if layout == "t31tfm" else list(range(1, len(dataset.legend) + 1))


def _own(layout: str) -> Legend:
    return t31tfm.LEGEND if layout == "t31tfm" else pastis.LEGEND


Write = Callable[[Dataset, Path, Sequence[int]], Job[list[str]]]

_LAYOUTS: dict[str, tuple[tuple[str, ...], int, Write]] = {
    "pastis": (pastis.BANDS, len(pastis.LEGEND) - 1, write_pastis),
    "pastis24": (pastis.BANDS, len(pastis.LEGEND) - 1, write_pastis24),
    "t31tfm": (t31tfm.BANDS, len(t31tfm.LEGEND), write_t31tfm),
}
"""Of each layout its bands in their order, how many crops it has room for, and what writes it."""
