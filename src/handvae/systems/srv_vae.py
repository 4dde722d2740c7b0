"""Supervised random-variable VAE for hand images (Nicodemou et al., "Conditional Hand Image Generation ...").

The latent is a pose and an appearance, z = [z_p, z_t]; the encoder gives mean and variance of both, and the
decoder passes the whole
distribution through random-variable layers, without sampling. Per picture x with pose p it minimises
    E|x - X|^2 + w KL(q(z_t | x) || N(0, I)) + lambda_p l_p,    l_p = 1/K sum_i |p_i - p^_i|^2 + 1/K sum_i var(z_p,i)^2      eq. (3)
`latent="sample"` is the paper's baseline S-VAE: the same networks, a plain decoder, one sample of z_p and
z_t.
Ours beside it: the pose drawn as limb maps for the decoder, the exact pose in training, a heat-map pose head,
a likelihood in nats.
Open details and what we chose: docs/papers/srv_vae.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from handvae import rv
from handvae.data.hands import Hands
from handvae.losses import image_loss
from handvae.noise import Noise
from handvae.rv import RandomVariable
from handvae.rv.losses import ImageVariance, PointVariance, point_error
from handvae.systems.pose_appearance import PoseAppearanceConfig, PoseAppearanceVae
from handvae.systems.system import Losses, Phase, Stage


@dataclass(frozen=True)
class SrvVaeConfig(PoseAppearanceConfig):
    """Every choice of SRV-VAE; the defaults are the paper's."""

    likelihood_sigma: float | None = None
    """None: the paper's mean squared error. A number: a Gaussian likelihood with this standard deviation (of
    a [0, 1] picture), in nats."""
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.likelihood_sigma is not None and self.likelihood_sigma <= 0:
            raise ValueError("likelihood_sigma is positive")


@dataclass(frozen=True)
class SrvLosses(Losses):
    """Parts of the objective; `expected_image` and `linear_pose` are logged only, comparable across all
    options."""

    image: Float[Tensor, ""]
    rate: Float[Tensor, ""]
    """KL of z_t in nats."""
    pose: Float[Tensor, ""]
    expected_image: Float[Tensor, ""]
    linear_pose: Float[Tensor, ""]
    pose_variance: Float[Tensor, ""]
    image_variance: Float[Tensor, ""]


class SrvVae(PoseAppearanceVae[SrvVaeConfig]):
    """SRV-VAE and, with `latent="sample"`, S-VAE."""

    objectives = ("objective",)

    # ---------------------------------------------------------------- training

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One: everything is trained together."""
        return (Stage("all", trains=("all",)),)

    @property
    def groups(self) -> dict[str, tuple[nn.Module, ...]]:
        """One: encoder and decoder share an optimiser."""
        return {"all": (self.trunk, self.pose_head, self.appearance_head, self.decoder)}

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """One optimiser step."""
        image = batch.require("image")
        joints = self.joints_of(batch)
        device, count = image.device, len(batch)
        valid = self.labelled(batch)
        exact = noise.uniform(count, 1).to(device) < self.config.teacher_forcing
        draw = noise.normal(count, self.pose_mean.numel() + self.config.appearance_dims).to(device)
        kl_weight = (
            self.config.kl_weight
            if self.config.kl_weight is not None
            else count * noise.ranks / self.spec.count
        )
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
        per_value = torch.stack(
            [image_loss(wanted, p, config.image_variance, config.image_variance_weight) for p in pictures]
        ).mean()
        sigma = config.likelihood_sigma
        nats = 1.0 if sigma is None else image[0].numel() * self._nats_per_squared_error(sigma)
        image_term = per_value * nats  # eq. (3), second term: E[log p(x|z)]
        rate = latent.appearance.kl().mean()  # eq. (3), first term: KL of z_t only
        read = RandomVariable(latent.pose.mean.view_as(target), latent.pose.var_or_zeros().view_as(target))
        pose_term = point_error(
            target, read, config.pose_variance, valid=valid
        ).mean()  # eq. (3), third term: l_p
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

    def _decode_latent(
        self, pose: RandomVariable, appearance: RandomVariable, draw: Float[Tensor, "batch latent"]
    ) -> list[Tensor | RandomVariable]:
        """Pictures whose losses are averaged."""
        if self.config.latent == "rv":
            return [self.decode(pose, appearance)]
        noise_p, noise_t = draw.split([pose.mean.shape[1], appearance.mean.shape[1]], dim=1)
        pairs = list(zip(rv.antithetic(pose, noise_p), rv.antithetic(appearance, noise_t), strict=True))
        return [self.decode(p, t) for p, t in (pairs[:1] if self.config.latent == "sample" else pairs)]
