"""From a crop to a hand: one call of the network, its answer brought back into the picture."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from handvae.data.crop import in_own_crop, to_crop_px, to_crop_units
from handvae.data.hands import Hands
from handvae.geometry import apply_affine, invert_affine
from handvae.hand import LEFT, RIGHT, HandShape
from handvae.inference.crops import HandCrop
from handvae.inference.finding import SeenHand
from handvae.inference.networks import device_of, predict
from handvae.inference.result import Hand
from handvae.systems.da_vae import DaVae
from handvae.systems.system import PoseEstimator, Prediction

_MIRROR = torch.tensor([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Disagreement:
    """How far apart two inputs place one hand."""

    bone_units: float
    """Mean distance over joints."""
    first: HandCrop
    second: HandCrop


def read_hand(
    system: PoseEstimator,
    crop: HandCrop,
    others: Sequence[HandCrop] = (),
    bone_mm: float | None = None,
    model: str = "",
) -> Hand:
    """Read a hand.

    Args:
        system: reads.
        crop: what is read, and what the hand is drawn on.
        others: other kinds of input that show the same hand, fused with it.
        bone_mm: length of the bone from joint 9 to joint 10, where it is known.
        model: the model's name, for the result.
    """
    if crop.seen is not None:
        return _hand_seen(crop, crop.seen, bone_mm, model)

    prediction = _predict(system, [crop, *others])
    joints_px = _in_picture(system, prediction, crop)
    if system.pose == "3d":
        return _hand_3d(system, prediction, crop, joints_px, bone_mm, model)
    return _hand_2d(system, prediction, crop, joints_px, bone_mm, model)


def disagreement(system: PoseEstimator, crops: Sequence[HandCrop]) -> Disagreement:
    """The two inputs of one hand that differ most, each read alone by a 3D model."""
    alone = [_predict(system, [crop]).joints[0] for crop in crops]

    pairs = []
    for (i, a), (j, b) in itertools.combinations(enumerate(alone), 2):
        pairs.append((float((a - b).norm(dim=1).mean()), i, j))
    distance, i, j = max(pairs)
    return Disagreement(distance, crops[i], crops[j])


def _predict(system: PoseEstimator, crops: Sequence[HandCrop]) -> Prediction:
    """Read crops of one hand together; a model whose crops show both sides is given the side."""
    # what the crop shows: a mirrored left hand is a right one
    first = crops[0]
    shows_left = (first.side == "left") != first.mirrored
    fields = {name: value for crop in crops for name, value in crop.hands.items()}

    hands = Hands(**fields, side=torch.tensor([LEFT if shows_left else RIGHT]))
    return predict(system, hands, [name for name in system.inputs if name in fields])


def _hand_seen(crop: HandCrop, seen: SeenHand, bone_mm: float | None, model: str) -> Hand:
    """A hand that the reader saw while it was found."""
    return Hand(
        side=crop.side,
        joints_2d=seen.joints_2d,
        spread_2d=np.sqrt(np.square(seen.spread_2d).mean(1)),
        crop=crop,
        model=model,
        joints_3d=seen.joints_3d,
        spread_3d=seen.spread_3d,
        root="wrist",
        unit_mm=bone_mm or None,
        calibrated_on=seen.calibrated_on,
    )


def _hand_2d(
    system: PoseEstimator,
    prediction: Prediction,
    crop: HandCrop,
    joints_px: Float[Tensor, "joint 2"],
    bone_mm: float | None,
    model: str,
) -> Hand:
    # half a crop is one crop unit
    unit_px = system.crop.size_px / 2 / float(torch.linalg.det(crop.affine[:, :2]).abs().sqrt())
    spread = prediction.spread[0].square().mean(-1).sqrt() * unit_px
    return Hand(
        side=crop.side,
        joints_2d=joints_px.numpy(),
        spread_2d=spread.numpy(),
        crop=crop,
        model=model,
        unit_mm=bone_mm or None,
        calibrated_on=prediction.calibrated_on,
    )


def _hand_3d(
    system: PoseEstimator,
    prediction: Prediction,
    crop: HandCrop,
    joints_px: Float[Tensor, "joint 2"],
    bone_mm: float | None,
    model: str,
) -> Hand:
    """A hand in bone units; their size in px follows from where the joints lie in the picture."""
    joints, spread = prediction.joints[0], prediction.spread[0]
    extent = (joints[:, :2].amax(0) - joints[:, :2].amin(0)).max()

    # as many pixels to a bone unit as the joints' larger extent has in the picture
    unit_px = float((joints_px.amax(0) - joints_px.amin(0)).max() / extent)
    return Hand(
        side=crop.side,
        joints_2d=joints_px.numpy(),
        spread_2d=(spread.square().mean(-1).sqrt() * unit_px).numpy(),
        crop=crop,
        model=model,
        joints_3d=(joints * _MIRROR if crop.mirrored else joints).numpy(),
        spread_3d=spread.numpy(),
        root=system.root,
        unit_mm=bone_mm or system.unit_mm,
        cloud=_cloud(system, crop),
        calibrated_on=prediction.calibrated_on,
    )


def _cloud(system: PoseEstimator, crop: HandCrop) -> np.ndarray | None:
    """The visible surface, where the model reads it in a picture."""
    if not isinstance(system, DaVae) or crop.hands.image is None:
        return None

    # the posterior's mean: the surface that the model holds most likely
    code = system.encode(crop.image.to(device_of(system))).mean
    cloud = system.decode(code).cloud[0].cpu()
    return (cloud * _MIRROR if crop.mirrored else cloud).numpy()


def _in_picture(system: PoseEstimator, prediction: Prediction, crop: HandCrop) -> Float[Tensor, "joint 2"]:
    """2D joints in the caller's coordinates."""
    flat = prediction.joints if system.pose == "2d" else _flattened(system, prediction.joints, crop)
    in_crop = to_crop_px(flat, system.crop.size_px)
    return apply_affine(in_crop, invert_affine(crop.affine[None]))[0]


def _flattened(
    system: PoseEstimator, joints: Float[Tensor, "1 joint 3"], crop: HandCrop
) -> Float[Tensor, "1 joint 2"]:
    """3D joints in crop units, without perspective: where the joints of such crops lie."""
    flat = joints[..., :2]
    given, valid = crop.hands.joints_2d, crop.hands.joint_valid
    if given is not None and valid is not None:
        target = to_crop_units(given, system.crop.size_px)
        return _onto(flat, target, valid[0])

    match system.crop.box:
        case "cube":  # about the joints' mean, and of known size
            bone_mm = system.unit_mm or float(HandShape.mean().lengths_mm[2, 0])
            return (flat - flat.mean(1, keepdim=True)) * (2 * bone_mm / system.crop.cube_mm)
        case "hand3d":  # about joint 9, as far as the farthest joint
            centred = flat - flat[:, 9:10]
            return centred / centred.abs().amax((1, 2), keepdim=True).clamp_min(1e-6)
        case "joints" | "picture":
            return in_own_crop(flat, system.crop.margin)


def _onto(flat: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Joints under the scale and shift that bring the valid ones closest to their targets."""
    # least squares: s = <source, goal> / <source, source> about the means; never a mirror image
    source, goal = flat[:, valid], target[:, valid]
    middle, goal_middle = source.mean(1, keepdim=True), goal.mean(1, keepdim=True)

    covariance = ((source - middle) * (goal - goal_middle)).sum()
    scale = covariance / (source - middle).square().sum().clamp_min(1e-9)
    return (flat - middle) * scale.clamp_min(1e-3) + goal_middle
