"""dVAE for image synthesis (Yang and Yao, CVPR 2019): an image from a 3D pose and a content.

x is the image and y1 the 3D pose, relative to its root. The content is
    y2     another image of the same content, the tag image            algorithm 1, `content="tag"`
    z_u    what the image itself holds beside its pose                 algorithm 2, `content="residual"`
With R a sum of squared errors (of joints in mm), training minimises
    disentangle   lx R(x | z) + ly [R(y1 | z_y1) + R(y2 | z_y2)] + b KL(q(z | y1, y2) || N(0, I))    eq. (2)
           or     lx R(x | z) + ly R(y1 | z) + b KL(q(z | y1, x) || N(0, I))                         eq. (6)
    embed         the same terms with z from q(z | x), all decoders fixed                            eq. (4)
Our variant with hand and ground apart, `content="layers"`, is `dvae_layers`; the use of trained models is
`dvae_generator`. Open details and what we chose: docs/papers/dvae.md.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handvae.data.crop import Crop
from handvae.data.hands import DataSpec, Hands
from handvae.losses import masked_mean
from handvae.nets.dcgan import DcganDecoder
from handvae.noise import Noise, derangement
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


class DvaeImage(DvaeGenerator):
    """Image synthesis by algorithm 1 or 2."""

    def __init__(self, config: DvaeImageConfig, spec: DataSpec, crop: Crop) -> None:
        if config.content == "layers":
            raise ValueError("content='layers' is a system of its own; build it with DvaeLayers")

        tagged = config.content == "tag"
        labels = ("joints_3d", "content") if tagged else ("joints_3d",)
        super().__init__(config, spec, crop, labels=labels)
        self.fields = ("image", "tag") if tagged else ("image",)

        size, width, norm = crop.size_px, config.decoder_width, config.norm
        part, whole = config.factor_dims, 2 * config.factor_dims

        self.pose_encoder = vector_encoder(config, spec.joints * 3)  # phi_y1
        self.content_encoder = image_encoder(config, size, part)  # phi_y2, or phi_u
        self.pose_decoder = joint_decoder(config, part if tagged else whole, spec.joints)  # theta_y1
        self.content_decoder: nn.Module | None = None
        if tagged:
            self.content_decoder = DcganDecoder(part, 3, size, width=width, norm=norm)  # theta_y2

        self.image_decoder = DcganDecoder(whole, 3, size, width=width, norm=norm)  # theta_x
        self.image_encoder = image_encoder(config, size, whole)  # phi_x

    # ---------------------------------------------------------------- training

    @property
    def groups(self) -> dict[str, tuple[nn.Module, ...]]:
        """The factors' encoders with all decoders, and the image encoder."""
        factors = (self.pose_encoder, self.content_encoder, self.pose_decoder, self.image_decoder)
        if self.content_decoder is not None:
            factors = (*factors, self.content_decoder)
        return {"factors": factors, "image": (self.image_encoder,)}

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """One optimiser step; in algorithm 2 the passes with other hands' contents follow, a step each."""
        image = batch.require("image")
        draw = noise.normal(len(batch), 2 * self.config.factor_dims).to(image.device)

        if stage == "embed":
            # Algorithm 1, lines 9 to 12; algorithm 2, lines 15 to 18.
            posterior = self.image_encoder(image - 0.5)
            losses = self.objective(batch, posterior, posterior.sample(noise=draw), self.beta)
            yield Phase(losses, "image")
            return

        # Algorithms 1 and 2, lines 3 to 6.
        content_image = batch.require("tag") if self.content_decoder is not None else image
        z_y1 = self.pose_encoder(self.joints_of(batch))
        z_content = self.content_encoder(content_image - 0.5)
        posterior = joint_posterior([z_y1, z_content])
        losses = self.objective(batch, posterior, posterior.sample(noise=draw), self.beta_at(noise.step))
        yield Phase(losses, "factors")

        # Algorithm 2, lines 7 to 12.
        if self.config.content == "residual":
            for _ in range(self.config.noise_passes):
                losses = self.noise_objective(batch, z_content.detach(), noise)
                yield Phase(losses, "factors", name="noise")

    def objective(
        self, hands: Hands, posterior: RandomVariable, z: Float[Tensor, "batch latent"], beta: float
    ) -> DvaeLosses:
        """Eq. (2), (4) or (6), by where z comes from; means over the hands whose poses are known."""
        config = self.config
        labelled = self.labelled(hands).all(1)
        bone = self.bones_mm(hands, labelled)
        image, joints = hands.require("image") - 0.5, self.joints_of(hands)

        x = masked_mean(sum_of_squares(self.decode_image(z), image), labelled)
        y1 = masked_mean(sum_of_squares(self.decode_pose(z), joints, bone), labelled)
        y2 = torch.zeros_like(x)

        if self.content_decoder is not None:
            tag = hands.require("tag") - 0.5
            z_y2 = z[:, config.factor_dims :]
            y2 = masked_mean(sum_of_squares(centred_image(self.content_decoder(z_y2)), tag), labelled)

        rate = masked_mean(posterior.kl(), labelled)

        total = (
            config.x_weight * x  # eq. (2), (4), (6), first term
            + config.factor_weight * (y1 + y2)  # eq. (2), (4), second and third term; eq. (6), second term
            + beta * rate  # last term
        )
        return DvaeLosses(total=total, x=x, y1=y1, y2=y2, rate=rate)

    def noise_objective(self, hands: Hands, z_u: RandomVariable, noise: Noise) -> DvaeLosses:
        """Algorithm 2, lines 8 to 11: y1 decoded beside another hand's z_u, so that it cannot rely on z_u.

        The paper draws the noise from q(z_u | x) of the same image. Only with another image's, which we take,
        does the pose have to come from z_y1 alone.
        """
        labelled = self.labelled(hands).all(1)
        joints = self.joints_of(hands)
        others = derangement(len(hands), noise).to(z_u.device)
        other_z_u = RandomVariable(z_u.mean[others], z_u.var_or_zeros()[others])

        # One draw for z_y1 and z_u together.
        draw = noise.normal(len(hands), 2 * self.config.factor_dims).to(z_u.device)
        pose_draw, content_draw = draw.split(self.config.factor_dims, 1)
        z_y1 = self.pose_encoder(joints).sample(noise=pose_draw)
        z_noise = other_z_u.sample(noise=content_draw)

        prediction = self.pose_decoder(torch.cat([z_y1, z_noise], 1))
        bone = self.bones_mm(hands, labelled)
        y1 = masked_mean(sum_of_squares(prediction, joints, bone), labelled)
        zero = torch.zeros_like(y1)

        return DvaeLosses(total=self.config.factor_weight * y1, x=zero, y1=y1, y2=zero, rate=zero)

    # ---------------------------------------------------------------- networks

    def decode_pose(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch joint 3"]:
        """Joints in bone units, from z_y1 alone (algorithm 1) or from all of z (algorithm 2)."""
        if self.config.content == "tag":
            return self.pose_decoder(z[:, : self.config.factor_dims])
        return self.pose_decoder(z)

    def decode_image(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch 3 height width"]:
        """Images, centred on 0."""
        return centred_image(self.image_decoder(z))

    def content_posterior(self, image: Float[Tensor, "batch 3 height width"]) -> RandomVariable:
        """q(z_content) of images in [0, 1], each taken as its own tag."""
        return self.content_encoder(image - 0.5)
