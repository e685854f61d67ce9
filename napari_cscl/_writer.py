"""File > Save on a layer of predicted crops: a cloud-optimised GeoTIFF with names and colours."""

from __future__ import annotations

from typing import Any


def save_map(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write the prediction of a layer, with its grid and legend; nothing for other people's layers."""
    from cscl.events import run
    from cscl.export.geotiff import export_classes

    prediction = attributes.get("metadata", {}).get("cscl", {}).get("prediction")
    if prediction is None:
        return []
    return [str(run(export_classes(prediction, path, overwrite=True)))]
