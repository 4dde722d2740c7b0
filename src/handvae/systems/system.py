"""Interfaces of systems: to the training loop, and to those who estimate poses or make pictures."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from types import MappingProxyType
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from handvae.data.crop import Crop, PixelField, cube_centre
from handvae.data.hands import DataSpec, Hands
from handvae.hand import Root, root, scale_bone
from handvae.losses import spread_weights
from handvae.noise import Noise
from handvae.rv import RandomVariable
from handvae.systems.spread import SpreadScale

Input = Literal["image", "depth", "joints_2d"]
"""Fields of `Hands` that poses are read from."""


@dataclass(frozen=True)
class Losses:
    """What one optimiser step minimises; a system adds a field for each term."""

    total: Float[Tensor, ""]

    def scalars(self) -> dict[str, float]:
        """Field names and values, for the log."""
        return {field.name: float(getattr(self, field.name).detach()) for field in fields(self)}


@dataclass(frozen=True)
class Prediction:
    """Estimated poses, in crop units (2D) or bone units (3D)."""

    joints: Float[Tensor, "batch joint axis"]
    spread: Float[Tensor, "batch joint axis"]
    """Standard deviation of each coordinate."""
    calibrated_on: str = ""
    """Hands on which the spread was calibrated; empty for the network's own."""


def predict_by_samples(
    posterior: RandomVariable, decode: Callable[[Tensor], Tensor], samples: int
) -> Prediction:
    """Joints decoded from the posterior's mean, with the spread of joints decoded from its samples.

    The draws are fixed, and the same for every hand.
    """
    draws = Noise(0).normal(samples, posterior.shape[1]).to(posterior.device)
    decoded = torch.stack([decode(posterior.mean + posterior.std * draw) for draw in draws])
    return Prediction(decode(posterior.mean), decoded.std(0))


@dataclass(frozen=True)
class Phase:
    """One optimiser step: `losses.total` is back-propagated into the parameters of `group` alone."""

    losses: Losses
    group: str
    name: str = ""
    """Prefix of its scalars in the log, where a step has several phases."""
    note: str = ""
    """A warning for the log and the terminal; empty for none."""


@dataclass(frozen=True)
class Stage:
    """A part of training; all outside `trains` is frozen, its normalisation statistics included."""

    name: str
    trains: tuple[str, ...]
    """Names of parameter groups."""
    share: float = 1.0
    """Share of the run's steps, relative to the other stages'."""


class System(nn.Module, ABC):
    """A model and its training, as the one training loop needs it.

    This is an interface; code that systems share is in `nets` and `losses`.
    """

    config: Any
    """The system's frozen configuration dataclass."""
    spec: DataSpec
    crop: Crop
    fields: tuple[PixelField, ...] = ("image",)
    """Pictures of each hand that its steps read."""
    objectives: tuple[str, ...] = ()
    """Names of pure methods that take most of a step's time; the loop may compile them."""
    own_progress: tuple[str, ...] = ()
    """Buffers that belong to a run, not to the model; fine-tuning resets them."""
    sheet_rows: str = ""
    """Caption of `sample_sheet`: what its rows show."""

    @property
    def teachers(self) -> tuple[str, ...]:
        """Names of models that it is trained against; these cannot measure its pictures."""
        return ()

    def pretrained(self) -> Mapping[str, str]:
        """Trained models that the configuration names and training needs: role to model name."""
        return {}

    def attach(self, role: str, system: "System") -> None:
        """Give the system the trained model of one of the roles that `pretrained` names.

        Raises:
            ValueError: there is no such role, or the model does not fit it.
        """
        raise ValueError(f"a {type(self).__name__} has no role {role!r} for a trained model")

    @property
    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """The parts of training, in order."""

    @property
    @abstractmethod
    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        """Named sets of modules; each group has its own optimiser."""

    @abstractmethod
    def prepare(self, labels: Hands) -> None:
        """Set constants of the training labels (means, scales) before the first step."""

    @abstractmethod
    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """Yield one phase per optimiser step.

        The loop takes the step before it asks for the next phase, which sees the updated parameters.
        """

    @abstractmethod
    def summarise(self, batches: Iterable[Hands]) -> dict[str, float]:
        """Measure training pictures before a model is written.

        The system keeps what later use needs of them, such as moments of the latent.
        """

    @abstractmethod
    def sample_sheet(self, batch: Hands, noise: Noise) -> Float[Tensor, "3 height width"]:
        """A picture that shows how training goes."""


class PoseEstimator(System):
    """A system that estimates poses from crops."""

    pose: Literal["2d", "3d"]
    """2D joints in crop units, or root-relative 3D joints in bone units."""
    reads: tuple[PixelField, ...] = ("image",)
    """Pictures of each hand that `predict` reads by default."""
    inputs: tuple[Input, ...] = ("image",)
    """All that `predict` can read, alone or together; the default first."""
    root: Root | Literal["centre"] = "wrist"
    """Origin of 3D joints; `centre` is the mean of all labelled joints."""
    spread_scales: Mapping[str, SpreadScale] = MappingProxyType({})
    """Calibration of the spread for each set of inputs (`asked`); kept with the model."""

    @property
    def unit_mm(self) -> float | None:
        """Length of a bone unit, mm; None where it is each hand's own bone from joint 9 to joint 10."""
        return None

    @abstractmethod
    def joints_of(self, hands: Hands) -> Float[Tensor, "batch joint axis"]:
        """Labels in the unit of `predict`; finite also for joints without a label (see `labelled`)."""

    def labelled(self, hands: Hands) -> Bool[Tensor, "batch joint"]:
        """Which of `joints_of` have a label that training may use.

        A 3D pose has no label at all where the joints that give its origin and unit lack one: the wrist and
        the ends of the scale bone, or any joint if the root is the centre. Nor has a pose that is held back.
        """
        joints = hands.require("joints_2d" if self.pose == "2d" else "joints_3d")
        valid = hands.joint_valid
        if valid is None:
            valid = torch.ones(joints.shape[:2], dtype=torch.bool, device=joints.device)
        elif self.pose == "3d":
            needed = valid if self.root == "centre" else valid[:, [0, 9, 10]]
            valid = valid & needed.all(1, keepdim=True)

        for known in (hands.pose_known, hands.present):
            if known is not None:
                valid = valid & known[:, None]

        return valid

    def label_weights(self, hands: Hands) -> Float[Tensor, "batch joint"]:
        """How much each joint's label counts in training: 1, or less for a network's (`joint_spread`)."""
        joints, spread, valid = hands.joints_2d, hands.joint_spread, hands.joint_valid
        if joints is None or spread is None:
            return torch.ones_like(self.labelled(hands), dtype=torch.float32)

        if valid is None:
            valid = torch.ones_like(spread, dtype=torch.bool)

        return spread_weights(joints, spread, valid)

    def in_bone_units(
        self, points: Float[Tensor, "batch point 3"], hands: Hands
    ) -> Float[Tensor, "batch point 3"]:
        """Points of each hand's camera frame, mm, relative to `root` and in bone units (`unit_mm`)."""
        joints = hands.require("joints_3d")
        if self.root == "centre":
            origin = cube_centre(joints, self.labelled(hands))
        else:
            origin = root(joints, self.root)

        unit = scale_bone(joints) if self.unit_mm is None else torch.full_like(joints[:, 0, 0], self.unit_mm)
        return (points - origin[:, None]) / unit[:, None, None].clamp_min(1e-6)

    def bone_unit_joints(self, hands: Hands) -> Float[Tensor, "batch joint 3"]:
        """Labelled 3D joints relative to `root`, in bone units; 0 where a joint has no label."""
        joints = self.in_bone_units(hands.require("joints_3d"), hands)
        return joints.masked_fill(~self.labelled(hands)[..., None], 0.0)

    @abstractmethod
    def predict_uncalibrated(self, hands: Hands, inputs: Sequence[Input] = ()) -> Prediction:
        """`predict` with the network's own spread."""

    def predict(self, hands: Hands, inputs: Sequence[Input] = ()) -> Prediction:
        """Estimate poses from crops; the spread is calibrated if the model keeps a scale for these inputs.

        Args:
            hands: crops, with their sides where the system needs them.
            inputs: some of `self.inputs`; by default the first.
        """
        scale = self.spread_scales.get(self.asked(inputs))
        prediction = self.predict_uncalibrated(hands, inputs)
        if scale is None:
            return prediction

        spread = scale(prediction.spread)
        if self.root_joint is not None:
            spread[:, self.root_joint] = prediction.spread[:, self.root_joint]

        return replace(prediction, spread=spread, calibrated_on=scale.fitted_on)

    def asked(self, inputs: Sequence[Input] = ()) -> str:
        """Name of a set of inputs: `image`, `joints_2d`, `image+joints_2d`."""
        if not set(inputs) <= set(self.inputs):
            raise ValueError(f"this system reads {', '.join(self.inputs)}, not {', '.join(inputs)}")
        return "+".join(one for one in self.inputs if one in (inputs or self.inputs[:1]))

    @property
    def input_sets(self) -> tuple[tuple[Input, ...], ...]:
        """All sets of `inputs`, the smaller ones first."""
        sizes = range(1, len(self.inputs) + 1)
        return tuple(some for size in sizes for some in combinations(self.inputs, size))

    @property
    def root_joint(self) -> int | None:
        """The joint at the origin of 3D joints; its error is 0 by definition, and its spread is left
        alone."""
        if self.pose == "2d":
            return None
        return {"wrist": 0, "middle_mcp": 9}.get(self.root)

    def take_spread_scales(self, scales: Mapping[str, SpreadScale]) -> None:
        """Calibrate the spread with these scales.

        Raises:
            ValueError: one is for inputs that the system does not read, or of another number of axes.
        """
        axes = 2 if self.pose == "2d" else 3
        names = [self.asked(inputs) for inputs in self.input_sets]
        for name, scale in scales.items():
            if name not in names:
                raise ValueError(f"there is one for {name!r}, and the system reads {', '.join(names)}")
            if not scale.fitted_on:
                raise ValueError(f"that of {name} does not say on which hands it was fitted")
            if len(scale.factor) != axes:
                raise ValueError(f"that of {name} has {len(scale.factor)} axes, poses have {axes}")

        self.spread_scales = dict(scales)


class PerceptualCritic(PoseEstimator):
    """A detector that a generator can be trained against: gradients reach the picture."""

    @abstractmethod
    def maps(self, image: Float[Tensor, "batch 3 height width"]) -> list[Tensor]:
        """Feature maps of pictures in [0, 1], of every stage, the finest first."""

    @abstractmethod
    def read(self, image: Float[Tensor, "batch 3 height width"]) -> RandomVariable:
        """Joints (batch, joint, axis) of pictures in [0, 1], as mean and variance."""


class Generator(PoseEstimator):
    """A system that also makes pictures, of given poses."""

    @abstractmethod
    def appearance_of(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch appearance"]:
        """Appearance codes of crops in [0, 1]."""

    @abstractmethod
    def random_appearance(
        self, count: int, noise: Noise, source: Literal["prior", "aggregate"] = "prior"
    ) -> Float[Tensor, "count appearance"]:
        """Draws from N(0, I), or from the Gaussian fitted to the training pictures' codes."""

    @abstractmethod
    def synthesize(
        self, joints: Float[Tensor, "batch joint axis"], appearance: Float[Tensor, "batch appearance"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Pictures in [0, 1] of these poses, in the unit of `joints_of`, with these appearances."""
