"""dVAE with hand and ground apart (ours, after Yang and Yao, CVPR 2019): z = [z_pose, z_hand, z_ground].

Algorithm 1 with a content in two factors: the appearance of the hand, and the ground, each encoded from the
tag image without the other. The image is composed of two layers,
    X = m hand(z_pose, z_hand) + (1 - m) ground(z_ground),   with the hand's cover m from (z_pose, z_hand),
so that no code reaches the other's pixels. With R a sum of squared errors (of joints in mm):
    disentangle   lx [R(x | z) - log p(mask | z_pose, z_hand)]
                  + ly [R(y1 | z_pose) + R(hand | z_hand) + R(ground | z_ground)]
                  + b KL(q(z | y1, hand, ground) || N(0, I))
    embed         the same terms with z from q(z | x), all decoders fixed
Details and results: docs/papers/dvae.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from handvae.data.crop import Crop
from handvae.data.hands import DataSpec, Hands
from handvae.hand import SEGMENTATION_CLASSES
from handvae.losses import masked_mean
from handvae.nets.dcgan import DcganDecoder
from handvae.noise import Noise
from handvae.rv import RandomVariable
from handvae.systems.dvae import (
    DvaeLosses,
    centred_image,
    image_encoder,
    joint_decoder,
    joint_posterior,
    sum_of_squares,
    vector_encoder,
)
from handvae.systems.dvae_generator import DvaeGenerator, DvaeImageConfig
from handvae.systems.system import Phase

BACKGROUND = SEGMENTATION_CLASSES.index("background")


@dataclass(frozen=True)
class LayerView:
    """The part of the tag image that one layer is encoded from and decoded to."""

    image: Float[Tensor, "batch 3 height width"]
    """Centred on 0, and 0 where the other layer is."""
    inside: Float[Tensor, "batch 1 height width"]
    """1 where this layer is: only there the decoded image counts, so z need not hold the tag's outline."""


@dataclass(frozen=True)
class Composition:
    """A decoded image and its layers."""

    image: Float[Tensor, "batch 3 height width"]
    """Centred on 0."""
    cover_logits: Float[Tensor, "batch 1 height width"]
    """Log-odds that the hand covers the ground."""


@dataclass(frozen=True)
class DvaeLayersLosses(DvaeLosses):
    """Terms of the objective."""

    cover: Float[Tensor, ""]
    """Cross-entropy of the hand's mask, in nats for each image."""


class SeparateEncoders(nn.Module):
    """Two encoders of one image, of z_pose and of z_content.

    A shared trunk learns the pose alone for long: its error, in mm^2, outweighs the image's a hundred times.
    """

    def __init__(self, pose: nn.Module, content: nn.Module) -> None:
        super().__init__()
        self.encoders = nn.ModuleList([pose, content])

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> RandomVariable:
        """q(z | x)."""
        return joint_posterior([encode(image) for encode in self.encoders])


class DvaeLayers(DvaeGenerator):
    """Image synthesis with two layers."""

    content_layers = ("hand", "ground")
    sheet_rows = f"{DvaeGenerator.sheet_rows}, another's hand, another's ground"

    def __init__(self, config: DvaeImageConfig, spec: DataSpec, crop: Crop) -> None:
        super().__init__(config, spec, crop, labels=("joints_3d", "content", "segmentation"))
        self.fields = ("image", "segmentation", "tag", "tag_segmentation")
        size, part = crop.size_px, config.factor_dims

        def image_decoder(dims: int, channels: int) -> DcganDecoder:
            return DcganDecoder(dims, channels, size, width=config.decoder_width, norm=config.norm)

        self.pose_encoder = vector_encoder(config, spec.joints * 3)
        self.hand_encoder = image_encoder(config, size, part)
        self.ground_encoder = image_encoder(config, size, part)
        self.pose_decoder = joint_decoder(config, part, spec.joints)
        self.hand_decoder = image_decoder(part, 3)
        self.ground_decoder = image_decoder(part, 3)
        self.image_decoder = image_decoder(2 * part, 4)  # the hand's colours and its cover
        self.image_encoder = SeparateEncoders(
            image_encoder(config, size, part), image_encoder(config, size, 2 * part)
        )

    # ---------------------------------------------------------------- training

    @property
    def groups(self) -> dict[str, tuple[nn.Module, ...]]:
        """The factors' encoders with all decoders, and the image encoder."""
        encoders = (self.pose_encoder, self.hand_encoder, self.ground_encoder)
        decoders = (self.pose_decoder, self.image_decoder, self.hand_decoder, self.ground_decoder)
        return {"factors": (*encoders, *decoders), "image": (self.image_encoder,)}

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """One optimiser step of either step of algorithm 1."""
        image = batch.require("image")
        draw = noise.normal(len(batch), 3 * self.config.factor_dims).to(image.device)

        if stage == "embed":
            posterior = self.image_encoder(image - 0.5)
            z = posterior.sample(noise=draw)
            yield Phase(self.objective(batch, posterior, z, self.beta, detach_content=True), "image")
            return

        hand, ground = self.layer_views(batch)
        z_pose = self.pose_encoder(self.joints_of(batch))
        z_hand = self.hand_encoder(hand.image)
        z_ground = self.ground_encoder(ground.image)
        posterior = joint_posterior([z_pose, z_hand, z_ground])
        z = posterior.sample(noise=draw)
        yield Phase(self.objective(batch, posterior, z, self.beta_at(noise.step)), "factors")

    def layer_views(self, hands: Hands) -> tuple[LayerView, LayerView]:
        """The tag image's hand and its ground; the forearm's skin or sleeve belongs to the hand."""
        tag = hands.require("tag")
        hand = (hands.require("tag_segmentation") != BACKGROUND).to(tag)
        ground = 1 - hand
        return LayerView((tag - 0.5) * hand, hand), LayerView((tag - 0.5) * ground, ground)

    def objective(
        self,
        hands: Hands,
        posterior: RandomVariable,
        z: Float[Tensor, "batch latent"],
        beta: float,
        *,
        detach_content: bool = False,
    ) -> DvaeLayersLosses:
        """The objective of both steps, by where z comes from; means over the hands whose poses are known.

        With `detach_content` the whole image teaches z_pose alone, and each layer's code learns from its own
        decoder. Else, while poses are read badly, the codes would make up for an outline in the wrong place:
        washed out, and the appearance of no hand.
        """
        config = self.config
        labelled = self.labelled(hands).all(1)
        bone = self.bones_mm(hands, labelled)
        z_pose, z_hand, z_ground = z.split(config.factor_dims, 1)

        # The composed image, and where its hand is.
        z_image = torch.cat([z_pose, z_hand.detach(), z_ground.detach()], 1) if detach_content else z
        composed = self.compose(z_image)
        x = masked_mean(sum_of_squares(composed.image, hands.require("image") - 0.5), labelled)
        hand_mask = (hands.require("segmentation") != BACKGROUND).to(composed.cover_logits)
        entropy = F.binary_cross_entropy_with_logits(composed.cover_logits, hand_mask, reduction="none")
        cover = masked_mean(entropy.flatten(1).sum(1), labelled)

        # The factors, each from its own code.
        y1 = masked_mean(sum_of_squares(self.pose_decoder(z_pose), self.joints_of(hands), bone), labelled)
        hand, ground = self.layer_views(hands)
        decoded_hand = centred_image(self.hand_decoder(z_hand)) * hand.inside
        decoded_ground = centred_image(self.ground_decoder(z_ground)) * ground.inside
        y_hand = masked_mean(sum_of_squares(decoded_hand, hand.image), labelled)
        y_ground = masked_mean(sum_of_squares(decoded_ground, ground.image), labelled)
        y2 = y_hand + y_ground

        rate = masked_mean(posterior.kl(), labelled)
        total = (
            config.x_weight * x
            + config.factor_weight * (y1 + y2)
            + beta * rate
            + config.x_weight * cover
        )  # fmt: skip

        return DvaeLayersLosses(total=total, x=x, y1=y1, y2=y2, rate=rate, cover=cover)

    # ---------------------------------------------------------------- networks

    def compose(self, z: Float[Tensor, "batch latent"]) -> Composition:
        """The hand's layer over the ground's: m hand + (1 - m) ground."""
        dims = self.config.factor_dims
        z_pose_and_hand, z_ground = z.split((2 * dims, dims), 1)

        colours, cover_logits = self.image_decoder(z_pose_and_hand).float().split((3, 1), 1)
        ground = centred_image(self.ground_decoder(z_ground))
        image = torch.lerp(ground, centred_image(colours), cover_logits.sigmoid())
        return Composition(image, cover_logits)

    def decode_pose(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch joint 3"]:
        """Joints in bone units, from z_pose alone."""
        return self.pose_decoder(z[:, : self.config.factor_dims])

    def decode_image(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch 3 height width"]:
        """Images, centred on 0."""
        return self.compose(z).image

    def content_posterior(self, image: Float[Tensor, "batch 3 height width"]) -> RandomVariable:
        """q(z_hand, z_ground) of images in [0, 1], by the embedding: a photo comes without segmentation."""
        return self.image_encoder(image - 0.5)[:, self.config.factor_dims :]
