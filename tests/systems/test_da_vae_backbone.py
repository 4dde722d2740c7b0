"""da-VAE with a keypoint encoder: what is copied, which heads see the keypoints, how the detector learns."""

from dataclasses import replace

import pytest
import torch

from handvae.data.crop import Crop, cut
from handvae.nets.picture_encoders import KeypointEncoder, ResNetEncoder
from handvae.noise import Noise
from handvae.systems.da_vae import DaVae, DaVaeConfig
from handvae.systems.detector import Detector, DetectorConfig
from handvae.training.loop import activate_stage

SMALL = DaVaeConfig(
    mask_width=8,
    mask_stem="half",
    pose_dims=6,
    appearance_dims=4,
    shape_dims=2,
    cloud_points=64,
    encoder=ResNetEncoder(8, "half"),
    head_width=16,
    decoder_width=16,
    hidden=32,
    fold_width=16,
    grid=5,
    posterior_samples=4,
)
ENCODER = KeypointEncoder("some-detector", widths=(8, 8, 16), resnet=SMALL.encoder.resnet)
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
def build(drawn):
    """Builds a system and a detector, untrained, for its encoder."""

    def make(**changes):
        torch.manual_seed(0)
        crop, spec = Crop(32, sides="right"), drawn(16).spec
        config = replace(SMALL, encoder=replace(ENCODER, **changes), norm="group")
        return DaVae(config, spec, crop), Detector(
            DetectorConfig(widths=(8, 8, 16), norm="group"), spec, crop
        )

    return make


def test_the_detector_is_copied_and_not_trained(build, hands):
    system, detector = build()
    with pytest.raises(ValueError, match="detector that is named"):
        next(system.step(hands, "pose", Noise(0)))

    system.attach("detector", detector)
    pose_losses(system, hands).total.backward()
    assert all(p.grad is None for p in system.keypoint_backbone.parameters())
    assert all(p.grad is not None for p in system.encoder.mix.parameters())
    assert any(name.startswith("keypoint_backbone.") for name in system.state_dict()), (
        "a model's file holds its detector"
    )


def test_the_detector_learns_from_poses_and_from_joints_in_the_picture(build, hands):
    system, detector = build(keypoint_weight=2.0)
    system.attach("detector", detector)
    valid = hands.joint_valid.clone()
    valid[:, 4] = False
    some = replace(hands, joint_valid=valid)
    losses = pose_losses(system, some)

    error = (system.encode(hands.image).keypoints - (hands.joints_2d / 16 - 1)).square().mean(2)
    close(losses.keypoints, error[valid].mean())
    kls = losses.kl_pose + losses.kl_appearance + losses.kl_shape
    paper = 1000 * losses.pose + 100 * losses.cloud + losses.image + 10 * kls
    close(losses.total, paper + 2 * losses.keypoints)

    weight = system.keypoint_backbone.trunk.stages[0][0][0].weight
    for term in (losses.keypoints, losses.pose):
        (gradient,) = torch.autograd.grad(term, [weight], retain_graph=True)
        assert gradient.abs().max() > 0

    frozen, _ = build()
    frozen.attach("detector", detector)
    assert pose_losses(frozen, some).keypoints == 0


def test_pose_and_shape_follow_the_keypoints_appearance_does_not(build, hands):
    system, detector = build()
    system.eval().attach("detector", detector)
    first = system.encode(hands.image)
    with torch.no_grad():
        system.keypoint_backbone.head.heat.weight.mul_(-5)
    second = system.encode(hands.image)
    unchanged = [
        torch.equal(one.mean, other.mean) for one, other in zip(first.factors, second.factors, strict=True)
    ]
    assert unchanged == [False, True, False]


def test_a_detector_that_learns_needs_joints_in_the_picture(drawn):
    spec = replace(drawn(16).spec, modalities=("image", "joints_3d", "mask", "cloud"))
    config = replace(SMALL, encoder=replace(ENCODER, keypoint_weight=1.0))
    with pytest.raises(ValueError, match=r"set encoder\.keypoint_weight to 0"):
        DaVae(config, spec, Crop(32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ""}, "needs a detector"),
        ({"widths": (8, 8)}, "at least 3 widths"),
        ({"keypoint_weight": -1.0}, "not negative"),
    ],
)
def test_options_of_a_keypoint_encoder_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(ENCODER, **changes)
