"""Joints read from a crop by one network: what the detector and the transformer share. They differ in the
network alone (`read`).

For joints p of a picture x, the network's mean p^(x) and variance v(x), training minimises, averaged over
labelled joints,
    l1, l2      |p - p^|  or  |p - p^|^2,  and beside it the Gaussian negative log-likelihood of v alone: the network and p^ do not feel it
    nll         1/2 [(p - p^)^2 / v + log v]                of both together
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from handvae.data.crop import Crop, in_own_crop, to_crop_units
from handvae.data.hands import DataSpec, Hands
from handvae.hand import PARENTS, to_bone_units
from handvae.nets.limb_maps import limb_maps
from handvae.noise import Noise
from handvae.rv import RandomVariable
from handvae.rv.losses import point_error
from handvae.systems.system import Input, Losses, Phase, PoseEstimator, Prediction, Stage

SHEET_PX = 128
"""Side of a cell of the sample sheet, at least."""


@dataclass(frozen=True)
class KeypointRegressionConfig:
    """What is read, and how it is taught."""

    pose: Literal["2d", "3d"] = "2d"
    """What it reads: crop-relative 2D joints, or root-relative 3D joints in bone units."""
    loss: Literal["l1", "l2", "nll"] = "l1"
    """Of the joints: absolute or squared error, the spread learned beside it; or the likelihood of both."""

    @property
    def axes(self) -> int:
        """Coordinates per joint."""
        return 2 if self.pose == "2d" else 3

    @property
    def spread_apart(self) -> bool:
        """Whether the spread is learned from what the joints have taught the network, and teaches it
        nothing."""
        return self.loss != "nll"


@dataclass(frozen=True)
class JointLosses(Losses):
    """Parts of the objective; `error` is logged only, comparable across all options."""

    pose: Float[Tensor, ""]
    spread: Float[Tensor, ""]
    """Negative log-likelihood by which the spread is learned; 0 with `loss="nll"`, where `pose` holds it."""
    error: Float[Tensor, ""]
    """Mean distance of a joint, crop or bone units."""


Config = TypeVar("Config", bound=KeypointRegressionConfig, covariant=True)


class KeypointRegressor(PoseEstimator, Generic[Config]):
    """How joints are taught and told; a system adds the network."""

    config: Config
    objectives = ("objective",)
    sheet_rows = "real pictures, joints read from them, labels"

    def __init__(self, config: Config, spec: DataSpec, crop: Crop) -> None:
        super().__init__()
        self.config, self.spec, self.crop, self.pose = config, spec, crop, config.pose
        if config.pose == "3d" and "joints_3d" not in spec.modalities:
            raise ValueError("pose='3d' needs keypoints_3d in the data; add them, or use pose='2d'")

    @abstractmethod
    def read(self, image: Float[Tensor, "batch 3 height width"]) -> RandomVariable:
        """Joints (batch, joint, axis) of pictures in [0, 1], as mean and variance."""

    # ---------------------------------------------------------------- training

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One: everything is trained together."""
        return (Stage("all", trains=("all",)),)

    @property
    def groups(self) -> dict[str, tuple[nn.Module, ...]]:
        """One: the whole network."""
        return {"all": tuple(self.children())}

    def prepare(self, labels: Hands) -> None:
        """Crop units and bone units are the network's own: nothing is taken from the labels."""

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """One optimiser step."""
        image = batch.require("image")
        joints = self.joints_of(batch)
        yield Phase(self.objective(image, joints, self.labelled(batch)), group="all")

    def objective(
        self,
        image: Float[Tensor, "batch 3 height width"],
        joints: Float[Tensor, "batch joint axis"],
        valid: Bool[Tensor, "batch joint"],
    ) -> JointLosses:
        """The loss of one batch; pure in its arguments, so it can be compiled."""
        read = self.read(image)
        error = joints - read.mean
        spread = torch.zeros((), device=image.device)
        match self.config.loss:
            case "l1":
                pose = _mean_labelled(error.abs().sum(2), valid)
            case "l2":
                pose = _mean_labelled(error.square().sum(2), valid)
            case "nll":
                pose = point_error(joints, read, "nll", valid=valid).mean()
        if self.config.loss != "nll":
            spread = point_error(
                joints, RandomVariable(read.mean.detach(), read.var), "nll", valid=valid
            ).mean()
        distance = _mean_labelled(error.detach().norm(dim=2), valid)
        return JointLosses(total=pose + spread, pose=pose, spread=spread, error=distance)

    # ---------------------------------------------------------------- use

    def joints_of(self, hands: Hands) -> Float[Tensor, "batch joint axis"]:
        """The joints of crops in crop units (2D) or root-relative bone units (3D)."""
        if self.config.pose == "2d":
            joints = hands.require("joints_2d")
            return to_crop_units(joints, self.crop.size_px)
        joints = hands.require("joints_3d")
        return to_bone_units(joints, "wrist").masked_fill(~self.labelled(hands)[..., None], 0.0)

    @torch.no_grad()
    def predict_uncalibrated(self, hands: Hands, inputs: Sequence[Input] = ()) -> Prediction:
        """Read poses from crops in [0, 1]."""
        image = hands.require("image")
        found = self.read(image)
        return Prediction(found.mean, found.std)

    @torch.no_grad()
    def summarise(self, batches: Iterable[Hands]) -> dict[str, float]:
        """Error and spread on training pictures; nothing is kept."""
        losses = [(len(batch), next(self.step(batch, "all", Noise(0))).losses) for batch in batches]
        count = sum(size for size, _ in losses)
        return {
            f"training_{name}": sum(size * loss.scalars()[name] for size, loss in losses) / count
            for name in ("error", "pose", "spread")
        }

    @torch.no_grad()
    def sample_sheet(self, batch: Hands, noise: Noise) -> Float[Tensor, "3 height width"]:
        """Rows: pictures, the joints read from them, their labels; a hand a column."""
        image = batch.require("image")
        large = F.interpolate(image, scale_factor=float(max(1, round(SHEET_PX / image.shape[-1]))))
        read, labelled = self.predict_uncalibrated(Hands(image=image)).joints, self.joints_of(batch)
        rows = [
            large,
            self._drawn(large, read, (1.0, 0.3, 0.1)),
            self._drawn(large, labelled, (0.1, 0.7, 1.0)),
        ]
        return torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)

    def _drawn(self, image: Tensor, joints: Tensor, colour: tuple[float, float, float]) -> Tensor:
        """Limbs painted over pictures; joints that are no hand of 21 are left out."""
        if joints.shape[1] != len(PARENTS):
            return image
        flat = joints if self.config.pose == "2d" else in_own_crop(joints[..., :2], self.crop.margin)
        cover = limb_maps(flat, image.shape[-1], 0.015).amax(1, keepdim=True)
        return image * (1 - cover) + cover * image.new_tensor(colour)[:, None, None]


def _mean_labelled(
    points: Float[Tensor, "batch joint"], valid: Bool[Tensor, "batch joint"]
) -> Float[Tensor, ""]:
    """Mean over the labelled joints of each hand, then over hands."""
    return ((points * valid).sum(1) / valid.sum(1).clamp_min(1)).mean()
