"""The protocol: what is compared, on which seasons, at which budgets and by which figure, fixed before the runs.

A run is an arm on a network, a season, a share of known crops, a budget and a seed. Its id is made of all that bears
on its outcome and of nothing else: the text of a question may change, and arms, seeds and budgets may be added, and
what was run stays run; an arm that changes gets new runs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from cscl.data.scenes import LabelOptions
from cscl.errors import InputError, MissingError
from cscl.recipe import Recipe, build, parse_value, plain
from cscl.registry import nearest

from .figures import FIGURES
from .specs import Arm, Budget, NetworkSpec, SeasonSpec

__all__ = ["Plan", "Protocol", "label_options"]

RULES = 1
"""Raised when runs are carried out or judged otherwise than before, so that former ones do not count any more."""


@dataclass(frozen=True)
class Plan:
    """One run to be."""

    protocol: Protocol
    arm: Arm
    network: NetworkSpec
    season: SeasonSpec
    share: float
    budget: Budget
    seed: int

    @cached_property
    def digest(self) -> str:
        """Short name of all that bears on the outcome but share, budget and seed: those are beside it in the ledger."""
        protocol = self.protocol
        known = {
            "rules": RULES, "settings": protocol.settings, "equal": protocol.equal, "network": self.network.settings,
            "arm": _told(self.arm), "baseline": _told(self.baseline.arm) if self.measured else None,
            "season": _told(self.season),
        }  # fmt: skip
        return _short(known)

    @cached_property
    def id(self) -> str:
        """Short name of the run."""
        return _short([self.digest, f"{self.share:g}", str(self.budget), self.seed])

    @cached_property
    def recipe(self) -> Recipe:
        """Settings of the run, but for its steps."""
        settings = (*self.protocol.settings, *self.network.settings, *self.arm.all_settings, f"seed={self.seed}")
        return Recipe().with_settings(settings)

    @cached_property
    def baseline(self) -> Plan:
        """The run that it is compared with."""
        return replace(self, arm=self.protocol.arm(self.protocol.baseline))

    @property
    def costs(self) -> tuple[float, float]:
        """Time of a step of its pre-training and training, in steps of the baseline's training; 0: to be measured."""
        if self.protocol.equal == "steps":
            return 1.0, 1.0
        arm = self.arm
        return arm.pretrain_cost if arm.pretrain_share else 1.0, arm.train_cost or float(self._trains_plainly)

    @property
    def measured(self) -> tuple[Plan, ...]:
        """Runs whose step times turn its budget into steps: the baseline for seconds, itself for costs."""
        baseline = (self.baseline,) if self.budget.unit == "s" else ()
        return (*baseline, self) if 0.0 in self.costs else baseline

    @cached_property
    def _trains_plainly(self) -> bool:
        """Whether its training, not what comes before, is that of the baseline: then a step takes the same time."""
        own, plainly = self.recipe, self.baseline.recipe
        return own.train.joint_weight == 0 and replace(own, pretrain=plainly.pretrain) == plainly

    def check(self) -> None:
        """Refuse what is known to fail before it is run.

        Raises
        ------
        UnknownNameError, InputError
            A setting that nothing has; maps to sharpen though the run never learns which pixels are alike.
        """
        recipe, arm = self.recipe, self.arm
        label_options((*self.season.reading, *arm.reading))
        contrasts = arm.pretrain_share > 0 or recipe.train.joint_weight > 0
        if arm.sharpen and not (contrasts and recipe.pretrain.loss.name == "cscl"):
            raise InputError(
                f"Maps of the arm '{arm.name}' cannot be sharpened: it never learns by CSCL which pixels are alike. "
                "Give it a pretrain_share, or train.joint_weight, with pretrain.loss=cscl; or leave out sharpen."
            )

    @property
    def words(self) -> str:
        """What it is, for a line of text."""
        of = self.protocol
        names = [self.arm.name, self.network.name if len(of.networks) > 1 else "", self.season.name]
        numbers = [f"crops of {100 * self.share:g} %", str(self.budget), f"seed {self.seed}"]
        return ", ".join([*(name for name in names if name), *numbers])


@dataclass(frozen=True)
class Protocol:
    """What a benchmark compares; read from TOML, where unknown keys are errors."""

    question: Annotated[str, {"tooltip": "What is asked, in words"}] = ""
    arms: tuple[Arm, ...] = ()
    baseline: Annotated[str, {"tooltip": "Arm that the others are compared with"}] = ""
    seasons: tuple[SeasonSpec, ...] = ()
    networks: tuple[NetworkSpec, ...] = (NetworkSpec(),)
    shares: Annotated[tuple[float, ...], {"tooltip": "Shares of the parcels whose crop is known"}] = (1.0,)
    budgets: Annotated[tuple[str, ...], {"tooltip": "600steps (of plain training) or 90s"}] = ("600steps",)
    equal: Annotated[
        Literal["time", "steps"], {"tooltip": "Whether arms get equal time (dear steps are fewer) or equal steps"}
    ] = "time"
    seeds: tuple[int, ...] = (0, 1, 2)
    primary: Annotated[str, {"tooltip": "Figure that answers the question"}] = "boundary_accuracy"
    guard: Annotated[str, {"tooltip": "Figure that must not get worse"}] = "common_miou"
    settings: Annotated[tuple[str, ...], {"tooltip": "Settings of the recipe for all arms, key=value"}] = (
        "data.validation_share=0.0",
        "data.test_share=0.0",
    )
    name: Annotated[str, {"tooltip": "That of the file, without its ending"}] = ""
    folder: Annotated[str, {"tooltip": "Where paths of scenes start; by default where the file lies"}] = "."

    @classmethod
    def open(cls, path: str | Path) -> Protocol:
        """Read a protocol; its name is that of the file.

        Raises
        ------
        MissingError, InputError, UnknownNameError
            No such file; not TOML, a value out of range, names that do not fit; an unknown key or setting.
        """
        path = Path(path)
        if not path.is_file():
            raise MissingError(f"There is no protocol {path}.")
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"The protocol {path} is not valid TOML: {error}.") from error
        return build(cls, {"folder": str(path.parent), **values, "name": path.stem}, str(path))

    def __post_init__(self) -> None:
        where = f"The protocol {self.name}"
        for what, things in (("arm", self.arms), ("season", self.seasons), ("network", self.networks)):
            names = [thing.name for thing in things]
            if not names or not all(names) or max(Counter(names).values()) > 1:
                raise InputError(f"{where} needs at least one {what}, and each needs a name of its own ({names}).")
        for what, values in (("seeds", self.seeds), ("budgets", self.budgets), ("shares", self.shares)):
            if not values or len(set(values)) < len(values):
                raise InputError(f"{where} needs at least one of its {what}, and each of them once ({list(values)}).")
        if not all(0 < share <= 1 for share in self.shares):
            raise InputError(f"{where} has shares of known crops that are not above 0 and at most 1: {self.shares}.")
        for figure in (self.primary, self.guard):
            if figure not in FIGURES:
                raise nearest(figure, FIGURES, "figure", where)
        self.arm(self.baseline)
        for plan in self.plans(seeds=(0,)):
            plan.check()

    def arm(self, name: str) -> Arm:
        """Return the arm of a name.

        Raises
        ------
        UnknownNameError
            If there is none.
        """
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise nearest(name, [arm.name for arm in self.arms], "arm", f"the protocol {self.name}")

    def plans(
        self, *, seeds: Sequence[int] | None = None, budgets: Sequence[str] | None = None,
        only: Iterable[str] | None = None,
    ) -> list[Plan]:  # fmt: skip
        """All runs, seed by seed, so that what is compared with one another is finished together.

        Parameters
        ----------
        seeds, budgets : sequence, optional
            Others than those of the protocol.
        only : iterable of str, optional
            Names of arms; by default all.
        """
        arms = self.arms if only is None else tuple(self.arm(name) for name in only)
        grid = itertools.product(
            self.seeds if seeds is None else seeds, self.seasons, self.networks, self.shares,
            [Budget.parse(text) for text in (budgets or self.budgets)], arms,
        )  # fmt: skip
        return [Plan(self, arm, net, season, share, budget, seed) for seed, season, net, share, budget, arm in grid]


def label_options(settings: Iterable[str]) -> LabelOptions:
    """How labels are read, from ``key=value`` settings.

    Raises
    ------
    UnknownNameError, InputError
        If a key is not known or a value is of the wrong kind.
    """
    values = dict(text.partition("=")[::2] for text in settings)
    return build(LabelOptions, {k: parse_value(v) for k, v in values.items()}, "the settings of reading labels")


def _told(thing: Any) -> dict[str, Any]:
    """Plain values of what bears on the outcome and is not as usual, so that an option to come changes no id."""
    values = {}
    for each in dataclasses.fields(thing):
        value = getattr(thing, each.name)
        usual = each.default if each.default_factory is dataclasses.MISSING else each.default_factory()
        if each.name not in ("name", "about", "purpose") and value != usual:
            values[each.name] = _told(value) if dataclasses.is_dataclass(value) else plain(value)
    return values


def _short(value: Any) -> str:
    text = json.dumps(plain(value), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
