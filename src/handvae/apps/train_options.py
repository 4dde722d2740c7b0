"""The options of `handvae train PRESET`: every field of the preset's dataclasses is one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from handvae.apps.options import DeviceOption, JsonOption, QuietOption, parse
from handvae.data.augment import Augment
from handvae.data.crop import Crop
from handvae.data.open import DataOptions
from handvae.systems.build import SystemConfig
from handvae.training.config import Train
from handvae.training.configuration import REQUIRED, Configuration, of_preset, read_configuration


@dataclass(frozen=True)
class Options:
    """What a command line asks for."""

    configuration: Configuration
    out: Path
    resume: bool
    resume_or_start: bool
    device: str
    print_config: bool
    quiet: bool
    json: bool


def parse_options(name: str, words: Sequence[str]) -> Options:
    """The preset, changed by the file of `--config`, changed by the other options."""
    path = _value_of("--config", words)
    base = of_preset(name) if path is None else read_configuration(Path(path), name)

    def ask(
        data: DataOptions = base.data,
        out: Path = REQUIRED,
        init: str | None = base.init,
        resume: bool = False,
        resume_or_start: bool = False,
        device: DeviceOption = "auto",
        config: Path | None = None,
        print_config: bool = False,
        quiet: QuietOption = False,
        json: JsonOption = False,
        system: Annotated[SystemConfig, tyro.conf.AvoidSubcommands] = base.system,
        crop: Crop = base.crop,
        augment: Augment = base.augment,
        train: Train = base.train,
    ) -> Options:
        """Train a preset on your pictures; stop and resume it whenever you like.

        Args:
            data: Pictures to train on.
            out: Run folder: the model, the state to resume from, a report.
            init: Start from the weights of a shipped model, a .safetensors file or a run folder.
            resume: Continue the run in the run folder.
            resume_or_start: Continue the run in the run folder, or start it if there is none.
            device: Where networks run.
            config: Read the configuration from a file that --print-config wrote; other options override it.
            print_config: Print the whole configuration as JSON, and stop.
            quiet: Print nothing but errors.
            json: Print the result as JSON.
            system: The networks and the objective.
            crop: How a hand is cut out of its picture.
            augment: Random changes of crops.
            train: Optimiser, schedule, precision.
        """
        configuration = Configuration(name, system, crop, augment, train, data, init)
        return Options(configuration, out, resume, resume_or_start, device, print_config, quiet, json)

    return parse(ask, words, f"handvae train {name}")


def _value_of(flag: str, words: Sequence[str]) -> str | None:
    """The value of an option, before the others are parsed; None where it is not given."""
    for index, word in enumerate(words):
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
        if word == flag and index + 1 < len(words):
            return words[index + 1]
    return None
