"""Names for appearances: unlike ones among a model's random ones, each named by what its pictures show.

Words are measured on pictures of four poses: skin by the individual typology angle (ITA) of the pixels on the
fingers and the palm, the ground by its lightness and tint along the upper border. They describe the picture,
its light included, not a person.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from handvae.data.crop import to_crop_px
from handvae.geometry import VIEWS, orthographic_view
from handvae.hand import BONES, HandShape, forward_kinematics, named_pose, to_bone_units
from handvae.noise import Noise, Stream
from handvae.systems.system import Generator
from handvae.training.appearances import NamedAppearance

DRAWN = 512
"""Random appearances to choose from."""
TYPICAL = 0.75
"""Share of them, the most typical ones, that may be named."""
POSES = ("open", "flat", "victory", "relaxed")
SKIN = (
    (55.0, "very-light"),
    (41.0, "light"),
    (28.0, "medium"),
    (10.0, "tan"),
    (-30.0, "brown"),
    (-math.inf, "dark"),
)
"""Lowest ITA in degrees of each word: the usual six classes, after Chardon et al. (1991) and Del Bino et al.
(2006)."""
GROUND = (
    (85.0, "white"),
    (72.0, "pale"),
    (64.0, "light-grey"),
    (50.0, "grey"),
    (35.0, "dim"),
    (-math.inf, "dark"),
)
"""Lowest lightness L* of each word."""
TINT = 3.0
"""Chroma from which a ground is called warm, cool, green or pink."""


@dataclass(frozen=True)
class Colours:
    """Mean colours of a picture in CIE L*a*b*."""

    skin: Float[np.ndarray, "3"]
    ground: Float[np.ndarray, "3"]

    @property
    def name(self) -> str:
        """Skin on ground, in words."""
        return f"{skin_word(self.skin)}-on-{ground_word(self.ground)}"

    @property
    def about(self) -> str:
        """The numbers behind the name."""
        light, red, yellow = self.ground
        ground = f"ground L* {light:.0f}, a* {red:.0f}, b* {yellow:.0f}"
        return f"skin ITA {typology_angle(self.skin):.0f} degrees; {ground}"


def typology_angle(lab: Float[np.ndarray, "3"]) -> float:
    """ITA in degrees: arctan((L* - 50) / b*)."""
    return math.degrees(math.atan2(lab[0] - 50, max(lab[2], 1e-6)))


def skin_word(lab: Float[np.ndarray, "3"]) -> str:
    """The word for skin of this colour."""
    angle = typology_angle(lab)
    return next(word for least, word in SKIN if angle > least)


def ground_word(lab: Float[np.ndarray, "3"]) -> str:
    """The word for a ground of this colour."""
    lightness, red, yellow = lab
    light = next(word for least, word in GROUND if lightness > least)
    if math.hypot(red, yellow) < TINT:
        return light
    if abs(yellow) >= abs(red):
        return f"{'warm' if yellow > 0 else 'cool'}-{light}"
    return f"{'pink' if red > 0 else 'green'}-{light}"


def named_appearances(system: Generator, most: int = 12, seed: int = 0) -> dict[str, NamedAppearance]:
    """Up to `most` unlike appearances by name, the first the most typical one of the model.

    Of `DRAWN` random ones the most typical are grouped by name; a name goes to the one in the middle of its
    group. Names are chosen in turn, each the farthest from those before it by the colours of skin and ground.
    """
    drawn = system.random_appearance(DRAWN, Noise(seed, stream=Stream.NAMED_APPEARANCES), "aggregate")

    # typical: a small squared Mahalanobis distance from the mean
    centred = drawn - drawn.mean(0)
    distance = (centred @ torch.linalg.pinv(torch.cov(centred.T)) * centred).sum(1)
    kept = distance.argsort(stable=True)[: round(TYPICAL * DRAWN)]

    # one appearance for each name, the middle of those that share it
    colours = [colours_of(system, appearance) for appearance in drawn[kept]]
    places = np.stack([np.concatenate([colour.skin, colour.ground]) for colour in colours])
    groups: dict[str, list[int]] = {}
    for number, colour in enumerate(colours):
        groups.setdefault(colour.name, []).append(number)

    middles = [_middle(places, members) for members in groups.values()]

    named = {}
    for number in _spread_out(places, middles, most):
        colour = colours[number]
        named[colour.name] = NamedAppearance(drawn[kept[number]], colour.about)

    return named


def _middle(places: Float[np.ndarray, "appearance 6"], members: Sequence[int]) -> int:
    """The member with the least distance to all others."""
    own = places[list(members)]
    distances = np.linalg.norm(own[:, None] - own[None], axis=2)
    return members[int(distances.sum(1).argmin())]


def _spread_out(places: Float[np.ndarray, "appearance 6"], candidates: Sequence[int], most: int) -> list[int]:
    """Candidates, the first nearest the middle of all, every further one farthest from those before it."""
    from_middle = np.linalg.norm(places[list(candidates)] - np.median(places, axis=0), axis=1)
    chosen = [candidates[int(from_middle.argmin())]]
    while len(chosen) < min(most, len(candidates)):
        gaps = [min(np.linalg.norm(places[c] - places[d]) for d in chosen) for c in candidates]
        chosen.append(candidates[int(np.argmax(gaps))])
    return chosen


def colours_of(system: Generator, appearance: Float[Tensor, " appearance"]) -> Colours:
    """Mean colours of skin and ground, over pictures of `POSES` with this appearance."""
    angles = torch.stack([named_pose(name) for name in POSES])
    solid = forward_kinematics(angles, HandShape.mean()).joints
    view = orthographic_view(solid, VIEWS["palm"].float()[None], margin=system.crop.margin)

    # named poses are right hands
    mirror = torch.tensor([-1.0, 1.0, 1.0]) if system.spec.sides == "left" else torch.ones(3)
    flat = view.joints_2d * mirror[:2]
    poses = flat if system.pose == "2d" else to_bone_units(view.joints_mm * mirror, "wrist")

    size = system.crop.size_px
    pictures = system.synthesize(poses, appearance.expand(len(POSES), -1))
    skin, ground = [], []

    for picture, joints in zip(pictures, to_crop_px(flat, size), strict=True):
        lab = cv2.cvtColor(np.ascontiguousarray(picture.permute(1, 2, 0).numpy()), cv2.COLOR_RGB2LAB)
        skin.append(_skin_colour(lab, joints))
        ground.append(_ground_colour(lab))

    return Colours(np.mean(skin, axis=0), np.mean(ground, axis=0))


def _skin_colour(
    lab: Float[np.ndarray, "size size 3"], joints_px: Float[Tensor, "21 2"]
) -> Float[np.ndarray, "3"]:
    """Mean colour at the middles of the bones."""
    middles = torch.stack([(joints_px[a] + joints_px[b]) / 2 for a, b in BONES])
    places = middles.long().clamp(0, len(lab) - 1).numpy()
    return lab[places[:, 1], places[:, 0]].mean(0)


def _ground_colour(lab: Float[np.ndarray, "size size 3"]) -> Float[np.ndarray, "3"]:
    """Mean colour along the upper border and the upper halves of the sides."""
    edge, half = max(2, len(lab) // 10), len(lab) // 2
    border = [lab[:edge], lab[:half, :edge], lab[:half, -edge:]]
    return np.concatenate([pixels.reshape(-1, 3) for pixels in border]).mean(0)
