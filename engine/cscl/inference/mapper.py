"""A model made ready for a cube: how the cube is cut into tiles, and what each tile says about the map.

Whoever maps, in this process or in another, does so tile by tile with one of these, and gets the same parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from cscl.cube import SITSCube
from cscl.errors import InputError
from cscl.grid import GeoBox, refined

from .enlarge import By, enlarged
from .parts import MapPart, part_of
from .sharpen import Sharpener, sharpener
from .stitch import Tile, overlapping_tiles
from .tiles import Model, Sample, load_model, suit_cube

__all__ = ["LEAST_TILE_PX", "Mapper", "PredictOptions", "ready"]

LEAST_TILE_PX = 32


@dataclass(frozen=True)
class PredictOptions:
    """How a map is made."""

    tile_px: Annotated[
        int,
        {
            "min": 0, "max": 4096, "step": 16,
            "tooltip": "Distance between tiles, pixels of the images (a map that is 4 times finer takes half); 0 finds "
            "it from the free memory and the network",
        },
    ] = 0  # fmt: skip
    blend_px: Annotated[
        int,
        {
            "min": 0, "max": 64, "step": 2,
            "tooltip": "Width over which tiles blend, pixels of the images, where the network looks at a tile as a "
            "whole; others agree at their edges",
        },
    ] = 16  # fmt: skip
    probabilities: Annotated[bool, {"tooltip": "Also write the probability of every class"}] = False
    finer: Annotated[
        Literal[1, 2, 4],
        {"tooltip": "Cut the pixels of a map into so many a side, e.g. to compare it with one of a finer model"},
    ] = 1
    finer_by: Annotated[
        By, {"tooltip": "Probabilities of finer pixels: interpolated between pixels (bilinear) or repeated (nearest)"}
    ] = "bilinear"
    sharpen: Annotated[
        int, {"min": 0, "max": 50, "tooltip": "How often each pixel takes over what alike neighbours say; 0 for never"}
    ] = 0
    sharpen_by: Annotated[
        str | None,
        {"tooltip": "Model that knows which are alike, if not the pre-trained one that the model itself keeps"},
    ] = None
    sharpen_temperature: Annotated[
        float, {"min": 0.01, "max": 10.0, "tooltip": "What affinities are divided by; low: the most alike alone counts"}
    ] = 0.2

    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        {"tooltip": "Of sums: bfloat16 is quicker where there are units for it; auto takes it on such GPUs alone"},
    ] = "auto"

    def __post_init__(self) -> None:
        if 0 < self.tile_px < LEAST_TILE_PX:
            raise InputError(f"Tiles of {self.tile_px} pixels are mostly margin. Give 0 or at least {LEAST_TILE_PX}.")
        if self.blend_px > self.tile_px > 0:
            raise InputError(
                f"Tiles of {self.tile_px} pixels cannot blend over {self.blend_px}. Give a blend_px of at most tile_px."
            )
        if self.sharpen_by is not None and not self.sharpen:
            raise InputError(f"Say how often to sharpen by {self.sharpen_by}, e.g. with --sharpen 3.")


@dataclass(frozen=True, eq=False)
class Mapper:
    """A model, a cube in its bands and dates, and how the map is made.

    Parameters
    ----------
    model : Model
        The network.
    cube : SITSCube
        Images in its bands and dates.
    options : PredictOptions
        How the map is made.
    sharp : Sharpener or None
        What sharpens it.
    core_px : int
        Distance between tiles, pixels of the images.
    """

    model: Model
    cube: SITSCube
    options: PredictOptions
    sharp: Sharpener | None
    core_px: int

    @property
    def finer(self) -> int:
        """How many pixels of the map lie along a side of one of the images."""
        return self.model.finer * self.options.finer

    @property
    def grid(self) -> GeoBox:
        """Grid of the map."""
        return refined(self.cube.grid, self.finer)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the map."""
        return self.cube.shape[0] * self.finer, self.cube.shape[1] * self.finer

    @property
    def blend_px(self) -> int:
        """Width over which tiles blend, pixels of the map; 0 where they agree anyhow."""
        needs = [m.network.needs for m in (self.model, *([self.sharp.model] if self.sharp else []))]
        return self.options.blend_px * self.finer if any(need.whole_tile for need in needs) else 0

    @property
    def around_px(self) -> tuple[int, int]:
        """Step and margin of what is read for a tile."""
        step_px, margin_px = self.model.step_px, self.model.margin_px
        if self.options.finer > 1:
            margin_px = max(margin_px, step_px)  # to interpolate from
        return (step_px, margin_px) if self.sharp is None else self.sharp.around(step_px, margin_px)

    @cached_property
    def tiles(self) -> list[Tile]:
        """The tiles, row by row."""
        step_px, margin_px = self.around_px
        blend_px = self.blend_px // self.finer
        strips = overlapping_tiles(self.cube.shape, self.core_px, margin_px, blend_px, step_px, self.finer)
        return [tile for strip in strips for tile in strip]

    def read(self, numbers: Sequence[int]) -> Sample:
        """Read tiles of one size, by their numbers."""
        return self.model.read(self.cube, [self.tiles[n].read for n in numbers])

    def parts(self, numbers: Sequence[int], sample: Sample) -> list[MapPart]:
        """Say what tiles that were read add to the map."""
        parts = []
        for number, (probabilities, seen) in zip(numbers, self.model.probabilities(sample), strict=True):
            tile = self.tiles[number]
            if self.sharp is not None:
                probabilities = self.sharp(probabilities, seen, tile.read)
            if self.options.finer > 1:
                probabilities, seen = enlarged(probabilities, seen, self.options.finer, self.options.finer_by)
            legend, many = self.model.card.legend, self.options.probabilities
            weight = tile.weights(self.shape, self.blend_px)
            parts.append(part_of(probabilities[:, *tile.inner], seen[tile.inner], weight, legend, many=many))
        return parts


def ready(
    folder: str | Path, cube: SITSCube, options: PredictOptions, device: str = "auto", core_px: int = 0
) -> tuple[Mapper, list[str]]:
    """Load a model and make it ready for a cube.

    Parameters
    ----------
    folder : path
        Folder of a trained model.
    cube : SITSCube
        Images.
    options : PredictOptions
        How the map is to be made.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    core_px : int
        Distance between tiles, where it is known already.

    Returns
    -------
    Mapper
        With the distance between tiles that the options say, which is 0 if it is still to be found.
    list of str
        Warnings about what of the cube does not suit the model.

    Raises
    ------
    CSCLError
        If the model cannot be used on this cube.
    """
    model = replace(load_model(folder, device), precision=options.precision)
    if model.card.stage != "trained":
        raise InputError(
            f"{folder} is only pre-trained: its classifier knows nothing yet. Train it with cscl train --start."
        )
    if model.finer > 1 and options.finer > 1:
        raise InputError(f"{folder} maps {model.finer} times finer than the images by itself. Leave out --finer.")
    suited, warnings = suit_cube(cube, model.card, model.network.needs.least_dates)
    sharp = None
    if options.sharpen:
        by, temperature = options.sharpen_by or folder, options.sharpen_temperature
        sharp, more = sharpener(by, cube, model.finer, options.sharpen, temperature, device)
        warnings = list(dict.fromkeys(warnings + more))
    mapper = Mapper(model, suited, options, sharp, options.tile_px)
    if options.tile_px and mapper.finer > 1:
        core_px = core_px or max(LEAST_TILE_PX, options.tile_px * 2 // mapper.finer)
    return replace(mapper, core_px=core_px or mapper.core_px), warnings
