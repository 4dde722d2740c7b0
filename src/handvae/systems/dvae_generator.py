"""dVAE as a generator: how a trained one makes images of a pose and a content.

Shared by the paper's image synthesis (`dvae_image`) and by our variant with hand and ground apart
(`dvae_layers`). The latent is z = [z_pose, z_content]; the content is the appearance of other systems.
"""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handvae.data.crop import Crop
from handvae.data.hands import DataSpec, Hands
from handvae.nets.aggregate_posterior import aggregate_moments, correlated
from handvae.noise import Noise
from handvae.rv import RandomVariable
from handvae.systems.dvae import Dvae, DvaeConfig, require_labels
from handvae.systems.sheet import image_grid
from handvae.systems.system import Generator, Input, Prediction, predict_by_samples

PUBLISHED_PX = 256
"""Side of the images for which the paper gives beta."""
REMEDY = (
    "use rendered hands; --data.people-as-contents takes people for contents, "
    "and content='residual' needs poses alone"
)
"""For data that lack a label."""


@dataclass(frozen=True)
class DvaeImageConfig(DvaeConfig):
    """Choices of image synthesis."""

    content: Literal["tag", "residual", "layers"] = "tag"
    """Where the content comes from: another image of the same content (algorithm 1); the image itself, as z_u
    (algorithm 2); or the other image's hand and its ground, each on its own (`layers`, ours)."""
    beta: float = 100.0
    """Weight of the KL at 256 px; at H px it is beta (H / 256)^2: the squared error grows with the pixels."""
    beta_warmup_steps: int = 0
    """First steps over which beta rises from 0."""
    noise_passes: int = 1
    """Algorithm 2's passes with the content of other hands, for each batch."""
    decoder_width: int = 512
    """Channels of the image decoders' first map."""


class DvaeGenerator(Dvae, Generator):
    """Images from a 3D pose and a content; a subclass adds its networks and how they are trained.

    Args:
        config: choices of the system.
        spec: what the data offer.
        crop: how hands are cut from images.
        labels: what every training hand must have.

    Raises:
        ValueError: the data lack a label.
    """

    config: DvaeImageConfig
    content_layers: tuple[str, ...] = ("content",)
    """Names of the parts of z_content; each may be exchanged on its own."""
    pose_encoder: nn.Module
    pose_decoder: nn.Module
    image_encoder: nn.Module
    appearance_mean: Tensor
    appearance_covariance: Tensor
    sheet_rows = (
        "real pictures, embedded and decoded, made from the true pose and the picture's content, "
        "random content, another's content"
    )

    def __init__(self, config: DvaeImageConfig, spec: DataSpec, crop: Crop, *, labels: Sequence[str]) -> None:
        super().__init__()
        require_labels(spec, labels, REMEDY)
        self.config = config
        self.spec = spec
        self.crop = crop
        self.pose = "3d"
        self.root = config.root

        # Moments of the aggregate posterior of z_content over the training images.
        self.register_buffer("appearance_mean", torch.zeros(self.content_dims))
        self.register_buffer("appearance_covariance", torch.eye(self.content_dims))

    @property
    def content_dims(self) -> int:
        """Size of z_content."""
        return self.config.factor_dims * len(self.content_layers)

    @property
    def beta(self) -> float:
        """Weight of the KL at this size of image."""
        return self.config.beta * (self.crop.size_px / PUBLISHED_PX) ** 2

    def beta_at(self, step: int) -> float:
        """Weight of the KL at a step of the warm-up, and after it."""
        return self.beta * min(1.0, (step + 1) / max(1, self.config.beta_warmup_steps))

    # ---------------------------------------------------------------- what a subclass adds

    @abstractmethod
    def decode_pose(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch joint 3"]:
        """Joints in bone units."""

    @abstractmethod
    def decode_image(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch 3 height width"]:
        """Images, centred on 0."""

    @abstractmethod
    def content_posterior(self, image: Float[Tensor, "batch 3 height width"]) -> RandomVariable:
        """q(z_content) of images in [0, 1]."""

    # ---------------------------------------------------------------- use

    @torch.no_grad()
    def predict_uncalibrated(self, hands: Hands, inputs: Sequence[Input] = ()) -> Prediction:
        """Predict 3D poses from images, by the embedding."""
        image = hands.require("image")
        return predict_by_samples(
            self.image_encoder(image - 0.5),
            lambda z: self.decode_pose(z).float(),
            self.config.posterior_samples,
        )

    @torch.no_grad()
    def appearance_of(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch appearance"]:
        """The content of images in [0, 1]: the posterior's mean."""
        return self.content_posterior(image).mean

    def random_appearance(
        self, count: int, noise: Noise, source: Literal["prior", "aggregate"] = "prior"
    ) -> Float[Tensor, "count appearance"]:
        """Contents drawn from N(0, I), or from the Gaussian fitted to the training images' contents."""
        draws = noise.normal(count, self.content_dims).to(self.appearance_mean.device)
        if source == "prior":
            return draws
        return correlated(draws, self.appearance_mean, self.appearance_covariance)

    def exchanged(
        self,
        appearance: Float[Tensor, "batch appearance"],
        layer: str,
        other: Float[Tensor, "other appearance"],
    ) -> Float[Tensor, "batch appearance"]:
        """Contents with one layer, `hand` or `ground`, taken from other contents (or from a single one).

        Raises:
            ValueError: the model does not hold that layer apart.
        """
        if layer not in self.content_layers:
            raise ValueError(f"its content has no {layer} by itself; train with content='layers'")

        dims = self.config.factor_dims
        own_codes = appearance.split(dims, 1)
        other_codes = other.expand(len(appearance), -1).split(dims, 1)
        codes = [
            other_code if name == layer else own_code
            for name, own_code, other_code in zip(self.content_layers, own_codes, other_codes, strict=True)
        ]

        return torch.cat(codes, 1)

    @torch.no_grad()
    def synthesize(
        self, joints: Float[Tensor, "batch joint 3"], appearance: Float[Tensor, "batch appearance"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Images in [0, 1] of 3D poses in bone units with the given contents."""
        return self.image_of(torch.cat([self.pose_encoder(joints).mean, appearance], 1))

    @torch.no_grad()
    def image_of(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch 3 height width"]:
        """Images in [0, 1] of latents [z_pose, z_content]."""
        return self.decode_image(z) + 0.5

    @torch.no_grad()
    def summarise(self, batches: Iterable[Hands]) -> dict[str, float]:
        """Measure the contents of training images, and keep their moments with the weights."""
        posteriors = [self.content_posterior(batch.require("image")) for batch in batches]
        means = torch.cat([posterior.mean for posterior in posteriors])
        variances = torch.cat([posterior.var_or_zeros() for posterior in posteriors])
        moments = aggregate_moments(means, variances)

        self.appearance_mean.copy_(moments.mean)
        self.appearance_covariance.copy_(moments.covariance)

        return {
            "appearance_spread_mean": float(moments.spread_of_means.mean()),
            "posterior_variance_mean": float(moments.posterior_variance.mean()),
        }

    @torch.no_grad()
    def sample_sheet(self, batch: Hands, noise: Noise) -> Float[Tensor, "3 height width"]:
        """See `sheet_rows`; a column for each pose."""
        image = batch.require("image")
        joints = self.joints_of(batch)
        own = self.appearance_of(image)
        other = own.roll(1, 0)

        appearances = [own, self.random_appearance(len(own), noise, "aggregate"), other]
        if len(self.content_layers) > 1:
            appearances += [self.exchanged(own, layer, other) for layer in self.content_layers]

        rows = [image, self.image_of(self.image_encoder(image - 0.5).mean)]
        rows += [self.synthesize(joints, appearance) for appearance in appearances]
        return image_grid(rows)
