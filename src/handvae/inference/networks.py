"""Loading models, and calling their networks wherever they lie.

Inputs move to the network's device, and answers come back to the CPU.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handvae.data.hands import Hands
from handvae.device import find_device
from handvae.errors import UserError
from handvae.hand import JOINT_NAMES
from handvae.inference.arguments import checked
from handvae.noise import Noise
from handvae.systems.system import Generator, Input, PoseEstimator, Prediction
from handvae.training import checkpoint
from handvae.training.checkpoint import WEIGHTS, Model, find_model

Device = str | torch.device
"""cpu, cuda, cuda:0, mps, or auto: the first CUDA device if there is one, else the CPU."""


@checked
def load_model(name: str | Path, device: Device = "cpu") -> Model:
    """Open a model: a shipped one by its name, a `.safetensors` file, or a run folder.

    Args:
        name: which; `handvae.models()` lists the shipped ones.
        device: where its network runs, `cpu`, `cuda`, `cuda:0`, `mps` or `auto`.

    Raises:
        UserError: there is no such model or device, or the file is damaged.
        ArgumentError: an argument is of another type.
    """
    return checkpoint.load_model(name, find_device(str(device), "device"))


def open_model(model: str | Path | Model, device: Device = "cpu") -> Model:
    """A model by its name, or one that is open already; shipped ones are read from disk once."""
    if isinstance(model, Model):
        return model

    # only shipped files are kept: others may be written again between two calls
    where = find_device(str(device), "device")
    path = find_model(str(model))
    if path.parent == WEIGHTS:
        return _shipped(path, where)
    return checkpoint.load_model(model, where)


@lru_cache(maxsize=4)
def _shipped(path: Path, device: torch.device) -> Model:
    return checkpoint.load_model(path, device)


def pose_estimator(model: Model) -> PoseEstimator:
    """The model, to read hands of 21 joints with.

    Raises:
        UserError: it reads no poses, or other joints.
    """
    system = model.pose_estimator
    if system.spec.joints != len(JOINT_NAMES):
        count = system.spec.joints
        fault = (
            f"reads {count} joints of its own data; hands of {len(JOINT_NAMES)} are drawn and written here"
        )
        raise UserError(model.name, fault, "measure it with handvae evaluate")

    return system


def device_of(network: nn.Module) -> torch.device:
    """Where a network lies."""
    return next(network.parameters()).device


def predict(system: PoseEstimator, hands: Hands, inputs: Sequence[Input] = ()) -> Prediction:
    """Joints and spread of crops, the spread calibrated where the model keeps a scale; on the CPU."""
    prediction = system.predict(hands.to(device_of(system)), inputs)
    return Prediction(prediction.joints.cpu(), prediction.spread.cpu(), prediction.calibrated_on)


def joints_in_crop(
    system: PoseEstimator, image: Float[Tensor, "batch 3 height width"]
) -> Float[Tensor, "batch joint axis"]:
    """Joints that a generator reads in crops, in the unit that its `synthesize` takes."""
    return system.predict_uncalibrated(Hands(image=image.to(device_of(system)))).joints.cpu()


def appearance_of(
    system: Generator, image: Float[Tensor, "batch 3 height width"]
) -> Float[Tensor, "batch appearance"]:
    """The appearance of crops."""
    return system.appearance_of(image.to(device_of(system))).cpu()


def random_appearance(
    system: Generator, count: int, noise: Noise, source: Literal["prior", "aggregate"]
) -> Float[Tensor, "count appearance"]:
    """Random appearances, of the same numbers on every device."""
    return system.random_appearance(count, noise, source).cpu()


def generate(
    system: Generator,
    joints: Float[Tensor, "batch joint axis"],
    appearance: Float[Tensor, "batch appearance"],
) -> Float[Tensor, "batch 3 height width"]:
    """Pictures in [0, 1] of poses with appearances."""
    device = device_of(system)
    return system.synthesize(joints.to(device), appearance.to(device)).cpu()
