import math

import pytest
import torch

from handvae.hand import BONES
from handvae.nets.limb_maps import limb_maps

close = torch.testing.assert_close


def hands(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 21, 2, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8


def by_loop(joints: list[list[float]], bone: int, row: int, column: int, size: int, width: float) -> float:
    """exp(-d^2 / (2 width^2)) of one pixel, d the distance of its centre to the bone."""
    (ax, ay), (bx, by) = (joints[joint] for joint in BONES[bone])
    x, y = ((index + 0.5) * 2 / size - 1 for index in (column, row))
    along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / math.dist((ax, ay), (bx, by)) ** 2
    nearest = min(max(along, 0.0), 1.0)
    return math.exp(
        -(math.dist((x, y), (ax + nearest * (bx - ax), ay + nearest * (by - ay))) ** 2) / (2 * width**2)
    )


@pytest.mark.parametrize("width", [0.06, 0.3])
def test_maps_agree_with_a_loop_over_pixels(width):
    joints, size = hands(), 6
    expected = [
        [
            [[by_loop(hand, bone, row, column, size, width) for column in range(size)] for row in range(size)]
            for bone in range(20)
        ]
        for hand in joints.double().tolist()
    ]
    close(limb_maps(joints, size, width), torch.tensor(expected), atol=2e-5, rtol=1e-3)


def test_a_bone_without_length_is_a_dot():
    joints = torch.full((1, 21, 2), 0.25)
    dot = limb_maps(joints, 8, 0.2)
    assert torch.isfinite(dot).all()
    close(dot[0, 0], dot[0, 0].T)
    assert dot[0, 0].argmax() == 5 * 8 + 4 or dot[0, 0, 4, 4] == dot[0, 0].max()


def test_a_bone_far_outside_the_crop_leaves_its_map_dark():
    assert limb_maps(hands() + 50, 8, 0.06).max() == 0


def test_finer_maps_average_to_coarser_ones():
    """The same limbs at every resolution: no half-pixel shift between levels."""
    fine, coarse = (limb_maps(hands(), size, 0.5) for size in (32, 16))
    close(torch.nn.functional.avg_pool2d(fine, 2), coarse, atol=5e-3, rtol=0)


def test_gradients_are_finite_even_where_joints_coincide():
    joints = hands()
    joints[0, 7] = joints[0, 6]
    joints.requires_grad_()
    limb_maps(joints, 16, 0.06).sum().backward()
    assert torch.isfinite(joints.grad).all()
