"""The poses that have names."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from handvae.hand import POSE_NAMES, HandShape, forward_kinematics, named_pose


@dataclass(frozen=True, eq=False)
class NamedPose:
    """A pose that has a name, of the mean right hand."""

    name: str
    """What `handvae.synthesize` calls it."""
    angles_deg: Float[np.ndarray, "5 4"] = field(repr=False)
    """Joint angles of thumb to little finger, degrees, as `handvae.hand.forward_kinematics` takes them."""
    joints_3d: Float[np.ndarray, "21 3"] = field(repr=False)
    """Joints in the hand frame, mm, the wrist at the origin."""


def poses() -> list[NamedPose]:
    """The named poses, in the order in which commands list them."""
    shape = HandShape.mean()
    entries = []
    for name in POSE_NAMES:
        angles = named_pose(name)
        joints = forward_kinematics(angles, shape).joints
        entries.append(NamedPose(name, np.rad2deg(angles.numpy()), joints.numpy()))
    return entries
