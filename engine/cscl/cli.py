"""The command line: one command a job, one progress bar, errors as sentences.

Options of a command come from the same annotated fields as recipes and forms do. Exit status: 0 done, 2 a mistake that
the message explains, 130 stopped by the user.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

import cscl
from cscl.errors import CSCLError
from cscl.events import Event, Job, Measure, Note, Progress, run

__all__ = ["main"]

R = TypeVar("R")
Arguments = argparse.Namespace


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] not in _COMMANDS:
        _overview().parse_args(argv or ["--help"])
        return 0
    try:
        args = _command_parser(argv[0]).parse_args(argv[1:])
        with _stoppable():
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
        print("\nStopped. Nothing half-written is left; an unfinished training goes on with --resume.", file=sys.stderr)
        return 130
    except Exception as error:
        if "out of memory" not in str(error).lower():
            raise
        first = str(error).splitlines()[0]
        return _complain(f"The memory is full ({first}). Use smaller tiles or batches, or --device cpu.")
    return 0


def _complain(text: str) -> int:
    print(f"cscl: {text}", file=sys.stderr)
    return 2


@contextmanager
def _stoppable() -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into a stop between two events; a second one stops at once."""
    stop = _Stop()
    former = {number: signal.signal(number, stop.hear) for number in (signal.SIGINT, signal.SIGTERM)}
    _Stop.current = stop
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


class _Stop:
    """Whether the user wants to stop; jobs are closed at an event, so their clean-up never meets half a step."""

    current: _Stop | None = None

    def __init__(self) -> None:
        self.wanted = False
        self.in_job = False

    def hear(self, number: int, frame: FrameType | None) -> None:
        if self.wanted or not self.in_job:
            raise KeyboardInterrupt
        self.wanted = True
        print("\nStopping after this step ...", file=sys.stderr)


class _Screen:
    """Shows the events of a job as a progress bar with rate and remaining time."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.stage = ""
        self.bar: Any = None

    def show(self, event: Event) -> None:
        if isinstance(event, Progress) and not self.quiet:
            self._progress(event)
        elif isinstance(event, Measure) and self.bar is not None:
            shown = {k: f"{v:.3g}" for k, v in event.values.items() if k != "score"}
            self.bar.set_postfix(shown, refresh=False)
        elif isinstance(event, Note):
            self._say(f"{'WARNING: ' if event.warning else ''}{event.text}")
        if _Stop.current is not None and _Stop.current.wanted:
            raise KeyboardInterrupt

    def _progress(self, event: Progress) -> None:
        from tqdm import tqdm

        if not event.total and self.bar is not None:
            return  # a part of the stage on show, such as a look at the validation blocks
        if event.stage != self.stage:
            if self.bar is not None and self.bar.total:  # the next stage has begun, so this one is done
                self.bar.update(self.bar.total - self.bar.n)
            self.close()
            self.stage = event.stage
            self.bar = tqdm(
                desc=event.stage, total=event.total or None, unit=f" {event.unit}", initial=max(event.done - 1, 0),
                dynamic_ncols=True, mininterval=0.5, delay=0.5, smoothing=0.1,
            )  # fmt: skip
        self.bar.update(event.done - self.bar.n)

    def _say(self, text: str) -> None:
        from tqdm import tqdm

        tqdm.write(text, file=sys.stderr)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
        self.bar, self.stage = None, ""


def _drive(job: Job[R], quiet: bool) -> R:
    screen, stop = _Screen(quiet), _Stop.current
    try:
        if stop is not None:
            stop.in_job = True
        return run(job, screen.show)
    finally:
        if stop is not None:
            stop.in_job = False
        screen.close()


# --- options from annotated fields -------------------------------------------------------------------------------


def _add_fields(parser: argparse.ArgumentParser, cls: type, title: str) -> None:
    group = parser.add_argument_group(title)
    hints = typing.get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        tip = hint.__metadata__[0].get("tooltip", "")
        kind = hint.__origin__
        flag = "--" + field.name.replace("_", "-")
        if kind is bool:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=field.default, help=tip)
        else:
            shown = "" if field.default is None else f" (default: {field.default})"
            many = typing.get_origin(kind) is tuple or any(typing.get_origin(a) is tuple for a in typing.get_args(kind))
            group.add_argument(
                flag, default=None, metavar="A,B,..." if many else field.name.rsplit("_")[-1].upper(),
                help=tip + (", separated by commas" if many else "") + shown,
            )  # fmt: skip


def _read_fields(args: Arguments, cls: type[R]) -> R:
    """Build the dataclass from the options that were given; values are checked as in a recipe."""
    from cscl.recipe import build, parse_value

    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(typing.cast(Any, cls)):
        value = getattr(args, field.name)
        if isinstance(value, str):
            kinds = (hints[field.name], *typing.get_args(hints[field.name]))
            many = next((kind for kind in kinds if typing.get_origin(kind) is tuple), None)
            if many is not None:
                parts = [part.strip() for part in value.split(",")]
                value = parts if str in typing.get_args(many) else [parse_value(part) for part in parts]
            elif str not in kinds:
                value = parse_value(value)
        if value is not None:
            values[field.name] = value
    return build(cls, values, "the options")


def _recipe(args: Arguments) -> Any:
    from cscl.recipe import Recipe

    recipe = Recipe.open(args.recipe) if args.recipe else Recipe()
    return recipe.with_settings(args.set)


def _scenes(args: Arguments, *, classes: bool) -> list[Any]:
    from cscl.data.readers import ReadOptions, open_cube
    from cscl.data.scenes import LabelOptions, open_labels
    from cscl.products import Scene

    reading, labelling = _read_fields(args, ReadOptions), _read_fields(args, LabelOptions)
    scenes: list[Scene] = []
    for images, labels in [(args.images, args.labels), *args.also]:
        cube = open_cube(images, reading)
        known = scenes[-1].labels.legend if scenes else None
        scenes.append(Scene(cube, open_labels(labels, cube.grid, labelling, classes=classes, known=known)))
    return scenes


# --- commands ----------------------------------------------------------------------------------------------------


def _info(args: Arguments) -> None:
    from cscl.data.describe import describe
    from cscl.data.readers import ReadOptions

    for line in describe(args.path, _read_fields(args, ReadOptions)):
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

    season = _drive(simulate(_read_fields(args, SeasonOptions)), args.quiet)
    print(_drive(write_season(season, args.out), args.quiet))


def _pretrain(args: Arguments) -> None:
    from cscl.grid import Window
    from cscl.training.pretrain import pretrain

    recipe = _recipe(args)
    scenes = _scenes(args, classes=recipe.pretrain.target == "class")
    window = Window.parse(args.window, scenes[0].cube.shape) if args.window else None
    job = pretrain(
        scenes, args.out, recipe, window=window, device=args.device, resume=args.resume, overwrite=args.overwrite
    )
    print(_drive(job, args.quiet))


def _train(args: Arguments) -> None:
    from cscl.grid import Window
    from cscl.training.segment import train

    recipe, scenes = _recipe(args), _scenes(args, classes=True)
    window = Window.parse(args.window, scenes[0].cube.shape) if args.window else None
    job = train(
        scenes, args.out, recipe, start=args.start, window=window, device=args.device, resume=args.resume,
        overwrite=args.overwrite,
    )  # fmt: skip
    print(_drive(job, args.quiet))


def _predict(args: Arguments) -> None:
    from cscl.data.readers import ReadOptions, open_cube
    from cscl.inference.predict import PredictOptions, predict

    cube, options = open_cube(args.images, _read_fields(args, ReadOptions)), _read_fields(args, PredictOptions)
    _drive(predict(args.model, cube, args.out, options, device=args.device, overwrite=args.overwrite), args.quiet)
    print(args.out)


def _embed(args: Arguments) -> None:
    from cscl.data.readers import ReadOptions, open_cube
    from cscl.inference.embed import embed

    cube = open_cube(args.images, _read_fields(args, ReadOptions))
    _drive(embed(args.model, cube, args.out, device=args.device, overwrite=args.overwrite), args.quiet)
    print(args.out)


def _assess(args: Arguments) -> None:
    from cscl.data.scenes import LabelOptions, open_labels
    from cscl.data.split import Side, only
    from cscl.export.report_figures import write_report_figures
    from cscl.grid import Window, crop
    from cscl.inference.assess import AssessOptions, assess, error_map
    from cscl.products import Prediction

    prediction = Prediction.open(args.prediction)
    labels = open_labels(args.labels, prediction.grid, _read_fields(args, LabelOptions), known=prediction.legend)
    if args.held_out_of:
        from cscl.training.save import split_of

        labels = only(labels, split_of(args.held_out_of, labels.grid), Side.TEST)
    window = Window.parse(args.window, labels.ids.shape) if args.window else None
    report = _drive(assess(prediction, labels, _read_fields(args, AssessOptions), window=window), args.quiet)
    report.write(args.out, overwrite=args.overwrite)
    grid = crop(prediction.grid, window) if window else prediction.grid
    errors = _drive(error_map(prediction, labels, window), args.quiet)
    write_report_figures(report, errors, grid, args.out)
    print(args.out if args.quiet else report.to_markdown())


def _export(args: Arguments) -> None:
    from cscl.data.scenes import LabelOptions, open_parcels
    from cscl.export.bundle import export
    from cscl.products import Prediction

    parcels = open_parcels(args.parcels, _read_fields(args, LabelOptions)) if args.parcels else None
    inputs = [args.parcels] if args.parcels else []
    job = export(Prediction.open(args.prediction), args.out, parcels, overwrite=args.overwrite, inputs=inputs)
    print(_drive(job, args.quiet))


def _demo(args: Arguments) -> None:
    from cscl.demo import demo

    page = _drive(demo(args.out, quick=args.quick, device=args.device, overwrite=args.overwrite), args.quiet)
    print(f"Open {page} in a browser, and {page.parent / 'export' / 'crop_map.tif'} in QGIS.")


# --- parsers -----------------------------------------------------------------------------------------------------


def _images(parser: argparse.ArgumentParser) -> None:
    from cscl.data.readers import ReadOptions

    _add_fields(parser, ReadOptions, "reading the images")


def _labels(parser: argparse.ArgumentParser) -> None:
    from cscl.data.scenes import LabelOptions

    _add_fields(parser, LabelOptions, "reading the labels")


def _running(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"], help="Where to compute")
    _overwriting(parser)


def _overwriting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="Replace what is there")


def _info_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", help="Images, parcels, a model folder or a prediction")
    _images(parser)


def _simulate_arguments(parser: argparse.ArgumentParser) -> None:
    from cscl.simulate import SeasonOptions

    parser.add_argument("out", help="Folder to make")
    _add_fields(parser, SeasonOptions, "the season")


def _learning_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", help="Folder of GeoTIFFs, NetCDF, Zarr or multi-date GeoTIFF")
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
    _running(parser)
    _images(parser)
    _labels(parser)


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    _learning_arguments(parser)
    parser.add_argument("--start", metavar="MODEL", help="Model folder to start from, e.g. a pre-trained one")


def _using_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="Model folder")
    parser.add_argument("images", help="Folder of GeoTIFFs, NetCDF, Zarr or multi-date GeoTIFF")
    parser.add_argument("out", help="What to make")
    _running(parser)
    _images(parser)


def _predict_arguments(parser: argparse.ArgumentParser) -> None:
    from cscl.inference.predict import PredictOptions

    _using_arguments(parser)
    _add_fields(parser, PredictOptions, "the map")


def _assess_arguments(parser: argparse.ArgumentParser) -> None:
    from cscl.inference.assess import AssessOptions

    parser.add_argument("prediction", help="Folder that cscl predict made")
    parser.add_argument("labels", help="Parcels or a label raster to compare with")
    parser.add_argument("out", help="Report folder to make")
    parser.add_argument("--window", metavar="R:R,C:C", help="Score these rows and columns only, e.g. 0:101,50:100")
    parser.add_argument("--held-out-of", metavar="MODEL", help="Score only what this model held back as test blocks")
    _overwriting(parser)
    _labels(parser)
    _add_fields(parser, AssessOptions, "the report")


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prediction", help="Folder that cscl predict made")
    parser.add_argument("out", help="Folder to make")
    parser.add_argument("--parcels", metavar="FILE", help="Parcels to give their majority crop")
    _overwriting(parser)
    _labels(parser)


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", nargs="?", default="cscl-demo", help="Folder to make (default: cscl-demo)")
    parser.add_argument("--quick", action="store_true", help="A small form: shows that all works, maps poorly")
    _running(parser)


def _no_arguments(parser: argparse.ArgumentParser) -> None:
    pass


_COMMANDS: dict[str, tuple[Callable[[Arguments], None], Callable[[argparse.ArgumentParser], None], str]] = {
    "demo": (_demo, _demo_arguments, "Run the whole chain on simulated data and write a page about it"),
    "info": (_info, _info_arguments, "Describe images, parcels, a model or a prediction"),
    "simulate": (_simulate, _simulate_arguments, "Make a simulated Sentinel-2 season with parcels"),
    "pretrain": (_pretrain, _learning_arguments, "Pre-train a network on parcel outlines or crop labels"),
    "train": (_train, _train_arguments, "Train a network on crop labels, from scratch or pre-trained"),
    "predict": (_predict, _predict_arguments, "Map images with a trained model"),
    "embed": (_embed, _using_arguments, "Write what the network sees of each pixel"),
    "assess": (_assess, _assess_arguments, "Score a prediction, inside parcels and at their boundaries"),
    "export": (_export, _export_arguments, "Turn a prediction into files for QGIS: map, styles, parcels"),
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
