"""Joints predicted from a crop by one network: what the detector and the transformer share.

They differ in the network alone (`read`). For joints p of an image x, the network's mean p^(x) and variance
v(x), training minimises, averaged over labelled joints,
    l1, l2   |p - p^|  or  |p - p^|^2,  plus the Gaussian negative log-likelihood of v alone, whose gradient
             reaches neither p^ nor the rest of the network
    nll      1/2 [(p - p^)^2 / v + log v]  of both together
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from handvae.data.crop import Crop, in_own_crop, to_crop_units
from handvae.data.hands import DataSpec, Hands
from handvae.hand import PARENTS
from handvae.nets.limb_maps import limb_maps
from handvae.noise import Noise
from handvae.rv import RandomVariable
from handvae.rv.losses import point_error
from handvae.systems.one_stage import OneStage
from handvae.systems.sheet import image_grid
from handvae.systems.system import Input, Losses, Phase, PoseEstimator, Prediction

SHEET_PX = 128
"""Side of a cell of the sample sheet, at least."""
PREDICTION_COLOUR, LABEL_COLOUR = (1.0, 0.3, 0.1), (0.1, 0.7, 1.0)
"""RGB of the limbs on it."""


@dataclass(frozen=True)
class KeypointRegressionConfig:
    """What is predicted, and by which loss."""

    pose: Literal["2d", "3d"] = "2d"
    """What is predicted: crop-relative 2D joints, or root-relative 3D joints in bone units."""
    loss: Literal["l1", "l2", "nll"] = "l1"
    """Loss of the joints: absolute or squared error, the spread learned apart; or the likelihood of both."""

    @property
    def axes(self) -> int:
        """Coordinates per joint."""
        return 2 if self.pose == "2d" else 3

    @property
    def spread_apart(self) -> bool:
        """Whether the spread's gradient is kept out of the rest of the network."""
        return self.loss != "nll"


@dataclass(frozen=True)
class JointLosses(Losses):
    """Terms of the objective; `error` is logged only, to compare options."""

    pose: Float[Tensor, ""]
    spread: Float[Tensor, ""]
    """Negative log-likelihood by which the spread is learned; 0 with `loss="nll"`, where `pose` holds it."""
    error: Float[Tensor, ""]
    """Mean distance of a joint, crop or bone units."""


Config = TypeVar("Config", bound=KeypointRegressionConfig, covariant=True)


class KeypointRegressor(OneStage, PoseEstimator, Generic[Config]):
    """Training and prediction of joints; a system adds the network."""

    config: Config
    objectives = ("objective",)
    summarised = ("error", "pose", "spread")
    sheet_rows = "real pictures, joints read from them, labels"

    def __init__(self, config: Config, spec: DataSpec, crop: Crop) -> None:
        super().__init__()
        self.config = config
        self.spec = spec
        self.crop = crop
        self.pose = config.pose
        if config.pose == "3d" and "joints_3d" not in spec.modalities:
            raise ValueError("pose='3d' needs keypoints_3d in the data; add them, or use pose='2d'")

    @abstractmethod
    def read(self, image: Float[Tensor, "batch 3 height width"]) -> RandomVariable:
        """Joints (batch, joint, axis) of images in [0, 1], as mean and variance."""

    # ---------------------------------------------------------------- training

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """One optimiser step."""
        weights = self.labelled(batch) * self.label_weights(batch)
        losses = self.objective(batch.require("image"), self.joints_of(batch), weights)
        yield Phase(losses, group="all")

    def objective(
        self,
        image: Float[Tensor, "batch 3 height width"],
        joints: Float[Tensor, "batch joint axis"],
        weights: Float[Tensor, "batch joint"],
    ) -> JointLosses:
        """The loss of one batch; pure in its arguments, so it can be compiled."""
        prediction = self.read(image)
        error = joints - prediction.mean

        match self.config.loss:
            case "l1":
                pose = _mean_labelled(error.abs().sum(2), weights)
            case "l2":
                pose = _mean_labelled(error.square().sum(2), weights)
            case "nll":
                pose = point_error(joints, prediction, "nll", valid=weights).mean()

        spread = torch.zeros((), device=image.device)
        if self.config.loss != "nll":
            fixed_mean = RandomVariable(prediction.mean.detach(), prediction.var)
            spread = point_error(joints, fixed_mean, "nll", valid=weights).mean()

        distance = _mean_labelled(error.detach().norm(dim=2), (weights > 0).float())
        return JointLosses(total=pose + spread, pose=pose, spread=spread, error=distance)

    # ---------------------------------------------------------------- use

    def joints_of(self, hands: Hands) -> Float[Tensor, "batch joint axis"]:
        """The joints of crops in crop units (2D) or root-relative bone units (3D)."""
        if self.config.pose == "2d":
            return to_crop_units(hands.require("joints_2d"), self.crop.size_px)
        return self.bone_unit_joints(hands)

    @torch.no_grad()
    def predict_uncalibrated(self, hands: Hands, inputs: Sequence[Input] = ()) -> Prediction:
        """Predict poses from crops in [0, 1]."""
        prediction = self.read(hands.require("image"))
        return Prediction(prediction.mean, prediction.std)

    @torch.no_grad()
    def sample_sheet(self, batch: Hands, noise: Noise) -> Float[Tensor, "3 height width"]:
        """See `sheet_rows`; a column for each hand."""
        image = batch.require("image")
        prediction = self.predict_uncalibrated(Hands(image=image)).joints

        factor = float(max(1, round(SHEET_PX / image.shape[-1])))
        large = F.interpolate(image, scale_factor=factor)
        predicted = self._with_limbs(large, prediction, PREDICTION_COLOUR)
        labelled = self._with_limbs(large, self.joints_of(batch), LABEL_COLOUR)
        return image_grid([large, predicted, labelled])

    def _with_limbs(self, image: Tensor, joints: Tensor, colour: tuple[float, float, float]) -> Tensor:
        """Limbs painted over images; only hands of 21 joints have any."""
        if joints.shape[1] != len(PARENTS):
            return image
        flat = joints if self.config.pose == "2d" else in_own_crop(joints[..., :2], self.crop.margin)
        cover = limb_maps(flat, image.shape[-1], 0.015).amax(1, keepdim=True)
        return image * (1 - cover) + cover * image.new_tensor(colour)[:, None, None]


def _mean_labelled(
    points: Float[Tensor, "batch joint"], weights: Float[Tensor, "batch joint"]
) -> Float[Tensor, ""]:
    """Weighted values' mean over the labelled joints of each hand, then over hands."""
    return ((points * weights).sum(1) / (weights > 0).sum(1).clamp_min(1)).mean()
