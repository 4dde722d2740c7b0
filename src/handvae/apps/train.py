"""`handvae train PRESET`: its help, and the words of its command line; `train_run` trains."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from handvae.apps.options import DeviceOption, JsonOption, QuietOption
from handvae.apps.short_help import print_short_help
from handvae.errors import UserError
from handvae.training.preset_list import PRESET_LIST, check_preset

SHORT = {
    "--steps": "--train.steps",
    "--batch": "--train.batch",
    "--lr": "--train.lr",
    "--seed": "--train.seed",
}
"""Short names of the options that are changed most."""


def _preset_option(help: str) -> object:
    """An option whose default depends on the preset."""
    return tyro.conf.arg(help=help, help_behavior_hint="(default: the preset's)")


@dataclass(frozen=True, kw_only=True)
class Everyday:
    """Train a preset on your pictures; stop and resume it whenever you like."""

    data_root: Annotated[Path, tyro.conf.arg(name="data.root")]
    """Folder of a labelled data set."""
    data_split: Annotated[str | None, tyro.conf.arg(name="data.split")] = "train"
    """Train on this split; None for all."""
    out: Path
    """Run folder: the model, the state to resume from, a report."""
    init: str | None = None
    """Start from the weights of a shipped model, a .safetensors file or a run folder."""
    resume: bool = False
    """Continue the run in the run folder."""
    resume_or_start: bool = False
    """Continue the run in the run folder, or start it if there is none."""
    steps: Annotated[int, _preset_option("Training steps, in place of the preset's steps or epochs.")] = 0
    batch: Annotated[int, _preset_option("Hands a step; short for --train.batch.")] = 0
    lr: Annotated[float, _preset_option("Learning rate; short for --train.lr.")] = 0.0
    seed: Annotated[int, tyro.conf.arg(help="Seed of the run; short for --train.seed.")] = 0
    device: DeviceOption = "auto"
    config: Path | None = None
    """Read the configuration from a file that --print-config wrote; other options override it."""
    print_config: bool = False
    """Print the whole configuration as JSON, and stop."""
    quiet: QuietOption = False
    json: JsonOption = False


def main(arguments: Sequence[str]) -> None:
    """Print the help, or parse and train.

    Raises:
        UserError: no preset is given, or the training cannot begin.
    """
    if not arguments or arguments[0].startswith("-"):
        if set(arguments) & {"-h", "--help", "--help-all"}:
            _print_help_with_presets()
            return
        print(presets_table())
        raise UserError("train", "no preset given", "name one of the above first")

    name, *rest = arguments
    check_preset(name)
    print_short_help(Everyday, rest, f"handvae train {name}", more=True)

    from handvae.apps.train_run import train_preset

    train_preset(name, full_names(rest))


def full_names(words: Sequence[str]) -> list[str]:
    """The words with full names in place of short ones; a value may stand behind `=`.

    Raises:
        UserError: the length of the run is given in steps and in epochs.
    """
    full, given, has_epochs = [], {}, False
    for place, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag == "--train.epochs":
            following = "".join(words[place + 1 : place + 2])
            has_epochs = (value if equals else following) != "None"
        name = SHORT.get(flag, flag)
        full.append(name + equals + value)
        given[name] = flag

    # epochs, where a preset counts in these, would outrank the steps
    if "--train.steps" in given:
        if has_epochs:
            fault = f"{given['--train.steps']} and --train.epochs both say how long the run is"
            raise UserError("command line", fault, "give one of them")
        full += ["--train.epochs", "None"]

    return full


def presets_table() -> str:
    """The presets, a line each."""
    rows = [f"  {name:<25}{about}" for name, about in PRESET_LIST.items()]
    return "\n".join(["presets:", *rows])


def _print_help_with_presets() -> None:
    """The everyday options, then the presets."""
    try:
        print_short_help(Everyday, ["--help"], "handvae train PRESET", more=True)
    except SystemExit:
        print(f"\n{presets_table()}")
