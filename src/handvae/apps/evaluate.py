"""`handvae evaluate MODEL [MODEL ...] DATASET`: numbers that name their protocol, and a page of them."""

from collections.abc import Sequence

from handvae.apps import evaluate_predictions
from handvae.apps.evaluate_finding import evaluate_finding
from handvae.apps.evaluate_options import Options
from handvae.apps.evaluate_studies import evaluate_studies
from handvae.apps.options import parse
from handvae.apps.output import output
from handvae.errors import UserError


def main(arguments: Sequence[str]) -> None:
    """Parse, measure, print, write."""
    if any(word.split("=")[0] == "--predictions" for word in arguments):
        return evaluate_predictions.main(arguments)

    options = parse(Options, arguments, "handvae evaluate")
    if len(options.what) < 2:
        raise UserError("command line", "a model and a data set are needed", "see handvae evaluate --help")
    with output(options.quiet, options.json, options.report) as publish:
        from handvae.systems.hand_finder import HandFinder
        from handvae.training.checkpoint import load_model

        models = [load_model(name) for name in options.what[:-1]]
        finds = isinstance(models[0].system, HandFinder)
        publish(evaluate_finding(options, models) if finds else evaluate_studies(options, models))
