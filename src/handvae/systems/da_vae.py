"""da-VAE (Guo, Xu, Lin, Sun, Ma: "3D hand pose estimation from a single RGB image through semantic
decomposition of VAE latent space", 2022).

A mask network, trained first and then frozen, removes the background. One encoder with three heads, whose
blocks attend by selective kernels, gives z1 (pose), z2 (appearance) and z3 (shape). The pose is decoded
from z1, the visible surface as a point cloud from z1 and z3, the picture from all of z. Training minimises

    a1 L_pose + a2 L_cloud + a3 L_RGB + b1 KL_pose + b2 KL_RGB + b3 KL_cloud                         eq. (3)

with L_pose and L_RGB squared errors, L_cloud the Chamfer distance. We read KL_RGB as that of z2 and KL_cloud
as that of z3, take means over values and KLs per dimension, and measure lengths in bone units. na-VAE, the
paper's baseline, has plain residual blocks in the heads.
Ours, off by default: `detach_across_factors`, and a keypoint detector beside the ResNet.
Open details and our choices: docs/papers/da_vae.md.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from handvae.data.cloud import dots, surface_points
from handvae.data.crop import Crop, in_own_crop, to_crop_units
from handvae.data.hands import DataSpec, Hands
from handvae.geometry import back_project, turn_picture, undo_view_normalise, view_normalise
from handvae.hand import PARENTS
from handvae.losses import chamfer, labelled_error, masked_mean
from handvae.nets.blocks import Norm
from handvae.nets.dcgan import DcganDecoder
from handvae.nets.folding import FoldingDecoder
from handvae.nets.limb_maps import drawn
from handvae.nets.mask import MaskNet, mask_loss, overlap
from handvae.nets.mlp import mlp
from handvae.nets.picture_encoders import (
    KeypointEncoder,
    PictureEncoder,
    ResNetEncoder,
    build_keypoint_backbone,
    pretrained_detector,
)
from handvae.nets.resnet import Stem
from handvae.nets.split_latent import Decoded, Latent, SplitLatentEncoder
from handvae.noise import Noise
from handvae.systems.sheet import image_grid
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
    """Options of da-VAE; the defaults are the paper's, or ours where the paper leaves them open."""

    attention: bool = True
    """Selective kernels in the heads. False is na-VAE; choose its `head_width` for as many parameters."""
    mask: str = ""
    """The mask network: a model of `handvae train mask-net` or a da-VAE. Empty: this run trains one first."""
    mask_share: float = 0.15
    """Steps of the mask network's own training, for each step of the rest."""
    mask_width: int = 64
    """Channels of the mask network's first layer."""
    mask_stem: Stem = "quarter"
    """Stem of the mask network; `half` leaves out the first pooling, for small pictures."""
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
    """Weights of the KLs of z1, z2 and z3; the paper gives all three one value."""
    detach_across_factors: bool = False
    """Ours: z1 learns from poses, z2 from pictures, z3 from clouds alone; other decoders read a factor
    without teaching it."""
    encoder: PictureEncoder = field(default_factory=ResNetEncoder)
    """The paper's ResNet; or (ours) the ResNet and a detector, for the heads of pose and shape."""
    head_width: int = 256
    """Channels of the heads' first layer."""
    groups: int = 32
    """Groups of the selective kernels' convolutions, at most; under 16 channels a group is slow on CPUs."""
    chamfer: Literal["mean", "max"] = "mean"
    """Reduction of the Chamfer distance's two directions."""
    cloud_points: int = 1024
    """Points of the true surface where they come from depth; each step draws others."""
    root: Literal["palm", "wrist"] = "palm"
    """Origin of 3D joints and clouds; `wrist` also for data whose joint 0 is the palm already."""
    view_normalised: bool = True
    """Turn poses and clouds as if the camera looked at the crop's centre, where intrinsics are known."""
    view_warped: bool = False
    """Turn pictures likewise, by a homography; else they stay as they are."""
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
    """Samples of the posterior whose decoded joints give the spread."""

    def __post_init__(self) -> None:
        widths = (
            self.encoder.resnet.width,
            self.head_width,
            self.mask_width,
            self.decoder_width,
            self.hidden,
            self.fold_width,
        )
        if self.encoder.resnet.layers != 18:
            raise ValueError("da-VAE's trunk is the first half of ResNet-34: leave encoder.layers at 18")
        if not all(8 <= width <= 8192 for width in widths):
            raise ValueError("widths and hidden are 8 to 8192")
        if not all(1 <= number <= 8192 for number in (*self.dims, self.groups)):
            raise ValueError("dims and groups are 1 to 8192")
        if not 2 <= self.grid <= 256 or not 1 <= self.cloud_points <= 65536:
            raise ValueError("grid is 2 to 256, cloud_points is 1 to 65536")
        if not 0 < self.mask_share < float("inf") or not 2 <= self.posterior_samples <= 4096:
            raise ValueError("mask_share is positive, posterior_samples is 2 to 4096")

        weights = (self.pose_weight, self.cloud_weight, self.image_weight, *self.betas)
        if not all(0 <= weight < float("inf") for weight in weights):
            raise ValueError("weights are not negative")

    @property
    def dims(self) -> tuple[int, int, int]:
        """Sizes of z1, z2 and z3."""
        return self.pose_dims, self.appearance_dims, self.shape_dims

    @property
    def keypoint_weight(self) -> float:
        """Weight of the keypoint error (ours); 0 without a detector that learns."""
        return self.encoder.keypoint_weight if isinstance(self.encoder, KeypointEncoder) else 0.0


@dataclass(frozen=True)
class DaLosses(Losses):
    """Terms of the objective, before their weights."""

    pose: Float[Tensor, ""]
    """Mean squared error of a coordinate, squared bone units."""
    cloud: Float[Tensor, ""]
    """Chamfer distance, bone units."""
    image: Float[Tensor, ""]
    """Mean squared error of a value of the masked picture."""
    keypoints: Float[Tensor, ""]
    """Mean squared error of a coordinate of the detector's joints, crop units; 0 unless it learns."""
    kl_pose: Float[Tensor, ""]
    """KL of z1 per dimension, nats."""
    kl_appearance: Float[Tensor, ""]
    """KL of z2 per dimension, nats."""
    kl_shape: Float[Tensor, ""]
    """KL of z3 per dimension, nats."""
    rate: Float[Tensor, ""]
    """KL of all of z, nats."""


@dataclass(frozen=True)
class DaMaskLosses(Losses):
    """Cross-entropy of the mask network, and the overlap of its masks with the true ones."""

    overlap: Float[Tensor, ""]


class DaVae(PoseEstimator):
    """da-VAE, or na-VAE."""

    config: DaVaeConfig
    sheet_rows = "pictures, masked pictures, reconstructions; 3D poses and labels; clouds and labels"

    def __init__(self, config: DaVaeConfig, spec: DataSpec, crop: Crop) -> None:
        super().__init__()
        self.fields = ("image", *_picture_labels(config, spec))
        self.config = config
        self.spec = spec
        self.crop = crop
        self.pose = "3d"
        self.root = config.root

        pose, appearance, shape = config.dims
        self.mask_net = MaskNet(
            crop.size_px, width=config.mask_width, stem=config.mask_stem, norm=config.norm
        )
        self.keypoint_backbone = build_keypoint_backbone(config.encoder, spec.joints, config.norm)
        self.encoder = SplitLatentEncoder(
            config.dims,
            resnet=config.encoder.resnet,
            head_width=config.head_width,
            attention=config.attention,
            groups=config.groups,
            norm=config.norm,
            keypoints=self.keypoint_backbone,
        )
        self.pose_decoder = nn.Sequential(
            mlp(pose, spec.joints * 3, config.hidden), nn.Unflatten(1, (spec.joints, 3))
        )
        self.cloud_decoder = FoldingDecoder(pose + shape, hidden=config.fold_width, grid=config.grid)
        self.image_decoder = DcganDecoder(
            pose + appearance + shape, 3, crop.size_px, width=config.decoder_width, norm=config.norm
        )
        self.has_trained_mask = False

    # ---------------------------------------------------------------- pretrained models

    def pretrained(self) -> dict[str, str]:
        """The mask network, where one is named, and the detector of a keypoint encoder."""
        mask = {"mask": self.config.mask} if self.config.mask else {}
        return mask | pretrained_detector(self.config.encoder)

    def attach(self, role: str, system: System) -> None:
        """Take over the weights of a trained mask network or detector.

        Raises:
            ValueError: the model does not fit, or the configuration names none.
        """
        if role == "mask":
            self._attach_mask(system)
        elif role == "detector" and self.keypoint_backbone is not None:
            self.keypoint_backbone.copy_detector(system, system.crop, self.crop)
        else:
            super().attach(role, system)

    def _attach_mask(self, system: System) -> None:
        net = next((module for module in system.modules() if isinstance(module, MaskNet)), None)
        if net is None:
            raise ValueError("the mask network is a model of `handvae train mask-net`, or that of a da-VAE")

        target = {name: value.shape for name, value in self.mask_net.state_dict().items()}
        if {name: value.shape for name, value in net.state_dict().items()} != target:
            raise ValueError(
                "the mask network named has other widths or another stem; "
                "set mask_width and mask_stem to its width and stem"
            )

        self.mask_net.load_state_dict(net.state_dict())
        self.has_trained_mask = True

    # ---------------------------------------------------------------- training

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The mask network, unless a trained one is named; then everything else."""
        pose = Stage("pose", trains=("all",))
        if self.config.mask:
            return (pose,)
        return (Stage("mask", trains=("mask",), share=self.config.mask_share), pose)

    @property
    def groups(self) -> dict[str, tuple[nn.Module, ...]]:
        """The mask network, and everything else that learns."""
        networks = (self.encoder, self.pose_decoder, self.cloud_decoder, self.image_decoder)
        if self.keypoint_backbone is not None and self.keypoint_backbone.learns:
            networks = (self.keypoint_backbone, *networks)
        return {"mask": (self.mask_net,), "all": networks}

    def prepare(self, labels: Hands) -> None:
        """Do nothing: bone units need no constants of the training labels."""

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """One optimiser step, of the mask network or of the rest."""
        if stage == "mask":
            image, mask = batch.require_all("image", "mask")
            logits = self.mask_net(image)
            losses = DaMaskLosses(total=mask_loss(logits, mask), overlap=overlap(logits, mask).mean())
            yield Phase(losses, "mask")
            return

        if self.config.mask and not self.has_trained_mask:
            raise ValueError("training needs the mask network that is named: attach it first")
        if self.keypoint_backbone is not None:
            self.keypoint_backbone.check_trained()

        image = self.encoder_input(batch)
        draw = noise.normal(len(batch), sum(self.config.dims)).to(image.device)
        cloud, has_cloud = self.cloud_of(batch, noise)
        masked = self.masked(image)
        latent = self.encode(image, masked)
        yield Phase(self.objective(batch, masked, cloud, has_cloud, latent, draw), "all")

    def objective(
        self,
        hands: Hands,
        masked: Float[Tensor, "batch 3 height width"],
        cloud: Float[Tensor, "batch point 3"],
        has_cloud: Bool[Tensor, " batch"],
        latent: Latent,
        draw: Float[Tensor, "batch latent"],
    ) -> DaLosses:
        """Eq. (3); each term is a mean over the hands that have its label."""
        config = self.config
        decoded = self.decode_factors(latent.sample(draw))

        # L_pose, L_cloud and L_RGB
        label_mask = self.labelled(hands)
        joints, _ = self.view_normalise(self.joints_of(hands), hands)
        weights = label_mask * self.label_weights(hands)
        pose = masked_mean(labelled_error(decoded.joints, joints, weights), label_mask.any(1))
        image = (decoded.image - masked).square().mean()
        surface = pose.new_zeros(())
        if config.cloud_weight:
            surface = masked_mean(chamfer(decoded.cloud, cloud, config.chamfer), has_cloud)

        # KLs, nats, of z1, z2 and z3
        kl_1, kl_2, kl_3 = (factor.kl().mean() for factor in latent.factors)
        kl_pose = kl_1 / config.pose_dims
        kl_appearance = kl_2 / config.appearance_dims
        kl_shape = kl_3 / config.shape_dims
        beta_1, beta_2, beta_3 = config.betas

        keypoints = pose.new_zeros(())
        if config.keypoint_weight:
            keypoints = self.keypoint_error(latent, hands)

        total = (
            config.pose_weight * pose  # eq. (3): alpha_1 L_pose
            + config.cloud_weight * surface  # eq. (3): alpha_2 L_cloud
            + config.image_weight * image  # eq. (3): alpha_3 L_RGB
            + beta_1 * kl_pose  # eq. (3): beta_1 KL_pose
            + beta_3 * kl_shape  # eq. (3): beta_2 KL_cloud
            + beta_2 * kl_appearance  # eq. (3): beta_3 KL_RGB
            + config.keypoint_weight * keypoints  # ours: the detector learns
        )
        return DaLosses(
            total=total,
            pose=pose,
            cloud=surface,
            image=image,
            keypoints=keypoints,
            kl_pose=kl_pose,
            kl_appearance=kl_appearance,
            kl_shape=kl_shape,
            rate=kl_1 + kl_2 + kl_3,
        )

    def keypoint_error(self, latent: Latent, hands: Hands) -> Float[Tensor, ""]:
        """Mean squared error of a coordinate of the detector's labelled joints, crop units."""
        assert latent.keypoints is not None
        target = to_crop_units(hands.require("joints_2d"), self.crop.size_px)
        error = (target - latent.keypoints).square().mean(2)
        return masked_mean(error.flatten(), self.labelled(hands).flatten())

    # ---------------------------------------------------------------- inputs and labels

    def encoder_input(self, hands: Hands) -> Float[Tensor, "batch 3 height width"]:
        """Pictures in [0, 1], turned to the normalised view if the configuration asks for it."""
        image = hands.require("image")
        if not (self.config.view_warped and self.config.view_normalised) or hands.intrinsics is None:
            return image
        return turn_picture(image, self.view_rotation(hands), hands.intrinsics)

    def joints_of(self, hands: Hands) -> Float[Tensor, "batch joint 3"]:
        """Joints relative to the root, in bone units, in the true camera's frame; 0 without a label."""
        return self.bone_unit_joints(hands)

    def view_normalise(
        self, points: Float[Tensor, "batch point 3"], hands: Hands
    ) -> tuple[Float[Tensor, "batch point 3"], Float[Tensor, "batch 3 3"]]:
        """Points as seen by a camera that looks straight at the crop's centre, and the rotation to there."""
        if not self.config.view_normalised or hands.intrinsics is None:
            return points, torch.eye(3, device=points.device).expand(len(points), 3, 3)
        centre = torch.full((len(points), 1, 2), self.crop.size_px / 2, device=points.device)
        ray = back_project(centre, torch.ones_like(centre[..., 0]), hands.intrinsics)
        return view_normalise(points, ray[:, 0])

    def view_rotation(self, hands: Hands) -> Float[Tensor, "batch 3 3"]:
        """The rotation of `view_normalise`."""
        image = hands.require("image")
        _, rotation = self.view_normalise(image.new_zeros(len(image), 1, 3), hands)
        return rotation

    def cloud_of(
        self, hands: Hands, noise: Noise
    ) -> tuple[Float[Tensor, "batch point 3"], Bool[Tensor, " batch"]]:
        """The visible surface as `Decoded.cloud` has it, and which hands have one; zeros for the others.

        The data's own points where it has them, else points drawn from the depth within the mask.
        """
        if not self.config.cloud_weight:
            image = hands.require("image")
            return image.new_zeros(len(hands), 1, 3), image.new_zeros(len(hands), dtype=torch.bool)

        if "depth" in self.fields:
            points, has_cloud = surface_points(hands, self.config.cloud_points, noise)
        else:
            points = hands.require("cloud")
            has_cloud = (points[..., 2] > 0).all(1)

        has_cloud = has_cloud & self.labelled(hands).any(1)

        cloud, _ = self.view_normalise(self.in_bone_units(points, hands), hands)
        return cloud.masked_fill(~has_cloud[:, None, None], 0.0), has_cloud

    # ---------------------------------------------------------------- networks

    @torch.no_grad()
    def masked(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """The hand on black; no gradient reaches the mask network."""
        return image * self.mask_net(image).sigmoid()

    def encode(
        self,
        image: Float[Tensor, "batch 3 height width"],
        masked: Float[Tensor, "batch 3 height width"] | None = None,
    ) -> Latent:
        """The posterior of z, given pictures in [0, 1] and, if at hand, the same after `masked`."""
        keypoints = None if self.keypoint_backbone is None else self.keypoint_backbone(image)
        if masked is None:
            masked = self.masked(image)
        return self.encoder(masked - 0.5, keypoints)

    def decode_factors(self, z: Float[Tensor, "batch latent"]) -> Decoded:
        """Joints from z1, a cloud from z1 and z3, a picture from all of z."""
        pose, appearance, shape = z.split(self.config.dims, 1)
        pose_read, shape_read = pose, shape
        if self.config.detach_across_factors:
            pose_read, shape_read = pose.detach(), shape.detach()

        joints = self.pose_decoder(pose)
        cloud = self.cloud_decoder(torch.cat([pose_read, shape], 1))
        image = self.image_decoder(torch.cat([pose_read, appearance, shape_read], 1))
        return Decoded(joints=joints.float(), cloud=cloud.float(), image=image.float() + 0.5)

    # ---------------------------------------------------------------- use

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "batch latent"]) -> Decoded:
        """What points of the latent space stand for, the picture in [0, 1]."""
        decoded = self.decode_factors(z)
        return Decoded(joints=decoded.joints, cloud=decoded.cloud, image=decoded.image.clamp(0, 1))

    @torch.no_grad()
    def predict_uncalibrated(self, hands: Hands, inputs: Sequence[Input] = ()) -> Prediction:
        """Read poses from pictures; in the true camera's frame where its intrinsics are given."""
        latent = self.encode(self.encoder_input(hands))
        rotation = self.view_rotation(hands)

        def decode_pose(z: Tensor) -> Tensor:
            return undo_view_normalise(self.pose_decoder(z).float(), rotation)

        return predict_by_samples(latent.pose, decode_pose, self.config.posterior_samples)

    @torch.no_grad()
    def summarise(self, batches: Iterable[Hands]) -> dict[str, float]:
        """Errors on training pictures, and the spread of each factor's posterior means."""
        errors, distances, means = [], [], []
        for number, batch in enumerate(batches):
            z = self.encode(self.encoder_input(batch)).mean
            decoded = self.decode(z)
            joints, _ = self.view_normalise(self.joints_of(batch), batch)
            cloud, has_cloud = self.cloud_of(batch, Noise(0, number))
            errors.append((decoded.joints - joints).norm(dim=2)[self.labelled(batch)])
            distances.append(chamfer(decoded.cloud[has_cloud], cloud[has_cloud]))
            means.append(z)

        # the mean of no hand at all is NaN
        pose, appearance, shape = torch.cat(means).std(0, correction=0).split(self.config.dims)
        return {
            "training_error": float(torch.cat(errors).mean()),
            "training_chamfer": float(torch.cat(distances).mean()),
            "pose_spread_mean": float(pose.mean()),
            "appearance_spread_mean": float(appearance.mean()),
            "shape_spread_mean": float(shape.mean()),
        }

    @torch.no_grad()
    def sample_sheet(self, batch: Hands, noise: Noise) -> Float[Tensor, "3 height width"]:
        """One column per hand; for the rows see `sheet_rows`."""
        image = self.encoder_input(batch)
        masked = self.masked(image)
        decoded = self.decode(self.encode(image, masked).mean)
        joints, _ = self.view_normalise(self.joints_of(batch), batch)
        cloud, _ = self.cloud_of(batch, noise)

        size = image.shape[-1]
        rows = [image, masked, decoded.image]
        rows += [drawn(self._in_crop(points), size) for points in (decoded.joints, joints)]
        rows += [dots(self._in_crop(points), size) for points in (decoded.cloud, cloud)]

        return image_grid(rows)

    def _in_crop(self, points: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 2"]:
        """Points seen along the axis, in the crop round them."""
        return in_own_crop(points[..., :2], self.crop.margin).nan_to_num()


def _picture_labels(config: DaVaeConfig, spec: DataSpec) -> tuple[Literal["depth", "mask"], ...]:
    """Pictures that a step needs besides RGB.

    Raises:
        ValueError: the data lack a label that the configuration needs.
    """
    offered = set(spec.modalities)
    cloud_from_depth = bool(config.cloud_weight) and "cloud" not in offered

    if "joints_3d" not in offered or spec.joints != len(PARENTS):
        raise ValueError(f"every hand must have joints_3d of {len(PARENTS)} joints; use data that has them")

    if config.keypoint_weight and "joints_2d" not in offered:
        raise ValueError(
            "a detector that learns needs joints_2d; "
            "set encoder.keypoint_weight to 0, or use data that has them"
        )

    if not config.mask and "mask" not in offered:
        raise ValueError(
            "to train a mask network needs masks; name a trained one (mask), or use data with masks"
        )

    if cloud_from_depth and not {"depth", "mask", "intrinsics"} <= offered:
        raise ValueError(
            "clouds need depth, masks and intrinsics of every hand; "
            "set cloud_weight to 0, or use data that has them"
        )

    if config.cloud_weight and spec.root != "camera":
        raise ValueError(
            "clouds need joints in the camera's frame; "
            "set cloud_weight to 0, or use data whose camera is known"
        )

    labels: list[Literal["depth", "mask"]] = []
    if cloud_from_depth:
        labels.append("depth")
    if cloud_from_depth or not config.mask:
        labels.append("mask")

    return tuple(labels)
