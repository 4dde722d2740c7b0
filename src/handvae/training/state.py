"""What a run resumes from: weights, their average, the optimisers' moments.

Randomness needs no state: that of step n depends on n alone.
"""

import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from handvae.errors import UserError
from handvae.files import write_atomically
from handvae.systems.system import System
from handvae.training.config import Train
from handvae.training.distributed import Ranks
from handvae.training.first_edition import modernise_tensors

_UNREADABLE = (
    OSError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    ValueError,
    pickle.UnpicklingError,
)
"""What a damaged file, or one of another system, may raise."""


class Average:
    """Exponential moving average of all weights and buffers.

    The first steps weigh more, so that it starts quickly.
    """

    def __init__(self, system: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in system.state_dict().items()}

    @torch.no_grad()
    def update(self, system: nn.Module, step: int) -> None:
        """Move towards the present weights; counters are copied."""
        decay = min(self.decay, (step + 1) / (step + 51)) if self.decay else 0.0
        for name, present in system.state_dict().items():
            average = self.values[name]
            if average.is_floating_point():
                average.lerp_(present, 1 - decay)
            else:
                average.copy_(present)

    def copy_to(self, system: nn.Module) -> None:
        """Give the system the averaged weights."""
        system.load_state_dict(self.values)

    @contextmanager
    def inside(self, system: nn.Module) -> Iterator[None]:
        """The system with its averaged weights, in evaluation mode, inside the block."""
        present = {name: value.clone() for name, value in system.state_dict().items()}
        self.copy_to(system)
        system.eval()
        try:
            yield
        finally:
            system.load_state_dict(present)


@dataclass
class State:
    """Everything that changes while a system trains."""

    system: System
    average: Average
    parameters: dict[str, list[nn.Parameter]]
    """The parameters of each group."""
    optimisers: dict[str, torch.optim.Optimizer]
    norms: dict[str, float] = field(default_factory=dict)
    """Running mean of each group's gradient norm."""

    @classmethod
    def fresh(cls, system: System, train: Train) -> "State":
        """The state before the first step."""
        parameters: dict[str, list[nn.Parameter]] = {}
        for name, modules in system.groups.items():
            parameters[name] = [p for module in modules for p in module.parameters()]
        return cls(
            system=system,
            average=Average(system, train.ema),
            parameters=parameters,
            optimisers={name: _optimiser(group, train) for name, group in parameters.items()},
        )

    def write(self, path: Path, step: int) -> None:
        """Save, whole or not at all: the last save stays until this one is complete.

        Raises:
            UserError: the disk is full.
        """
        state = {
            "step": step,
            "system": self.system.state_dict(),
            "average": self.average.values,
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "norms": self.norms,
        }
        try:
            write_atomically(path, lambda temporary: torch.save(state, temporary))
        except RuntimeError as error:
            # torch's writer hides the system's own error behind its own
            fault = "the state cannot be written; the last save is as it was"
            raise UserError(path, fault, "make room on the disk, then continue with --resume") from error

    def read(self, path: Path) -> int:
        """Put a saved state back; returns the next step.

        Raises:
            UserError: the file is damaged or of another system.
        """
        try:
            with warnings.catch_warnings():
                # Torch warns of a foreign pickle before it refuses it.
                warnings.simplefilter("ignore")
                state = torch.load(path, map_location="cpu", weights_only=True)

            self.system.load_state_dict(modernise_tensors(state["system"]))
            for name, value in modernise_tensors(state["average"]).items():
                self.average.values[name].copy_(value)

            for name, optimiser in self.optimisers.items():
                optimiser.load_state_dict(state["optimisers"][name])

            self.norms.update(state["norms"])
            return int(state["step"])
        except _UNREADABLE as error:
            fault = "cannot be read as a training state"
            raise UserError(path, fault, "start a new run in another --out") from error


def average_statistics(system: nn.Module, average: Average, ranks: Ranks) -> None:
    """Replace running statistics of batch normalisation, and their average, by means over the processes.

    Each process has followed its own rows of each batch. The mean of their means, and that of their unbiased
    variances, estimate those of whole batches. All processes must call this.
    """
    names = running_statistics(system)
    present = system.state_dict()
    ranks.average([present[name] for name in names] + [average.values[name] for name in names])


def running_statistics(system: nn.Module) -> list[str]:
    """Names of the tensors that hold running means and variances, of random variables' normalisation too."""
    return [
        f"{place}.{name}" if place else name
        for place, layer in system.named_modules(remove_duplicate=False)
        if isinstance(layer, nn.modules.batchnorm._NormBase)
        for name in ("running_mean", "running_var")
        if getattr(layer, name) is not None
    ]


def _optimiser(parameters: list[nn.Parameter], train: Train) -> torch.optim.Optimizer:
    betas = (0.9, train.beta2)
    if train.optimiser == "adam":
        return torch.optim.Adam(parameters, lr=train.lr, betas=betas)
    return torch.optim.AdamW(parameters, lr=train.lr, betas=betas, weight_decay=train.weight_decay)
