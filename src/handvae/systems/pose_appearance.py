"""A hand picture as a pose and an appearance: the networks of SRV-VAE and of what is trained from it, and how
they are used.

The encoder gives mean and variance of both, the decoder takes numbers or random variables. How they are
trained is another matter:
`srv_vae.py` and `soft_intro.py` each add an objective, and nothing else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from handvae import rv
from handvae.data.crop import Crop, to_crop_units
from handvae.data.hands import DataSpec, Hands
from handvae.hand import PARENTS, root, scale_bone
from handvae.nets.blocks import Norm, halved, resized
from handvae.nets.decoder import ImageDecoder, LevelDecoder, ToRgb
from handvae.nets.encoder import GaussianHead, HeatmapHead, Stages, Trunk
from handvae.nets.limb_maps import limb_maps
from handvae.nets.residual import ResidualDecoder, ResidualTrunk
from handvae.noise import Noise
from handvae.rv import RandomVariable
from handvae.systems.system import Generator, Input, Prediction

MAX_WIDTH = 8192
"""Of any layer; what a damaged model file may ask for."""


@dataclass(frozen=True)
class PoseAppearanceConfig:
    """What a picture is taken apart into, and the networks that do it; the defaults are the paper's (64 px
    networks of its base code)."""

    pose: Literal["2d", "3d"] = "2d"
    """What z_p holds: crop-relative 2D joints, or root-relative 3D joints in bone units."""
    appearance_dims: int = 128
    """T, the size of z_t."""
    pose_input: Literal["vector", "vector+maps"] = "vector"
    """How the decoder sees the pose: numbers (paper), or also limb maps at every resolution."""
    limb_width: float = 0.06
    """Standard deviation of a limb in the maps, crop units."""
    pose_head: Literal["linear", "heatmap"] = "linear"
    """How the pose is read: one linear layer (paper), or heat maps (2D only)."""
    heatmap_levels: int = 2
    """Doublings between the trunk's last features and the heat maps."""
    image_range: Literal["symmetric", "unit"] = "symmetric"
    """Networks see pictures in [-1, 1] or [0, 1]."""
    latent: Literal["rv", "sample", "antithetic2"] = "rv"
    """How the decoder meets the latent: as random variables (SRV-VAE), as one sample (S-VAE), as mean +- one
    draw (equal cost to rv)."""
    generation_variance: Literal["dirac", "unit", "posterior"] = "dirac"
    """Variance of z_t when generating: none, 1, or the mean variance of the posterior, which the draws of
    N(0, I) then leave room for."""
    teacher_forcing: float = 0.0
    """Share of samples whose decoder meets the exact pose in training (paper: 0)."""
    pose_stop_gradient: bool = False
    """Keep the image loss out of the pose head."""
    blocks: Literal["strided", "residual"] = "strided"
    """What the networks are laid from: strided and transposed convolutions (SRV-VAE), or residual blocks
    (Soft-Intro-SRV-VAE)."""
    norm: Norm = "batch"
    """Normalisation in both networks."""
    encoder_px: int | None = None
    """Side of the pictures that the encoder sees: what it reads of a large one may need no more than a small
    one. None: the crops' own."""
    encoder_widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    """Channels of the encoder's stages."""
    encoder_kernel: Literal[3, 4] = 3
    """Kernel of the strided convolutions."""
    encoder_slope: float = 0.01
    """Slope of the encoder's leaky ReLU."""
    encoder_hidden: int = 0
    """Width of a layer before the linear heads; 0 for none."""
    decoder_widths: tuple[int, ...] = (512, 256, 128, 64, 32, 32)
    """Channels of the decoder's first map and after each doubling."""
    decoder_kernel: Literal[3, 4] = 3
    """Kernel of the transposed convolutions."""
    decoder_hidden: int = 0
    """Width of a layer before the decoder's first map; 0 for none."""
    to_rgb: ToRgb = "conv"
    """The decoder's last layer: a convolution at full size (paper), the last doubling itself, or copied
    pixels and two convolutions."""
    refine: bool = False
    """An extra 3 x 3 convolution a level in both networks."""

    def __post_init__(self) -> None:
        if self.pose == "3d" and (self.pose_input != "vector" or self.pose_head != "linear"):
            raise ValueError(
                "limb maps and heat maps draw 2D joints: use pose='2d', or pose_input='vector' and pose_head='linear'"
            )
        widths = (*self.encoder_widths, *self.decoder_widths, self.appearance_dims)
        if self.encoder_px is not None and not 1 <= self.encoder_px <= MAX_WIDTH:
            raise ValueError(f"encoder_px is 1 to {MAX_WIDTH}, or None for the crops' own")
        if not (self.encoder_widths and self.decoder_widths) or not all(
            1 <= width <= MAX_WIDTH for width in widths
        ):
            raise ValueError(
                f"encoder_widths, decoder_widths and appearance_dims hold numbers from 1 to {MAX_WIDTH}"
            )
        if not all(0 <= width <= MAX_WIDTH for width in (self.encoder_hidden, self.decoder_hidden)):
            raise ValueError(f"encoder_hidden and decoder_hidden are 0 to {MAX_WIDTH}")
        if not 0 < self.limb_width < float("inf"):
            raise ValueError("limb_width is positive")
        if self.pose_head == "heatmap" and not 0 <= self.heatmap_levels < len(self.encoder_widths):
            raise ValueError(
                f"heatmap_levels is 0 to {len(self.encoder_widths) - 1}, one less than the encoder's stages"
            )
        if not 0 <= self.teacher_forcing <= 1:
            raise ValueError("teacher_forcing is a share between 0 and 1")
        if self.blocks == "residual" and (
            self.refine or self.to_rgb != "conv" or len(self.decoder_widths) < 2
        ):
            raise ValueError(
                "residual blocks have no refine and end in a convolution: use refine=False, to_rgb='conv', two decoder_widths"
            )

    @property
    def axes(self) -> int:
        """D, coordinates per joint."""
        return 2 if self.pose == "2d" else 3


@dataclass(frozen=True)
class PoseAppearance:
    """What the encoder says of a picture."""

    pose: RandomVariable
    """z_p: (batch, joint * axis), standardised."""
    appearance: RandomVariable
    """z_t: (batch, appearance)."""


Config = TypeVar("Config", bound=PoseAppearanceConfig, covariant=True)


class PoseAppearanceVae(Generator, Generic[Config]):
    """Networks and use; a system adds how they are trained."""

    config: Config
    pose_mean: Tensor
    pose_std: Tensor
    appearance_mean: Tensor
    appearance_covariance: Tensor
    posterior_variance: Tensor
    sheet_rows = "real pictures, reconstructions, three random appearances, another picture's appearance"

    def __init__(self, config: Config, spec: DataSpec, crop: Crop) -> None:
        super().__init__()
        self.config, self.spec, self.crop, self.pose = config, spec, crop, config.pose
        if config.pose == "3d" and "joints_3d" not in spec.modalities:
            raise ValueError("pose='3d' needs keypoints_3d in the data; add them, or use pose='2d'")
        if config.pose_input == "vector+maps" and spec.joints != len(PARENTS):
            raise ValueError(
                f"limb maps draw hands of {len(PARENTS)} joints, the data has {spec.joints}; use pose_input='vector'"
            )
        pose_dims = spec.joints * config.axes
        self.trunk = _trunk(config)
        self.encoder_px = config.encoder_px or crop.size_px
        features = config.encoder_widths[-1] * halved(self.encoder_px, len(config.encoder_widths)) ** 2
        self.appearance_head = GaussianHead(
            features, config.appearance_dims, hidden=config.encoder_hidden, slope=config.encoder_slope
        )
        self.pose_head: GaussianHead | HeatmapHead
        if config.pose_head == "linear":
            self.pose_head = GaussianHead(
                features, pose_dims, hidden=config.encoder_hidden, slope=config.encoder_slope
            )
        else:
            levels = config.heatmap_levels
            self.pose_head = HeatmapHead(
                config.encoder_widths,
                spec.joints,
                levels=levels,
                norm=config.norm,
                slope=config.encoder_slope,
            )
        decoder = _decoder(config, spec, crop)
        self.map_sizes = decoder.map_sizes
        self.decoder = rv.to_rv(decoder)
        # measured on the training labels, kept with the weights
        self.register_buffer("pose_mean", torch.zeros(pose_dims))
        self.register_buffer("pose_std", torch.ones(()))
        # moments of the aggregate posterior of z_t over the training pictures
        self.register_buffer("appearance_mean", torch.zeros(config.appearance_dims))
        self.register_buffer("appearance_covariance", torch.eye(config.appearance_dims))
        self.register_buffer("posterior_variance", torch.zeros(config.appearance_dims))

    # ---------------------------------------------------------------- training

    def grown_from(self, smaller: "PoseAppearanceVae[PoseAppearanceConfig]") -> tuple[str, ...]:
        """Parts that a model of smaller pictures lacks, by name, if it is this one without the decoder's last
        levels; else none.

        Both encoders have to see pictures of one size, and both decoders to begin with a map of one size. A
        model of equal size may
        differ in what makes its last map a picture.
        """
        if self.crop.size_px == smaller.crop.size_px and self.config.to_rgb != smaller.config.to_rgb:
            return ("decoder.to_rgb",)
        levels, more = len(smaller.config.decoder_widths) - 1, len(self.config.decoder_widths) - 1
        larger = self.crop.size_px == smaller.crop.size_px * 2 ** (more - levels)
        if smaller.encoder_px != self.encoder_px or more <= levels or not larger:
            return ()
        return (*(f"decoder.levels.{level}" for level in range(levels, more)), "decoder.to_rgb")

    def prepare(self, labels: Hands) -> None:
        """Mean pose and one scale for all coordinates, so that poses have unit standard deviation, as z_t
        has."""
        joints = self.joints_of(labels)
        weight = self.labelled(labels)[..., None].to(joints.dtype)
        mean = (joints * weight).sum(0) / weight.sum(0).clamp_min(1)
        variance = ((joints - mean).square() * weight).sum() / (weight.sum() * joints.shape[-1]).clamp_min(1)
        self.pose_mean.copy_(mean.flatten())
        self.pose_std.copy_(variance.sqrt().clamp_min(1e-6))

    def _decoder_pose(
        self,
        pose: RandomVariable,
        target: Float[Tensor, "batch pose"],
        valid: Bool[Tensor, "batch joint"],
        exact: Bool[Tensor, "batch 1"],
    ) -> RandomVariable:
        """The pose the decoder meets: the predicted one, or for `exact` samples the label (where there is
        one) without variance."""
        if self.config.pose_stop_gradient:
            pose = pose.detach()
        if self.config.teacher_forcing == 0:
            return pose
        known = exact & valid.repeat_interleave(self.config.axes, dim=1)
        mean = torch.where(known, target, pose.mean)
        return RandomVariable(mean, None if pose.var is None else pose.var.masked_fill(known, 0.0))

    def _nats_per_squared_error(self, sigma: float) -> float:
        """1 / (2 sigma^2) in the networks' range, for a standard deviation of [0, 1] pictures."""
        return 1 / (2 * (sigma * (2.0 if self.config.image_range == "symmetric" else 1.0)) ** 2)

    # ---------------------------------------------------------------- networks

    def encode(self, image: Float[Tensor, "batch 3 height width"]) -> PoseAppearance:
        """Pose and appearance of pictures in [0, 1]."""
        return self.encode_ranged(self._to_range(image))

    def encode_ranged(self, image: Float[Tensor, "batch 3 height width"]) -> PoseAppearance:
        """Pose and appearance of pictures in the networks' range, which the decoder gives."""
        features = self.trunk(resized(image, self.encoder_px))
        if isinstance(self.pose_head, HeatmapHead):
            crop_units = self.pose_head(features)
            spread = None if crop_units.var is None else crop_units.var / self.pose_std.square()
            pose = RandomVariable((crop_units.mean - self.pose_mean) / self.pose_std, spread)
        else:
            pose = self.pose_head(features[-1])
        return PoseAppearance(pose, self.appearance_head(features[-1]))

    def decode(
        self, pose: Tensor | RandomVariable, appearance: Tensor | RandomVariable
    ) -> Tensor | RandomVariable:
        """A picture (in the networks' range) from a standardised pose and an appearance.

        Limb maps are drawn at the pose's mean: they carry no variance.
        """
        maps: list[Tensor] = []
        if self.config.pose_input == "vector+maps":
            mean = pose.mean if isinstance(pose, RandomVariable) else pose
            joints = (mean.float() * self.pose_std + self.pose_mean).unflatten(1, (self.spec.joints, 2))
            maps = [limb_maps(joints, size, self.config.limb_width).to(mean.dtype) for size in self.map_sizes]
        return self.decoder(rv.cat([pose, appearance], 1), maps)

    # ---------------------------------------------------------------- use

    def joints_of(self, hands: Hands) -> Float[Tensor, "batch joint axis"]:
        """The joints of crops in the unit of z_p: crop units (2D) or root-relative bone units (3D)."""
        if self.config.pose == "2d":
            joints = hands.require("joints_2d")
            return to_crop_units(joints, self.crop.size_px)
        joints = hands.require("joints_3d")
        centre = root(joints, "wrist")[..., None, :]
        bone_units = (joints - centre) / scale_bone(joints)[..., None, None].clamp_min(1e-6)
        return bone_units.masked_fill(~self.labelled(hands)[..., None], 0.0)

    def standardise(self, joints: Float[Tensor, "batch joint axis"]) -> Float[Tensor, "batch joint axis"]:
        """Joints as z_p has them: zero mean, unit standard deviation over the training set."""
        return ((joints.flatten(1) - self.pose_mean) / self.pose_std).view_as(joints)

    @torch.no_grad()
    def predict_uncalibrated(self, hands: Hands, inputs: Sequence[Input] = ()) -> Prediction:
        """Read poses from crops in [0, 1]."""
        image = hands.require("image")
        pose = self.encode(image).pose
        joints = (pose.mean * self.pose_std + self.pose_mean).unflatten(
            1, (self.spec.joints, self.config.axes)
        )
        return Prediction(joints, (pose.std * self.pose_std).view_as(joints))

    @torch.no_grad()
    def appearance_of(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch appearance"]:
        """Appearance of crops in [0, 1]: the posterior's mean."""
        return self.encode(image).appearance.mean

    @property
    def feature_dims(self) -> int:
        """Numbers in a row of `features`."""
        return self.config.encoder_widths[-1]

    @torch.no_grad()
    def features(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch feature"]:
        """What the encoder's last stage holds of crops in [0, 1], averaged over the picture: a space of
        Frechet distances."""
        return self.trunk(resized(self._to_range(image), self.encoder_px))[-1].mean((2, 3)).float()

    def random_appearance(
        self, count: int, noise: Noise, source: Literal["prior", "aggregate"] = "prior"
    ) -> Float[Tensor, "count appearance"]:
        """Appearances drawn from N(0, I), or from the Gaussian fitted to the training pictures' appearances.

        With `generation_variance="posterior"` the draws are narrower by the variance that `synthesize` gives
        them.
        """
        drawn = noise.normal(count, self.config.appearance_dims).to(self.appearance_mean.device)
        given = (
            self.posterior_variance
            if self.config.generation_variance == "posterior"
            else torch.zeros_like(self.posterior_variance)
        )
        if source == "prior":
            return drawn * (1 - given).sqrt()
        jitter = 1e-5 * torch.eye(self.config.appearance_dims, device=drawn.device)
        return (
            self.appearance_mean
            + drawn @ torch.linalg.cholesky(self.appearance_covariance - torch.diag(given) + jitter).T
        )

    def textured(self, appearance: Float[Tensor, "batch appearance"]) -> Tensor | RandomVariable:
        """An appearance as the decoder meets it when generating: with the variance that the configuration
        asks for."""
        match self.config.generation_variance:
            case "dirac":
                return appearance
            case "unit":
                return RandomVariable(appearance, torch.ones_like(appearance))
            case "posterior":
                return RandomVariable(appearance, self.posterior_variance.expand_as(appearance))

    @torch.no_grad()
    def synthesize(
        self, joints: Float[Tensor, "batch joint axis"], appearance: Float[Tensor, "batch appearance"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Pictures in [0, 1] of exactly known poses (crop units or bone units) with the given appearances."""
        picture = self.decode(self.standardise(joints).flatten(1), self.textured(appearance))
        return self._from_range(picture.mean if isinstance(picture, RandomVariable) else picture).clamp(0, 1)

    @torch.no_grad()
    def summarise(self, batches: Iterable[Hands]) -> dict[str, float]:
        """Measure the aggregate posterior of z_t on training pictures, and keep its moments with the
        weights."""
        latents = [self.encode(batch.image).appearance for batch in batches if batch.image is not None]
        means = torch.cat([latent.mean for latent in latents])
        variance = torch.cat([latent.std.square() for latent in latents]).mean(0)
        self.appearance_mean.copy_(means.mean(0))
        self.appearance_covariance.copy_(torch.cov(means.T) + torch.diag(variance))  # law of total variance
        self.posterior_variance.copy_(variance.clamp(0, 1))
        spread = means.std(0)
        total = self.appearance_covariance.diagonal().sqrt()
        return {
            "appearance_mean_abs": float(self.appearance_mean.abs().mean()),
            "appearance_spread_mean": float(spread.mean()),
            "appearance_spread_max": float(spread.max()),
            "appearance_spread_min": float(spread.min()),
            "aggregate_spread_mean": float(total.mean()),
            "aggregate_spread_max": float(total.max()),
            "posterior_variance_mean": float(variance.mean()),
        }

    @torch.no_grad()
    def sample_sheet(self, batch: Hands, noise: Noise) -> Float[Tensor, "3 height width"]:
        """Rows: real pictures, reconstructions, three random appearances, another picture's appearance; a
        pose a column."""
        image = batch.require("image")
        joints, own = self.joints_of(batch), self.appearance_of(image)
        rows = [image, self.synthesize(joints, own)]
        rows += [
            self.synthesize(joints, z.expand_as(own)) for z in self.random_appearance(3, noise, "aggregate")
        ]
        rows.append(self.synthesize(joints, own.roll(1, 0)))
        return torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)

    def _to_range(self, image: Tensor) -> Tensor:
        return image * 2 - 1 if self.config.image_range == "symmetric" else image

    def _from_range(self, image: Tensor) -> Tensor:
        return ((image + 1) / 2 if self.config.image_range == "symmetric" else image).float()


def _trunk(config: PoseAppearanceConfig) -> Stages:
    widths, norm, slope = config.encoder_widths, config.norm, config.encoder_slope
    if config.blocks == "residual":
        return ResidualTrunk(widths, norm=norm, slope=slope)
    return Trunk(widths, kernel=config.encoder_kernel, refine=config.refine, norm=norm, slope=slope)


def _decoder(config: PoseAppearanceConfig, spec: DataSpec, crop: Crop) -> LevelDecoder:
    widths, hidden, norm = config.decoder_widths, config.decoder_hidden, config.norm
    latent = spec.joints * config.axes + config.appearance_dims
    maps = spec.joints - 1 if config.pose_input == "vector+maps" else 0
    stem_px = halved(crop.size_px, len(widths) - (config.to_rgb == "conv"))
    if config.blocks == "residual":
        return ResidualDecoder(latent, widths, stem_px=stem_px, hidden=hidden, maps=maps, norm=norm)
    kernel, refine, to_rgb = config.decoder_kernel, config.refine, config.to_rgb
    return ImageDecoder(
        latent,
        widths,
        stem_px=stem_px,
        kernel=kernel,
        refine=refine,
        hidden=hidden,
        maps=maps,
        norm=norm,
        to_rgb=to_rgb,
    )
