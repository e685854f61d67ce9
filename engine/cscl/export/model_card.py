"""The model card to read: markdown with the front matter that model hubs read (YAML), made of what is known.

Nothing is made up: what is not known is said to be unknown, and what a person must fill in is marked.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from cscl.card import ModelCard
from cscl.errors import InputError, MissingError

from .card_figures import measured, results, table
from .footprint import merged
from .stac_model_item import training_places

__all__ = ["MODEL_CARD", "model_card", "read_report"]

MODEL_CARD = "MODEL.md"
FILL_IN = "**To be filled in**"


def model_card(card: ModelCard, report: Mapping[str, Any] | None = None, *, licence: str = "") -> str:
    """Return the card of a model as markdown with front matter.

    Parameters
    ----------
    card : ModelCard
        Of the model.
    report : mapping, optional
        What an assessment found, as `cscl.report.Report.to_dict` gives it and ``report.json`` holds it. Without it
        the card says that accuracy is unknown.
    licence : str
        Identifier such as ``cc-by-4.0``; without one the card says that it is to be filled in.

    Returns
    -------
    str
        The page.
    """
    parts = [
        _front_matter(card, report, licence), f"# {card.name}", _purpose(card),
        "## Classes", _classes(card), "## What it needs", _list(_needs(card)),
        "## Training data", *_data(card), "## Training", _list(_training(card)),
        "Its recipe, with which the training can be repeated:", f"```toml\n{card.recipe.to_toml().strip()}\n```",
        "## Accuracy", *measured(card, report), "## Limits", _list(_limits(card, report)),
        "## How to run it", _running(card), "## Licence",
        licence or f"{FILL_IN}: under which terms model and maps may be used, and who must be named.",
        "## Contact", f"{FILL_IN}: who answers questions about this model.",
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def read_report(path: str | Path) -> dict[str, Any]:
    """Read what ``cscl assess`` wrote, for `model_card`: its folder, or the ``report.json`` in it.

    Raises
    ------
    MissingError, InputError
        If there is none, or it is not of this kind.
    """
    path = Path(path) / "report.json" if Path(path).is_dir() else Path(path)
    if not path.is_file():
        raise MissingError(f"There is no report {path}. Make one with cscl assess.")
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        if not (isinstance(known["accuracy"]["classes"], list) and isinstance(known["boundary"]["splits"], list)):
            raise TypeError("other values than a report has")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is no report of cscl assess ({error}). Give the folder that it made.") from error
    return dict(known)


def _front_matter(card: ModelCard, report: Mapping[str, Any] | None, licence: str) -> str:
    known: dict[str, Any] = {
        "license": licence or "unknown",
        "library_name": "cscl",
        "pipeline_tag": "image-segmentation",
        "tags": ["crop-mapping", "remote-sensing", "satellite-image-time-series", "semantic-segmentation", "pytorch"],
    }
    if report is not None:
        known["model-index"] = [{"name": card.name, "results": [results(report)]}]
    text = yaml.safe_dump(known, sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{text}---"


def _purpose(card: ModelCard) -> str:
    pixels = f"{card.pixel_size_m / card.finer:g} m"
    if card.stage != "trained":
        return (
            f"A network that is only pre-trained: it knows which of its neighbours a pixel of {pixels} is alike, and "
            "maps no crops. Train it further with `cscl train --start`."
        )
    return (
        f"Maps {len(card.legend)} classes of crops and other land from a season of satellite images, as pixels of "
        f"{pixels}{f' from images of {card.pixel_size_m:g} m' if card.finer > 1 else ''}. Each pixel of a map has a "
        "class and the probability that the network gives it."
    )


def _classes(card: ModelCard) -> str:
    counts: dict[str, int] = {}
    for scene in card.data:
        for key, pixels in (scene.get("classes") or {}).items():
            counts[key] = counts.get(key, 0) + int(pixels)
    rows = [
        (c.id, c.code, c.name, c.group or "–", f"{counts[str(c.id)]:,}" if str(c.id) in counts else "unknown")
        for c in card.legend.classes
    ]
    told = "The id is what maps hold. Labelled pixels are those of all scenes below, held-back ones too."
    return f"{told}\n\n{table(('id', 'code', 'name', 'group', 'labelled pixels'), rows)}"


def _needs(card: ModelCard) -> Iterator[tuple[str, str]]:
    first, last = (card.reference_date + dt.timedelta(days=day) for day in (card.first_day, card.last_day))
    least = card.needs.get("least_dates")
    yield "Bands, in this order", " ".join(card.bands)
    yield "Values", "reflectance, 0 to 1; cscl standardises it by the mean and deviation of the training pixels"
    yield "Pixels", f"{card.pixel_size_m:g} m; others are not what it has learnt from"
    yield "Season", f"{first:%d %b} to {last:%d %b}, as in the training data ({first} to {last})"
    yield "Dates", f"at least {least if least is not None else 'an unknown number'}; trained with at most {card.dates}"
    if card.needs.get("dates"):
        yield "Number of dates", f"{card.needs['dates']}; shorter series are padded"
    reads = {True: "missing dates do not change the answer", False: "missing pixels are read as zeros"}
    yield (
        "Masks",
        f"clouds and gaps as masks; {reads.get(card.needs.get('masks_dates', '?'), 'how they are read is unknown')}",
    )


def _data(card: ModelCard) -> Iterator[str]:
    if not card.data:
        yield "Unknown: the card does not say what it was trained on."
        return
    yield _list((str(scene["images"]), _scene(scene)) for scene in card.data)
    place = merged(training_places(card))
    if place is None:
        yield "Region: unknown."
    else:
        west, south, east, north = place[1]
        yield (
            f"Region: {_degrees(south, 'S', 'N')} to {_degrees(north, 'S', 'N')}, {_degrees(west, 'W', 'E')} to "
            f"{_degrees(east, 'W', 'E')}. Elsewhere other varieties, calendars and soils may look different."
        )
    yield _split(card)


def _scene(scene: Mapping[str, Any]) -> str:
    days = sorted(str(day) for day in scene["dates"])
    span = f"{len(days)} dates, {days[0]} to {days[-1]}" if days else "no dates known"
    notes = [*scene.get("notes", ()), *scene.get("label_notes", ())]
    crs = str(scene.get("crs") or "place unknown")
    place = crs if len(crs) < 30 else "a reference system of its own"
    return " ".join([f"labels {scene['labels']}; {span}; {place}.", *map(str, notes)])


def _split(card: ModelCard) -> str:
    folds = next((scene["dataset"] for scene in card.data if scene.get("dataset")), None)
    if folds is not None:
        sides = "; ".join(f"{side}: fold {', '.join(map(str, folds.get(side, ()))) or 'none'}" for side in
                          ("training", "validation", "test"))  # fmt: skip
        return f"Split by the folds of the dataset {folds.get('name', 'of unknown name')}. {sides}."
    data = card.recipe.data
    return (
        f"Split as the recipe says: of the blocks of {data.block_px} pixels {data.validation_share:.0%} chose the "
        f"weights, and {data.test_share:.0%} were held back. These lie in the same scenes, so other regions and years "
        "may be mapped worse than they say."
    )


def _training(card: ModelCard) -> Iterator[tuple[str, str]]:
    around = " with attention to alike neighbours" if card.recipe.aggregate else ""
    yield "Network", f"{card.model.name}{around}, {card.parameters:,} parameters"
    if card.head is not None:
        yield "Contrast", f"learnt by {card.head['target']} with the loss {card.head['loss']['name']}"
    loss = card.recipe.train.loss.name if card.stage == "trained" else card.recipe.pretrain.loss.name
    yield "Loss of the last stage", loss
    yield "Steps of the last stage", f"{card.steps:,}" if card.steps else "unknown"
    if card.tuned is not None:
        parent, pixels = card.tuned.get("parent", "unknown"), card.tuned.get("region_px", "unknown")
        yield "Fine-tuned", f"from {parent} on {pixels} pixels of {card.tuned.get('images', 'unknown images')}"
    yield "Made", card.made.get("when", "")[:10] or "unknown when"
    versions = [f"{name} {card.made[name]}" for name in ("cscl", "torch", "python") if name in card.made]
    yield "With", ", ".join(versions) or "unknown"


def _limits(card: ModelCard, report: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if card.needs.get("remarks"):
        yield "Network", str(card.needs["remarks"])
    if any("simulated" in str(note) for scene in card.data for note in scene.get("notes", ())):
        yield "Simulated images", "it has learnt from simulated images. Do not map real ones with it."
    yield (
        "Season",
        "it knows the season above. Maps of its first part, in the running year, can be worse than figures say.",
    )
    width = f"{2 * card.pixel_size_m:g} m"
    yield (
        "Pixels",
        f"parcels narrower than about {width} are mixed pixels in the images, and may get a neighbour's class.",
    )
    yield "Classes", "what is not in the table above is mapped as something that is."
    yield "Areas", "pixels counted on a map are biased by its errors. Estimate areas by `cscl sample` and `cscl area`."
    if "calibration" not in (report or {}).get("parts", {}):
        yield "Probabilities", "whether they are calibrated is unknown."


def _running(card: ModelCard) -> str:
    if card.stage != "trained":
        return "```\ncscl train IMAGES LABELS OUT --start MODEL\n```"
    return (
        "```\ncscl predict MODEL IMAGES PREDICTION\ncscl export PREDICTION OUT\n```\n\nIn Python:\n\n```python\n"
        "from cscl.api import open_cube, predict, run\n\n"
        'run(predict("MODEL", open_cube("IMAGES"), "PREDICTION"))\n```'
    )


def _degrees(value: float, below: str, above: str) -> str:
    return f"{abs(value):.2f}° {below if value < 0 else above}"


def _list(pairs: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- **{name}**: {' '.join(str(text).split())}" for name, text in pairs)
