"""Supervised random-variable VAE for hand images (Nicodemou et al., "Conditional Hand Image Generation ...").

The latent is a pose and an appearance, z = [z_p, z_t]. The encoder gives mean and variance of both; the
decoder passes the whole distribution through random-variable layers, without sampling. For an image x with
pose p training minimises
    E|x - X|^2 + w KL(q(z_t | x) || N(0, I)) + lambda_p l_p                             eq. (3)
    l_p = 1/K sum_i |p_i - p^_i|^2 + 1/K sum_i var(z_p,i)^2                             section 3.2
`latent="sample"` is the paper's baseline S-VAE: the same networks, a plain decoder, one sample of z.
Ours: the pose also as limb maps for the decoder, the exact pose in training, a heat-map pose head, a
likelihood in nats. Open details and what we chose: docs/papers/srv_vae.md.
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
    a [0, 1] image), in nats."""
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
    """Terms of the objective; `expected_image` and `linear_pose` are logged only, to compare options."""

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
        weights = self.labelled(batch) * self.label_weights(batch)
        device, count = image.device, len(batch)

        exact = noise.uniform(count, 1).to(device) < self.config.teacher_forcing
        latent_dims = self.pose_mean.numel() + self.config.appearance_dims
        draw = noise.normal(count, latent_dims).to(device)

        kl_weight = self.config.kl_weight
        if kl_weight is None:  # w = batch / N_train, the batch of all ranks together
            kl_weight = count * noise.ranks / self.spec.count

        yield Phase(self.objective(image, joints, weights, exact, draw, kl_weight), group="all")

    def objective(
        self,
        image: Float[Tensor, "batch 3 height width"],
        joints: Float[Tensor, "batch joint axis"],
        weights: Float[Tensor, "batch joint"],
        exact: Bool[Tensor, "batch 1"],
        draw: Float[Tensor, "batch latent"],
        kl_weight: float,
    ) -> SrvLosses:
        """Eq. (3) on one batch; pure in its arguments, so it can be compiled."""
        config = self.config
        target_image, target_pose = self.to_range(image), self.standardise(joints)

        # Encode, and decode the whole distribution (or samples of it).
        latent = self.encode(image)
        pose = self.decoder_pose(latent.pose, target_pose.flatten(1), weights > 0, exact)
        decoded = self._decode_latent(pose, latent.appearance, draw)

        # Terms. The mean squared error is that of a value of the image; in nats it is a sum over values.
        weight = config.image_variance_weight
        errors = [image_loss(target_image, output, config.image_variance, weight) for output in decoded]
        sigma = config.likelihood_sigma
        nats = 1.0 if sigma is None else image[0].numel() * self.nats_per_squared_error(sigma)
        image_term = torch.stack(errors).mean() * nats
        rate = latent.appearance.kl().mean()
        predicted_pose = latent.pose.view(*target_pose.shape)
        pose_term = point_error(target_pose, predicted_pose, config.pose_variance, valid=weights).mean()
        total = (
            image_term  # eq. (3), second term: E[log p(x | z)]
            + kl_weight * rate  # first term: KL of z_t alone
            + config.pose_weight * pose_term  # third term: l_p
        )

        # What is only logged.
        with torch.no_grad():
            expected = torch.stack([image_loss(target_image, output, "expected") for output in decoded])
            linear = point_error(target_pose, predicted_pose, "linear", valid=weights)
            first = decoded[0]
            image_variance = torch.zeros((), device=image.device)
            if isinstance(first, RandomVariable) and first.var is not None:
                image_variance = first.var.mean()

        return SrvLosses(
            total=total,
            image=image_term,
            rate=rate,
            pose=pose_term,
            expected_image=expected.mean(),
            linear_pose=linear.mean(),
            pose_variance=latent.pose.var_or_zeros().mean(),
            image_variance=image_variance,
        )

    def _decode_latent(
        self, pose: RandomVariable, appearance: RandomVariable, draw: Float[Tensor, "batch latent"]
    ) -> list[Tensor | RandomVariable]:
        """The images whose losses are averaged: of the distribution, one sample, or an antithetic pair."""
        if self.config.latent == "rv":
            return [self.decode(pose, appearance)]

        pose_draw, appearance_draw = draw.split([pose.mean.shape[1], appearance.mean.shape[1]], dim=1)
        poses = rv.antithetic(pose, pose_draw)  # mean + std * draw, mean - std * draw
        appearances = rv.antithetic(appearance, appearance_draw)
        if self.config.latent == "sample":
            return [self.decode(poses[0], appearances[0])]
        return [self.decode(p, t) for p, t in zip(poses, appearances, strict=True)]
