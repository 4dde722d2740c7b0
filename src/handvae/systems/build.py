"""The systems by name: which configuration a name stands for, and the system built from a configuration."""

from handvae.data.hands import DataSpec
from handvae.data.view import Crop
from handvae.systems.srv_vae import SrvVae, SrvVaeConfig

SystemConfig = SrvVaeConfig
"""Tagged union of every system's configuration."""

CONFIGS: dict[str, type[SystemConfig]] = {"srv_vae": SrvVaeConfig}


def system_name(config: SystemConfig) -> str:
    """The name a checkpoint carries for this kind of configuration."""
    return next(name for name, kind in CONFIGS.items() if isinstance(config, kind))


def build_system(config: SystemConfig, spec: DataSpec, crop: Crop) -> SrvVae:
    """A system with fresh weights for data of this kind."""
    match config:
        case SrvVaeConfig():
            return SrvVae(config, spec, crop)
