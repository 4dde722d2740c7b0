"""Disentangled VAE for hands (Yang and Yao, CVPR 2019): what its two tasks share.

"Disentangling Latent Hands for Image Synthesis and Pose Estimation". The latent z is the concatenation of one
part per known factor, z = [z_y1, z_y2], or of z_y1 and z_u, which holds what an image x has beside y1.
Training has two steps, one after the other; with R a sum of squared errors (of joints in mm) it minimises
    disentangle   lx R(x | z) + ly sum_i R(yi | z_yi) + b KL(q(z | y1, y2) || N(0, I))       eq. (2)
    embed         the same terms with z from q(z | x), all decoders fixed                    eq. (4)
                  or with z from q(z | x^) of another modality x^                            eq. (8)

The tasks are systems of their own: `dvae_image` synthesises images by algorithms 1 and 2, `dvae_pose`
estimates poses, and `dvae_layers` is our variant with hand and ground apart.
Open details and what we chose: docs/papers/dvae.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from handvae import rv
from handvae.data.hands import DataSpec, Hands
from handvae.hand import PARENTS, scale_bone
from handvae.nets.blocks import Norm
from handvae.nets.encoder import GaussianHead
from handvae.nets.mlp import hidden_layers, mlp
from handvae.nets.resnet import ResNet
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
    """Channels of the image encoders' first stage."""
    stem: Literal["quarter", "half"] = "quarter"
    """`half` leaves out the trunk's first pooling, for small images."""
    hidden: int = 512
    """Width of the joint networks."""
    norm: Norm = "batch"
    """Normalisation."""
    posterior_samples: int = 32
    """Draws from the posterior whose decoded joints give the spread."""

    def __post_init__(self) -> None:
        widths = (self.factor_dims, self.trunk_width, self.hidden)
        if not all(1 <= width <= 8192 for width in widths):
            raise ValueError("factor_dims, trunk_width and hidden are 1 to 8192")
        if not 0 < self.embed_share < float("inf") or not 2 <= self.posterior_samples <= 4096:
            raise ValueError("embed_share is positive, posterior_samples is 2 to 4096")
        if not all(0 <= weight < float("inf") for weight in (self.x_weight, self.factor_weight)):
            raise ValueError("weights are not negative")


@dataclass(frozen=True)
class DvaeLosses(Losses):
    """Terms of the objective, before their weights."""

    x: Float[Tensor, ""]
    y1: Float[Tensor, ""]
    y2: Float[Tensor, ""]
    """Sum over all factors but the first."""
    rate: Float[Tensor, ""]
    """KL in nats."""


# ------------------------------------------------------------------------------------------------- networks


def image_encoder(config: DvaeConfig, size_px: int, dims: int) -> nn.Module:
    """Images, centred on 0, to a Gaussian of `dims` values."""
    trunk = ResNet(3, size_px, width=config.trunk_width, pool="global", stem=config.stem, norm=config.norm)
    return nn.Sequential(trunk, GaussianHead(trunk.features, dims))


def vector_encoder(config: DvaeConfig, values: int) -> nn.Module:
    """`values` numbers, of any shape, to the Gaussian of one part of z."""
    layers = hidden_layers(values, config.hidden)
    return nn.Sequential(nn.Flatten(), layers, GaussianHead(config.hidden, config.factor_dims))


def joint_decoder(config: DvaeConfig, dims: int, joints: int) -> nn.Module:
    """`dims` values of z to joints in bone units."""
    return nn.Sequential(mlp(dims, joints * 3, config.hidden), nn.Unflatten(1, (joints, 3)))


def centred_image(
    decoded: Float[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch channel height width"]:
    """A decoder's output as an image centred on 0: half a tanh, in [-0.5, 0.5]."""
    return 0.5 * torch.tanh(decoded.float())


def joint_posterior(factors: Sequence[RandomVariable]) -> RandomVariable:
    """q(z | y1, y2): the factors are independent, so their moments are concatenated."""
    return cast(RandomVariable, rv.cat(factors, 1))


def sum_of_squares(
    prediction: Tensor, target: Tensor, unit: Float[Tensor, " batch"] | None = None
) -> Float[Tensor, " batch"]:
    """R: the sum of squared errors of each hand, with `unit` (mm) in squares of that unit."""
    error = (prediction.float() - target).square().flatten(1).sum(1)
    return error if unit is None else error * unit.square()


# ----------------------------------------------------------------------------------------- stages and labels


class Dvae(PoseEstimator):
    """The two steps of training, and 3D poses in bone units."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """First the factors with all decoders, then the image encoder alone."""
        return (
            Stage("disentangle", trains=("factors",)),
            Stage("embed", trains=("image",), share=self.config.embed_share),
        )

    def prepare(self, labels: Hands) -> None:
        """The networks work in bone units: nothing is taken from the labels."""

    def joints_of(self, hands: Hands) -> Float[Tensor, "batch joint 3"]:
        """Joints relative to the root in bone units; 0 where there is no label."""
        return self.bone_unit_joints(hands)

    def bones_mm(self, hands: Hands, labelled: Bool[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Length of a bone unit in mm; 1 for hands that do not count."""
        return torch.where(labelled, scale_bone(hands.require("joints_3d")), 1.0)


def require_labels(spec: DataSpec, needed: Sequence[str], remedy: str = "use data that has it") -> None:
    """Refuse data whose hands lack the labels of a factor.

    Raises:
        ValueError: names the missing labels and the remedy.
    """
    missing = [name for name in needed if name not in spec.modalities]
    if missing:
        raise ValueError(f"every hand must have {', '.join(missing)}; {remedy}")
    if spec.joints != len(PARENTS):
        expected = f"poses are hands of {len(PARENTS)} joints"
        raise ValueError(f"{expected}, the data has {spec.joints}; use data of {len(PARENTS)}")
