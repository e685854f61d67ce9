"""``cscl dataset``: pre-train, train and assess on the official folds of a published dataset."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cscl.options import add_fields, read_fields
from cscl.terminal import drive

from .shared import Arguments, add_running, together

__all__ = ["dataset", "dataset_arguments"]

MARK = "report.json"


def dataset(args: Arguments) -> None:
    """Carry out one of the actions."""
    args.action(args)


def dataset_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl dataset``."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _learning(actions, "pretrain", _pretrain, "Pre-train a network on the training folds")
    train = _learning(actions, "train", _train, "Train a network on the training folds")
    train.add_argument("--start", metavar="MODEL", help="Model folder to start from, e.g. a pre-trained one")
    _assess_arguments(actions.add_parser("assess", help="Judge models by the folds that they have not seen"))


@together
def _pretrain(args: Arguments) -> None:
    from cscl.training.pretrain import pretrain

    folds = _folds(args)
    job = pretrain(
        folds, args.out, _recipe(args, "pretrain", len(folds)), device=args.device, resume=args.resume,
        overwrite=args.overwrite,
    )  # fmt: skip
    print(drive(job, args.quiet))


@together
def _train(args: Arguments) -> None:
    from cscl.training.segment import train

    folds = _folds(args)
    job = train(
        folds, args.out, _recipe(args, "train", len(folds)), start=args.start, device=args.device, resume=args.resume,
        overwrite=args.overwrite,
    )  # fmt: skip
    print(drive(job, args.quiet))


def _assess(args: Arguments) -> None:
    from cscl.data.datasets import open_dataset
    from cscl.inference.assess_folds import FoldAssessOptions, assess_folds
    from cscl.results import require_place

    require_place(Path(args.out), MARK, overwrite=args.overwrite)
    names = None if args.folds is None else [fold.strip() for fold in args.folds.split(",")]
    job = assess_folds(
        args.models, open_dataset(args.folder, args.layout), names, read_fields(args, FoldAssessOptions),
        device=args.device,
    )  # fmt: skip
    report = drive(job, args.quiet)
    report.write(args.out, overwrite=args.overwrite)
    print(args.out if args.quiet else f"{_in_short(report)}\n{Path(args.out) / 'report.md'}")


def _in_short(report: Any) -> str:
    lines = [f"WARNING: {remark}" for remark in report.remarks if "flatters" in remark]
    every = report.accuracy
    lines.append(
        f"{every.pixels:,} pixels: overall accuracy {every.overall_accuracy:.1%}, mean IoU {every.mean_iou:.1%} over "
        f"{sum(not score.absent for score in every.classes)} classes"
    )
    for split in report.boundary.splits:
        at, away = split.boundary, split.interior
        lines.append(
            f"  {split.name}: accuracy {at.overall_accuracy:.1%}, mean IoU {at.mean_iou:.1%}; away from it "
            f"{away.overall_accuracy:.1%} and {away.mean_iou:.1%}"
        )
    return "\n".join(lines)


def _learning(actions: Any, name: str, action: Any, summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=summary, description=f"{summary}.")
    parser.set_defaults(action=action)
    parser.add_argument("folder", help="Folder of the dataset in its official layout; cscl info describes it")
    parser.add_argument("out", help="Model folder to make")
    parser.add_argument(
        "--folds", metavar="TRAINING/VALIDATION/TEST", help="Folds of each side, e.g. 1,2,3/4/5; default: as published"
    )
    parser.add_argument("--epochs", type=_at_least_one, help="Passes over the training entries, instead of steps")
    parser.add_argument(
        "--own-statistics", action="store_true", help="Standardise by the training entries, not by published values"
    )
    parser.add_argument("--recipe", metavar="FILE", help="TOML file of settings, or the name of a published recipe")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="One setting, e.g. train.batch=8; repeatable"
    )
    parser.add_argument("--resume", action="store_true", help="Go on with the unfinished run of this model folder")
    _common(parser)
    return parser


def _assess_arguments(parser: argparse.ArgumentParser) -> None:
    from cscl.inference.assess_folds import FoldAssessOptions

    parser.set_defaults(action=_assess)
    parser.add_argument("folder", help="Folder of the dataset in its official layout")
    parser.add_argument("out", help="Report folder to make; report.md in it shows all")
    parser.add_argument("models", nargs="+", help="Model folders: of each split one, for the sum over all folds")
    parser.add_argument("--folds", help="Judge by these, e.g. 5; default: the test folds on each model's card")
    add_fields(parser, FoldAssessOptions, "the report")
    _common(parser)


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--layout", help="Layout of the folder, e.g. pastis; default: what it looks like")
    add_running(parser)
    # The command has it as well: without a default here, it counts at either place.
    parser.add_argument("--quiet", action="store_true", default=argparse.SUPPRESS, help="No progress bar")


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _folds(args: Arguments) -> Any:
    from dataclasses import replace

    from cscl.data.datasets import Folds, open_dataset

    folds = Folds.parse(open_dataset(args.folder, args.layout), args.folds)
    return replace(folds, own_statistics=args.own_statistics)


def _recipe(args: Arguments, stage: str, entries: int) -> Any:
    """Read the recipe; a number of epochs becomes steps, and a look at the validation folds after each."""
    from cscl.recipe import Recipe

    recipe = (Recipe.open(args.recipe) if args.recipe else Recipe()).with_settings(args.set)
    if args.epochs is None:
        return recipe
    by_crop = stage == "train" or recipe.pretrain.target == "class"
    used = entries * (recipe.data.label_share if by_crop else 1)
    epoch = max(1, int(used) // getattr(recipe, stage).batch)
    looks = [f"train.validate_every={epoch}"] if stage == "train" else []
    return recipe.with_settings([f"{stage}.steps={args.epochs * epoch}", *looks])
