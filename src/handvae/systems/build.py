"""The systems by name, and a system built from its configuration."""

from handvae.data.crop import Crop
from handvae.data.hands import DataSpec
from handvae.systems.cm_vae import CmVae, CmVaeConfig
from handvae.systems.da_vae import DaVae, DaVaeConfig
from handvae.systems.detector import Detector, DetectorConfig
from handvae.systems.dvae_generator import DvaeImageConfig
from handvae.systems.dvae_image import DvaeImage
from handvae.systems.dvae_layers import DvaeLayers
from handvae.systems.dvae_pose import DvaePose, DvaePoseConfig
from handvae.systems.hand_finder import HandFinder, HandFinderConfig
from handvae.systems.hand_reader import HandReader, HandReaderConfig
from handvae.systems.keypoint_vit import KeypointVit, KeypointVitConfig
from handvae.systems.mask import MaskConfig, MaskSystem
from handvae.systems.perceptual_vae import PerceptualVae, PerceptualVaeConfig
from handvae.systems.soft_intro import SoftIntroConfig, SoftIntroSrvVae
from handvae.systems.srv_vae import SrvVae, SrvVaeConfig
from handvae.systems.system import System

SystemConfig = (
    SrvVaeConfig
    | SoftIntroConfig
    | PerceptualVaeConfig
    | DetectorConfig
    | HandReaderConfig
    | HandFinderConfig
    | KeypointVitConfig
    | CmVaeConfig
    | DvaeImageConfig
    | DvaePoseConfig
    | DaVaeConfig
    | MaskConfig
)
"""Tagged union of every system's configuration."""

CONFIGS: dict[str, type[SystemConfig]] = {
    "srv_vae": SrvVaeConfig,
    "soft_intro": SoftIntroConfig,
    "perceptual_vae": PerceptualVaeConfig,
    "detector": DetectorConfig,
    "hand_reader": HandReaderConfig,
    "hand_finder": HandFinderConfig,
    "keypoint_vit": KeypointVitConfig,
    "cm_vae": CmVaeConfig,
    "dvae_image": DvaeImageConfig,
    "dvae_pose": DvaePoseConfig,
    "da_vae": DaVaeConfig,
    "mask": MaskConfig,
}


def system_name(config: SystemConfig) -> str:
    """The name a checkpoint carries for this kind of configuration."""
    return next(name for name, kind in CONFIGS.items() if isinstance(config, kind))


def takes_unknown_sides(config: SystemConfig) -> bool:
    """Whether a system learns from hands of unknown side too."""
    return isinstance(config, HandReaderConfig | HandFinderConfig)


def build_system(config: SystemConfig, spec: DataSpec, crop: Crop) -> System:
    """A system with fresh weights for data of this kind."""
    match config:
        case SrvVaeConfig():
            return SrvVae(config, spec, crop)
        case SoftIntroConfig():
            return SoftIntroSrvVae(config, spec, crop)
        case PerceptualVaeConfig():
            return PerceptualVae(config, spec, crop)
        case DetectorConfig():
            return Detector(config, spec, crop)
        case HandReaderConfig():
            return HandReader(config, spec, crop)
        case HandFinderConfig():
            return HandFinder(config, spec, crop)
        case KeypointVitConfig():
            return KeypointVit(config, spec, crop)
        case CmVaeConfig():
            return CmVae(config, spec, crop)
        case DvaeImageConfig(content="layers"):
            return DvaeLayers(config, spec, crop)
        case DvaeImageConfig():
            return DvaeImage(config, spec, crop)
        case DvaePoseConfig():
            return DvaePose(config, spec, crop)
        case DaVaeConfig():
            return DaVae(config, spec, crop)
        case MaskConfig():
            return MaskSystem(config, spec, crop)
