"""Supervised random-variable VAE for hand images (Nicodemou et al., "Conditional Hand Image Generation ...").

The latent is a pose and an appearance, z = [z_p, z_t]; the encoder gives mean and variance of both, and the decoder passes the whole
distribution through random-variable layers, without sampling. Per picture x with pose p it minimises
    E|x - X|^2 + w KL(q(z_t | x) || N(0, I)) + lambda_p l_p,    l_p = 1/K sum_i |p_i - p^_i|^2 + 1/K sum_i var(z_p,i)^2      eq. (3)
`latent="sample"` is the paper's baseline S-VAE: the same networks, a plain decoder, one sample of z_p and z_t.
Ours beside it: the pose drawn as limb maps for the decoder, the exact pose in training, a heat-map pose head, a likelihood in nats.
Open details and what we chose: docs/papers/srv_vae.md.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from handvae import rv
from handvae.data.hands import DataSpec, Hands
from handvae.data.view import Crop, to_crop_units
from handvae.hand import PARENTS, root, scale_bone
from handvae.losses import image_loss
from handvae.nets.blocks import Norm, halved
from handvae.nets.decoder import ImageDecoder
from handvae.nets.encoder import GaussianHead, HeatmapHead, Trunk
from handvae.nets.limb_maps import limb_maps
from handvae.noise import Noise
from handvae.rv import RandomVariable
from handvae.rv.losses import ImageVariance, PointVariance, point_error
from handvae.systems.system import Generator, Losses, Phase, Prediction, Stage

MAX_WIDTH = 8192
"""Of any layer; what a damaged model file may ask for."""


@dataclass(frozen=True)
class SrvVaeConfig:
    """Every choice of SRV-VAE; the defaults are the paper's (64 px networks of its base code)."""

    pose: Literal["2d", "3d"] = "2d"
    """What z_p holds: crop-relative 2D joints, or root-relative 3D joints in bone units."""
    appearance_dims: int = 128
    """T, the size of z_t."""
    latent: Literal["rv", "sample", "antithetic2"] = "rv"
    """How the decoder meets the latent: as random variables (SRV-VAE), as one sample (S-VAE), as mean +- one draw (equal cost to rv)."""
    pose_input: Literal["vector", "vector+maps"] = "vector"
    """How the decoder sees the pose: numbers (paper), or also limb maps at every resolution."""
    limb_width: float = 0.06
    """Standard deviation of a limb in the maps, crop units."""
    pose_head: Literal["linear", "heatmap"] = "linear"
    """How the pose is read: one linear layer (paper), or heat maps (2D only)."""
    heatmap_levels: int = 2
    """Doublings between the trunk's last features and the heat maps."""
    teacher_forcing: float = 0.0
    """Share of samples whose decoder meets the exact pose in training (paper: 0)."""
    pose_stop_gradient: bool = False
    """Keep the image loss out of the pose head."""
    image_range: Literal["symmetric", "unit"] = "symmetric"
    """Networks see pictures in [-1, 1] or [0, 1]."""
    likelihood_sigma: float | None = None
    """None: the paper's mean squared error. A number: a Gaussian likelihood with this standard deviation (of a [0, 1] picture), in nats."""
    kl_weight: float | None = None
    """w; None is batch / N_train (base code)."""
    image_variance: ImageVariance = "squared"
    """What the pixels' variance adds to the image loss."""
    image_variance_weight: float = 50.0
    """Factor of the squared pixel variance."""
    pose_weight: float = 1.0
    """lambda_p."""
    pose_variance: PointVariance = "squared"
    """What the pose's variance adds to l_p."""
    generation_variance: Literal["dirac", "unit", "posterior"] = "dirac"
    """Variance of z_t when generating."""
    norm: Norm = "batch"
    """Normalisation in both networks."""
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
    to_rgb: Literal["conv", "transposed"] = "conv"
    """The decoder's last layer: a convolution at full size (paper), or the last doubling itself."""
    refine: bool = False
    """An extra 3 x 3 convolution a level in both networks."""

    def __post_init__(self) -> None:
        if self.pose == "3d" and (self.pose_input != "vector" or self.pose_head != "linear"):
            raise ValueError("limb maps and heat maps draw 2D joints: use pose='2d', or pose_input='vector' and pose_head='linear'")
        widths = (*self.encoder_widths, *self.decoder_widths, self.appearance_dims)
        if not (self.encoder_widths and self.decoder_widths) or not all(1 <= width <= MAX_WIDTH for width in widths):
            raise ValueError(f"encoder_widths, decoder_widths and appearance_dims hold numbers from 1 to {MAX_WIDTH}")
        if not all(0 <= width <= MAX_WIDTH for width in (self.encoder_hidden, self.decoder_hidden)):
            raise ValueError(f"encoder_hidden and decoder_hidden are 0 to {MAX_WIDTH}")
        if not 0 < self.limb_width < float("inf"):
            raise ValueError("limb_width is positive")
        if self.pose_head == "heatmap" and not 0 <= self.heatmap_levels < len(self.encoder_widths):
            raise ValueError(f"heatmap_levels is 0 to {len(self.encoder_widths) - 1}, one less than the encoder's stages")
        if not 0 <= self.teacher_forcing <= 1:
            raise ValueError("teacher_forcing is a share between 0 and 1")
        if self.likelihood_sigma is not None and self.likelihood_sigma <= 0:
            raise ValueError("likelihood_sigma is positive")

    @property
    def axes(self) -> int:
        """D, coordinates per joint."""
        return 2 if self.pose == "2d" else 3


@dataclass(frozen=True)
class SrvLatent:
    """What the encoder says of a picture."""

    pose: RandomVariable
    """z_p: (batch, joint * axis), standardised."""
    appearance: RandomVariable
    """z_t: (batch, appearance)."""


@dataclass(frozen=True)
class SrvLosses(Losses):
    """Parts of the objective; `expected_image` and `linear_pose` are logged only, comparable across all options."""

    image: Float[Tensor, ""]
    rate: Float[Tensor, ""]
    """KL of z_t in nats."""
    pose: Float[Tensor, ""]
    expected_image: Float[Tensor, ""]
    linear_pose: Float[Tensor, ""]
    pose_variance: Float[Tensor, ""]
    image_variance: Float[Tensor, ""]


class SrvVae(Generator):
    """SRV-VAE and, with `latent="sample"`, S-VAE."""

    config: SrvVaeConfig
    pose_mean: Tensor
    pose_std: Tensor
    appearance_mean: Tensor
    appearance_covariance: Tensor
    posterior_variance: Tensor
    objectives = ("objective",)
    sheet_rows = "real pictures, reconstructions, three random appearances, another picture's appearance"

    def __init__(self, config: SrvVaeConfig, spec: DataSpec, crop: Crop) -> None:
        super().__init__()
        self.config, self.spec, self.crop, self.pose = config, spec, crop, config.pose
        if config.pose == "3d" and "joints_3d" not in spec.modalities:
            raise ValueError("pose='3d' needs keypoints_3d in the data; add them, or use pose='2d'")
        if config.pose_input == "vector+maps" and spec.joints != len(PARENTS):
            raise ValueError(f"limb maps draw hands of {len(PARENTS)} joints, the data has {spec.joints}; use pose_input='vector'")
        stem_px = halved(crop.size_px, len(config.decoder_widths) - (config.to_rgb == "conv"))
        pose_dims = spec.joints * config.axes
        self.trunk = Trunk(
            config.encoder_widths, kernel=config.encoder_kernel, refine=config.refine, norm=config.norm, slope=config.encoder_slope
        )
        features = config.encoder_widths[-1] * halved(crop.size_px, len(config.encoder_widths)) ** 2
        self.appearance_head = GaussianHead(features, config.appearance_dims, hidden=config.encoder_hidden, slope=config.encoder_slope)
        self.pose_head: GaussianHead | HeatmapHead
        if config.pose_head == "linear":
            self.pose_head = GaussianHead(features, pose_dims, hidden=config.encoder_hidden, slope=config.encoder_slope)
        else:
            levels = config.heatmap_levels
            self.pose_head = HeatmapHead(config.encoder_widths, spec.joints, levels=levels, norm=config.norm, slope=config.encoder_slope)
        decoder = ImageDecoder(
            pose_dims + config.appearance_dims,
            config.decoder_widths,
            stem_px=stem_px,
            kernel=config.decoder_kernel,
            refine=config.refine,
            hidden=config.decoder_hidden,
            maps=spec.joints - 1 if config.pose_input == "vector+maps" else 0,
            norm=config.norm,
            to_rgb=config.to_rgb,
        )
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

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One: everything is trained together."""
        return (Stage("all", trains=("all",)),)

    @property
    def groups(self) -> dict[str, tuple[nn.Module, ...]]:
        """One: encoder and decoder share an optimiser."""
        return {"all": (self.trunk, self.pose_head, self.appearance_head, self.decoder)}

    def prepare(self, labels: Hands) -> None:
        """Mean pose and one scale for all coordinates, so that poses have unit standard deviation, as z_t has."""
        joints = self.joints_of(labels)
        weight = self.labelled(labels)[..., None].to(joints.dtype)
        mean = (joints * weight).sum(0) / weight.sum(0).clamp_min(1)
        variance = ((joints - mean).square() * weight).sum() / (weight.sum() * joints.shape[-1]).clamp_min(1)
        self.pose_mean.copy_(mean.flatten())
        self.pose_std.copy_(variance.sqrt().clamp_min(1e-6))

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """One optimiser step."""
        (image,) = batch.need("image")
        joints = self.joints_of(batch)
        device, count = image.device, len(batch)
        valid = self.labelled(batch)
        exact = noise.uniform(count, 1).to(device) < self.config.teacher_forcing
        draw = noise.normal(count, self.pose_mean.numel() + self.config.appearance_dims).to(device)
        kl_weight = self.config.kl_weight if self.config.kl_weight is not None else count * noise.ranks / self.spec.count
        yield Phase(self.objective(image, joints, valid, exact, draw, kl_weight), group="all")

    def objective(
        self,
        image: Float[Tensor, "batch 3 height width"],
        joints: Float[Tensor, "batch joint axis"],
        valid: Bool[Tensor, "batch joint"],
        exact: Bool[Tensor, "batch 1"],
        draw: Float[Tensor, "batch latent"],
        kl_weight: float,
    ) -> SrvLosses:
        """Eq. (3) on one batch; pure in its arguments, so it can be compiled."""
        config = self.config
        latent = self.encode(image)
        target = self.standardise(joints)
        pose = self._decoder_pose(latent.pose, target.flatten(1), valid, exact)
        pictures = self._decode_latent(pose, latent.appearance, draw)
        wanted = self._to_range(image)
        per_value = torch.stack([image_loss(wanted, p, config.image_variance, config.image_variance_weight) for p in pictures]).mean()
        image_term = per_value * self._nats_per_squared_error  # eq. (3), second term: E[log p(x|z)]
        rate = latent.appearance.kl().mean()  # eq. (3), first term: KL of z_t only
        read = RandomVariable(latent.pose.mean.view_as(target), latent.pose.var_or_zeros().view_as(target))
        pose_term = point_error(target, read, config.pose_variance, valid=valid).mean()  # eq. (3), third term: l_p
        with torch.no_grad():
            expected = torch.stack([image_loss(wanted, p, "expected") for p in pictures]).mean()
            linear = point_error(target, read, "linear", valid=valid).mean()
            spread = pictures[0].var if isinstance(pictures[0], RandomVariable) else None
        return SrvLosses(
            total=image_term + kl_weight * rate + config.pose_weight * pose_term,
            image=image_term,
            rate=rate,
            pose=pose_term,
            expected_image=expected,
            linear_pose=linear,
            pose_variance=latent.pose.var.mean() if latent.pose.var is not None else torch.zeros(()),
            image_variance=spread.mean() if spread is not None else torch.zeros((), device=image.device),
        )

    def _decoder_pose(
        self, pose: RandomVariable, target: Float[Tensor, "batch pose"], valid: Bool[Tensor, "batch joint"], exact: Bool[Tensor, "batch 1"]
    ) -> RandomVariable:
        """The pose the decoder meets: the predicted one, or for `exact` samples the label (where there is one) without variance."""
        if self.config.pose_stop_gradient:
            pose = pose.detach()
        if self.config.teacher_forcing == 0:
            return pose
        known = exact & valid.repeat_interleave(self.config.axes, dim=1)
        mean = torch.where(known, target, pose.mean)
        return RandomVariable(mean, None if pose.var is None else pose.var.masked_fill(known, 0.0))

    def _decode_latent(
        self, pose: RandomVariable, appearance: RandomVariable, draw: Float[Tensor, "batch latent"]
    ) -> list[Tensor | RandomVariable]:
        """Pictures whose losses are averaged."""
        if self.config.latent == "rv":
            return [self.decode(pose, appearance)]
        noise_p, noise_t = draw.split([pose.mean.shape[1], appearance.mean.shape[1]], dim=1)
        pairs = list(zip(rv.antithetic(pose, noise_p), rv.antithetic(appearance, noise_t), strict=True))
        return [self.decode(p, t) for p, t in (pairs[:1] if self.config.latent == "sample" else pairs)]

    @property
    def _nats_per_squared_error(self) -> float:
        """Factor that makes the mean squared error a negative log-likelihood (up to a constant); 1 as in the paper."""
        if self.config.likelihood_sigma is None:
            return 1.0
        sigma = self.config.likelihood_sigma * (2.0 if self.config.image_range == "symmetric" else 1.0)
        return 3 * self.crop.size_px**2 / (2 * sigma**2)

    # ---------------------------------------------------------------- networks

    def encode(self, image: Float[Tensor, "batch 3 height width"]) -> SrvLatent:
        """Pose and appearance of pictures in [0, 1]."""
        features = self.trunk(self._to_range(image))
        if isinstance(self.pose_head, HeatmapHead):
            crop_units = self.pose_head(features)
            spread = None if crop_units.var is None else crop_units.var / self.pose_std.square()
            pose = RandomVariable((crop_units.mean - self.pose_mean) / self.pose_std, spread)
        else:
            pose = self.pose_head(features[-1])
        return SrvLatent(pose, self.appearance_head(features[-1]))

    def decode(self, pose: Tensor | RandomVariable, appearance: Tensor | RandomVariable) -> Tensor | RandomVariable:
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
            (joints,) = hands.need("joints_2d")
            return to_crop_units(joints, self.crop.size_px)
        (joints,) = hands.need("joints_3d")
        centre = root(joints, "wrist")[..., None, :]
        bone_units = (joints - centre) / scale_bone(joints)[..., None, None].clamp_min(1e-6)
        return bone_units.masked_fill(~self.labelled(hands)[..., None], 0.0)

    def standardise(self, joints: Float[Tensor, "batch joint axis"]) -> Float[Tensor, "batch joint axis"]:
        """Joints as z_p has them: zero mean, unit standard deviation over the training set."""
        return ((joints.flatten(1) - self.pose_mean) / self.pose_std).view_as(joints)

    @torch.no_grad()
    def predict(self, image: Float[Tensor, "batch 3 height width"]) -> Prediction:
        """Read poses from crops in [0, 1]."""
        pose = self.encode(image).pose
        joints = (pose.mean * self.pose_std + self.pose_mean).unflatten(1, (self.spec.joints, self.config.axes))
        return Prediction(joints, (pose.std * self.pose_std).view_as(joints))

    @torch.no_grad()
    def appearance_of(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch appearance"]:
        """Appearance of crops in [0, 1]: the posterior's mean."""
        return self.encode(image).appearance.mean

    @property
    def feature_dims(self) -> int:
        """Numbers in a row of `features`."""
        return self.config.encoder_widths[-1]

    @torch.no_grad()
    def features(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch feature"]:
        """What the encoder's last stage holds of crops in [0, 1], averaged over the picture: a space of Frechet distances."""
        return self.trunk(self._to_range(image))[-1].mean((2, 3)).float()

    def random_appearance(
        self, count: int, noise: Noise, source: Literal["prior", "aggregate"] = "prior"
    ) -> Float[Tensor, "count appearance"]:
        """Appearances drawn from N(0, I), or from the Gaussian fitted to the training pictures' appearances."""
        drawn = noise.normal(count, self.config.appearance_dims).to(self.appearance_mean.device)
        if source == "prior":
            return drawn
        jitter = 1e-5 * torch.eye(self.config.appearance_dims, device=drawn.device)
        return self.appearance_mean + drawn @ torch.linalg.cholesky(self.appearance_covariance + jitter).T

    @torch.no_grad()
    def synthesize(
        self, joints: Float[Tensor, "batch joint axis"], appearance: Float[Tensor, "batch appearance"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Pictures in [0, 1] of exactly known poses (crop units or bone units) with the given appearances."""
        choices = {"dirac": None, "unit": torch.ones_like(appearance), "posterior": self.posterior_variance.expand_as(appearance)}
        variance = choices[self.config.generation_variance]
        texture = appearance if variance is None else RandomVariable(appearance, variance)
        picture = self.decode(self.standardise(joints).flatten(1), texture)
        return self._from_range(picture.mean if isinstance(picture, RandomVariable) else picture).clamp(0, 1)

    @torch.no_grad()
    def summarise(self, batches: Iterable[Hands]) -> dict[str, float]:
        """Measure the aggregate posterior of z_t on training pictures, and keep its moments with the weights."""
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
        """Rows: real pictures, reconstructions, three random appearances, another picture's appearance; a pose a column."""
        (image,) = batch.need("image")
        joints, own = self.joints_of(batch), self.appearance_of(image)
        rows = [image, self.synthesize(joints, own)]
        rows += [self.synthesize(joints, z.expand_as(own)) for z in self.random_appearance(3, noise, "aggregate")]
        rows.append(self.synthesize(joints, own.roll(1, 0)))
        return torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)

    def _to_range(self, image: Tensor) -> Tensor:
        return image * 2 - 1 if self.config.image_range == "symmetric" else image

    def _from_range(self, image: Tensor) -> Tensor:
        return ((image + 1) / 2 if self.config.image_range == "symmetric" else image).float()
