"""The commands by name. Each is a module of its own, which is imported when it runs."""

from collections.abc import Sequence

from handvae.errors import UserError
from handvae.words import nearest_or_all

COMMANDS = {
    "demo": "pictures from the shipped models: poses, appearance transfer, a walk, an estimate",
    "synthesize": "labelled pictures of hands in the poses you ask for",
    "transfer": "the appearance of one photo on the pose of another",
    "walk": "an animation from one pose, or one appearance, to another",
    "estimate": "all hands of photos and videos; poses from depth pictures or 2D joints",
    "live": "the hands that a camera sees, as they move",
    "render": "procedural hands with every label, or a sheet of one pose",
    "models": "the shipped models: what each reads and makes, its size, its error",
    "poses": "the poses that have a name",
    "data": "show a data set (info), find its faults (check), convert it, label pictures (label)",
    "upsample": "more labelled pictures of a data set, each checked by a detector, with a report",
    "train": "train a preset on your pictures",
    "evaluate": "measure models on a data set, or other programs' predictions",
    "export": "a model as ONNX or PyTorch files, for programs that run without this package",
    "reproduce": "a paper's table or figure: train, measure, compare with what was published",
}


def run(name: str, words: Sequence[str]) -> None:
    """Run the command of that name; only its own module is imported.

    Raises:
        UserError: there is no such command, or it fails because of what the user gave.
    """
    match name:
        case "demo":
            from handvae.apps import demo as command
        case "synthesize":
            from handvae.apps import synthesize as command
        case "transfer":
            from handvae.apps import transfer as command
        case "walk":
            from handvae.apps import walk as command
        case "estimate":
            from handvae.apps import estimate as command
        case "live":
            from handvae.apps import live as command
        case "render":
            from handvae.apps import render as command
        case "models":
            from handvae.apps import models as command
        case "poses":
            from handvae.apps import poses as command
        case "data":
            from handvae.apps import data as command
        case "upsample":
            from handvae.apps import upsample as command
        case "train":
            from handvae.apps import train as command
        case "evaluate":
            from handvae.apps import evaluate as command
        case "export":
            from handvae.apps import export as command
        case "reproduce":
            from handvae.apps import reproduce as command
        case _:
            hint = nearest_or_all(name, COMMANDS, "handvae ")
            raise UserError(name, "is no command", f"{hint} (handvae --help says what each does)")

    command.main(words)
