"""Disentangled VAE for hands (Yang, Yao, "Disentangling Latent Hands for Image Synthesis and Pose
Estimation", CVPR 2019): the core.

z falls into parts z_y1, z_y2 of known factors y1, y2 (or z_u, what the picture holds beside y1). Two steps,
one after the other:
    disentangle    lx R(x | z) + ly sum_i R(y_i | z_yi) + b KL(q(z | y1, y2) || N(0, I)),   z from the factors                eq. (2)
    embed          the same with z from q(z | x), or from another modality x^; all decoders fixed                     eq. (4), (8)
R is a sum of squared errors, of joints in mm. The paper's two tasks are systems of their own: `DvaeImage`
(`dvae_image`) makes pictures,
`DvaePose` (`dvae_pose`) reads poses. Open details and what we chose: docs/papers/dvae.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from handvae.data.hands import DataSpec, Hands
from handvae.hand import PARENTS, scale_bone, to_bone_units
from handvae.nets.blocks import Norm
from handvae.nets.encoder import GaussianHead
from handvae.nets.mlp import hidden_layers, mlp
from handvae.nets.resnet import ResNet18
from handvae.rv import RandomVariable
from handvae.systems.system import Losses, PoseEstimator, Stage


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
class DvaeLosses(Losses):
    """Parts of the objective, before their weights."""

    x: Float[Tensor, ""]
    y1: Float[Tensor, ""]
    y2: Float[Tensor, ""]
    """Of all factors but the first."""
    rate: Float[Tensor, ""]
    """KL in nats."""


def picture_encoder(config: DvaeConfig, size_px: int, dims: int) -> nn.Module:
    """Pictures, centred on 0, to a Gaussian of so many values."""
    trunk = ResNet18(3, size_px, width=config.trunk_width, pool="global", stem=config.stem, norm=config.norm)
    return nn.Sequential(trunk, GaussianHead(trunk.features, dims))


def vector_encoder(config: DvaeConfig, numbers: int) -> nn.Module:
    """So many numbers, of any shape, to the Gaussian of a part of z."""
    return nn.Sequential(
        nn.Flatten(), hidden_layers(numbers, config.hidden), GaussianHead(config.hidden, config.factor_dims)
    )


def joint_decoder(config: DvaeConfig, dims: int, joints: int) -> nn.Module:
    """So many values of z to joints in bone units."""
    return nn.Sequential(mlp(dims, joints * 3, config.hidden), nn.Unflatten(1, (joints, 3)))


def joined(parts: Sequence[RandomVariable]) -> RandomVariable:
    """q(z | y1, y2): the parts side by side."""
    mean, var = (
        torch.cat(moments, 1)
        for moments in ([part.mean for part in parts], [part.var_or_zeros() for part in parts])
    )
    return RandomVariable(mean, var)


def squared(decoded: Tensor, wanted: Tensor, unit: Tensor | None = None) -> Float[Tensor, " batch"]:
    """Sum of squared errors of each hand, of values in units of their own where `unit` is given."""
    error = (decoded.float() - wanted).square().flatten(1).sum(1)
    return error if unit is None else error * unit.square()


def mean_over(values: Float[Tensor, " batch"], counted: Bool[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Mean over the hands that count; 0 where none does."""
    return torch.where(counted, values, 0.0).sum() / counted.sum().clamp_min(1)


class Dvae(PoseEstimator):
    """What both tasks do alike with poses and stages."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """First the factors and all decoders, then the picture's encoder alone."""
        return (
            Stage("disentangle", trains=("factors",)),
            Stage("embed", trains=("image",), share=self.config.embed_share),
        )

    def prepare(self, labels: Hands) -> None:
        """Bone units are the network's own: nothing is taken from the labels."""

    def joints_of(self, hands: Hands) -> Float[Tensor, "batch joint 3"]:
        """Joints relative to the root in bone units; 0 where there is no label."""
        joints = hands.require("joints_3d")
        return to_bone_units(joints, self.config.root).masked_fill(~self.labelled(hands)[..., None], 0.0)

    def bones_mm(self, hands: Hands, whole: Bool[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Length of a bone unit; 1 for hands that do not count."""
        joints = hands.require("joints_3d")
        return torch.where(whole, scale_bone(joints), 1.0)


def need_labels(spec: DataSpec, needed: Sequence[str], remedy: str = "use data that has it") -> None:
    """Refuse data whose hands lack what the factors are made of.

    Raises:
        ValueError: says what is lacking, and the remedy.
    """
    missing = [name for name in needed if name not in spec.modalities]
    if missing:
        raise ValueError(f"every hand must have {', '.join(missing)}; {remedy}")
    if spec.joints != len(PARENTS):
        raise ValueError(
            f"poses are hands of {len(PARENTS)} joints, the data has {spec.joints}; use data of {len(PARENTS)}"
        )
