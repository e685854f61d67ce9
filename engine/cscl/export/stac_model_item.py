"""A trained model as STAC Item of its own, by the extension for machine learning models (mlm 1.5.0).

The extension wants an asset that holds the network, so there is no Item without one: weights or an ONNX file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from affine import Affine
from odc.geo.geobox import GeoBox

import cscl
from cscl.card import CARRIED, ModelCard
from cscl.errors import GridError
from cscl.events import Job
from cscl.grid import make_grid
from cscl.recipe import plain

from .checksums import digests, files_of
from .draft import draft
from .footprint import merged
from .stac_classes import class_list, machine_name
from .stac_item import MODEL_ITEM, asset, declared, when

__all__ = ["model_files", "model_item", "training_places", "write_model_item"]

_NETWORKS = {".onnx": "onnx", ".safetensors": "safetensors.torch.save_file"}


def model_files(folder: str | Path) -> list[str]:
    """Names of the files below a folder that hold a network: ONNX, or weights with their card beside them.

    The network that a model started from, and carries along, is another one.
    """
    folder = Path(folder)
    return [
        name
        for name in files_of(folder)
        if CARRIED not in Path(name).parts[:-1]
        if name.endswith(".onnx")
        or (name.endswith("network.safetensors") and (folder / name).parent.joinpath("card.json").is_file())
    ]


def write_model_item(
    folder: str | Path,
    card: ModelCard,
    *,
    inputs: Sequence[Mapping[str, Any]] | None = None,
    known: Mapping[str, str] | None = None,
) -> Job[Path | None]:
    """Write ``model.json``, which describes the model whose network lies in a folder; None where none does.

    Parameters
    ----------
    folder : path
        An export that holds ONNX files, or a model folder. A former ``model.json`` is replaced.
    card : ModelCard
        Of the model.
    inputs : sequence of mapping, optional
        ``mlm:input`` where the file takes other arrays than the network does, as ONNX for one program may.
    known : mapping, optional
        Digests that are known already.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    folder = Path(folder)
    names = model_files(folder)
    if not names:
        return None
    with draft(folder, MODEL_ITEM) as part:
        sums = dict(known or {})
        sums |= yield from digests(folder, [name for name in names if name not in sums])
        written = model_item(folder, card, names, sums, inputs)
        text = json.dumps(written, indent=1, ensure_ascii=False, allow_nan=False)
        (part / MODEL_ITEM).write_text(text + "\n", encoding="utf-8")
    return folder / MODEL_ITEM


def model_item(
    folder: Path,
    card: ModelCard,
    names: Sequence[str],
    sums: Mapping[str, str],
    inputs: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return the Item of `write_model_item` as plain values."""
    place = merged(training_places(card))
    geometry, box = place or (None, None)
    assets: dict[str, Any] = {}
    bands = [{"name": band} for band in card.bands]  # mlm wants them in the properties, STAC then in an asset, too
    for name in names:
        assets[machine_name(Path(name).stem, assets, "model")] = {
            **asset(folder, name, sums[name]), "roles": ["mlm:model", "mlm:weights"],
            "mlm:artifact_type": _NETWORKS[Path(name).suffix], "bands": bands,
        }  # fmt: skip
    properties = {**_properties(card, inputs), "bands": bands}
    return {
        "type": "Feature", "stac_version": "1.1.0", "stac_extensions": declared(properties, assets),
        "id": machine_name(f"model-{card.name}"), "geometry": geometry, **({"bbox": box} if box else {}),
        "properties": properties, "links": [], "assets": assets,
    }  # fmt: skip


def _properties(card: ModelCard, inputs: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    version = card.made.get("torch", "")
    output = _output(card)
    return {
        "title": f"Model {card.name}", **when({"dates": _dates(card), "when": card.made.get("when")}),
        "mlm:name": _name(card.name), "mlm:architecture": card.model.name, "mlm:tasks": output["tasks"],
        "mlm:framework": "PyTorch",
        **({"mlm:framework_version": version} if re.fullmatch(r"\d+\.\d+\.\d+(\+[0-9A-Za-z.-]+)?", version) else {}),
        "mlm:total_parameters": card.parameters,
        "mlm:pretrained": card.head is not None or card.tuned is not None,
        "mlm:pretrained_source": _source(card),
        "mlm:input": [dict(known) for known in inputs] if inputs is not None else _inputs(card),
        "mlm:output": [output], "mlm:hyperparameters": plain(card.recipe),
        "processing:software": {"cscl": card.made.get("cscl", cscl.__version__)},
    }  # fmt: skip


def _inputs(card: ModelCard) -> list[dict[str, Any]]:
    """Describe what the network itself takes: images, days and validity."""
    images: dict[str, Any] = {
        "name": "images", "bands": list(card.bands), "resize_type": None, "pre_processing_function": None,
        "description": f"Reflectance (0..1) of {card.pixel_size_m:g} m pixels, standardised by band, 0 where missing.",
        "input": {
            "shape": [-1, -1, len(card.bands), -1, -1], "dim_order": ["batch", "time", "bands", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": [
            {"type": "z-score", "mean": mean, "stddev": std} for mean, std in zip(card.mean, card.std, strict=True)
        ],
    }  # fmt: skip
    days: dict[str, Any] = {
        "name": "days", "bands": [], "resize_type": None, "pre_processing_function": None,
        "description": f"Days since {card.reference_date}, moved by whole years to the season of training.",
        "input": {"shape": [-1, -1], "dim_order": ["batch", "time"], "data_type": "int64"},
    }  # fmt: skip
    valid: dict[str, Any] = {
        "name": "valid", "bands": [], "resize_type": None, "pre_processing_function": None,
        "description": "Whether a pixel can be used at a date: 1 or 0, a truth value in PyTorch.",
        "input": {
            "shape": [-1, -1, -1, -1], "dim_order": ["batch", "time", "height", "width"], "data_type": "uint8",
        },
    }  # fmt: skip
    return [images, days, valid]


def _output(card: ModelCard) -> dict[str, Any]:
    """Describe what the network gives: values of classes; vectors where it is only pre-trained and knows no class."""
    classes = class_list(card.legend)[:-1]  # the network has no output for pixels without a prediction
    kept = ("name", "description", "color_hint")  # stac-model knows no titles
    listed = [{"value": number, **{key: c[key] for key in kept}} for number, c in enumerate(classes)]
    if classes:
        name, axis, task = "logits", "class", "semantic-segmentation"
        said = "One value a class, in this order: the value of a class is its place, not its id on maps."
    else:
        name, axis, task, said = "embedding", "embedding", "similarity-search", "One vector a pixel."
    return {
        "name": name, "tasks": [task, *(["super-resolution"] if card.finer > 1 else [])],
        "description": f"{said} Height and width are {card.finer} times those of the images.",
        "result": {
            "shape": [-1, len(classes) or -1, -1, -1], "dim_order": ["batch", axis, "height", "width"],
            "data_type": "float32",
        },
        **({"classification:classes": listed} if listed else {}),
    }  # fmt: skip


def _source(card: ModelCard) -> str | None:
    """Say what it was pre-trained on, or fine-tuned from; None for one that was trained from scratch."""
    if card.tuned is not None:
        return f"fine-tuned from {card.tuned.get('parent', 'another model')}"
    return f"contrastive pre-training by {card.head['target']}" if card.head is not None else None


def _name(name: str) -> str:
    """Name as the extension wants it: a letter first, then letters, digits, ``_ . -``, at least three."""
    plain_name = machine_name(name, fallback="model")
    return plain_name if re.fullmatch(r"[a-z][a-z0-9_-]+[a-z0-9]", plain_name) else f"model-{plain_name}"


def _dates(card: ModelCard) -> list[str]:
    found = [scene.get("dates") for scene in card.data]
    return [str(day) for days in found for day in (days if isinstance(days, list) else [])]


def training_places(card: ModelCard) -> list[GeoBox]:
    """Boxes of the scenes that it was trained on, as grids of one pixel; those without a known place are left out."""
    found = []
    for scene in card.data:
        bounds, crs = scene.get("bounds"), scene.get("crs")
        try:
            left, bottom, right, top = map(float, bounds)  # type: ignore[arg-type]
            found.append(make_grid((1, 1), Affine(right - left, 0, left, 0, bottom - top, top), crs, "The scene"))
        except (TypeError, ValueError, GridError):
            continue
    return found
