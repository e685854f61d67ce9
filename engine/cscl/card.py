"""The model card: what a trained model needs and promises. JSON beside the weights, readable without torch."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cscl.errors import InputError, MissingError
from cscl.legend import Legend
from cscl.recipe import Choice, Recipe, build, plain

__all__ = ["CARRIED", "ModelCard", "affinity_folder"]

FORMAT = 1
CARRIED = "start"
"""Folder inside a model's: the one that it started from, where that knows affinity and it does not itself."""


@dataclass(frozen=True)
class ModelCard:
    """All that a user of a model must know, and all that rebuilds it.

    Parameters
    ----------
    name : str
        Name of the model folder when it was made.
    stage : str
        ``"pretrained"``: the classifier is untrained and only the embedding means something; or ``"trained"``.
    model : Choice
        Registered network and its options.
    bands : tuple of str
        Input bands, in order.
    mean, std : tuple of float
        Reflectance statistics of the training pixels by band; inputs are standardised with them.
    legend : Legend
        Classes in the order of the logits.
    reference_date : datetime.date
        Day zero of ``day_BT``.
    first_day, last_day : int
        Span of the training dates, in days since the reference date.
    dates : int
        Most dates in a sample.
    pixel_size_m : float
        Pixel side of the training images, metres.
    recipe : Recipe
        How it was to be trained.
    steps : int
        Gradient steps that were taken in its last stage; fewer than the recipe says when it was ended early.
    tuned : mapping or None
        What a fine-tuned model comes from: its parent, the region and the options.
    """

    name: str
    stage: str
    model: Choice
    bands: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    legend: Legend
    reference_date: dt.date
    first_day: int
    last_day: int
    dates: int
    pixel_size_m: float
    recipe: Recipe
    needs: Mapping[str, Any] = field(default_factory=dict)
    parameters: int = 0
    steps: int = 0
    head: Mapping[str, Any] | None = None
    data: tuple[Mapping[str, Any], ...] = ()
    accuracy: Mapping[str, float] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)
    tuned: Mapping[str, Any] | None = None

    @property
    def finer(self) -> int:
        """How many pixels of its maps lie along a side of one of the images."""
        return self.recipe.data.finer

    @property
    def knows_affinity(self) -> bool:
        """Whether its network is the one that its head of CSCL was learnt with; once trained further without, no more.

        A network knows affinity when it was pre-trained by CSCL, or trained jointly with it and not tuned since.
        """
        if self.head is None or self.head["loss"]["name"] != "cscl":
            return False
        return self.stage == "pretrained" or (self.recipe.train.joint_weight > 0 and self.tuned is None)

    def days_of(self, dates: NDArray[np.datetime64]) -> NDArray[np.int64]:
        """Days since the reference date, moved by whole years so that the season falls where the model knows it.

        A model trained on 2021 is applied to 2024 with the same days of the season, not with days above a thousand.
        """
        day = dates.astype("datetime64[D]")
        middle = (self.first_day + self.last_day) / 2
        known = np.median((day - np.datetime64(self.reference_date, "D")).astype(np.int64))
        years = round((float(known) - middle) / 365.2425)
        moved = np.datetime64(_anniversary(self.reference_date, self.reference_date.year + years), "D")
        return np.asarray(day - moved, "timedelta64[D]").astype(np.int64)

    def save(self, folder: Path) -> None:
        """Write ``card.json``; the file appears only when whole."""
        values = {
            **asdict(replace(self, legend=Legend(()))),
            "format": FORMAT,
            "legend": self.legend.to_dict(),
            "reference_date": self.reference_date.isoformat(),
            "recipe": plain(self.recipe),
            "model": plain(self.model),
        }
        part = folder / "card.json.part"
        part.write_text(json.dumps(values, indent=1, ensure_ascii=False), encoding="utf-8")
        part.replace(folder / "card.json")

    @classmethod
    def open(cls, folder: str | Path) -> ModelCard:
        """Read the card of a model folder.

        Raises
        ------
        MissingError, InputError
            If the folder is not a model, or its card is damaged or of a later version.
        """
        path = Path(folder) / "card.json"
        if not path.is_file():
            raise MissingError(f"{folder} is not a model folder: it has no card.json. Make one with cscl train.")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values.pop("format") > FORMAT:
                raise InputError(f"{path} was written by a later version of cscl. Update to read it.")
            card = cls(
                **{
                    **values,
                    "legend": Legend.from_dict(values["legend"]),
                    "reference_date": dt.date.fromisoformat(values["reference_date"]),
                    "recipe": build(Recipe, values["recipe"], str(path)),
                    "model": Choice(values["model"].pop("name"), values["model"]),
                    **{key: tuple(values[key]) for key in ("bands", "mean", "std", "data")},
                }
            )
            _require_sound(card)
            return card
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} is damaged ({error}). Train the model again or restore the file.") from error


_KINDS: Mapping[str, Any] = {
    **dict.fromkeys(("name", "stage"), str),
    **dict.fromkeys(("first_day", "last_day", "dates", "parameters", "steps"), int),
    **dict.fromkeys(("needs", "accuracy", "made"), dict),
    **dict.fromkeys(("head", "tuned"), dict | None),
    "pixel_size_m": int | float,
}


def _require_sound(card: ModelCard) -> None:
    """Refuse, by a ValueError, what the many who read a card do not expect there; further keys are nobody's."""
    wrong = [name for name, kind in _KINDS.items() if not isinstance(getattr(card, name), kind)]
    elements = {"bands": str, "mean": int | float, "std": int | float, "data": dict}
    wrong += [name for name, kind in elements.items() if not all(isinstance(v, kind) for v in getattr(card, name))]
    wrong += [name for name in ("accuracy",) if not all(isinstance(v, int | float) for v in card.accuracy.values())]
    if wrong or not len(card.bands) == len(card.mean) == len(card.std):
        raise ValueError(f"{', '.join(wrong) or 'bands, mean or std'} of another form")
    if max(abs(card.first_day), abs(card.last_day)) > 10**6 or not card.pixel_size_m > 0:
        raise ValueError("days or pixels of impossible size")
    if card.head is not None and not isinstance(card.head["loss"]["name"] + card.head["target"], str):
        raise ValueError("a head of another form")
    for scene in card.data:
        if not isinstance(scene["dates"], list) or not all(isinstance(scene[key], str) for key in ("images", "labels")):
            raise ValueError("data of another form")


def affinity_folder(model: str | Path) -> Path | None:
    """Return the folder of the network that knows affinity for a model: the model itself, or what it carries.

    None where there is none: without pre-training by CSCL, after a change to finer maps, or in a folder that was made
    before models carried what they started from.

    Raises
    ------
    MissingError, InputError
        If it is not a model folder, or is damaged.
    """
    if ModelCard.open(model).knows_affinity:
        return Path(model)
    carried = Path(model) / CARRIED
    return carried if (carried / "card.json").is_file() else None


def _anniversary(date: dt.date, year: int) -> dt.date:
    return date.replace(year=year, day=min(date.day, 28) if date.month == 2 else date.day)
