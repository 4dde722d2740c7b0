"""Hands that a fine-tune does not see, on which its model is measured before and after."""

import warnings
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from handvae.data.crop import cut
from handvae.data.dataset import HandData
from handvae.data.subset import Subset
from handvae.errors import ResultWarning
from handvae.noise import Noise, Stream
from handvae.systems.system import System

SHARE = 0.1
"""Share of the hands that are held back, of people of their own where the data name people."""
MOST = 256
"""Held-back hands that are measured, at most."""
LEAST = 20
"""A data set of fewer hands is trained on as a whole."""
BATCH = 32


@dataclass(frozen=True)
class HeldBack:
    """A data set in two parts."""

    train: HandData
    held: HandData | None
    """None where the data set is too small to spare any."""
    people: int = 0
    """People of the held-back part; 0 where the data do not name them."""


def hold_back(data: HandData) -> HeldBack:
    """Set the last tenth of the people, or of the hands, aside."""
    if len(data) < LEAST:
        return HeldBack(data, None)

    aside, people = _aside(data)
    rows = torch.arange(len(data))
    if not aside.any() or aside.all():
        return HeldBack(data, None)

    return HeldBack(
        train=Subset(data, rows[~aside].tolist()), held=Subset(data, rows[aside].tolist()), people=people
    )


def _aside(data: HandData) -> tuple[Bool[Tensor, " row"], int]:
    """Which hands are set aside, and the number of their people."""
    count = len(data)
    if "subject" in data.spec.modalities and not data.slow_labels:
        subject = data.labels(torch.arange(count)).require("subject")
        people = subject.unique()
        if len(people) > 1:
            chosen = people[-max(1, round(SHARE * len(people))) :]
            return torch.isin(subject, chosen), len(chosen)

    # hands in file order: neighbours are often frames of one film, so the end is set aside whole
    return torch.arange(count) >= count - max(1, round(SHARE * count)), 0


@torch.no_grad()
def measure(system: System, held: HandData) -> float:
    """The system's own loss on held-back hands: the mean over hands, without random changes of the crops.

    The same draws are made each time, so that two states of one system can be compared.
    """
    was_training = system.training
    system.eval()
    device = next(system.parameters()).device
    stage = system.stages[-1].name
    step = max(1, -(-len(held) // MOST))
    rows = torch.arange(0, len(held), step)

    total = 0.0
    for number, part in enumerate(rows.split(BATCH)):
        batch = cut(held, part, system.crop, fields=system.fields).to(device)
        noise = Noise(0, number, Stream.SYSTEM)
        phase = next(iter(system.step(batch, stage, noise)))
        total += float(phase.losses.total) * len(part)

    system.train(was_training)
    return total / len(rows)


def say_whether_better(system: System, init: str, parts: HeldBack, before: float) -> None:
    """Say whether a fine-tune has made its model better; warn if it is worse.

    Args:
        system: after the training.
        init: the model that it began from.
        parts: the data; there are held-back hands.
        before: what `measure` gave before the training.
    """
    assert parts.held is not None, "there was something to measure before"
    after = measure(system, parts.held)

    people = f" of {parts.people} people" if parts.people else ""
    losses = f"{init} {before:.4g}, after this training {after:.4g}"
    line = f"loss on {len(parts.held)} hands{people} that were held back: {losses}"
    if after > before:
        warnings.warn(f"{line}: the model is worse than before", ResultWarning, stacklevel=2)
    else:
        print(f"{line}: better")
