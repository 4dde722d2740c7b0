"""Judged S-VAE: pictures that a hand detector reads as it reads photographs. Ours, on the networks of
SRV-VAE.

S-VAE's objective leaves pictures soft, and where the pose of one picture meets the appearance of another
nothing says what should come out.
A trained detector says both. With its features f_l, channels divided by their deviation, its reading d(.),
the reconstruction X of the
picture x with pose p, and a picture Y of the same pose with another appearance, training minimises per
picture
    |x - X|^2 / 2 sigma^2 + w KL(q(z_t | x) || N(0, I)) + lambda_p l_p + lambda_f sum_l |f_l(x) - f_l(X)| +
    lambda_c |p - d(Y)|
The other appearance is that of another picture of the batch, or a draw of N(0, I). Of pictures larger than
the judge's, features are
compared twice: of the whole made as small as the judge knows it, and of a window of the judge's size, at a
random place.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

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
    """Every choice of the judged S-VAE; the networks' defaults are SRV-VAE's, `latent` is always one
    sample."""

    critic: str = "critic-64"
    """The judge: a shipped detector, a .safetensors file or a run folder; it reads 2D joints, and sees
    pictures in its own size."""
    likelihood_sigma: float = 0.08
    """Standard deviation of the pixels, of a [0, 1] picture."""
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
            raise ValueError(
                "a judged S-VAE samples its latent and has 2D poses: use latent='sample' and pose='2d'"
            )
        if self.likelihood_sigma <= 0 or not 0 <= self.prior_share <= 1:
            raise ValueError("likelihood_sigma is positive, prior_share between 0 and 1")


@dataclass(frozen=True)
class PerceptualVaeLosses(Losses):
    """Parts of the objective."""

    image: Float[Tensor, ""]
    rate: Float[Tensor, ""]
    """KL of z_t in nats."""
    pose: Float[Tensor, ""]
    feature: Float[Tensor, ""]
    """Mean difference of the detector's features, in deviations, summed over its stages."""
    consistency: Float[Tensor, ""]
    """Mean distance per axis of joints asked for and joints read, crop units."""


class PerceptualVae(PoseAppearanceVae[PerceptualVaeConfig]):
    """S-VAE with a judge; who builds it for training hands it one (`attach`), in use it needs none.

    Neighbours and deviations of features are those of a rank's own rows, so two ranks do not see quite what
    one would.
    """

    objectives = ("objective",)
    critic: tuple[PerceptualCritic, ...] = ()
    """The judge; in a tuple, so that it is no part of the model, its weights and its files."""

    # ---------------------------------------------------------------- training

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One: everything is trained together."""
        return (Stage("all", trains=("all",)),)

    @property
    def teachers(self) -> tuple[str, ...]:
        """The judge."""
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
        image = batch.require("image")
        count, dims = len(batch), self.config.appearance_dims
        draw, prior = noise.normal(count, dims).to(image.device), noise.normal(count, dims).to(image.device)
        is_prior = noise.uniform(count, 1).to(image.device) < self.config.prior_share
        exact = noise.uniform(count, 1).to(image.device) < self.config.teacher_forcing
        if not self.critic:
            raise ValueError("training needs the critic that is named: attach it first")
        (critic,) = self.critic
        critic.to(image.device)
        room = max(0, self.crop.size_px - critic.crop.size_px)
        corner = (noise.uniform(1, 2)[0].to(image.device) * (room + 1)).long()
        joints, valid = self.joints_of(batch), self.labelled(batch)
        yield Phase(self.objective(image, joints, valid, exact, draw, prior, is_prior, corner), group="all")

    def objective(
        self,
        image: Float[Tensor, "batch 3 height width"],
        joints: Float[Tensor, "batch joint 2"],
        valid: Bool[Tensor, "batch joint"],
        exact: Bool[Tensor, "batch 1"],
        draw: Float[Tensor, "batch appearance"],
        prior: Float[Tensor, "batch appearance"],
        is_prior: Bool[Tensor, "batch 1"],
        corner: Int[Tensor, "2"],
    ) -> PerceptualVaeLosses:
        """The loss of one batch; pure in its arguments, so it can be compiled."""
        config = self.config
        latent, target = self.encode(image), self.standardise(joints)
        met = self._decoder_pose(latent.pose, target.flatten(1), valid, exact).mean
        asked = self._decoder_pose(latent.pose, target.flatten(1), valid, torch.ones_like(exact)).mean
        own = latent.appearance.mean + latent.appearance.std * draw
        other = torch.where(is_prior, prior, own.roll(1, 0))  # the loader shuffles: the neighbour is anybody
        rebuilt, posed = (
            self._from_range(cast(Tensor, self.decode(p, z))) for p, z in ((met, own), (asked, other))
        )
        squared = (rebuilt - image).square().flatten(1).sum(1).mean() / (2 * config.likelihood_sigma**2)
        rate = latent.appearance.kl().mean()
        read = RandomVariable(latent.pose.mean.view_as(target), latent.pose.var_or_zeros().view_as(target))
        pose_term = point_error(target, read, config.pose_variance, valid=valid).mean()
        (critic,) = self.critic
        size = critic.crop.size_px
        seen, seen_rebuilt, seen_posed = (resized(picture, size) for picture in (image, rebuilt, posed))
        feature = feature_distance(critic.maps(seen), critic.maps(seen_rebuilt))
        if image.shape[-1] > size:
            feature = feature + feature_distance(
                *(critic.maps(window(picture, corner, size)) for picture in (image, rebuilt))
            )
        apart = (critic.read(seen_posed).mean - joints).abs() * valid[..., None]
        consistency = apart.sum() / (2 * valid.sum().clamp_min(1))
        total = squared + config.kl_weight * rate + config.pose_weight * pose_term
        total = total + config.feature_weight * feature + config.consistency_weight * consistency
        return PerceptualVaeLosses(
            total=total, image=squared, rate=rate, pose=pose_term, feature=feature, consistency=consistency
        )


def window(
    picture: Float[Tensor, "batch 3 height width"], corner: Int[Tensor, "2"], size_px: int
) -> Float[Tensor, "batch 3 size size"]:
    """A square cut out of the pictures, its upper left corner at (row, column)."""
    rows, columns = corner[:, None] + torch.arange(size_px, device=corner.device)
    return picture.index_select(2, rows).index_select(3, columns)


def feature_distance(real: list[Tensor], made: list[Tensor]) -> Float[Tensor, ""]:
    """Mean absolute difference of feature maps, each channel in deviations over the real pictures, summed
    over the stages."""
    distance = torch.zeros((), device=made[0].device)
    for wanted, found in zip(real, made, strict=True):
        wanted = wanted.detach().float()
        distance = (
            distance
            + ((wanted - found.float()).abs().mean((0, 2, 3)) / (wanted.std((0, 2, 3)) + 1e-3)).mean()
        )
    return distance
