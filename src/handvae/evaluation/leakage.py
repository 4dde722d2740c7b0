"""Leakage: does the pose move when the appearance is swapped, and the appearance when the pose is?

A value read from a picture is a function f(pose, appearance), and leakage is the total Sobol index of the
factor that should not matter:
    E[(f(p, z) - f(p, z'))^2] / (2 Var f)      of the appearance on the pose, or with p swapped instead of z
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
"""Distance to every bone and the forearm from which a pixel is background: crop units, 1/8 of the side."""
SHEET_SIZE = 6
"""Poses and appearances of the swap sheet."""


@dataclass(frozen=True)
class Leakage:
    """Leakage numbers, and a sheet to look at."""

    measures: tuple[Measure, ...]
    sheet: Float[Tensor, "3 height width"]
    """Each row has one appearance, each column one pose."""


@torch.no_grad()
def leakage(inputs: GenerationInputs, detector: HandDetector, seed: int = 0) -> Leakage:
    """Generate three pictures a hand: (p, z), the same pose with another z, the same z with another pose.

    Args:
        inputs: hands that give poses and appearances, at least three.
        detector: reads poses.
        seed: pairs poses with appearances.
    """
    system = inputs.system
    size_px = system.crop.size_px

    # poses and appearances are shuffled apart, so that they are independent
    noise = Noise(seed, stream=Stream.LEAKAGE)
    order = noise.permutation(len(inputs))
    appearances = inputs.appearance[noise.permutation(len(inputs))]
    poses = inputs.joints[order]
    crop_joints = inputs.joints_px[order] * (2 / size_px) - 1
    base = torch.cat(list(inputs.synthesize(appearances, poses)))
    other_appearance = torch.cat(list(inputs.synthesize(appearances.roll(1, 0), poses)))
    other_pose = torch.cat(list(inputs.synthesize(appearances, poses.roll(1, 0))))

    # f: joints that the detector finds in both pictures
    before = detector.detect(base.split(BATCH), system.crop)
    after = detector.detect(other_appearance.split(BATCH), system.crop)
    in_both = before.found & after.found
    pose_leak = _sobol(before.joints_px[in_both].flatten(1), after.joints_px[in_both].flatten(1))

    # f: the appearance code that the encoder reads
    base_codes = torch.cat([system.appearance_of(some) for some in base.split(BATCH)])
    other_codes = torch.cat([system.appearance_of(some) for some in other_pose.split(BATCH)])

    # f: background pixels; the variance is that of swapping pose and appearance together
    outside = clear_of_hand(crop_joints, size_px) & clear_of_hand(crop_joints.roll(1, 0), size_px)
    changed = _masked_square(base - other_pose, outside)
    natural = _masked_square(base - base.roll(1, 0), outside)

    shared = (
        "0: no leak, 1: complete; total Sobol index, poses and appearances of the data set paired at random"
    )
    pose_protocol = Stated(f"{shared}; {detector.relation(system)}; {size_px} px crop")
    appearance_protocol = Stated(f"{shared}; {size_px} px crop")
    measures = (
        Measure(
            name="leak_appearance_to_pose",
            value=pose_leak,
            unit="",
            n=int(in_both.sum()),
            protocol=pose_protocol,
            definition="joints found after swapping the appearance",
        ),
        Measure(
            name="leak_pose_to_appearance_code",
            value=_sobol(base_codes, other_codes),
            unit="",
            n=len(inputs),
            protocol=appearance_protocol,
            definition="appearance code read after swapping the pose",
        ),
        Measure(
            name="leak_pose_to_background",
            value=float(changed.sum() / natural.sum()),
            unit="",
            n=len(inputs),
            protocol=appearance_protocol,
            definition=(
                f"mean squared difference of pixels at least {CLEAR:g} crop units from both hands' bones and "
                "forearms, over that of swapping both"
            ),
        ),
    )

    return Leakage(measures, swap_sheet(inputs, poses, appearances))


def swap_sheet(
    inputs: GenerationInputs,
    poses: Float[Tensor, "batch joint axis"],
    appearances: Float[Tensor, "batch appearance"],
) -> Float[Tensor, "3 h w"]:
    """Each of the first appearances on each of the first poses."""
    columns = poses[:SHEET_SIZE]
    rows = []
    for appearance in appearances[:SHEET_SIZE]:
        pictures = torch.cat(list(inputs.synthesize(appearance.expand(len(columns), -1), columns)))
        rows.append(torch.cat(list(pictures), dim=2))
    return torch.cat(rows, dim=1)


def clear_of_hand(joints: Float[Tensor, "batch joint 2"], size_px: int) -> Bool[Tensor, "batch size size"]:
    """Pixels far from every bone and the forearm, which extends the line from middle MCP to wrist.

    Args:
        joints: crop units.
        size_px: side of the picture.
    """
    return torch.cat([_distance_to_hand(some, size_px) > CLEAR for some in joints.split(BATCH)])


def _distance_to_hand(
    joints: Float[Tensor, "batch joint 2"], size_px: int
) -> Float[Tensor, "batch size size"]:
    """Distance of each pixel to the nearest bone or the forearm, crop units."""
    parents = [parent for parent, _ in BONES]
    children = [child for _, child in BONES]
    wrist = joints[:, :1]
    elbow = wrist + 4 * (wrist - joints[:, 9:10])
    start = torch.cat([joints[:, parents], wrist], 1)[..., None, None]
    bone = torch.cat([joints[:, children], elbow], 1)[..., None, None] - start

    # from the start of each bone to each pixel's centre: (batch, bone, row, column)
    centres = (torch.arange(size_px) + 0.5) * (2 / size_px) - 1
    x = centres - start[:, :, 0]
    y = centres[:, None] - start[:, :, 1]

    # the nearest point of a bone is its start + along * bone
    length_squared = bone.square().sum(2).clamp_min(1e-9)
    along = ((x * bone[:, :, 0] + y * bone[:, :, 1]) / length_squared).clamp_(0, 1)
    distance_x = x - along * bone[:, :, 0]
    distance_y = y - along * bone[:, :, 1]

    return (distance_x.square() + distance_y.square()).amin(1).sqrt()


def _sobol(first: Float[Tensor, "batch value"], second: Float[Tensor, "batch value"]) -> float:
    """E[|a - b|^2] / (2 Var), the variance over both and summed over values."""
    variance = torch.cat([first, second]).var(0, correction=0).sum()
    return float((first - second).square().sum(1).mean() / (2 * variance))


def _masked_square(
    difference: Float[Tensor, "batch 3 size size"], mask: Bool[Tensor, "batch size size"]
) -> Float[Tensor, " batch"]:
    return (difference.square() * mask[:, None]).sum((1, 2, 3))
