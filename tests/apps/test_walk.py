"""The paths that animations take."""

import json

import pytest
import torch

from handvae.inference.poses import read_poses
from handvae.inference.walk import appearance_walk, pose_walk
from handvae.noise import Noise

close = torch.testing.assert_close
SHARE = torch.linspace(0, 1, 9)


def test_a_walk_between_appearances_goes_from_the_first_to_the_second():
    start, end = Noise(1).normal(1, 16), Noise(2).normal(1, 16)
    path = appearance_walk(start, end, SHARE)
    close(path[:1], start, atol=1e-4, rtol=0)
    close(path[-1:], end, atol=1e-4, rtol=0)


def test_appearances_on_the_way_are_as_long_as_the_ends():
    """On a straight line between two random appearances the middle one is shorter by a third: a look that is
    too mean."""
    start, end = (vector / vector.norm() * 4 for vector in (Noise(1).normal(1, 16), Noise(2).normal(1, 16)))
    close(appearance_walk(start, end, SHARE).norm(dim=1), torch.full((9,), 4.0), atol=1e-3, rtol=0)
    assert (start / 2 + end / 2).norm() < 3.5


@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["equal", "opposite"])
def test_a_walk_between_appearances_on_one_line_stays_finite(sign):
    start = Noise(1).normal(1, 16)
    path = appearance_walk(start, sign * start, SHARE)
    assert torch.isfinite(path).all()
    close(path[-1:], sign * start, atol=0.1, rtol=0)


def test_a_walk_between_named_poses_starts_and_ends_in_them(build):
    system = build()
    path = pose_walk(system, "open", "fist", SHARE)
    for place, name in ((0, "open"), (-1, "fist")):
        close(path[place], read_poses(name, None, "palm", system).joints[0], atol=1e-5, rtol=0)


def test_a_finger_that_folds_on_a_walk_swings_and_does_not_shrink(build):
    """Joint angles turn: half way to the fist a finger points to the camera, where a straight line would only
    shorten it."""
    path = pose_walk(build(), "flat", "fist", SHARE)
    straight = torch.lerp(path[0], path[-1], 0.5)
    assert (path[4] - straight).norm(dim=-1).max() > 0.1
    steps = (path[1:] - path[:-1]).norm(dim=-1).amax(1)
    assert steps.max() < 4 * steps.median()


def test_a_walk_from_a_file_moves_along_straight_lines(build, tmp_path):
    system = build()
    (tmp_path / "a.json").write_text(json.dumps(Noise(3).uniform(21, 2).tolist()))
    path = pose_walk(system, str(tmp_path / "a.json"), "open", SHARE)
    close(path[4], (path[0] + path[-1]) / 2, atol=1e-6, rtol=0)
    close(path[-1], read_poses("open", None, "palm", system).joints[0])
