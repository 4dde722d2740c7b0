"""dVAE that makes pictures (Yang & Yao, CVPR 2019, image synthesis): a 3D pose and a content, each in its own
part of z.

x is a picture, y1 the 3D pose. The content is y2, by a tag image (algorithm 1), or z_u (algorithm 2, eq. 6),
or, ours, two factors: the
hand's looks and the ground, each by the tag image without the other. The picture is then laid in two layers,
m hand + (1 - m) ground, with
the hand's colours and its cover m from (z_pose, z_hand), the ground from z_ground alone:
    disentangle    lx [R(x | z) - log p(mask | z_pose, z_hand)] + ly [R(y1 | z_pose) + R(hand | z_hand) + R(ground | z_ground)]
                   + b KL(q(z | y1, hand, ground) || N(0, I))
Stages, other objectives and what both tasks share: `dvae`. Open details and what we chose:
docs/papers/dvae.md.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from handvae.data.crop import Crop, PixelField
from handvae.data.hands import DataSpec, Hands
from handvae.hand import SEGMENTATION_CLASSES
from handvae.nets.dcgan import DcganDecoder
from handvae.noise import Noise, derangement
from handvae.rv import RandomVariable
from handvae.systems.dvae import (
    Dvae,
    DvaeConfig,
    DvaeLosses,
    joined,
    joint_decoder,
    mean_over,
    need_labels,
    picture_encoder,
    squared,
    vector_encoder,
)
from handvae.systems.system import Generator, Input, Phase, Prediction, predict_by_samples

PUBLISHED_PX = 256
"""Side of the pictures for which the paper gives beta."""
BACKGROUND = SEGMENTATION_CLASSES.index("background")
REMEDY = "use rendered hands; --data.people-as-contents takes people for contents, and content='residual' needs poses alone"
"""For data that lack a label."""


@dataclass(frozen=True)
class DvaeImageConfig(DvaeConfig):
    """Choices of picture synthesis."""

    content: Literal["tag", "residual", "layers"] = "tag"
    """Where the content comes from: another picture of the same content (algorithm 1); the picture itself, as
    z_u (algorithm 2); or the
    other picture's hand and its ground, each for itself (`parts`, ours)."""
    beta: float = 100.0
    """Weight of the KL at 256 px; at H px it is beta (H / 256)^2, as the squared error grows with the
    pixels."""
    beta_warmup_steps: int = 0
    """First steps over which beta rises from 0."""
    noise_passes: int = 1
    """Algorithm 2's passes with foreign noise for each batch."""
    decoder_width: int = 512
    """Channels of the picture decoders' first map."""


@dataclass(frozen=True)
class ContentMode:
    """A way of coming by the content."""

    layers: tuple[str, ...]
    """Names of the parts of z behind the pose's; each has an encoder."""
    fields: tuple[PixelField, ...]
    """Pictures that training reads."""
    labels: tuple[str, ...]
    """What every training hand must have."""
    decoded: bool
    """Whether each part has a decoder of its own, and the pose's reads z_pose alone (algorithm 1); else it
    reads all of z (algorithm 2)."""


CONTENT_MODES = {
    "tag": ContentMode(("content",), ("image", "tag"), ("joints_3d", "content"), decoded=True),
    "residual": ContentMode(("content",), ("image",), ("joints_3d",), decoded=False),
    "layers": ContentMode(
        ("hand", "ground"),
        ("image", "segmentation", "tag", "tag_segmentation"),
        ("joints_3d", "content", "segmentation"),
        decoded=True,
    ),
}


@dataclass(frozen=True)
class ContentView:
    """What a part of the content is read from and decoded to."""

    picture: Float[Tensor, "batch 3 height width"]
    """Centred on 0, and 0 where it is blanked."""
    shown: Float[Tensor, "batch 1 height width"]
    """1 where it is not blanked: only there is the decoded picture asked for anything, so z need not tell the
    outline of a tag's hand."""


@dataclass(frozen=True)
class DvaeLayersLosses(DvaeLosses):
    """Parts of the objective where the picture is laid in layers."""

    cover: Float[Tensor, ""]
    """Cross-entropy of where the hand is, in nats a picture."""


class SideBySide(nn.Module):
    """Encoders of one picture, each of parts of z.

    A trunk that reads pose and looks together learns the pose alone for long: its error, in mm^2, outweighs
    the pictures' a hundred times.
    """

    def __init__(self, *encoders: nn.Module) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)

    def forward(self, picture: Float[Tensor, "batch 3 height width"]) -> RandomVariable:
        """All parts, one behind the other."""
        return joined([encode(picture) for encode in self.encoders])


class DvaeImage(Dvae, Generator):
    """Pictures from a 3D pose and a content (algorithms 1 and 2, and ours)."""

    config: DvaeImageConfig
    appearance_mean: Tensor
    appearance_covariance: Tensor
    sheet_rows = "real pictures, embedded and decoded, made from the true pose and the own content, random content, another's content"

    def __init__(self, config: DvaeImageConfig, spec: DataSpec, crop: Crop) -> None:
        super().__init__()
        self.config, self.spec, self.crop, self.pose, self.root = config, spec, crop, "3d", config.root
        self.mode = CONTENT_MODES[config.content]
        need_labels(spec, self.mode.labels, REMEDY)
        self.fields = self.mode.fields
        size, part, content = crop.size_px, config.factor_dims, config.factor_dims * len(self.mode.layers)
        self.pose_encoder = vector_encoder(config, spec.joints * 3)  # phi_y1
        for name in self.mode.layers:
            self.add_module(f"{name}_encoder", picture_encoder(config, size, part))  # phi_y2, or phi_u
        self.pose_decoder = joint_decoder(
            config, part if self.mode.decoded else part + content, spec.joints
        )  # theta_y1
        for name in self.mode.layers if self.mode.decoded else ():
            self.add_module(
                f"{name}_decoder", DcganDecoder(part, 3, size, width=config.decoder_width, norm=config.norm)
            )  # theta_y2
        layered = (
            config.content == "layers"
        )  # the decoder is of the hand's layer alone: its colours, and where it covers the ground
        self.image_decoder = DcganDecoder(
            2 * part, 4 if layered else 3, size, width=config.decoder_width, norm=config.norm
        )  # theta_x
        if layered:
            self.image_encoder = SideBySide(
                picture_encoder(config, size, part), picture_encoder(config, size, content)
            )  # phi_x
        else:
            self.image_encoder = picture_encoder(config, size, part + content)  # phi_x
        self.register_buffer("appearance_mean", torch.zeros(content))
        self.register_buffer("appearance_covariance", torch.eye(content))
        if len(self.mode.layers) > 1:
            self.sheet_rows += "".join(f", another's {name}" for name in self.mode.layers)

    # ---------------------------------------------------------------- training

    @property
    def groups(self) -> dict[str, tuple[nn.Module, ...]]:
        """The factors' encoders with all decoders, and the picture's encoder."""
        factors = (
            self.pose_encoder,
            *self.content_encoders,
            self.pose_decoder,
            self.image_decoder,
            *self.content_decoders,
        )
        return {"factors": factors, "image": (self.image_encoder,)}

    @property
    def content_encoders(self) -> tuple[nn.Module, ...]:
        """One for each part of the content."""
        return tuple(self.get_submodule(f"{name}_encoder") for name in self.mode.layers)

    @property
    def content_decoders(self) -> tuple[nn.Module, ...]:
        """One for each part of the content, where it is decoded by itself."""
        return (
            tuple(self.get_submodule(f"{name}_decoder") for name in self.mode.layers)
            if self.mode.decoded
            else ()
        )

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """Disentangle: eq. (2) or (6), then algorithm 2's passes with foreign noise; embed: eq. (4)."""
        image = batch.require("image")
        draw = noise.normal(len(batch), self.config.factor_dims * (1 + len(self.mode.layers))).to(
            image.device
        )
        if stage == "embed":
            posterior = self.image_encoder(image - 0.5)
            layered = self.config.content == "layers"
            yield Phase(
                self.objective(
                    batch, posterior, posterior.sample(noise=draw), self.beta, detach_content=layered
                ),
                "image",
            )
            return
        of_pose = self.pose_encoder(self.joints_of(batch))
        of_content = [
            encode(view.picture)
            for encode, view in zip(self.content_encoders, self.views(batch), strict=True)
        ]
        posterior = joined([of_pose, *of_content])
        warm = min(1.0, (noise.step + 1) / max(1, self.config.beta_warmup_steps))
        yield Phase(
            self.objective(batch, posterior, posterior.sample(noise=draw), self.beta * warm), "factors"
        )
        if self.config.content == "residual":
            for _ in range(self.config.noise_passes):
                yield Phase(
                    self.with_foreign_noise(batch, of_content[0].detach(), noise), "factors", name="noise"
                )

    def views(self, hands: Hands) -> tuple[ContentView, ...]:
        """What each part of the content is read from; the hand is shown with its forearm, whose skin or
        sleeve is a look of it."""
        source = hands.require("image" if self.config.content == "residual" else "tag")
        if self.config.content != "layers":
            return (ContentView(source - 0.5, torch.ones_like(source[:, :1])),)
        seen = hands.require("tag_segmentation")
        hand = (seen != BACKGROUND).to(source)
        return tuple(ContentView((source - 0.5) * shown, shown) for shown in (hand, 1 - hand))

    def objective(
        self,
        hands: Hands,
        posterior: RandomVariable,
        z: Float[Tensor, "batch latent"],
        beta: float,
        *,
        detach_content: bool = False,
    ) -> DvaeLosses:
        """Eq. (2), (4) or (6): all that is decoded from z, and the KL; over hands whose poses are known.

        `detach_content`: the whole picture teaches the pose's part alone, the looks learn from their own
        decoders. While poses are read badly,
        looks that the whole picture teaches would make up for an outline in the wrong place: washed out, and
        no looks of any hand.
        """
        config, (image,) = self.config, hands.require_all("image")
        whole = self.labelled(hands).all(1)
        bone = self.bones_mm(hands, whole)
        of_pose, *of_content = self.split(z)
        part = self.config.factor_dims
        picture, cover = self.layers(
            torch.cat([z[:, :part], z[:, part:].detach()], 1) if detach_content else z
        )
        x = mean_over(squared(picture, image - 0.5), whole)
        y1 = mean_over(squared(self.pose_decoder(of_pose), self.joints_of(hands), bone), whole)
        y2 = torch.zeros_like(x)
        if self.mode.decoded:
            for decode, code, view in zip(self.content_decoders, of_content, self.views(hands), strict=True):
                y2 = y2 + mean_over(squared(self._picture(decode, code) * view.shown, view.picture), whole)
        rate = mean_over(posterior.kl(), whole)
        total = config.x_weight * x + config.factor_weight * (y1 + y2) + beta * rate
        if cover is None:
            return DvaeLosses(total, x, y1, y2, rate)
        hand = (hands.require("segmentation") != BACKGROUND).to(cover)
        covered = mean_over(
            F.binary_cross_entropy_with_logits(cover, hand, reduction="none").flatten(1).sum(1), whole
        )
        return DvaeLayersLosses(total + config.x_weight * covered, x, y1, y2, rate, covered)

    def layers(
        self, z: Float[Tensor, "batch latent"]
    ) -> tuple[Float[Tensor, "batch 3 height width"], Tensor | None]:
        """A whole code's picture, centred on 0; where it is laid in layers, also the logits of where the hand
        covers the ground."""
        if self.config.content != "layers":
            return self._picture(self.image_decoder, z), None
        of_hand, of_ground = z.split((2 * self.config.factor_dims, self.config.factor_dims), 1)
        colours, cover = self.image_decoder(of_hand).float().split((3, 1), 1)
        (_, ground_decoder) = self.content_decoders
        return torch.lerp(
            self._picture(ground_decoder, of_ground), 0.5 * torch.tanh(colours), cover.sigmoid()
        ), cover

    def with_foreign_noise(self, hands: Hands, of_content: RandomVariable, noise: Noise) -> DvaeLosses:
        """Algorithm 2, lines 7 to 11: the pose decoded beside another sample's z_u, so that it cannot rely on
        its own."""
        others = derangement(len(hands), noise).to(of_content.device)
        u = RandomVariable(of_content.mean[others], of_content.var_or_zeros()[others])
        draw = (
            noise.normal(len(hands), 2 * self.config.factor_dims)
            .to(u.device)
            .split(self.config.factor_dims, 1)
        )
        pose = self.pose_encoder(self.joints_of(hands)).sample(noise=draw[0])
        whole = self.labelled(hands).all(1)
        decoded = self.pose_decoder(torch.cat([pose, u.sample(noise=draw[1])], 1))
        y1 = mean_over(squared(decoded, self.joints_of(hands), self.bones_mm(hands, whole)), whole)
        nothing = torch.zeros_like(y1)
        return DvaeLosses(self.config.factor_weight * y1, nothing, y1, nothing, nothing)

    @property
    def beta(self) -> float:
        """Weight of the KL at this size of picture."""
        return self.config.beta * (self.crop.size_px / PUBLISHED_PX) ** 2

    def split(self, z: Float[Tensor, "batch latent"]) -> tuple[Tensor, ...]:
        """What the pose decoder reads (z_pose alone, in algorithm 2 all of z), and each part of the
        content."""
        pose, *content = z.split(self.config.factor_dims, 1)
        return (pose if self.mode.decoded else z, *content)

    def _picture(self, decoder: nn.Module, z: Tensor) -> Tensor:
        return 0.5 * torch.tanh(decoder(z).float())

    # ---------------------------------------------------------------- use

    @torch.no_grad()
    def predict_uncalibrated(self, hands: Hands, inputs: Sequence[Input] = ()) -> Prediction:
        """Read 3D poses from pictures, by the embedding."""
        image = hands.require("image")
        return predict_by_samples(
            self.image_encoder(image - 0.5),
            lambda z: self.pose_decoder(self.split(z)[0]).float(),
            self.config.posterior_samples,
        )

    @torch.no_grad()
    def appearance_of(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch appearance"]:
        """The content of pictures, each taken as its own tag; of hand and ground apart, one behind the other,
        by the embedding."""
        return self._content_of(image).mean

    def _content_of(self, image: Tensor) -> RandomVariable:
        if self.config.content == "layers":  # nobody tells which pixels of a photo are its hand
            return self.image_encoder(image - 0.5)[:, self.config.factor_dims :]
        return self.content_encoders[0](image - 0.5)

    def exchanged(
        self,
        appearance: Float[Tensor, "batch appearance"],
        part: str,
        other: Float[Tensor, "other appearance"],
    ) -> Float[Tensor, "batch appearance"]:
        """Contents with one of their parts, `hand` or `ground`, taken from others (or from another).

        Raises:
            ValueError: the model holds no such part by itself.
        """
        if part not in self.mode.layers:
            raise ValueError(f"its content has no {part} by itself; train with content='layers'")
        own, theirs = (
            code.expand(len(appearance), -1).split(self.config.factor_dims, 1) for code in (appearance, other)
        )
        return torch.cat(
            [theirs[n] if name == part else own[n] for n, name in enumerate(self.mode.layers)], 1
        )

    def random_appearance(
        self, count: int, noise: Noise, source: Literal["prior", "aggregate"] = "prior"
    ) -> Float[Tensor, "count appearance"]:
        """Contents drawn from N(0, I), or from the Gaussian fitted to the training pictures' contents."""
        drawn = noise.normal(count, len(self.appearance_mean)).to(self.appearance_mean.device)
        if source == "prior":
            return drawn
        jitter = 1e-5 * torch.eye(len(self.appearance_mean), device=drawn.device)
        return self.appearance_mean + drawn @ torch.linalg.cholesky(self.appearance_covariance + jitter).T

    @torch.no_grad()
    def synthesize(
        self, joints: Float[Tensor, "batch joint 3"], appearance: Float[Tensor, "batch appearance"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Pictures in [0, 1] of 3D poses in bone units with the given contents."""
        return self.image_of(torch.cat([self.pose_encoder(joints).mean, appearance], 1))

    @torch.no_grad()
    def image_of(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch 3 height width"]:
        """Pictures in [0, 1] of whole codes: the pose's part, then the content's."""
        return self.layers(z)[0] + 0.5

    @torch.no_grad()
    def summarise(self, batches: Iterable[Hands]) -> dict[str, float]:
        """Measure the contents of training pictures, and keep their moments with the weights."""
        latents = [self._content_of(batch.require("image")) for batch in batches]
        means, variance = (
            torch.cat([latent.mean for latent in latents]),
            torch.cat([latent.var_or_zeros() for latent in latents]).mean(0),
        )
        self.appearance_mean.copy_(means.mean(0))
        self.appearance_covariance.copy_(torch.cov(means.T) + torch.diag(variance))  # law of total variance
        return {
            "appearance_spread_mean": float(means.std(0).mean()),
            "posterior_variance_mean": float(variance.mean()),
        }

    @torch.no_grad()
    def sample_sheet(self, batch: Hands, noise: Noise) -> Float[Tensor, "3 height width"]:
        """See `sheet_rows`; a pose a column."""
        image = batch.require("image")
        joints, own = self.joints_of(batch), self.appearance_of(image)
        other = own.roll(1, 0)
        appearances = [own, self.random_appearance(len(own), noise, "aggregate"), other]
        if len(self.mode.layers) > 1:
            appearances += [self.exchanged(own, name, other) for name in self.mode.layers]
        rows = [
            image,
            self.image_of(self.image_encoder(image - 0.5).mean),
            *(self.synthesize(joints, appearance) for appearance in appearances),
        ]
        return torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
