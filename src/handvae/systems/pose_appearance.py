"""A hand image as a pose and an appearance: the networks that SRV-VAE and its descendants train.

The encoder gives the mean and variance of both parts of the latent, z = [z_p, z_t]; the decoder takes numbers
or random variables. `srv_vae`, `soft_intro` and `perceptual_vae` each add an objective, and nothing else.
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
from handvae.hand import PARENTS
from handvae.nets.aggregate_posterior import aggregate_moments, correlated
from handvae.nets.blocks import MAX_WIDTH, Norm, halved, resized
from handvae.nets.decoder import ImageDecoder, LevelDecoder, ToRgb
from handvae.nets.encoder import GaussianHead, HeatmapHead, Stages, Trunk
from handvae.nets.limb_maps import limb_maps
from handvae.nets.residual import ResidualDecoder, ResidualTrunk
from handvae.noise import Noise
from handvae.rv import RandomVariable
from handvae.systems.sheet import image_grid
from handvae.systems.system import Generator, Input, Prediction


@dataclass(frozen=True)
class PoseAppearanceConfig:
    """The latent and the networks; the defaults are the paper's (64 px networks of its base code)."""

    pose: Literal["2d", "3d"] = "2d"
    """What z_p holds: crop-relative 2D joints, or root-relative 3D joints in bone units."""
    appearance_dims: int = 128
    """T, the size of z_t."""
    pose_input: Literal["vector", "vector+maps"] = "vector"
    """How the decoder sees the pose: numbers (paper), or also limb maps at every resolution."""
    limb_width: float = 0.06
    """Standard deviation of a limb in the maps, crop units."""
    pose_head: Literal["linear", "heatmap"] = "linear"
    """How the pose is predicted: one linear layer (paper), or heat maps (2D only)."""
    heatmap_levels: int = 2
    """Doublings between the trunk's last features and the heat maps."""
    image_range: Literal["symmetric", "unit"] = "symmetric"
    """Networks see images in [-1, 1] or [0, 1]."""
    latent: Literal["rv", "sample", "antithetic2"] = "rv"
    """What the decoder gets of the latent: random variables (SRV-VAE), one sample (S-VAE), or mean +- one
    draw (equal cost to rv)."""
    generation_variance: Literal["dirac", "unit", "posterior"] = "dirac"
    """Variance of z_t when generating: none, 1, or the mean variance of the posterior, which the draws of
    N(0, I) then leave room for."""
    teacher_forcing: float = 0.0
    """Share of samples whose decoder gets the exact pose in training (paper: 0)."""
    pose_stop_gradient: bool = False
    """Keep the image loss out of the pose head."""
    blocks: Literal["strided", "residual"] = "strided"
    """Blocks of the networks: strided and transposed convolutions (SRV-VAE), or residual blocks
    (Soft-Intro-SRV-VAE)."""
    norm: Norm = "batch"
    """Normalisation in both networks."""
    encoder_px: int | None = None
    """Side of the images that the encoder gets; large crops may need no more than small ones. None: that of
    the crops."""
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
    """An extra 3 x 3 convolution in each level of both networks."""

    def __post_init__(self) -> None:
        # Which choices exclude each other.
        if self.pose == "3d" and (self.pose_input != "vector" or self.pose_head != "linear"):
            remedy = "use pose='2d', or pose_input='vector' and pose_head='linear'"
            raise ValueError(f"limb maps and heat maps draw 2D joints: {remedy}")

        strided_only = self.refine or self.to_rgb != "conv" or len(self.decoder_widths) < 2
        if self.blocks == "residual" and strided_only:
            remedy = "use refine=False, to_rgb='conv', two decoder_widths"
            raise ValueError(f"residual blocks have no refine and end in a convolution: {remedy}")

        # Ranges.
        widths = (*self.encoder_widths, *self.decoder_widths, self.appearance_dims)
        if self.encoder_px is not None and not 1 <= self.encoder_px <= MAX_WIDTH:
            raise ValueError(f"encoder_px is 1 to {MAX_WIDTH}, or None for that of the crops")
        if not self.encoder_widths or not self.decoder_widths or not _all_widths(widths, least=1):
            names = "encoder_widths, decoder_widths and appearance_dims"
            raise ValueError(f"{names} hold numbers from 1 to {MAX_WIDTH}")
        if not _all_widths((self.encoder_hidden, self.decoder_hidden), least=0):
            raise ValueError(f"encoder_hidden and decoder_hidden are 0 to {MAX_WIDTH}")
        if not 0 < self.limb_width < float("inf"):
            raise ValueError("limb_width is positive")
        if self.pose_head == "heatmap" and not 0 <= self.heatmap_levels < len(self.encoder_widths):
            most = len(self.encoder_widths) - 1
            raise ValueError(f"heatmap_levels is 0 to {most}, one less than the encoder's stages")
        if not 0 <= self.teacher_forcing <= 1:
            raise ValueError("teacher_forcing is a share between 0 and 1")

    @property
    def axes(self) -> int:
        """D, coordinates of a joint."""
        return 2 if self.pose == "2d" else 3


def _all_widths(widths: Sequence[int], *, least: int) -> bool:
    return all(least <= width <= MAX_WIDTH for width in widths)


@dataclass(frozen=True)
class PoseAppearance:
    """The encoder's output for a batch of images."""

    pose: RandomVariable
    """z_p: (batch, joint * axis), standardised."""
    appearance: RandomVariable
    """z_t: (batch, appearance)."""


Config = TypeVar("Config", bound=PoseAppearanceConfig, covariant=True)


class PoseAppearanceVae(Generator, Generic[Config]):
    """Networks and use; a system adds an objective."""

    config: Config
    pose_mean: Tensor
    pose_std: Tensor
    appearance_mean: Tensor
    appearance_covariance: Tensor
    posterior_variance: Tensor
    sheet_rows = "real pictures, reconstructions, three random appearances, another picture's appearance"

    def __init__(self, config: Config, spec: DataSpec, crop: Crop) -> None:
        super().__init__()
        self.config = config
        self.spec = spec
        self.crop = crop
        self.pose = config.pose
        self.encoder_px = config.encoder_px or crop.size_px
        if config.pose == "3d" and "joints_3d" not in spec.modalities:
            raise ValueError("pose='3d' needs keypoints_3d in the data; add them, or use pose='2d'")
        if config.pose_input == "vector+maps" and spec.joints != len(PARENTS):
            fault = f"limb maps draw hands of {len(PARENTS)} joints, the data has {spec.joints}"
            raise ValueError(f"{fault}; use pose_input='vector'")

        # Encoder: a trunk and two heads.
        pose_dims = spec.joints * config.axes
        self.trunk = _trunk(config)
        last_side = halved(self.encoder_px, len(config.encoder_widths))
        features = config.encoder_widths[-1] * last_side**2
        hidden, slope = config.encoder_hidden, config.encoder_slope
        self.appearance_head = GaussianHead(features, config.appearance_dims, hidden=hidden, slope=slope)
        self.pose_head: GaussianHead | HeatmapHead

        if config.pose_head == "linear":
            self.pose_head = GaussianHead(features, pose_dims, hidden=hidden, slope=slope)
        else:
            self.pose_head = HeatmapHead(
                config.encoder_widths,
                spec.joints,
                levels=config.heatmap_levels,
                norm=config.norm,
                slope=slope,
            )

        # Decoder: the same weights decode numbers and random variables.
        decoder = _decoder(config, spec, crop)
        self.map_sizes = decoder.map_sizes
        self.decoder = rv.to_rv(decoder)

        # Measured on the training labels, kept with the weights.
        self.register_buffer("pose_mean", torch.zeros(pose_dims))
        self.register_buffer("pose_std", torch.ones(()))

        # Moments of the aggregate posterior of z_t over the training images.
        self.register_buffer("appearance_mean", torch.zeros(config.appearance_dims))
        self.register_buffer("appearance_covariance", torch.eye(config.appearance_dims))
        self.register_buffer("posterior_variance", torch.zeros(config.appearance_dims))

    # ---------------------------------------------------------------- training

    def prepare(self, labels: Hands) -> None:
        """Measure the mean pose and one scale for all coordinates.

        Standardised poses then have unit standard deviation, as z_t has.
        """
        joints = self.joints_of(labels)
        weight = self.labelled(labels)[..., None].to(joints.dtype)
        mean = (joints * weight).sum(0) / weight.sum(0).clamp_min(1)
        squares = (joints - mean).square() * weight
        variance = squares.sum() / (weight.sum() * joints.shape[-1]).clamp_min(1)

        self.pose_mean.copy_(mean.flatten())
        self.pose_std.copy_(variance.sqrt().clamp_min(1e-6))

    def grown_from(self, smaller: "PoseAppearanceVae[PoseAppearanceConfig]") -> tuple[str, ...]:
        """Modules that a model of smaller images lacks, by name; none where this one does not extend it.

        It extends a model whose decoder is this one's without the last levels. Both encoders get images of
        one size, and both decoders begin with a map of one size. A model of equal size may differ in what
        makes its last map an image.
        """
        if self.crop.size_px == smaller.crop.size_px and self.config.to_rgb != smaller.config.to_rgb:
            return ("decoder.to_rgb",)

        smaller_levels = len(smaller.config.decoder_widths) - 1
        levels = len(self.config.decoder_widths) - 1
        same_stem = self.crop.size_px == smaller.crop.size_px * 2 ** (levels - smaller_levels)
        if levels <= smaller_levels or not same_stem or self.encoder_px != smaller.encoder_px:
            return ()

        new_levels = [f"decoder.levels.{level}" for level in range(smaller_levels, levels)]
        return (*new_levels, "decoder.to_rgb")

    def decoder_pose(
        self,
        pose: RandomVariable,
        target: Float[Tensor, "batch pose"],
        valid: Bool[Tensor, "batch joint"],
        exact: Bool[Tensor, "batch 1"],
    ) -> RandomVariable:
        """The pose that the decoder gets in training.

        It is the predicted one; for `exact` samples, where there is a label, the label without variance.
        """
        if self.config.pose_stop_gradient:
            pose = pose.detach()
        if self.config.teacher_forcing == 0:
            return pose

        forced = exact & valid.repeat_interleave(self.config.axes, dim=1)
        mean = torch.where(forced, target, pose.mean)
        return RandomVariable(mean, None if pose.var is None else pose.var.masked_fill(forced, 0.0))

    def nats_per_squared_error(self, sigma: float) -> float:
        """1 / (2 sigma^2) in the networks' range, for a standard deviation of [0, 1] images."""
        range_width = 2.0 if self.config.image_range == "symmetric" else 1.0
        return 1 / (2 * (sigma * range_width) ** 2)

    # ---------------------------------------------------------------- networks

    def encode(self, image: Float[Tensor, "batch 3 height width"]) -> PoseAppearance:
        """Pose and appearance of images in [0, 1]."""
        return self.encode_ranged(self.to_range(image))

    def encode_ranged(self, image: Float[Tensor, "batch 3 height width"]) -> PoseAppearance:
        """Pose and appearance of images in the networks' range, such as the decoder's."""
        features = self.trunk(resized(image, self.encoder_px))
        if isinstance(self.pose_head, HeatmapHead):
            crop_units = self.pose_head(features)
            variance = None if crop_units.var is None else crop_units.var / self.pose_std.square()
            pose = RandomVariable((crop_units.mean - self.pose_mean) / self.pose_std, variance)
        else:
            pose = self.pose_head(features[-1])
        return PoseAppearance(pose, self.appearance_head(features[-1]))

    def decode(
        self, pose: Tensor | RandomVariable, appearance: Tensor | RandomVariable
    ) -> Tensor | RandomVariable:
        """An image in the networks' range, of a standardised pose and an appearance.

        Limb maps are drawn at the mean of the pose: they carry no variance.
        """
        maps: list[Tensor] = []
        if self.config.pose_input == "vector+maps":
            mean = pose.mean if isinstance(pose, RandomVariable) else pose
            joints = (mean.float() * self.pose_std + self.pose_mean).unflatten(1, (self.spec.joints, 2))
            maps = [limb_maps(joints, size, self.config.limb_width).to(mean.dtype) for size in self.map_sizes]
        return self.decoder(rv.cat([pose, appearance], 1), maps)

    def to_range(self, image: Tensor) -> Tensor:
        """Images in [0, 1] in the networks' range."""
        return image * 2 - 1 if self.config.image_range == "symmetric" else image

    def from_range(self, image: Tensor) -> Tensor:
        """Images in the networks' range in [0, 1], or a little outside it; float32."""
        return ((image + 1) / 2 if self.config.image_range == "symmetric" else image).float()

    # ---------------------------------------------------------------- poses

    def joints_of(self, hands: Hands) -> Float[Tensor, "batch joint axis"]:
        """The joints of crops in the unit of z_p: crop units (2D) or root-relative bone units (3D)."""
        if self.config.pose == "2d":
            return to_crop_units(hands.require("joints_2d"), self.crop.size_px)
        return self.bone_unit_joints(hands)

    def standardise(self, joints: Float[Tensor, "batch joint axis"]) -> Float[Tensor, "batch joint axis"]:
        """Joints as in z_p: zero mean, unit standard deviation over the training set."""
        return ((joints.flatten(1) - self.pose_mean) / self.pose_std).view_as(joints)

    @torch.no_grad()
    def predict_uncalibrated(self, hands: Hands, inputs: Sequence[Input] = ()) -> Prediction:
        """Predict poses from crops in [0, 1]."""
        pose = self.encode(hands.require("image")).pose
        shape = (self.spec.joints, self.config.axes)
        joints = (pose.mean * self.pose_std + self.pose_mean).unflatten(1, shape)
        return Prediction(joints, (pose.std * self.pose_std).view_as(joints))

    # ---------------------------------------------------------------- appearances

    @torch.no_grad()
    def appearance_of(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch appearance"]:
        """Appearance of crops in [0, 1]: the posterior's mean."""
        return self.encode(image).appearance.mean

    def random_appearance(
        self, count: int, noise: Noise, source: Literal["prior", "aggregate"] = "prior"
    ) -> Float[Tensor, "count appearance"]:
        """Appearances drawn from N(0, I), or from the Gaussian fitted to the training images' appearances.

        With `generation_variance="posterior"` the draws are narrower by the variance that `synthesize` adds.
        """
        draws = noise.normal(count, self.config.appearance_dims).to(self.appearance_mean.device)
        added = torch.zeros_like(self.posterior_variance)
        if self.config.generation_variance == "posterior":
            added = self.posterior_variance

        if source == "prior":
            return draws * (1 - added).sqrt()

        return correlated(draws, self.appearance_mean, self.appearance_covariance - torch.diag(added))

    def with_generation_variance(
        self, appearance: Float[Tensor, "batch appearance"]
    ) -> Tensor | RandomVariable:
        """An appearance as the decoder gets it when generating: with the variance of the configuration."""
        match self.config.generation_variance:
            case "dirac":
                return appearance
            case "unit":
                return RandomVariable(appearance, torch.ones_like(appearance))
            case "posterior":
                return RandomVariable(appearance, self.posterior_variance.expand_as(appearance))

    # ---------------------------------------------------------------- images

    @torch.no_grad()
    def synthesize(
        self, joints: Float[Tensor, "batch joint axis"], appearance: Float[Tensor, "batch appearance"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Images in [0, 1] of exactly known poses (crop units or bone units) with the given appearances."""
        pose = self.standardise(joints).flatten(1)
        image = self.decode(pose, self.with_generation_variance(appearance))
        mean = image.mean if isinstance(image, RandomVariable) else image
        return self.from_range(mean).clamp(0, 1)

    @property
    def feature_dims(self) -> int:
        """Numbers in a row of `features`."""
        return self.config.encoder_widths[-1]

    @torch.no_grad()
    def features(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch feature"]:
        """The encoder's last stage for crops in [0, 1], averaged over the image: for Frechet distances."""
        return self.trunk(resized(self.to_range(image), self.encoder_px))[-1].mean((2, 3)).float()

    @torch.no_grad()
    def summarise(self, batches: Iterable[Hands]) -> dict[str, float]:
        """Measure the aggregate posterior of z_t on training images; keep its moments with the weights."""
        latents = [self.encode(batch.image).appearance for batch in batches if batch.image is not None]
        means = torch.cat([latent.mean for latent in latents])
        variances = torch.cat([latent.std.square() for latent in latents])
        moments = aggregate_moments(means, variances)

        self.appearance_mean.copy_(moments.mean)
        self.appearance_covariance.copy_(moments.covariance)
        self.posterior_variance.copy_(moments.posterior_variance.clamp(0, 1))

        spread = moments.spread_of_means
        aggregate_spread = self.appearance_covariance.diagonal().sqrt()

        return {
            "appearance_mean_abs": float(self.appearance_mean.abs().mean()),
            "appearance_spread_mean": float(spread.mean()),
            "appearance_spread_max": float(spread.max()),
            "appearance_spread_min": float(spread.min()),
            "aggregate_spread_mean": float(aggregate_spread.mean()),
            "aggregate_spread_max": float(aggregate_spread.max()),
            "posterior_variance_mean": float(moments.posterior_variance.mean()),
        }

    @torch.no_grad()
    def sample_sheet(self, batch: Hands, noise: Noise) -> Float[Tensor, "3 height width"]:
        """See `sheet_rows`; a column for each pose."""
        image = batch.require("image")
        joints, own = self.joints_of(batch), self.appearance_of(image)

        rows = [image, self.synthesize(joints, own)]
        for appearance in self.random_appearance(3, noise, "aggregate"):
            rows.append(self.synthesize(joints, appearance.expand_as(own)))
        rows.append(self.synthesize(joints, own.roll(1, 0)))
        return image_grid(rows)


def _trunk(config: PoseAppearanceConfig) -> Stages:
    if config.blocks == "residual":
        return ResidualTrunk(config.encoder_widths, norm=config.norm, slope=config.encoder_slope)
    return Trunk(
        config.encoder_widths,
        kernel=config.encoder_kernel,
        refine=config.refine,
        norm=config.norm,
        slope=config.encoder_slope,
    )


def _decoder(config: PoseAppearanceConfig, spec: DataSpec, crop: Crop) -> LevelDecoder:
    latent = spec.joints * config.axes + config.appearance_dims
    maps = spec.joints - 1 if config.pose_input == "vector+maps" else 0

    # With a convolution at full size the last width is that of the full size, else of half of it.
    doublings = len(config.decoder_widths) - (1 if config.to_rgb == "conv" else 0)
    stem_px = halved(crop.size_px, doublings)

    if config.blocks == "residual":
        return ResidualDecoder(
            latent,
            config.decoder_widths,
            stem_px=stem_px,
            hidden=config.decoder_hidden,
            maps=maps,
            norm=config.norm,
        )

    return ImageDecoder(
        latent,
        config.decoder_widths,
        stem_px=stem_px,
        kernel=config.decoder_kernel,
        refine=config.refine,
        hidden=config.decoder_hidden,
        maps=maps,
        norm=config.norm,
        to_rgb=config.to_rgb,
    )
