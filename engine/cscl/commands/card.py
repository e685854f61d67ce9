"""``cscl card``: the card of a model, to read and to publish."""

from __future__ import annotations

import argparse

from .shared import Arguments

__all__ = ["card", "card_arguments"]


def card(args: Arguments) -> None:
    """Print the card of a model as markdown."""
    from cscl.card import ModelCard
    from cscl.export.model_card import model_card, read_report

    report = read_report(args.report) if args.report else None
    print(model_card(ModelCard.open(args.model), report, licence=args.licence), end="")


def card_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cscl card``."""
    parser.add_argument("model", help="Model folder")
    parser.add_argument("--report", metavar="FOLDER", help="What cscl assess made: its figures go onto the card")
    parser.add_argument("--licence", default="", metavar="NAME", help="Terms of use, e.g. cc-by-4.0")
