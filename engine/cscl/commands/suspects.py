"""``cscl suspects`` and ``cscl label-next``: parcels ranked by what is wrong, or yet unknown, about them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cscl.options import add_fields, read_fields
from cscl.terminal import drive

from .shared import NOT_FOUND, Arguments, add_labels, add_overwriting, warn

__all__ = ["label_next", "label_next_arguments", "suspects", "suspects_arguments"]

LEARNT = (
    "{prediction} was made by {model}, which has learnt from this scene: a network learns wrong labels, too, and then "
    "finds none. Add --held-out-of {model} to rank the parcels that were held back from it, or --all-parcels to rank "
    "all of them in spite of that."
)
BY_HEART = "The model has learnt from some of these parcels: wrong declarations among them may be hidden."


def suspects(args: Arguments) -> None:
    """Rank the parcels that are probably declared wrongly, and write the ranking."""
    from cscl.errors import InputError
    from cscl.inference.judging import Judged, held_out
    from cscl.inference.learnt import model_of, model_that_learnt_from
    from cscl.inference.suspect_files import Ranking, write_ranking
    from cscl.inference.suspects import SuspectOptions
    from cscl.inference.suspects import suspects as rank
    from cscl.products import Embedding

    prediction, labels, parcels = _opened(args, "suspects.csv", classes=True)
    learnt, judged, remarks = model_that_learnt_from(prediction, labels.grid), held_out(labels, args.held_out_of), []
    if args.all_parcels:
        judged, remarks = Judged(None, "with a label"), [BY_HEART] if learnt or args.held_out_of else []
    elif learnt and not args.held_out_of:
        raise InputError(LEARNT.format(prediction=prediction.name, model=learnt))
    elif not args.held_out_of and model_of(prediction) is None:
        warn(NOT_FOUND.format(prediction.name) + "a network learns wrong labels, too, and then finds none.")
    embedding = Embedding.open(args.embedding) if args.embedding else None
    table = drive(rank(prediction, labels, embedding, judged, read_fields(args, SuspectOptions)), args.quiet)
    ranked = f"Ranked are the {len(table)} parcels of which every pixel lies among the pixels {judged.words}."
    ranking = Ranking.of_suspects(table, [ranked, *remarks])
    page = drive(write_ranking(ranking, labels, parcels, args.out, overwrite=args.overwrite), args.quiet)
    print(page if args.quiet else f"{_first(table)}\n{ranking.remarks[0]}\n{ranked}\n{page}")


def label_next(args: Arguments) -> None:
    """Rank the parcels that a network has most to learn from, and write the ranking."""
    from cscl.inference.suspect_files import Ranking, write_ranking
    from cscl.inference.suspects import SuspectOptions
    from cscl.inference.suspects import label_next as rank

    prediction, labels, parcels = _opened(args, "label_next.csv", classes=args.unlabelled_only)
    options = read_fields(args, SuspectOptions)
    table = drive(rank(prediction, labels, options, unlabelled_only=args.unlabelled_only), args.quiet)
    page = drive(
        write_ranking(Ranking.of_label_next(table), labels, parcels, args.out, overwrite=args.overwrite), args.quiet
    )
    print(page if args.quiet else f"{_first(table)}\n{page}")


def suspects_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl suspects``."""
    _arguments(parser)
    parser.add_argument("--embedding", metavar="ZARR", help="What cscl embed wrote with the same model: ranks better")
    parser.add_argument("--held-out-of", metavar="MODEL", help="Rank only parcels that this model has not learnt from")
    parser.add_argument("--all-parcels", action="store_true", help="Rank what the model has learnt from, too")


def label_next_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl label-next``."""
    _arguments(parser)
    parser.add_argument("--unlabelled-only", action="store_true", help="Leave out parcels whose crop is known")


def _arguments(parser: argparse.ArgumentParser) -> None:
    from cscl.inference.suspects import SuspectOptions

    parser.add_argument("prediction", help="Folder that cscl predict made, best with --probabilities")
    parser.add_argument("labels", help="Parcels as polygons")
    parser.add_argument("out", help="Folder to make")
    add_overwriting(parser)
    add_labels(parser)
    add_fields(parser, SuspectOptions, "the ranking")


def _opened(args: Arguments, mark: str, *, classes: bool) -> tuple[Any, Any, Any]:
    """Open prediction, label map and parcels, after a look at the place of the result."""
    from cscl.data.maps import open_map
    from cscl.data.scenes import LabelOptions, is_vector, label_map, open_labels, open_parcels
    from cscl.errors import InputError
    from cscl.inference.suspects import NO_PARCELS
    from cscl.results import require_place

    require_place(Path(args.out), mark, overwrite=args.overwrite)
    prediction, options = open_map(args.prediction), read_fields(args, LabelOptions)
    if Path(args.labels).exists() and not is_vector(args.labels):
        raise InputError(NO_PARCELS.format(args.labels))
    if not Path(args.labels).exists() or (classes and options.class_column is None):
        open_labels(args.labels, prediction.grid, options)  # says what is missing
    parcels = open_parcels(args.labels, options)
    if prediction.probabilities is None:
        warn(f"{prediction.name} holds no probabilities, so the ranking is poorer. Predict with --probabilities.")
    return prediction, label_map(parcels, prediction.grid, options, prediction.legend), parcels


def _first(table: Any, most: int = 5) -> str:
    rows = table.head(most).itertuples()
    return "\n".join(f"{rank}. parcel {row.id}: {row.reasons}" for rank, row in enumerate(rows, 1))
