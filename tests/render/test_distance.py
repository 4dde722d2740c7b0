"""Signed distance: its gradient, culling, the way back to the resting hand, and the baked mesh on it."""

import numpy as np
import pytest
import torch

from handvae.hand import HandShape
from handvae.render.hand.body import COUNT, GROUP, NAMES, pose_body, rest_body
from handvae.render.hand.distance import SCRATCH, distance, distances, near, normals, rest_maps, to_rest
from handvae.render.hand.pose import Pose, make_pose
from handvae.render.hand.shade import studio_light
from handvae.render.hand.surface import CAST, COARSE_MM, FINE_MM, baked, deform, pose_maps

MEAN = HandShape.mean(torch.float64)


@pytest.fixture(scope="module")
def body():
    return pose_body(make_pose("claw", MEAN), MEAN)


@pytest.fixture(scope="module")
def points(body):
    """Points within 6 mm of the skin."""
    wide = np.random.default_rng(0).uniform([-40, -60, -70], [190, 90, 50], (60_000, 3))
    return wide[np.abs(distances(body, wide)) < 6][:3000]


def test_the_normal_is_the_gradient(body, points):
    step = 1e-4
    numeric = np.stack(
        [
            (distances(body, points + step * axis) - distances(body, points - step * axis)) / (2 * step)
            for axis in np.eye(3)
        ],
        1,
    )
    numeric /= np.linalg.norm(numeric, axis=1, keepdims=True)
    agreement = (numeric * normals(body, points)).sum(1)
    assert np.median(agreement) > 1 - 1e-9
    assert np.quantile(agreement, 0.01) > 1 - 1e-4  # where capsules end, the field has edges


def test_distance_is_never_over_estimated(body, points):
    """A ray may safely go as far as the distance says: no point within that far has another sign."""
    outside = points[distances(body, points) > 0.5][:400]
    reach = distances(body, outside)
    directions = np.random.default_rng(1).normal(size=(64, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    steps = outside[:, None] + 0.97 * reach[:, None, None] * directions
    assert (distances(body, steps.reshape(-1, 3)) > -0.05).mean() > 0.999


def test_the_nearest_capsules_give_the_same_distance(body, points):
    table = body.packed(np.eye(3), np.zeros(3))
    use, scratch = np.empty(COUNT, np.int64), np.empty(SCRATCH)
    errors = []
    for x, y, z in points[:500]:
        count = near(table, x, y, z, 30.0, use)
        errors.append(
            abs(distance(table, use, count, x, y, z, scratch) - distances(body, np.array([[x, y, z]]))[0])
        )
    assert max(errors) < 1e-2
    assert np.mean(errors) < 1e-3


def test_distance_is_the_same_in_the_camera_frame(body, points):
    turn = np.array([[0.0, -1.0, 0.0], [0.6, 0.0, -0.8], [0.8, 0.0, 0.6]])
    shift = np.array([10.0, -20.0, 500.0])
    table, use, scratch = body.packed(turn, shift), np.arange(COUNT), np.empty(SCRATCH)
    moved = points[:200] @ turn.T + shift
    there = [distance(table, use, COUNT, *place, scratch) for place in moved]
    np.testing.assert_allclose(there, distances(body, points[:200]), atol=1e-9)


def test_a_finger_does_not_melt_into_the_palm():
    """In a fist the fingertips' groups and the palm's blend by the small union only: a tip's skin stays a
    tip's."""
    fist = pose_body(make_pose("fist", MEAN), MEAN)
    tip = fist.joints[8]
    alone = [i for i, name in enumerate(NAMES) if name.startswith(("distal1", "pulp1"))]
    table, scratch = fist.packed(np.eye(3), np.zeros(3)), np.empty(SCRATCH)
    with_all = distance(table, np.arange(COUNT), COUNT, *tip, scratch)
    by_itself = distance(table, np.array(alone), len(alone), *tip, scratch)
    assert with_all <= by_itself + 1e-9
    assert by_itself - with_all < 1.0


def test_skin_goes_back_to_where_it_was_painted(body):
    """Vertices of the resting mesh, carried into a pose, come back to within a few mm."""
    surface, light = baked(COARSE_MM), studio_light()
    turn, shift = np.diag([1.0, -1.0, -1.0]), np.array([0.0, 0.0, 500.0])
    posed, shading = np.empty((len(surface.rest), 3)), np.empty((len(surface.rest), 5))
    table = body.packed(turn, shift)
    deform(surface, pose_maps(body, turn, shift), table, CAST, light, posed, shading)
    maps, use, scratch, out = (
        rest_maps(body, rest_body(), turn, shift),
        np.arange(COUNT),
        np.empty(SCRATCH),
        np.empty(17),
    )
    errors = []
    for row in range(0, len(posed), 7):
        to_rest(table, maps, use, COUNT, *posed[row], scratch, out)
        errors.append(np.linalg.norm(out[12:15] - surface.rest[row]))
    assert np.median(errors) < 1.0
    assert np.quantile(errors, 0.9) < 4.0


@pytest.mark.parametrize("name", ["open", "fist", "ok"])
def test_the_posed_mesh_lies_on_the_surface(name):
    hand = pose_body(Pose(make_pose(name, MEAN).angles, np.array([0.5, 0.1])), MEAN)
    surface = baked(FINE_MM)
    posed, shading = np.empty((len(surface.rest), 3)), np.empty((len(surface.rest), 5))
    deform(
        surface,
        pose_maps(hand, np.eye(3), np.zeros(3)),
        hand.packed(np.eye(3), np.zeros(3)),
        CAST,
        studio_light(),
        posed,
        shading,
    )
    gaps = distances(hand, posed)
    shown = gaps > -1.5  # skin pressed into other skin lies inside
    assert shown.mean() > 0.8
    assert np.abs(gaps[shown] - surface.lift_mm).mean() < 0.5
    assert np.quantile(np.abs(gaps[shown]), 0.99) < 1.6
    np.testing.assert_allclose(np.linalg.norm(shading[:, :3], axis=1), 1, atol=1e-6)


def test_the_resting_mesh_is_closed_and_turned_outwards():
    surface = baked(COARSE_MM)
    edges = np.concatenate([surface.faces[:, [0, 1]], surface.faces[:, [1, 2]], surface.faces[:, [2, 0]]])
    _, counts = np.unique(np.sort(edges, 1), axis=0, return_counts=True)
    assert (counts == 2).mean() > 0.999
    corners = surface.rest[surface.faces]
    outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((outward * normals(rest_body(), corners.mean(1))).sum(1) > 0).mean() > 0.995
    volume = (corners[:, 0] * np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert 0.5e6 < volume < 2.5e6  # mm^3 of hand and forearm


def test_every_capsule_is_of_a_group():
    assert len(set(NAMES)) == COUNT
    assert sorted(set(GROUP.tolist())) == [0, 1, 2, 3, 4, 5]
