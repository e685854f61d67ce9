"""``cscl pretrain``, ``train`` and ``finetune``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cscl.options import add_fields, read_fields
from cscl.terminal import drive

from .shared import IMAGES, Arguments, add_images, add_labels, add_running, together

__all__ = ["finetune", "finetune_arguments", "learning_arguments", "pretrain", "train", "train_arguments"]


@together
def pretrain(args: Arguments) -> None:
    """Pre-train a network on parcel outlines or crop labels."""
    from cscl.grid import Window
    from cscl.training.pretrain import pretrain

    recipe = _begun(args)
    scenes = _scenes(args, recipe.data.finer, classes=recipe.pretrain.target != "parcel")
    window = Window.parse(args.window, scenes[0].cube.shape) if args.window else None
    job = pretrain(
        scenes, args.out, recipe, window=window, device=args.device, resume=args.resume, overwrite=args.overwrite
    )
    print(drive(job, args.quiet))


@together
def train(args: Arguments) -> None:
    """Train a network on crop labels, from scratch or pre-trained."""
    from cscl.card import ModelCard
    from cscl.grid import Window
    from cscl.training.begin import inherited
    from cscl.training.segment import train

    recipe = _begun(args)
    recipe = inherited(recipe, ModelCard.open(args.start)) if args.start else recipe
    scenes = _scenes(args, recipe.data.finer, classes=True)
    window = Window.parse(args.window, scenes[0].cube.shape) if args.window else None
    job = train(
        scenes, args.out, recipe, start=args.start, window=window, device=args.device, resume=args.resume,
        overwrite=args.overwrite,
    )  # fmt: skip
    print(drive(job, args.quiet))


def finetune(args: Arguments) -> None:
    """Fine-tune a model on a region and print what that changed."""
    import tempfile
    from dataclasses import replace

    from cscl.card import ModelCard
    from cscl.data.readers import ReadOptions, open_cube
    from cscl.data.region import region_of
    from cscl.data.scenes import LabelOptions
    from cscl.inference.align_labels import read_labels
    from cscl.products import Scene
    from cscl.training.finetune import FinetuneOptions
    from cscl.training.refine import refine

    reading = replace(read_fields(args, ReadOptions), region=None)  # --region is where to learn, not what to read
    known, cube = ModelCard.open(args.model).legend, open_cube(args.images, reading)
    labels = drive(read_labels(args.labels, cube, read_fields(args, LabelOptions), known=known), args.quiet)
    region, options = region_of(cube.grid, args.window, args.region), read_fields(args, FinetuneOptions)
    with tempfile.TemporaryDirectory() as maps:
        job = refine(
            Scene(cube, labels), args.model, args.out, region, maps, options, device=args.device,
            overwrite=args.overwrite,
        )  # fmt: skip
        found = drive(job, args.quiet)
    print(found.model if args.quiet else found.comparison.to_markdown())


def learning_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl pretrain``."""
    parser.epilog = "The folder of a published dataset, such as PASTIS, goes to 'cscl dataset' instead."
    parser.add_argument("images", help=IMAGES)
    parser.add_argument("labels", help="Parcels (GeoPackage, GeoJSON, Shapefile, ...) or a label raster")
    parser.add_argument("out", help="Model folder to make")
    parser.add_argument(
        "--also", nargs=2, action="append", default=[], metavar=("IMAGES", "LABELS"), help="A further scene; repeatable"
    )
    parser.add_argument("--window", metavar="R:R,C:C", help="Train on these rows and columns only, e.g. 0:101,0:50")
    parser.add_argument("--recipe", metavar="FILE", help="TOML file of settings")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="One setting, e.g. train.steps=800; repeatable"
    )
    parser.add_argument("--resume", action="store_true", help="Go on with the unfinished run of this model folder")
    add_running(parser)
    add_images(parser)
    add_labels(parser, images=True)


def train_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl train``."""
    learning_arguments(parser)
    parser.add_argument("--start", metavar="MODEL", help="Model folder to start from, e.g. a pre-trained one")


def finetune_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl finetune``."""
    from cscl.training.finetune import FinetuneOptions

    parser.add_argument("model", help="Model folder to start from; it stays as it is")
    parser.add_argument("images", help=IMAGES)
    parser.add_argument("labels", help="Parcels (GeoPackage, GeoJSON, Shapefile, ...) or a label raster")
    parser.add_argument("out", help="Model folder to make")
    region = parser.add_mutually_exclusive_group(required=True)
    region.add_argument("--window", metavar="R:R,C:C", help="The region by rows and columns, e.g. 0:64,50:100")
    region.add_argument("--region", metavar="FILE", help="The region as a file of polygons")
    add_running(parser)
    add_fields(parser, FinetuneOptions, "fine-tuning")
    add_images(parser, without=("region",))
    add_labels(parser, images=True)


def _begun(args: Arguments) -> Any:
    """Read the recipe, and look at the place of the model before large images are read for it."""
    from cscl.recipe import Recipe
    from cscl.training.checkpoint import require_workplace

    recipe = (Recipe.open(args.recipe) if args.recipe else Recipe()).with_settings(args.set)
    require_workplace(Path(args.out), resume=args.resume, overwrite=args.overwrite)
    return recipe


def _scenes(args: Arguments, finer: int, *, classes: bool) -> list[Any]:
    from cscl.data.datasets import is_dataset
    from cscl.data.readers import ReadOptions, open_cube
    from cscl.data.scenes import LabelOptions
    from cscl.errors import InputError
    from cscl.grid import refined
    from cscl.inference.align_labels import read_labels
    from cscl.products import Scene

    reading, labelling = read_fields(args, ReadOptions), read_fields(args, LabelOptions)
    scenes: list[Scene] = []
    for images, labels in [(args.images, args.labels), *args.also]:
        if is_dataset(images):
            raise InputError(
                f"{images} is a dataset with labels and folds of its own. Use cscl dataset pretrain|train."
            )
        cube = open_cube(images, reading)
        known = scenes[-1].labels.legend if scenes else None
        grid = refined(cube.grid, finer)
        job = read_labels(labels, cube, labelling, grid=grid, classes=classes, known=known)
        scenes.append(Scene(cube, drive(job, args.quiet)))
    return scenes
