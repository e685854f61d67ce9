"""Looking at a scene with a model: what it takes, what it gives, and the layers that show it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from cscl.card import ModelCard
from cscl.cube import SITSCube
from cscl.errors import CSCLError
from cscl.events import Event
from cscl.grid import GeoBox, Window
from cscl.products import Embedding
from napari_cscl.bridge import KEY, LayerData, colours_layer, raster_layer

if TYPE_CHECKING:
    from cscl.inference.similarity import Overview
    from cscl.inference.window import WindowHead

__all__ = ["ALIKE", "Lens", "Seen", "look_near", "look_with", "origins"]

ALIKE = (-1.0, 1.0)  # limits of what is shown of a similarity
EDGE = (0.0, 1.0)
NEAR_PX = 1024  # side of what is seen in full detail around a pixel of a large scene


@dataclass(frozen=True)
class Lens:
    """What a scene is looked at with: a model, or its network before it learnt anything.

    Parameters
    ----------
    folder : Path
        Model folder.
    name : str
        As it stands in the names of layers.
    untrained : bool
        Whether its first, random weights are meant.
    """

    folder: Path
    name: str
    untrained: bool = False

    @classmethod
    def of(cls, folder: str | Path, *, untrained: bool = False) -> Lens:
        """Name a model folder by its card.

        Raises
        ------
        MissingError, InputError
            If it is not a model folder or is damaged.
        """
        name = ModelCard.open(folder).name
        return cls(Path(folder), f"{name} untrained" if untrained else name, untrained)

    def beside(self, other: Lens) -> Lens:
        """Return this lens under a name that can be told from that of another."""
        return self if self.name != other.name else replace(self, name=f"{self.name} (2)")

    @property
    def key(self) -> str:
        """Tells weights apart, so that what was seen with them can be kept."""
        weights = self.folder / "network.safetensors"
        changed = weights.stat().st_mtime_ns if weights.exists() else 0
        return hashlib.sha256(f"{self.folder.resolve()} {changed} {self.untrained}".encode()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Seen:
    """What looking gave.

    Parameters
    ----------
    lens : Lens
        What was looked with.
    view : Overview
        The embedding in memory; of a large scene some of its pixels.
    edges_YX : ndarray
        Edge strength, of the pixels of `view`.
    colours_YXC : ndarray
        Colours of the same.
    head : WindowHead or None
        The contrastive head, if there is one.
    near : Overview or None
        Of a large scene, all pixels around one that was picked.
    near_edges_YX : ndarray or None
        Their edge strength.
    """

    lens: Lens
    view: Overview
    edges_YX: NDArray[np.float32]
    colours_YXC: NDArray[np.uint8]
    head: WindowHead | None
    near: Overview | None = None
    near_edges_YX: NDArray[np.float32] | None = None

    @property
    def is_echo(self) -> bool:
        """Whether the network was trained further without its contrastive head."""
        return self.head is not None and self.head.echo

    def through(self, lens: Lens) -> Seen:
        """Return the same under the name of another lens."""
        return replace(self, lens=lens)

    @property
    def sampling(self) -> str:
        """How the name of a layer says that not all pixels are shown."""
        return "" if self.view.step_px == 1 else f", 1 px in {self.view.step_px} x {self.view.step_px}"

    def lacks_detail(self, row: int, col: int) -> bool:
        """Whether the surroundings of a pixel of a large scene are still to be read: by a quarter of their side."""
        if self.view.step_px == 1:
            return False
        if self.near is None:
            return True
        held = self.near.window
        wanted = Window(row, col, 1, 1).grown(NEAR_PX // 4, self.view.shape).within(held)
        return wanted.grown(0, (held.height, held.width)) != wanted

    def around(self, row: int, col: int) -> Window:
        """Surroundings of a pixel that are seen in full detail."""
        return Window(row, col, 1, 1).grown(NEAR_PX // 2 - 1, self.view.shape)

    def edges(self, origin: GeoBox | None) -> LayerData:
        """Layer of the edge strength; of a large scene, of the strongest edges."""
        step = self.view.step_px
        strongest = "" if step == 1 else f", strongest of {step} x {step} px"
        layer = raster_layer(self.edges_YX, self.view.grid, f"edges · {self.lens.name}{strongest}", EDGE, origin)
        return layer if step == 1 else _own_grid(layer)

    def near_edges(self, origin: GeoBox | None) -> LayerData:
        """Layer of the edge strength around a pixel."""
        assert self.near is not None and self.near_edges_YX is not None
        name = f"edges near · {self.lens.name}"
        return _own_grid(raster_layer(self.near_edges_YX, self.near.grid, name, EDGE, origin))

    def near_similarity(self, values_YX: NDArray[np.float32], origin: GeoBox | None) -> LayerData:
        """Layer of the similarity of a pixel to those around it."""
        assert self.near is not None
        name = f"similarity near · {self.lens.name}"
        return _own_grid(raster_layer(values_YX, self.near.grid, name, ALIKE, origin, "viridis", "affinity"))

    def colours(self, origin: GeoBox | None) -> LayerData:
        """Layer of the principal components as colours."""
        name = f"colours · {self.lens.name}{self.sampling}"
        return _own_grid(colours_layer(self.colours_YXC, self.view.grid, name, origin))

    def similarity(self, values_YX: NDArray[np.float32], origin: GeoBox | None) -> LayerData:
        """Layer of the similarity of a pixel to the scene."""
        name = f"similarity · {self.lens.name}{self.sampling}"
        return _own_grid(raster_layer(values_YX, self.view.grid, name, ALIKE, origin, "viridis", "affinity"))

    def window(self, values_YX: NDArray[np.float32], row: int, col: int, origin: GeoBox | None) -> LayerData:
        """Layer of the similarity of a pixel to its window, at its place."""
        name = f"{self.measure} · {self.lens.name}"
        grid = self.window_grid(len(values_YX), row, col)
        return _own_grid(raster_layer(values_YX, grid, name, ALIKE, origin, "viridis", "mark"))

    @property
    def measure(self) -> str:
        """What the window shows, in the words of its layer's name."""
        return "window cosine" if self.head is None else "window affinity (CSCL head)"

    def window_grid(self, size: int, row: int, col: int) -> GeoBox:
        """Grid of a window of `size` pixels around a pixel; it may reach beyond the scene."""
        grid = self.view.embedding.grid
        corner = grid.transform @ Affine.translation(col - size // 2, row - size // 2)
        return GeoBox((size, size), corner, grid.crs)


def _own_grid(layer: LayerData) -> LayerData:
    """Leave the grid out of what a layer says of itself: it is not that of the scene."""
    data, look, kind = layer
    held = {key: value for key, value in look["metadata"][KEY].items() if key != "grid"}
    return data, {**look, "metadata": {KEY: held}}, kind


def look_with(
    lenses: Sequence[Lens], known: Sequence[Seen | None], cube: SITSCube, place: Path, device: str = "auto"
) -> Generator[Event, None, list[Seen]]:
    """Look at a scene with some models. What is known from before is taken; embeddings are kept in `place`."""
    for other in place.parent.glob("*"):
        if other != place:
            shutil.rmtree(other, ignore_errors=True)  # of scenes that are closed
    found = []
    for lens, seen in zip(lenses, known, strict=True):
        found.append(seen.through(lens) if seen is not None else (yield from _look(lens, cube, place, device)))
    return found


def _look(lens: Lens, cube: SITSCube, place: Path, device: str) -> Generator[Event, None, Seen]:
    """Embed a scene, or take up its embedding, and read what a click needs into memory."""
    from cscl.inference.embed import edge_strength, embed
    from cscl.inference.similarity import overview, principal_colours
    from cscl.inference.window import WindowHead

    kept, edge_file = place / f"{lens.key}.zarr", place / f"{lens.key}.npy"
    if kept.exists():
        embedding = Embedding.open(kept)
    else:
        embedding = yield from embed(lens.folder, cube, kept, untrained=lens.untrained, device=device)
    view = yield from overview(embedding)
    if edge_file.exists():
        edges_YX = np.load(edge_file)
    else:
        edges_YX = yield from edge_strength(embedding, view.step_px)
        np.save(edge_file, edges_YX)
    head = None if lens.untrained else WindowHead.open(lens.folder)
    return Seen(lens, view, edges_YX, principal_colours(view), head)


def look_near(seen: Sequence[Seen], places: Sequence[tuple[int, int]]) -> Generator[Event, None, list[Seen]]:
    """See all pixels around one, at row and column `places` of each of what was seen."""
    from cscl.inference.pixelwise import edges_between
    from cscl.inference.similarity import overview

    found = []
    for one, (row, col) in zip(seen, places, strict=True):
        near = yield from overview(one.view.embedding, window=one.around(row, col))
        found.append(replace(one, near=near, near_edges_YX=edges_between(near.values_YXD)))
    return found


def origins(folder: Path) -> list[Lens]:
    """Models that a model was made from, as far as they are still there: what it was tuned from, and pre-trained as."""
    card = ModelCard.open(folder)
    named = [Path(card.tuned["parent_folder"])] if card.tuned and "parent_folder" in card.tuned else []
    found = []
    for path in (*named, folder.with_name(f"{folder.name}-pretrained")):
        try:
            found.append(Lens.of(path))
        except CSCLError:
            continue  # it has gone since
    return found
