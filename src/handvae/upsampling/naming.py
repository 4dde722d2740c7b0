"""Names for appearances: unlike ones among a model's random appearances, each called after what its pictures
look like.

Words are measured on pictures of four poses: skin by the individual typology angle (ITA) of the pixels on the
fingers and the palm, the
ground by its lightness and tint along the upper border. They tell of the picture, its light included, not of
a person.
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

DRAWN, TYPICAL = 512, 0.75
"""Appearances drawn, and the share of them, the most typical ones, that may be named."""
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
        return f"skin ITA {typology_angle(self.skin):.0f} degrees; ground L* {light:.0f}, a* {red:.0f}, b* {yellow:.0f}"


def typology_angle(lab: Float[np.ndarray, "3"]) -> float:
    """ITA in degrees: arctan((L* - 50) / b*)."""
    return math.degrees(math.atan2(lab[0] - 50, max(lab[2], 1e-6)))


def skin_word(lab: Float[np.ndarray, "3"]) -> str:
    """How skin of this colour is called."""
    angle = typology_angle(lab)
    return next(word for least, word in SKIN if angle > least)


def ground_word(lab: Float[np.ndarray, "3"]) -> str:
    """How a ground of this colour is called."""
    light = next(word for least, word in GROUND if lab[0] > least)
    if math.hypot(lab[1], lab[2]) < TINT:
        return light
    if abs(lab[2]) >= abs(lab[1]):
        return f"{'warm' if lab[2] > 0 else 'cool'}-{light}"
    return f"{'pink' if lab[1] > 0 else 'green'}-{light}"


def named_appearances(system: Generator, most: int = 12, seed: int = 0) -> dict[str, NamedAppearance]:
    """Up to `most` unlike appearances by name, the first the most typical one of the model.

    Of `DRAWN` random ones the most typical are grouped by name; each name is given to the one in the middle
    of its group, and names are
    chosen one after the other, each as far as can be from those before, by the colours of skin and ground.
    """
    drawn = system.random_appearance(DRAWN, Noise(seed, stream=Stream.NAMED_APPEARANCES), "aggregate")
    centred = drawn - drawn.mean(0)
    unusual = (centred @ torch.linalg.pinv(torch.cov(centred.T)) * centred).sum(
        1
    )  # squared Mahalanobis distance
    kept = unusual.argsort(stable=True)[: round(TYPICAL * DRAWN)]
    colours = [colours_of(system, appearance) for appearance in drawn[kept]]
    places = np.stack([np.concatenate([c.skin, c.ground]) for c in colours])
    groups: dict[str, list[int]] = {}
    for number, found in enumerate(colours):
        groups.setdefault(found.name, []).append(number)
    middles = {name: _middle(places, members) for name, members in groups.items()}
    order = _spread_out(places, list(middles.values()), most)
    return {
        colours[number].name: NamedAppearance(drawn[kept[number]], colours[number].about) for number in order
    }


def _middle(places: Float[np.ndarray, "look 6"], members: Sequence[int]) -> int:
    """The member with the least distance to all others."""
    own = places[list(members)]
    return members[int(np.linalg.norm(own[:, None] - own[None], axis=2).sum(1).argmin())]


def _spread_out(places: Float[np.ndarray, "look 6"], candidates: Sequence[int], most: int) -> list[int]:
    """Candidates, the first nearest the middle of all, every further one farthest from those before it."""
    first = candidates[
        int(np.linalg.norm(places[list(candidates)] - np.median(places, axis=0), axis=1).argmin())
    ]
    chosen = [first]
    while len(chosen) < min(most, len(candidates)):
        apart = [min(np.linalg.norm(places[c] - places[d]) for d in chosen) for c in candidates]
        chosen.append(candidates[int(np.argmax(apart))])
    return chosen


def colours_of(system: Generator, appearance: Float[Tensor, " appearance"]) -> Colours:
    """Mean colours of skin and ground, over pictures of `POSES` with this appearance."""
    solid = forward_kinematics(torch.stack([named_pose(name) for name in POSES]), HandShape.mean()).joints
    seen = orthographic_view(solid, VIEWS["palm"].float()[None], margin=system.crop.margin)
    mirror = torch.tensor([-1.0, 1.0]) if system.spec.sides == "left" else torch.ones(2)
    flat = seen.joints_2d * mirror
    asked = (
        flat
        if system.pose == "2d"
        else to_bone_units(seen.joints_mm * torch.cat([mirror, torch.ones(1)]), "wrist")
    )
    pictures = system.synthesize(asked, appearance.expand(len(POSES), -1))
    size = system.crop.size_px
    skin, ground = [], []
    for picture, joints in zip(pictures, to_crop_px(flat, size), strict=True):
        lab = cv2.cvtColor(np.ascontiguousarray(picture.permute(1, 2, 0).numpy()), cv2.COLOR_RGB2LAB)
        middles = (
            torch.stack([(joints[a] + joints[b]) / 2 for a, b in BONES]).long().clamp(0, size - 1).numpy()
        )
        skin.append(lab[middles[:, 1], middles[:, 0]].mean(0))
        edge, half = max(2, size // 10), size // 2
        ground.append(
            np.concatenate(
                [
                    lab[:edge].reshape(-1, 3),
                    lab[:half, :edge].reshape(-1, 3),
                    lab[:half, -edge:].reshape(-1, 3),
                ]
            ).mean(0)
        )
    return Colours(np.mean(skin, axis=0), np.mean(ground, axis=0))
