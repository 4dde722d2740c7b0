"""The order of joints, told by their names; and hands whose joints seem to stand in another order."""

import re
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from handvae.hand import BONES, FINGERS, JOINT_NAMES

_FINGER_WORDS = {
    "thumb": "thumb",
    "index": "index",
    "forefinger": "index",
    "fore": "index",
    "pointer": "index",
    "middle": "middle",
    "ring": "ring",
    "pinky": "pinky",
    "pinkie": "pinky",
    "little": "pinky",
    "small": "pinky",
}
_LEVEL_WORDS = {
    "cmc": 0,
    "tmc": 0,
    "mcp": 0,
    "pip": 1,
    "dip": 2,
    "tip": 3,
    "ip": 2,
    "base": 0,
    "knuckle": 0,
}
_IGNORED = {"left", "right", "l", "r", "hand", "finger", "joint", "kpt", "keypoint"}
FEW = 3
"""Of fewer wholly labelled hands nothing is said: one odd hand is no order."""
_LONGEST_PALM_BONE = 0.9
"""Length of a bone of the palm over the diagonal of the joints' box, which few poses reach."""


@dataclass(frozen=True)
class JointOrder:
    """How a source's joints come into our order: internal[i] = source[order[i]]."""

    order: tuple[int, ...]
    names: tuple[str, ...] = JOINT_NAMES
    """Names of the joints, in our order; joint 0 may be `palm`."""

    @property
    def is_ours(self) -> bool:
        """Whether nothing has to be moved."""
        return self.order == tuple(range(len(self.order)))


OURS = JointOrder(tuple(range(len(JOINT_NAMES))))


@cache
def order_by_names(names: tuple[str, ...]) -> JointOrder:
    """The order of a hand's 21 joints by their names, in the spellings that data sets use.

    `index_mcp`, `Index Finger MCP`, `right_forefinger1`, `little2`, `pinky_tip`; numbers alone (`0` to `20`)
    stand for our order.

    Raises:
        ValueError: there are not 21, a name is not known, or a joint occurs twice; says which.
    """
    if len(names) != len(JOINT_NAMES):
        raise ValueError(f"there are {len(names)} joints, not {len(JOINT_NAMES)}")
    if [name.strip() for name in names] in ([str(i + start) for i in range(21)] for start in (0, 1)):
        return OURS

    joints = [_joint(name) for name in names]
    unknown = [name for name, joint in zip(names, joints, strict=True) if joint is None]
    if unknown:
        raise ValueError(f"joints of unknown names: {', '.join(unknown[:5])}")

    twice = sorted({name for name, joint in zip(names, joints, strict=True) if joints.count(joint) > 1})
    if twice:
        raise ValueError(f"names of one joint: {', '.join(twice[:5])}")

    order = tuple(joints.index(joint) for joint in range(len(JOINT_NAMES)))
    is_palm = "palm" in _words(names[order[0]])
    return JointOrder(order, ("palm", *JOINT_NAMES[1:]) if is_palm else JOINT_NAMES)


def _words(name: str) -> list[str]:
    """The parts of a name: words and numbers, in lower case."""
    separated = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    return re.findall(r"[a-z]+|\d+", separated.lower())


def _joint(name: str) -> int | None:
    """The number of the joint that a name stands for."""
    words = [word for word in _words(name) if word not in _IGNORED]
    if words in (["wrist"], ["palm"], ["root"], ["palm", "center"], ["palm", "centre"]):
        return 0
    if len(words) != 2:
        return None

    finger, level = _FINGER_WORDS.get(words[0]), words[1]
    if finger is None:
        return None

    if level.isdecimal():
        place = int(level) - 1
    elif finger == "thumb":
        # the thumb's four joints have names of their own
        place = {"cmc": 0, "tmc": 0, "mcp": 1, "ip": 2, "tip": 3}.get(level, -1)
    else:
        place = _LEVEL_WORDS.get(level, -1)

    return 1 + 4 * FINGERS.index(finger) + place if 0 <= place < 4 else None


def shuffled_share(joints: Float[Tensor, "hand 21 2"], valid: Bool[Tensor, "hand 21"]) -> Float[Tensor, ""]:
    """Share of the wholly labelled hands with a bone as long as no pose shows it; 0 where there are few.

    Joints in another order, such as tip to base, give such bones on nearly every hand.
    """
    whole = valid.all(1)
    if whole.sum() < FEW:
        return torch.zeros(())

    flat = joints[whole]
    parents = flat[:, [parent for parent, _ in BONES]]
    children = flat[:, [child for _, child in BONES]]
    lengths = (children - parents).norm(dim=-1)
    diagonal = (flat.amax(1) - flat.amin(1)).norm(dim=-1).clamp_min(1e-6)

    # fingers' bones are at most half a hand long, from whatever side
    from_wrist = torch.tensor([parent == 0 for parent, _ in BONES])
    limit = torch.where(from_wrist, _LONGEST_PALM_BONE, 0.5) * diagonal[:, None]
    return (lengths > limit).any(1).float().mean()
