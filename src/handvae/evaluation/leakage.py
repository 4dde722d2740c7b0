"""Leakage: does the pose move when the appearance is swapped, and the appearance when the pose is?

What is read from a picture is a function f(pose, appearance), and leakage is the total Sobol index of the
factor that should not matter:
    E[(f(p, z) - f(p, z'))^2] / (2 Var f)    of the appearance on the pose, and with p swapped instead of z the other way about
with poses and appearances drawn independently. It is 0 where nothing leaks and 1 where the wrong factor alone
decides.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from handvae.evaluation.detection import HandDetector
from handvae.evaluation.generation_inputs import GenerationInputs
from handvae.evaluation.measure import Measure, Stated
from handvae.evaluation.model_predictions import BATCH
from handvae.hand import BONES
from handvae.noise import Noise, Stream

CLEAR = 0.25
"""Distance in crop units (1/8 of the crop's side) from every bone and the forearm beyond which a pixel is no
part of the hand."""
SHOWN = 6
"""Poses and appearances of the swap sheet."""


@dataclass(frozen=True)
class Leakage:
    """What leaks, and a sheet to look at."""

    measures: tuple[Measure, ...]
    sheet: Float[Tensor, "3 height width"]
    """A row an appearance, a column a pose."""


@torch.no_grad()
def leakage(inputs: GenerationInputs, detector: HandDetector, seed: int = 0) -> Leakage:
    """Three pictures a hand: a pose with some appearance, the same pose with another, another pose with the
    same.

    Args:
        inputs: hands that give poses and appearances, at least three.
        detector: reads poses.
        seed: which pose meets which appearance.
    """
    system, crop, noise = inputs.system, inputs.system.crop, Noise(seed, stream=Stream.LEAKAGE)
    order, appearances = noise.permutation(len(inputs)), inputs.appearance[noise.permutation(len(inputs))]
    poses, joints = inputs.joints[order], inputs.joints_px[order] * (2 / crop.size_px) - 1
    first = torch.cat(list(inputs.synthesize(appearances, poses)))
    other_appearance = torch.cat(list(inputs.synthesize(appearances.roll(1, 0), poses)))
    other_pose = torch.cat(list(inputs.synthesize(appearances, poses.roll(1, 0))))

    found = [detector.detect(made.split(BATCH), crop) for made in (first, other_appearance)]
    both = found[0].found & found[1].found
    read = [one.joints_px[both].flatten(1) for one in found]
    codes = [
        torch.cat([system.appearance_of(some) for some in made.split(BATCH)]) for made in (first, other_pose)
    ]
    outside = clear_of_hand(joints, crop.size_px) & clear_of_hand(joints.roll(1, 0), crop.size_px)
    moved = _masked_square(first - other_pose, outside)
    natural = _masked_square(first - first.roll(1, 0), outside)  # pose and appearance both another's

    n, shared = (
        len(inputs),
        "0: no leak, 1: complete; total Sobol index, poses and appearances of the data set paired at random",
    )
    of_pose = Stated(f"{shared}; {detector.relation(system)}; {crop.size_px} px crop")
    of_appearance = Stated(f"{shared}; {crop.size_px} px crop")
    colours = f"mean squared difference of pixels at least {CLEAR:g} crop units from both hands' bones and forearms, over that of swapping both"
    measures = (
        Measure(
            "leak_appearance_to_pose",
            _sobol(*read),
            "",
            int(both.sum()),
            of_pose,
            "joints found after swapping the appearance",
        ),
        Measure(
            "leak_pose_to_appearance_code",
            _sobol(*codes),
            "",
            n,
            of_appearance,
            "appearance code read after swapping the pose",
        ),
        Measure("leak_pose_to_background", float(moved.sum() / natural.sum()), "", n, of_appearance, colours),
    )
    return Leakage(measures, swap_sheet(inputs, poses, appearances))


def swap_sheet(
    inputs: GenerationInputs,
    poses: Float[Tensor, "batch joint axis"],
    appearances: Float[Tensor, "batch appearance"],
) -> Float[Tensor, "3 h w"]:
    """Every one of some appearances on every one of some poses."""
    rows = [
        torch.cat(list(inputs.synthesize(appearance.expand(len(poses[:SHOWN]), -1), poses[:SHOWN])))
        for appearance in appearances[:SHOWN]
    ]
    return torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)


def clear_of_hand(joints: Float[Tensor, "batch joint 2"], size_px: int) -> Bool[Tensor, "batch size size"]:
    """Pixels far from every bone, and from the forearm: the line from the middle finger's base through the
    wrist and on.

    Args:
        joints: crop units.
        size_px: side of the picture.
    """
    return torch.cat([_nearest(some, size_px) > CLEAR for some in joints.split(BATCH)])


def _nearest(joints: Float[Tensor, "batch joint 2"], size_px: int) -> Float[Tensor, "batch size size"]:
    """Distance of each pixel to the nearest bone or the forearm, crop units."""
    parents, children = (list(ends) for ends in zip(*BONES, strict=True))
    wrist, middle = joints[:, :1], joints[:, 9:10]
    start = torch.cat([joints[:, parents], wrist], 1)[..., None, None]
    bone = torch.cat([joints[:, children], wrist + 4 * (wrist - middle)], 1)[..., None, None] - start
    centres = (torch.arange(size_px) + 0.5) * (2 / size_px) - 1
    x, y = centres - start[:, :, 0], centres[:, None] - start[:, :, 1]
    along = ((x * bone[:, :, 0] + y * bone[:, :, 1]) / bone.square().sum(2).clamp_min(1e-9)).clamp_(0, 1)
    return ((x - along * bone[:, :, 0]).square() + (y - along * bone[:, :, 1]).square()).amin(1).sqrt()


def _sobol(first: Float[Tensor, "batch value"], second: Float[Tensor, "batch value"]) -> float:
    """E[|a - b|^2] / (2 Var), the variance over both and summed over values."""
    total = torch.cat([first, second]).var(0, correction=0).sum()
    return float((first - second).square().sum(1).mean() / (2 * total))


def _masked_square(
    difference: Float[Tensor, "batch 3 size size"], mask: Bool[Tensor, "batch size size"]
) -> Float[Tensor, " batch"]:
    return (difference.square() * mask[:, None]).sum((1, 2, 3))
