"""What the training loop asks of a system: stages, steps, phases."""

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
from handvae.noise import Noise
from handvae.rv import RandomVariable
from handvae.systems.spread import SpreadScale

Input = Literal["image", "depth", "joints_2d"]
"""Fields of `Hands` that poses are read from."""


@dataclass(frozen=True)
class Losses:
    """What one optimiser step minimises, and its named parts; a system adds a field for each part."""

    total: Float[Tensor, ""]

    def scalars(self) -> dict[str, float]:
        """Field names and values, for the log."""
        return {field.name: float(getattr(self, field.name).detach()) for field in fields(self)}


@dataclass(frozen=True)
class Prediction:
    """Poses that were read, in crop units (2D) or bone units (3D)."""

    joints: Float[Tensor, "batch joint axis"]
    spread: Float[Tensor, "batch joint axis"]
    """Standard deviation of each coordinate."""
    calibrated_on: str = ""
    """The hands on which the spread was made as large as the errors; empty where it is as the network
    claims."""


def predict_by_samples(
    posterior: RandomVariable, decode: Callable[[Tensor], Tensor], samples: int
) -> Prediction:
    """Joints decoded from the posterior's mean; their spread is that of joints decoded from samples, by the
    same draws for every hand."""
    draws = Noise(0).normal(samples, posterior.shape[1]).to(posterior.device)
    decoded = torch.stack([decode(posterior.mean + posterior.std * draw) for draw in draws])
    return Prediction(decode(posterior.mean), decoded.std(0))


@dataclass(frozen=True)
class Phase:
    """One optimiser step: back-propagate `losses.total` into the parameters of `group`, and into no
    others."""

    losses: Losses
    group: str
    name: str = ""
    """Prefix of its scalars in the log; needed where one step has several phases."""
    note: str = ""
    """What people should know of this step; empty where all is as it should be."""


@dataclass(frozen=True)
class Stage:
    """A stretch of training; everything outside `trains` is frozen and at rest (its normalisation statistics
    included)."""

    name: str
    trains: tuple[str, ...]
    """Names of parameter groups."""
    share: float = 1.0
    """Share of the run's steps, relative to the other stages'."""


class System(nn.Module, ABC):
    """A model with its way of training: what the one loop asks for. An interface only; what systems share
    they import from below."""

    config: Any
    """The system's frozen configuration dataclass."""
    spec: DataSpec
    crop: Crop
    fields: tuple[PixelField, ...] = ("image",)
    """Pictures of each hand that its steps read."""
    objectives: tuple[str, ...] = ()
    """Names of methods that are pure in their arguments and take most of a step's time: the loop may compile
    them."""
    own_progress: tuple[str, ...] = ()
    """Buffers that tell of a run, not of the model: a run that begins with a model's weights begins these
    anew."""
    sheet_rows: str = ""
    """What the rows of `sample_sheet` show, for people."""

    @property
    def teachers(self) -> tuple[str, ...]:
        """Names of models that it is trained against: what they say of its pictures is no independent
        judgement."""
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
        """The stretches of training, in order."""

    @property
    @abstractmethod
    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        """Named sets of modules; each group has its own optimiser."""

    @abstractmethod
    def prepare(self, labels: Hands) -> None:
        """Take what is constant from the training labels (means, scales) before the first step."""

    @abstractmethod
    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """Yield one phase per optimiser step; a later phase sees the parameters that the earlier one has
        updated."""

    @abstractmethod
    def summarise(self, batches: Iterable[Hands]) -> dict[str, float]:
        """Measure training pictures and keep what use needs of them (latent moments); called before a model
        is written."""

    @abstractmethod
    def sample_sheet(self, batch: Hands, noise: Noise) -> Float[Tensor, "3 height width"]:
        """A picture that shows how training goes."""


class PoseEstimator(System):
    """A system that reads poses from crops."""

    pose: Literal["2d", "3d"]
    """What it reads: 2D joints in crop units, or root-relative 3D joints in bone units."""
    reads: tuple[PixelField, ...] = ("image",)
    """Pictures of each hand that `estimate` reads, unless it is asked to read others of `inputs`."""
    inputs: tuple[Input, ...] = ("image",)
    """All that it can read poses from, the usual one first; where there are several, each alone or some
    together."""
    root: Root | Literal["centre"] = "wrist"
    """What 3D joints are relative to; `centre`: their mean, of hands whose joints are all labelled."""
    spread_scales: Mapping[str, SpreadScale] = MappingProxyType({})
    """What makes the claimed spread as large as the errors, by what is read (`asked`); kept with the model
    once it is fitted."""

    @property
    def unit_mm(self) -> float | None:
        """Length of a bone unit, mm, of a system that has one for all hands; None: each hand's own bone from
        joint 9 to joint 10."""
        return None

    @abstractmethod
    def joints_of(self, hands: Hands) -> Float[Tensor, "batch joint axis"]:
        """The labels of crops in the unit that `predict` answers in; finite also where a joint has none
        (`labelled`)."""

    def labelled(self, hands: Hands) -> Bool[Tensor, "batch joint"]:
        """Which of `joints_of` have a label that training may use.

        In bone units none has, where the wrist or an end of the scale bone lacks its own (relative to the
        centre, where any joint does);
        none has where the pose is held back.
        """
        joints = hands.require("joints_2d" if self.pose == "2d" else "joints_3d")
        valid = hands.joint_valid
        if valid is None:
            valid = torch.ones(joints.shape[:2], dtype=torch.bool, device=joints.device)
        elif self.pose == "3d":
            valid = valid & valid[:, slice(None) if self.root == "centre" else [0, 9, 10]].all(
                1, keepdim=True
            )
        return valid if hands.pose_known is None else valid & hands.pose_known[:, None]

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
        """Read poses from crops, the spread as the network claims it; arguments are those of `predict`."""

    def predict(self, hands: Hands, inputs: Sequence[Input] = ()) -> Prediction:
        """Read poses from crops; where the model keeps a scale for what is read, the spread is calibrated.

        Args:
            hands: crops, with their sides where the system is to be told.
            inputs: out of `self.inputs`, what to read; the usual one if not given.
        """
        scale, claimed = self.spread_scales.get(self.asked(inputs)), self.predict_uncalibrated(hands, inputs)
        if scale is None:
            return claimed
        spread = scale(claimed.spread)
        if self.root_joint is not None:
            spread[:, self.root_joint] = claimed.spread[:, self.root_joint]
        return replace(claimed, spread=spread, calibrated_on=scale.fitted_on)

    def asked(self, inputs: Sequence[Input] = ()) -> str:
        """What is read, in one word: `image`, `joints_2d`, `image+joints_2d`."""
        if not set(inputs) <= set(self.inputs):
            raise ValueError(f"this system reads {', '.join(self.inputs)}, not {', '.join(inputs)}")
        return "+".join(one for one in self.inputs if one in (inputs or self.inputs[:1]))

    @property
    def input_sets(self) -> tuple[tuple[Input, ...], ...]:
        """Each of `inputs` alone, and all that may be read together."""
        return tuple(
            some for count in range(1, len(self.inputs) + 1) for some in combinations(self.inputs, count)
        )

    @property
    def root_joint(self) -> int | None:
        """The joint that 3D joints are relative to: 0 by definition, so its errors say nothing and its spread
        is left as claimed."""
        return {"wrist": 0, "middle_mcp": 9}.get(self.root) if self.pose == "3d" else None

    def take_spread_scales(self, scales: Mapping[str, SpreadScale]) -> None:
        """Calibrate the spread by these from now on.

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
    """A reader whose features and reading let gradients through to the picture, so that a generator can be
    trained against it."""

    @abstractmethod
    def maps(self, image: Float[Tensor, "batch 3 height width"]) -> list[Tensor]:
        """Feature maps of every stage of pictures in [0, 1], the finest first."""

    @abstractmethod
    def read(self, image: Float[Tensor, "batch 3 height width"]) -> RandomVariable:
        """Joints (batch, joint, axis) of pictures in [0, 1], as mean and variance."""


class Generator(PoseEstimator):
    """A system that also makes pictures of the poses it is asked for."""

    @abstractmethod
    def appearance_of(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch appearance"]:
        """The looks of crops in [0, 1]."""

    @abstractmethod
    def random_appearance(
        self, count: int, noise: Noise, source: Literal["prior", "aggregate"] = "prior"
    ) -> Float[Tensor, "count appearance"]:
        """Looks drawn from N(0, I), or from the Gaussian fitted to the training pictures' looks."""

    @abstractmethod
    def synthesize(
        self, joints: Float[Tensor, "batch joint axis"], appearance: Float[Tensor, "batch appearance"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Pictures in [0, 1] of exactly known poses, in the unit of `joints_of`, with the given looks."""
