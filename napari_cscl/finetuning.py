"""Fine-tuning what is open: the job of the Fine-tune panel, and the steps that can be undone. No Qt, no napari.

What comes with torch is imported in the job, beside the window.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cscl.card import affinity_folder
from cscl.events import Job
from cscl.grid import same
from cscl.products import Prediction, Scene

from .session import Session

if TYPE_CHECKING:
    from cscl.training.refine import Refined

__all__ = ["SCOPES", "Step", "fine_tune", "map_of_the_model"]

SCOPES = {"everything": "all", "classifier and surroundings": "decoder", "classifier only": "head"}


@dataclass(frozen=True, eq=False)
class Step:
    """One fine-tuning that can be undone: the model before it, its own folder, and what it made."""

    model: Path
    folder: Path
    found: Refined


def fine_tune(
    scene: Scene, model: Path, region_YX: NDArray[np.bool_], out: Path, *,
    scope: str, seconds: float, before: Prediction | None, tile_px: int, device: str,
) -> Job[Step]:  # fmt: skip
    """Refine a model in a region, and take its maps into memory, so that they stay whatever becomes of their files.

    Parameters
    ----------
    scene : Scene
        Images and labels, with their corrections.
    model : Path
        Folder of the model, which stays as it is.
    region_YX : ndarray of bool
        Pixels to learn from.
    out : Path
        Model folder to make. The folder around it is the step's own: it goes if the job ends in any other way.
    scope : str
        One of the values of `SCOPES`.
    seconds : float
        How long to learn.
    before : Prediction or None
        Map of the model, if there is one already.
    tile_px : int
        Pixels mapped at once along a side.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    """
    from cscl.inference.predict import PredictOptions
    from cscl.training.finetune import FinetuneOptions
    from cscl.training.refine import refine

    learning: Any = {"scope": scope, "seconds": seconds}
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        found = yield from refine(
            scene, model, out, region_YX, out.with_name("maps"), FinetuneOptions(**learning),
            before=before, mapping=PredictOptions(tile_px=tile_px, **_sharpening(before)), device=device,
        )  # fmt: skip
        for prediction in (found.before, found.after):
            prediction.ids.load()
            prediction.confidence.load()
    except BaseException:
        shutil.rmtree(out.parent, ignore_errors=True)
        raise
    return Step(model, out.parent, replace(found, after=replace(found.after, name=out.name)))


def map_of_the_model(session: Session) -> Prediction | None:
    """Return the open map if the open model made it of the open images, with their pixels, and can sharpen so again."""
    made, model, cube = session.prediction, session.model, session.cube
    if made is None or model is None or cube is None:
        return None
    own = made.facts.get("model_made") == dict(model.card.made) and made.facts.get("images") == cube.name
    again = not _sharpening(made) or affinity_folder(model.folder) is not None
    return made if own and again and same(made.grid, cube.grid) else None


def _sharpening(before: Prediction | None) -> dict[str, Any]:
    """Options by which maps are sharpened as the one before, so that fine-tuning alone makes the difference."""
    facts = before.facts if before is not None else {}
    if not facts.get("sharpened"):
        return {}
    return {"sharpen": facts["sharpened"], "sharpen_temperature": facts["sharpen_temperature"]}
