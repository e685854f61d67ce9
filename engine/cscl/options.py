"""Options of a command from the annotated fields that recipes and forms read, too."""

from __future__ import annotations

import argparse
import dataclasses
import typing
from collections.abc import Collection
from typing import Any, TypeVar

__all__ = ["add_fields", "read_fields"]

R = TypeVar("R")


def add_fields(parser: argparse.ArgumentParser, cls: type, title: str, *, without: Collection[str] = ()) -> None:
    """Give a parser an option for each field of an annotated dataclass, but for some that keep their defaults."""
    group = parser.add_argument_group(title)
    hints = typing.get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        if field.name in without:
            continue
        hint = hints[field.name]
        tip = hint.__metadata__[0].get("tooltip", "")
        kind = hint.__origin__
        flag = "--" + field.name.replace("_", "-")
        if kind is bool:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=field.default, help=tip)
        else:
            shown = "" if field.default is None else f" (default: {field.default})"
            many = typing.get_origin(kind) is tuple or any(typing.get_origin(a) is tuple for a in typing.get_args(kind))
            group.add_argument(
                flag, default=None, metavar="A,B,..." if many else field.name.rsplit("_")[-1].upper(),
                help=tip + (", separated by commas" if many else "") + shown,
            )  # fmt: skip


def read_fields(args: argparse.Namespace, cls: type[R]) -> R:
    """Build the dataclass from the options that were given; values are checked as in a recipe."""
    from cscl.recipe import build, parse_value

    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(typing.cast(Any, cls)):
        value = getattr(args, field.name, None)
        if isinstance(value, str):
            kinds = (hints[field.name], *typing.get_args(hints[field.name]))
            many = next((kind for kind in kinds if typing.get_origin(kind) is tuple), None)
            if many is not None:
                parts = [part.strip() for part in value.split(",")]
                value = parts if str in typing.get_args(many) else [parse_value(part) for part in parts]
            elif str not in kinds:
                value = parse_value(value)
        if value is not None:
            values[field.name] = value
    return build(cls, values, "the options")
