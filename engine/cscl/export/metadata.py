"""What makes an export speak for itself: the model card, the page, the catalogue entries, and the checksums last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cscl.card import ModelCard
from cscl.errors import GridError
from cscl.events import Job, Note, Progress
from cscl.products import Prediction

from .checksums import SUMS, digests, write_checksums
from .draft import draft
from .map_page import write_map_page
from .model_card import MODEL_CARD, model_card
from .stac_item import ITEM, MODEL_ITEM, write_item
from .stac_model_item import write_model_item

__all__ = ["METADATA", "add_metadata"]

METADATA = {
    "page": ("map.png", "map.pdf"),
    "model card": (MODEL_CARD, "recipe.toml"),
    "catalogue": (ITEM, MODEL_ITEM),
    "checksums": (SUMS,),
}
"""Files of each part, in the order in which they are made: each speaks of those before it."""


def add_metadata(
    folder: str | Path,
    prediction: Prediction,
    parts: Iterable[str] = tuple(METADATA),
    *,
    card: ModelCard | None = None,
    report: Mapping[str, Any] | None = None,
    areas: pd.DataFrame | None = None,
    inputs: Sequence[Mapping[str, Any]] | None = None,
    title: str = "",
    licence: str = "",
    derived_from: Iterable[str] = (),
) -> Job[None]:
    """Write these parts of `METADATA` about the files of an export that lie in a folder; former ones are replaced.

    Meant for a folder in the making, when all else is in it. The page is left out without ``crop_map.tif``; card and
    recipe, and the Item of the model, are without `card`.

    Parameters
    ----------
    folder : path
        Holds the files.
    prediction : Prediction
        The map.
    parts : iterable of str
        Of `METADATA`.
    card : ModelCard, optional
        Of the model that made the map.
    report : mapping, optional
        What an assessment found, for the model card.
    areas : DataFrame, optional
        Estimates of ``cscl area``, for the page.
    inputs : sequence of mapping, optional
        What an exported network takes, where that is not what the card says; see `write_model_item`.
    title : str
        Of page and Item.
    licence : str
        For the model card.
    derived_from : iterable of str
        Addresses of the images, for the Item.

    Raises
    ------
    CSCLError
        As `write_map_page` and `write_item`; but a map that has no place in degrees is told, and has no Item.
    """
    folder, parts = Path(folder), set(parts)
    if "page" in parts and (folder / "crop_map.tif").is_file():
        yield from write_map_page(folder, prediction.legend, prediction.facts, title=title, areas=areas, overwrite=True)
    if "model card" in parts and card is not None:
        yield Progress("writing the model card", 0, 1, "file")
        with draft(folder, MODEL_CARD) as part:
            (part / MODEL_CARD).write_text(model_card(card, report, licence=licence), encoding="utf-8")
            (part / "recipe.toml").write_text(card.recipe.to_toml(), encoding="utf-8")
    sums: dict[str, str] = {}
    if "catalogue" in parts:
        if card is not None:
            yield from write_model_item(folder, card, inputs=inputs)
        sums = yield from digests(folder)
        try:
            yield from write_item(folder, prediction, title=title, derived_from=derived_from, known=sums)
        except GridError as error:
            yield Note(f"No catalogue entry was written: {error}", warning=True)
    if "checksums" in parts:
        sums.pop(ITEM, None)  # a former one
        yield from write_checksums(folder, sums)
