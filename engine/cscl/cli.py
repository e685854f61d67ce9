"""The command line: one command a job, one progress bar, errors as sentences.

Options of a command come from the same annotated fields as recipes and forms do. Exit status: 0 done, 2 a mistake that
the message explains, 130 stopped by the user.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence

import cscl
from cscl.commands import (
    align,
    area,
    assess,
    benchmark,
    card,
    coarsen,
    compare,
    cube,
    dataset,
    export,
    export_onnx,
    learning,
    make_dataset,
    parcels,
    predict,
    search,
    suspects,
)  # fmt: skip
from cscl.commands.shared import IMAGES, Arguments, add_images, add_running
from cscl.errors import CSCLError
from cscl.options import add_fields, read_fields
from cscl.terminal import drive, stoppable

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # of what Zarr loses side by side, one error is raised
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] not in _COMMANDS:
        _overview().parse_args(argv or ["--help"])
        return 0
    try:
        args = _command_parser(argv[0]).parse_args(argv[1:])
        with stoppable():
            args.command(args)
        sys.stdout.flush()
    except CSCLError as error:
        return _complain(str(error))
    except BrokenPipeError:  # whoever read this, such as head, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        place = error.filename or "A file"
        return _complain(f"{place}: {error.strerror or error}. Check the place and the free disk space.")
    except KeyboardInterrupt:
        print("\nStopped. Nothing half-written is left; what takes --resume goes on with it.", file=sys.stderr)
        return 130
    except Exception as error:  # a full memory has a kind of its own on each device; anything else goes on
        from cscl.device import memory_is_full

        if not memory_is_full(error):
            raise
        first = (str(error) or type(error).__name__).splitlines()[0]
        return _complain(f"The memory is full ({first}). Use smaller tiles or batches, or --device cpu.")
    return 0


def _complain(text: str) -> int:
    print(f"cscl: {text}", file=sys.stderr)
    return 2


# --- commands ----------------------------------------------------------------------------------------------------


def _info(args: Arguments) -> None:
    from cscl.data.describe import describe
    from cscl.data.readers import ReadOptions

    for line in describe(args.path, read_fields(args, ReadOptions)):
        print(line)


def _doctor(args: Arguments) -> None:
    from cscl.doctor import examine

    healthy = True
    for fact in examine():
        healthy = healthy and not fact.remedy
        print(f"{fact.name:<12} {fact.value}")
        if fact.remedy:
            print(f"{'':<12} -> {fact.remedy}")
    print("All that is needed is here." if healthy else "Something is missing; the lines with -> say what to do.")


def _simulate(args: Arguments) -> None:
    from cscl.simulate import SeasonOptions, simulate, write_season

    season = drive(simulate(read_fields(args, SeasonOptions)), args.quiet)
    print(drive(write_season(season, args.out), args.quiet))


def _embed(args: Arguments) -> None:
    from cscl.data.readers import ReadOptions, open_cube
    from cscl.inference.embed import embed

    cube = open_cube(args.images, read_fields(args, ReadOptions))
    drive(embed(args.model, cube, args.out, device=args.device, overwrite=args.overwrite), args.quiet)
    print(args.out)


def _demo(args: Arguments) -> None:
    from cscl.demo import demo

    page = drive(demo(args.out, quick=args.quick, device=args.device, overwrite=args.overwrite), args.quiet)
    print(f"Open {page} in a browser, and {page.parent / 'export' / 'crop_map.tif'} in QGIS.")


# --- parsers -----------------------------------------------------------------------------------------------------


def _info_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", help="Images, parcels, a model folder or a prediction")
    add_images(parser)


def _simulate_arguments(parser: argparse.ArgumentParser) -> None:
    from cscl.simulate import SeasonOptions

    parser.add_argument("out", help="Folder to make")
    add_fields(parser, SeasonOptions, "the season")


def _using_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="Model folder")
    parser.add_argument("images", help=IMAGES)
    parser.add_argument("out", help="What to make")
    add_running(parser)
    add_images(parser)


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", nargs="?", default="cscl-demo", help="Folder to make (default: cscl-demo)")
    parser.add_argument("--quick", action="store_true", help="A small form: shows that all works, maps poorly")
    add_running(parser)


def _no_arguments(parser: argparse.ArgumentParser) -> None:
    pass


_COMMANDS: dict[str, tuple[Callable[[Arguments], None], Callable[[argparse.ArgumentParser], None], str]] = {
    "demo": (_demo, _demo_arguments, "Run the whole chain on simulated data and write a page about it"),
    "info": (_info, _info_arguments, "Describe images, parcels, a model or a prediction"),
    "card": (
        card.card,
        card.card_arguments,
        "Print the card of a model: what it maps, needs, has learnt from, and how well",
    ),
    "search": (search.search, search.search_arguments, "Ask a catalogue (STAC) for images, and list them in a file"),
    "cube": (cube.cube, cube.cube_arguments, "Write images of any format to one Zarr store, chunk by chunk"),
    "parcels": (parcels.parcels, parcels.parcels_arguments, "Check a register of parcels: crops, faults, overlaps"),
    "simulate": (_simulate, _simulate_arguments, "Make a simulated Sentinel-2 season with parcels"),
    "align": (align.align, align.align_arguments, "Say how far outlines lie off the images, and move them back"),
    "pretrain": (
        learning.pretrain,
        learning.learning_arguments,
        "Pre-train a network on parcel outlines or crop labels",
    ),
    "train": (learning.train, learning.train_arguments, "Train a network on crop labels, from scratch or pre-trained"),
    "finetune": (
        learning.finetune,
        learning.finetune_arguments,
        "Fine-tune a model on a region, and say what that changes",
    ),
    "dataset": (dataset.dataset, dataset.dataset_arguments, "Train and assess on the folds of a published dataset"),
    "make-dataset": (
        make_dataset.make_dataset,
        make_dataset.make_dataset_arguments,
        "Cut images and parcels into a dataset of patches, with folds, statistics and a card",
    ),
    "export-dataset": (
        make_dataset.export_dataset,
        make_dataset.export_dataset_arguments,
        "Write a dataset in the layout of PASTIS or of DeepSatModels",
    ),
    "predict": (predict.predict, predict.predict_arguments, "Map images with a trained model"),
    "coarsen": (coarsen.coarsen, coarsen.coarsen_arguments, "Join the pixels of a map, e.g. from 2.5 m back to 10 m"),
    "embed": (_embed, _using_arguments, "Write what the network sees of each pixel"),
    "assess": (assess.assess, assess.assess_arguments, "Score a prediction, inside parcels and at their boundaries"),
    "compare": (compare.compare, compare.compare_arguments, "Compare two predictions with the same labels"),
    "suspects": (suspects.suspects, suspects.suspects_arguments, "Rank the parcels that are probably declared wrongly"),
    "label-next": (
        suspects.label_next,
        suspects.label_next_arguments,
        "Rank the parcels that are worth labelling next",
    ),
    "sample": (area.sample, area.sample_arguments, "Draw points of a prediction for a person to judge"),
    "area": (area.area, area.area_arguments, "Estimate areas and accuracy from points that were judged"),
    "benchmark": (
        benchmark.benchmark,
        benchmark.benchmark_arguments,
        "Compare ways of learning as a protocol says, and write a page",
    ),
    "export": (
        export.export,
        export.export_arguments,
        "Turn a map, or a model and images, into files for QGIS, reports and catalogues",
    ),
    "export-onnx": (
        export_onnx.export_onnx,
        export_onnx.export_onnx_arguments,
        "Write a model as ONNX, for other programs and for Deepness in QGIS",
    ),
    "doctor": (_doctor, _no_arguments, "Say what is installed and what is missing"),
}


def _overview() -> argparse.ArgumentParser:
    """Parser for ``cscl --help`` and mistyped commands; that of a command is made only when it is asked for."""
    parser = argparse.ArgumentParser(
        prog="cscl",
        description="Crop maps from satellite image time series, and where they are wrong at parcel boundaries.",
        epilog="Start with 'cscl demo', then 'cscl COMMAND --help'.",
    )
    parser.add_argument("--version", action="version", version=f"cscl {cscl.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, (_, _, summary) in _COMMANDS.items():
        commands.add_parser(name, help=summary, add_help=False)
    return parser


def _command_parser(name: str) -> argparse.ArgumentParser:
    command, fill, summary = _COMMANDS[name]
    parser = argparse.ArgumentParser(prog=f"cscl {name}", description=f"{summary}.")
    parser.set_defaults(command=command)
    fill(parser)
    parser.add_argument("--quiet", action="store_true", help="No progress bar")
    return parser


if __name__ == "__main__":
    sys.exit(main())
