"""Which runs of a ledger still count: those of a plan, under the settings that it has now, defaults included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cscl.losses import losses
from cscl.models import models
from cscl.recipe import Choice, Recipe, build, plain

from .protocol import Plan

__all__ = ["Rows", "agrees", "settled", "spelled_out"]

Rows = Sequence[Mapping[str, Any]]


def spelled_out(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain values, with every option of its network and losses, whether it names them or not.

    Raises
    ------
    UnknownNameError, InputError
        If there is no such network, loss or option.
    """

    def whole(registry: Any, choice: Choice) -> dict[str, Any]:
        options = build(registry.get(choice.name).options, choice.options, f"the options of {choice.name}")
        return {"name": choice.name, **plain(options)}

    values: dict[str, Any] = plain(recipe)
    values["model"] = whole(models, recipe.model)
    values["pretrain"]["loss"] = whole(losses, recipe.pretrain.loss)
    values["train"]["loss"] = whole(losses, recipe.train.loss)
    return values


def settled(plans: Iterable[Plan], rows: Rows) -> dict[str, Mapping[str, Any]]:
    """Return the first run that ended well of each plan, by id, of those that were made under its present settings."""
    well: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row.get("kind") == "run" and "figures" in row:
            well.setdefault(row["id"], []).append(row)
    found, known = {}, dict[str, dict[str, Any]]()
    for plan in plans:
        for row in well.get(plan.id, ()):
            now = known.setdefault(plan.digest, spelled_out(plan.recipe))
            if agrees(row.get("recipe", {}), now):
                found[plan.id] = row
                break
    return found


def agrees(then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a recipe of a ledger says nothing else than one of today, which may have options that it did not know."""
    today = dict(_flat(now))
    return all(today.get(key) == value for key, value in _flat(then))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield settings by their dotted names, but for the seed and the steps, which a run has of its own."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif key not in ("seed", "steps"):
            yield f"{prefix}{key}", value
