"""Figures of dVAE's pictures: walks of the pose or of the content, contents on other poses, layers exchanged.

As in the paper, the poses that the latent holds are drawn below the pictures: true ones in red, decoded ones
in blue.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from handvae.data.crop import cut
from handvae.data.dataset import HandData
from handvae.errors import UserError
from handvae.hand import scale_bone
from handvae.reproduction.figure_hands import cells, random_rows
from handvae.reproduction.options import LatentOptions
from handvae.reproduction.sheets import CELL, Sheet, labelled_grid
from handvae.reproduction.skeletons import BLUE, RED, Colour, middle_of, reach_of, skeleton_cell
from handvae.systems.dvae_generator import DvaeGenerator
from handvae.training.checkpoint import Model

COLOURS = "skeletons: true poses red, decoded ones blue"


@dataclass(frozen=True)
class Ends:
    """Hands from and to which something walks, or whose parts are joined."""

    image: Float[Tensor, "hand 3 height width"]
    joints: Float[Tensor, "hand joint 3"]
    """True poses, bone units."""
    bone_mm: Float[Tensor, " hand"]
    pose: Float[Tensor, "hand latent"]
    """Codes of the true poses."""
    content: Float[Tensor, "hand content"]
    """Contents of the pictures."""

    @property
    def reach(self) -> float:
        """Half of the side of a skeleton's cell, mm."""
        return reach_of((self.joints * self.bone_mm[:, None, None]).numpy())

    def skeleton(
        self, hand: int, poses: Sequence[tuple[Float[Tensor, "joint 3"], Colour]], reach: float
    ) -> Sheet:
        """Poses in bone units of a hand, over each other."""
        solid = [((joints * self.bone_mm[hand]).numpy(), colour) for joints, colour in poses]
        return skeleton_cell(solid, "camera", middle_of(solid[0][0]), reach)


def _ends(system: DvaeGenerator, data: HandData, count: int, seed: int) -> Ends:
    """Random hands of the test split."""
    hands = cut(data, random_rows(data, count, seed), system.crop)
    image, joints = hands.require("image"), system.joints_of(hands)
    bone_mm = scale_bone(hands.require("joints_3d"))
    return Ends(image, joints, bone_mm, system.pose_encoder(joints).mean, system.appearance_of(image))


@torch.no_grad()
def pose_walks(model: Model, data: HandData, options: LatentOptions) -> tuple[Sheet, str]:
    """The pose walks from one hand to another with the content of either, then the content in its turn.

    Four rows for each pair, as in the paper's figure 4: pictures of the walking pose with the first hand's
    content, with the last one's, the decoded poses, and pictures of the middle pose whose content walks.
    """
    system = _dvae(model)
    ends = _ends(system, data, 2 * options.hands, options.seed)
    share = torch.linspace(0, 1, options.columns)[:, None]
    reach = ends.reach
    rows = []

    for start in range(options.hands):
        end = start + options.hands
        pose = torch.lerp(ends.pose[start], ends.pose[end], share)
        content = torch.lerp(ends.content[start], ends.content[end], share)
        middle = pose[len(pose) // 2]

        for poses, contents in (
            (pose, content[0].expand_as(content)),
            (pose, content[-1].expand_as(content)),
        ):
            made = system.image_of(torch.cat([poses, contents], 1))
            rows.append(cells(torch.stack([ends.image[start], *made, ends.image[end]])))

        walk = torch.cat([pose, content[0].expand_as(content)], 1)
        rows.append(_skeletons(system, ends, (start, end), walk, reach))

        made = system.image_of(torch.cat([middle.expand_as(pose), content], 1))
        rows.append(cells(torch.stack([ends.image[start], *made, ends.image[end]])))

    names = (
        "pose walks, first content",
        "pose walks, last content",
        "decoded pose",
        "content walks, middle pose",
    )
    note = f"{options.hands} walks of the pose, then of the content; {COLOURS}"
    return labelled_grid(rows, names * options.hands, _columns(options.columns)), note


@torch.no_grad()
def content_walks(model: Model, data: HandData, options: LatentOptions) -> tuple[Sheet, str]:
    """The content walks from one hand to another, the pose stands still; below each picture its pose."""
    system = _dvae(model)
    ends = _ends(system, data, 2 * options.hands, options.seed)
    share = torch.linspace(0, 1, options.columns)[:, None]
    reach = ends.reach
    rows = []

    for start in range(options.hands):
        end = start + options.hands
        content = torch.lerp(ends.content[start], ends.content[end], share)
        latent = torch.cat([ends.pose[start].expand(len(content), -1), content], 1)
        rows.append(cells(torch.stack([ends.image[start], *system.image_of(latent), ends.image[end]])))
        rows.append(_skeletons(system, ends, (start, end), latent, reach))

    names = ("content walks", "decoded pose")
    note = f"{options.hands} walks of the content, the pose stands still; {COLOURS}"
    return labelled_grid(rows, names * options.hands, _columns(options.columns)), note


def _skeletons(
    system: DvaeGenerator,
    ends: Ends,
    pair: tuple[int, int],
    latent: Float[Tensor, "frame latent"],
    reach: float,
) -> list[Sheet]:
    """The decoded poses of a walk between the true ones of its ends."""
    decoded = system.decode_pose(latent)
    walk = [ends.skeleton(pair[0], [(pose, BLUE)], reach) for pose in decoded]
    first, last = (ends.skeleton(hand, [(ends.joints[hand], RED)], reach) for hand in pair)
    return [first, *walk, last]


def _columns(count: int) -> list[str]:
    """Names of the columns of a walk."""
    return ["first hand, real", *[""] * count, "last hand, real"]


@torch.no_grad()
def transfers(model: Model, data: HandData, options: LatentOptions) -> tuple[Sheet, str]:
    """Poses of pictures (first column) with contents of others (first row), as in the paper's figure 6.

    Below each made picture the pose that the model reads from it, over the one that it was made of.
    """
    system = _dvae(model)
    ends = _ends(system, data, options.hands + options.columns, options.seed)
    reach = ends.reach
    blank = np.full((CELL, CELL, 3), 255, np.uint8)
    contents = ends.content[options.hands :]
    rows = [[blank, blank, *cells(ends.image[options.hands :])]]
    names = ["contents of"]

    for hand in range(options.hands):
        made = system.image_of(torch.cat([ends.pose[hand].expand(len(contents), -1), contents], 1))
        read = system.decode_pose(system.image_encoder(made - 0.5).mean)

        asked = (ends.joints[hand], RED)
        (picture,) = cells(ends.image[hand : hand + 1])
        rows.append([picture, ends.skeleton(hand, [asked], reach), *cells(made)])
        rows.append([blank, blank, *(ends.skeleton(hand, [asked, (pose, BLUE)], reach) for pose in read)])
        names += [f"pose {hand + 1}", "read again"]

    note = f"{options.hands} poses with {options.columns} contents; read again: red as asked, blue as read"
    return labelled_grid(rows, names, ["poses of", "true pose"]), note


@torch.no_grad()
def exchanged_layers(model: Model, data: HandData, options: LatentOptions) -> tuple[Sheet, str]:
    """Hands in their true poses with their own appearance, and with one or both layers of another hand's."""
    system = _dvae(model)
    layers = system.content_layers
    if len(layers) < 2:
        remedy = "give a model of `handvae train rendered-dvae-layers-64`"
        raise UserError(model.path, "holds its content in one piece", remedy)

    ends = _ends(system, data, 2 * options.hands, options.seed)
    joints = ends.joints[: options.hands]
    own, other = ends.content.split(options.hands)

    appearances = [own, *(system.exchanged(own, layer, other) for layer in layers), other]
    generated = [system.synthesize(joints, appearance) for appearance in appearances]

    exchanged = ", ".join(f"the other's {layer}" for layer in layers)
    note = (
        "columns: a picture, another one, generated with the first's true pose and appearance, "
        f"with {exchanged}, with both"
    )

    columns = [cells(pictures) for pictures in (*ends.image.split(options.hands), *generated)]
    names = ["first hand, real", "other hand, real", "first hand, made"]
    names += [*(f"with the other's {layer}" for layer in layers), "with both"]
    return labelled_grid([list(row) for row in zip(*columns, strict=True)], column_labels=names), note


def _dvae(model: Model) -> DvaeGenerator:
    if not isinstance(model.system, DvaeGenerator):
        fault = f"is a {model.header.system}, and the figure is of dVAE's pictures"
        raise UserError(model.path, fault, "give a dvae_image")
    return model.system
