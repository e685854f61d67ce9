"""Rules of the STAC extensions that exports use, as JSON schemas, so that pystac can validate without a network.

They are our own, and know what exports hold: types, forms, which fields there are, what must be there and what must go
together: a field of ours that the published schemas refuse, they refuse, too. To hold exports against those schemas,
name a folder of these in ``CSCL_STAC_SCHEMAS``: each replaces the rules that have its ``$id``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pystac
from pystac.validation.stac_validator import JsonSchemaSTACValidator

from cscl.export.stac_item import EXTENSIONS

TEXT, NUMBER, WHOLE = {"type": "string", "minLength": 1}, {"type": "number"}, {"type": "integer", "minimum": 0}
TYPES = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"]


def table(required: str = "", **fields: Any) -> dict[str, Any]:
    """An object that holds these fields and no other."""
    return {"type": "object", "properties": fields, "required": required.split(), "additionalProperties": False}


def listed(items: Any, least: int = 1, most: int | None = None) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least, **({"maxItems": most} if most else {})}


CLASSES = {
    **listed(
        table(
            "value name", value={"type": "integer"}, name={"type": "string", "pattern": "^[0-9A-Za-z_-]+$"}, title=TEXT,
            description=TEXT, color_hint={"type": "string", "pattern": "^[0-9A-F]{6}$"}, nodata={"type": "boolean"},
        )
    ),
    "uniqueItems": True,
}  # fmt: skip
TASKS = listed({"enum": ["semantic-segmentation", "super-resolution", "similarity-search"]}) | {"uniqueItems": True}
ARRAY = table(
    "shape dim_order data_type", shape=listed({"type": "integer", "minimum": -1}), data_type={"enum": TYPES},
    dim_order={**listed({"type": "string", "pattern": "^[a-z-_]+$"}), "uniqueItems": True},
)  # fmt: skip
SCALING = listed(table("type mean stddev", type={"const": "z-score"}, mean=NUMBER, stddev=NUMBER))
INPUT = table(
    "name input", name=TEXT, bands=listed(TEXT, 0), input=ARRAY, value_scaling=SCALING, description=TEXT,
    resize_type={"type": "null"}, pre_processing_function={"type": "null"},
)  # fmt: skip
OUTPUT = table("name tasks result", name=TEXT, tasks=TASKS, result=ARRAY, description=TEXT)
DESCRIBED = {**CLASSES, "items": {**CLASSES["items"], "required": ["value", "description"]}}  # as of version 1.1.0
OUTPUT["properties"]["classification:classes"] = {"allOf": [CLASSES, DESCRIBED]}


def beside(condition: dict[str, Any], then: dict[str, Any]) -> dict[str, Any]:
    """One holds exactly where the other does."""
    return {"if": condition, "then": then, "else": {"not": then}}


def one(holds: dict[str, Any]) -> dict[str, Any]:
    """An object with at least one value of which this holds."""
    return {"not": {"additionalProperties": {"not": holds}}}


BANDS = {"required": ["bands"], "properties": {"bands": {"minItems": 1}}}
INPUT |= beside(BANDS, {"properties": {"input": {"properties": {"dim_order": {"contains": {"const": "bands"}}}}}})
NETWORK = {"required": ["roles"], "properties": {"roles": {"contains": {"const": "mlm:model"}}}}

FIELDS: dict[str, dict[str, Any]] = {
    "projection": {
        "code": {"type": ["string", "null"], "pattern": "^[A-Z]+:[0-9A-Za-z]+$"}, "wkt2": TEXT,
        "bbox": listed(NUMBER, 4, 4), "shape": listed(WHOLE, 2, 2), "transform": listed(NUMBER, 6, 6),
    },
    "raster": {
        "scale": NUMBER, "offset": NUMBER, "spatial_resolution": NUMBER, "sampling": {"enum": ["area", "point"]},
    },
    "classification": {"classes": CLASSES},
    "processing": {
        "lineage": TEXT, "level": {"enum": ["L4"]}, "version": TEXT,
        "datetime": {"type": "string", "pattern": "^[0-9-]{10}T[0-9:]{8}Z$"},
        "software": {"type": "object", "additionalProperties": TEXT, "minProperties": 1},
    },
    "file": {"size": WHOLE, "checksum": {"type": "string", "pattern": "^1220[0-9a-f]{64}$"}},
    "mlm": {
        "name": {"type": "string", "pattern": r"^[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]$"}, "architecture": TEXT,
        "tasks": TASKS, "framework": TEXT, "total_parameters": WHOLE, "pretrained": {"type": "boolean"},
        "framework_version": {"type": "string", "pattern": r"^[0-9]+\.[0-9]+\.[0-9]+(\+[0-9A-Za-z.-]+)?$"},
        "pretrained_source": {"type": ["string", "null"]}, "input": listed(INPUT), "output": listed(OUTPUT),
        "hyperparameters": {"type": "object", "propertyNames": {"pattern": "^[0-9a-zA-Z_.-]+$"}, "minProperties": 1},
        "artifact_type": TEXT,
    },
}  # fmt: skip
PREFIX = {"projection": "proj"}
ARTIFACT = "mlm:artifact_type"
WHOLE_MODEL = {"required": [f"mlm:{field}" for field in ("name", "architecture", "tasks", "input", "output")]}


def some(known: Iterable[str]) -> dict[str, Any]:
    """At least one of these fields, in an object or in one of its bands."""
    named = {"anyOf": [{"required": [field]} for field in known]}
    return {"anyOf": [named, {"required": ["bands"], "properties": {"bands": {"contains": named}}}]}


def only(prefix: str, known: dict[str, Any]) -> dict[str, Any]:
    """Of the fields with a prefix, these and no others."""
    return {"properties": known, "patternProperties": {f"^(?!{prefix}:)": {}}, "additionalProperties": False}


def for_models(known: dict[str, Any]) -> dict[str, Any]:
    """What goes together in an Item of a model: whole and files, and the bands of inputs with those of the Item."""
    artifact = {ARTIFACT: known[ARTIFACT]}
    whole = {**only("mlm", {field: rule for field, rule in known.items() if field != ARTIFACT}), **WHOLE_MODEL}
    files = {**only("mlm", artifact), **beside(NETWORK, {"required": [ARTIFACT]})}
    of_bands = {"properties": {"mlm:input": {"items": BANDS}}}
    whole |= {"if": of_bands, "then": BANDS}
    return {"properties": whole, "assets": {"additionalProperties": files, **one(NETWORK)}}


def schema(name: str) -> dict[str, Any]:
    """Rules of an extension: its fields in properties, assets and bands, and none that it does not know."""
    prefix = PREFIX.get(name, name)
    known: dict[str, Any] = {f"{prefix}:{field}": rule for field, rule in FIELDS[name].items()}
    fields = only(prefix, known)
    asset = {**fields, "properties": {**known, "bands": {"type": "array", "items": fields}}}
    rules: dict[str, Any] = {
        "$schema": "http://json-schema.org/draft-07/schema#", "$id": EXTENSIONS[name], "required": ["stac_extensions"],
        "properties": {
            "properties": fields, "assets": {"additionalProperties": asset},
            "stac_extensions": {"contains": {"const": EXTENSIONS[name]}},
        },
    }  # fmt: skip
    if name == "projection":
        without = {"properties": {"proj:code": {"type": "null"}}, "required": ["proj:code"]}
        fields |= {"if": without, "then": {"required": ["proj:wkt2"]}}
    if name == "raster":
        rules["anyOf"] = [{"properties": {"properties": some(known)}}, {"properties": {"assets": one(some(known))}}]
    if name == "processing":
        rules["properties"]["properties"] = {"allOf": [fields, some(known)]}
    if name == "classification":
        outputs = {"type": "array", "items": {"type": "object", "properties": known}}
        rules["properties"]["properties"] = {"allOf": [fields, {"properties": {"mlm:output": outputs}}]}
    if name == "mlm":
        rules["properties"] |= for_models(known)
    return rules


def validate(path: Path) -> dict[str, Any]:
    """Validate an Item with pystac, by its own schema of the core and these of the extensions; return what it says."""
    validator = JsonSchemaSTACValidator()
    validator.schema_cache |= {EXTENSIONS[name]: schema(name) for name in FIELDS}
    for given in Path(os.environ.get("CSCL_STAC_SCHEMAS", "/nowhere")).glob("*.json"):
        published = json.loads(given.read_text(encoding="utf-8"))
        validator.schema_cache[published["$id"].rstrip("#")] = published
    item = json.loads(path.read_text(encoding="utf-8"))
    pystac.Item.from_dict(item)
    used = item["stac_extensions"]
    done = validator.validate(item, pystac.STACObjectType.ITEM, item["stac_version"], used)
    assert len(done) == len(used) + 1
    return dict(item)
