"""Whatever a user points at, in a few lines: images, labels, a dataset, a model or a prediction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

from cscl.card import ModelCard
from cscl.data.datasets import is_dataset, open_dataset
from cscl.data.maps import exported_map, open_map
from cscl.data.readers import ReadOptions, open_cube
from cscl.errors import MissingError
from cscl.legend import Legend
from cscl.parcels import Parcels
from cscl.products import Prediction

from .scenes import is_vector
from .stac import is_stac

__all__ = ["describe", "describe_model", "model_facts"]


def describe(path: str | Path, reading: ReadOptions | None = None) -> Iterator[str]:
    """Yield lines that describe what lies at a path.

    Raises
    ------
    CSCLError
        If nothing is there or nothing is understood; the message says what is.
    """
    path = Path(path)
    if not path.exists():
        raise MissingError(f"There is nothing at {path}.")
    if (path / "card.json").is_file():
        yield from describe_model(ModelCard.open(path))
    elif (path / "prediction.json").is_file() or exported_map(path) is not None:
        yield from _prediction(open_map(path))
    elif is_dataset(path):
        yield from open_dataset(path).iter_lines()
    elif path.is_file() and is_vector(path) and not is_stac(path):
        yield from _parcels(Parcels.open(path))
    else:
        yield from open_cube(path, reading or ReadOptions()).iter_lines()


def describe_model(card: ModelCard) -> Iterator[str]:
    """Yield lines about a model."""
    yield f"{card.name}: {card.stage} model, {_network(card)}, {card.parameters:,} parameters"
    yield f"  bands       {' '.join(card.bands)}"
    span = f"days {card.first_day} to {card.last_day} from {card.reference_date}"
    yield f"  season      {span}, at most {card.dates} dates"
    yield f"  pixel       {_pixels(card)}"
    if card.head:
        yield f"  pre-trained by {card.head['target']} with the loss '{card.head['loss']['name']}'"
    if card.made:
        yield f"  made        {card.made.get('when', '')[:10]}, after {card.steps} steps"
    if card.tuned:
        yield f"  fine-tuned  from {card.tuned['parent']} on {card.tuned['region_px']} pixels of {card.tuned['images']}"
    for scene in card.data:
        yield f"  trained on  {scene['images']} with {scene['labels']}, {len(scene['dates'])} dates"
        if scene.get("dataset", {}).get("test"):
            yield f"  held back   fold {', '.join(scene['dataset']['test'])}"
        yield from (f"              {note}" for note in scene.get("label_notes", ()))
    for name, value in card.accuracy.items():
        yield f"  {name.replace('_', ': ', 1)} {value:.3f}"
    yield from _legend(card.legend)
    if card.needs.get("remarks"):
        yield f"  remark      {card.needs['remarks']}"


def _pixels(card: ModelCard) -> str:
    images = f"{card.pixel_size_m:.4g} m"
    return images if card.finer == 1 else f"{images} in the images, {card.pixel_size_m / card.finer:.4g} m in maps"


def model_facts(card: ModelCard) -> list[tuple[str, str]]:
    """Describe a model in short: pairs of a word and what there is to say."""
    first, last = (card.reference_date + dt.timedelta(days=day) for day in (card.first_day, card.last_day))
    facts = [("Kind", f"{card.stage}, {_network(card)} network, {card.parameters:,} parameters")]
    if card.stage != "trained":
        facts.append(("Use", "affinity and training on; it maps no crops yet"))
    told = [f"{name.removeprefix('validation_')} {value:.3f}" for name, value in card.accuracy.items()]
    if told:
        facts.append(("Validation", ", ".join(told)))
    facts += [
        ("Trained on", f"{scene['images']} with {scene['labels']}, {len(scene['dates'])} dates") for scene in card.data
    ]
    facts += [("", note) for scene in card.data for note in scene.get("notes", ()) if "simulated" in note]
    facts += [
        ("Season", f"{first:%d %b %Y} to {last:%d %b %Y}, at most {card.dates} dates at once"),
        ("Bands", " ".join(card.bands)),
        ("Pixel", _pixels(card)),
    ]
    if card.head:
        facts.append(("Contrast", f"learnt by {card.head['target']} with the loss '{card.head['loss']['name']}'"))
    if card.tuned:
        facts.append(("Fine-tuned", f"from {card.tuned['parent']} on {card.tuned['region_px']} pixels"))
    if card.made:
        facts.append(("Made", f"{card.made.get('when', '')[:10]}, {card.steps} steps"))
    facts.append(("Classes", f"{len(card.legend)}"))
    return facts


def _network(card: ModelCard) -> str:
    return f"{card.model.name} with attention to neighbours" if card.recipe.aggregate else card.model.name


def _prediction(prediction: Prediction) -> Iterator[str]:
    rows, cols = prediction.grid.shape
    facts = prediction.facts
    yield f"{prediction.name}: prediction of {rows} x {cols} pixels, {prediction.grid.crs}"
    if facts:
        yield f"  images      {facts.get('images')}, {len(facts.get('dates', []))} dates"
        yield f"  model       {facts.get('model')} ({facts.get('model_folder')})"
    if facts.get("sharpened"):
        yield f"  sharpened   {facts['sharpened']} times by {facts['sharpened_by']}"
    yield from _legend(prediction.legend)


def _parcels(parcels: Parcels) -> Iterator[str]:
    table = parcels.table
    yield f"{parcels.name}: {len(parcels)} parcels, {table.crs.to_string()}"
    west, south, east, north = table.to_crs("EPSG:4326").total_bounds
    yield f"  extent      {west:.4f} {south:.4f} {east:.4f} {north:.4f} (degrees, west south east north)"
    for column, stored in parcels.columns.items():
        values = table[stored].dropna().map(str)  # a column of GeoJSON may hold lists, which have no hash
        yield f"  column      {column}: {values.nunique()} values, e.g. {', '.join(values.unique()[:6])}"
    yield from (f"  note: {note}" for note in parcels.notes)


def _legend(legend: Legend) -> Iterator[str]:
    for crop in legend.classes:
        yield f"  class       {crop.id:>5} {crop.code:<8} {crop.name}"
