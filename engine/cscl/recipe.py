"""The recipe: every knob of a run, frozen, read from TOML and written to it.

A field is written once and serves file, command line and form, e.g.
``steps: Annotated[int, {"min": 1, "tooltip": "Gradient steps"}] = 500``; ``"basic": True`` lets a form show it before
the rest. `build` turns plain values into such a class: unknown keys, wrong types and values out of range are errors
that name the key.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from cscl.errors import InputError, MissingError
from cscl.registry import nearest

__all__ = [
    "Choice",
    "DataSettings",
    "PretrainSettings",
    "Recipe",
    "StageSettings",
    "TrainSettings",
    "UnlabelledSettings",
    "build",
    "parse_value",
    "plain",
]

T = TypeVar("T")

_PUBLISHED = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Choice:
    """A registered thing by name, with its options; in TOML one table: ``name = "cscl"``, then the options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DataSettings:
    """How scenes become samples."""

    patch_px: Annotated[int, {"min": 8, "max": 512, "tooltip": "Side of a training sample, pixels"}] = 24
    dates: Annotated[int, {"min": 1, "max": 400, "tooltip": "Most dates in a sample; of more, some are drawn"}] = 24
    finer: Annotated[
        Literal[1, 2, 4],
        {"tooltip": "How many times finer than the images labels and maps are: with 4, 10 m images give a 2.5 m map"},
    ] = 1
    doubling: Annotated[
        Literal["smooth", "published"],
        {
            "tooltip": "How a network makes finer pixels: by blocks that begin as interpolation, or as published, with "
            "a checkerboard"
        },
    ] = "smooth"
    block_px: Annotated[int, {"min": 8, "tooltip": "Side of the blocks that are held back as a whole, pixels"}] = 32
    validation_share: Annotated[float, {"min": 0.0, "max": 0.5, "tooltip": "Share of blocks that steer training"}] = 0.1
    test_share: Annotated[
        float, {"min": 0.0, "max": 0.8, "basic": True, "tooltip": "Share of blocks never seen in training"}
    ] = 0.2
    label_share: Annotated[
        float, {"min": 0.001, "max": 1.0, "tooltip": "Share of parcels whose crop is used; outlines are all kept"}
    ] = 1.0
    augment: Annotated[bool, {"tooltip": "Flip and turn samples by quarters"}] = True
    date_dropout: Annotated[
        float, {"min": 0.0, "max": 0.9, "tooltip": "Chance that a date is left out of a training sample"}
    ] = 0.0
    jitter: Annotated[
        float, {"min": 0.0, "max": 0.5, "tooltip": "Random gain of each band and date in training, relative"}
    ] = 0.0


@dataclass(frozen=True)
class StageSettings:
    """What both stages of training share."""

    steps: Annotated[int, {"min": 1, "basic": True, "tooltip": "Gradient steps"}] = 300
    batch: Annotated[int, {"min": 1, "basic": True, "tooltip": "Samples a step"}] = 16
    learning_rate: Annotated[float, {"min": 1e-7, "max": 1.0, "tooltip": "Peak learning rate"}] = 3e-3
    weight_decay: Annotated[float, {"min": 0.0, "max": 1.0, "tooltip": "AdamW weight decay"}] = 1e-2
    clip: Annotated[float, {"min": 0.0, "tooltip": "Largest gradient norm; 0 for no limit"}] = 1.0
    ema: Annotated[float, {"min": 0.0, "max": 0.99999, "tooltip": "Averaging of the weights; 0 for none"}] = 0.0
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        {"tooltip": "Of the sums in the network: bfloat16 is quicker on devices with units for it; auto: on such GPUs"},
    ] = "auto"


@dataclass(frozen=True)
class PretrainSettings(StageSettings):
    """Contrastive pre-training: by parcel (outlines are enough), crops or both; or by views, which read no labels."""

    target: Annotated[
        Literal["parcel", "class", "both"],
        {"tooltip": "What makes two pixels alike, for a loss that reads labels (CSCL): their parcel, crop, or either"},
    ] = "parcel"
    unknown_crops: Annotated[
        Literal["unlike", "ignored"],
        {"tooltip": "With both: what pairs of two parcels are whose crops are not both known"},
    ] = "unlike"
    soft_edges: Annotated[
        bool, {"tooltip": "Weigh pairs by what parcels share of mixed pixels, for parcels that are polygons"}
    ] = False
    loss: Annotated[Choice, {"tooltip": "Pre-training scheme: the contrastive loss and its options"}] = field(
        default_factory=lambda: Choice("cscl")
    )


@dataclass(frozen=True)
class TrainSettings(StageSettings):
    """Supervised training of the whole network or of a part of it."""

    steps: Annotated[int, {"min": 1, "basic": True, "tooltip": "Gradient steps"}] = 600
    scope: Annotated[
        Literal["all", "decoder", "head"],
        {"tooltip": "What learns: all; what looks around a pixel and the classifier; or that alone, a linear probe"},
    ] = "all"
    loss: Annotated[Choice, {"tooltip": "Segmentation loss and its options"}] = field(
        default_factory=lambda: Choice("cross-entropy")
    )
    joint_weight: Annotated[
        float, {"min": 0.0, "tooltip": "Weight of the contrastive loss of 'pretrain' beside it; 0 for none"}
    ] = 0.0
    joint_samples: Annotated[
        Literal["shared", "own"],
        {"tooltip": "What that reads: samples with crops; or samples of its own, half of each step, from all outlines"},
    ] = "shared"
    validate_every: Annotated[int, {"min": 1, "tooltip": "Steps between two looks at the validation blocks"}] = 100
    patience: Annotated[int, {"min": 0, "tooltip": "Looks without progress before stopping; 0: never stop early"}] = 0


@dataclass(frozen=True)
class UnlabelledSettings:
    """Learning from parcels whose crop is not known, by the answers of a slow copy of the network (mean teacher)."""

    weight: Annotated[
        float, {"min": 0.0, "max": 100.0, "tooltip": "Weight of what parcels without a crop teach; 0 for nothing"}
    ] = 1.0
    average: Annotated[
        Literal["parcel", "edge", "pixel"],
        {"tooltip": "Which pixels of a parcel share the answer of its inside: all of them, those at its edge, or none"},
    ] = "parcel"
    rise: Annotated[float, {"min": 0.0, "max": 1.0, "tooltip": "Share of the steps over which the weight rises"}] = 0.3
    date_dropout: Annotated[
        float,
        {"min": 0.0, "max": 0.9, "tooltip": "Share of the dates that the network does not see and its copy does"},
    ] = 0.3


@dataclass(frozen=True)
class Recipe:
    """All that repeats a run on the same data."""

    model: Annotated[Choice, {"basic": True, "tooltip": "Network and its options"}] = field(
        default_factory=lambda: Choice("compact")
    )
    aggregate: Annotated[
        bool, {"tooltip": "Let the classifier see the neighbours that are alike, by the affinity of CSCL (attention)"}
    ] = False
    data: DataSettings = field(default_factory=DataSettings)
    pretrain: PretrainSettings = field(default_factory=PretrainSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    unlabelled: UnlabelledSettings = field(default_factory=UnlabelledSettings)
    seed: Annotated[int, {"min": 0, "max": 2**31 - 1, "tooltip": "Seed of everything random"}] = 0

    @classmethod
    def open(cls, path: str | Path) -> Recipe:
        """Read a TOML recipe, or one that comes with the package, by its name; what it leaves out keeps its default.

        Raises
        ------
        MissingError, InputError, UnknownNameError
            No such file; not TOML or a value out of range; an unknown key.
        """
        path = Path(path)
        if not path.is_file():
            path = _PUBLISHED / f"{path}.toml"
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in _PUBLISHED.glob("*.toml")))
            raise MissingError(f"There is no recipe {path.stem}. Give a TOML file, or one of: {known}.")
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(f"The recipe {path} is not valid TOML: {error}.") from error
        return build(cls, values, str(path))

    def with_settings(self, settings: typing.Iterable[str]) -> Recipe:
        """Return the recipe with ``key=value`` settings applied, e.g. ``train.steps=800`` or ``model=unet3df``.

        Raises
        ------
        InputError, UnknownNameError
            If a setting has no ``=``, an unknown key, or a value of the wrong type or range.
        """
        values = plain(self)
        for setting in settings:
            key, equals, text = setting.partition("=")
            if not equals:
                raise InputError(f"The setting '{setting}' is not of the form key=value, e.g. train.steps=800.")
            *path, last = key.strip().split(".")
            table = values
            for part in path:
                if not isinstance(table.get(part), dict):
                    raise nearest(part, table, "setting", f"'{key}'")
                table = table[part]
            value, inner = parse_value(text.strip()), table.get(last)
            if isinstance(value, str) and isinstance(inner, dict) and "name" in inner:
                table, last = inner, "name"  # the name alone stands for the thing
            if last == "name" and "name" in table and table["name"] != value:
                table.clear()  # the options of another thing mean nothing to this one
            table[last] = value
        return build(type(self), values, "the settings")

    def to_toml(self) -> str:
        """Return the recipe as TOML, as `open` reads it."""
        import tomli_w

        return tomli_w.dumps(plain(self))


def parse_value(text: str) -> Any:
    """Read a value as TOML does: numbers, true and false, lists; anything else is a text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def plain(value: Any) -> Any:
    """Turn a frozen dataclass into plain values for TOML and JSON; None is left out."""
    if isinstance(value, Choice):
        return {"name": value.name, **plain(dict(value.options))}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
        return {name: plain(item) for name, item in pairs if item is not None}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Make a frozen dataclass from plain values.

    Parameters
    ----------
    cls : type
        A dataclass whose fields are annotated; nested dataclasses and `Choice` are built too.
    values : mapping
        Plain values; missing keys keep their default.
    where : str
        Where the values come from, for messages.

    Raises
    ------
    UnknownNameError, InputError
        Unknown key (with the nearest known one); wrong type, choice or range.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{where} must be a table of settings, not {values!r}.")
    hints = typing.get_type_hints(cls, include_extras=True)
    known = [f.name for f in dataclasses.fields(typing.cast(Any, cls))]
    for key in values:
        if key not in known:
            raise nearest(key, known, "setting", where)
    made = {key: _convert(hints[key], value, f"'{key}' in {where}") for key, value in values.items()}
    return cls(**made)


def _convert(hint: Any, value: Any, where: str) -> Any:
    limits: Mapping[str, Any] = {}
    if typing.get_origin(hint) is Annotated:
        hint, limits = hint.__origin__, hint.__metadata__[0]
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
        return None if value is None else _convert(kinds[0], value, where)
    if origin is Literal:
        if value not in typing.get_args(hint):
            raise nearest(str(value), map(str, typing.get_args(hint)), "choice", where)
        return value
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_convert(typing.get_args(hint)[0], item, where) for item in items)
    if hint is Choice:
        return _choice(value, where)
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, where)
    return _scalar(hint, value, limits, where)


def _choice(value: Any, where: str) -> Choice:
    if isinstance(value, str):
        return Choice(value)
    if not isinstance(value, Mapping) or "name" not in value:
        raise InputError(f'{where} must say which one by its name, as in name = "...".')
    return Choice(str(value["name"]), {k: v for k, v in value.items() if k != "name"})


def _scalar(kind: type, value: Any, limits: Mapping[str, Any], where: str) -> Any:
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise InputError(f"{where} must be {_WORDS.get(kind, kind.__name__)}, not {value!r}.")
    low, high = limits.get("min"), limits.get("max")
    if type(value) is float and low is not None and not math.isfinite(value):  # without limits, NaN may mean no data
        raise InputError(f"{where} must be a finite number, not {value}.")
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"at most {high}" if low is None else f"from {low} to {high}"
        raise InputError(f"{where} must be {bounds}, not {value}.")
    step = limits.get("step")
    if step and type(value) is int and (value - (low or 0)) % step:
        raise InputError(f"{where} must be {low or 0} plus a multiple of {step}, not {value}.")
    return value


_WORDS: Mapping[type, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
