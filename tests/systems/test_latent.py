"""What latent spaces are measured by: modalities apart, inputs together, factors that stay apart."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from handvae.data.crop import Crop, cut
from handvae.data.subset import Subset
from handvae.evaluation.latent import (
    canonical_errors,
    content_swap,
    fused,
    layers_swap,
    modality_silhouette,
    silhouette,
    swaps_said,
)
from handvae.hand import scale_bone
from handvae.nets.picture_encoders import ResNetEncoder
from handvae.rv import RandomVariable
from handvae.systems.cm_vae import CmVae, CmVaeConfig
from handvae.systems.dvae_generator import DvaeImageConfig
from handvae.systems.dvae_image import DvaeImage
from handvae.systems.dvae_layers import DvaeLayers
from handvae.systems.dvae_pose import DvaePose, DvaePoseConfig, HandFactors
from handvae.systems.system import Prediction

SMALL = CmVaeConfig(
    variant=4,
    latent_dims=6,
    encoder=ResNetEncoder(8),
    decoder_width=16,
    hidden=32,
    norm="group",
    posterior_samples=4,
)
SIZES = {"factor_dims": 4, "trunk_width": 8, "hidden": 16, "norm": "group", "posterior_samples": 4}


@pytest.fixture
def data(drawn):
    return drawn(16)


def built(kind, config, data, sides="keep"):
    torch.manual_seed(0)
    spec = data.spec if sides == "keep" else replace(data.spec, sides=sides)
    return kind(config, spec, Crop(32, sides=sides)).eval().requires_grad_(False)


def value(measures, name):
    return next(measure.value for measure in measures if measure.name == name)


def test_mixed_codes_have_no_silhouette_and_codes_apart_have():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(400, 8, generator=generator)
    assert abs(silhouette({"2d": points[:200], "3d": points[200:]})) < 0.02
    assert silhouette({"2d": points[:200], "3d": points[200:] + 30}) > 0.8


def test_a_silhouette_needs_two_encoders(data):
    assert modality_silhouette(built(CmVae, replace(SMALL, variant=1), data), data) == ()
    (measure,) = modality_silhouette(built(CmVae, SMALL, data), data)
    assert -1 <= measure.value <= 1
    assert measure.n == 16


def test_each_input_and_all_together_are_measured(data, monkeypatch):
    system = built(CmVae, replace(SMALL, more_pairs=("2d-3d", "depth-3d")), data)
    asked = []

    def exact(self, hands, inputs=()):
        asked.append(
            (
                tuple(inputs),
                hands.joint_valid.float().mean().item(),
                (hands.depth > 0).flatten(1).any(1).float().mean().item(),
            )
        )
        bone = scale_bone(hands.joints_3d)[:, None, None]
        joints = self.joints_of(replace(hands, joint_valid=None)) + torch.tensor([10.0, 0.0, 0.0]) / bone
        return Prediction(joints, joints)

    monkeypatch.setattr(CmVae, "predict", exact)
    measures = fused(system, data)
    assert {round(measure.value, 3) for measure in measures} == {10.0}  # mm, of the original labels
    whole = [inputs for inputs, valid, depth in asked if valid == depth == 1]
    assert whole == [
        ("image",),
        ("depth",),
        ("joints_2d",),
        ("image", "depth"),
        ("image", "joints_2d"),
        ("depth", "joints_2d"),
        ("image", "depth", "joints_2d"),
    ]
    hidden = [valid for inputs, valid, depth in asked if depth == 1 and valid < 1]
    assert all(0.55 < valid < 0.85 for valid in hidden)
    (without,) = [(valid, depth) for inputs, valid, depth in asked if depth < 1]
    assert max(without) < 0.9
    assert fused(built(CmVae, replace(SMALL, input="2d"), data), data) == ()


def test_a_hand_without_2d_joints_is_read_from_its_picture_alone(data, monkeypatch):
    encode = CmVae.encode

    def sharp(self, hands, modality):
        posterior = encode(self, hands, modality)
        return RandomVariable(
            posterior.mean, posterior.var * 0.05
        )  # an untrained posterior may be wider than the prior

    monkeypatch.setattr(CmVae, "encode", sharp)
    system = built(CmVae, replace(SMALL, more_pairs=("2d-3d",)), data)
    hands = cut(data, torch.arange(16), system.crop)
    valid = torch.ones(16, 21, dtype=torch.bool)
    valid[3] = False
    both = system.predict(replace(hands, joint_valid=valid), ["image", "joints_2d"])
    torch.testing.assert_close(both.joints[3], system.predict(hands).joints[3], atol=1e-4, rtol=1e-3)
    assert not torch.allclose(both.joints[4], system.predict(hands).joints[4], atol=1e-4)


@pytest.mark.parametrize("content", ["tag", "residual"])
def test_another_content_moves_the_decoded_pose_in_algorithm_2_alone(content, data):
    system = built(DvaeImage, DvaeImageConfig(content=content, decoder_width=16, **SIZES), data, "left")
    measures = content_swap(system, data)
    assert value(measures, "content_swap") > 0
    assert (value(measures, "content_swap_decoded") == 0) == (content == "tag")


def test_what_a_part_does_to_the_others_pixels_is_told(data, monkeypatch):
    """A model that paints both parts in the true mean colours, but lets a quarter of the ground's shine
    through the hand."""
    system = built(DvaeLayers, DvaeImageConfig(content="layers", decoder_width=16, **SIZES), data, "left")
    hands = cut(data, torch.arange(16), system.crop, fields=("image", "segmentation"))
    hand = (hands.segmentation > 0).float()

    def appearances(self, image):
        colours = [(image * where).sum((2, 3)) / where.sum((2, 3)) for where in (hand, 1 - hand)]
        return torch.cat([F.pad(colour, (0, 1)) for colour in colours], 1)

    def made(self, joints, appearance):
        skin, ground = appearance[:, :3, None, None], appearance[:, 4:7, None, None]
        return hand * (skin + ground / 4) + (1 - hand) * ground

    monkeypatch.setattr(DvaeLayers, "appearance_of", appearances)
    monkeypatch.setattr(DvaeLayers, "synthesize", made)
    measures = layers_swap(system, data)
    assert value(measures, "ground_moved_by_ground") > 5
    assert value(measures, "hand_moved_by_hand") > 5
    assert value(measures, "ground_moved_by_hand") == 0
    assert value(measures, "hand_moved_by_ground") == pytest.approx(
        value(measures, "ground_moved_by_ground") / 4, rel=1e-3
    )
    for part in ("hand", "ground"):
        assert value(measures, f"{part}_moved_by_{part}") == pytest.approx(
            value(measures, f"{part}_apart"), rel=1e-3
        )
    assert value(measures, "ground_missed") == pytest.approx(0, abs=0.01)
    own_ground = 255 * appearances(None, hands.image)[:, 4:7].mean(1) / 4
    assert float(own_ground.min()) <= value(measures, "hand_missed") <= float(own_ground.max())
    n = measures[0].n
    assert 4 <= n <= 16
    assert swaps_said(measures).startswith("another hand moves the hand's mean colour by ")
    apart = value(measures, "ground_apart")
    leaked = (
        f"another hand by 0.0 (0%), real pictures lie {apart:.1f} apart, "
        "it misses the one it comes from by 0.0"
    )
    assert f"{leaked}; N = {n}" in swaps_said(measures)


def test_hands_of_one_content_are_no_partners(data):
    system = built(DvaeLayers, DvaeImageConfig(content="layers", decoder_width=16, **SIZES), data, "left")
    assert all(measure.n == 0 for measure in layers_swap(system, Subset(data, range(4))))


def test_a_content_in_one_piece_has_no_parts_to_swap(data):
    assert layers_swap(built(DvaeImage, DvaeImageConfig(decoder_width=16, **SIZES), data, "left"), data) == ()
    assert (
        swaps_said(
            content_swap(built(DvaeImage, DvaeImageConfig(decoder_width=16, **SIZES), data, "left"), data)
        )
        == ""
    )


def test_canonical_errors_are_those_of_the_canonical_frame(data, monkeypatch):
    system = built(DvaePose, DvaePoseConfig(**SIZES), data, "left")
    hands = cut(data, torch.arange(16), system.crop)
    known, truth = system.targets(hands)
    assert known.all()
    off = torch.tensor([0.0, 3.0, 4.0]) / scale_bone(hands.joints_3d)[:, None, None]
    monkeypatch.setattr(
        DvaePose, "factors_of", lambda self, image: HandFactors(truth.pose + off, truth.viewpoint)
    )
    measures = canonical_errors(system, data)
    assert value(measures, "canonical_epe") == pytest.approx(5.0, rel=1e-3)
    assert value(measures, "viewpoint_error_median") < 0.1
    assert canonical_errors(built(CmVae, SMALL, data), data) == ()
