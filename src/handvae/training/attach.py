"""Trained models that a system's configuration names: loaded and attached before the system is trained."""

from handvae.systems.system import System
from handvae.training.checkpoint import load_model


def attach_pretrained(system: System) -> None:
    """Load the models of `system.pretrained()` and attach each in its role.

    Raises:
        UserError: a model is missing or damaged.
        ValueError: a model does not fit its role.
    """
    for role, name in system.pretrained().items():
        system.attach(role, load_model(name).system)
