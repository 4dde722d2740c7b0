"""Perceptual S-VAE: images that a hand detector reads as it reads photographs. Ours, on SRV-VAE's networks.

The objective of S-VAE leaves images soft, and has no term for images that combine the pose of one image with
the appearance of another. A trained detector, the critic, gives both. With its features f_l (each channel in
standard deviations), its prediction d(.), the reconstruction X of an image x with pose p, and an image Y of
the same pose with another appearance, training minimises
    |x - X|^2 / 2 sigma^2 + w KL(q(z_t | x) || N(0, I)) + lambda_p l_p
    + lambda_f sum_l |f_l(x) - f_l(X)| + lambda_c |p - d(Y)|
The other appearance is that of another image of the batch, or a draw from N(0, I). Of images larger than the
critic's, features are compared twice: of the whole image, reduced to the critic's size, and of a window of
that size at a random place.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from handvae.data.hands import Hands
from handvae.nets.blocks import resized
from handvae.noise import Noise
from handvae.rv import RandomVariable
from handvae.rv.losses import PointVariance, point_error
from handvae.systems.pose_appearance import PoseAppearanceConfig, PoseAppearanceVae
from handvae.systems.system import Losses, PerceptualCritic, Phase, Stage, System


@dataclass(frozen=True)
class PerceptualVaeConfig(PoseAppearanceConfig):
    """Every choice of the perceptual S-VAE; network defaults are SRV-VAE's, `latent` is always one sample."""

    critic: str = "critic-64"
    """The critic: a shipped detector of 2D joints, a .safetensors file or a run folder. It gets images in its
    own size."""
    likelihood_sigma: float = 0.08
    """Standard deviation of the pixels, of a [0, 1] image."""
    kl_weight: float = 2.0
    """w, per nat."""
    pose_weight: float = 250.0
    """lambda_p."""
    pose_variance: PointVariance = "none"
    """What the pose's variance adds to l_p; a heat map that is charged for it falls into one cell."""
    feature_weight: float = 1500.0
    """lambda_f, nats per mean difference of one deviation."""
    consistency_weight: float = 6000.0
    """lambda_c, nats per crop unit."""
    prior_share: float = 0.5
    """Share of other appearances that are drawn from N(0, I)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latent != "sample" or self.pose != "2d":
            fault = "a perceptual S-VAE samples its latent and has 2D poses"
            raise ValueError(f"{fault}: use latent='sample' and pose='2d'")
        if self.likelihood_sigma <= 0 or not 0 <= self.prior_share <= 1:
            raise ValueError("likelihood_sigma is positive, prior_share between 0 and 1")


@dataclass(frozen=True)
class PerceptualVaeLosses(Losses):
    """Terms of the objective, before their weights."""

    image: Float[Tensor, ""]
    rate: Float[Tensor, ""]
    """KL of z_t in nats."""
    pose: Float[Tensor, ""]
    feature: Float[Tensor, ""]
    """Mean difference of the critic's features, in deviations, summed over its stages."""
    consistency: Float[Tensor, ""]
    """Mean distance per axis between the target joints and the critic's prediction, crop units."""


class PerceptualVae(PoseAppearanceVae[PerceptualVaeConfig]):
    """S-VAE with a critic, which training needs (`attach`) and use does not.

    Another image's appearance and the deviations of features are those of a rank's own rows, so two ranks do
    not see quite what one would.
    """

    objectives = ("objective",)
    critic: tuple[PerceptualCritic, ...] = ()
    """In a tuple, so that it is no part of the model, its weights and its files."""

    # ---------------------------------------------------------------- training

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One: everything is trained together."""
        return (Stage("all", trains=("all",)),)

    @property
    def teachers(self) -> tuple[str, ...]:
        """The critic."""
        return (self.config.critic,)

    @property
    def groups(self) -> dict[str, tuple[nn.Module, ...]]:
        """One: encoder and decoder share an optimiser."""
        return {"all": (self.trunk, self.pose_head, self.appearance_head, self.decoder)}

    def pretrained(self) -> dict[str, str]:
        """The critic."""
        return {"critic": self.config.critic}

    def attach(self, role: str, system: System) -> None:
        """Train against this detector.

        Raises:
            ValueError: it is no detector of the same 2D joints.
        """
        if role != "critic":
            return super().attach(role, system)
        if not isinstance(system, PerceptualCritic) or system.pose != "2d":
            raise ValueError("the critic is a detector of 2D joints")
        if system.spec.joints != self.spec.joints:
            raise ValueError(f"the critic reads {system.spec.joints} joints, not {self.spec.joints}")

        self.critic = (system.float().eval().requires_grad_(False),)

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """One optimiser step."""
        if not self.critic:
            raise ValueError("training needs the critic that is named: attach it first")

        (critic,) = self.critic
        image = batch.require("image")
        joints = self.joints_of(batch)
        weights = self.labelled(batch) * self.label_weights(batch)
        device, count, dims = image.device, len(batch), self.config.appearance_dims
        critic.to(device)

        # All random numbers of the step, in an order that runs depend on.
        draw = noise.normal(count, dims).to(device)
        prior = noise.normal(count, dims).to(device)
        is_prior = noise.uniform(count, 1).to(device) < self.config.prior_share
        exact = noise.uniform(count, 1).to(device) < self.config.teacher_forcing
        places = max(0, self.crop.size_px - critic.crop.size_px) + 1
        corner = (noise.uniform(1, 2)[0].to(device) * places).long()

        yield Phase(self.objective(image, joints, weights, exact, draw, prior, is_prior, corner), group="all")

    def objective(
        self,
        image: Float[Tensor, "batch 3 height width"],
        joints: Float[Tensor, "batch joint 2"],
        weights: Float[Tensor, "batch joint"],
        exact: Bool[Tensor, "batch 1"],
        draw: Float[Tensor, "batch appearance"],
        prior: Float[Tensor, "batch appearance"],
        is_prior: Bool[Tensor, "batch 1"],
        corner: Int[Tensor, "2"],
    ) -> PerceptualVaeLosses:
        """The loss of one batch; pure in its arguments, so it can be compiled.

        Args:
            image: crops in [0, 1].
            joints: their joints, crop units.
            weights: how much each joint's label counts; 0 without a label.
            exact: samples whose decoder gets the exact pose.
            draw: standard normal numbers for the sample of q(z_t | x).
            prior: appearances from N(0, I).
            is_prior: samples whose other appearance is that from the prior.
            corner: upper left corner of the window (row, column), px.
        """
        config, (critic,) = self.config, self.critic
        latent, target = self.encode(image), self.standardise(joints)
        valid = weights > 0

        # The reconstruction X of the image's own code.
        decoder_pose = self.decoder_pose(latent.pose, target.flatten(1), valid, exact)
        own = latent.appearance.mean + latent.appearance.std * draw
        reconstruction = self._image(decoder_pose, own)

        # The image Y of the exact pose with another appearance, that of a neighbour: batches are shuffled.
        always = torch.ones_like(exact)
        exact_pose = self.decoder_pose(latent.pose, target.flatten(1), valid, always)
        other = torch.where(is_prior, prior, own.roll(1, 0))
        transferred = self._image(exact_pose, other)

        # S-VAE.
        squares = (reconstruction - image).square().flatten(1).sum(1)
        image_term = squares.mean() / (2 * config.likelihood_sigma**2)
        rate = latent.appearance.kl().mean()
        predicted_pose = latent.pose.view(*target.shape)
        pose_term = point_error(target, predicted_pose, config.pose_variance, valid=weights).mean()

        # The critic on X: features of the whole image, and of a window where the image is larger.
        size = critic.crop.size_px
        feature = feature_distance(
            critic.maps(resized(image, size)), critic.maps(resized(reconstruction, size))
        )

        if image.shape[-1] > size:
            feature = feature + feature_distance(
                critic.maps(window(image, corner, size)), critic.maps(window(reconstruction, corner, size))
            )

        # The critic on Y: |p - d(Y)| over labelled joints and both axes.
        prediction = critic.read(resized(transferred, size)).mean
        distance = (prediction - joints).abs() * weights[..., None]
        consistency = distance.sum() / (2 * valid.sum().clamp_min(1))

        total = (
            image_term
            + config.kl_weight * rate
            + config.pose_weight * pose_term
            + config.feature_weight * feature
            + config.consistency_weight * consistency
        )

        return PerceptualVaeLosses(
            total=total,
            image=image_term,
            rate=rate,
            pose=pose_term,
            feature=feature,
            consistency=consistency,
        )

    def _image(self, pose: RandomVariable, appearance: Tensor) -> Tensor:
        """The image in [0, 1], or a little outside it, of a pose's mean and an appearance."""
        decoded = self.decode(pose.mean, appearance)
        assert isinstance(decoded, Tensor)
        return self.from_range(decoded)


def window(
    image: Float[Tensor, "batch 3 height width"], corner: Int[Tensor, "2"], size_px: int
) -> Float[Tensor, "batch 3 size size"]:
    """A square cut out of the images, its upper left corner at (row, column)."""
    rows, columns = corner[:, None] + torch.arange(size_px, device=corner.device)
    return image.index_select(2, rows).index_select(3, columns)


def feature_distance(real: list[Tensor], generated: list[Tensor]) -> Float[Tensor, ""]:
    """Mean absolute difference of feature maps, summed over the critic's stages.

    Each channel is divided by its standard deviation over the real images.
    """
    distance = torch.zeros((), device=generated[0].device)
    for real_maps, generated_maps in zip(real, generated, strict=True):
        target = real_maps.detach().float()
        difference = (target - generated_maps.float()).abs().mean((0, 2, 3))
        deviation = target.std((0, 2, 3)) + 1e-3
        distance = distance + (difference / deviation).mean()

    return distance
