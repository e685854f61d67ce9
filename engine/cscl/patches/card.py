"""The card of a dataset: ``dataset.json``, which is read with it, and ``dataset.md`` for people.

Neither holds a time or the number of workers: the same input gives the same bytes.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cscl
from cscl.grid import pixel_size_m
from cscl.legend import Legend

from .options import PatchOptions
from .plan import Plan, PlannedScene, file_of, grid_of
from .tally import FoldTally

__all__ = ["CARD", "facts_of", "scene_facts", "write_card"]

CARD = "dataset.json"
FORMAT = 1


def scene_facts(plan: Plan, usable: Sequence[NDArray[np.float64]], folds: Sequence[NDArray[np.uint8]]) -> list[Any]:
    """Say where each scene comes from and what it holds.

    Parameters
    ----------
    plan : Plan
        The scenes.
    usable : sequence of ndarray
        Of each scene the share of usable pixels by date, shape (time,).
    folds : sequence of ndarray
        Of each scene the fold of each patch as written.
    """
    grounds = [scene.ground for scene in plan.scenes]
    numbers = zip(plan.scenes, usable, folds, grid_of(grounds), file_of(grounds), strict=True)
    return [_scene(scene, share, fold, grid, file) for scene, share, fold, grid, file in numbers]


def _scene(scene: PlannedScene, share: NDArray[Any], fold: NDArray[np.uint8], grid: int, file: int) -> dict[str, Any]:
    cube, parcels = scene.ground.cube, scene.ground.parcels
    dates = [str(d.astype("datetime64[s]")) for d in cube.dates]
    known = cube.acquisitions or (None,) * len(dates)
    return {
        "name": scene.ground.name,
        "images": str(cube.path or cube.name),
        "parcels": str(parcels.path or parcels.name),
        "grid": grid,
        "parcel_file": file,
        "crs": str(cube.grid.crs),
        "transform": list(cube.grid.transform)[:6],
        "shape": list(cube.shape),
        "stored": str(cube.stored.dtype),
        "nodata": cube.radiometry.nodata,
        "radiometry": cube.radiometry.source,
        "mask": cube.clear is not None,
        "patches": int((fold > 0).sum()),
        "without_image": int((fold == 0).sum()),
        "dates": [
            {"date": date, "usable": round(float(part), 6), **({} if one is None else _told(one))}
            for date, part, one in zip(dates, share, known, strict=True)
        ],
        "image_notes": list(cube.notes),
        "parcel_notes": list(parcels.notes),
    }


def _told(acquisition: Any) -> dict[str, Any]:
    return {key: value for key, value in asdict(acquisition).items() if value is not None}


def facts_of(
    name: str, plan: Plan, options: PatchOptions, scenes: list[Any], folds: Mapping[int, FoldTally]
) -> dict[str, Any]:
    """Everything that is to be known about a dataset, in plain values."""
    ground = plan.scenes[0].ground
    first = min(scene.ground.cube.dates[0] for scene in plan.scenes)
    legend: Legend = ground.legend
    return {
        "format": "cscl patches",
        "version": FORMAT,
        "cscl": cscl.__version__,
        "name": name,
        "licence": options.licence,
        "bands": list(ground.cube.bands),
        "pixel_size_m": list(pixel_size_m(ground.cube.grid)),
        "patch_px": options.patch_px,
        "stride_px": options.step_px,
        "block_px": plan.block_px,
        "finer": options.finer,
        "folds": {str(f): _fold(tally, legend) for f, tally in folds.items()},
        "reference_date": str(dt.date(first.astype("datetime64[Y]").astype(int) + 1970, 1, 1)),
        "legend": legend.to_dict(),
        "left_out": {
            "patches without a class": plan.unlabelled,
            "patches without an image": sum(scene["without_image"] for scene in scenes),
        },
        "parcels_in_blocks_of_several_folds": plan.divided,
        "scenes": scenes,
        "options": asdict(options),
    }


def _fold(tally: FoldTally, legend: Legend) -> dict[str, Any]:
    return {
        "patches": tally.patches,
        "pixels": tally.bands.pixels,
        "mean": tally.bands.mean.tolist(),
        "std": tally.bands.std.tolist(),
        "classes": {str(i): int(n) for i, n in zip(legend.ids, tally.classes, strict=True)},
        "mixed": tally.mixed,
        "touched": tally.touched,
        "void": tally.void,
    }


def write_card(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write both files."""
    plain = json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
    (folder / CARD).write_text(plain, encoding="utf-8")
    (folder / "dataset.md").write_text("\n".join(_lines(facts)) + "\n", encoding="utf-8")


def _lines(facts: Mapping[str, Any]) -> list[str]:
    patches = sum(fold["patches"] for fold in facts["folds"].values())
    size, finer = facts["patch_px"], facts["finer"]
    pixel = facts["pixel_size_m"][1]
    labels = f"{pixel:.4g} m" + ("" if finer == 1 else f" and {pixel / finer:.4g} m")
    lines = [
        f"# {facts['name']}",
        "",
        f"{patches} patches of {size} x {size} pixels of {pixel:.4g} m with crop labels at {labels}, made by cscl "
        f"{facts['cscl']}. Open it with `cscl info`, train with `cscl dataset train`.",
        "",
        f"- **Licence**: {facts['licence'] or '(to be filled in: by the licences of the images and of the parcels)'}",
        f"- **Bands**: {' '.join(facts['bands'])}",
        f"- **Blocks**: {facts['block_px']} pixels a side; a patch every {facts['stride_px']} pixels in each",
        f"- **Parcels in blocks of several folds**: {facts['parcels_in_blocks_of_several_folds']}; each belongs to the "
        "fold that holds most of it, and is void elsewhere",
        f"- **Folds**: {facts['check']}",
        *(f"- **Left out**: {count} {what}" for what, count in facts["left_out"].items()),
        "",
    ]
    return [*lines, *_scene_lines(facts), *_fold_lines(facts), *_class_lines(facts), *_option_lines(facts)]


def _scene_lines(facts: Mapping[str, Any]) -> list[str]:
    lines = ["## Sources", ""]
    for scene in facts["scenes"]:
        first, last = scene["dates"][0]["date"][:10], scene["dates"][-1]["date"][:10]
        mask = "with a mask" if scene["mask"] else "without a mask: clouds count as usable"
        lines += [
            f"### {scene['name']}",
            "",
            f"- Images `{scene['images']}`, {scene['crs']}, {scene['shape'][0]} x {scene['shape'][1]} pixels, "
            f"{scene['stored']}; {scene['radiometry']}; {mask}",
            f"- Parcels `{scene['parcels']}`",
            f"- {scene['patches']} patches, {len(scene['dates'])} dates from {first} to {last}",
            *(f"- {note}" for note in (*scene["image_notes"], *scene["parcel_notes"])),
            "",
            "| date | usable |",
            "|---|---|",
            *(f"| {d['date'].replace('T00:00:00', '')} | {d['usable']:.1%} |" for d in scene["dates"]),
            "",
        ]
    return lines


_FOLD_HEAD = (
    "Void are pixels whose parcel belongs to another fold; mixed is a share of those that a parcel touches.",
    "",
    "| fold | patches | usable pixels x dates | labelled pixels | void | mixed |",
    "|---|---|---|---|---|---|",
)


def _fold_lines(facts: Mapping[str, Any]) -> list[str]:
    rows = ["## Folds", "", *_FOLD_HEAD]
    for name, fold in facts["folds"].items():
        share = fold["mixed"] / max(1, fold["touched"])
        known = sum(fold["classes"].values())
        void = fold["void"] / max(1, known + fold["void"])
        rows.append(f"| {name} | {fold['patches']} | {fold['pixels']:,} | {known:,} | {void:.1%} | {share:.1%} |")
    rows += ["", "Mean and standard deviation of the reflectance of usable pixels:", ""]
    rows += [f"| band | {' | '.join(f'fold {name}' for name in facts['folds'])} |"]
    rows += ["|---" * (1 + len(facts["folds"])) + "|"]
    for number, band in enumerate(facts["bands"]):
        cells = (f"{fold['mean'][number]:.4f} ± {fold['std'][number]:.4f}" for fold in facts["folds"].values())
        rows.append(f"| {band} | {' | '.join(cells)} |")
    return [*rows, ""]


def _class_lines(facts: Mapping[str, Any]) -> list[str]:
    rows = ["## Classes", "", f"Pixels by fold, in the finest labels; {facts['legend']['ignore']} is unknown.", ""]
    rows += [f"| id | code | name | {' | '.join(f'fold {name}' for name in facts['folds'])} |"]
    rows += ["|---" * (3 + len(facts["folds"])) + "|"]
    for crop in facts["legend"]["classes"]:
        counts = [fold["classes"][str(crop["id"])] for fold in facts["folds"].values()]
        cells = " | ".join(f"{count:,}" for count in counts)
        rows.append(f"| {crop['id']} | {crop['code']} | {crop['name']}{'' if any(counts) else ' (none)'} | {cells} |")
    return [*rows, ""]


def _option_lines(facts: Mapping[str, Any]) -> list[str]:
    return ["## Options", "", *(f"- {key}: {value}" for key, value in facts["options"].items() if key != "licence")]
