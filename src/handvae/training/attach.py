"""Models that a system's configuration names: loaded and handed in before it is trained."""

from handvae.systems.cm_vae import CmVae
from handvae.systems.da_vae import DaVae
from handvae.systems.perceptual_vae import PerceptualVae
from handvae.systems.system import System
from handvae.training.checkpoint import load_model


def attach_pretrained(system: System) -> None:
    """Give a system the trained models that its configuration names, a judge, a mask network or a finder.

    Raises:
        UserError: one is not there, or damaged.
        ValueError: one does not do for the system.
    """
    if isinstance(system, PerceptualVae):
        system.take_critic(load_model(system.config.critic).system)
    if isinstance(system, DaVae) and system.config.mask:
        system.take_mask(load_model(system.config.mask).system)
    if isinstance(system, CmVae | DaVae) and system.config.finder:
        system.take_finder(load_model(system.config.finder).system)
