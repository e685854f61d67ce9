"""The parts of a protocol: a budget, the scenes of a season, a network, and an arm, which is one way of learning."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

from cscl.errors import InputError
from cscl.inference.enlarge import By
from cscl.simulate import SeasonOptions

__all__ = ["Arm", "Budget", "NetworkSpec", "SceneSpec", "SeasonSpec"]


@dataclass(frozen=True)
class Budget:
    """How much a run may spend: steps of plain training of its network, or seconds."""

    amount: float
    unit: Literal["steps", "s"]

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read ``600steps`` or ``90s``.

        Raises
        ------
        InputError
            If it is neither.
        """
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(steps|s)\s*", text)
        if not found or not float(found[1]):
            raise InputError(f"'{text}' is no budget. Give steps of plain training, as in 600steps, or seconds: 90s.")
        return cls(float(found[1]), "steps" if found[2] == "steps" else "s")

    def __str__(self) -> str:
        return f"{self.amount:g}{self.unit}"


@dataclass(frozen=True)
class SceneSpec:
    """A real scene: images and labels, by their paths beside the protocol."""

    images: Annotated[str, {"tooltip": "Folder or file of the images"}] = ""
    labels: Annotated[str, {"tooltip": "Parcels or a label raster"}] = ""
    test: Annotated[bool, {"tooltip": "Whether it judges instead of teaching"}] = False


@dataclass(frozen=True)
class SeasonSpec:
    """What runs learn from and are judged on: simulated places of one season, or real scenes.

    Simulated places are judged by what truly grows there at 10 m, and without errors of the register. Without a test
    scene, blocks of the real ones judge: they are the same for all arms and seeds.
    """

    name: str = ""
    purpose: Annotated[Literal["development", "claim"], {"tooltip": "For tuning, or fresh for a claim"}] = "development"
    simulated: SeasonOptions = field(default_factory=lambda: SeasonOptions(size_px=128))
    train: Annotated[tuple[int, ...], {"tooltip": "Mosaic seeds of the places that teach"}] = ()
    test: Annotated[tuple[int, ...], {"tooltip": "Mosaic seeds of the places that judge"}] = ()
    outlines_only: Annotated[
        tuple[int, ...], {"tooltip": "Places that teach (mosaic seeds, or real scenes by number from 1) without crops"}
    ] = ()
    scenes: tuple[SceneSpec, ...] = ()
    finer: Annotated[
        int, {"min": 1, "max": 8, "tooltip": "The truth that judges has so many pixels a side of one of the images"}
    ] = 1
    test_share: Annotated[float, {"min": 0.05, "max": 0.8, "tooltip": "Blocks that judge if no scene does"}] = 0.3
    reading: Annotated[tuple[str, ...], {"tooltip": "How labels are read, as key=value: class_column=crop"}] = ()

    def __post_init__(self) -> None:
        if bool(self.train) == bool(self.scenes):
            raise InputError(f"The season '{self.name}' needs either places to simulate (train, test) or scenes.")
        if self.train and (not self.test or {*self.train} & {*self.test}):
            raise InputError(f"The season '{self.name}' needs test places that are not among its training places.")
        teaching = self.train or tuple(n for n, scene in enumerate(self.scenes, 1) if not scene.test)
        if not {*self.outlines_only} < {*teaching}:
            raise InputError(
                f"The season '{self.name}' has outlines_only = {list(self.outlines_only)}, and {list(teaching)} teach. "
                "Name some of these, and leave others their crops."
            )
        if self.train and self.finer not in (1, 4):
            raise InputError(
                f"The truth of simulated places is known at 10 m and 2.5 m: set finer of {self.name} to 4."
            )


@dataclass(frozen=True)
class NetworkSpec:
    """A network by the settings that choose it, such as ``model=unet3df``."""

    name: str = "compact"
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Arm:
    """One of the ways of learning that are compared."""

    name: str = ""
    about: Annotated[str, {"tooltip": "What it is, in words"}] = ""
    settings: Annotated[tuple[str, ...], {"tooltip": "Settings of the recipe, key=value"}] = ()
    reading: Annotated[tuple[str, ...], {"tooltip": "How training labels are read, key=value"}] = ()
    kind: Annotated[
        Literal["fine-tune", "probe"], {"tooltip": "Train the whole network, or its classifier alone (linear probe)"}
    ] = "fine-tune"
    pretrain_share: Annotated[float, {"min": 0.0, "max": 0.99, "tooltip": "Share of the budget for pre-training"}] = 0.0
    outlines: Annotated[
        Literal["register", "random", "shifted"],
        {"tooltip": "Parcel ids of the register, of a random tessellation, or moved; crops stay as they are"},
    ] = "register"
    shift_m: Annotated[float, {"min": 0.0, "tooltip": "How far the ids of a scene are moved, in some direction"}] = 0.0
    jitter_m: Annotated[float, {"min": 0.0, "tooltip": "Further move of each parcel, sd along x and y"}] = 0.0
    finer_by: Annotated[
        By, {"tooltip": "How its map gets pixels as fine as those of the truth, where it is coarser"}
    ] = "bilinear"
    sharpen: Annotated[
        int, {"min": 0, "max": 50, "tooltip": "Rounds by which its map is sharpened by what it knows of affinity"}
    ] = 0
    sharpen_temperature: Annotated[
        float, {"min": 0.01, "max": 10.0, "tooltip": "What affinities are divided by when a map is sharpened"}
    ] = 0.2
    pretrain_cost: Annotated[
        float, {"min": 0.0, "tooltip": "Time of a pre-training step in steps of plain training; 0: measure it"}
    ] = 0.0
    train_cost: Annotated[float, {"min": 0.0, "tooltip": "The same for a step of its training; 0: measure it"}] = 0.0

    def __post_init__(self) -> None:
        if (self.shift_m or self.jitter_m) and self.outlines != "shifted":
            raise InputError(f"The arm '{self.name}' moves outlines: say so with outlines = \"shifted\".")
        if self.sharpen_temperature != Arm.sharpen_temperature and not self.sharpen:
            raise InputError(f"The arm '{self.name}' gives sharpen_temperature, but no rounds: say sharpen = 3.")

    @property
    def all_settings(self) -> tuple[str, ...]:
        """Settings, with those that its kind means."""
        return (*self.settings, "train.scope=head") if self.kind == "probe" else self.settings
