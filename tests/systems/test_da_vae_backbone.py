"""da-VAE behind a trained detector: what is taken of it, who sees what it finds, how it learns on."""

from dataclasses import replace

import pytest
import torch

from handvae.data.crop import Crop, cut
from handvae.noise import Noise
from handvae.systems.da_vae import DaVae, DaVaeConfig
from handvae.systems.detector import Detector, DetectorConfig
from handvae.training.loop import activate_stage

SMALL = DaVaeConfig(
    mask_width=8, mask_stem="half", pose_dims=6, appearance_dims=4, shape_dims=2, cloud_points=64, trunk_width=8, head_width=16,
    stem="half", decoder_width=16, hidden=32, fold_width=16, grid=5, posterior_samples=4,
)  # fmt: skip
close = torch.testing.assert_close


@pytest.fixture(scope="module")
def hands(drawn):
    """Sixteen drawn hands as crops of 32 px, with depth and mask."""
    return cut(drawn(16), torch.arange(16), Crop(32), None, None, ("image", "depth", "mask"))


def pose_losses(system, hands):
    activate_stage(system, system.stages[-1])
    (phase,) = system.step(hands, "pose", Noise(0))
    return phase.losses


@pytest.fixture
def finding(drawn):
    """Builds a system behind a detector that is not trained."""

    def make(**changes):
        torch.manual_seed(0)
        crop = Crop(32, sides="right")
        system = DaVae(
            replace(SMALL, finder="some-detector", finder_widths=(8, 8, 16), norm="group", **changes),
            drawn(16).spec,
            crop,
        )
        return system, Detector(DetectorConfig(widths=(8, 8, 16), norm="group"), drawn(16).spec, crop)

    return make


def test_a_finder_is_taken_and_not_trained(finding, hands):
    system, detector = finding()
    with pytest.raises(ValueError, match="detector that is named"):
        next(system.step(hands, "pose", Noise(0)))
    system.attach("detector", detector)
    pose_losses(system, hands).total.backward()
    assert all(p.grad is None for p in system.finder.parameters())
    assert all(p.grad is not None for p in system.encoder.mix.parameters())
    assert {name for name in system.state_dict() if name.startswith("finder.")}, (
        "a model brings its finder along"
    )


def test_a_finder_learns_on_from_poses_and_from_the_places_of_joints(finding, hands):
    system, detector = finding(detector_keypoint_weight=2.0)
    system.attach("detector", detector)
    valid = hands.joint_valid.clone()
    valid[:, 4] = False
    some = replace(hands, joint_valid=valid)
    losses = pose_losses(system, some)
    error = (system.encode(hands.image).found - (hands.joints_2d / 16 - 1)).square().mean(2)
    close(losses.found, error[valid].mean())
    others = (
        1000 * losses.pose
        + 100 * losses.cloud
        + losses.image
        + 10 * (losses.kl_pose + losses.kl_appearance + losses.kl_shape)
    )
    close(losses.total, others + 2 * losses.found)
    for term in (losses.found, losses.pose):
        (reached,) = torch.autograd.grad(
            term, [system.finder.trunk.stages[0][0][0].weight], retain_graph=True
        )
        assert reached.abs().max() > 0
    still, _ = finding()
    still.attach("detector", detector)
    assert pose_losses(still, some).found == 0


def test_pose_and_shape_follow_what_is_found_appearance_does_not(finding, hands):
    system, detector = finding()
    system.eval().attach("detector", detector)
    first = system.encode(hands.image)
    with torch.no_grad():
        system.finder.head.heat.weight.mul_(-5)
    second = system.encode(hands.image)
    assert [
        torch.equal(one.mean, other.mean) for one, other in zip(first.factors, second.factors, strict=True)
    ] == [False, True, False]


@pytest.mark.parametrize("changes", [{"finder": ""}, {"finder": "some", "bare": True}])
def test_what_learns_to_find_needs_a_finder_and_places(changes, drawn):
    bare = ("image", "joints_3d", "mask", "cloud") if changes.pop("bare", False) else None
    with pytest.raises(ValueError, match="found_weight"):
        DaVae(
            replace(SMALL, detector_keypoint_weight=1.0, **changes),
            replace(drawn(16).spec, **({"modalities": bare} if bare else {})),
            Crop(32),
        )
