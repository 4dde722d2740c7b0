"""da-VAE (Guo et al., "3D hand pose estimation from a single RGB image through semantic decomposition of VAE
latent space", 2022).

One encoder with three heads, which attend by selective kernels, gives z1 (pose), z2 (appearance) and z3
(shape); a mask network, trained
before and then frozen, takes the background out of the picture. Pose is decoded from z1, the visible surface
as a cloud of points from
z1 and z3, the picture from all three. Training minimises
    a1 MSE(pose) + a2 Chamfer(cloud) + a3 MSE(picture) + b1 KL1 + b2 KL2 + b3 KL3                                            eq. (3)
na-VAE is the same with plain residual blocks in the heads. KLs are per dimension, lengths in bone units.
More: docs/papers/da_vae.md.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from handvae.data.cloud import dots, surface_points
from handvae.data.crop import Crop, in_own_crop, to_crop_units
from handvae.data.hands import DataSpec, Hands
from handvae.geometry import back_project, turn_picture, undo_view_normalise, view_normalise
from handvae.hand import PARENTS, root, scale_bone
from handvae.losses import chamfer
from handvae.nets.blocks import Norm
from handvae.nets.dcgan import DcganDecoder
from handvae.nets.folding import FoldingDecoder
from handvae.nets.keypoint_backbone import LEVELS, KeypointBackbone
from handvae.nets.limb_maps import drawn
from handvae.nets.mask import MaskNet, mask_loss, overlap
from handvae.nets.mlp import mlp
from handvae.nets.resnet import Stem
from handvae.nets.split_latent import Decoded, Latent, SplitLatentEncoder
from handvae.noise import Noise
from handvae.systems.system import (
    Input,
    Losses,
    Phase,
    PoseEstimator,
    Prediction,
    Stage,
    System,
    predict_by_samples,
)


@dataclass(frozen=True)
class DaVaeConfig:
    """Every choice of da-VAE; the defaults are the paper's, or ours where it says nothing."""

    attention: bool = True
    """Selective kernels in the heads; False is na-VAE, whose `head_width` is to be chosen so that it has as
    many parameters."""
    mask: str = ""
    """The mask network: of `handvae train mask-net` or of a da-VAE, by name, run folder or file; without,
    this run trains its own first."""
    mask_share: float = 0.15
    """Steps for an own mask network for each step of the rest."""
    mask_width: int = 64
    """Channels of the mask network's first layer."""
    mask_stem: Stem = "quarter"
    """As `stem`, of the mask network."""
    pose_dims: int = 24
    """Size of z1."""
    appearance_dims: int = 16
    """Size of z2."""
    shape_dims: int = 8
    """Size of z3."""
    pose_weight: float = 1000.0
    """a1."""
    cloud_weight: float = 100.0
    """a2; 0 for data without depth and masks."""
    image_weight: float = 1.0
    """a3."""
    betas: tuple[float, float, float] = (10.0, 10.0, 10.0)
    """b1, b2, b3 of z1, z2 and z3; the paper gives all three one value."""
    detach_across_factors: bool = False
    """Ours: each part of z learns from its own modality alone, z1 from poses, z2 from pictures, z3 from
    clouds; the others' decoders only
    read it."""
    finder: str = ""
    """Ours: a detector (shipped, a file or a run folder); the heads of pose and shape see what it finds
    beside the features."""
    detector_keypoint_weight: float = 0.0
    """Lets the finder learn on: weight of the mean squared error of the joints it finds, crop units. 0: it
    stays as it is."""
    finder_widths: tuple[int, ...] = (48, 96, 192, 384)
    """Channels of its trunk's stages."""
    chamfer: Literal["mean", "max"] = "mean"
    """Of the Chamfer distance's two ways."""
    cloud_points: int = 1024
    """Points of the true surface, drawn anew for every step where they come from depth."""
    root: Literal["palm", "wrist"] = "palm"
    """What 3D joints and clouds are relative to; `wrist` also for data whose joint 0 is the palm already."""
    view_normalised: bool = True
    """Turn poses and clouds as if the camera looked straight at the crop's centre, where it is known how it
    looked."""
    view_warped: bool = False
    """Turn pictures likewise, by a homography; else they stay as they are."""
    trunk_width: int = 64
    """Channels of the shared part's first layer."""
    head_width: int = 256
    """Channels of the heads' first layer."""
    groups: int = 32
    """Groups of the selective kernels' convolutions, at most; on CPUs groups of fewer than 16 channels are
    slow."""
    stem: Stem = "quarter"
    """`half` leaves out the trunk's first pooling, for small pictures."""
    decoder_width: int = 256
    """Channels of the picture decoder's first map."""
    hidden: int = 512
    """Width of the pose decoder."""
    fold_width: int = 512
    """Width of the cloud decoder."""
    grid: int = 45
    """Points along a side of the grid that is folded into a cloud."""
    norm: Norm = "batch"
    """Normalisation."""
    posterior_samples: int = 32
    """Draws from the posterior whose decoded joints give the spread."""

    def __post_init__(self) -> None:
        widths = (
            self.trunk_width,
            self.head_width,
            self.mask_width,
            self.decoder_width,
            self.hidden,
            self.fold_width,
        )
        widths += self.finder_widths
        if not all(8 <= width <= 8192 for width in widths):
            raise ValueError("widths and hidden are 8 to 8192")
        if (
            not all(1 <= number <= 8192 for number in (*self.dims, self.groups))
            or len(self.finder_widths) <= LEVELS
        ):
            raise ValueError(f"dims and groups are 1 to 8192, finder_widths has {LEVELS + 1} at least")
        if not 2 <= self.grid <= 256 or not 1 <= self.cloud_points <= 65536:
            raise ValueError("grid is 2 to 256, cloud_points is 1 to 65536")
        if not 0 < self.mask_share < float("inf") or not 2 <= self.posterior_samples <= 4096:
            raise ValueError("mask_share is positive, posterior_samples is 2 to 4096")
        if not all(
            0 <= w < float("inf")
            for w in (
                self.pose_weight,
                self.cloud_weight,
                self.image_weight,
                self.detector_keypoint_weight,
                *self.betas,
            )
        ):
            raise ValueError("weights are not negative")

    @property
    def dims(self) -> tuple[int, int, int]:
        """Sizes of z1, z2 and z3."""
        return self.pose_dims, self.appearance_dims, self.shape_dims


@dataclass(frozen=True)
class DaLosses(Losses):
    """Parts of the objective, before their weights."""

    pose: Float[Tensor, ""]
    """Mean squared error of a coordinate, squared bone units."""
    cloud: Float[Tensor, ""]
    """Chamfer distance, bone units."""
    image: Float[Tensor, ""]
    """Mean squared error of a value of the masked picture."""
    found: Float[Tensor, ""]
    """Mean squared error of a coordinate of the joints that a finder finds, crop units; 0 without one that
    learns."""
    kl_pose: Float[Tensor, ""]
    """KL of z1 per dimension, nats; the next two likewise."""
    kl_appearance: Float[Tensor, ""]
    kl_shape: Float[Tensor, ""]
    rate: Float[Tensor, ""]
    """KL of all of z, nats."""


@dataclass(frozen=True)
class DaMaskLosses(Losses):
    """The mask network's cross-entropy, and its overlap with the true mask."""

    overlap: Float[Tensor, ""]


class DaVae(PoseEstimator):
    """da-VAE, or na-VAE."""

    config: DaVaeConfig
    sheet_rows = "pictures, what the mask leaves of them, rebuilt; 3D poses read, labels; clouds read, labels"

    def __init__(self, config: DaVaeConfig, spec: DataSpec, crop: Crop) -> None:
        super().__init__()
        self.config, self.spec, self.crop, self.pose, self.root = config, spec, crop, "3d", config.root
        self.fields = ("image", *_pictures_needed(config, spec))
        pose, appearance, shape = config.dims
        self.mask_net = MaskNet(
            crop.size_px, width=config.mask_width, stem=config.mask_stem, norm=config.norm
        )
        self.finder = (
            KeypointBackbone(spec.joints, config.finder_widths, norm=config.norm) if config.finder else None
        )
        self.encoder = SplitLatentEncoder(
            config.dims, width=config.trunk_width, head_width=config.head_width, attention=config.attention, groups=config.groups,
            stem=config.stem, norm=config.norm, finder=self.finder,
        )  # fmt: skip
        self.pose_decoder = nn.Sequential(
            mlp(pose, spec.joints * 3, config.hidden), nn.Unflatten(1, (spec.joints, 3))
        )
        self.cloud_decoder = FoldingDecoder(pose + shape, hidden=config.fold_width, grid=config.grid)
        self.image_decoder = DcganDecoder(
            pose + appearance + shape, 3, crop.size_px, width=config.decoder_width, norm=config.norm
        )
        self.mask_taken = False

    # ---------------------------------------------------------------- training

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The mask network, unless a trained one is named, then the rest."""
        own = () if self.config.mask else (Stage("mask", trains=("mask",), share=self.config.mask_share),)
        return (*own, Stage("pose", trains=("all",)))

    @property
    def groups(self) -> dict[str, tuple[nn.Module, ...]]:
        """The mask network, and everything else."""
        learning = (self.finder,) if self.finder is not None and self.config.detector_keypoint_weight else ()
        return {
            "mask": (self.mask_net,),
            "all": (*learning, self.encoder, self.pose_decoder, self.cloud_decoder, self.image_decoder),
        }

    def pretrained(self) -> dict[str, str]:
        """The mask network and the detector, where they are named."""
        named = {"mask": self.config.mask, "detector": self.config.finder}
        return {role: name for role, name in named.items() if name}

    def attach(self, role: str, system: System) -> None:
        """Take over the weights of a trained mask network or detector.

        Raises:
            ValueError: the model has none, or one of another size.
        """
        if role == "mask":
            self._attach_mask(system)
        elif role == "detector" and self.finder is not None:
            self.finder.take(system, self.crop)
        else:
            super().attach(role, system)

    def _attach_mask(self, system: System) -> None:
        net = system.mask_net if isinstance(system, DaVae) else getattr(system, "net", None)
        if not isinstance(net, MaskNet):
            raise ValueError("the mask network is a model of `handvae train mask-net`, or that of a da-VAE")
        ours, theirs = (
            {name: value.shape for name, value in one.state_dict().items()} for one in (self.mask_net, net)
        )
        if ours != theirs:
            raise ValueError(
                "the mask network named has other widths or another stem; set mask_width and mask_stem to its width and stem"
            )
        self.mask_net.load_state_dict(net.state_dict())
        self.mask_taken = True

    def prepare(self, labels: Hands) -> None:
        """Bone units are the network's own: nothing is taken from the labels."""

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """One optimiser step, of the mask network or of the rest."""
        if stage == "mask":
            image, mask = batch.require_all("image", "mask")
            logits = self.mask_net(image)
            yield Phase(DaMaskLosses(mask_loss(logits, mask), overlap(logits, mask).mean()), "mask")
            return
        if self.config.mask and not self.mask_taken:
            raise ValueError("training needs the mask network that is named: attach it first")
        if self.finder is not None and not self.finder.taken:
            raise ValueError("training needs the detector that is named: attach it first")
        image = self.seen(batch)
        draw = noise.normal(len(batch), sum(self.config.dims)).to(image.device)
        target, seen = self.cloud_of(batch, noise)
        masked = self.masked(image)
        yield Phase(self.objective(batch, masked, target, seen, self.encode(image, masked), draw), "all")

    def objective(
        self,
        hands: Hands,
        masked: Float[Tensor, "batch 3 height width"],
        target: Float[Tensor, "batch point 3"],
        seen: Bool[Tensor, " batch"],
        latent: Latent,
        draw: Float[Tensor, "batch latent"],
    ) -> DaLosses:
        """Eq. (3): each term over the hands that have its label."""
        config = self.config
        z = torch.cat(
            [
                part.sample(noise=d)
                for part, d in zip(latent.factors, draw.split(config.dims, 1), strict=True)
            ],
            1,
        )
        joints, cloud, image = self.decode_parts(z)
        known, (wanted, _) = self.labelled(hands), self.normalised(self.joints_of(hands), hands)
        squared = ((joints - wanted).square().mean(2) * known).sum(1) / known.sum(1).clamp_min(1)
        pose = _mean_over(squared, known.any(1))
        surface = (
            _mean_over(chamfer(cloud, target, config.chamfer), seen)
            if config.cloud_weight
            else pose.new_zeros(())
        )
        picture = (image - masked).square().mean()
        found = self.found_error(latent, hands) if config.detector_keypoint_weight else pose.new_zeros(())
        kls = [part.kl().mean() for part in latent.factors]
        shares = [kl / dims for kl, dims in zip(kls, config.dims, strict=True)]
        terms = (pose, surface, picture, found, *shares)
        weights = (
            config.pose_weight,
            config.cloud_weight,
            config.image_weight,
            config.detector_keypoint_weight,
            *config.betas,
        )
        total = torch.stack([weight * term for weight, term in zip(weights, terms, strict=True)]).sum()
        return DaLosses(total, *terms, rate=torch.stack(kls).sum())

    def found_error(self, latent: Latent, hands: Hands) -> Float[Tensor, ""]:
        """Mean squared error of a coordinate of the labelled joints as they were found, crop units."""
        assert latent.found is not None
        joints = hands.require("joints_2d")
        error = to_crop_units(joints, self.crop.size_px) - latent.found
        return _mean_over(error.square().mean(2).flatten(), self.labelled(hands).flatten())

    # ---------------------------------------------------------------- labels

    def seen(self, hands: Hands) -> Float[Tensor, "batch 3 height width"]:
        """Pictures as the encoder gets them."""
        image = hands.require("image")
        if not (self.config.view_warped and self.config.view_normalised) or hands.intrinsics is None:
            return image
        return turn_picture(
            image, self.normalised(image.new_zeros(len(image), 1, 3), hands)[1], hands.intrinsics
        )

    def joints_of(self, hands: Hands) -> Float[Tensor, "batch joint 3"]:
        """Joints relative to the root in bone units, before the camera as it was; 0 where there is no
        label."""
        joints = hands.require("joints_3d")
        relative = (joints - root(joints, self.config.root)[:, None]) / scale_bone(joints)[
            :, None, None
        ].clamp_min(1e-6)
        return relative.masked_fill(~self.labelled(hands)[..., None], 0.0)

    def normalised(
        self, points: Float[Tensor, "batch point 3"], hands: Hands
    ) -> tuple[Float[Tensor, "batch point 3"], Tensor]:
        """Points as a camera sees them that looks straight at the crop's centre, and the rotation (batch, 3,
        3) to there."""
        if not self.config.view_normalised or hands.intrinsics is None:
            return points, torch.eye(3, device=points.device).expand(len(points), 3, 3)
        middle = torch.full((len(points), 1, 2), self.crop.size_px / 2, device=points.device)
        ray = back_project(middle, torch.ones_like(middle[..., 0]), hands.intrinsics)
        return view_normalise(points, ray[:, 0])

    def cloud_of(
        self, hands: Hands, noise: Noise
    ) -> tuple[Float[Tensor, "batch point 3"], Bool[Tensor, " batch"]]:
        """The visible surface as `Decoded.cloud` has it, and which hands have one; zeros for the others.

        Points that the data give, else points drawn from the depth picture within the mask.
        """
        if not self.config.cloud_weight:
            image = hands.require("image")
            return image.new_zeros(len(hands), 1, 3), torch.zeros(
                len(hands), dtype=torch.bool, device=image.device
            )
        if "depth" in self.fields:
            cloud, seen = surface_points(hands, self.config.cloud_points, noise)
        else:
            cloud = hands.require("cloud")
            seen = (cloud[..., 2] > 0).all(1)
        joints = hands.require("joints_3d")
        seen = seen & self.labelled(hands).any(1)
        relative = (cloud - root(joints, self.config.root)[:, None]) / scale_bone(joints)[
            :, None, None
        ].clamp_min(1e-6)
        turned, _ = self.normalised(relative, hands)
        return turned.masked_fill(~seen[:, None, None], 0.0), seen

    # ---------------------------------------------------------------- networks

    @torch.no_grad()
    def masked(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """The hand before black: the mask network is frozen, and no gradient reaches it."""
        return image * self.mask_net(image).sigmoid()

    def encode(self, image: Float[Tensor, "batch 3 height width"], masked: Tensor | None = None) -> Latent:
        """The posterior of z of pictures in [0, 1]; `masked`, the same without their background, is made
        where it is not given."""
        sight = None
        if self.finder is not None:
            with torch.set_grad_enabled(
                torch.is_grad_enabled() and bool(self.config.detector_keypoint_weight)
            ):
                sight = self.finder(image)
        return self.encoder((self.masked(image) if masked is None else masked) - 0.5, sight)

    def decode_parts(self, z: Float[Tensor, "batch latent"]) -> tuple[Tensor, Tensor, Tensor]:
        """Joints of z1, a cloud of z1 and z3, a picture of all of z, which training may leave beyond [0,
        1]."""
        pose, appearance, shape = z.split(self.config.dims, 1)
        shown, shaped = (
            (pose.detach(), shape.detach()) if self.config.detach_across_factors else (pose, shape)
        )
        cloud = self.cloud_decoder(torch.cat([shown, shape], 1))
        image = self.image_decoder(torch.cat([shown, appearance, shaped], 1))
        return self.pose_decoder(pose).float(), cloud.float(), image.float() + 0.5

    # ---------------------------------------------------------------- use

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "batch latent"]) -> Decoded:
        """What points of the latent space stand for."""
        joints, cloud, image = self.decode_parts(z)
        return Decoded(joints, cloud, image.clamp(0, 1))

    @torch.no_grad()
    def predict_uncalibrated(self, hands: Hands, inputs: Sequence[Input] = ()) -> Prediction:
        """Read poses from the pictures of crops, before the camera as it was where its intrinsics are
        given."""
        image = self.seen(hands)
        latent = self.encode(image)
        _, rotation = self.normalised(image.new_zeros(len(image), 1, 3), hands)
        return predict_by_samples(
            latent.pose,
            lambda z: undo_view_normalise(self.pose_decoder(z).float(), rotation),
            self.config.posterior_samples,
        )

    @torch.no_grad()
    def summarise(self, batches: Iterable[Hands]) -> dict[str, float]:
        """Errors on training pictures, and how far z's parts spread; nothing is kept."""
        errors, distances, means = [], [], []
        for number, batch in enumerate(batches):
            z = self.encode(self.seen(batch)).mean
            found, (wanted, _) = self.decode(z), self.normalised(self.joints_of(batch), batch)
            errors.append((found.joints - wanted).norm(dim=2)[self.labelled(batch)])
            cloud, seen = self.cloud_of(batch, Noise(0, number))
            distances.append(chamfer(found.cloud[seen], cloud[seen]))
            means.append(z)
        spreads = torch.cat(means).std(0).split(self.config.dims)
        spread = {
            f"{name}_spread_mean": float(part.mean())
            for name, part in zip(("pose", "appearance", "shape"), spreads, strict=True)
        }
        return {"training_error": _mean(errors), "training_chamfer": _mean(distances)} | spread

    @torch.no_grad()
    def sample_sheet(self, batch: Hands, noise: Noise) -> Float[Tensor, "3 height width"]:
        """See `sheet_rows`; a hand a column."""
        image = self.seen(batch)
        masked = self.masked(image)
        found, (wanted, _) = (
            self.decode(self.encode(image, masked).mean),
            self.normalised(self.joints_of(batch), batch),
        )
        rows = [image, masked, found.image]
        for draw, pair in (
            (drawn, (found.joints, wanted)),
            (dots, (found.cloud, self.cloud_of(batch, noise)[0])),
        ):
            rows += [
                draw(in_own_crop(points[..., :2], self.crop.margin).nan_to_num(), image.shape[-1])
                for points in pair
            ]
        return torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)


def _pictures_needed(config: DaVaeConfig, spec: DataSpec) -> tuple[Literal["depth", "mask"], ...]:
    """What a step reads beside the picture; refuses data that cannot give what it needs."""
    has = set(spec.modalities)
    if "joints_3d" not in has or spec.joints != len(PARENTS):
        raise ValueError(f"every hand must have joints_3d of {len(PARENTS)} joints; use data that has them")
    if config.detector_keypoint_weight and not (config.finder and "joints_2d" in has):
        raise ValueError(
            "found_weight is of a finder, which learns from joints_2d; set it to 0, or name a finder and use data that has them"
        )
    if not config.mask and "mask" not in has:
        raise ValueError(
            "an own mask network needs masks; name a trained one (mask), or use data that has them"
        )
    from_depth = bool(config.cloud_weight) and "cloud" not in has
    if from_depth and not {"depth", "mask", "intrinsics"} <= has:
        raise ValueError(
            "clouds need depth, masks and intrinsics of every hand; set cloud_weight to 0, or use data that has them"
        )
    if config.cloud_weight and spec.root != "camera":
        raise ValueError(
            "clouds need joints before the camera; set cloud_weight to 0, or use data whose camera is known"
        )
    return (*(("depth",) if from_depth else ()), *(("mask",) if from_depth or not config.mask else ()))


def _mean_over(values: Float[Tensor, " batch"], counted: Bool[Tensor, " batch"]) -> Float[Tensor, ""]:
    return torch.where(counted, values, 0.0).sum() / counted.sum().clamp_min(1)


def _mean(parts: list[Tensor]) -> float:
    values = torch.cat(parts)
    return float(values.mean()) if len(values) else float("nan")
