"""Disentangled VAE for hands (Yang, Yao, "Disentangling Latent Hands for Image Synthesis and Pose Estimation", CVPR 2019).

z falls into parts z_y1, z_y2 of known factors y1, y2 (or z_u, what the picture holds beside y1). Two steps, one after the other:
    disentangle    lx R(x | z) + ly sum_i R(y_i | z_yi) + b KL(q(z | y1, y2) || N(0, I)),   z from the factors                eq. (2)
    embed          the same with z from q(z | x), or from another modality x^; all decoders fixed                     eq. (4), (8)
`DvaeImage` makes pictures: x a picture, y1 the 3D pose, y2 its content by a tag image (algorithm 1), or z_u (algorithm 2, eq. 6).
`DvaePose` reads poses: x the 3D pose, y1 the canonical pose, y2 the viewpoint, x^ the picture.
R is a sum of squared errors, of joints in mm. Open details and what we chose: docs/papers/dvae.md.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from handvae.data.hands import DataSpec, Hands
from handvae.data.view import Crop, in_own_crop
from handvae.geometry import CanonicalPose, canonical_pose, nearest_rotation
from handvae.hand import PARENTS, scale_bone, to_bone_units
from handvae.nets.blocks import Norm
from handvae.nets.dcgan import DcganDecoder
from handvae.nets.encoder import GaussianHead
from handvae.nets.limb_maps import limb_maps
from handvae.nets.mlp import hidden_layers, mlp
from handvae.nets.resnet import ResNet18
from handvae.noise import Noise, foreign
from handvae.rv import RandomVariable
from handvae.systems.system import Generator, Losses, Phase, Prediction, Reader, Stage, predict_by_samples

PUBLISHED_PX = 256
"""Side of the pictures for which the paper gives beta."""


@dataclass(frozen=True)
class DvaeConfig:
    """What both tasks choose; the defaults are the paper's."""

    factor_dims: int = 32
    """Size of each part of z."""
    x_weight: float = 1.0
    """Lambda of x."""
    factor_weight: float = 0.01
    """Lambda of y1 and y2."""
    embed_share: float = 1.0
    """Steps of embedding for each step of disentangling."""
    root: Literal["palm", "wrist"] = "palm"
    """What 3D joints are relative to; `wrist` also for data whose joint 0 is the palm already."""
    trunk_width: int = 64
    """Channels of the picture encoders' first stage."""
    stem: Literal["quarter", "half"] = "quarter"
    """`half` leaves out the trunk's first pooling, for small pictures."""
    hidden: int = 512
    """Width of the joint nets."""
    norm: Norm = "batch"
    """Normalisation."""
    posterior_samples: int = 32
    """Draws from the posterior whose decoded joints give the spread."""

    def __post_init__(self) -> None:
        if not all(1 <= width <= 8192 for width in (self.factor_dims, self.trunk_width, self.hidden)):
            raise ValueError("factor_dims, trunk_width and hidden are 1 to 8192")
        if not 0 < self.embed_share < float("inf") or not 2 <= self.posterior_samples <= 4096:
            raise ValueError("embed_share is positive, posterior_samples is 2 to 4096")
        if not all(0 <= weight < float("inf") for weight in (self.x_weight, self.factor_weight)):
            raise ValueError("weights are not negative")


@dataclass(frozen=True)
class DvaeImageConfig(DvaeConfig):
    """Choices of picture synthesis."""

    content: Literal["tag", "own"] = "tag"
    """Where the content comes from: another picture of the same content (algorithm 1), or the picture itself, as z_u (algorithm 2)."""
    beta: float = 100.0
    """Weight of the KL at 256 px; at H px it is beta (H / 256)^2, as the squared error grows with the pixels."""
    beta_warmup_steps: int = 0
    """First steps over which beta rises from 0."""
    noise_passes: int = 1
    """Algorithm 2's passes with foreign noise for each batch."""
    decoder_width: int = 512
    """Channels of the picture decoders' first map."""


@dataclass(frozen=True)
class DvaePoseConfig(DvaeConfig):
    """Choices of pose estimation."""

    beta: float = 0.01
    """Weight of the KL."""
    weak: Literal["none", "viewpoint"] = "none"
    """What pictures whose pose is held back still teach: nothing, or their viewpoint."""


@dataclass(frozen=True)
class DvaeLosses(Losses):
    """Parts of the objective, before their weights."""

    x: Float[Tensor, ""]
    y1: Float[Tensor, ""]
    y2: Float[Tensor, ""]
    rate: Float[Tensor, ""]
    """KL in nats."""


def _picture_encoder(config: DvaeConfig, size_px: int, dims: int) -> nn.Module:
    trunk = ResNet18(3, size_px, width=config.trunk_width, pool="global", stem=config.stem, norm=config.norm)
    return nn.Sequential(trunk, GaussianHead(trunk.features, dims))


def _vector_encoder(config: DvaeConfig, numbers: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), hidden_layers(numbers, config.hidden), GaussianHead(config.hidden, config.factor_dims))


def _joint_decoder(config: DvaeConfig, dims: int, joints: int) -> nn.Module:
    return nn.Sequential(mlp(dims, joints * 3, config.hidden), nn.Unflatten(1, (joints, 3)))


def _squared(decoded: Tensor, wanted: Tensor, unit: Tensor | None = None) -> Float[Tensor, " batch"]:
    """Sum of squared errors of each hand, of values in units of their own where `unit` is given."""
    error = (decoded.float() - wanted).square().flatten(1).sum(1)
    return error if unit is None else error * unit.square()


def _mean_over(values: Float[Tensor, " batch"], counted: Bool[Tensor, " batch"]) -> Float[Tensor, ""]:
    return torch.where(counted, values, 0.0).sum() / counted.sum().clamp_min(1)


class _Dvae(Reader):
    """What both tasks do alike with poses and stages."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """First the factors and all decoders, then the picture's encoder alone."""
        return (Stage("disentangle", trains=("factors",)), Stage("embed", trains=("image",), share=self.config.embed_share))

    def prepare(self, labels: Hands) -> None:
        """Bone units are the network's own: nothing is taken from the labels."""

    def joints_of(self, hands: Hands) -> Float[Tensor, "batch joint 3"]:
        """Joints relative to the root in bone units; 0 where there is no label."""
        (joints,) = hands.need("joints_3d")
        return to_bone_units(joints, self.config.root).masked_fill(~self.labelled(hands)[..., None], 0.0)

    def bones_mm(self, hands: Hands, whole: Bool[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Length of a bone unit; 1 for hands that do not count."""
        (joints,) = hands.need("joints_3d")
        return torch.where(whole, scale_bone(joints), 1.0)


class DvaeImage(_Dvae, Generator):
    """Pictures from a 3D pose and a content (algorithms 1 and 2)."""

    config: DvaeImageConfig
    appearance_mean: Tensor
    appearance_covariance: Tensor
    sheet_rows = "real pictures, embedded and decoded, made from the true pose and the own content, random content, another's content"

    def __init__(self, config: DvaeImageConfig, spec: DataSpec, crop: Crop) -> None:
        super().__init__()
        self.config, self.spec, self.crop, self.pose, self.root = config, spec, crop, "3d", config.root
        _check(spec, ("joints_3d", "content") if config.content == "tag" else ("joints_3d",))
        self.fields = ("image", "tag") if config.content == "tag" else ("image",)
        size, part = crop.size_px, config.factor_dims
        self.pose_encoder = _vector_encoder(config, spec.joints * 3)  # phi_y1
        self.content_encoder = _picture_encoder(config, size, part)  # phi_y2, or phi_u
        self.pose_decoder = _joint_decoder(config, part if config.content == "tag" else 2 * part, spec.joints)  # theta_y1
        self.content_decoder = None
        if config.content == "tag":
            self.content_decoder = DcganDecoder(part, 3, size, width=config.decoder_width, norm=config.norm)  # theta_y2
        self.image_decoder = DcganDecoder(2 * part, 3, size, width=config.decoder_width, norm=config.norm)  # theta_x
        self.image_encoder = _picture_encoder(config, size, 2 * part)  # phi_x
        self.register_buffer("appearance_mean", torch.zeros(part))
        self.register_buffer("appearance_covariance", torch.eye(part))

    # ---------------------------------------------------------------- training

    @property
    def groups(self) -> dict[str, tuple[nn.Module, ...]]:
        """The factors' encoders with all decoders, and the picture's encoder."""
        factors = (self.pose_encoder, self.content_encoder, self.pose_decoder, self.image_decoder)
        return {"factors": factors if self.content_decoder is None else (*factors, self.content_decoder), "image": (self.image_encoder,)}

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """Disentangle: eq. (2) or (6), then algorithm 2's passes with foreign noise; embed: eq. (4)."""
        (image,) = batch.need("image")
        draw = noise.normal(len(batch), 2 * self.config.factor_dims).to(image.device)
        if stage == "embed":
            posterior = self.image_encoder(image - 0.5)
            yield Phase(self.objective(batch, posterior, posterior.sample(noise=draw), self.beta), "image")
            return
        of_pose, of_content = self.pose_encoder(self.joints_of(batch)), self.content_encoder(self._tag(batch) - 0.5)
        mean, var = (torch.cat(pair, 1) for pair in ((of_pose.mean, of_content.mean), (of_pose.var, of_content.var)))
        posterior = RandomVariable(mean, var)
        warm = min(1.0, (noise.step + 1) / max(1, self.config.beta_warmup_steps))
        yield Phase(self.objective(batch, posterior, posterior.sample(noise=draw), self.beta * warm), "factors")
        if self.config.content == "own":
            for _ in range(self.config.noise_passes):
                yield Phase(self.with_foreign_noise(batch, of_content.detach(), noise), "factors", name="noise")

    def objective(self, hands: Hands, posterior: RandomVariable, z: Float[Tensor, "batch latent"], beta: float) -> DvaeLosses:
        """Eq. (2), (4) or (6): all that is decoded from z, and the KL; over hands whose poses are known."""
        config, (image,) = self.config, hands.need("image")
        whole = self.labelled(hands).all(1)
        bone = self.bones_mm(hands, whole)
        of_pose, of_content = self.split(z)
        x = _mean_over(_squared(self._picture(self.image_decoder, z), image - 0.5), whole)
        y1 = _mean_over(_squared(self.pose_decoder(of_pose), self.joints_of(hands), bone), whole)
        y2 = torch.zeros_like(x)
        if self.content_decoder is not None:
            y2 = _mean_over(_squared(self._picture(self.content_decoder, of_content), self._tag(hands) - 0.5), whole)
        rate = _mean_over(posterior.kl(), whole)
        return DvaeLosses(config.x_weight * x + config.factor_weight * (y1 + y2) + beta * rate, x, y1, y2, rate)

    def with_foreign_noise(self, hands: Hands, of_content: RandomVariable, noise: Noise) -> DvaeLosses:
        """Algorithm 2, lines 7 to 11: the pose decoded beside another sample's z_u, so that it cannot rely on its own."""
        others = foreign(len(hands), noise).to(of_content.device)
        u = RandomVariable(of_content.mean[others], of_content.var_or_zeros()[others])
        draw = noise.normal(len(hands), 2 * self.config.factor_dims).to(u.device).split(self.config.factor_dims, 1)
        pose = self.pose_encoder(self.joints_of(hands)).sample(noise=draw[0])
        whole = self.labelled(hands).all(1)
        decoded = self.pose_decoder(torch.cat([pose, u.sample(noise=draw[1])], 1))
        y1 = _mean_over(_squared(decoded, self.joints_of(hands), self.bones_mm(hands, whole)), whole)
        nothing = torch.zeros_like(y1)
        return DvaeLosses(self.config.factor_weight * y1, nothing, y1, nothing, nothing)

    @property
    def beta(self) -> float:
        """Weight of the KL at this size of picture."""
        return self.config.beta * (self.crop.size_px / PUBLISHED_PX) ** 2

    def split(self, z: Float[Tensor, "batch latent"]) -> tuple[Tensor, Tensor]:
        """What the pose decoder reads, and the content: z_y1 alone in algorithm 1, all of z in algorithm 2."""
        pose, content = z.split(self.config.factor_dims, 1)
        return (pose if self.config.content == "tag" else z), content

    def _tag(self, hands: Hands) -> Tensor:
        return hands.need("tag" if self.config.content == "tag" else "image")[0]

    def _picture(self, decoder: nn.Module, z: Tensor) -> Tensor:
        return 0.5 * torch.tanh(decoder(z).float())

    # ---------------------------------------------------------------- use

    @torch.no_grad()
    def predict(self, image: Float[Tensor, "batch 3 height width"]) -> Prediction:
        """Read 3D poses from pictures, by the embedding."""
        return predict_by_samples(
            self.image_encoder(image - 0.5), lambda z: self.pose_decoder(self.split(z)[0]).float(), self.config.posterior_samples
        )

    @torch.no_grad()
    def appearance_of(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch appearance"]:
        """The content of pictures, each taken as its own tag."""
        return self.content_encoder(image - 0.5).mean

    def random_appearance(
        self, count: int, noise: Noise, source: Literal["prior", "aggregate"] = "prior"
    ) -> Float[Tensor, "count appearance"]:
        """Contents drawn from N(0, I), or from the Gaussian fitted to the training pictures' contents."""
        drawn = noise.normal(count, self.config.factor_dims).to(self.appearance_mean.device)
        if source == "prior":
            return drawn
        jitter = 1e-5 * torch.eye(self.config.factor_dims, device=drawn.device)
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
        return self._picture(self.image_decoder, z) + 0.5

    @torch.no_grad()
    def summarise(self, batches: Iterable[Hands]) -> dict[str, float]:
        """Measure the contents of training pictures, and keep their moments with the weights."""
        latents = [self.content_encoder(batch.need("image")[0] - 0.5) for batch in batches]
        means, variance = torch.cat([latent.mean for latent in latents]), torch.cat([latent.var for latent in latents]).mean(0)
        self.appearance_mean.copy_(means.mean(0))
        self.appearance_covariance.copy_(torch.cov(means.T) + torch.diag(variance))  # law of total variance
        return {"appearance_spread_mean": float(means.std(0).mean()), "posterior_variance_mean": float(variance.mean())}

    @torch.no_grad()
    def sample_sheet(self, batch: Hands, noise: Noise) -> Float[Tensor, "3 height width"]:
        """See `sheet_rows`; a pose a column."""
        (image,) = batch.need("image")
        joints, own = self.joints_of(batch), self.appearance_of(image)
        rows = [image, self.image_of(self.image_encoder(image - 0.5).mean)]
        rows += [self.synthesize(joints, z) for z in (own, self.random_appearance(len(own), noise, "aggregate"), own.roll(1, 0))]
        return torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)


@dataclass(frozen=True)
class HandFactors:
    """What is read of hands, factor by factor."""

    canonical: Float[Tensor, "batch joint 3"]
    """Bone units, as left hands."""
    viewpoint: Float[Tensor, "batch 3 3"]
    """Rotation from the canonical frame to the camera."""


class DvaePose(_Dvae):
    """3D pose, canonical pose and viewpoint from pictures (eq. 8)."""

    config: DvaePoseConfig
    sheet_rows = "real pictures, 3D poses read from them, labels"

    def __init__(self, config: DvaePoseConfig, spec: DataSpec, crop: Crop) -> None:
        super().__init__()
        self.config, self.spec, self.crop, self.pose, self.root = config, spec, crop, "3d", config.root
        _check(spec, ("joints_3d", "side"))
        part, joints = config.factor_dims, spec.joints
        self.canonical_encoder, self.view_encoder = _vector_encoder(config, joints * 3), _vector_encoder(config, 9)  # phi_y1, phi_y2
        self.canonical_decoder = _joint_decoder(config, part, joints)  # theta_y1
        self.view_decoder = nn.Sequential(mlp(part, 9, config.hidden), nn.Unflatten(1, (3, 3)))  # theta_y2
        self.pose_decoder = _joint_decoder(config, 2 * part, joints)  # theta_x
        self.image_encoder = _picture_encoder(config, crop.size_px, 2 * part)  # phi_x^

    @property
    def groups(self) -> dict[str, tuple[nn.Module, ...]]:
        """The factors' encoders with all decoders, and the picture's encoder."""
        factors = (self.canonical_encoder, self.view_encoder, self.canonical_decoder, self.view_decoder, self.pose_decoder)
        return {"factors": factors, "image": (self.image_encoder,)}

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """Disentangle: eq. (2) on all poses, which needs no picture; embed: eq. (8) on pictures whose pose is known, or its viewpoint."""
        whole, target = self.targets(batch)
        draw = noise.normal(len(batch), 2 * self.config.factor_dims).to(whole.device)
        if stage == "embed":
            (image,) = batch.need("image")
            posterior = self.image_encoder(image - 0.5)
            known = whole if batch.pose_known is None else whole & batch.pose_known
            seen = whole if self.config.weak == "viewpoint" else known
        else:
            of_pose, of_view = self.canonical_encoder(target.pose), self.view_encoder(target.viewpoint)
            posterior = RandomVariable(torch.cat([of_pose.mean, of_view.mean], 1), torch.cat([of_pose.var, of_view.var], 1))
            known = seen = whole
        z, bone = posterior.sample(noise=draw), self.bones_mm(batch, whole)
        of_pose, of_view = z.split(self.config.factor_dims, 1)
        joints = self.joints_of(replace(batch, pose_known=None))
        x = _mean_over(_squared(self.pose_decoder(z), joints, bone), known)
        y1 = _mean_over(_squared(self.canonical_decoder(of_pose), target.pose, bone), known)
        y2 = _mean_over(_squared(self.view_decoder(of_view), target.viewpoint, bone), seen)  # a unit of a matrix moves a joint by a bone
        rate = _mean_over(posterior.kl(), seen)
        total = self.config.x_weight * x + self.config.factor_weight * (y1 + y2) + self.config.beta * rate
        yield Phase(DvaeLosses(total, x, y1, y2, rate), "image" if stage == "embed" else "factors")

    def targets(self, hands: Hands) -> tuple[Bool[Tensor, " batch"], CanonicalPose]:
        """Canonical poses and viewpoints, and which hands have all their labels, held back or not."""
        joints, side = hands.need("joints_3d", "side")
        labelled = self.labelled(replace(hands, pose_known=None)).all(1)
        target = canonical_pose(torch.where(labelled[:, None, None], joints, 0.0), side, self.config.root)
        return labelled & target.valid, target

    @torch.no_grad()
    def predict(self, image: Float[Tensor, "batch 3 height width"]) -> Prediction:
        """Read 3D poses from pictures."""
        return predict_by_samples(self.image_encoder(image - 0.5), lambda z: self.pose_decoder(z).float(), self.config.posterior_samples)

    @torch.no_grad()
    def factors_of(self, image: Float[Tensor, "batch 3 height width"]) -> HandFactors:
        """Read canonical pose and viewpoint from pictures; the 9 numbers decoded are brought to the nearest rotation."""
        of_pose, of_view = self.image_encoder(image - 0.5).mean.split(self.config.factor_dims, 1)
        return HandFactors(self.canonical_decoder(of_pose).float(), nearest_rotation(self.view_decoder(of_view).float()))

    @torch.no_grad()
    def summarise(self, batches: Iterable[Hands]) -> dict[str, float]:
        """Error on training pictures; nothing is kept."""
        pairs = [(self.predict(batch.need("image")[0]).joints - self.joints_of(batch), self.labelled(batch)) for batch in batches]
        errors = torch.cat([error.norm(dim=2)[valid] for error, valid in pairs])
        return {"training_error": float(errors.mean())}

    @torch.no_grad()
    def sample_sheet(self, batch: Hands, noise: Noise) -> Float[Tensor, "3 height width"]:
        """See `sheet_rows`; a hand a column."""
        (image,) = batch.need("image")
        rows = [image]
        for joints in (self.predict(image).joints, self.joints_of(batch)):
            flat = in_own_crop(joints[..., :2], self.crop.margin).nan_to_num()
            rows.append((1 - limb_maps(flat, image.shape[-1], 0.03).amax(1, keepdim=True)).expand(-1, 3, -1, -1))
        return torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)


def _check(spec: DataSpec, needed: tuple[str, ...]) -> None:
    missing = [name for name in needed if name not in spec.modalities]
    if missing:
        raise ValueError(f"every hand must have {', '.join(missing)}; use data that has it, or for content the option content='own'")
    if spec.joints != len(PARENTS):
        raise ValueError(f"poses are hands of {len(PARENTS)} joints, the data has {spec.joints}; use data of {len(PARENTS)}")
