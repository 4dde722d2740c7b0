"""Reads a crop of either hand: whether it shows one, which, its joints in 2D and their relative depth.

Ours. 2D joints are means of heat maps (integral regression, Sun et al., ECCV 2018), depth is the mean of a
depth map under each joint's heat map ("2.5D" joints, Iqbal et al., ECCV 2018). A soft cross-entropy of the
heat maps teaches where joints are; with the error of the mean alone, training stands still at first.

    L = w_heat CE(heat, Gaussian at the joint) + w_joints |p - p^|_1 + w_depth |z - z^|_1
        + w_side CE(side) + w_presence CE(presence) + NLL(spread),

all but the last two over crops that show a hand. The gradient of the spread reaches no other layer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from handvae.data.crop import Crop, to_crop_units
from handvae.data.hands import DataSpec, Hands
from handvae.geometry import mirror_3d
from handvae.hand import BONES, LEFT, RIGHT, HandShape, bone_lengths, forward_kinematics, scale_bone
from handvae.losses import LABEL_SCALE, spread_weights, weighted_mean
from handvae.nets.blocks import MAX_WIDTH, Norm, halved
from handvae.nets.encoder import heat_centre
from handvae.nets.hourglass import Hourglass
from handvae.nets.limb_maps import limb_maps
from handvae.noise import Noise
from handvae.systems.one_stage import OneStage
from handvae.systems.sheet import image_grid
from handvae.systems.system import Input, Losses, Phase, PoseEstimator, Prediction

LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE = -12.0, 4.0
"""Bounds of the spread's logarithm: a spread of 0.0025 to 7 crop or bone units."""
LEAST_UNIT = 0.3
"""Bone units to a crop unit, at least: the hand's image is then a third of a bone wide in the whole crop."""


@dataclass(frozen=True)
class HandReaderConfig:
    """Every choice of the reader."""

    widths: tuple[int, ...] = (32, 64, 128, 192, 256)
    """Channels of the stem and of the stages, each of half the size of the one before."""
    blocks: tuple[int, ...] = (1, 2, 2, 1)
    """Residual blocks of each stage."""
    hidden: int = 128
    """Width of the layer from which side and presence are told."""
    norm: Norm = "batch"
    """Normalisation."""
    heat_sigma: float = 1.0
    """Standard deviation of the Gaussian that a heat map is to show, in its cells."""
    heat_weight: float = 0.5
    """Weight of the heat maps' cross-entropy."""
    joint_weight: float = 10.0
    """Weight of the 2D joints' absolute error, crop units."""
    depth_weight: float = 1.0
    """Weight of the relative depth's absolute error, bone units."""
    pseudo_depth: float = 0.3
    """Factor of that weight for hands whose labels are another detector's (their `joint_spread` is not 0)."""
    side_weight: float = 0.3
    """Weight of the side's cross-entropy."""
    presence_weight: float = 0.3
    """Weight of the presence's cross-entropy."""
    label_scale: float = LABEL_SCALE
    """Spread of a 2D label, over the hand's size, at which it counts half."""

    def __post_init__(self) -> None:
        layers = (*self.widths, self.hidden)
        if len(self.widths) < 3 or not all(1 <= width <= MAX_WIDTH for width in layers):
            raise ValueError(f"widths holds three numbers or more; they and hidden are 1 to {MAX_WIDTH}")
        if len(self.blocks) != len(self.widths) - 1 or not all(0 <= count <= 16 for count in self.blocks):
            raise ValueError("blocks holds a number from 0 to 16 for each stage after the stem")

        weights = (self.heat_weight, self.joint_weight, self.depth_weight, self.pseudo_depth)
        if not all(0 <= weight < 1e6 for weight in (*weights, self.side_weight, self.presence_weight)):
            raise ValueError("weights are not negative")
        if not 0 < self.heat_sigma < 100 or not 0 < self.label_scale < 100:
            raise ValueError("heat_sigma and label_scale are positive")


@dataclass(frozen=True)
class Reading:
    """What the network reads in crops."""

    heat: Float[Tensor, "batch joint size size"]
    """Log-odds of each joint's place."""
    joints: Float[Tensor, "batch joint 3"]
    """x and y in crop units, z relative to the wrist in bone units."""
    log_variance: Float[Tensor, "batch joint 3"]
    side: Float[Tensor, " batch"]
    """Log-odds of a right hand."""
    presence: Float[Tensor, " batch"]
    """Log-odds of a hand."""


@dataclass(frozen=True)
class Observation:
    """What is seen in crops, as numbers to use: of a mirrored crop, the mirrored hand exactly."""

    joints: Float[Tensor, "batch joint 3"]
    """x and y in crop units, z relative to the wrist in bone units."""
    spread: Float[Tensor, "batch joint 3"]
    """Standard deviations, likewise."""
    right: Float[Tensor, " batch"]
    """Probability of a right hand."""
    present: Float[Tensor, " batch"]
    """Probability of a hand."""


@dataclass(frozen=True)
class ReaderLosses(Losses):
    """Terms of the objective, unweighted; the last three are logged only."""

    heat: Float[Tensor, ""]
    joints: Float[Tensor, ""]
    depth: Float[Tensor, ""]
    side: Float[Tensor, ""]
    presence: Float[Tensor, ""]
    spread: Float[Tensor, ""]
    error: Float[Tensor, ""]
    """Mean distance of a joint, crop units."""
    side_right: Float[Tensor, ""]
    """Share of hands whose side is right."""
    presence_right: Float[Tensor, ""]
    """Share of crops whose presence is right."""


class HandReader(OneStage, PoseEstimator):
    """One network for all of it."""

    config: HandReaderConfig
    pose = "2d"
    objectives = ("objective",)
    summarised = ("error", "depth", "side_right", "presence_right")
    sheet_rows = "crops, joints read from them, labels"

    def __init__(self, config: HandReaderConfig, spec: DataSpec, crop: Crop) -> None:
        super().__init__()
        if "joints_3d" not in spec.modalities or "side" not in spec.modalities:
            raise ValueError("a hand reader needs keypoints_3d and hand_side in the data")

        self.config = config
        self.spec = spec
        self.crop = crop

        halved(crop.size_px, len(config.widths))  # refuses what cannot be halved so often
        joints, fine, coarse = spec.joints, config.widths[1], config.widths[-1]
        self.trunk = Hourglass(config.widths, config.blocks, config.norm)
        self.heat = nn.Conv2d(fine, joints, 1)
        self.depth = nn.Conv2d(fine, joints, 1)
        self.depth_offset = nn.Linear(coarse, joints)
        self.log_variance = nn.Conv2d(fine, 3 * joints, 1)
        self.hidden = nn.Sequential(nn.Linear(coarse + 3 * joints, config.hidden), nn.ReLU())
        self.side_and_presence = nn.Linear(config.hidden, 2)

    def read(self, image: Float[Tensor, "batch 3 height width"]) -> Reading:
        """Read crops in [0, 1]."""
        fine, coarse = self.trunk(image * 2 - 1)
        pooled = coarse.mean((2, 3)).float()

        # Joints: means under the heat maps; depth has a term of the whole picture besides.
        heat = self.heat(fine).float()
        heatmaps, centres = heat_centre(heat)
        depth = (heatmaps * self.depth(fine).float()).sum((2, 3)) + self.depth_offset(pooled).float()
        depth = depth - depth[:, :1]
        joints = torch.cat([centres.mean, depth[..., None]], 2)

        # Spread, by layers of its own.
        maps = self.log_variance(fine.detach()).float().unflatten(1, (-1, 3))
        log_variance = (heatmaps.detach()[:, :, None] * maps).sum((3, 4))
        log_variance = log_variance.clamp(LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE)

        # Side and presence: a pose in space tells left from right where the picture alone does not.
        code = self.hidden(torch.cat([pooled, joints.detach().flatten(1)], 1))
        side, presence = self.side_and_presence(code).float().unbind(1)

        return Reading(heat=heat, joints=joints, log_variance=log_variance, side=side, presence=presence)

    # ---------------------------------------------------------------- training

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """One optimiser step."""
        present = batch.present
        if present is None:
            present = torch.ones(len(batch), dtype=torch.bool, device=batch.require("image").device)

        losses = self.objective(
            batch.require("image"),
            self.targets(batch),
            self.labelled(batch),
            self.plane_and_depth_weights(batch),
            batch.require("side"),
            present,
        )
        yield Phase(losses, group="all")

    def objective(
        self,
        image: Float[Tensor, "batch 3 height width"],
        target: Float[Tensor, "batch joint 3"],
        labelled: Bool[Tensor, "batch joint"],
        weights: Float[Tensor, "batch joint 2"],
        side: Int[Tensor, " batch"],
        present: Bool[Tensor, " batch"],
    ) -> ReaderLosses:
        """The loss of one batch; pure in its arguments, so it can be compiled."""
        config = self.config
        reading = self.read(image)

        # a heat map ends at the crop's border: joints beyond it have a depth, but no place
        inside = labelled & (target[..., :2].abs() <= 1).all(-1)
        in_plane = inside * weights[..., 0]
        in_depth = labelled * weights[..., 1]

        target_maps = gaussian_maps(target[..., :2], reading.heat.shape[-1], config.heat_sigma)
        cross_entropy = -(target_maps * reading.heat.flatten(2).log_softmax(-1)).sum(-1)
        heat = weighted_mean(cross_entropy, in_plane)

        difference = target - reading.joints
        joints = weighted_mean(difference[..., :2].abs().sum(-1), in_plane)
        depth = weighted_mean(difference[..., 2].abs(), in_depth)

        sided = present & ((side == LEFT) | (side == RIGHT))
        side_error = F.binary_cross_entropy_with_logits(
            reading.side, (side == RIGHT).float(), reduction="none"
        )
        side_loss = weighted_mean(side_error, sided.float())
        presence = F.binary_cross_entropy_with_logits(reading.presence, present.float())

        # the likelihood of the errors as they are: it moves the spread's layers alone
        square = difference.detach().square() / reading.log_variance.exp()
        likelihood = 0.5 * (square + reading.log_variance)
        spread = weighted_mean(likelihood[..., :2].sum(-1), inside.float())
        spread = spread + weighted_mean(likelihood[..., 2], labelled.float())

        total = (
            config.heat_weight * heat
            + config.joint_weight * joints
            + config.depth_weight * depth
            + config.side_weight * side_loss
            + config.presence_weight * presence
            + 0.1 * spread
        )
        return ReaderLosses(
            total=total,
            heat=heat,
            joints=joints,
            depth=depth,
            side=side_loss,
            presence=presence,
            spread=spread,
            error=weighted_mean(difference[..., :2].detach().norm(dim=-1), inside.float()),
            side_right=weighted_mean(((reading.side > 0) == (side == RIGHT)).float(), sided.float()),
            presence_right=((reading.presence > 0) == present).float().mean(),
        )

    def targets(self, hands: Hands) -> Float[Tensor, "batch joint 3"]:
        """Labels in the unit of `Reading.joints`; finite also for joints without a label."""
        flat = to_crop_units(hands.require("joints_2d"), self.crop.size_px)
        joints = hands.require("joints_3d")
        depth = (joints[..., 2] - joints[:, :1, 2]) / scale_bone(joints)[:, None].clamp_min(1e-3)
        values = torch.cat([flat, depth[..., None]], 2)
        return values.masked_fill(~self.labelled(hands)[..., None], 0.0)

    def plane_and_depth_weights(self, hands: Hands) -> Float[Tensor, "batch joint 2"]:
        """How much each label counts, in the picture's plane and in depth."""
        joints, spread = hands.require("joints_2d"), hands.joint_spread
        if spread is None:
            return torch.ones_like(joints)

        in_plane = spread_weights(joints, spread, self.labelled(hands), self.config.label_scale)
        in_depth = torch.where(spread > 0, self.config.pseudo_depth, 1.0)
        return torch.stack([in_plane, in_depth.to(in_plane)], 2)

    # ---------------------------------------------------------------- use

    @torch.no_grad()
    def observe(self, image: Float[Tensor, "batch 3 height width"]) -> Observation:
        """See crops in [0, 1] as they are and in a mirror, and take the mean of both readings."""
        reading = self.read(torch.cat([image, image.flip(-1)]))
        joints, mirrored = reading.joints.chunk(2)
        log_variance = reading.log_variance.chunk(2)
        side, presence = reading.side.chunk(2), reading.presence.chunk(2)

        # sums of two terms: they do not depend on which picture came first
        return Observation(
            joints=(joints + mirror_3d(mirrored)) / 2,
            spread=((log_variance[0] + log_variance[1]) / 4).exp(),
            right=((side[0] - side[1]) / 2).sigmoid(),
            present=((presence[0] + presence[1]) / 2).sigmoid(),
        )

    def joints_of(self, hands: Hands) -> Float[Tensor, "batch joint 2"]:
        """The joints of crops in crop units."""
        return to_crop_units(hands.require("joints_2d"), self.crop.size_px)

    @torch.no_grad()
    def predict_uncalibrated(self, hands: Hands, inputs: Sequence[Input] = ()) -> Prediction:
        """2D joints of crops in [0, 1]; `observe` also tells depth, side and presence."""
        seen = self.observe(hands.require("image"))
        return Prediction(seen.joints[..., :2], seen.spread[..., :2])

    @torch.no_grad()
    def sample_sheet(self, batch: Hands, noise: Noise) -> Float[Tensor, "3 height width"]:
        """See `sheet_rows`; a column for each crop, without joints where no hand is."""
        image = batch.require("image")
        reading = self.read(image)
        predicted = _with_limbs(image, reading.joints[..., :2], reading.presence > 0)
        labelled = _with_limbs(image, self.joints_of(batch), self.labelled(batch).any(1))
        return image_grid([image, predicted, labelled])


def mean_bones() -> Float[Tensor, " bone"]:
    """Lengths of the mean hand's 20 bones, in order of `hand.BONES`, bone units."""
    resting = forward_kinematics(torch.zeros(5, 4), HandShape.mean()).joints
    return bone_lengths(resting) / scale_bone(resting)


def in_space(
    joints: Float[Tensor, "batch joint 3"], spread: Float[Tensor, "batch joint 3"]
) -> tuple[Float[Tensor, "batch joint 3"], Float[Tensor, "batch joint 3"]]:
    """Joints relative to the wrist, and their spread, with all axes in bone units.

    The picture tells x and y only up to a scale s, bone units to a crop unit. It is the one at which bones
    are as long as the mean hand's, l: the least squares of s^2 |x, y|^2 + z^2 - l^2 over all bones.

    Args:
        joints: x and y in crop units, z in bone units, as in `Observation`.
        spread: likewise.
    """
    parents, children = (list(ends) for ends in zip(*BONES, strict=True))
    bones = joints[:, children] - joints[:, parents]
    in_plane = bones[..., :2].square().sum(-1)
    wanted = mean_bones().to(joints).square() - bones[..., 2].square()

    # of a hand that is seen along all its bones nothing is left in the plane
    square = (in_plane * wanted).sum(1) / in_plane.square().sum(1).clamp_min(1e-12)
    unit = square.clamp_min(LEAST_UNIT**2).sqrt()
    scale = torch.stack([unit, unit, torch.ones_like(unit)], 1)[:, None]
    return (joints - joints[:, :1]) * scale, spread * scale


def gaussian_maps(
    joints: Float[Tensor, "batch joint 2"], size: int, sigma: float
) -> Float[Tensor, "batch joint cells"]:
    """Maps of `size` x `size` cells that sum to 1: a Gaussian at each joint, in crop units.

    Args:
        joints: crop units.
        size: cells of a side.
        sigma: standard deviation, cells.
    """
    centres = (torch.arange(size, device=joints.device) + 0.5) * (2 / size) - 1
    distance = (centres - joints[..., None]) * (size / 2 / sigma)
    columns, rows = (-0.5 * distance.square()).softmax(-1).unbind(2)
    return (rows[..., :, None] * columns[..., None, :]).flatten(2)


def _with_limbs(image: Tensor, joints: Tensor, drawn: Tensor) -> Tensor:
    """Limbs painted over the images of hands that are drawn."""
    cover = limb_maps(joints, image.shape[-1], 0.015).amax(1, keepdim=True) * drawn[:, None, None, None]
    colour = image.new_tensor([1.0, 0.3, 0.1])[:, None, None]
    return image * (1 - cover) + cover * colour
