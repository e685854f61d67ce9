"""A run of training said again: as lines for the command line, and as Python for the public interface.

Only what differs from the defaults is said. Either form repeats the run from its files.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cscl.recipe import Recipe, parse_value, plain

from .readers import ReadOptions
from .scenes import LabelOptions, is_vector

__all__ = ["Run", "command_of", "python_of"]


@dataclass(frozen=True)
class Run:
    """What a run of training takes.

    Parameters
    ----------
    images, labels, out : Path
        Where images and labels were opened, and the model folder to make.
    recipe : Recipe
        Settings.
    pretraining, training : bool
        Which stages; with both, the first goes into the folder `pretrained` and the second starts from it.
    start : Path or None
        Model folder that training starts from; of no account with both stages.
    reading, labelling : ReadOptions, LabelOptions
        How images and labels were read.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    overwrite : bool
        Whether models of these names are replaced.
    """

    images: Path
    labels: Path
    out: Path
    recipe: Recipe = field(default_factory=Recipe)
    pretraining: bool = True
    training: bool = True
    start: Path | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)
    labelling: LabelOptions = field(default_factory=LabelOptions)
    device: str = "auto"
    overwrite: bool = False

    @property
    def pretrained(self) -> Path:
        """Folder of the pre-trained model: the result itself where nothing follows."""
        return self.out.with_name(f"{self.out.name}-pretrained") if self.training else self.out

    @property
    def begin(self) -> Path | None:
        """Model folder that training starts from."""
        return self.pretrained if self.pretraining else self.start


def command_of(run: Run) -> str:
    """Say a run as lines for a POSIX shell, one a stage."""
    lines = []
    if run.pretraining:
        lines.append(_line("pretrain", run, run.pretrained))
    if run.training:
        lines.append(_line("train", run, run.out))
    return "\n".join(lines)


def python_of(run: Run) -> str:
    """Say a run as a Python script that uses `cscl.api`."""
    reading, labelling = _call(run.reading), _call(run.labelling)
    used = {"Recipe", "Scene", "open_cube", "read_labels", "run", "LabelOptions"}
    used |= {name for name, there in (("pretrain", run.pretraining), ("train", run.training)) if there}
    used |= {"ReadOptions"} if _changed(run.reading) else set()
    classes = "" if run.labelling.class_column or not is_vector(run.labels) else ", classes=False"
    more = (f", device={run.device!r}" if run.device != "auto" else "") + (", overwrite=True" if run.overwrite else "")
    finer = run.recipe.data.finer
    grid = f", grid=refined(cube.grid, {finer})" if finer > 1 else ""
    used |= {"refined"} if finer > 1 else set()
    lines = [
        f"from cscl.api import {', '.join(sorted(used))}",
        "",
        f"cube = open_cube({str(run.images)!r}{f', {reading}' if 'ReadOptions' in used else ''})",
        f"labels = run(read_labels({str(run.labels)!r}, cube, {labelling}{grid}{classes}))",
        f"recipe = Recipe().with_settings({list(_settings(run.recipe))!r})",
    ]
    if run.pretraining:
        lines.append(f"model = run(pretrain([Scene(cube, labels)], {str(run.pretrained)!r}, recipe{more}))")
    if run.training:
        start = "" if run.begin is None else ", start=model" if run.pretraining else f", start={str(run.begin)!r}"
        lines.append(f"model = run(train([Scene(cube, labels)], {str(run.out)!r}, recipe{start}{more}))")
    return "\n".join(lines) + "\n"


def _line(command: str, run: Run, out: Path) -> str:
    words = ["cscl", command, str(run.images), str(run.labels), str(out)]
    words += [*_options(run.reading), *_options(run.labelling)]
    if command == "train" and run.begin is not None:
        words += ["--start", str(run.begin)]
    for setting in _settings(run.recipe):
        words += ["--set", setting]
    words += ["--device", run.device] if run.device != "auto" else []
    words += ["--overwrite"] if run.overwrite else []
    return shlex.join(words)


def _options(options: Any) -> Iterator[str]:
    for name, value in _changed(options):
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        yield f"--{name.replace('_', '-')}={text}"  # in one word, as a value may begin with a minus


def _call(options: Any) -> str:
    said = ", ".join(f"{name}={value!r}" for name, value in _changed(options))
    return f"{type(options).__name__}({said})"


def _changed(options: Any) -> list[tuple[str, Any]]:
    values = [(each.name, getattr(options, each.name), each.default) for each in dataclasses.fields(options)]
    return [(name, value) for name, value, default in values if value != default]


def _settings(recipe: Recipe) -> Iterator[str]:
    """Yield the settings that make a recipe of the default one; the name of a network or loss before its options."""
    yield from _differences(plain(recipe), plain(Recipe()), "")


def _differences(now: Mapping[str, Any], default: Mapping[str, Any], prefix: str) -> Iterator[str]:
    if now.get("name") != default.get("name"):
        default = {}  # the options of another thing
    for key, value in now.items():
        if isinstance(value, Mapping):
            yield from _differences(value, default.get(key, {}), f"{prefix}{key}.")
        elif key not in default or value != default[key]:
            yield f"{prefix}{key}={_text(value)}"


def _text(value: Any) -> str:
    """Write a value as `parse_value` reads it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value if parse_value(value) == value else f'"{value}"'
    return repr(value)
